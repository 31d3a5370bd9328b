namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// The weights of all layers, packed in one launch when a step begins. Which ones a step needs, the step
/// before has asked for.
/// </summary>
internal sealed class PackedTogether<TOperand>(Accelerator accelerator) : StepScope.IShared
    where TOperand : struct, IOperand
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<PackedWeights>, ArrayView<uint>> packAll =
        accelerator.Load<Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<PackedWeights>,
            ArrayView<uint>>>(PackAllKernel);

    private readonly List<PackedWeights> asked = [];
    private readonly Dictionary<(int From, PackedWeightsShape Shape), (int Start, int Length)> ready = [];
    private MemoryBuffer? source;
    private MemoryBuffer1D<PackedWeights, Stride1D.Dense>? table;
    private MemoryBuffer1D<uint, Stride1D.Dense>? packed;
    private int length;

    /// <inheritdoc/>
    public void Begin(AcceleratorStream stream)
    {
        if (asked.Count == 0)
            return;
        if (ready.Count < asked.Count)
            Prepare(stream);
        packAll(stream, length, ViewPlace.Whole<float>(source!), table!.View.BaseView, packed!.View.BaseView);
    }

    /// <inheritdoc/>
    public void End(AcceleratorStream stream)
    {
    }

    /// <summary>The weights, where they were packed when the step began; null otherwise, and then the next
    /// step packs them.</summary>
    public ArrayView<uint>? Find(ArrayView<float> weight, PackedWeightsShape shape, int words)
    {
        // Those of another buffer, that is another network's, are not asked for often enough to be worth a
        // second launch.
        int from = checked((int)ViewPlace.IndexOf(weight));
        source ??= ViewPlace.BufferOf(weight);
        if (source != ViewPlace.BufferOf(weight))
            return null;
        if (ready.TryGetValue((from, shape), out (int Start, int Length) found))
            return packed!.View.BaseView.SubView(found.Start, found.Length);
        if (!asked.Exists(a => a.From == from && a.Shape == shape))
        {
            asked.Add(new PackedWeights { From = from, Shape = shape, Start = length });
            length = checked(length + words);
        }

        return null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        table?.Dispose();
        packed?.Dispose();
    }

    private void Prepare(AcceleratorStream stream)
    {
        // Kernels queued earlier may still use the old memory.
        stream.Synchronize();
        DeviceAddresses.Change(accelerator);
        Dispose();
        (table, packed) = (null, null);
        packed = accelerator.Allocate1D<uint>(length);
        table = accelerator.Allocate1D<PackedWeights>(asked.Count);
        table.View.BaseView.CopyFromCPU(stream, asked.ToArray());
        for (int i = 0; i < asked.Count; i++)
        {
            int end = i + 1 < asked.Count ? asked[i + 1].Start : length;
            ready[(asked[i].From, asked[i].Shape)] = (asked[i].Start, end - asked[i].Start);
        }
    }

    // As TensorCoreWeights.PackKernel, for the words of all weights one behind the other. One thread per
    // word; packed overwritten. A thread looks for its weights among at most some 50, six loads that a warp
    // has in common. The published network in TF32: 9 MB written, 4 µs of an H200 (an estimate).
    [Kernel]
    internal static void PackAllKernel(
        Index1D index,
        ArrayView<float> weights, // those of all layers
        ArrayView<PackedWeights> all, // [n], by Start
        ArrayView<uint> packed) // [words]
    {
        int low = 0;
        int high = (int)all.Length;
        while (high - low > 1)
        {
            int middle = (low + high) / 2;
            if (all[middle].Start <= index.X)
                low = middle;
            else
                high = middle;
        }

        PackedWeights one = all[low];
        packed[index] = TensorCoreWeights<TOperand>.Word(index.X - one.Start, weights.SubView(
            one.From, weights.Length - one.From), one.Shape);
    }
}

/// <summary>Where the weights of a layer and pass lie, and where they are packed.</summary>
internal struct PackedWeights
{
    /// <summary>Their first in the buffer of all.</summary>
    public int From;

    public PackedWeightsShape Shape;

    /// <summary>Their first word.</summary>
    public int Start;
}
