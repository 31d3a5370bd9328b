using MeanShiftGpu.Geometry;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>A slice of a validation volume, and what the network makes of it.</summary>
internal sealed record ValidationSlice
{
    /// <summary>How many are looked at.</summary>
    internal const int Most = 3;

    /// <summary>Centres and picks up to this many slices away belong to it.</summary>
    internal const int ReachSlices = 3;

    // Noise of one slice hides the particles; their mean over a few shows them.
    private const int SlicesAround = 2;

    /// <summary>The volume's name.</summary>
    public required string Volume { get; init; }

    /// <summary>Which slice of the volume.</summary>
    public required int Slice { get; init; }

    /// <summary>Rows.</summary>
    public required int Height { get; init; }

    /// <summary>Columns.</summary>
    public required int Width { get; init; }

    /// <summary>[Height, Width]: the mean of five slices.</summary>
    public required IReadOnlyList<float> Image { get; init; }

    /// <summary>
    /// [Height, Width]: the largest score of the same five slices, over all classes; empty before the first
    /// validation.</summary>
    public IReadOnlyList<float> Scores { get; init; } = [];

    /// <summary>The largest score of the whole part of the volume that was looked at.</summary>
    public float MapMaximum { get; init; }

    /// <summary>The annotated centres of the part, from its first voxel.</summary>
    public required IReadOnlyList<Position> Centers { get; init; }

    /// <summary>The picks of all classes in the part, from its first voxel.</summary>
    public IReadOnlyList<Position> Picks { get; init; } = [];

    /// <summary>Which part of the validation volumes it is cut from.</summary>
    internal int Part { get; init; }

    /// <summary>Which slice of the part.</summary>
    internal int Z { get; init; }

    /// <summary>Whether what lies at one depth is shown in the slice at another.</summary>
    internal static bool IsNear(double z, double slice) => Math.Abs(z - slice) <= ReachSlices;

    /// <summary>Reads a slice of a part of a volume.</summary>
    internal static ValidationSlice Of(int part, TrainingVolume volume, Box box, int z, IReadOnlyList<Position> centers)
    {
        (int first, int count) = Around(z, box.Size.Depth);
        Extent size = new(count, box.Size.Height, box.Size.Width);
        float[] slices = new float[size.Voxels];
        volume.Image.Read(new Box((box.Origin.Z + first, box.Origin.Y, box.Origin.X), size), slices);
        int pixels = size.Height * size.Width;
        return new ValidationSlice
        {
            Part = part,
            Z = z,
            Volume = volume.Name,
            Slice = box.Origin.Z + z,
            Height = size.Height,
            Width = size.Width,
            Centers = centers,
            Image = [.. Enumerable.Range(0, pixels).Select(i
                => Enumerable.Range(0, count).Average(k => slices[k * pixels + i]))],
        };
    }

    /// <summary>The same slice with what the network makes of it now.</summary>
    /// <param name="maps">[classes][D, H, W]: the score maps of the part.</param>
    /// <param name="size">D, H, W.</param>
    /// <param name="picks">The picks of the part.</param>
    internal ValidationSlice With(float[][] maps, Extent size, IReadOnlyList<Position> picks)
    {
        (int first, int count) = Around(Z, size.Depth);
        int pixels = size.Height * size.Width;
        float[] scores = new float[pixels];
        foreach (float[] map in maps)
        {
            for (int i = 0; i < count * pixels; i++)
                scores[i % pixels] = Math.Max(scores[i % pixels], map[first * pixels + i]);
        }

        return this with { Scores = scores, MapMaximum = maps.Max(m => m.Max()), Picks = picks };
    }

    private static (int First, int Count) Around(int z, int depth)
    {
        int first = Math.Max(0, z - SlicesAround);
        return (first, Math.Min(depth - 1, z + SlicesAround) - first + 1);
    }
}
