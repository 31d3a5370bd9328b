namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The plain convolution: one thread per result, no atomics, no shared memory, any accelerator. The reference
/// for the others. At most 2³¹ − 1 results a call: ILGPU numbers the threads of such kernels with an int.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class Conv3dDirect<T, TReal> : IConv3d<T, T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        Conv3dShape> forward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        Conv3dShape> backwardInput;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        Conv3dShape> backwardWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public Conv3dDirect(Accelerator accelerator)
    {
        accelerator.Load(ForwardKernel, out forward);
        accelerator.Load(BackwardInputKernel, out backwardInput);
        accelerator.Load(BackwardWeightKernel, out backwardWeight);
    }

    void IConv3d<T, T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output,
        Conv3dShape shape)
        => forward(stream, LaunchExtent.Of(shape.Voxels * shape.OutputChannels), input, weight, bias, output, shape);

    void IConv3d<T, T>.LaunchBackwardInput(
        AcceleratorStream stream,
        ArrayView<T> gradOutput, ArrayView<T> output, ArrayView<T> weight, ArrayView<T> gradInput,
        Conv3dShape shape)
        => backwardInput(
            stream, LaunchExtent.Of(shape.Voxels * shape.InputChannels), gradOutput, output, weight, gradInput, shape);

    void IConv3d<T, T>.LaunchBackwardWeight(
        AcceleratorStream stream,
        ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> output, ArrayView<T> gradWeight, ArrayView<T> gradBias,
        Conv3dShape shape)
        => backwardWeight(
            stream,
            LaunchExtent.Of(shape.WeightLength + shape.OutputChannels),
            input,
            gradOutput,
            output,
            gradWeight,
            gradBias,
            shape);

    public void Dispose()
    {
    }

    // y[v,o] = act(b[o] + sum over taps and input channels of x[v+tap,i] w[tap,i,o]).
    // One thread per (voxel, output channel); output overwritten, sums in the order tap z, y, x, channel.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [k, k, k, Cin, Cout]
        ArrayView<T> bias, // [Cout]
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        Conv3dShape shape)
    {
        int o = index % shape.OutputChannels;
        long voxel = index / shape.OutputChannels;
        int x = (int)(voxel % shape.Width);
        int y = (int)(voxel / shape.Width % shape.Height);
        int z = (int)(voxel / ((long)shape.Width * shape.Height) % shape.Depth);
        int pad = shape.KernelSize / 2;

        T sum = bias[o];
        int tap = 0;
        for (int kz = -pad; kz <= pad; kz++)
        {
            for (int ky = -pad; ky <= pad; ky++)
            {
                for (int kx = -pad; kx <= pad; kx++)
                {
                    if (z + kz >= 0 && z + kz < shape.Depth && y + ky >= 0 && y + ky < shape.Height && x + kx >= 0
                        && x + kx < shape.Width)
                    {
                        long source = (voxel + ((long)kz * shape.Height + ky) * shape.Width + kx) * shape.InputPitch;
                        long w = (long)tap * shape.InputChannels * shape.OutputChannels + o;
                        for (int i = 0; i < shape.InputChannels; i++)
                        {
                            sum += input[source + i] * weight[w];
                            w += shape.OutputChannels;
                        }
                    }

                    tap++;
                }
            }
        }

        if (shape.Activation == Activation.Relu && sum < T.Zero)
            sum = T.Zero;
        output[voxel * shape.OutputPitch + o] = sum;
    }

    // dx[v,i] = sum over taps and output channels of g[v-tap,o] w[tap,i,o], g = gradOutput masked by output >
    // 0 under ReLU. One thread per (voxel, input channel); gradInput overwritten, sums in the order tap z, y,
    // x, channel.
    [Kernel]
    internal static void BackwardInputKernel(
        Index1D index,
        ArrayView<T> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> weight, // [k, k, k, Cin, Cout]
        ArrayView<T> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        Conv3dShape shape)
    {
        int i = index % shape.InputChannels;
        long voxel = index / shape.InputChannels;
        int x = (int)(voxel % shape.Width);
        int y = (int)(voxel / shape.Width % shape.Height);
        int z = (int)(voxel / ((long)shape.Width * shape.Height) % shape.Depth);
        int pad = shape.KernelSize / 2;

        T sum = T.Zero;
        int tap = 0;
        for (int kz = -pad; kz <= pad; kz++)
        {
            for (int ky = -pad; ky <= pad; ky++)
            {
                for (int kx = -pad; kx <= pad; kx++)
                {
                    if (z - kz >= 0 && z - kz < shape.Depth && y - ky >= 0 && y - ky < shape.Height && x - kx >= 0
                        && x - kx < shape.Width)
                    {
                        long source = (voxel - ((long)kz * shape.Height + ky) * shape.Width - kx) * shape.OutputPitch;
                        long w = ((long)tap * shape.InputChannels + i) * shape.OutputChannels;
                        for (int o = 0; o < shape.OutputChannels; o++)
                        {
                            if (shape.Activation == Activation.None || output[source + o] > T.Zero)
                                sum += gradOutput[source + o] * weight[w + o];
                        }
                    }

                    tap++;
                }
            }
        }

        gradInput[voxel * shape.InputPitch + i] = sum;
    }

    // dw[tap,i,o] = sum over voxels of x[v+tap,i] g[v,o]; db[o] = sum over voxels of g[v,o]; g masked under
    // ReLU. One thread per weight, then one per bias; both accumulate, sums in voxel order. Slow and steady:
    // a result's whole sum is one thread's, so the order is fixed.
    [Kernel]
    internal static void BackwardWeightKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> gradWeight, // [k, k, k, Cin, Cout]
        ArrayView<T> gradBias, // [Cout]
        Conv3dShape shape)
    {
        bool isBias = index >= shape.WeightLength;
        int o = index % shape.OutputChannels;
        int i = isBias ? 0 : index / shape.OutputChannels % shape.InputChannels;
        int tap = isBias ? 0 : index / (shape.OutputChannels * shape.InputChannels);
        int pad = isBias ? 0 : shape.KernelSize / 2;
        int kx = tap % shape.KernelSize - pad;
        int ky = tap / shape.KernelSize % shape.KernelSize - pad;
        int kz = tap / (shape.KernelSize * shape.KernelSize) - pad;

        T sum = T.Zero;
        for (int n = 0; n < shape.Batch; n++)
        {
            for (int z = 0; z < shape.Depth; z++)
            {
                for (int y = 0; y < shape.Height; y++)
                {
                    if (z + kz < 0 || z + kz >= shape.Depth || y + ky < 0 || y + ky >= shape.Height)
                        continue;
                    long row = (((long)n * shape.Depth + z) * shape.Height + y) * shape.Width;
                    long sourceRow = row + ((long)kz * shape.Height + ky) * shape.Width + kx;
                    for (int x = 0; x < shape.Width; x++)
                    {
                        long target = (row + x) * shape.OutputPitch + o;
                        if (x + kx < 0 || x + kx >= shape.Width || (
                            shape.Activation == Activation.Relu && output[target] <= T.Zero))
                            continue;
                        if (isBias)
                            sum += gradOutput[target];
                        else
                            sum += input[(sourceRow + x) * shape.InputPitch + i] * gradOutput[target];
                    }
                }
            }
        }

        if (isBias)
            gradBias[o] += sum;
        else
            gradWeight[index] += sum;
    }
}
