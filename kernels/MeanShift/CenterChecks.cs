using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// Checks of centres and pairs. Lengths are checked on every device. What offsets and pairs hold can be seen
/// without waiting on the CPU device alone: on a GPU offsets that fall, begin below 0 or end behind the
/// centres, and pairs that no forward pass wrote, make kernels read foreign memory.
/// </summary>
internal static class CenterChecks
{
    /// <summary>Offsets must rise from 0 or more and end within the centres.</summary>
    public static void Require<T>(in Launch launch, CenterViews<T> centers, MeanShiftShape shape)
        where T : unmanaged
        => RequireOffsets(launch, centers, centers.Positions.Length / 3, shape.Batch);

    /// <summary>The same, where every centre has its pair.</summary>
    public static void Require<T>(in Launch launch, CenterViews<T> centers, NearestPairs nearest, MeanShiftShape shape)
        where T : unmanaged
    {
        long rows = nearest.Points.Length;
        launch.FitsInt(shape.Points + rows, "seeds and centres");
        launch.Require(centers.Positions, rows * 3, nameof(centers.Positions));
        launch.Require(nearest.Centers, shape.Points, nameof(nearest.Centers));
        launch.Require(nearest.Points, 0, nameof(nearest.Points));
        RequireOffsets(launch, centers, rows, shape.Batch);
    }

    /// <summary>Pairs that a backward pass reads must name centres and points that are there.</summary>
    public static void RequirePairs<T>(in Launch launch, CenterViews<T> centers, NearestPairs nearest, MeanShiftShape shape)
        where T : unmanaged
    {
        if (!launch.IsOnHost)
            return;
        Span<int> offsets = centers.Offsets.AsHostSpan();
        for (int item = 0; item < shape.Batch; item++)
        {
            (int first, int end) = (offsets[item], offsets[item + 1]);
            // Of an item without centres no pair is read.
            if (first == end)
                continue;
            foreach (int center in nearest.Centers.SubView((long)item * shape.SeedsPerItem, shape.SeedsPerItem).AsHostSpan())
            {
                if (center < first || center >= end)
                    throw launch.Refusal(nameof(nearest.Centers), $"names centre {center} for a point of item {item}, expected "
                        + $"{first} to {end - 1}. Give the pairs that the forward pass wrote.");
            }
        }

        foreach (int point in nearest.Points.AsHostSpan()[offsets[0]..offsets[shape.Batch]])
        {
            if (point < 0 || point >= shape.SeedsPerItem)
                throw launch.Refusal(nameof(nearest.Points), $"names point {point}, expected 0 to {shape.SeedsPerItem - 1}. "
                    + "Give the pairs that the forward pass wrote.");
        }
    }

    /// <summary>Offsets must rise from 0 or more to at most so many rows.</summary>
    public static void RequireOffsets<T>(in Launch launch, CenterViews<T> centers, long rows, int batch)
        where T : unmanaged
    {
        launch.Require(centers.Positions, 0, nameof(centers.Positions));
        launch.Require(centers.Offsets, batch + 1L, nameof(centers.Offsets));
        if (!launch.IsOnHost)
            return;
        int least = 0;
        foreach (int offset in centers.Offsets.SubView(0, batch + 1L).AsHostSpan())
        {
            if (offset < least || offset > rows)
                throw launch.Refusal(nameof(centers.Offsets), $"holds {offset} behind {least}, expected numbers that rise from "
                    + $"0 or more to at most {rows}, the centres that are there.");
            least = offset;
        }
    }
}
