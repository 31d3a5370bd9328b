using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Writes a RELION file of particles (see <see cref="RelionStar"/>). Every row has its own pixel size and
/// binning.
/// </summary>
internal sealed class RelionWriter(string path, CoordinateWriteOptions options)
{
    private readonly CoordinateFormat format = options.Format!.Value;
    private readonly bool tomo = options.Format is CoordinateFormat.Relion4 or CoordinateFormat.Relion5;

    /// <summary>Writes particles.</summary>
    public void Write(IReadOnlyList<Particle> particles)
    {
        StarFile file = new();
        foreach (StarTable other in options.Template?.Tables ?? [])
        {
            if (!RelionStar.HasCoordinates(other) && other.Name != "optics")
                file.Tables.Add(other);
        }

        Row[] rows = [.. particles.Select(RowOf)];
        RefuseJoined(rows);
        // The input's optics, and other columns that say a pixel size, hold as long as the coordinates count
        // in the same pixels.
        bool samePixels = Array.TrueForAll(
            rows, r => Math.Abs(r.Grid.PerVoxel - r.Particle.Pixels.PerVoxel) <= 1e-9 * r.Grid.PerVoxel);
        StarTable? kept = samePixels ? options.Template?.Table("optics") : null;
        StarTable? optics = kept ?? (format == CoordinateFormat.Relion4 ? CreateOptics(rows) : null);
        if (optics is not null)
            file.Tables.Add(optics);
        file.Tables.Add(CreateTable(rows, keptOptics: kept is not null, samePixels));
        file.Write(path);
    }

    /// <summary>Refuses two tomograms that would be one by the name that is written for them.</summary>
    private void RefuseJoined(Row[] rows)
    {
        Dictionary<string, string?> names = [];
        foreach (Row row in rows)
        {
            if (!names.TryAdd(row.Tomogram, row.Particle.Tomogram) && names[row.Tomogram] != row.Particle.Tomogram)
                throw new InputException($"{path}: tomograms {InputFile.Quote(names[row.Tomogram] ?? "")} and "
                    + $"{InputFile.Quote(row.Particle.Tomogram ?? "")} would both be called {InputFile.Quote(row.Tomogram)}. "
                    + "Spell one tomogram alike in all rows, or rename one of the two.");
        }
    }

    /// <summary>A particle with its tomogram's name and pixels as they are written.</summary>
    private sealed record Row(Particle Particle, string Tomogram, PixelGrid Grid, double X, double Y, double Z);

    private Row RowOf(Particle p, int index)
    {
        string name = p.Tomogram ?? options.TomogramName
            ?? throw new InputException($"{path}: particle {index + 1} has no tomogram name; RELION joins tables by "
                + $"{NameColumn}. Give a name.")
            { Missing = MissingFact.TomogramName };
        if (format == CoordinateFormat.Warp && !name.EndsWith(RelionStar.TomostarEnding, StringComparison.Ordinal))
            name = TomogramName.WithoutEndings(Path.GetFileName(name)) + RelionStar.TomostarEnding;
        PixelGrid grid = options.GridOf(path, p);
        if (format != CoordinateFormat.Relion5)
            return new Row(p, name, grid, grid.ToPixel(p.X), grid.ToPixel(p.Y), grid.ToPixel(p.Z));

        (double x, double y, double z) size;
        if (options.TomogramOf(path, p) is { } entry)
        {
            name = entry.Name;
            size = (entry.SizeX, entry.SizeY, entry.SizeZ);
            if (grid.SizeAngstrom <= 0)
                throw new InputException($"{path}: tomogram {InputFile.Quote(name)} has no {RelionStar.TiltSeriesPixelSize} "
                    + $"above 0 in {options.Context.TomogramsStar}.");
        }
        else
        {
            Extent shape = options.Context.Of(path, p.Tomogram).RequireShape(path, RelionStar.Relion5Counts);
            size = (shape.Width * grid.PerVoxel, shape.Height * grid.PerVoxel, shape.Depth * grid.PerVoxel);
        }

        double Angstrom(double voxel, double length)
            => (grid.ToPixel(voxel) - RelionStar.Centre(length, options.Context.Centre)) * grid.SizeAngstrom;
        return new Row(p, name, grid, Angstrom(p.X, size.x), Angstrom(p.Y, size.y), Angstrom(p.Z, size.z));
    }

    private string NameColumn => tomo ? RelionStar.TomoName : RelionStar.MicrographName;

    /// <summary>An optics group for each size of pixels.</summary>
    private static StarTable CreateOptics(Row[] rows)
    {
        StarTable optics = new(
            "optics",
            [RelionStar.OpticsGroup, "rlnOpticsGroupName", RelionStar.TiltSeriesPixelSize, "rlnTomoSubtomogramBinning",
                "rlnImagePixelSize", "rlnImageDimensionality"]);
        optics.Comments.Add("version 30001");
        PixelGrid[] groups = Groups(rows);
        for (int i = 0; i < groups.Length; i++)
            optics.Rows.Add(
                [Whole(i + 1), $"opticsGroup{Whole(i + 1)}", Text(groups[i].SizeAngstrom), Text(groups[i].PerVoxel),
                    Text(groups[i].VoxelSizeAngstrom), "3"]);
        return optics;
    }

    private static PixelGrid[] Groups(Row[] rows) => [.. rows.Select(r => r.Grid).Distinct()];

    private StarTable CreateTable(Row[] rows, bool keptOptics, bool samePixels)
    {
        Particle[] particles = [.. rows.Select(r => r.Particle)];
        Func<Particle, int?> classOf = ParticleNames.ClassNumbers(particles);
        Dictionary<PixelGrid, int> groups = Groups(rows).Index().ToDictionary(g => g.Item, g => g.Index + 1);
        Func<Row, Dictionary<string, string>, string> opticsGroup = keptOptics
            ? (_, other) => other.GetValueOrDefault(RelionStar.OpticsGroup, "1")
            : (row, _) => Whole(groups[row.Grid]);

        // An entry is a column, or several that go together: their names, and their values of a row.
        List<(string[] Names, Func<Row, int, Dictionary<string, string>, string[]> Values)> columns =
        [
            ([NameColumn], (row, _, _) => [row.Tomogram]),
            (format == CoordinateFormat.Relion5 ? RelionStar.Centred : RelionStar.Pixels,
                (row, _, _) => [TableNumber.Text(row.X), TableNumber.Text(row.Y), TableNumber.Text(row.Z)]),
        ];
        if (particles.Any(p => p.Score is not null))
            columns.Add(([RelionStar.Score], (row, _, _) => [Text(row.Particle.Score ?? 0)]));
        if (particles.Any(p => classOf(p) is not null))
            columns.Add(([RelionStar.ClassNumber], (row, _, _) => [Whole(classOf(row.Particle) ?? 1)]));
        bool boxes = tomo && particles.Any(p => p.BoxAngles is not null);
        if (boxes)
            columns.Add((RelionStar.BoxAngles, (row, _, _) => Texts(row.Particle.BoxAngles)));
        if (particles.Any(p => p.Orientation is not null) || format == CoordinateFormat.Relion4)
            columns.Add((RelionStar.Angles, (row, _, _) => Texts(boxes ? row.Particle.Angles : row.Particle.Orientation)));
        if (format == CoordinateFormat.Relion4)
        {
            columns.Add(([.. RelionStar.OriginAngstrom, RelionStar.OpticsGroup, "rlnTomoParticleName"], (row, i, other) =>
                ["0", "0", "0", opticsGroup(row, other), other.GetValueOrDefault(
                    "rlnTomoParticleName", $"{row.Tomogram}/{Whole(i + 1)}")]));
        }
        else if (keptOptics)
        {
            columns.Add(([RelionStar.OpticsGroup], (row, _, other) => [opticsGroup(row, other)]));
        }
        else if (Array.Exists(rows, r => r.Grid.SizeAngstrom > 0))
        {
            // RELION 3 gives pixels as a detector's of so many µm, magnified.
            if (tomo)
                columns.Add(([RelionStar.TiltSeriesPixelSize], (row, _, _) => [Text(row.Grid.SizeAngstrom)]));
            else
                columns.Add(
                    (["rlnMagnification", "rlnDetectorPixelSize"], (row, _, _) => ["10000", Text(row.Grid.SizeAngstrom)]));
        }

        HashSet<string> own = [.. columns.SelectMany(c => c.Names)];
        string[] others =
            [.. particles.SelectMany(p => p.OtherColumns).Select(c => c.Key)
                .Where(c => !own.Contains(c) && !IsForeign(c, samePixels)).Distinct()];
        StarTable table = new("particles", [.. columns.SelectMany(c => c.Names), .. others]);
        table.Comments.Add(format == CoordinateFormat.Relion5 ? "version 50001" : "version 30001");
        for (int i = 0; i < rows.Length; i++)
        {
            Dictionary<string, string> other = [];
            foreach (KeyValuePair<string, string> pair in particles[i].OtherColumns)
                other[pair.Key] = pair.Value;
            // A particle from another table may lack a column; RELION's own word for nothing is "None".
            table.Rows.Add(
                [.. columns.SelectMany(c => c.Values(rows[i], i, other)), .. others.Select(
                    c => other.GetValueOrDefault(c, "None"))]);
        }

        return table;
    }

    /// <summary>
    /// Columns of another version's tables that would be misread: those that say a pixel size, of which there
    /// is one, and those that RELION joins tables by.
    /// </summary>
    private bool IsForeign(string column, bool samePixels)
        => (!samePixels && Array.IndexOf(RelionReader.PixelSizeLabels, column) >= 0)
            || (tomo ? column is "rlnMagnification" or "rlnDetectorPixelSize"
                : column == RelionStar.OpticsGroup || column.StartsWith("rlnTomo", StringComparison.Ordinal));

    private static string[] Texts(ParticleAngles? angles)
        => [TableNumber.Text(angles?.Rot ?? 0), TableNumber.Text(angles?.Tilt ?? 0), TableNumber.Text(angles?.Psi ?? 0)];

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Whole(int value) => value.ToString(CultureInfo.InvariantCulture);
}
