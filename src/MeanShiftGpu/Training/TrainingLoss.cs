using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Training;

/// <summary>
/// The loss of a training: the weighted sum of mean shift, Dice, cross-entropy and the likelihood at centres,
/// each the mean over the classes.
/// </summary>
/// <param name="network">The network.</param>
/// <param name="options">The weights, and the settings of each loss.</param>
internal sealed class TrainingLoss(UNet3d<float> network, TrainingOptions options)
{
    /// <summary>Computes it.</summary>
    /// <param name="tape">The tape that it is recorded on.</param>
    /// <param name="patches">The patches.</param>
    /// <param name="step">The number that seeds are drawn from.</param>
    /// <param name="firstPatch">The first of the step's patches that are here.</param>
    /// <param name="shares">What these patches count for.</param>
    public TrainingLosses Compute(Tape<float> tape, PatchTensors patches, uint step, int firstPatch, PassShares shares)
    {
        Tensor<float> scores = network.Forward(tape, patches.Images);

        List<(Tensor<float> Loss, double Weight)> terms = [];
        List<ClassLosses> classes = [];
        for (int c = 0; c < options.ClassCount; c++)
        {
            ClassLosses losses = OfClass(tape, patches, c, options.ClassCount == 1 ? scores : scores.Channels(c, 1),
                step, firstPatch);
            classes.Add(losses);
            if (losses.MeanShift is { } meanShift)
                terms.Add((meanShift.Loss, options.MeanShiftWeight / options.ClassCount * shares.OfCenters[c]));
            if (losses.Dice is { } dice)
                terms.Add((dice, options.DiceWeight / options.ClassCount * shares.OfVoxels));
            if (losses.CrossEntropy is { } crossEntropy)
                terms.Add((crossEntropy, options.CrossEntropyWeight / options.ClassCount * shares.OfVoxels));
            if (losses.Centers is { } centers)
                terms.Add((centers, options.CenterWeight / options.ClassCount * shares.OfCenters[c]));
        }

        return new TrainingLosses(tape.WeightedSum(terms), classes);
    }

    private ClassLosses OfClass(Tape<float> tape, PatchTensors patches, int classIndex, Tensor<float> scores, uint step,
        int firstPatch)
    {
        // Each class draws seeds of its own.
        ulong seed = (ulong)options.Seed + ((ulong)classIndex << 32);
        MeanShiftLossResult<float>? meanShift = null;
        Tensor<float>? held = null;
        if (options.MeanShiftWeight > 0)
        {
            CenterBatch<float> centers = patches.Centers[classIndex];
            // Recorded before the mean shift, and so run after it in the backward pass, it adds its few
            // voxels to the gradient that is there.
            held = options.HoldsCenters ? tape.CenterLikelihood(scores, centers) : null;
            MeanShiftOptions of = options.MeanShiftOf(classIndex);
            meanShift = tape.MeanShiftLoss(scores, centers, of,
                new SeedSampling(seed, step, of.SeedRadiusVoxels, of.SeedMarginVoxels, firstPatch), patches.Draw);
        }

        if (patches.Masks.Count == 0)
            return new ClassLosses(scores, meanShift, null, null, held);
        Tensor<float> target = patches.Masks[classIndex];
        // The losses over maps take whole tensors, which the map of one class among several is not; masking
        // it makes one.
        Tensor<float> map = patches.Labelled is null ? scores : tape.Mask(scores, patches.Labelled);
        return new ClassLosses(
            scores,
            meanShift,
            options.DiceWeight > 0 ? tape.DiceLossPerItem(map, target) : null,
            options.CrossEntropyWeight > 0 ? tape.BinaryCrossEntropy(map, target) : null,
            held);
    }
}

/// <summary>What losses are computed from.</summary>
/// <param name="Images">[N, D, H, W, 1].</param>
/// <param name="Labelled">[N, D, H, W, 1]; null where all is labelled.</param>
/// <param name="Masks">For each class [N, D, H, W, 1]; empty where no loss needs them.</param>
/// <param name="Centers">For each class.</param>
/// <param name="Draw">[1]: the number that seeds are drawn from; null where it is an argument of
/// launches.</param>
internal sealed record PatchTensors(
    Tensor<float> Images, Tensor<float>? Labelled, IReadOnlyList<Tensor<float>> Masks,
        IReadOnlyList<CenterBatch<float>> Centers,
    ArrayView<int>? Draw)
{
    public static PatchTensors Of(StepInputs inputs) => new(
        inputs.Images, inputs.Labelled, inputs.Masks, inputs.Centers, inputs.Draw);

    public static PatchTensors Upload(Tape<float> tape, PatchBatch patches)
    {
        TensorShape shape = new(patches.Size, patches.Patch.Depth, patches.Patch.Height, patches.Patch.Width, 1);
        return new PatchTensors(
            tape.Upload(patches.Images, shape),
            patches.Labelled is null ? null : tape.Upload(patches.Labelled, shape),
            [.. (patches.Masks ?? []).Select(mask => tape.Upload(mask, shape))],
            [.. Enumerable.Range(0, patches.Classes).Select(c => tape.UploadCenters(patches.Centers(c)))],
            null);
    }
}

/// <summary>A loss and what it is made of.</summary>
internal sealed record TrainingLosses(Tensor<float> Total, IReadOnlyList<ClassLosses> Classes);

/// <summary>What patches that are computed together count for in the loss of their step.</summary>
/// <param name="OfVoxels">Where all patches count the same.</param>
/// <param name="OfCenters">For each class, where those with centres do.</param>
internal sealed record PassShares(double OfVoxels, double[] OfCenters)
{
    public static PassShares Whole(int classes) => new(1, [.. Enumerable.Repeat(1.0, classes)]);
}

/// <summary>
/// The score maps of a class and the losses that a training has of it, each without its weight.
/// </summary>
internal sealed record ClassLosses(
    Tensor<float> Scores,
    MeanShiftLossResult<float>? MeanShift,
    Tensor<float>? Dice,
    Tensor<float>? CrossEntropy,
    Tensor<float>? Centers);
