using System.Numerics;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>
/// A 1³ convolution with bias and sigmoid in one kernel, without a tape: from features to score maps. With
/// device views nothing is copied or waited for, and the caller gives the workspace. Shapes come from
/// <see cref="SigmoidHeadShape.Dense"/>, weights from PyTorch through <see cref="PyTorchWeights"/>.
/// </summary>
/// <remarks>
/// Gradients of weight and bias are added to what is there, the gradient of the input overwrites.
/// </remarks>
/// <typeparam name="T">float or double.</typeparam>
public sealed class SigmoidHead<T> : TapelessOperation<T, SigmoidHeadShape>
    where T : unmanaged, INumber<T>
{
    private readonly ChosenLauncher<ISigmoidHead<T, T>, SigmoidHeadShape> launcher;
    private readonly GrowingBuffer<T> workspace = new();

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="TapelessOperation{T,
    /// TShape}.VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public SigmoidHead(GpuContext context, string? variant = null)
        : this(
            context,
            new ChosenLauncher<ISigmoidHead<T, T>, SigmoidHeadShape>(context, SigmoidHeadVariants<T, T>.Table, variant))
    {
    }

    private SigmoidHead(GpuContext context, ChosenLauncher<ISigmoidHead<T, T>, SigmoidHeadShape> launcher)
        : base(context, "SigmoidHead", 8, launcher) => this.launcher = launcher;

    /// <inheritdoc/>
    public override long Bytes => base.Bytes + workspace.Bytes;

    /// <summary>Elements of workspace that <see cref="BackwardWeight"/> takes for a shape.</summary>
    public long WorkspaceLength(SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        return launcher.For(shape).WorkspaceLength(shape);
    }

    /// <summary>Queues the forward pass on the context's stream. Overwrites scores.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="weight">[Cin, Outputs].</param>
    /// <param name="bias">[Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], from 0 to 1.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void Forward(ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> scores, SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Scores(scores, shape, nameof(scores)), Input(input, shape, nameof(input)), Weight(weight, shape, nameof(weight)),
            Bias(bias, shape, nameof(bias)));
        launcher.For(shape).Forward(Context.Stream, input, weight, bias, scores, shape);
    }

    /// <summary>Queues the gradient of the input. Overwrites gradInput.</summary>
    /// <param name="gradScores">[N, D, H, W, Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], as the forward pass wrote them.</param>
    /// <param name="weight">[Cin, Outputs].</param>
    /// <param name="gradInput">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardInput(
        ArrayView<T> gradScores, ArrayView<T> scores, ArrayView<T> weight, ArrayView<T> gradInput, SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Input(gradInput, shape, nameof(gradInput)), Scores(gradScores, shape, nameof(gradScores)),
            Scores(scores, shape, nameof(scores)), Weight(weight, shape, nameof(weight)));
        launcher.For(shape).BackwardInput(Context.Stream, gradScores, scores, weight, gradInput, shape);
    }

    /// <summary>Queues the gradients of weight and bias. Adds to gradWeight and gradBias.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="gradScores">[N, D, H, W, Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], as the forward pass wrote them.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>]; the content does not matter before or
    /// after.</param>
    /// <param name="gradWeight">[Cin, Outputs].</param>
    /// <param name="gradBias">[Outputs].</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardWeight(
        ArrayView<T> input,
        ArrayView<T> gradScores,
        ArrayView<T> scores,
        ArrayView<T> workspace,
        ArrayView<T> gradWeight,
        ArrayView<T> gradBias,
        SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            VoxelView<T>.Dense(workspace, WorkspaceLength(shape), nameof(workspace)), Input(input, shape, nameof(input)),
            Scores(gradScores, shape, nameof(gradScores)), Scores(scores, shape, nameof(scores)),
            Weight(gradWeight, shape, nameof(gradWeight)), Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Weight(gradWeight, shape, nameof(gradWeight)), Input(input, shape, nameof(input)),
            Scores(gradScores, shape, nameof(gradScores)), Scores(scores, shape, nameof(scores)),
            Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Bias(gradBias, shape, nameof(gradBias)), Input(input, shape, nameof(input)),
            Scores(gradScores, shape, nameof(gradScores)), Scores(scores, shape, nameof(scores)));
        launcher.For(shape).BackwardWeight(Context.Stream, input, gradScores, scores, workspace, gradWeight, gradBias, shape);
    }

    /// <summary>The forward pass in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[Cin, Outputs].</param>
    /// <param name="bias">[Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], overwritten.</param>
    /// <param name="shape">Extents, without a pitch wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Forward(
        ReadOnlySpan<T> input, ReadOnlySpan<T> weight, ReadOnlySpan<T> bias, Span<T> scores, SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels, shape);
        ArrayView<T> x = Copies.In(0, input, shape.Voxels * shape.InputChannels, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> b = Copies.In(2, bias, shape.Outputs, nameof(bias));
        ArrayView<T> p = Copies.Room(3, scores.Length, shape.Voxels * shape.Outputs, nameof(scores));
        Forward(x, w, b, p, shape);
        Copies.Out(3, scores);
        Context.Synchronize();
    }

    /// <summary>The backward passes in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[Cin, Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], as the forward pass wrote them.</param>
    /// <param name="gradScores">[N, D, H, W, Outputs].</param>
    /// <param name="gradInput">[N, D, H, W, Cin], overwritten; empty where it is not wanted.</param>
    /// <param name="gradWeight">[Cin, Outputs], added to.</param>
    /// <param name="gradBias">[Outputs], added to.</param>
    /// <param name="shape">Extents, without a pitch wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Backward(
        ReadOnlySpan<T> input,
        ReadOnlySpan<T> weight,
        ReadOnlySpan<T> scores,
        ReadOnlySpan<T> gradScores,
        Span<T> gradInput,
        Span<T> gradWeight,
        Span<T> gradBias,
        SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels, shape);
        (long inputs, long outputs) = (shape.Voxels * shape.InputChannels, shape.Voxels * shape.Outputs);
        ArrayView<T> x = Copies.In(0, input, inputs, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> p = Copies.In(3, scores, outputs, nameof(scores));
        ArrayView<T> gp = Copies.In(4, gradScores, outputs, nameof(gradScores));
        ArrayView<T> gx = Copies.Room(5, gradInput.Length, gradInput.IsEmpty ? 0 : inputs, nameof(gradInput));
        ArrayView<T> gw = Copies.In(6, gradWeight, shape.WeightLength, nameof(gradWeight));
        ArrayView<T> gb = Copies.In(7, gradBias, shape.Outputs, nameof(gradBias));
        if (!gradInput.IsEmpty)
            BackwardInput(gp, p, w, gx, shape);
        BackwardWeight(x, gp, p, workspace.Require(Context, WorkspaceLength(shape)), gw, gb, shape);
        Copies.Out(5, gradInput);
        Copies.Out(6, gradWeight);
        Copies.Out(7, gradBias);
        Context.Synchronize();
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        using CallerGate.Pass pass = Context.EnterToDispose();
        base.Dispose();
        workspace.Dispose();
    }

    /// <inheritdoc/>
    public override void Prepare(SigmoidHeadShape shape)
    {
        T[] input = new T[shape.Voxels * shape.InputChannels];
        T[] weight = new T[shape.WeightLength];
        T[] bias = new T[shape.Outputs];
        T[] scores = new T[shape.Voxels * shape.Outputs];
        Forward(input, weight, bias, scores, shape);
        Backward(input, weight, scores, scores, new T[input.Length], new T[weight.Length], new T[bias.Length], shape);
    }

    private static VoxelView<T> Input(ArrayView<T> view, SigmoidHeadShape shape, string name)
        => new(view, shape.Voxels, shape.InputChannels, shape.InputPitch, name);

    private static VoxelView<T> Scores(ArrayView<T> view, SigmoidHeadShape shape, string name)
        => new(view, shape.Voxels, shape.Outputs, shape.Outputs, name);

    private static VoxelView<T> Weight(ArrayView<T> view, SigmoidHeadShape shape, string name)
        => VoxelView<T>.Dense(view, shape.WeightLength, name);

    private static VoxelView<T> Bias(ArrayView<T> view, SigmoidHeadShape shape, string name)
        => VoxelView<T>.Dense(view, shape.Outputs, name);
}
