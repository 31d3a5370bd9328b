using MeanShiftGpu.Geometry;
using StbImageWriteSharp;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>What a marker stands for.</summary>
public enum ReportMarkerKind
{
    /// <summary>A true centre: a yellow ring.</summary>
    Truth,

    /// <summary>A pick: a red disc.</summary>
    Pick,
}

/// <summary>A circle over an image.</summary>
/// <param name="Y">Centre, in pixels; 0 is the centre of the first row.</param>
/// <param name="X">Centre, in pixels; 0 is the centre of the first column.</param>
/// <param name="Radius">In pixels.</param>
/// <param name="Kind">What it stands for.</param>
public readonly record struct ReportMarker(float Y, float X, float Radius, ReportMarkerKind Kind);

/// <summary>A grey image with circles over it.</summary>
public sealed record ReportImage
{
    // Radii as a fraction of the shorter edge: the same size on paper whatever the volume.
    private const float TruthRadius = 1 / 15f;
    private const float PickRadius = 1 / 34f;

    /// <summary>What it is, one or two words.</summary>
    public required string Title { get; init; }

    /// <summary>Rows.</summary>
    public required int Height { get; init; }

    /// <summary>Columns.</summary>
    public required int Width { get; init; }

    /// <summary>Grey values, [Height, Width]; 0 black to 255 white.</summary>
    public required byte[] Pixels { get; init; }

    /// <summary>Circles, drawn in this order.</summary>
    public IReadOnlyList<ReportMarker> Markers { get; init; } = [];

    /// <summary>
    /// A slice of a volume with the true centres and picks that lie near it, and the partners of these:
    /// without them, a pair on both sides of the reach would look like a miss. Circles shrink with the
    /// distance from the slice, as a ball's cross-section does.
    /// </summary>
    /// <param name="title">What it is.</param>
    /// <param name="volume">[D, H, W].</param>
    /// <param name="depth">D.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="z">The slice.</param>
    /// <param name="truth">True centres.</param>
    /// <param name="picks">Picks.</param>
    /// <param name="reachSlices">Centres up to this many slices away are shown.</param>
    /// <param name="pairVoxels">A true centre and a pick within this distance are partners.</param>
    /// <param name="window">The values that are black and white; null takes the 1st and 99th percentile of
    /// the slice.</param>
    public static ReportImage FromVolume(
        string title,
        ReadOnlySpan<float> volume,
        int depth,
        int height,
        int width,
        int z,
        IReadOnlyList<Position> truth,
        IReadOnlyList<Position> picks,
        float reachSlices,
        float pairVoxels = 4,
        (float Low, float High)? window = null)
    {
        if (volume.Length != (long)depth * height * width)
            throw new ArgumentException($"Image: {volume.Length} values for {depth}×{height}×{width} voxels.", nameof(volume));
        ArgumentOutOfRangeException.ThrowIfNegative(z);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(z, depth);
        return FromSlice(
            title,
            volume.Slice(z * height * width, height * width),
            height,
            width,
            z,
            truth,
            picks,
            reachSlices,
            pairVoxels,
            window);
    }

    /// <summary>One slice of a volume, as <see cref="FromVolume"/> shows it.</summary>
    /// <param name="title">What it is.</param>
    /// <param name="slice">[H, W].</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="z">Where the slice lies in the volume.</param>
    /// <param name="truth">True centres.</param>
    /// <param name="picks">Picks.</param>
    /// <param name="reachSlices">Centres up to this many slices away are shown.</param>
    /// <param name="pairVoxels">A true centre and a pick within this distance are partners.</param>
    /// <param name="window">The values that are black and white; null takes the 1st and 99th percentile of
    /// the slice.</param>
    public static ReportImage FromSlice(
        string title,
        ReadOnlySpan<float> slice,
        int height,
        int width,
        float z,
        IReadOnlyList<Position> truth,
        IReadOnlyList<Position> picks,
        float reachSlices,
        float pairVoxels = 4,
        (float Low, float High)? window = null)
    {
        if (slice.Length != (long)height * width)
            throw new ArgumentException($"Image: {slice.Length} values for {height}×{width} pixels.", nameof(slice));
        ArgumentOutOfRangeException.ThrowIfNegative(reachSlices);
        (float low, float high) = window ?? Percentiles(slice);
        byte[] pixels = new byte[slice.Length];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)Math.Round(255 * Math.Clamp((slice[i] - low) / Math.Max(high - low, 1e-12f), 0, 1));

        int edge = Math.Min(height, width);
        return new ReportImage
        {
            Title = title,
            Height = height,
            Width = width,
            Pixels = pixels,
            Markers =
            [
                .. Near(truth, picks, TruthRadius * edge, ReportMarkerKind.Truth),
                .. Near(picks, truth, PickRadius * edge, ReportMarkerKind.Pick),
            ],
        };

        IEnumerable<ReportMarker> Near(
            IReadOnlyList<Position> positions, IReadOnlyList<Position> partners, float radius, ReportMarkerKind kind) =>
            positions
                .Where(p => IsNear(p) || partners.Any(q => IsNear(q) && p.DistanceTo(q) <= pairVoxels))
                .Select(p => new ReportMarker((float)p.Y, (float)p.X, radius * CrossSection(Math.Abs(p.Z - z)), kind));

        bool IsNear(Position p) => Math.Abs(p.Z - z) <= reachSlices;

        float CrossSection(double distance)
            => (float)Math.Sqrt(1 - Math.Min(0.75, distance * distance / ((reachSlices + 1) * (reachSlices + 1))));
    }

    /// <summary>
    /// The slice with the most centres within reach; of equals, the one nearest to the middle. Without
    /// centres, the middle slice.
    /// </summary>
    /// <param name="positions">Centres.</param>
    /// <param name="depth">D, slices of the volume.</param>
    /// <param name="reachSlices">Centres up to this many slices away count.</param>
    public static int FullestSlice(IReadOnlyList<Position> positions, int depth, float reachSlices) =>
        Enumerable.Range(0, depth)
            .OrderByDescending(z => positions.Count(p => Math.Abs(p.Z - z) <= reachSlices))
            .ThenBy(z => Math.Abs(z - depth / 2))
            .First();

    /// <summary>Writes the image as PNG, without markers, one pixel for a voxel.</summary>
    internal void WritePng(Stream stream) =>
        new ImageWriter().WritePng(Pixels, Width, Height, ColorComponents.Grey, stream);

    private static (float Low, float High) Percentiles(ReadOnlySpan<float> slice)
    {
        float[] sorted = [.. slice];
        Array.Sort(sorted);
        int cut = sorted.Length / 100;
        return (sorted[cut], sorted[^(cut + 1)]);
    }
}
