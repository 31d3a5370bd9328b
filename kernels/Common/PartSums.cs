using System.Numerics;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// The second stage of a weight gradient: groups of threads have each summed a part of the voxels; the parts are added in a
/// fixed order, so the bits repeat.
/// </summary>
internal sealed class PartSums<T>
    where T : unmanaged, INumber<T>
{
    private const int Columns = 16;
    private const int Lanes = 8;

    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, int> add;

    public PartSums(Accelerator accelerator)
        => add = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, int>(AddKernel, new KernelSpecialization(Columns * Lanes, null));

    /// <summary>target[i] += Σ_p parts[p, i].</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="parts">[count, length of the target].</param>
    /// <param name="target">Accumulated.</param>
    /// <param name="count">How many parts.</param>
    public void Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> target, int count)
        => add(stream, new KernelConfig((int)((target.Length + Columns - 1) / Columns), Columns * Lanes), parts, target, count);

    // target[i] += sum over parts p of parts[p,i]. A group takes 16 results, eight threads to a result: thread (lane, i) adds the parts
    // p = lane, lane + 8, …, then the first adds the eight sums in order of lane; target accumulated. 512 bytes of shared memory in
    // float32. Reads every part once, so the memory limits it: 7 MB, the most there is, in 3 µs on an H200 (estimate).
    [Kernel(MaxGroupSize = Columns * Lanes)]
    internal static void AddKernel(
        ArrayView<T> parts, // [count, n]
        ArrayView<T> target, // [n]
        int count)
    {
        ArrayView<T> sums = SharedMemory.Allocate<T>(Columns * Lanes);
        int column = Group.IdxX % Columns;
        int lane = Group.IdxX / Columns;
        long index = (long)Grid.IdxX * Columns + column;
        T sum = T.Zero;
        if (index < target.Length)
        {
            for (int p = lane; p < count; p += Lanes)
                sum += parts[p * target.Length + index];
        }

        sums[Group.IdxX] = sum;
        Group.Barrier();
        if (lane == 0 && index < target.Length)
        {
            for (int other = 1; other < Lanes; other++)
                sum += sums[other * Columns + column];
            target[index] += sum;
        }
    }
}
