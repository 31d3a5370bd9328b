using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Ops;

/// <summary>
/// A network that is not this library's: its parameters, its loss of elementary operations, its optimiser.
/// </summary>
public sealed class OwnNetworkTests
{
    private static readonly TensorShape Shape = new(2, 3, 4, 5, 3);

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ElementaryOps_OfSlices_ComputeWhatTheySay(DeviceKind device)
    {
        using GpuContext context = TestDevices.Open(device);
        Check<double>(context, 1e-14);
        Check<float>(context, 1e-6);
    }

    // The published bias of float32 over a million terms would show here; the order of the sum is fixed.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Sum_OfManyElements_IsNearFloat64AndRepeats(DeviceKind device)
    {
        using GpuContext context = TestDevices.Open(device);
        using Arena arena = new(context);
        TensorShape shape = new(1, 20, 50, 50, 20);
        double[] values = [.. TestData.Uniform(shape.Length, 3).Select(v => (double)(float)(v + 1))];
        float[] single = Array.ConvertAll(values, v => (float)v);
        float Once(bool mean)
        {
            using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
            Tensor<float> x = tape.Upload(single, shape);
            return (mean ? tape.Mean(x) : tape.Sum(x)).ToArray(context)[0];
        }

        double sum = SumReference.Sum(values);
        (float first, float repeated) = (Once(mean: false), Once(mean: false));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Once(mean: false), Is.EqualTo(sum).Within(1e-5 * sum));
            Assert.That(Once(mean: true), Is.EqualTo(SumReference.Mean(values)).Within(1e-5));
            Assert.That(repeated, Is.EqualTo(first));
        }
    }

    [Test]
    public void ElementaryOps_OtherShapes_AreRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        (Tensor<float> a, Tensor<float> b) = (tape.Allocate(Shape), tape.Allocate(Shape with { Channels = 1 }));
        Assert.That(
            () => tape.Add(a, b),
            Throws.ArgumentException.With.Message.Contains("Add: the tensors are [2, 3, 4, 5, 3] and [2, 3, 4, 5, 1]"));
        Assert.That(() => tape.Multiply(a, b), Throws.ArgumentException.With.Message.Contains("Multiply"));
        Assert.That(
            () => tape.Mean(tape.Allocate(Shape with { Batch = 0 })), Throws.ArgumentException.With.Message.Contains(
                "no element"));
    }

    // Told apart by the size of what they hold: a classifier of patches with a convolution, a pooling, a head
    // and the mean of squares as its loss.
    [Test]
    public void Classifier_OfPatches_LearnsWithAdam()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using ParameterSet<float> parameters = new();
        (Parameter<float> weight, Parameter<float> bias) = parameters.AddConvolution("features", 1, 4);
        (Parameter<float> headWeight, Parameter<float> headBias) = parameters.AddConvolution("head", 4, 1, kernelSize: 1);
        parameters.Allocate(context, seed: 1);
        using Adam<float> adam = new(context, parameters, new AdamOptions { ClipNorm = 1 });
        using Arena arena = new(context);
        TensorShape shape = new(4, 4, 4, 4, 1);
        float[] patches = [.. Enumerable.Range(0, (int)shape.Length).Select(i => i / 64 % 2 == 0 ? 0.1f : (float)Math.Sin(i))];
        float[] labels = [.. Enumerable.Range(0, 4 * 8).Select(i => i / 8 % 2 == 0 ? 0f : 1f)];
        List<float> losses = [];
        for (int step = 0; step < 60; step++)
        {
            parameters.ZeroGradients(context);
            using Tape<float> tape = Tape<float>.Begin(arena);
            Tensor<float> features = tape.MaxPool3d(tape.Conv3d(tape.Upload(patches, shape), weight, bias, Activation.Relu));
            Tensor<float> answer = tape.Conv3d(features, headWeight, headBias);
            Tensor<float> error = tape.Add(answer, tape.Scale(tape.Upload(labels, answer.Shape), -1));
            Tensor<float> loss = tape.Mean(tape.Multiply(error, error));
            tape.Backward(loss);
            adam.Step(0.02);
            losses.Add(loss.ToArray(context)[0]);
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(losses[^1], Is.LessThan(0.2 * losses[0]), string.Join(' ', losses));
            Assert.That(adam.Steps, Is.EqualTo(60));
        }
    }

    [Test]
    public void Adam_Steps_AreThoseOfTheReference()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using ParameterSet<double> parameters = new();
        (Parameter<double> weight, _) = parameters.AddTransposedConvolution("up", 2, 3);
        parameters.Allocate(context, seed: 4);
        double[] values = weight.Download(context);
        Assert.That(
            values, Has.All.Matches<double>(v => Math.Abs(v) <= Math.Sqrt(3)).And.Some.Matches<double>(v => Math.Abs(v) > 1));
        AdamReference reference = new(values, 0.01, weightDecay: 0.1);
        using Adam<double> adam = new(context, parameters, new AdamOptions { WeightDecay = 0.1 });
        for (int step = 1; step <= 3; step++)
        {
            double[] gradient = TestData.Uniform(weight.Length, step);
            parameters.ZeroGradients(context);
            ILGPU.Runtime.ArrayViewExtensions.CopyFromCPU(weight.Gradient, context.Stream, gradient);
            adam.Step(0.01);
            reference.Step(gradient);
            Assert.That(weight.Download(context), Is.EqualTo(values).Within(1e-14));
        }

        Assert.That(() => adam.Step(double.NaN), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(
            () => new AdamOptions { Beta1 = 1 }, Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("Beta1"));
    }

    [Test]
    public void ParameterSet_Misused_SaysWhatToDo()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using ParameterSet<float> parameters = new();
        Assert.That(
            () => parameters.Allocate(context), Throws.InvalidOperationException.With.Message.Contains("Add the layers first"));
        parameters.AddConvolution("a", 1, 2);
        Assert.That(() => parameters.AddConvolution("a", 1, 2), Throws.ArgumentException.With.Message.Contains("a.weight"));
        Assert.That(
            () => parameters.AddConvolution("b", 1, 2, kernelSize: 5),
            Throws.InstanceOf<ArgumentException>().With.Message.Contains("expected 1 or 3"));
        Assert.That(() => parameters.AddConvolution("b", 0, 2), Throws.InstanceOf<ArgumentException>());
        Assert.That(() => parameters.Values, Throws.InvalidOperationException.With.Message.Contains("Call Allocate first"));
        parameters.Allocate(context);
        Assert.That(() => parameters.Allocate(context), Throws.InvalidOperationException.With.Message.Contains("already"));
        Assert.That(
            () => parameters.AddConvolution("c", 1, 2),
            Throws.InvalidOperationException.With.Message.Contains("Add all layers first"));
    }

    private static void Check<T>(GpuContext context, double tolerance)
        where T : unmanaged, System.Numerics.INumber<T>
    {
        double[] a = [.. TestData.Uniform(Shape.Length, 1).Select(v => (double)(float)v)];
        double[] b = [.. TestData.Uniform(Shape.Length, 2).Select(v => (double)(float)v)];
        using Arena arena = new(context);
        using Tape<T> tape = Tape<T>.Begin(arena);
        Tensor<T> x = tape.Upload(Array.ConvertAll(a, T.CreateChecked), Shape, requiresGradient: true);
        Tensor<T> y = tape.Upload(Array.ConvertAll(b, T.CreateChecked), Shape);
        Tensor<T> loss = tape.Sum(tape.Multiply(tape.Add(x.Channels(1, 2), y.Channels(0, 2)), tape.Scale(x.Channels(1, 2), 3)));
        tape.Backward(loss);

        double expected = 0;
        double[] gradient = new double[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            if (i % 3 == 0)
                continue;
            expected += (a[i] + b[i - 1]) * 3 * a[i];
            gradient[i] = 6 * a[i] + 3 * b[i - 1];
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(double.CreateChecked(loss.ToArray(context)[0]), Is.EqualTo(expected).Within(tolerance * 100));
            Assert.That(TestData.RelativeError<T>(x.GradientToArray(context), gradient), Is.LessThan(tolerance));
        }
    }
}
