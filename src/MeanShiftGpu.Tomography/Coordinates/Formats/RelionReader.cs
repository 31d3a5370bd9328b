using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Reads one table of particles of a RELION file (see <see cref="RelionStar"/>). Every row has its own
/// tomogram, pixel size and binning.
/// </summary>
/// <param name="path">The file.</param>
/// <param name="file">What it holds: the optics table says the pixel sizes.</param>
/// <param name="table">The table.</param>
/// <param name="names">The tomogram of each row; null where it is not said.</param>
/// <param name="tomograms">Sizes and pixel sizes of tomograms, for coordinates that count from the centre;
/// null where there are none.</param>
/// <param name="context">What the file does not say.</param>
internal sealed class RelionReader(
    string path,
    StarFile file,
    StarTable table,
    IReadOnlyList<string?> names,
    TomogramsStar? tomograms,
    CoordinateContext context)
{
    /// <summary>
    /// Labels of optics or particles that say the size of the pixels that coordinates count in. The last is
    /// the extracted image's, which is the micrograph's where no other one is given (RELION's list of labels;
    /// Warp exports so).
    /// </summary>
    public static readonly string[] PixelSizeLabels =
        [RelionStar.TiltSeriesPixelSize, "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnPixelSize",
            "rlnImagePixelSize"];

    private static readonly HashSet<string> Understood =
    [
        .. RelionStar.Centred,
        .. RelionStar.Pixels,
        .. RelionStar.OriginAngstrom,
        .. RelionStar.OriginPixels,
        .. RelionStar.Angles,
        .. RelionStar.BoxAngles,
        RelionStar.Score, RelionStar.ClassNumber, RelionStar.TomoName,
    ];

    private readonly bool centred = RelionStar.Centred.All(table.Has);
    private readonly bool unbinned = table.Has(RelionStar.TomoName);
    // RELION's own columns come first; a column of another program counts where it holds numbers.
    private readonly string? score = Array.Find(RelionStar.Scores, table.Has)
        ?? ScoreColumns.Among(table.Columns, column => table.Rows.Select(row => row[column]));

    private readonly StarTable? optics = file.Table(RelionStar.Optics) is { Rows.Count: > 0 } found ? found : null;

    // The first row of each optics group, and what all groups agree on by column: a file may have as many
    // groups as particles.
    private Dictionary<int, int>? opticsRows;
    private readonly Dictionary<string, double[]> opticsValues = [];

    /// <summary>Reads the rows, or those of the tomograms that are wanted.</summary>
    public IEnumerable<Particle> Read(Func<string, bool>? isWanted)
    {
        RefuseIncomplete();
        string nameColumn = unbinned ? RelionStar.TomoName : RelionStar.MicrographName;
        int[] kept =
            [.. Enumerable.Range(0, table.Columns.Count).Where(
                i => !Understood.Contains(table.Columns[i]) && table.Columns[i] != nameColumn)];
        for (int i = 0; i < table.Rows.Count; i++)
        {
            if (isWanted is not null && names[i] is { } name && !isWanted(name))
                continue;
            StarRow row = new(path, table, i);
            string[] values = table.Rows[i];
            CoordinateContext own = context.Of(path, names[i]);
            (double X, double Y, double Z, PixelGrid grid) = centred ? FromCentred(row, names[i], own) : FromPixels(row, own);
            yield return new Particle(grid.ToVoxel(Z), grid.ToVoxel(Y), grid.ToVoxel(X))
            {
                Score = score is null ? null : row.Number(score),
                Class = table.Has(RelionStar.ClassNumber) ? row.WholeNumber(RelionStar.ClassNumber) : null,
                Tomogram = names[i],
                Pixels = grid,
                Angles = Angles(row, RelionStar.Angles),
                BoxAngles = Angles(row, RelionStar.BoxAngles),
                OtherColumns = [.. kept.Select(c => KeyValuePair.Create(table.Columns[c], values[c]))],
            };
        }
    }

    // What a missing column of such a set would say cannot be known.
    private void RefuseIncomplete()
    {
        string[][] sets = [RelionStar.OriginAngstrom, RelionStar.OriginPixels, RelionStar.Angles, RelionStar.BoxAngles];
        foreach (string[] set in sets)
        {
            if (set.Any(table.Has) && Array.Find(set, column => !table.Has(column)) is { } missing)
                throw new InputException($"{path}: has {string.Join(" and ", set.Where(table.Has))}, but no {missing}; expected "
                    + "all three or none. Add the missing columns (0 where there is nothing to say), or leave out the others.");
        }
    }

    private ParticleAngles? Angles(StarRow row, string[] columns)
        => columns.All(table.Has) ? new ParticleAngles(row.Number(columns[0]), row.Number(columns[1]), row.Number(columns[2]))
            : null;

    /// <summary>
    /// A place in pixels: those of RELION 3 tables are the tomogram's; those of RELION 4 are the tilt
    /// series', whose size the table gives.
    /// </summary>
    private (double X, double Y, double Z, PixelGrid Grid) FromPixels(StarRow row, CoordinateContext own)
    {
        (double x, double y, double z) = Triple(row, RelionStar.Pixels);
        double size = PixelSize(row);
        PixelGrid grid = unbinned ? own.Grid(size) : own.TomogramGrid($"{path}: line {row.Line}", size);
        // RELION takes the offsets in Å where there are such, and only otherwise those in pixels.
        bool inAngstrom = RelionStar.OriginAngstrom.All(table.Has);
        (double X, double Y, double Z) offset = inAngstrom ? Offset(row, RelionStar.OriginAngstrom) : default;
        if (offset != default)
        {
            double pixel = grid.SizeAngstrom > 0 ? grid.SizeAngstrom
                : own.RequireVoxelSize(
                    path, $"line {row.Line}: rlnOrigin*Angst are in Å, but the table has no pixel size") / grid.PerVoxel;
            (x, y, z) = (x - (offset.X / pixel), y - (offset.Y / pixel), z - (offset.Z / pixel));
        }
        else if (!inAngstrom && RelionStar.OriginPixels.All(table.Has))
        {
            (double X, double Y, double Z) pixels = Offset(row, RelionStar.OriginPixels);
            (x, y, z) = (x - pixels.X, y - pixels.Y, z - pixels.Z);
        }

        return (x, y, z, grid);
    }

    /// <summary>A place in unbinned pixels from one in Å from the tomogram's centre.</summary>
    private (double X, double Y, double Z, PixelGrid Grid) FromCentred(StarRow row, string? tomogram, CoordinateContext own)
    {
        (double x, double y, double z) = Triple(row, RelionStar.Centred);
        if (RelionStar.OriginAngstrom.All(table.Has))
        {
            (double X, double Y, double Z) offset = Offset(row, RelionStar.OriginAngstrom);
            (x, y, z) = (x - offset.X, y - offset.Y, z - offset.Z);
        }
        else if (RelionStar.OriginPixels.All(table.Has) && Triple(row, RelionStar.OriginPixels) != default)
        {
            // Those of the extracted image, which may be binned: the table need not say it.
            throw new InputException($"{path}: line {row.Line}: {string.Join(", ", RelionStar.OriginPixels)} are offsets in "
                + "pixels of unknown size beside coordinates in Å; expected "
                + $"{string.Join(", ", RelionStar.OriginAngstrom)}. Multiply them by the size of the extracted images' pixels "
                + "and rename them, or leave them out where they are not to count.");
        }

        (double sizeX, double sizeY, double sizeZ, PixelGrid grid) = Frame(row, tomogram, own);
        double Pixel(double angstrom, double size) => (angstrom / grid.SizeAngstrom) + RelionStar.Centre(size, own.Centre);
        return (Pixel(x, sizeX), Pixel(y, sizeY), Pixel(z, sizeZ), grid);
    }

    /// <summary>The tomogram's size in unbinned pixels, and these.</summary>
    private (double SizeX, double SizeY, double SizeZ, PixelGrid Grid) Frame(StarRow row, string? tomogram, CoordinateContext own)
    {
        if (tomograms is not null)
        {
            if (tomogram is null || tomograms.Find(tomogram, path) is not { } entry)
                throw new InputException($"{path}: line {row.Line}: tomogram {InputFile.Quote(tomogram ?? "")} is not in "
                    + $"{tomograms.Path}. Spell the name as there, or give the tomograms.star that lists it.");
            PixelGrid known = entry.Grid(own.Binning, own.VoxelSizeAngstrom, PixelSize(row));
            tomograms.RefuseOtherVolume(entry, known, own);
            return known.SizeAngstrom > 0
                ? (entry.SizeX, entry.SizeY, entry.SizeZ, known)
                : throw new InputException($"{tomograms.Path}: tomogram {InputFile.Quote(entry.Name)} has no "
                    + $"{RelionStar.TiltSeriesPixelSize} above 0.");
        }

        PixelGrid grid = own.Grid(PixelSize(row));
        const string unlessTomograms = $"{RelionStar.Relion5Counts}; without tomograms.star (which optimisation_set.star "
            + "names) its size and voxel size are needed";
        Extent shape = own.RequireShape(path, unlessTomograms);
        if (grid.SizeAngstrom <= 0)
            grid = grid with { SizeAngstrom = own.RequireVoxelSize(path, unlessTomograms) / grid.PerVoxel };
        return (shape.Width * grid.PerVoxel, shape.Height * grid.PerVoxel, shape.Depth * grid.PerVoxel, grid);
    }

    /// <summary>The size in Å of the pixels that a row counts in; 0 where the file does not say it.</summary>
    private double PixelSize(StarRow row)
    {
        foreach (string label in PixelSizeLabels)
        {
            if (OpticsValue(row, label) is not (> 0 and var size))
                continue;
            if (label == "rlnPixelSize" && table.Has("rlnMagnification") && DetectorPixelSize(row) is > 0 and var detector
                && Differ(size, detector))
                throw Contradiction(row, $"{label} is {Text(size)} Å, but rlnMagnification and rlnDetectorPixelSize make "
                    + $"{Text(detector)} Å");
            // A subtomogram's pixels are those of the tilt series, binned; coordinates are not.
            return label == "rlnImagePixelSize" && OpticsValue(row, "rlnTomoSubtomogramBinning") is > 0 and var binning
                ? size / binning : size;
        }

        return DetectorPixelSize(row);
    }

    private static bool Differ(double one, double other) => Math.Abs(one - other) > 0.01 * other;

    private static string Text(double size) => size.ToString("0.####", CultureInfo.InvariantCulture);

    private InputException Contradiction(StarRow row, string what)
        => new($"{path}: line {row.Line}: {what}; expected the same pixel size. Correct the wrong one, or leave it out.");

    private double DetectorPixelSize(StarRow row)
    {
        // RELION 2 and 3 give the detector's pixel in µm with a magnification; pytom-match-pick gives the
        // voxel in Å under the same label, alone.
        if (!table.Has("rlnDetectorPixelSize"))
            return 0;
        double detector = Math.Max(0, row.Number("rlnDetectorPixelSize"));
        return !table.Has("rlnMagnification") ? detector
            : row.Number("rlnMagnification") is > 0 and var magnification ? detector * 10000 / magnification : 0;
    }

    private double? OpticsValue(StarRow row, string column)
    {
        if (table.Has(column))
        {
            double own = row.Number(column);
            // Of several groups the row must say which is its own.
            bool known = optics is not null && (table.Has(RelionStar.OpticsGroup) || optics.Rows.Count == 1);
            return own > 0 && known && FromOptics(row, column) is > 0 and var other && Differ(own, other)
                ? throw Contradiction(row, $"{column} is {Text(own)}, but {Text(other)} in the optics table") : own;
        }

        return FromOptics(row, column);
    }

    private double? FromOptics(StarRow row, string column)
    {
        if (optics is null || !optics.Has(column))
            return null;
        if (!table.Has(RelionStar.OpticsGroup) || !optics.Has(RelionStar.OpticsGroup))
        {
            if (!opticsValues.TryGetValue(column, out double[]? sizes))
            {
                sizes = [.. Enumerable.Range(0, optics.Rows.Count).Select(i => new StarRow(path, optics, i).Number(column))
                    .Distinct()];
                opticsValues[column] = sizes;
            }

            return sizes.Length == 1 ? sizes[0]
                : throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{path}: line {row.Line}: the optics "
                    + $"table gives {column} {sizes[0]} and {sizes[1]}, and the row has no {RelionStar.OpticsGroup} that says "
                    + $"which."));
        }

        int group = row.WholeNumber(RelionStar.OpticsGroup);
        if (opticsRows is null)
        {
            opticsRows = [];
            for (int i = 0; i < optics.Rows.Count; i++)
            {
                StarRow one = new(path, optics, i);
                int number = one.WholeNumber(RelionStar.OpticsGroup);
                if (!opticsRows.TryAdd(number, i) && !optics.Rows[i].SequenceEqual(optics.Rows[opticsRows[number]]))
                    throw new InputException($"{path}: line {one.Line}: optics group {number} stands also at line "
                        + $"{optics.RowLines[opticsRows[number]]}, with other values; expected each group once. Number them "
                        + "anew, also in the particles' rows.");
            }
        }

        return opticsRows.TryGetValue(group, out int at)
            ? new StarRow(path, optics, at).Number(column)
            : throw new InputException($"{path}: line {row.Line}: optics group {group} is not in the optics table. Add a "
                + "row for it to data_optics, or correct the particle's group.");
    }

    /// <summary>
    /// The offset in the tomogram's frame. RELION refines it in the frame of the extracted box, which may be
    /// turned against the tomogram's by rlnTomoSubtomogramRot, Tilt, Psi: its Euler matrix turns it back.
    /// </summary>
    private (double X, double Y, double Z) Offset(StarRow row, string[] columns)
    {
        (double x, double y, double z) = Triple(row, columns);
        return Angles(row, RelionStar.BoxAngles) is { } box ? box.ToMatrix().Apply(x, y, z) : (x, y, z);
    }

    private static (double X, double Y, double Z) Triple(StarRow row, string[] columns)
        => (row.Number(columns[0]), row.Number(columns[1]), row.Number(columns[2]));
}
