using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

public sealed class Float64MathTests
{
    // The worst seen: exp 2.2e-16, log 4.4e-16, that is one and two units in the last place; the runtime's
    // own functions are not exact either, and a device may contract multiplications and additions.
    private const double Tolerance = 1e-15;

    [Test]
    public void Exp_NormalResults_MatchTheRuntime()
    {
        double worst = 0;
        for (int i = 0; i <= 200_000; i++)
        {
            double x = -708 + 1417.0 * i / 200_000;
            worst = Math.Max(worst, Math.Abs(Float64.Exp(x) / Math.Exp(x) - 1));
        }

        TestContext.Out.WriteLine($"worst relative error {worst:g3}");
        Assert.That(worst, Is.LessThan(Tolerance));
    }

    [Test]
    public void Log_WholeRange_MatchesTheRuntime()
    {
        double worst = 0;
        for (int i = 0; i <= 200_000; i++)
        {
            double x = Math.Exp(-740 + 1449.0 * i / 200_000);
            double nearOne = 0.5 + 1.5 * i / 200_000;
            worst = Math.Max(worst, Math.Max(Error(x), Error(nearOne)));
        }

        TestContext.Out.WriteLine($"worst relative error {worst:g3}");
        Assert.That(worst, Is.LessThan(Tolerance));

        static double Error(double x) => x == 1 ? Math.Abs(Float64.Log(x)) : Math.Abs(Float64.Log(x) / Math.Log(x) - 1);
    }

    [TestCase(double.NaN, double.NaN)]
    [TestCase(double.PositiveInfinity, double.PositiveInfinity)]
    [TestCase(double.NegativeInfinity, 0)]
    [TestCase(709.79, double.PositiveInfinity)]
    [TestCase(-746, 0)]
    [TestCase(-745.13, double.Epsilon)]
    [TestCase(0, 1)]
    [TestCase(-0.0, 1)]
    public void Exp_Edges_AreThoseOfTheFunction(double value, double expected)
        => Assert.That(Float64.Exp(value), Is.EqualTo(expected));

    [TestCase(double.NaN, double.NaN)]
    [TestCase(double.PositiveInfinity, double.PositiveInfinity)]
    [TestCase(-1, double.NaN)]
    [TestCase(double.NegativeInfinity, double.NaN)]
    [TestCase(0, double.NegativeInfinity)]
    [TestCase(1, 0)]
    [TestCase(double.Epsilon, -744.4400719213812)]
    [TestCase(double.MaxValue, 709.782712893384)]
    public void Log_Edges_AreThoseOfTheFunction(double value, double expected)
        => Assert.That(Float64.Log(value), Is.EqualTo(expected));

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ExpAndLog_OnADevice_MatchTheRuntime(DeviceKind kind)
    {
        using GpuContext gpu = TestDevices.Open(kind);
        double[] values =
            [.. Enumerable.Range(0, 4000).Select(i => -700 + 0.35 * i), double.NaN, double.PositiveInfinity,
                double.NegativeInfinity];
        using MemoryBuffer1D<double, Stride1D.Dense> input = gpu.Accelerator.Allocate1D(values);
        using MemoryBuffer1D<double, Stride1D.Dense> exp = gpu.Accelerator.Allocate1D<double>(values.Length);
        using MemoryBuffer1D<double, Stride1D.Dense> log = gpu.Accelerator.Allocate1D<double>(values.Length);
        gpu.Accelerator.Load(
            Evaluate, out Action<AcceleratorStream, Index1D, ArrayView<double>, ArrayView<double>, ArrayView<double>> evaluate);
        evaluate(gpu.Stream, values.Length, input.View, exp.View, log.View);
        double[] gotExp = exp.GetAsArray1D();
        double[] gotLog = log.GetAsArray1D();
        for (int i = 0; i < values.Length; i++)
        {
            AssertNear(gotExp[i], Math.Exp(values[i]), $"exp({values[i]})");
            AssertNear(gotLog[i], Math.Log(values[i]), $"log({values[i]})");
        }

        static void AssertNear(double got, double expected, string what)
            => Assert.That(
                got,
                double.IsFinite(expected) ? Is.EqualTo(expected).Within(Tolerance * Math.Abs(expected)) : Is.EqualTo(expected),
                what);
    }

    private static void Evaluate(Index1D index, ArrayView<double> input, ArrayView<double> exp, ArrayView<double> log)
    {
        exp[index] = Float64.Exp(input[index]);
        log[index] = Float64.Log(input[index]);
    }
}
