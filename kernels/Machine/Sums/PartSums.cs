namespace MeanShiftGpu.Kernels.Machine.Sums;

/// <summary>
/// The second stage of a weight gradient: groups of threads have each summed a part of the voxels; the parts are added in a
/// fixed order, so the bits repeat.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class PartSums<T>
    where T : unmanaged, INumber<T>
{
    private const int Columns = 16;
    private const int Lanes = 8;

    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, int> add;

    public PartSums(Accelerator accelerator)
        => accelerator.Load(AddKernel, new KernelSpecialization(Columns * Lanes, null), out add);

    /// <summary>target[i] += Σ_p parts[p, i].</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="parts">[count, length of the target].</param>
    /// <param name="target">Accumulated.</param>
    /// <param name="count">How many parts.</param>
    public void Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> target, int count) => Add(stream, parts, target, target.SubView(0, 0), count);

    /// <summary>The same for two targets, whose parts lie behind each other, in one launch.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="parts">[count, length of the first target + length of the second].</param>
    /// <param name="first">Accumulated.</param>
    /// <param name="second">Accumulated.</param>
    /// <param name="count">How many parts.</param>
    public void Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> first, ArrayView<T> second, int count)
        => add(stream, new KernelConfig((int)((first.Length + second.Length + Columns - 1) / Columns), Columns * Lanes), parts, first, second, count);

    // target[i] += sum over parts p of parts[p,i], the second target's i behind the first's. A group takes 16 results, eight threads to a result: thread
    // (lane, i) adds the parts p = lane, lane + 8, … in order, then the first adds the eight sums in order of lane; targets accumulated. 512 bytes
    // of shared memory in float32.
    [Kernel(MaxGroupSize = Columns * Lanes)]
    internal static void AddKernel(
        ArrayView<T> parts, // [count, n + m]
        ArrayView<T> first, // [n]
        ArrayView<T> second, // [m]
        int count)
    {
        ArrayView<T> sums = SharedMemory.Allocate<T>(Columns * Lanes);
        int column = Group.IdxX % Columns;
        int lane = Group.IdxX / Columns;
        long length = first.Length + second.Length;
        long index = (long)Grid.IdxX * Columns + column;
        T sum = T.Zero;
        if (index < length)
        {
            for (int p = lane; p < count; p += 4 * Lanes)
            {
                T a = parts[p * length + index];
                T b = Part(parts, p + Lanes, count, length, index);
                T c = Part(parts, p + 2 * Lanes, count, length, index);
                T d = Part(parts, p + 3 * Lanes, count, length, index);
                sum = sum + a + b + c + d;
            }
        }

        sums[Group.IdxX] = sum;
        Group.Barrier();
        if (lane != 0 || index >= length)
            return;
        for (int other = 1; other < Lanes; other++)
            sum += sums[other * Columns + column];
        if (index < first.Length)
            first[index] += sum;
        else
            second[index - first.Length] += sum;
    }

    // 0 behind the last, which changes no bit of a sum.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Part(ArrayView<T> parts, int p, int count, long length, long index) => p < count ? parts[p * length + index] : T.Zero;
}
