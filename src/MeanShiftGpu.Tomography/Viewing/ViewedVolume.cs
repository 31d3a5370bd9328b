namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>A kind of particle on the page.</summary>
/// <param name="Name">Its name; empty where there is one kind only.</param>
/// <param name="Diameter">The diameter of its circles in voxels.</param>
internal sealed record ViewedKind(string Name, double Diameter);

/// <summary>The points of a page, one number for each in every list.</summary>
internal sealed record ViewedPoints
{
    /// <summary>Centres in voxels.</summary>
    public required IReadOnlyList<double> Z { get; init; }

    /// <summary>Along y.</summary>
    public required IReadOnlyList<double> Y { get; init; }

    /// <summary>Along x.</summary>
    public required IReadOnlyList<double> X { get; init; }

    /// <summary>Scores; null where there are none.</summary>
    public IReadOnlyList<double?>? Score { get; init; }

    /// <summary>Supports; null where they are not known.</summary>
    public IReadOnlyList<double?>? Support { get; init; }

    /// <summary>Which of the kinds.</summary>
    public required IReadOnlyList<int> Kind { get; init; }

    /// <summary>
    /// How far to the front each belongs, the smallest first; null where there is no such order.
    /// </summary>
    public IReadOnlyList<int>? Rank { get; init; }

    /// <summary>Which of a report's thumbnails; −1 for none.</summary>
    public IReadOnlyList<int>? Thumbnail { get; init; }
}

/// <summary>A slice within a report.</summary>
/// <param name="At">Which one along z.</param>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns.</param>
/// <param name="Bin">Voxels along an edge of a pixel.</param>
/// <param name="Pixels">[Height, Width].</param>
internal sealed record ViewedSlice(int At, int Height, int Width, int Bin, byte[] Pixels);

/// <summary>What the page is told about a volume.</summary>
internal sealed record ViewedVolume
{
    /// <summary>Its name, without a path.</summary>
    public required string Name { get; init; }

    /// <summary>Its size in voxels along z, y and x.</summary>
    public required IReadOnlyList<int> Shape { get; init; }

    /// <summary>Edge of a voxel in Å, for the scale bar; 0 for unknown, and then there is none.</summary>
    public required double VoxelAngstrom { get; init; }

    /// <summary>The kinds of points.</summary>
    public required IReadOnlyList<ViewedKind> Kinds { get; init; }

    /// <summary>The points.</summary>
    public required ViewedPoints Points { get; init; }

    /// <summary>Whether there is a score map to be laid over slices.</summary>
    public bool HasScoreMap { get; init; }

    /// <summary>Edge of thumbnails in voxels.</summary>
    public required int ThumbnailEdge { get; init; }

    /// <summary>The slices of a report.</summary>
    public IReadOnlyList<ViewedSlice>? Slices { get; init; }

    /// <summary>
    /// The thumbnails of a report, one after the other; null where the program is asked for them.
    /// </summary>
    public byte[]? Thumbnails { get; init; }

    /// <summary>The edge of a thumbnail that shows a particle and what is around it.</summary>
    public static int EdgeFor(double diameter) => Math.Clamp(2 * (int)Math.Ceiling(diameter), 28, 96);
}
