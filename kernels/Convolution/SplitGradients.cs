using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>The second stage of a weight gradient: the partial sums of groups that shared the voxels, added in a fixed order.</summary>
internal sealed class SplitGradients(Accelerator accelerator) : IDisposable
{
    private readonly DeviceScratch<float> partials = new(accelerator);
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, SplitGradientsShape> add =
        accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, SplitGradientsShape>(AddKernel);

    /// <summary>Memory for the partial sums, [splits, weights + biases].</summary>
    public ArrayView<float> Partials(AcceleratorStream stream, SplitGradientsShape shape) => partials.Get(stream, (long)shape.Splits * shape.Length);

    /// <summary>Adds the partial sums to the gradients.</summary>
    public void Add(AcceleratorStream stream, ArrayView<float> sums, ArrayView<float> gradWeight, ArrayView<float> gradBias, SplitGradientsShape shape)
        => add(stream, shape.Length, sums, gradWeight, gradBias, shape);

    public void Dispose() => partials.Dispose();

    // dw and db from their partial sums. One thread per weight, then one per bias; both accumulate, sums in the order of the splits.
    [Kernel]
    internal static void AddKernel(
        Index1D index,
        ArrayView<float> partials, // [splits, taps·Cin·Cout + Cout]
        ArrayView<float> gradWeight, // [taps, Cin, Cout]
        ArrayView<float> gradBias, // [Cout]
        SplitGradientsShape shape)
    {
        float sum = 0;
        long at = index.X;
        for (int split = 0; split < shape.Splits; split++)
        {
            sum += partials[at];
            at += shape.Length;
        }

        if (index.X < shape.Weights)
            gradWeight[index] += sum;
        else
            gradBias[index.X - shape.Weights] += sum;
    }
}

/// <summary>How the partial sums of a weight gradient are laid out: splits of Length, of which the first Weights are weights and the others biases.</summary>
internal struct SplitGradientsShape
{
    public int Splits;
    public int Weights;
    public int Length;
}
