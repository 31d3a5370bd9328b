using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

[TestFixture]
public class CenterLikelihoodTests
{
    private const double SoftScore = 0.05;
    private const double Upstream = -0.75;
    private static readonly Extent Size = new(5, 6, 7);

    // The second item has no centre; in the first two share voxels, and one lies on the last voxel of all.
    private static readonly double[] Centers = [1.25, 2.5, 3.75, 1.5, 2.25, 4.5, 4, 5, 6, 0, 0.5, 3];
    private static readonly int[] Offsets = [0, 3, 3, 4];

    // Worst errors seen: float32 1.1e-7, float64 1.9e-16.
    private static double Tolerance<T>() => typeof(T) == typeof(float) ? 1e-6 : 1e-14;

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_OddShapesAndPitches_MatchReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context);
        Check<double>(context);
    }

    [Test]
    public void ForwardAndBackward_OnTheSimulatedGpu_MatchReference()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Check<float>(context);
        Check<double>(context);
    }

    // On the logit of a sigmoid the gradient is −(1 − s)·τ/(s + τ) of a centre's share, where the map is dead
    // as well.
    [TestCase(1e-30, -1)]
    [TestCase(0.05, -0.475)]
    [TestCase(0.9, -0.00526)]
    public void Backward_OnTheLogit_PullsDeadCentresAlone(double score, double expected)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        double[] scores = [.. Enumerable.Repeat(score, (int)Size.Voxels)];
        (_, float[] gradient) = Run<float>(context, scores, [2, 2, 2], [0, 1], pitch: 1, add: false);
        Assert.That(gradient.Sum(g => g * score * (1 - score)) / Upstream, Is.EqualTo(expected).Within(1e-4));
    }

    [Test]
    public void ForwardAndBackward_WithoutCentres_AreZero()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        (float loss, float[] gradient) = Run<float>(context, Scores(1), [], [0, 0], pitch: 1, add: false);
        Assert.That(loss, Is.Zero);
        Assert.That(gradient, Has.All.Zero);
    }

    // A centre outside counts at the nearest point inside.
    [Test]
    public void Forward_ACentreOutside_CountsAtTheFace()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        (float outside, _) = Run<float>(context, Scores(1), [-3, 2.5, 40], [0, 1], pitch: 1, add: false);
        (float inside, _) = Run<float>(context, Scores(1), [0, 2.5, 6], [0, 1], pitch: 1, add: false);
        Assert.That(outside, Is.EqualTo(inside));
    }

    // On a tape such a centre is refused, by this loss and by the mean shift's.
    [TestCase(double.NaN, 2, 2, "finite")]
    [TestCase(2, 50, 0, "outside the volume")]
    [TestCase(2, 2, -0.6, "outside the volume")]
    public void Tape_ACentreThatIsNotInTheMap_IsRefused(double z, double y, double x, string message)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using Arena arena = new(context);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> scores = tape.Upload(Scores(1), new TensorShape(1, Size.Depth, Size.Height, Size.Width, 1));
        Action[] calls =
        [
            () => tape.CenterLikelihood(scores, tape.UploadCenters<double>([[new(1, 1, 1), new(z, y, x)]])),
            () => tape.MeanShiftLoss(
                scores, tape.UploadCenters<double>([[new(1, 1, 1), new(z, y, x)]]), MeanShiftOptions.Compact, seed: 1, step: 0),
        ];
        foreach (Action call in calls)
            Assert.That(call, Throws.TypeOf<InputException>().With.Message.Contains(message));
        Assert.That(
            () => tape.MeanShiftLoss(
                scores, tape.UploadCenters<double>([[new(1, 1, 1)]]), [double.NaN, 1, 1], MeanShiftOptions.Compact),
            Throws.TypeOf<InputException>().With.Message.Contains("seed 0"));
    }

    [Test]
    public void Reference_Backward_MatchesCentralDifferences()
    {
        CenterLikelihoodReference reference = new(Size, SoftScore);
        double[] expected = NumericalGradient.Of(s => reference.Forward(s, Centers), Scores(1));

        // Worst seen 3.5e-10.
        Assert.That(TestData.RelativeError<double>(reference.Backward(Scores(1), Centers), expected), Is.LessThan(1e-8));
    }

    private static void Check<T>(GpuContext context)
        where T : unmanaged, INumber<T>
    {
        CenterLikelihoodReference reference = new(Size, SoftScore);
        int voxels = (int)Size.Voxels;
        double[] scores = Scores(3);
        double[] first = scores[..voxels];
        double[] last = scores[(2 * voxels)..];
        double loss = (reference.Forward(first, Centers[..9]) + reference.Forward(last, Centers[9..])) / 2;
        double[] gradient =
        [
            .. ((double[])[.. reference.Backward(first, Centers[..9]), .. new double[voxels],
                .. reference.Backward(last, Centers[9..])])
                .Select(static g => g * Upstream / 2),
        ];
        foreach (int pitch in (int[])[1, 3])
        {
            foreach (bool add in (bool[])[false, true])
            {
                (T actualLoss, T[] actual) = Run<T>(context, scores, Centers, Offsets, pitch, add);
                string label = $"{typeof(T).Name} pitch {pitch}, {(add ? "added" : "overwritten")}";
                Assert.That(TestData.RelativeError<T>([actualLoss], [loss]), Is.LessThan(Tolerance<T>()), label);
                double[] written = [.. gradient.Select(g => g + (add ? Before : 0))];
                Assert.That(TestData.RelativeError<T>([.. actual.Where((_, i) => i % pitch == 0)], written),
                    Is.LessThan(Tolerance<T>()), label);
                // Other channels are left alone.
                Assert.That(actual.Where((_, i) => i % pitch != 0), Has.All.EqualTo(T.CreateChecked(Before)), label);
            }
        }
    }

    private const double Before = 0.25;

    private static (T Loss, T[] Gradient) Run<T>(GpuContext context, double[] scores, double[] centers, int[] offsets,
        int pitch, bool add)
        where T : unmanaged, INumber<T>
    {
        CenterLikelihoodShape shape = new(offsets.Length - 1, Size.Depth, Size.Height, Size.Width, pitch);
        ICenterLikelihood<T> kernels = context.Launcher(CenterLikelihoodVariants<T>.Table, shape);
        using MemoryBuffer1D<T,
            Stride1D.Dense> map = context.ToDevice<T>([.. scores.SelectMany(s => Enumerable.Repeat(s, pitch))]);
        // A buffer has at least one element.
        using MemoryBuffer1D<T, Stride1D.Dense> positions = context.ToDevice<T>([.. centers, 0]);
        using MemoryBuffer1D<int, Stride1D.Dense> rows = context.Accelerator.Allocate1D(offsets);
        using MemoryBuffer1D<T,
            Stride1D.Dense> centerScores = context.ToDevice<T>([.. Enumerable.Repeat(9.0, centers.Length / 3 + 1)]);
        using MemoryBuffer1D<T, Stride1D.Dense> loss = context.ToDevice<T>([9]);
        using MemoryBuffer1D<T, Stride1D.Dense> upstream = context.ToDevice<T>([Upstream]);
        using MemoryBuffer1D<T,
            Stride1D.Dense> gradient = context.ToDevice<T>([.. Enumerable.Repeat(Before, scores.Length * pitch)]);
        CenterViews<T> views = new(positions.View.AsContiguous(), rows.View.AsContiguous());
        ArrayView<T> atCenters = centerScores.View.AsContiguous().SubView(0, centers.Length / 3);

        kernels.Forward(context.Stream, map.View, views, atCenters, loss.View, shape, SoftScore);
        if (add)
            kernels.BackwardAdd(context.Stream, upstream.View, views, atCenters, gradient.View, shape, SoftScore);
        else
            kernels.Backward(context.Stream, upstream.View, views, atCenters, gradient.View, shape, SoftScore);
        context.Synchronize();
        return (loss.GetAsArray1D()[0], gradient.GetAsArray1D());
    }

    private static double[] Scores(int items)
        => [.. TestData.Uniform(items * Size.Voxels, 1).Select(static v => 0.02 + 0.48 * (v + 1))];
}
