using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Ops;

/// <summary>What a call with views must say, and what the CPU looks at.</summary>
public sealed class MeanShiftCallTests
{
    private const int Edge = 8;

    private static readonly MeanShiftOptions Options = new() { SeedCount = 4, Iterations = 2 };

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void Open() => context = TestDevices.Open(DeviceKind.Cpu);

    [OneTimeTearDown]
    public void Close() => context.Dispose();

    [Test]
    public void Evaluate_WithoutSeedsAndSampling_IsRefused()
        => Assert.That(
            () => Evaluate([3, 4, 5], [0, 1], [], hasSampling: false),
            Throws.ArgumentException.With.Message.Contains("neither Seeds nor Sampling"));

    [Test]
    public void Evaluate_WithSeedsOrSampling_IsNot()
    {
        Assert.That(Evaluate([3, 4, 5], [0, 1], [3, 4, 4, 3, 3, 5, 2, 4, 5, 3, 5, 5], hasSampling: false), Is.Positive);
        Assert.That(Evaluate([3, 4, 5], [0, 1], [], hasSampling: true), Is.Positive);
    }

    [Test]
    public void Evaluate_ACentreOutside_IsRefused([Values(8, -1, double.NaN)] double x)
        => Assert.That(
            () => Evaluate([3, 4, x], [0, 1], [], hasSampling: true),
            Throws.InstanceOf<InputException>().With.Message.Contains("outside the volume"));

    // What the offsets leave out is nobody's centre.
    [Test]
    public void Evaluate_ACentreOutsideThatNoItemHas_IsNotLookedAt()
        => Assert.That(Evaluate([3, 4, 5, 99, 99, 99], [0, 1], [], hasSampling: true), Is.Positive);

    // A view may be longer than this call needs.
    [Test]
    public void Evaluate_ANumberBehindTheSeeds_IsNotLookedAt()
        => Assert.That(
            Evaluate([3, 4, 5], [0, 1], [3, 4, 4, 3, 3, 5, 2, 4, 5, 3, 5, 5, double.NaN], hasSampling: false), Is.Positive);

    // Radius, margin, key and step may all be 0.
    [Test]
    public void Prepare_WithSeedsAtTheCentres_Works()
    {
        using MeanShiftLoss<double> loss = new(context, Options with { SeedRadiusVoxels = 0, SeedMarginVoxels = 0 });
        Assert.That(() => loss.Prepare(new(Edge, Edge, Edge)), Throws.Nothing);
    }

    [Test]
    public void Evaluate_ASeedThatIsNoNumber_IsRefused()
        => Assert.That(
            () => Evaluate([3, 4, 5], [0, 1], [3, 4, 4, 3, 3, 5, 2, double.NaN, 5, 3, 5, 5], hasSampling: false),
            Throws.InstanceOf<InputException>().With.Message.Contains("Expected finite"));

    [Test]
    public void Evaluate_OffsetsBeyondTheCentres_AreRefused()
        => Assert.That(
            () => Evaluate([3, 4, 5], [0, 2], [], hasSampling: true),
            Throws.ArgumentException.With.Message.Contains("centerOffsets holds 2"));

    // A view into memory that was given back would end the process.
    [Test]
    public void Positions_AfterDispose_AreRefused()
    {
        MeanShiftLoss<double> loss = new(context, Options);
        Assert.That(loss.Positions.Length, Is.Zero);
        loss.Prepare(new(Edge, Edge, Edge));
        Assert.That(loss.Positions.Length, Is.EqualTo(3 * Options.SeedCount));
        loss.Dispose();
        Assert.That(() => loss.Positions.Length, Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(() => loss.Trajectory.Length, Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public void Positions_AfterTheContextWasDisposed_AreRefused([Values] bool isShared)
    {
        using GpuContext all = TestDevices.Open(DeviceKind.Cpu);
        using GpuContext own = isShared ? all.Share() : GpuContext.Attach(all.Accelerator);
        MeanShiftLoss<double> loss = new(own, Options);
        loss.Prepare(new(Edge, Edge, Edge));
        own.Dispose();
        Assert.That(() => loss.Positions.Length, Throws.InstanceOf<ObjectDisposedException>());
        all.Dispose();
        Assert.That(() => loss.Positions.Length, Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(() => loss.Trajectory.Length, Throws.InstanceOf<ObjectDisposedException>());
    }

    // What lies there was never computed.
    [Test]
    public void Positions_AfterARefusedCall_AreEmpty()
    {
        using MeanShiftLoss<double> loss = new(context, Options);
        loss.Prepare(new(Edge, Edge, Edge));
        Assert.That(
            () => loss.Evaluate(
                new double[Edge * Edge * Edge], Edge, Edge, Edge, [3, 4, Edge], new double[Edge * Edge * Edge], seed: 1),
            Throws.InstanceOf<InputException>());
        Assert.That(loss.Positions.Length, Is.Zero);
        loss.Prepare(new(Edge, Edge, Edge));
        Assert.That(loss.Positions.Length, Is.Positive);
        Assert.That(() => loss.Evaluate(new MeanShiftCall<double>
        {
            Shape = Options.Shape(1, Edge, Edge, Edge),
            Scores = default,
            Centers = default,
            CenterOffsets = default,
            Losses = default,
        }), Throws.ArgumentException);
        Assert.That(loss.Positions.Length, Is.Zero);
        MeanShiftShape shape = Options.Shape(1, Edge, Edge, Edge);
        Action[] refused =
        [
            () => loss.Evaluate(new double[512], Edge, Edge, Edge, [3, 4, 5], new double[511], seed: 1),
            () => loss.Evaluate(new double[512], 0, Edge, Edge, [3, 4, 5], new double[512], seed: 1),
            () => loss.Prepare(new(Edge, 0, Edge)),
            () => loss.Evaluate(default, default, default, default, default, shape, Options.Sampling(1, 0)),
            () => loss.Evaluate(default, default, default, default, default, default, shape),
        ];
        foreach (Action call in refused)
        {
            loss.Prepare(new(Edge, Edge, Edge));
            Assert.That(() => call(), Throws.InstanceOf<ArgumentException>());
            Assert.That(loss.Positions.Length, Is.Zero);
        }

        loss.Prepare(new(Edge, Edge, Edge));
        using MeanShiftLoss<double> wide = new(context, Options with { SeedCount = 500 });
        Assert.That(wide.Trajectory.Length, Is.Zero);
        Assert.That(() => wide.Prepare(new(Edge, 0, Edge)), Throws.ArgumentException);
        Assert.That(() => wide.Prepare(new(100_000, 100_000, 100_000)), Throws.ArgumentException);
        Assert.That(() => wide.Prepare(new(Edge, Edge, Edge), centers: int.MaxValue), Throws.ArgumentException);
        Assert.That(() => Options.Shape(1, Edge, Edge, Edge).Ends(loss.Positions), Throws.ArgumentException);
    }

    [Test]
    public void Evaluate_AfterDispose_SaysWhatToDo()
    {
        MeanShiftLoss<double> loss = new(context, Options);
        loss.Dispose();
        Assert.That(
            () => loss.Evaluate(new double[512], Edge, Edge, Edge, [3, 4, 5], new double[512], seed: 1),
            Throws.InstanceOf<ObjectDisposedException>().With.Message.Contains("Create a new one"));
    }

    [Test]
    public void Evaluate_ExtentsWhoseProductOverflows_AreRefused()
        => Assert.That(
            () =>
            {
                using MeanShiftLoss<double> loss = new(context, Options);
                loss.Evaluate([], 1 << 21, 1 << 21, 1 << 21, [3, 4, 5], [], seed: 1);
            },
            Throws.ArgumentException.With.Message.Contains("Expected at most"));

    [Test]
    public void Variant_ThatTheOperationHasNot_NamesThoseThatItHas()
        => Assert.That(
            () => new MeanShiftLoss<float>(context, Options, "HostWinograd"),
            Throws.InstanceOf<InputException>().With.Message.Contains("mean-shift has no variant 'HostWinograd'")
                .And.Message.Contains("HostSimd").And.Message.Not.Contains("TensorCore"));

    [TestCase("Scores")]
    [TestCase("Seeds")]
    [TestCase("Centers")]
    [TestCase("CenterOffsets")]
    [TestCase("Losses")]
    public void Evaluate_MemoryThatWasDisposed_IsRefused(string member)
        => Assert.That(
            () => Evaluate([3, 4, 5], [0, 1], [3, 4, 4, 3, 3, 5, 2, 4, 5, 3, 5, 5], hasSampling: false, disposed: member),
            Throws.InstanceOf<ObjectDisposedException>().With.Message.Contains("after their last use"));

    // The centres of every item are its own, so one without any does not lower the mean of the others.
    [Test]
    public void Evaluate_AnItemWithoutCentres_DoesNotCountInTheMean()
    {
        using MeanShiftLoss<double> loss = new(context, Options);
        double[] scores = Array.ConvertAll(TestData.Uniform(Edge * Edge * Edge, 1), Math.Abs);
        double[] seeds = [3, 4, 4, 3, 3, 5, 2, 4, 5, 3, 5, 5];
        double Of(int batch) => loss.Evaluate(new MeanShiftSpans<double>
        {
            Size = new(Edge, Edge, Edge),
            Batch = batch,
            Scores = [.. scores, .. batch > 1 ? scores : []],
            Seeds = [.. seeds, .. batch > 1 ? seeds : []],
            Centers = [3, 4, 5],
            CenterOffsets = batch > 1 ? [0, 1, 1] : [0, 1],
        });
        Assert.That(Of(2), Is.EqualTo(Of(1)));
    }

    private double Evaluate(double[] centers, int[] offsets, double[] seeds, bool hasSampling, string? disposed = null)
    {
        using MeanShiftLoss<double> loss = new(context, Options);
        using MemoryBuffer1D<double, Stride1D.Dense> scores = context.ToDevice<double>(
            Array.ConvertAll(TestData.Uniform(Edge * Edge * Edge, 1), Math.Abs));
        using MemoryBuffer1D<double, Stride1D.Dense> heldCenters = context.ToDevice<double>(centers);
        using MemoryBuffer1D<int, Stride1D.Dense> heldOffsets = context.Accelerator.Allocate1D(offsets);
        using MemoryBuffer1D<double, Stride1D.Dense> heldSeeds = context.ToDevice<double>(seeds.Length > 0 ? seeds : [0]);
        using MemoryBuffer1D<double, Stride1D.Dense> losses = context.ToDevice<double>([0]);
        MeanShiftCall<double> call = new()
        {
            Shape = Options.Shape(1, Edge, Edge, Edge),
            Scores = scores.View,
            Centers = heldCenters.View,
            CenterOffsets = heldOffsets.View,
            Seeds = seeds.Length > 0 ? heldSeeds.View : default,
            Sampling = hasSampling ? Options.Sampling(seed: 1, step: 0) : null,
            Losses = losses.View,
        };
        MemoryBuffer? gone = disposed switch
        {
            nameof(call.Scores) => scores,
            nameof(call.Seeds) => heldSeeds,
            nameof(call.Centers) => heldCenters,
            nameof(call.CenterOffsets) => heldOffsets,
            nameof(call.Losses) => losses,
            _ => null,
        };
        gone?.Dispose();
        loss.Evaluate(call);
        context.Synchronize();
        return losses.GetAsArray1D()[0];
    }
}
