using System.Text;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>A point that a report shows.</summary>
/// <param name="Center">Its place in voxels.</param>
/// <param name="Kind">Which of the kinds it is.</param>
internal sealed record ReportedPoint(Position Center, int Kind)
{
    /// <summary>Its score; null for none.</summary>
    public double? Score { get; init; }

    /// <summary>Its support; null where it is not known.</summary>
    public double? Support { get; init; }
}

/// <summary>A volume and points that a report shows.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">Its file.</param>
/// <param name="Kinds">The kinds of points.</param>
/// <param name="Points">The points.</param>
/// <param name="WorstFirst">Whether the points come in the order in which they are to be looked at.</param>
internal sealed record ReportedVolume(string Name, string Path, IReadOnlyList<ViewedKind> Kinds,
    IReadOnlyList<ReportedPoint> Points, bool WorstFirst);

/// <summary>
/// The page of 'view' as a part of a report that can be mailed: a few slices of each volume and thumbnails of
/// some points within the page, and nothing to be changed.
/// </summary>
internal static class ViewReport
{
    /// <summary>
    /// The most volumes that a report shows; of each there are some pictures less, the more there are.
    /// </summary>
    public const int MostVolumes = 4;

    // Bytes of pictures in a page; a mail takes a few MB, and text makes four characters of three bytes.
    private const int SliceBytes = 1_600_000;
    private const int ThumbnailBytes = 700_000;
    private const int MostSlices = 7;
    private const int LongestEdge = 512;

    // Noise of one slice hides the particles; their mean over a few shows them.
    private const int Reach = 2;

    /// <summary>Makes the part; null where there is no volume.</summary>
    /// <param name="volumes">The volumes; the first <see cref="MostVolumes"/> are shown.</param>
    /// <exception cref="InputException">A volume cannot be read.</exception>
    public static ReportInsert? Make(IReadOnlyList<ReportedVolume> volumes)
    {
        if (volumes.Count == 0)
            return null;
        StringBuilder markup = new();
        int count = Math.Min(volumes.Count, MostVolumes);
        for (int i = 0; i < count; i++)
        {
            // The serialiser leaves no character that means something to HTML or XML.
            string data = JsonSerializer.Serialize(Describe(volumes[i], count), ViewPage.Json);
            markup.Append(
                $"<div class=\"viewer\" id=\"viewer{i}\"></div>\n<script "
                + $"type=\"application/json\" id=\"viewer{i}-data\">{data}</script>\n");
        }

        const string start = """
            for (const root of document.querySelectorAll(".viewer")) {
                const data = document.getElementById(`${root.id}-data`).textContent;
                root.viewer = new Viewer(root, new EmbeddedSource(JSON.parse(data)));
            }
            """;
        return new ReportInsert(ViewPage.Style, markup.ToString(), ViewPage.Script + start);
    }

    private static ViewedVolume Describe(ReportedVolume volume, int volumes)
    {
        using VolumeSlices slices = VolumeSlices.Open(volume.Path, cacheBytes: 0);
        int edge = ViewedVolume.EdgeFor(volume.Kinds.Max(k => k.Diameter));
        int[] chosen = Chosen(volume, Math.Max(1, ThumbnailBytes / volumes / (edge * edge)));
        byte[] thumbnails = new byte[chosen.Length * edge * edge];
        int[] thumbnailOf = new int[volume.Points.Count];
        Array.Fill(thumbnailOf, -1);
        for (int i = 0; i < chosen.Length; i++)
        {
            thumbnailOf[chosen[i]] = i;
            slices.ReadThumbnail(volume.Points[chosen[i]].Center, edge, Reach, thumbnails.AsSpan(i * edge * edge));
        }

        static double Short(double value) => Math.Round(value, 2);
        IReadOnlyList<ReportedPoint> points = volume.Points;
        return new ViewedVolume
        {
            Name = volume.Name,
            Shape = [slices.Size.Depth, slices.Size.Height, slices.Size.Width],
            VoxelAngstrom = slices.VoxelSize.CubeAngstrom,
            Kinds = volume.Kinds,
            ThumbnailEdge = edge,
            Slices = Slices(slices, points, SliceBytes / volumes),
            Thumbnails = thumbnails,
            Points = new ViewedPoints
            {
                Z = [.. points.Select(p => Short(p.Center.Z))],
                Y = [.. points.Select(p => Short(p.Center.Y))],
                X = [.. points.Select(p => Short(p.Center.X))],
                Score = points.Any(p => p.Score is not null) ? [.. points.Select(p => p.Score)] : null,
                Support = points.Any(p => p.Support is not null) ? [.. points.Select(p => p.Support)] : null,
                Kind = [.. points.Select(p => p.Kind)],
                Rank = volume.WorstFirst ? [.. Enumerable.Range(0, points.Count)] : null,
                Thumbnail = thumbnailOf,
            },
        };
    }

    // The first ones where they have an order; or else as many of those with the lowest scores as of those
    // with the highest.
    private static int[] Chosen(ReportedVolume volume, int most)
    {
        int[] all = [.. Enumerable.Range(0, volume.Points.Count)];
        if (all.Length <= most)
            return all;
        if (volume.WorstFirst)
            return all[..most];
        int[] sorted = [.. all.OrderBy(i => volume.Points[i].Score ?? 0)];
        return [.. sorted[..(most / 2)], .. sorted[^(most - most / 2)..]];
    }

    // Slices at depths from the first point to the last, as many as there is room for.
    private static List<ViewedSlice> Slices(VolumeSlices volume, IReadOnlyList<ReportedPoint> points, int mostBytes)
    {
        Extent size = volume.Size;
        int bin = (Math.Max(size.Height, size.Width) + LongestEdge - 1) / LongestEdge;
        int height = (size.Height + bin - 1) / bin, width = (size.Width + bin - 1) / bin;
        double first = points.Count > 0 ? Math.Clamp(points.Min(p => p.Center.Z), 0, size.Depth - 1) : 0;
        double last = points.Count > 0 ? Math.Clamp(points.Max(p => p.Center.Z), 0, size.Depth - 1) : size.Depth - 1;
        int count = Math.Clamp(mostBytes / (height * width), 1, MostSlices);
        IEnumerable<int> depths = Enumerable.Range(0, count)
            .Select(i => (int)Math.Round(first + (last - first) * (i + 0.5) / count)).Distinct();
        byte[] whole = new byte[size.Height * size.Width];
        List<ViewedSlice> slices = [];
        foreach (int z in depths)
        {
            volume.TryRead(SlicePlane.XY, z, Reach, whole);
            slices.Add(new ViewedSlice(z, height, width, bin, Binned(whole, size, bin, height, width)));
        }

        return slices;
    }

    private static byte[] Binned(byte[] whole, Extent size, int bin, int height, int width)
    {
        if (bin == 1)
            return [.. whole];
        byte[] binned = new byte[height * width];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int sum = 0, count = 0;
                for (int j = y * bin; j < Math.Min(size.Height, (y + 1) * bin); j++)
                {
                    for (int i = x * bin; i < Math.Min(size.Width, (x + 1) * bin); i++, count++)
                        sum += whole[j * size.Width + i];
                }

                binned[y * width + x] = (byte)(sum / count);
            }
        }

        return binned;
    }
}
