namespace MeanShiftGpu.Kernels.Machine.Sums;

/// <summary>
/// The second stage of a weight gradient: groups of threads have each summed a part of the voxels; the parts
/// are added in a fixed order, so the bits repeat.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class PartSums<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Results of a group of threads.</summary>
    public const int Columns = 16;

    /// <summary>Threads of a group.</summary>
    public const int Threads = Columns * Lanes;

    private const int Lanes = 8;

    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, int> add;

    public PartSums(Accelerator accelerator)
        => accelerator.Load(AddKernel, new KernelSpecialization(Threads, null), out add);

    /// <summary>Groups of threads for so many results.</summary>
    public static int Groups(long length) => checked((int)((length + Columns - 1) / Columns));

    /// <summary>Memory for parts, which
    /// <see cref="Add(AcceleratorStream, ArrayView{T}, ArrayView{T}, ArrayView{T}, int)"/> will get: its own,
    /// or where a step is under way the step's, so that the parts of several gradients are added in one
    /// launch.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="own">Where there is no step.</param>
    /// <param name="length">Elements.</param>
    public static ArrayView<T> Take(AcceleratorStream stream, DeviceScratch<T> own, long length)
        => Later(stream)?.Take(stream, length) ?? own.Get(stream, length);

    /// <summary>The same with memory of the caller's where there is no step.</summary>
    public static ArrayView<T> Take(AcceleratorStream stream, ArrayView<T> own, long length)
        => Later(stream)?.Take(stream, length) ?? own;

    /// <summary>target[i] += Σ_p parts[p, i].</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="parts">[count, length of the target].</param>
    /// <param name="target">Accumulated.</param>
    /// <param name="count">How many parts.</param>
    public void Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> target, int count)
        => Add(stream, parts, target, target.SubView(0, 0), count);

    /// <summary>The same for two targets, whose parts lie behind each other, in one launch; or at the end of
    /// the step that is under way, where the parts are of
    /// <see cref="Take(AcceleratorStream, DeviceScratch{T}, long)"/>.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="parts">[count, length of the first target + length of the second].</param>
    /// <param name="first">Accumulated.</param>
    /// <param name="second">Accumulated.</param>
    /// <param name="count">How many parts.</param>
    public void Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> first, ArrayView<T> second, int count)
    {
        if (Later(stream)?.Add(stream, parts, first, second, count) != true)
            add(stream, new KernelConfig(Groups(first.Length + second.Length), Threads), parts, first, second, count);
    }

    // target[i] += sum over parts p of parts[p,i], the second target's i behind the first's. A group takes 16
    // results, eight threads to a result: thread (lane, i) adds the parts p = lane, lane + 8, … in order,
    // then the first adds the eight sums in order of lane; targets accumulated. 512 bytes of shared memory in
    // float32.
    [Kernel(MaxGroupSize = Threads)]
    internal static void AddKernel(
        ArrayView<T> parts, // [count, n + m]
        ArrayView<T> first, // [n]
        ArrayView<T> second, // [m]
        int count)
    {
        long length = first.Length + second.Length;
        long index = IndexOf(Grid.IdxX);
        T sum = Sum(parts, length, index, count);
        if (Group.IdxX >= Columns || index >= length)
            return;
        if (index < first.Length)
            first[index] += sum;
        else
            second[index - first.Length] += sum;
    }

    /// <summary>In a kernel: the result to which a thread adds, in the given group of those of its
    /// sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long IndexOf(int group) => (long)group * Columns + Group.IdxX % Columns;

    /// <summary>In a kernel, by all threads of a group: the sum of a result's parts, in the first thread of
    /// the result alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sum(ArrayView<T> parts, long length, long index, int count)
    {
        ArrayView<T> sums = SharedMemory.Allocate<T>(Threads);
        int column = Group.IdxX % Columns;
        int lane = Group.IdxX / Columns;
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
            return sum;
        for (int other = 1; other < Lanes; other++)
            sum += sums[other * Columns + column];
        return sum;
    }

    private static LaterSums<T>? Later(AcceleratorStream stream)
        => StepScope.Of(stream)?.Get(static accelerator => new LaterSums<T>(accelerator));

    // 0 behind the last, which changes no bit of a sum.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Part(ArrayView<T> parts, int p, int count, long length, long index)
        => p < count ? parts[p * length + index] : T.Zero;
}
