using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Optimizer;

[TestFixture]
public class GradientNormTests
{
    // One partial sum, several, all of them with a ragged end; several chunks of the host variant.
    private static readonly int[] Lengths = [1, 5, 31, 33, 2500, 40001, 150001];

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ClipFactor_NormAboveBelowAndUnlimited_MatchesReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (int length in Lengths)
        {
            double[] gradients = TestData.Uniform(length, 1);
            double norm = GradientNormReference.Norm(gradients);
            foreach (double maxNorm in (double[])[norm / 3, norm * 3, 0, -1])
            {
                Check<float>(context, gradients, maxNorm);
                Check<double>(context, gradients, maxNorm);
            }
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ClipFactor_AllZero_LeavesGradientsAlone(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context, new double[100], maxNorm: 1);
        Check<double>(context, new double[100], maxNorm: 1);
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ClipFactor_NonFiniteGradient_IsNaN(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (double bad in (double[])[double.NaN, double.PositiveInfinity, double.NegativeInfinity])
        {
            double[] gradients = TestData.Uniform(4000, 1);
            gradients[3777] = bad;
            CheckNonFinite<float>(context, gradients, maxNorm: 1);
            CheckNonFinite<float>(context, gradients, maxNorm: 0);
            CheckNonFinite<double>(context, gradients, maxNorm: 1);
            CheckNonFinite<double>(context, gradients, maxNorm: 0);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ClipFactorOrStop_WhatIsNotFinite_StopsForGood(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        CheckStop<float>(context);
        CheckStop<double>(context);
    }

    [Test]
    public void ClipFactorOrStop_OnTheSimulatedGpu_StopsForGood()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        CheckStop<float>(context);
    }

    private static void CheckStop<T>(GpuContext context)
        where T : unmanaged, INumber<T>
    {
        const double nan = double.NaN, infinity = double.PositiveInfinity;
        (double Gradient, double Loss, double Before, bool GoesOn)[] cases =
        [
            (0.5, 2, 1, true), (nan, 2, 1, false), (infinity, 2, 1, false), (0.5, nan, 1, false), (0.5, infinity, 1, false),
            (0.5, 2, -1, false), (nan, 2, -1, false),
        ];
        foreach (
            Variant<IGradientNorm<T>, FlatShape> variant in GradientNormVariants<T>.Table.Supported(context, new FlatShape(4000)))
        {
            foreach ((double gradient, double loss, double before, bool goesOn) in cases)
            {
                foreach (double maxNorm in (double[])[0, 1e6])
                {
                    double[] gradients = TestData.Uniform(4000, 1);
                    gradients[3777] = gradient;
                    IGradientNorm<T> launcher = context.Launcher(GradientNormVariants<T>.Table, variant);
                    using MemoryBuffer1D<T, Stride1D.Dense> g = context.ToDevice<T>(gradients);
                    using MemoryBuffer1D<T, Stride1D.Dense> workspace = context.ToDevice<T>(
                        new double[launcher.WorkspaceLength(gradients.Length)]);
                    using MemoryBuffer1D<T, Stride1D.Dense> held = context.ToDevice<T>([loss, nan, before]);
                    launcher.ClipFactorOrStop(
                        context.Stream, g.View, workspace.View, held.View.BaseView.SubView(0, 1),
                        held.View.BaseView.SubView(1, 1), held.View.BaseView.SubView(2, 1), maxNorm);
                    context.Synchronize();
                    Assert.That(
                        held.GetAsArray1D()[2],
                        Is.EqualTo(goesOn ? T.One : -T.One),
                        $"{variant.Name} {typeof(T).Name}: gradient {gradient}, loss {loss}, before {before}, limit {maxNorm}");
                }
            }
        }
    }

    [Test]
    public void ClipFactor_OnTheSimulatedGpu_MatchesReference()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Assert.That(
            GradientNormVariants<float>.Table.Supported(context, new FlatShape(1)).Select(v => v.Name), Does.Contain("Grouped"));
        foreach (int length in Lengths[..5])
        {
            double[] gradients = TestData.Uniform(length, 1);
            Check<float>(context, gradients, maxNorm: 0.5);
            Check<double>(context, gradients, maxNorm: 0);
        }

        CheckNonFinite<float>(context, [1, double.NaN, 2], maxNorm: 1);
    }

    [Test]
    public void ClipFactor_OneAndTwoThreads_SameBits()
    {
        (float, float)[] results = [.. new[] { 1, 2 }.Select(threads =>
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            Variant<IGradientNorm<float>, FlatShape> variant =
                GradientNormVariants<float>.Table.Supported(context, new FlatShape(150001)).First();
            return Run<float>(context, variant, TestData.Uniform(150001, 1), maxNorm: 2);
        })];

        Assert.That(results[1], Is.EqualTo(results[0]));
    }

    private static void Check<T>(GpuContext context, double[] gradients, double maxNorm)
        where T : unmanaged, INumber<T>
    {
        // Worst seen 1.3e-15 in double and 8.0e-8 in float.
        double tolerance = typeof(T) == typeof(double) ? 1e-12 : 2e-6;
        foreach (
            Variant<IGradientNorm<T>, FlatShape> variant in GradientNormVariants<T>.Table.Supported(
                context, new FlatShape(gradients.Length)))
        {
            (T norm, T factor) = Run<T>(context, variant, gradients, maxNorm);

            string what = $"{variant.Name} {typeof(T).Name} {gradients.Length} {maxNorm}";
            Assert.That(
                TestData.RelativeError([norm], [GradientNormReference.Norm(gradients)]), Is.LessThan(tolerance), $"{what} norm");
            Assert.That(
                TestData.RelativeError([factor], [GradientNormReference.ClipFactor(gradients, maxNorm)]),
                Is.LessThan(tolerance),
                $"{what} factor");
        }
    }

    private static void CheckNonFinite<T>(GpuContext context, double[] gradients, double maxNorm)
        where T : unmanaged, INumber<T>
    {
        foreach (
            Variant<IGradientNorm<T>, FlatShape> variant in GradientNormVariants<T>.Table.Supported(
                context, new FlatShape(gradients.Length)))
        {
            (T norm, T factor) = Run<T>(context, variant, gradients, maxNorm);

            Assert.That(T.IsFinite(norm), Is.False, $"{variant.Name} {typeof(T).Name} {maxNorm}");
            Assert.That(T.IsNaN(factor), $"{variant.Name} {typeof(T).Name} {maxNorm}");
        }
    }

    private static (
        T Norm, T Factor) Run<T>(GpuContext context, Variant<IGradientNorm<T>, FlatShape> variant, double[] gradients,
        double maxNorm)
        where T : unmanaged, INumber<T>
    {
        IGradientNorm<T> launcher = context.Launcher(GradientNormVariants<T>.Table, variant);
        using MemoryBuffer1D<T, Stride1D.Dense> g = context.ToDevice<T>(gradients);
        // Garbage: nothing may depend on what the workspace and the results hold before.
        using MemoryBuffer1D<T, Stride1D.Dense> workspace = context.ToDevice<T>(
            [.. Enumerable.Repeat(double.NaN, (int)launcher.WorkspaceLength(gradients.Length))]);
        using MemoryBuffer1D<T, Stride1D.Dense> results = context.ToDevice<T>([double.NaN, double.NaN]);
        launcher.ClipFactor(
            context.Stream,
            g.View,
            workspace.View,
            results.View.BaseView.SubView(0, 1),
            results.View.BaseView.SubView(1, 1),
            maxNorm);
        context.Synchronize();
        T[] read = results.GetAsArray1D();
        return (read[0], read[1]);
    }
}
