namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The plain transposed convolution: one thread per result, no atomics, no shared memory, any accelerator.
/// The reference for the others. At most 2³¹ − 1 results a call: ILGPU numbers the threads of such kernels
/// with an int.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class ConvTranspose3dDirect<T, TReal> : IConvTranspose3d<T, T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ConvTranspose3dShape> forward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ConvTranspose3dShape> backwardInput;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ConvTranspose3dShape> backwardWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public ConvTranspose3dDirect(Accelerator accelerator)
    {
        accelerator.Load(ForwardKernel, out forward);
        accelerator.Load(BackwardInputKernel, out backwardInput);
        accelerator.Load(BackwardWeightKernel, out backwardWeight);
    }

    void IConvTranspose3d<T, T>.LaunchForward(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output,
        ConvTranspose3dShape shape)
        => forward(stream, LaunchExtent.Of(shape.OutputVoxels * shape.OutputChannels), input, weight, bias, output, shape);

    void IConvTranspose3d<T, T>.LaunchBackwardInput(
        AcceleratorStream stream,
        ArrayView<T> gradOutput, ArrayView<T> weight, ArrayView<T> gradInput,
        ConvTranspose3dShape shape)
        => backwardInput(stream, LaunchExtent.Of(shape.InputVoxels * shape.InputChannels), gradOutput, weight, gradInput, shape);

    void IConvTranspose3d<T, T>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradWeight, ArrayView<T> gradBias,
        ConvTranspose3dShape shape)
        => backwardWeight(
            stream, LaunchExtent.Of(shape.WeightLength + shape.OutputChannels), input, gradOutput, gradWeight, gradBias, shape);

    public void Dispose()
    {
    }

    // y[2v+k,o] = b[o] + sum over input channels of x[v,i] w[k,i,o], k the corner of the 2³ cube.
    // One thread per (output voxel, output channel); output overwritten, sums in channel order.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [2, 2, 2, Cin, Cout]
        ArrayView<T> bias, // [Cout]
        ArrayView<T> output, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ConvTranspose3dShape shape)
    {
        int o = index % shape.OutputChannels;
        int voxel = index / shape.OutputChannels;
        int x = voxel % (2 * shape.Width);
        int y = voxel / (2 * shape.Width) % (2 * shape.Height);
        int z = voxel / (4 * shape.Width * shape.Height); // n·2D + z, which halves like z
        int tap = z % 2 * 4 + y % 2 * 2 + x % 2;
        long source = (((long)(z / 2) * shape.Height + y / 2) * shape.Width + x / 2) * shape.InputPitch;
        long w = (long)tap * shape.InputChannels * shape.OutputChannels + o;

        T sum = bias[o];
        for (int i = 0; i < shape.InputChannels; i++)
        {
            sum += input[source + i] * weight[w];
            w += shape.OutputChannels;
        }

        output[(long)voxel * shape.OutputPitch + o] = sum;
    }

    // dx[v,i] = sum over corners k and output channels of g[2v+k,o] w[k,i,o].
    // One thread per (input voxel, input channel); gradInput overwritten, sums in the order corner z, y, x,
    // channel.
    [Kernel]
    internal static void BackwardInputKernel(
        Index1D index,
        ArrayView<T> gradOutput, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ArrayView<T> weight, // [2, 2, 2, Cin, Cout]
        ArrayView<T> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        ConvTranspose3dShape shape)
    {
        int i = index % shape.InputChannels;
        int voxel = index / shape.InputChannels;
        T sum = T.Zero;
        for (int tap = 0; tap < 8; tap++)
        {
            long source = shape.OutputVoxel(voxel, tap) * shape.OutputPitch;
            long w = ((long)tap * shape.InputChannels + i) * shape.OutputChannels;
            for (int o = 0; o < shape.OutputChannels; o++)
                sum += gradOutput[source + o] * weight[w + o];
        }

        gradInput[(long)voxel * shape.InputPitch + i] = sum;
    }

    // dw[k,i,o] = sum over input voxels of x[v,i] g[2v+k,o]; db[o] = sum over output voxels of g[v,o].
    // One thread per weight, then one per bias; both accumulate, sums in voxel order (for the bias, corner by
    // corner).
    [Kernel]
    internal static void BackwardWeightKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradOutput, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ArrayView<T> gradWeight, // [2, 2, 2, Cin, Cout]
        ArrayView<T> gradBias, // [Cout]
        ConvTranspose3dShape shape)
    {
        bool isBias = index >= shape.WeightLength;
        int o = index % shape.OutputChannels;
        int i = isBias ? 0 : index / shape.OutputChannels % shape.InputChannels;
        int firstTap = isBias ? 0 : index / (shape.OutputChannels * shape.InputChannels);
        int lastTap = isBias ? 7 : firstTap;

        T sum = T.Zero;
        for (int tap = firstTap; tap <= lastTap; tap++)
        {
            long voxel = 0;
            for (int z = 0; z < shape.Batch * shape.Depth; z++)
            {
                for (int y = 0; y < shape.Height; y++)
                {
                    long row = ((long)(2 * z + tap / 4) * 2 * shape.Height + 2 * y + tap / 2 % 2) * 2 * shape.Width + tap % 2;
                    for (int x = 0; x < shape.Width; x++)
                    {
                        T gradient = gradOutput[(row + 2 * x) * shape.OutputPitch + o];
                        if (isBias)
                            sum += gradient;
                        else
                            sum += input[voxel * shape.InputPitch + i] * gradient;
                        voxel++;
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
