using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// Runs kernels whose activations lie in memory as BF16 on float32 buffers, so that they share the tests of
/// the others: what they read is rounded before, what they write is widened behind.
/// </summary>
internal static class Bf16Buffers
{
    /// <summary>The nearest BF16 of a number.</summary>
    public static double Rounded(double value) => Bf16.Round((float)value).ToSingle();

    /// <summary>A convolution on float32 buffers.</summary>
    public static IConv3d<float, float> OnFloats(this IConv3d<Bf16, float> conv, GpuContext context) => new Conv3d(conv, context);

    /// <summary>A transposed convolution on float32 buffers.</summary>
    public static IConvTranspose3d<float, float> OnFloats(this IConvTranspose3d<Bf16, float> conv, GpuContext context)
        => new ConvTranspose3d(conv, context);

    /// <summary>A head on float32 buffers.</summary>
    public static ISigmoidHead<float, float> OnFloats(this ISigmoidHead<Bf16, float> head, GpuContext context)
        => new SigmoidHead(head, context);

    /// <summary>A pooling on float32 buffers.</summary>
    public static IMaxPool3d<float> OnFloats(this IMaxPool3d<Bf16> pool, GpuContext context) => new MaxPool3d(pool, context);

    private sealed class Conv3d(IConv3d<Bf16, float> conv, GpuContext context) : IConv3d<float, float>
    {
        void IConv3d<float, float>.LaunchForward(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
            Conv3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy y = new(context, output);
            conv.Forward(stream, x.View, weight, bias, y.View, shape);
            y.WriteBack();
        }

        void IConv3d<float, float>.LaunchBackwardInput(
            AcceleratorStream stream,
            ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> weight, ArrayView<float> gradInput,
            Conv3dShape shape)
        {
            using Copy gy = new(context, gradOutput);
            using Copy y = new(context, output);
            using Copy gx = new(context, gradInput);
            conv.BackwardInput(stream, gy.View, y.View, weight, gx.View, shape);
            gx.WriteBack();
        }

        void IConv3d<float, float>.LaunchBackwardWeight(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> gradWeight,
                ArrayView<float> gradBias, Conv3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy gy = new(context, gradOutput);
            using Copy y = new(context, output);
            conv.BackwardWeight(stream, x.View, gy.View, y.View, gradWeight, gradBias, shape);
            context.Synchronize();
        }

        public void Dispose() => conv.Dispose();
    }

    private sealed class ConvTranspose3d(IConvTranspose3d<Bf16, float> conv, GpuContext context) : IConvTranspose3d<float, float>
    {
        void IConvTranspose3d<float, float>.LaunchForward(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
            ConvTranspose3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy y = new(context, output);
            conv.Forward(stream, x.View, weight, bias, y.View, shape);
            y.WriteBack();
        }

        void IConvTranspose3d<float, float>.LaunchBackwardInput(
            AcceleratorStream stream,
            ArrayView<float> gradOutput, ArrayView<float> weight, ArrayView<float> gradInput,
            ConvTranspose3dShape shape)
        {
            using Copy gy = new(context, gradOutput);
            using Copy gx = new(context, gradInput);
            conv.BackwardInput(stream, gy.View, weight, gx.View, shape);
            gx.WriteBack();
        }

        void IConvTranspose3d<float, float>.LaunchBackwardWeight(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradWeight, ArrayView<float> gradBias,
            ConvTranspose3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy gy = new(context, gradOutput);
            conv.BackwardWeight(stream, x.View, gy.View, gradWeight, gradBias, shape);
            context.Synchronize();
        }

        public void Dispose() => conv.Dispose();
    }

    private sealed class SigmoidHead(ISigmoidHead<Bf16, float> head, GpuContext context) : ISigmoidHead<float, float>
    {
        public long WorkspaceLength(SigmoidHeadShape shape) => head.WorkspaceLength(shape);

        void ISigmoidHead<float, float>.LaunchForward(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> scores,
            SigmoidHeadShape shape)
        {
            using Copy x = new(context, input);
            head.Forward(stream, x.View, weight, bias, scores, shape);
            context.Synchronize();
        }

        void ISigmoidHead<float, float>.LaunchBackwardInput(
            AcceleratorStream stream,
            ArrayView<float> gradScores, ArrayView<float> scores, ArrayView<float> weight, ArrayView<float> gradInput,
            SigmoidHeadShape shape)
        {
            using Copy gx = new(context, gradInput);
            head.BackwardInput(stream, gradScores, scores, weight, gx.View, shape);
            gx.WriteBack();
        }

        void ISigmoidHead<float, float>.LaunchBackwardWeight(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> gradScores, ArrayView<float> scores, ArrayView<float> workspace,
                ArrayView<float> gradWeight, ArrayView<float> gradBias, SigmoidHeadShape shape)
        {
            using Copy x = new(context, input);
            head.BackwardWeight(stream, x.View, gradScores, scores, workspace, gradWeight, gradBias, shape);
            context.Synchronize();
        }

        public void Dispose() => head.Dispose();
    }

    private sealed class MaxPool3d(IMaxPool3d<Bf16> pool, GpuContext context) : IMaxPool3d<float>
    {
        void IMaxPool3d<float>.LaunchForward(
            AcceleratorStream stream, ArrayView<float> input, ArrayView<float> output, MaxPool3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy y = new(context, output);
            pool.Forward(stream, x.View, y.View, shape);
            y.WriteBack();
        }

        void IMaxPool3d<float>.LaunchBackward(
            AcceleratorStream stream,
            ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradInput,
            MaxPool3dShape shape)
        {
            using Copy x = new(context, input);
            using Copy gy = new(context, gradOutput);
            using Copy gx = new(context, gradInput);
            pool.Backward(stream, x.View, gy.View, gx.View, shape);
            gx.WriteBack();
        }

        public void Dispose() => pool.Dispose();
    }

    private sealed class Copy : IDisposable
    {
        private readonly GpuContext context;
        private readonly ArrayView<float> original;
        private readonly MemoryBuffer1D<Bf16, Stride1D.Dense> buffer;

        public Copy(GpuContext context, ArrayView<float> original)
        {
            this.context = context;
            this.original = original;
            buffer = context.Accelerator.Allocate1D(Array.ConvertAll(original.GetAsArrayForTest(context), Bf16.Round));
        }

        public ArrayView<Bf16> View => buffer.View.AsContiguous();

        public void WriteBack()
        {
            context.Synchronize();
            original.CopyFromCPU(context.Stream, Array.ConvertAll(buffer.GetAsArray1D(), value => value.ToSingle()));
            context.Synchronize();
        }

        public void Dispose() => buffer.Dispose();
    }
}
