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
    private TensorShape shape;
    private int passes;
    private CudaGraph? graph;
    private (Tensor<float> Input, Tensor<float> Scores)? computed;

    /// <summary>Why a CUDA device launches kernels one by one; null where it does not, as far as is
    /// known.</summary>
    public string? GraphRefusal { get; private set; }

    /// <summary>Predicts score maps.</summary>
    /// <param name="image">[N, D, H, W, InputChannels].</param>
    /// <param name="of">Its extents.</param>
    /// <returns>[N, D, H, W, Outputs].</returns>
    public float[] Run(ReadOnlySpan<float> image, TensorShape of)
    {
        GpuContext context = network.Context;
        if (of != shape || graph is { IsCurrent: false })
        {
            graph?.Dispose();
            graph = null;
        }

        passes = of == shape ? passes + 1 : 0;
        shape = of;
        if (graph is null && passes >= PassesBeforeGraph && GraphRefusal is null && context.Kind == DeviceKind.Cuda)
            Capture();
        if (graph is not null)
        {
            computed!.Value.Input.View.CopyFromCPU(context.Stream, image);
            graph.Launch(context.Stream);
        }
        else
        {
            computed = Forward(image);
        }

        return computed.Value.Scores.ToArray(context);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        graph?.Dispose();
        scope.Dispose();
    }

    private void Capture()
    {
        GraphRefusal = CudaGraph.Refusal(network.Context);
        try
        {
            if (GraphRefusal is null)
                graph = CudaGraph.Capture(network.Context, () => computed = Forward([]));
            if (graph is null)
                GraphRefusal ??= "the driver does not capture them";
        }
        catch (Exception e) when (e is AcceleratorException or InvalidOperationException)
        {
            GraphRefusal = e.Message.TrimEnd('.');
        }
    }

    // Of the same size every pass has the same addresses. An empty image is copied later.
    private (Tensor<float> Input, Tensor<float> Scores) Forward(ReadOnlySpan<float> image)
    {
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        Tensor<float> input = tape.Allocate(shape);
        if (!image.IsEmpty)
            input.View.CopyFromCPU(network.Context.Stream, image);
        using (scope.Begin(network.Context.Stream))
            return (input, network.Forward(tape, input));
    }
}
