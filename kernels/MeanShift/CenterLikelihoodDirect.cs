namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The soft likelihood at centres on any accelerator: no atomics, no warp operations, no shared memory.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
/// <typeparam name="T">The real type.</typeparam>
/// <typeparam name="TReal">Its functions.</typeparam>
internal sealed class CenterLikelihoodDirect<T, TReal> : ICenterLikelihood<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<T>,
        CenterLikelihoodShape> scoresAt;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<int>, ArrayView<T>, ArrayView<T>, CenterLikelihoodShape,
        T> total;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, CenterLikelihoodShape> clear;
    private readonly Action<
        AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<T>, ArrayView<T>,
            CenterLikelihoodShape, T> backward;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public CenterLikelihoodDirect(Accelerator accelerator)
    {
        accelerator.Load(CenterLikelihoodDirectKernels<T, TReal>.ScoresAtKernel, out scoresAt);
        accelerator.Load(CenterLikelihoodDirectKernels<T, TReal>.TotalKernel, out total);
        accelerator.Load(CenterLikelihoodDirectKernels<T, TReal>.ClearKernel, out clear);
        accelerator.Load(CenterLikelihoodDirectKernels<T, TReal>.BackwardKernel, out backward);
    }

    /// <inheritdoc/>
    void ICenterLikelihood<T>.LaunchForward(
        AcceleratorStream stream, ArrayView<T> scores, CenterViews<T> centers, ArrayView<T> centerScores, ArrayView<T> loss,
        CenterLikelihoodShape shape, double softScore)
    {
        long count = centers.Positions.Length / 3;
        if (count > 0)
            scoresAt(stream, LaunchExtent.Of(count), scores, centers.Positions, centers.Offsets, centerScores, shape);
        total(stream, 1, centers.Offsets, centerScores, loss, shape, T.CreateChecked(softScore));
    }

    /// <inheritdoc/>
    void ICenterLikelihood<T>.LaunchBackward(
        AcceleratorStream stream, ArrayView<T> gradLoss, CenterViews<T> centers, ArrayView<T> centerScores,
            ArrayView<T> gradScores,
        CenterLikelihoodShape shape, double softScore, bool overwrite)
    {
        if (overwrite && shape.ScorePitch == 1)
            gradScores.SubView(0, shape.ScoreLength).MemSetToZero(stream);
        else if (overwrite)
            clear(stream, LaunchExtent.Of(shape.Voxels), gradScores, shape);
        long count = centers.Positions.Length / 3;
        if (count > 0)
        {
            backward(
                stream, LaunchExtent.Of(count * CenterLikelihoodDirectKernels<T, TReal>.Corners), gradLoss, centers.Positions,
                centers.Offsets, centerScores, gradScores, shape, T.CreateChecked(softScore));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

/// <summary>The kernels of <see cref="CenterLikelihoodDirect{T, TReal}"/>.</summary>
internal static class CenterLikelihoodDirectKernels<T, TReal>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <summary>Voxels around a centre.</summary>
    public const int Corners = 8;

    // s(c) = sum over the 8 voxels q around c of s_q (1 - |z - q_z|)(1 - |y - q_y|)(1 - |x - q_x|).
    // One thread per centre; centerScores overwritten, 0 for centres of no item.
    [Kernel]
    internal static void ScoresAtKernel(
        Index1D index,
        ArrayView<T> scores, // [N, D, H, W] at ScorePitch
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> offsets, // [N + 1]
        ArrayView<T> centerScores, // [M]
        CenterLikelihoodShape shape)
    {
        int item = ItemOf(offsets, index.X, shape.Batch);
        T sum = T.Zero;
        if (item < shape.Batch)
        {
            for (int corner = 0; corner < Corners; corner++)
            {
                int z = CornerOf(centers, index.X, 0, shape.Depth, corner);
                int y = CornerOf(centers, index.X, 1, shape.Height, corner);
                int x = CornerOf(centers, index.X, 2, shape.Width, corner);
                T weight = WeightOf(centers, index.X, z, y, x, shape);
                // Where the weight is 0 the corner may lie behind the last voxel.
                if (weight > T.Zero)
                    sum += weight * scores[Voxel(item, z, y, x, shape)];
            }
        }

        centerScores[index] = sum;
    }

    // L = sum over items with centres of (1 / centres of the item) sum over its centres of log(1 + tau / s),
    // divided by the items with centres. One thread, as centres are few; loss overwritten, 0 without centres.
    [Kernel]
    internal static void TotalKernel(
        Index1D index,
        ArrayView<int> offsets, // [N + 1]
        ArrayView<T> centerScores, // [M]
        ArrayView<T> loss, // [1]
        CenterLikelihoodShape shape,
        T softScore)
    {
        T sum = T.Zero;
        int items = 0;
        for (int item = 0; item < shape.Batch; item++)
        {
            int first = offsets[item];
            int end = offsets[item + 1];
            T itemSum = T.Zero;
            for (int center = first; center < end; center++)
                itemSum += TReal.Log(T.One + softScore / centerScores[center]);
            if (end > first)
            {
                sum += itemSum / TReal.From(end - first);
                items++;
            }
        }

        loss[index] = items > 0 ? sum / TReal.From(items) : T.Zero;
    }

    // gradScores = 0, at its pitch. One thread per voxel.
    [Kernel]
    internal static void ClearKernel(
        Index1D index,
        ArrayView<T> gradScores, // [N, D, H, W] at ScorePitch
        CenterLikelihoodShape shape)
        => gradScores[(long)index.X * shape.ScorePitch] = T.Zero;

    // dL/ds_q = -gradLoss / items · sum over the item's centres c of u_q(c) tau / (s(c) (s(c) + tau)) /
    // centres of the item. One thread per centre and corner, adds to gradScores: of the centres around a
    // voxel the first one's thread adds them all, in order.
    [Kernel]
    internal static void BackwardKernel(
        Index1D index,
        ArrayView<T> gradLoss, // [1]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> offsets, // [N + 1]
        ArrayView<T> centerScores, // [M]
        ArrayView<T> gradScores, // [N, D, H, W] at ScorePitch
        CenterLikelihoodShape shape,
        T softScore)
    {
        int center = index.X / Corners;
        int item = ItemOf(offsets, center, shape.Batch);
        if (item >= shape.Batch)
            return;
        int corner = index.X % Corners;
        int z = CornerOf(centers, center, 0, shape.Depth, corner);
        int y = CornerOf(centers, center, 1, shape.Height, corner);
        int x = CornerOf(centers, center, 2, shape.Width, corner);
        if (WeightOf(centers, center, z, y, x, shape) <= T.Zero)
            return;

        int first = offsets[item];
        int end = offsets[item + 1];
        for (int before = first; before < center; before++)
        {
            if (WeightOf(centers, before, z, y, x, shape) > T.Zero)
                return;
        }

        T sum = T.Zero;
        for (int other = center; other < end; other++)
        {
            T score = centerScores[other];
            T weight = WeightOf(centers, other, z, y, x, shape);
            if (weight > T.Zero)
                sum += weight * (softScore / (score * (score + softScore)));
        }

        int items = 0;
        for (int i = 0; i < shape.Batch; i++)
        {
            if (offsets[i + 1] > offsets[i])
                items++;
        }

        T scale = gradLoss[0] / (TReal.From(end - first) * TReal.From(items));
        long voxel = Voxel(item, z, y, x, shape);
        gradScores[voxel] -= scale * sum;
    }

    // The item whose centre this is; N where it is nobody's.
    private static int ItemOf(ArrayView<int> offsets, int center, int batch)
    {
        if (center < offsets[0])
            return batch;
        int item = 0;
        while (item < batch && center >= offsets[item + 1])
            item++;
        return item;
    }

    private static long Voxel(int item, int z, int y, int x, CenterLikelihoodShape shape)
        => ((((long)item * shape.Depth + z) * shape.Height + y) * shape.Width + x) * shape.ScorePitch;

    // A coordinate of a centre, taken into the volume; NaN goes to 0.
    private static T Coordinate(ArrayView<T> centers, int center, int axis, int extent)
    {
        T value = centers[(long)center * 3 + axis];
        T last = TReal.From(extent - 1);
        if (!(value > T.Zero))
            return T.Zero;
        return value < last ? value : last;
    }

    private static int CornerOf(ArrayView<T> centers, int center, int axis, int extent, int corner)
        => TReal.FloorToInt(Coordinate(centers, center, axis, extent)) + (corner >> axis & 1);

    private static T WeightOf(ArrayView<T> centers, int center, int z, int y, int x, CenterLikelihoodShape shape)
        => Tent(Coordinate(centers, center, 0, shape.Depth), z) * Tent(Coordinate(centers, center, 1, shape.Height), y)
            * Tent(Coordinate(centers, center, 2, shape.Width), x);

    private static T Tent(T coordinate, int voxel)
    {
        T distance = coordinate - TReal.From(voxel);
        T weight = distance < T.Zero ? T.One + distance : T.One - distance;
        return weight > T.Zero ? weight : T.Zero;
    }
}
