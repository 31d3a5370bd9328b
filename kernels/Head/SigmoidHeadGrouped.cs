namespace MeanShiftGpu.Kernels.Head;

/// <summary>
/// The head with weight gradients in two stages of groups, otherwise the plain one: any GPU. No warp
/// operations, no atomics.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class SigmoidHeadGrouped<T, TReal, TActivation, TStored> : SigmoidHeadDirect<T, TReal, TActivation, TStored>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TActivation : unmanaged
    where TStored : unmanaged, IStored<TStored, T>
{
    private const int Rows = SigmoidHeadGroupedKernels<T, TReal, TStored>.Rows;
    private const int MostParts = 256;

    private readonly PartSums<T> partSums;
    private readonly Action<
        AcceleratorStream, KernelConfig, ArrayView<TStored>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int>
        partialWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadGrouped(Accelerator accelerator)
        : base(accelerator)
    {
        partSums = new PartSums<T>(accelerator);
        accelerator.Load(
            SigmoidHeadGroupedKernels<T, TReal, TStored>.PartialWeightKernel,
            new KernelSpecialization(GroupSum.Threads, null),
            out partialWeight);
    }

    public override long WorkspaceLength(SigmoidHeadShape shape) => (long)Parts(shape) * shape.ParameterLength;

    private protected override void AddToParameters(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> gradScores, ArrayView<T> scores,
        ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
    {
        const int channels = 4 * SigmoidHeadGroupedKernels<T, TReal, TStored>.Columns;
        int parts = Parts(shape);
        KernelConfig config = new(
            new Index3D(parts, (shape.InputChannels + channels - 1) / channels, shape.Outputs),
            new Index3D(GroupSum.Threads, 1, 1));
        int access = QuadAccess.Allowed(input, shape.InputChannels, shape.InputPitch);
        ArrayView<T> sums = PartSums<T>.Take(stream, workspace, WorkspaceLength(shape));
        partialWeight(stream, config, input.Cast<TStored>(), gradScores, scores, sums, shape, access);
        partSums.Add(stream, sums, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.Outputs), parts);
    }

    // A function of the shape alone, so that every device adds in the same order.
    private static int Parts(SigmoidHeadShape shape)
        => (int)Math.Clamp((shape.Voxels + Rows * GroupSum.ItemsPerStep - 1) / (Rows * GroupSum.ItemsPerStep), 1, MostParts);
}

/// <summary>The kernel of <see cref="SigmoidHeadGrouped{T, TReal, TActivation, TStored}"/>.</summary>
internal static class SigmoidHeadGroupedKernels<T, TReal, TStored>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TStored : unmanaged, IStored<TStored, T>
{
    // A group: 8 columns of four channels × 16 rows of voxels.
    public const int Columns = 8;
    public const int Rows = GroupSum.Threads / Columns;

    // parts[g,i,o] = sum over group g's voxels of x[v,i] dp[v,o] p(1-p), behind them [g,o] without x. Group:
    // part × 32 channels × output; thread: four channels of every 16th voxel, four voxels at a time; then the
    // first of a column adds the 16 rows in order. Parts overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void PartialWeightKernel(
        ArrayView<TStored> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradScores, // [N, D, H, W, Outputs]
        ArrayView<T> scores, // [N, D, H, W, Outputs]
        ArrayView<T> parts, // [parts, Cin·Outputs + Outputs]
        SigmoidHeadShape shape,
        int access)
    {
        ArrayView<Quad<T>> weightSums = SharedMemory.Allocate<Quad<T>>(GroupSum.Threads);
        ArrayView<T> biasSums = SharedMemory.Allocate<T>(GroupSum.Threads);
        int o = Grid.IdxZ;
        int channel = (Grid.IdxY * Columns + Group.IdxX % Columns) * 4;
        int present = shape.InputChannels - channel;
        long stride = (long)Grid.DimX * Rows;
        Quad<T> sum = Quad<T>.Zero;
        T biasSum = T.Zero;
        for (long v = (long)Grid.IdxX * Rows + Group.IdxX / Columns; v < shape.Voxels; v += 4 * stride)
        {
            T g0 = GradLogit(gradScores, scores, v, o, shape);
            T g1 = GradLogit(gradScores, scores, v + stride, o, shape);
            T g2 = GradLogit(gradScores, scores, v + 2 * stride, o, shape);
            T g3 = GradLogit(gradScores, scores, v + 3 * stride, o, shape);
            Quad<T> x0 = LoadInput(input, v, channel, present, shape, access);
            Quad<T> x1 = LoadInput(input, v + stride, channel, present, shape, access);
            Quad<T> x2 = LoadInput(input, v + 2 * stride, channel, present, shape, access);
            Quad<T> x3 = LoadInput(input, v + 3 * stride, channel, present, shape, access);
            sum = Quad<T>.MultiplyAdd(
                g0, x0, Quad<T>.MultiplyAdd(g1, x1, Quad<T>.MultiplyAdd(g2, x2, Quad<T>.MultiplyAdd(g3, x3, sum))));
            biasSum += g0 + g1 + (g2 + g3);
        }

        weightSums[Group.IdxX] = sum;
        biasSums[Group.IdxX] = biasSum;
        Group.Barrier();
        if (Group.IdxX >= Columns)
            return;
        for (int row = 1; row < Rows; row++)
        {
            sum = Quad<T>.Add(sum, weightSums[row * Columns + Group.IdxX]);
            biasSum += biasSums[row * Columns + Group.IdxX];
        }

        long part = (long)Grid.IdxX * shape.ParameterLength;
        long index = part + (long)channel * shape.Outputs + o;
        if (present > 0)
            parts[index] = sum.X;
        if (present > 1)
            parts[index + shape.Outputs] = sum.Y;
        if (present > 2)
            parts[index + 2L * shape.Outputs] = sum.Z;
        if (present > 3)
            parts[index + 3L * shape.Outputs] = sum.W;
        if (channel == 0)
            parts[part + shape.WeightLength + o] = biasSum;
    }

    private static Quad<T> LoadInput(
        ArrayView<TStored> input, long voxel, int channel, int present, SigmoidHeadShape shape, int access)
        => voxel < shape.Voxels && present > 0
            ? QuadAccess.Load<TStored, T>(input, voxel * shape.InputPitch + channel, present, access)
            : Quad<T>.Zero;

    private static T GradLogit(ArrayView<T> gradScores, ArrayView<T> scores, long voxel, int o, SigmoidHeadShape shape)
        => voxel < shape.Voxels
            ? SigmoidHeadDirectKernels<T, TReal, TStored>.GradLogit(gradScores, scores, voxel * shape.Outputs + o)
            : T.Zero;
}
