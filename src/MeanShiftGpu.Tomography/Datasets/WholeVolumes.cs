using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>
/// Puts volumes that a data set has cut in parts together again: what is asked of a table's coordinates
/// counts from the whole volume's corner.
/// </summary>
public static class WholeVolumes
{
    /// <summary>
    /// Joins parts that together fill their volume, and leaves all others as they are. Voxels are read from
    /// the parts.
    /// </summary>
    /// <param name="entries">What the manifest says of each volume.</param>
    /// <param name="volumes">The volumes that were opened, in the same order.</param>
    public static IReadOnlyList<TrainingVolume> Of(IReadOnlyList<DatasetVolume> entries, IReadOnlyList<TrainingVolume> volumes)
    {
        ArgumentNullException.ThrowIfNull(entries);
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(entries.Count, volumes.Count);
        List<TrainingVolume> whole = [];
        foreach (IGrouping<(string, string, string?), (DatasetVolume Entry, TrainingVolume Volume)> parts in
            entries.Zip(volumes).GroupBy(p => (p.First.Volume, p.First.Coordinates, p.First.Tomogram)))
        {
            (DatasetRegion Region, TrainingVolume Volume)[] cut =
                [.. parts.Where(p => p.Entry.Region is not null).Select(p => (p.Entry.Region!, p.Volume))];
            if (cut.Length != parts.Count() || Join(parts.First().Entry.Volume, cut) is not { } joined)
                whole.AddRange(parts.Select(p => p.Volume));
            else
                whole.Add(joined);
        }

        return whole;
    }

    private static TrainingVolume? Join(string path, (DatasetRegion Region, TrainingVolume Volume)[] parts)
    {
        Extent size = MrcFile.ReadHeader(path).Shape;
        if (parts.Sum(p => p.Volume.Size.Voxels) != size.Voxels)
            return null;
        static Position InWhole(DatasetRegion region, Position p)
            => new(p.Z + region.Box.Origin.Z, p.Y + region.Box.Origin.Y, p.X + region.Box.Origin.X);
        return parts[0].Volume with
        {
            Name = path,
            Image = new JoinedVoxels(size, parts[0].Volume.Image.VoxelSize,
                [.. parts.Select(p => (p.Region.Box, p.Volume.Image))]),
            Mask = null,
            Centers = [.. parts.SelectMany(p => p.Volume.Centers.Select(c => InWhole(p.Region, c)))],
            CenterClasses = parts[0].Volume.CenterClasses is null ? null
                : [.. parts.SelectMany(p => p.Volume.CenterClasses!)],
        };
    }

    // The voxels of parts, each of which has a box of the whole.
    private sealed class JoinedVoxels(Extent size, VoxelSize voxel, (Box Box, IVoxelSource Image)[] parts) : IVoxelSource
    {
        public Extent Size => size;

        public VoxelSize VoxelSize => voxel;

        public void Read(Box box, Span<float> destination)
        {
            float[] read = [];
            foreach ((Box part, IVoxelSource image) in parts)
            {
                (int firstZ, int depth) = Common(box.Origin.Z, box.Size.Depth, part.Origin.Z, part.Size.Depth);
                (int firstY, int height) = Common(box.Origin.Y, box.Size.Height, part.Origin.Y, part.Size.Height);
                (int firstX, int width) = Common(box.Origin.X, box.Size.Width, part.Origin.X, part.Size.Width);
                if (depth <= 0 || height <= 0 || width <= 0)
                    continue;
                Box inside = new((firstZ - part.Origin.Z, firstY - part.Origin.Y, firstX - part.Origin.X),
                    new Extent(depth, height, width));
                if (read.Length < inside.Size.Voxels)
                    read = new float[inside.Size.Voxels];
                image.Read(inside, read.AsSpan(0, (int)inside.Size.Voxels));
                for (int row = 0; row < depth * height; row++)
                {
                    (int z, int y) = (firstZ - box.Origin.Z + (row / height), firstY - box.Origin.Y + (row % height));
                    read.AsSpan(row * width, width).CopyTo(
                        destination[((((z * box.Size.Height) + y) * box.Size.Width) + firstX - box.Origin.X)..]);
                }
            }
        }

        private static (int First, int Length) Common(int first, int length, int otherFirst, int otherLength)
        {
            int begin = Math.Max(first, otherFirst);
            return (begin, Math.Min(first + length, otherFirst + otherLength) - begin);
        }
    }
}
