using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Network;

/// <summary>
/// Forward passes over whole tensors, for devices that are not the host. Weights are packed in one launch; on
/// CUDA a pass is one graph, from the third of a size on.
/// </summary>
/// <param name="network">The network; not disposed.</param>
/// <param name="arena">The tensors' memory; not disposed.</param>
internal sealed class WholeForward(UNet3d<float> network, Arena arena) : IDisposable
{
    // In the first two launchers take memory and note what they need.
    private const int PassesBeforeGraph = 2;

    private readonly StepScope scope = new(network.Context.Accelerator);
    private readonly RepeatedWork<(Tensor<float> Input, Tensor<float> Scores)> work =
        new(network.Context, PassesBeforeGraph, "a tile", Renew);

    private TensorShape shape;

    /// <summary>Told, once, why a CUDA device launches kernels one by one; null for no callback.</summary>
    public Action<string>? Remark
    {
        get => work.Remark;
        set => work.Remark = value;
    }

    /// <summary>Predicts score maps.</summary>
    /// <param name="image">[N, D, H, W, InputChannels].</param>
    /// <param name="of">Its extents.</param>
    /// <returns>[N, D, H, W, Outputs].</returns>
    public float[] Run(ReadOnlySpan<float> image, TensorShape of)
    {
        GpuContext context = network.Context;
        if (of != shape)
            work.Forget();
        shape = of;
        if (!work.TryCapture(() => Forward([])))
            return Forward(image).Scores.ToArray(context);
        work.Result.Input.View.CopyFromCPU(context.Stream, image);
        return work.Launch().Scores.ToArray(context);
    }

    private static void Renew((Tensor<float> Input, Tensor<float> Scores) tensors)
    {
        tensors.Input.Storage.Renew();
        tensors.Scores.Storage.Renew();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        work.Dispose();
        scope.Dispose();
    }

    // Of the same size every pass has the same addresses. An empty image is copied later.
    private (Tensor<float> Input, Tensor<float> Scores) Forward(ReadOnlySpan<float> image)
    {
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        Tensor<float> input = tape.Allocate(shape);
        if (!image.IsEmpty)
            input.View.CopyFromCPU(network.Context.Stream, image);
        return (input, scope.Run(network.Context.Stream, () => network.Forward(tape, input)));
    }
}
