using System.Numerics;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;

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
public sealed class SigmoidHead<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly GpuContext context;
    private readonly ChosenLauncher<ISigmoidHead<T, T>, SigmoidHeadShape> launcher;
    private readonly HostCopies<T> copies;
    private readonly GrowingBuffer<T> workspace = new();
    private bool disposed;

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public SigmoidHead(GpuContext context, string? variant = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        launcher = new(context, SigmoidHeadVariants<T, T>.Table, variant);
        copies = new(context, "SigmoidHead", 8);
    }

    /// <summary>Bytes of device memory held for the calls with spans.</summary>
    public long Bytes => copies.Bytes + workspace.Bytes;

    /// <summary>The name of the variant that computes a shape here.</summary>
    /// <exception cref="InputException">The named variant cannot.</exception>
    public string VariantFor(SigmoidHeadShape shape) => launcher.NameFor(shape);

    /// <summary>
    /// The names of all variants that can compute a shape on this device, best first; the last is the plain
    /// one.
    /// </summary>
    public IReadOnlyList<string> VariantsFor(SigmoidHeadShape shape) => launcher.NamesFor(shape);

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
    /// <exception cref="ArgumentException">A view is too short for the shape, or lies elsewhere.</exception>
    public void Forward(ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> scores, SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        launcher.For(shape).Forward(context.Stream, input, weight, bias, scores, shape);
    }

    /// <summary>Queues the gradient of the input. Overwrites gradInput.</summary>
    /// <param name="gradScores">[N, D, H, W, Outputs].</param>
    /// <param name="scores">[N, D, H, W, Outputs], as the forward pass wrote them.</param>
    /// <param name="weight">[Cin, Outputs].</param>
    /// <param name="gradInput">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, or lies elsewhere.</exception>
    public void BackwardInput(
        ArrayView<T> gradScores, ArrayView<T> scores, ArrayView<T> weight, ArrayView<T> gradInput, SigmoidHeadShape shape)
    {
        using CallerGate.Pass pass = Enter();
        launcher.For(shape).BackwardInput(context.Stream, gradScores, scores, weight, gradInput, shape);
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
    /// <exception cref="ArgumentException">A view is too short for the shape, or lies elsewhere.</exception>
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
        launcher.For(shape).BackwardWeight(context.Stream, input, gradScores, scores, workspace, gradWeight, gradBias, shape);
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
        RequireDense(shape);
        ArrayView<T> x = copies.In(0, input, shape.Voxels * shape.InputChannels, nameof(input));
        ArrayView<T> w = copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> b = copies.In(2, bias, shape.Outputs, nameof(bias));
        ArrayView<T> p = copies.Room(3, scores.Length, shape.Voxels * shape.Outputs, nameof(scores));
        Forward(x, w, b, p, shape);
        copies.Out(3, scores);
        context.Synchronize();
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
        RequireDense(shape);
        (long inputs, long outputs) = (shape.Voxels * shape.InputChannels, shape.Voxels * shape.Outputs);
        ArrayView<T> x = copies.In(0, input, inputs, nameof(input));
        ArrayView<T> w = copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> p = copies.In(3, scores, outputs, nameof(scores));
        ArrayView<T> gp = copies.In(4, gradScores, outputs, nameof(gradScores));
        ArrayView<T> gx = copies.Room(5, gradInput.Length, gradInput.IsEmpty ? 0 : inputs, nameof(gradInput));
        ArrayView<T> gw = copies.In(6, gradWeight, shape.WeightLength, nameof(gradWeight));
        ArrayView<T> gb = copies.In(7, gradBias, shape.Outputs, nameof(gradBias));
        if (!gradInput.IsEmpty)
            BackwardInput(gp, p, w, gx, shape);
        BackwardWeight(x, gp, p, workspace.Require(context, WorkspaceLength(shape)), gw, gb, shape);
        copies.Out(5, gradInput);
        copies.Out(6, gradWeight);
        copies.Out(7, gradBias);
        context.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        disposed = true;
        copies.Dispose();
        workspace.Dispose();
    }

    private CallerGate.Pass Enter()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        return context.Enter("SigmoidHead");
    }

    private static void RequireDense(SigmoidHeadShape shape)
    {
        if (shape.InputPitch != shape.InputChannels)
            throw new ArgumentException(
                $"SigmoidHead: the shape is {shape}, expected a pitch equal to the channels. Give device views for slices " +
                $"of channels.",
                nameof(shape));
    }
}
