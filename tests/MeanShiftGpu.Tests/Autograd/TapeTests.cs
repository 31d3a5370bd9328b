using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Autograd;

public class TapeTests
{
    private static readonly TensorShape Shape = new(1, 2, 2, 2, 1);
    private static readonly double[] Values = [0.1, 0.4, 0.2, 0.8, 0.5, 0.3, 0.7, 0.6];
    private static readonly double[] Target = [0, 1, 0, 1, 1, 0, 1, 0];

    private GpuContext context = null!;
    private Arena arena = null!;

    [SetUp]
    public void Open()
    {
        context = TestDevices.Open(DeviceKind.Cpu);
        arena = new Arena(context);
    }

    [TearDown]
    public void Close()
    {
        arena.Dispose();
        context.Dispose();
    }

    [Test]
    public void Backward_Twice_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> loss = Loss(tape, out _);
        tape.Backward(loss);
        Assert.That(() => tape.Backward(loss), Throws.InvalidOperationException.With.Message.Contains("twice"));
    }

    [Test]
    public void Backward_OfNoScalar_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Loss(tape, out Tensor<double> x);
        Assert.That(() => tape.Backward(x), Throws.InvalidOperationException.With.Message.Contains("scalar"));
    }

    [Test]
    public void Backward_WithoutAnythingToDifferentiate_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(Values, Shape);
        Tensor<double> loss = tape.DiceLoss(x, tape.Upload(Target, Shape));
        Assert.That(() => tape.Backward(loss), Throws.InvalidOperationException.With.Message.Contains("requires a gradient"));
    }

    [Test]
    public void Backward_OnAnInferenceTape_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena, inference: true);
        Tensor<double> loss = Loss(tape, out _);
        Assert.That(() => tape.Backward(loss), Throws.InvalidOperationException.With.Message.Contains("inference"));
    }

    [Test]
    public void Begin_WhileAnotherTapeUsesTheArena_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Assert.That(() => Tape<double>.Begin(arena), Throws.InvalidOperationException.With.Message.Contains("Another tape"));
    }

    [Test]
    public void Begin_AfterTheOtherTapeIsDisposed_Works()
    {
        Tape<double>.Begin(arena).Dispose();
        Assert.That(() => Tape<double>.Begin(arena).Dispose(), Throws.Nothing);
    }

    [Test]
    public void View_OfAnEndedTapesTensor_IsRefusedOnceTheArenaServesAnother()
    {
        Tensor<double> ended;
        using (Tape<double> tape = Tape<double>.Begin(arena))
        {
            ended = tape.Upload(Values, Shape, requiresGradient: true);
            tape.Backward(tape.DiceLoss(ended, tape.Upload(Target, Shape)));
        }

        Assert.That(ended.ToArray(context), Is.EqualTo(Values));
        Assert.That(() => ended.GradientToArray(context), Throws.Nothing);
        using Tape<double> next = Tape<double>.Begin(arena);
        Assert.That(() => ended.View, Throws.InvalidOperationException.With.Message.Contains("has ended"));
        Assert.That(() => ended.ToArray(context), Throws.InvalidOperationException.With.Message.Contains("has ended"));
        Assert.That(() => ended.GradientToArray(context), Throws.InvalidOperationException.With.Message.Contains("has ended"));
        Assert.That(
            () => next.DiceLoss(ended.Channels(0, 1), next.Upload(Target, Shape)),
            Throws.InvalidOperationException.With.Message.Contains("has ended"));
    }

    // What a graph, captured from a tape, writes again.
    [Test]
    public void View_OfATensorThatWasRenewed_IsThere()
    {
        Tensor<double> x;
        using (Tape<double> tape = Tape<double>.Begin(arena))
            x = tape.Upload(Values, Shape);
        Tape<double>.Begin(arena).Dispose();
        Assert.That(() => x.View, Throws.InvalidOperationException);
        x.Channels(0, 1).Storage.Renew();
        Assert.That(x.ToArray(context), Is.EqualTo(Values));
    }

    // The caller's memory outlives a tape, the gradient does not.
    [Test]
    public void Backward_OfOneTensorOnTwoTapes_HasTheGradientOfTheSecond()
    {
        using MemoryBuffer1D<double, Stride1D.Dense> held = context.ToDevice<double>(Values);
        Tensor<double> x = new(held.View.AsContiguous(), Shape, requiresGradient: true);
        double[] first = Differentiate();
        Tape<double>.Begin(arena).Dispose();
        Assert.That(() => x.GradientToArray(context), Throws.InvalidOperationException.With.Message.Contains("has ended"));
        Assert.That(Differentiate(), Is.EqualTo(first));

        double[] Differentiate()
        {
            using Tape<double> tape = Tape<double>.Begin(arena);
            tape.Backward(tape.DiceLoss(x, tape.Upload(Target, Shape)));
            return x.GradientToArray(context);
        }
    }

    [Test]
    public void Record_OfAnotherTapesTensor_IsRefused()
    {
        using Arena other = new(context);
        using Tape<double> first = Tape<double>.Begin(arena);
        using Tape<double> second = Tape<double>.Begin(other);
        Tensor<double> x = first.Upload(Values, Shape, requiresGradient: true);
        Assert.That(
            () => second.DiceLoss(x, second.Upload(Target, Shape)),
            Throws.InvalidOperationException.With.Message.Contains("another tape"));
    }

    [Test]
    public void Upload_OnATapeThatWasDisposed_IsRefused()
    {
        Tape<double> tape = Tape<double>.Begin(arena);
        tape.Dispose();
        Assert.That(
            () => tape.Upload(Values, Shape),
            Throws.InstanceOf<ObjectDisposedException>().With.Message.Contains("Begin a new one"));
        Assert.That(() => tape.Allocate(Shape), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public void ToArray_AfterTheArenaWasDisposed_SaysSo()
    {
        Arena own = new(context);
        using Tape<double> tape = Tape<double>.Begin(own);
        Tensor<double> x = tape.Upload(Values, Shape);
        own.Dispose();
        Assert.That(
            () => x.ToArray(context),
            Throws.InstanceOf<ObjectDisposedException>().With.Message.Contains("an arena that was disposed"));
        Assert.That(() => tape.Allocate(Shape), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public void Conv3d_OverItsInput_IsRefused()
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out Parameter<double> bias);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> wide = tape.Allocate(Shape with { Channels = 2 });
        Assert.That(
            () => tape.Conv3d(wide.Channels(1, 1), weight, bias, output: wide.Channels(1, 1)),
            Throws.ArgumentException.With.Message.Contains("overlaps"));
        Assert.That(() => tape.Conv3d(wide.Channels(1, 1), weight, bias, output: wide.Channels(0, 1)), Throws.Nothing);
    }

    [Test]
    public void Backward_ThroughAnOutputThatAnotherOperationWroteSince_IsRefused([Values] bool isTwice)
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out Parameter<double> bias);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(Values, Shape);
        Tensor<double> wide = tape.Allocate(Shape with { Channels = 2 });
        tape.Conv3d(x, weight, bias, output: wide.Channels(0, 1));
        tape.Conv3d(x, weight, bias, output: wide.Channels(1, 1));
        if (isTwice)
            tape.Conv3d(x, weight, bias, output: wide.Channels(1, 1));
        Tensor<double> loss = tape.Sum(wide);
        Assert.That(() => tape.Backward(loss), isTwice
            ? Throws.InvalidOperationException.With.Message.Contains("overwritten") : Throws.Nothing);
    }

    // Two tensors of the caller's memory have a storage each.
    [Test]
    public void Output_OverAWrappedInput_IsRefused()
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out Parameter<double> bias);
        using ParameterSet<double> doubling = new();
        (Parameter<double> twice, Parameter<double> twiceBias) = doubling.AddTransposedConvolution("up", 1, 1);
        doubling.Allocate(context);
        using MemoryBuffer1D<double, Stride1D.Dense> memory = context.Accelerator.Allocate1D<double>(100);
        memory.MemSetToZero();
        Tensor<double> x = new(memory.View.AsContiguous().SubView(10, 8), Shape);
        using Tape<double> tape = Tape<double>.Begin(arena);
        using (Assert.EnterMultipleScope())
        {
            foreach (int at in (int[])[10, 12, 3])
            {
                Tensor<double> over = new(memory.View.AsContiguous().SubView(at, 8), Shape);
                Assert.That(
                    () => tape.Conv3d(x, weight, bias, output: over), Throws.ArgumentException.With.Message.Contains("overlaps"));
                Assert.That(
                    () => tape.SigmoidHead(x, weight, bias, output: over),
                    Throws.ArgumentException.With.Message.Contains("overlaps"));
            }

            TensorShape large = new(1, 4, 4, 4, 1);
            Tensor<double> half = new(memory.View.AsContiguous().SubView(17, 1), new(1, 1, 1, 1, 1));
            Assert.That(
                () => tape.ConvTranspose3d(x, twice, twiceBias, output: new(memory.View.AsContiguous().SubView(12, 64), large)),
                Throws.ArgumentException.With.Message.Contains("overlaps"));
            Assert.That(
                () => tape.MaxPool3d(x, output: half), Throws.ArgumentException.With.Message.Contains("overlaps"));
            Tensor<double> beside = new(memory.View.AsContiguous().SubView(18, 8), Shape);
            Assert.That(() => tape.Conv3d(x, weight, bias, output: beside), Throws.Nothing);
        }
    }

    [Test]
    public void ToArray_OfMemoryThatWasDisposed_IsRefused()
    {
        MemoryBuffer1D<double, Stride1D.Dense> memory = context.Accelerator.Allocate1D<double>(16);
        memory.MemSetToZero();
        Tensor<double> x = new(memory.View.AsContiguous().SubView(8, 8), Shape);
        Assert.That(x.ToArray(context), Is.All.Zero);
        memory.Dispose();
        Assert.That(
            () => x.ToArray(context), Throws.InstanceOf<ObjectDisposedException>().With.Message.Contains("after their last use"));
    }

    [Test]
    public void Backward_WhenANeededTensorWasOverwritten_IsRefused()
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out Parameter<double> bias);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(Values, Shape, requiresGradient: true);
        Tensor<double> y = tape.Conv3d(x, weight, bias);
        Tensor<double> loss = tape.DiceLoss(y, tape.Upload(Target, Shape));
        // The convolution's backward pass reads x, which this overwrites.
        tape.Conv3d(y, weight, bias, output: x);
        Assert.That(() => tape.Backward(loss), Throws.InvalidOperationException.With.Message.Contains("overwritten"));
    }

    [Test]
    public void Backward_WhenAParameterWasChanged_IsRefused()
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out Parameter<double> bias);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> loss = tape.DiceLoss(tape.Conv3d(tape.Upload(Values, Shape), weight, bias), tape.Upload(Target, Shape));
        weight.Upload(context, [2.0]);
        Assert.That(() => tape.Backward(loss), Throws.InvalidOperationException.With.Message.Contains("weight was changed"));
    }

    [Test]
    public void Backward_OfATensorUsedTwice_AddsBothGradients()
    {
        double[] once;
        using (Tape<double> tape = Tape<double>.Begin(arena))
        {
            Tensor<double> loss = Loss(tape, out Tensor<double> x);
            tape.Backward(loss);
            once = x.GradientToArray(context);
        }

        using (Tape<double> tape = Tape<double>.Begin(arena))
        {
            Tensor<double> x = tape.Upload(Values, Shape, requiresGradient: true);
            Tensor<double> target = tape.Upload(Target, Shape);
            tape.Backward(tape.WeightedSum([(tape.DiceLoss(x, target), 1), (tape.DiceLoss(x, target), 2)]));
            double[] expected = [.. once.Select(g => 3 * g)];
            Assert.That(TestData.RelativeError<double>(x.GradientToArray(context), expected), Is.LessThan(1e-15));
        }
    }

    [Test]
    public void Backward_IntoSlices_ReachesEachSliceAndKeepsTheOther()
    {
        TensorShape wide = Shape with { Channels = 3 };
        double[] values = TestData.Uniform(wide.Length, 1);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(values, wide, requiresGradient: true);
        // Only channels 1 and 2 are used, and one of them twice: the first keeps gradient 0.
        Tensor<double> pooled = tape.MaxPool3d(x.Channels(1, 2));
        Tensor<double> again = tape.MaxPool3d(x.Channels(2, 1));
        tape.Backward(tape.WeightedSum(
        [
            (tape.DiceLoss(pooled, tape.Upload([1.0, 0.0], pooled.Shape)), 1),
            (tape.DiceLoss(again, tape.Upload([1.0], again.Shape)), 1),
        ]));
        double[] gradient = x.GradientToArray(context);
        double[] sums = [0, 0, 0];
        for (int i = 0; i < gradient.Length; i++)
            sums[i % 3] += Math.Abs(gradient[i]);
        Assert.That(sums[0], Is.Zero);
        Assert.That(sums[1], Is.GreaterThan(0));
        Assert.That(sums[2], Is.GreaterThan(0));
    }

    [Test]
    public void Upload_OfAnotherSize_IsRefused()
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Assert.That(() => tape.Upload(new double[3], Shape), Throws.ArgumentException.With.Message.Contains("3 values"));
    }

    [Test]
    public void Arena_SameRequests_GiveSameAddressesWithoutNewMemory()
    {
        static long[] Addresses(Arena arena)
        {
            arena.Reset();
            return [.. new long[] { 10, 300_000, 7, 5_000_000, 64 }.Select(
                length => (long)arena.Allocate<float>(length).LoadEffectiveAddressAsPtrForTest())];
        }

        long[] first = Addresses(arena);
        int allocations = arena.Allocations;
        Assert.That(Addresses(arena), Is.EqualTo(first));
        Assert.That(arena.Allocations, Is.EqualTo(allocations));
        Assert.That(first.All(a => a % 256 == 0), Is.True);
    }

    private static IEnumerable<TestCaseData> Nulls()
    {
        static TestCaseData Case(string call, string argument, Action<Tape<double>, Tensor<double>> run)
            => new TestCaseData(argument, run).SetArgDisplayNames(call, argument);

        MeanShiftOptions options = new();
        yield return Case("Record", "operation", (tape, x) => tape.Record(null!, x, [], [], [], static () => { }));
        yield return Case("Record", "output", (tape, x) => tape.Record("Own", null!, [x], [], [], static () => { }));
        yield return Case("Record", "backward", (tape, x) => tape.Record("Own", x, [], [], [], null!));
        yield return Case("AllocateLike", "other", (tape, x) => tape.AllocateLike(null!, Shape));
        yield return Case("Gradient", "output", (tape, x) => tape.Gradient(null!));
        yield return Case("WriteGradient", "tensor", (tape, x) => tape.WriteGradient(null!, static _ => { }));
        yield return Case("WriteGradient", "write", (tape, x) => tape.WriteGradient(x, null!));
        yield return Case("ToArray", "context", (tape, x) => x.ToArray(null!));
        yield return Case("UploadCenters", "centers", (tape, x) => tape.UploadCenters(null!));
        yield return Case("MeanShiftLoss", "scores", (tape, x) => tape.MeanShiftLoss(null!, default, options, 1UL, 1U));
        yield return Case("MeanShiftLoss", "options", (tape, x) => tape.MeanShiftLoss(x, default, null!, 1UL, 1U));
        yield return Case("MeanShiftLoss, seeds", "options", (tape, x) => tape.MeanShiftLoss(x, default, [1.0, 1.0, 1.0], null!));
        yield return Case("CenterLikelihood", "scores", (tape, x) => tape.CenterLikelihood(null!, default));
        yield return Case("DiceLoss", "scores", (tape, x) => tape.DiceLoss(null!, x));
        yield return Case("DiceLoss", "target", (tape, x) => tape.DiceLoss(x, null!));
        yield return Case("DiceLossPerItem", "scores", (tape, x) => tape.DiceLossPerItem(null!, x));
        yield return Case("BinaryCrossEntropy", "target", (tape, x) => tape.BinaryCrossEntropy(x, null!));
        yield return Case("Conv3d", "input", (tape, x) => tape.Conv3d(null!, null!, null!));
        yield return Case("Conv3d", "weight", (tape, x) => tape.Conv3d(x, null!, null!));
        yield return Case("ConvTranspose3d", "weight", (tape, x) => tape.ConvTranspose3d(x, null!, null!));
        yield return Case("SigmoidHead", "weight", (tape, x) => tape.SigmoidHead(x, null!, null!));
        yield return Case("MaxPool3d", "input", (tape, x) => tape.MaxPool3d(null!));
        yield return Case("Sum", "input", (tape, x) => tape.Sum(null!));
        yield return Case("Mean", "input", (tape, x) => tape.Mean(null!));
        yield return Case("Add", "b", (tape, x) => tape.Add(x, null!));
        yield return Case("Multiply", "a", (tape, x) => tape.Multiply(null!, x));
        yield return Case("Scale", "input", (tape, x) => tape.Scale(null!, 2));
        yield return Case("Mask", "weight", (tape, x) => tape.Mask(x, null!));
        yield return Case("RoundToBf16", "input", (tape, x) => tape.RoundToBf16(null!));
        yield return Case("WeightedSum", "terms", (tape, x) => tape.WeightedSum(null!));
    }

    [TestCaseSource(nameof(Nulls))]
    public void Call_WithNull_NamesTheArgument(string argument, Action<Tape<double>, Tensor<double>> call)
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(Values, Shape, requiresGradient: true);
        Assert.That(() => call(tape, x), Throws.ArgumentNullException.With.Property("ParamName").EqualTo(argument));
    }

    private static IEnumerable<TestCaseData> NullsInside()
    {
        static TestCaseData Case(string argument, Action<Tape<double>, Tensor<double>> run)
            => new TestCaseData(argument, run).SetArgDisplayNames(argument);

        yield return Case("inputs", (tape, x) => tape.Record("Own", x, [x, null!], [], [], static () => { }));
        yield return Case("parameters", (tape, x) => tape.Record("Own", x, [], [null!], [], static () => { }));
        yield return Case("needed", (tape, x) => tape.Record("Own", x, [], [], [null!], static () => { }));
        yield return Case("centers", (tape, x) => tape.UploadCenters([[], null!]));
        yield return Case("terms", (tape, x) => tape.WeightedSum([(null!, 1)]));
    }

    [TestCaseSource(nameof(NullsInside))]
    public void Call_WithNullInside_NamesTheArgument(string argument, Action<Tape<double>, Tensor<double>> call)
    {
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(Values, Shape);
        Assert.That(
            () => call(tape, x),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(argument).And.Message.Contains("null"));
    }

    [Test]
    public void ArenaAndParameters_OfNull_NameTheArgument()
    {
        using ParameterSet<double> set = OneByOne(out Parameter<double> weight, out _);
        using ParameterSet<double> empty = new();
        using (Assert.EnterMultipleScope())
        {
            Refused(() => new Arena(null!).Dispose(), "context");
            Refused(() => weight.Upload(null!, [1]), "context");
            Refused(() => weight.Upload(context, null!), "values");
            Refused(() => weight.Download(null!), "context");
            Refused(() => set.ZeroGradients(null!), "context");
            Refused(() => empty.AddConvolution(null!, 1, 1), "name");
            Refused(() => empty.AddTransposedConvolution(null!, 1, 1), "name");
        }

        static void Refused(Action call, string argument)
            => Assert.That(() => call(), Throws.ArgumentNullException.With.Property("ParamName").EqualTo(argument));
    }

    // The parameters of a 1³ convolution of one channel.
    private ParameterSet<double> OneByOne(out Parameter<double> weight, out Parameter<double> bias)
    {
        ParameterSet<double> set = new();
        weight = set.Add("weight", ParameterLayout.ConvolutionWeight, 1, 1, 1);
        bias = set.Add("bias", ParameterLayout.Bias, 1, 1, 1);
        set.Allocate(context);
        return set;
    }

    private static Tensor<double> Loss(Tape<double> tape, out Tensor<double> x)
    {
        x = tape.Upload(Values, Shape, requiresGradient: true);
        return tape.DiceLoss(x, tape.Upload(Target, Shape));
    }
}

internal static class ArrayViewAddress
{
    public static unsafe nint LoadEffectiveAddressAsPtrForTest(this ILGPU.ArrayView<float> view)
        => (nint)HostMemory.Pointer(view);
}
