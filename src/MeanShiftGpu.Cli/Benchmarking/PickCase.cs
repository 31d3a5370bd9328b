using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>
/// What the benchmark of picking picks: noise of a given size, and a score map with given particles.
/// </summary>
public sealed record PickCase
{
    // Particles are balls whose score falls from 1 to 0 at this distance: some 500 voxels each are above the
    // default threshold.
    private const float BallRadius = 5.9f;
    private const int Spacing = 14;
    private const int Border = 8;
    private const int VoxelsPerParticle = 45_000;

    /// <summary>The volume's extents.</summary>
    public Extent Size { get; init; } = new(56, 56, 56);

    /// <summary>The network; its weights are random.</summary>
    public UNet3dOptions Network { get; init; } = new();

    /// <summary>
    /// How many particles the score map has; null for one in 45 000 voxels, as in a crowded tomogram.
    /// </summary>
    public int? Particles { get; init; }

    /// <summary>The most memory that the process may take, in bytes.</summary>
    public long MemoryLimitBytes { get; init; } = 1536L << 20;

    /// <summary>The volume in a temporary file.</summary>
    internal MrcWriter CreateImage()
    {
        MrcWriter image = MrcWriter.CreateScratch(Path.GetTempPath(), Size);
        Random random = new(1);
        float[] slice = new float[(long)Size.Height * Size.Width];
        for (int z = 0; z < Size.Depth; z++)
        {
            foreach (ref float value in slice.AsSpan())
                value = random.NextSingle() + random.NextSingle() - 1;
            image.Write(Box.Slices(Size, z, 1), slice);
        }

        return image;
    }

    /// <summary>The score map in a temporary file, and how many particles it has.</summary>
    /// <exception cref="InputException">So many particles have no room.</exception>
    internal (MrcWriter Map, int Particles) CreateMap()
    {
        (int z, int y, int x) = (Along(Size.Depth), Along(Size.Height), Along(Size.Width));
        int count = Particles ?? (int)Math.Clamp(Size.Voxels / VoxelsPerParticle, 1, Math.Max(1, z * y * x));
        if (count > z * y * x)
            throw new InputException($"bench: there is no room for {Counted.Of(count, "particle")} in {Size}, only for "
                + $"{z * y * x}.");
        int[] places = [.. Enumerable.Range(0, z * y * x)];
        Random random = new(2);
        random.Shuffle(places);
        MrcWriter map = MrcWriter.CreateScratch(Path.GetTempPath(), Size);
        foreach (int place in places.Take(count).Order())
            WriteBall(map, new Position(At(place / (y * x)), At(place / x % y), At(place % x)));
        return (map, count);

        static int Along(int extent) => Math.Max(0, (extent - 2 * Border) / Spacing + 1);
        float At(int cell) => Border + cell * Spacing + 2 * random.NextSingle() - 1;
    }

    private void WriteBall(MrcWriter map, Position center)
    {
        const int Edge = 2 * ((int)BallRadius + 1) + 1;
        Box box =
            new Box(((int)center.Z - Edge / 2, (int)center.Y - Edge / 2, (int)center.X - Edge / 2), new Extent(Edge, Edge, Edge))
                .ClippedTo(Size);
        float[] values = new float[box.Size.Voxels];
        for (int i = 0; i < values.Length; i++)
        {
            Position voxel = new(
                box.Origin.Z + i / box.Size.Width / box.Size.Height,
                box.Origin.Y + i / box.Size.Width % box.Size.Height,
                box.Origin.X + i % box.Size.Width);
            values[i] = MathF.Max(0, 1 - (float)voxel.SquaredDistanceTo(center) / (BallRadius * BallRadius));
        }

        map.Write(box, values);
    }
}
