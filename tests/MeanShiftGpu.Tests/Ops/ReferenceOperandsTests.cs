using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Ops;

/// <summary>The references in float64 compute nothing of arrays that do not fit each other.</summary>
public class ReferenceOperandsTests
{
    private static readonly Conv3dShape Convolution = Conv3dShape.Dense(1, (2, 2, 2), 3, 2);
    private static readonly ConvTranspose3dShape Transposed = ConvTranspose3dShape.Dense(1, (1, 1, 2), 3, 2);

    private static IEnumerable<TestCaseData> Misfits()
    {
        static TestCaseData Case(string reference, string operand, Action run)
            => new TestCaseData(operand, run).SetArgDisplayNames(reference, operand);

        static double[] Of(long length) => new double[length];

        (long x, long y, long w) = (Convolution.Voxels * 3, Convolution.Voxels * 2, Convolution.WeightLength);
        yield return Case("Conv3d", "input", () => Conv3dReference.Forward(Of(x - 1), Of(w), Of(2), Of(y), Convolution));
        yield return Case("Conv3d", "weight", () => Conv3dReference.Forward(Of(x), Of(w - 1), Of(2), Of(y), Convolution));
        yield return Case("Conv3d", "bias", () => Conv3dReference.Forward(Of(x), Of(w), Of(1), Of(y), Convolution));
        yield return Case("Conv3d", "output", () => Conv3dReference.Forward(Of(x), Of(w), Of(2), Of(y - 1), Convolution));
        yield return Case(
            "Conv3d", "gradInput", () => Conv3dReference.BackwardInput(Of(y), Of(y), Of(w), Of(x - 1), Convolution));
        yield return Case(
            "Conv3d", "gradBias", () => Conv3dReference.BackwardWeight(Of(x), Of(y), Of(y), Of(w), Of(1), Convolution));
        (long tx, long ty, long tw) = (Transposed.InputVoxels * 3, Transposed.OutputVoxels * 2, Transposed.WeightLength);
        yield return Case(
            "ConvTranspose3d", "input",
            () => ConvTranspose3dReference.Forward(Of(tx - 1), Of(tw), Of(2), Of(ty), Transposed));
        yield return Case(
            "ConvTranspose3d", "gradOutput",
            () => ConvTranspose3dReference.BackwardInput(Of(ty - 1), Of(tw), Of(tx), Transposed));
        yield return Case(
            "ConvTranspose3d", "gradWeight",
            () => ConvTranspose3dReference.BackwardWeight(Of(tx), Of(ty), Of(tw - 1), Of(2), Transposed));
        yield return Case("MaxPool3d", "input", () => MaxPool3dReference.Forward(Of(7), 1, 2, 2, 2, 1));
        yield return Case("MaxPool3d of odd extents", "input", () => MaxPool3dReference.Forward(Of(12), 1, 2, 2, 3, 1));
        yield return Case("MaxPool3d", "gradOutput", () => MaxPool3dReference.Backward(Of(8), Of(2), 1, 2, 2, 2, 1));
        yield return Case("SigmoidHead", "input", () => SigmoidHeadReference.Forward(Of(7), Of(6), Of(2), 3, 2));
        yield return Case("SigmoidHead", "bias", () => SigmoidHeadReference.Forward(Of(6), Of(6), Of(1), 3, 2));
        yield return Case(
            "SigmoidHead", "gradScores", () => SigmoidHeadReference.Backward(Of(6), Of(6), Of(4), Of(3), 3, 2));
        yield return Case("Dice", "target", () => DiceReference.Forward(Of(3), Of(2)));
        yield return Case("Dice backward", "target", () => DiceReference.Backward(Of(2), Of(3)));
        yield return Case("BinaryCrossEntropy", "target", () => BinaryCrossEntropyReference.Forward(Of(3), Of(2)));
        yield return Case("BinaryCrossEntropy backward", "target", () => BinaryCrossEntropyReference.Backward(Of(2), Of(3)));
        yield return Case("Add", "target", () => ElementwiseReference.Add(Of(3), Of(2)));
        yield return Case("Mask", "weight", () => ElementwiseReference.Mask(Of(4), Of(1), 2));
        yield return Case("WeightedSum", "terms", () => ElementwiseReference.WeightedSum((Of(3), 1), (Of(4), 2)));
        yield return Case("WeightedSum of none", "terms", () => ElementwiseReference.WeightedSum());
        yield return Case("Adam", "gradients", () => new AdamReference(Of(3), 1e-3).Step(Of(4)));

        MeanShiftReference meanShift = new(1, 2, 3, new MeanShiftOptions { BandwidthVoxels = 2, Iterations = 1 });
        yield return Case("MeanShift", "scores", () => meanShift.Evaluate(Of(5), Of(3), Of(3)));
        yield return Case("MeanShift", "seeds", () => meanShift.Evaluate(Of(6), Of(4), Of(3)));
        yield return Case("MeanShift", "centers", () => meanShift.Evaluate(Of(6), Of(3), Of(2)));
        yield return Case(
            "MeanShift", "frozen", () => meanShift.Evaluate(Of(6), Of(3), Of(3), new BallMembership(1, 2, 6)));
        yield return Case("Converge", "position", () => meanShift.Converge(Of(6), Of(2), 0.1));
        yield return Case(
            "CenterLoss", "gradPositions",
            () => MeanShiftReference.CenterLoss(Of(6), Of(3), CenterDistance.Euclidean, Of(3)));
        CenterLikelihoodReference likelihood = new(new Extent(1, 2, 3), 0.05);
        yield return Case("CenterLikelihood", "scores", () => likelihood.Forward(Of(7), Of(3)));
        yield return Case("CenterLikelihood", "centers", () => likelihood.Backward(Of(6), Of(4)));
    }

    [TestCaseSource(nameof(Misfits))]
    public void Reference_OfArraysThatDoNotFit_NamesTheOperand(string operand, Action call)
        => Assert.That(
            () => call(),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(operand).And.Message.Contains("expected"));

    // What a wider tensor has behind the last voxel's channels need not be there.
    [Test]
    public void Conv3d_OfASlice_NeedsTheLastVoxelsChannelsAlone()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (1, 1, 2), 1, 1, 1) with { InputPitch = 3, OutputPitch = 2 };
        double[] output = new double[3];
        Conv3dReference.Forward([2, 0, 0, 3], [10], [1], output, shape);
        Assert.That(output, Is.EqualTo(new double[] { 21, 0, 31 }));
    }
}
