using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Particles in RELION's STAR tables. RELION 3 (and Warp) count in pixels of the tomogram, RELION 4 in unbinned pixels, RELION 5 in Å from the
/// tomogram's centre. Offsets (rlnOrigin*) are subtracted, as RELION does, after rotation by rlnTomoSubtomogram* where a table has those.
/// </summary>
internal static class RelionStar
{
    private const string CentredX = "rlnCenteredCoordinateXAngst";
    private const string Score = "rlnAutopickFigureOfMerit";
    private const string TiltSeriesPixelSize = "rlnTomoTiltSeriesPixelSize";
    private const string Relion5Counts = "RELION 5 coordinates count in Å from the tomogram's centre";

    private static readonly string[] Centred = [CentredX, "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst"];
    private static readonly string[] Pixels = ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"];
    private static readonly string[] OriginAngstrom = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"];
    private static readonly string[] OriginPixels = ["rlnOriginX", "rlnOriginY", "rlnOriginZ"];
    private static readonly string[] SubtomogramAngles = ["rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi"];
    private static readonly string[] ParticleAngleColumns = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
    private static readonly string[] TomogramSizes = ["rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"];

    public static TableFormat Relion3 { get; } = Row(CoordinateFormat.Relion3);

    public static TableFormat Warp { get; } = Row(CoordinateFormat.Warp) with { IsUsual = false };

    public static TableFormat Relion4 { get; } = Row(CoordinateFormat.Relion4) with { IsUsual = false, CountsUnbinnedPixels = true };

    public static TableFormat Relion5 { get; } = Row(CoordinateFormat.Relion5) with { IsUsual = false, CountsUnbinnedPixels = true };

    private static TableFormat Row(CoordinateFormat format) => new(format, ".star")
    {
        IsStar = true,
        Recognise = FormatOf,
        Read = Read,
        Write = (path, particles, options) => Write(path, particles, format, options),
        Check = (path, options) => CheckOptions(path, format, options),
    };

    /// <summary>Reads the particles of a table, or of the table that an optimisation set names.</summary>
    private static CoordinateTable Read(string path, CoordinateContext context)
    {
        (path, StarFile file, StarTable table, string? tomograms) = Open(path, context.TomogramsStar);
        TomogramTable? sizes = tomograms is null ? null : TomogramTable.Read(tomograms);
        return new Reader(path, file, table, sizes, context).Read();
    }

    /// <summary>Which RELION's a table is, or Warp's.</summary>
    private static CoordinateFormat FormatOf(string path) => FormatOf(Open(path, null).Table);

    /// <summary>A file whose other tables can be written again; null where it only names another.</summary>
    public static StarFile? TemplateOf(string path) => StarFile.Read(path) is { } file && FindParticles(file) is not null ? file : null;

    private static CoordinateFormat FormatOf(StarTable table)
        => Centred.All(table.Has) ? CoordinateFormat.Relion5
            : table.Has("rlnTomoName") ? CoordinateFormat.Relion4
            : table.IndexOf("rlnMicrographName") is >= 0 and int name && table.Rows.Count > 0 && table.Rows.All(r => r[name].EndsWith(".tomostar", StringComparison.Ordinal)) ? CoordinateFormat.Warp
            : CoordinateFormat.Relion3;

    private static (string Path, StarFile File, StarTable Table, string? Tomograms) Open(string path, string? tomograms)
    {
        StarFile file = StarFile.Read(path);
        if (FindParticles(file) is null && FindColumn(file, "rlnTomoParticlesFile") is { } particlesFile)
        {
            if (tomograms is null && FindColumn(file, "rlnTomoTomogramsFile") is { } tomogramsFile)
                tomograms = ResolveInProject(path, tomogramsFile);
            path = ResolveInProject(path, particlesFile);
            file = StarFile.Read(path);
        }

        if (FindParticles(file) is { } table)
            return (path, file, table, tomograms);
        string found = string.Join(", ", file.Tables.SelectMany(t => t.Columns).Take(8));
        throw new InputException($"{path}: no table has coordinates; expected rlnCoordinateX, Y, Z or rlnCenteredCoordinateXAngst, Y, Z; found {(found.Length == 0 ? "no columns" : found)}.");
    }

    /// <summary>Writes particles.</summary>
    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateFormat format, CoordinateWriteOptions options)
    {
        StarFile file = new();
        foreach (StarTable kept in options.Template?.Tables ?? [])
        {
            if (kept != FindParticles(options.Template!) && kept.Name != "optics")
                file.Tables.Add(kept);
        }

        double binning = options.Context.BinningOrOne;
        double pixelSize = options.Context.VoxelSizeAngstrom / binning;
        TomogramTable? tomograms = format == CoordinateFormat.Relion5 && options.Context.TomogramsStar is { } star ? TomogramTable.Read(star) : null;
        bool tomo = format is CoordinateFormat.Relion4 or CoordinateFormat.Relion5;
        if (tomo && options.Template?.Table("optics") is { } optics)
            file.Tables.Add(optics);
        else if (format == CoordinateFormat.Relion4)
            file.Tables.Add(CreateOptics(pixelSize, binning));
        file.Tables.Add(CreateTable(path, particles, format, options, binning, pixelSize, tomograms));
        file.Write(path);
    }

    /// <summary>Refuses options that lack what a table needs.</summary>
    private static void CheckOptions(string path, CoordinateFormat format, CoordinateWriteOptions options)
    {
        if (format == CoordinateFormat.Relion5 && options.Context.TomogramsStar is null)
        {
            options.Context.RequireShape(path, Relion5Counts);
            options.Context.RequireVoxelSize(path, Relion5Counts);
        }
        else if (format == CoordinateFormat.Relion4 && options.Template?.Table("optics") is null)
        {
            options.Context.RequireVoxelSize(path, "RELION 4 needs the pixel size of the tilt series");
        }
    }

    private static StarTable CreateOptics(double pixelSize, double binning)
    {
        StarTable optics = new("optics", ["rlnOpticsGroup", "rlnOpticsGroupName", TiltSeriesPixelSize, "rlnTomoSubtomogramBinning", "rlnImagePixelSize", "rlnImageDimensionality"]);
        optics.Comments.Add("version 30001");
        optics.Rows.Add(["1", "opticsGroup1", Text(pixelSize), Text(binning), Text(pixelSize * binning), "3"]);
        return optics;
    }

    private static StarTable CreateTable(
        string path, IReadOnlyList<Particle> particles, CoordinateFormat format, CoordinateWriteOptions options, double binning, double pixelSize, TomogramTable? tomograms)
    {
        bool tomo = format is CoordinateFormat.Relion4 or CoordinateFormat.Relion5;
        bool scores = particles.Any(p => p.Score is not null);
        Func<Particle, int?> classOf = ParticleNames.ClassNumbers(particles);
        bool classes = particles.Any(p => classOf(p) is not null);
        bool boxes = tomo && particles.Any(p => p.BoxAngles is not null);
        bool angles = particles.Any(p => p.Orientation is not null) || format == CoordinateFormat.Relion4;
        bool detector = !tomo && pixelSize > 0;

        List<string> columns = [tomo ? "rlnTomoName" : "rlnMicrographName"];
        columns.AddRange(format == CoordinateFormat.Relion5 ? Centred : Pixels);
        if (scores)
            columns.Add(Score);
        if (classes)
            columns.Add("rlnClassNumber");
        if (boxes)
            columns.AddRange(SubtomogramAngles);
        if (angles)
            columns.AddRange(ParticleAngleColumns);
        if (format == CoordinateFormat.Relion4)
            columns.AddRange([.. OriginAngstrom, "rlnOpticsGroup", "rlnTomoParticleName"]);
        if (detector)
            columns.AddRange(["rlnMagnification", "rlnDetectorPixelSize"]);
        HashSet<string> own = [.. columns];
        string[] others = [.. particles.SelectMany(p => p.OtherColumns).Select(c => c.Key).Where(c => !own.Contains(c) && !IsForeign(c, tomo)).Distinct()];

        StarTable table = new("particles", columns.Concat(others));
        table.Comments.Add(format == CoordinateFormat.Relion5 ? "version 50001" : "version 30001");
        for (int i = 0; i < particles.Count; i++)
        {
            Particle p = particles[i];
            string name = p.Tomogram ?? options.TomogramName
                ?? throw new InputException($"{path}: particle {i + 1} has no tomogram name; RELION joins tables by {columns[0]}. Give a name.") { Missing = MissingFact.TomogramName };
            if (format == CoordinateFormat.Warp && !name.EndsWith(".tomostar", StringComparison.Ordinal))
                name = $"{TomogramName.WithoutEndings(Path.GetFileName(name))}.tomostar";
            (double X, double Y, double Z) pixels = (Unbinned(p.X, binning), Unbinned(p.Y, binning), Unbinned(p.Z, binning));
            if (format == CoordinateFormat.Relion5 && tomograms?.Find(path, name) is { } known)
                name = known.Name;
            if (format == CoordinateFormat.Relion5)
                pixels = ToCentred(path, name, pixels, options.Context, tomograms, binning, pixelSize);

            List<string> row = [name, TableNumber.Text(pixels.X), TableNumber.Text(pixels.Y), TableNumber.Text(pixels.Z)];
            if (scores)
                row.Add(Text(p.Score ?? 0));
            if (classes)
                row.Add((classOf(p) ?? 1).ToString(CultureInfo.InvariantCulture));
            if (boxes)
                row.AddRange(Texts(p.BoxAngles));
            if (angles)
                row.AddRange(Texts(boxes ? p.Angles : p.Orientation));
            Dictionary<string, string> other = [];
            foreach (KeyValuePair<string, string> pair in p.OtherColumns)
                other[pair.Key] = pair.Value;
            if (format == CoordinateFormat.Relion4)
            {
                row.AddRange([
                    "0", "0", "0",
                    other.GetValueOrDefault("rlnOpticsGroup", "1"),
                    other.GetValueOrDefault("rlnTomoParticleName", $"{name}/{i + 1}")]);
            }

            if (detector)
                row.AddRange(["10000", Text(pixelSize)]);
            // A particle from another table may lack a column; RELION's own word for nothing is "None".
            row.AddRange(others.Select(c => other.GetValueOrDefault(c, "None")));
            table.Rows.Add([.. row]);
        }

        return table;
    }

    /// <summary>Columns of another version's tables that would be misread: RELION takes a magnification for a pixel size of its own, and joins by names.</summary>
    private static bool IsForeign(string column, bool tomo)
        => tomo ? column is "rlnMagnification" or "rlnDetectorPixelSize" : column == "rlnOpticsGroup" || column.StartsWith("rlnTomo", StringComparison.Ordinal);

    /// <summary>Å from the tomogram's centre.</summary>
    private static (double X, double Y, double Z) ToCentred(
        string path, string tomogram, (double X, double Y, double Z) pixels, CoordinateContext context, TomogramTable? tomograms, double binning, double pixelSize)
    {
        (double x, double y, double z) size = default;
        if (tomograms is not null)
        {
            if (tomograms.Find(path, tomogram) is not { PixelSize: > 0 } entry)
                throw new InputException($"{path}: tomogram {InputFile.Quote(tomogram)} is not in {tomograms.Path}, or has no {TiltSeriesPixelSize} there.");
            (size, pixelSize) = ((entry.SizeX, entry.SizeY, entry.SizeZ), entry.PixelSize);
        }
        else if (context.Shape is { } shape)
        {
            size = (shape.Width * binning, shape.Height * binning, shape.Depth * binning);
        }

        return (
            (pixels.X - Centre(size.x, context.Centre)) * pixelSize,
            (pixels.Y - Centre(size.y, context.Centre)) * pixelSize,
            (pixels.Z - Centre(size.z, context.Centre)) * pixelSize);
    }

    private static string[] Texts(ParticleAngles? angles) => [TableNumber.Text(angles?.Rot ?? 0), TableNumber.Text(angles?.Tilt ?? 0), TableNumber.Text(angles?.Psi ?? 0)];

    private static double Unbinned(double voxel, double binning) => CoordinateContext.ToPixel(voxel, binning);

    private static double Binned(double pixel, double binning) => CoordinateContext.ToVoxel(pixel, binning);

    private static double Centre(double size, RelionCentre centre) => centre == RelionCentre.HalfSize ? size / 2 : (size / 2) - 1;

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static StarTable? FindParticles(StarFile file)
        => file.Tables.FirstOrDefault(t => Centred.All(t.Has) || Pixels.All(t.Has));

    private static string? FindColumn(StarFile file, string column)
        => file.Tables.FirstOrDefault(t => t.Has(column) && t.Rows.Count > 0) is { } table ? table.Rows[0][table.IndexOf(column)] : null;

    /// <summary>Names in RELION's tables count from the project's folder, which is some parent of the table's.</summary>
    private static string ResolveInProject(string path, string name)
    {
        if (name.Length == 0 || name.Contains('\0', StringComparison.Ordinal))
            throw new InputException($"{path}: names no file where one is expected.");
        for (string? folder = Path.GetDirectoryName(Path.GetFullPath(path)); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            string candidate = Path.Combine(folder, name);
            if (File.Exists(candidate))
                return candidate;
        }

        throw new InputException($"{path}: names {InputFile.Quote(name)}, which is neither in its folder nor in a parent folder.");
    }

    /// <summary>Sizes, pixel size and binning of tomograms by name.</summary>
    private sealed record TomogramTable(string Path, IReadOnlyDictionary<string, TomogramTable.Entry> Entries)
    {
        public static TomogramTable Read(string path)
        {
            StarFile file = StarFile.Read(path);
            StarTable? table = file.Tables.FirstOrDefault(t => t.Has("rlnTomoName") && TomogramSizes.All(t.Has));
            if (table is null)
                throw new InputException($"{path}: no table has rlnTomoName and rlnTomoSizeX, Y, Z; expected RELION's tomograms.star.");
            Dictionary<string, Entry> entries = [];
            for (int i = 0; i < table.Rows.Count; i++)
            {
                TableRow row = new(path, table, i);
                entries[row.Text("rlnTomoName")] = new Entry(
                    row.Text("rlnTomoName"),
                    row.Number(TomogramSizes[0]),
                    row.Number(TomogramSizes[1]),
                    row.Number(TomogramSizes[2]),
                    table.Has(TiltSeriesPixelSize) ? row.Number(TiltSeriesPixelSize) : 0,
                    table.Has("rlnTomoTomogramBinning") ? row.Number("rlnTomoTomogramBinning") : 0);
            }

            return new TomogramTable(path, entries);
        }

        private readonly ILookup<TomogramName, Entry> byName = Entries.Values.ToLookup(e => new TomogramName(e.Name));

        /// <summary>A tomogram by its exact name, or else by the one name that is equal to it; null where there is none.</summary>
        public Entry? Find(string table, string tomogram)
        {
            if (Entries.TryGetValue(tomogram, out Entry? exact) || Entries.TryGetValue(TomogramName.WithoutEndings(tomogram), out exact))
                return exact;
            Entry[] same = [.. byName[new TomogramName(tomogram)]];
            return same.Length < 2 ? same.FirstOrDefault()
                : throw new InputException($"{table}: tomogram {InputFile.Quote(tomogram)} may be {string.Join(" or ", same.Select(e => InputFile.Quote(e.Name)))} of {Path}. Use the exact name.");
        }

        public sealed record Entry(string Name, double SizeX, double SizeY, double SizeZ, double PixelSize, double Binning);
    }

    private readonly struct TableRow(string path, StarTable table, int row)
    {
        public string Text(string column) => table.Rows[row][table.IndexOf(column)];

        public double Number(string column)
        {
            string text = Text(column);
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value)
                ? value
                : throw new InputException($"{path}: line {Line}: {column} is {InputFile.Quote(text)}; expected a number.");
        }

        public int WholeNumber(string column)
        {
            double value = Number(column);
            return value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue
                ? (int)value
                : throw new InputException($"{path}: line {Line}: {column} is {InputFile.Quote(Text(column))}; expected a whole number.");
        }

        public int Line => table.RowLines[row];
    }

    private sealed class Reader(string path, StarFile file, StarTable table, TomogramTable? tomograms, CoordinateContext context)
    {
        private readonly bool centred = table.Has(CentredX) && Centred.All(table.Has);
        private readonly string? nameColumn = table.Has("rlnTomoName") ? "rlnTomoName" : table.Has("rlnMicrographName") ? "rlnMicrographName" : null;

        private readonly HashSet<string> consumed =
        [
            .. Centred, .. Pixels, .. OriginAngstrom, .. OriginPixels, .. ParticleAngleColumns,
            .. SubtomogramAngles, Score, "rlnClassNumber", "rlnTomoName",
        ];

        /// <summary>What the rows were last found to count in, in Å.</summary>
        private double pixelSizeAngstrom;

        public CoordinateTable Read()
        {
            List<Particle> particles = [.. Particles()];
            return new CoordinateTable(FormatOf(table), particles, pixelSizeAngstrom);
        }

        private IEnumerable<Particle> Particles()
        {
            if (nameColumn is not null)
                consumed.Add(nameColumn);
            int[] kept = [.. Enumerable.Range(0, table.Columns.Count).Where(i => !consumed.Contains(table.Columns[i]))];
            bool any = false;
            Func<string, bool>? isWanted = context.Tomogram is { } wanted && nameColumn is not null
                ? TomogramName.Among(table.Rows.Select(r => r[table.IndexOf(nameColumn)]), wanted)
                : null;
            for (int i = 0; i < table.Rows.Count; i++)
            {
                TableRow row = new(path, table, i);
                string? tomogram = nameColumn is null ? null : row.Text(nameColumn);
                if (isWanted is not null && !isWanted(tomogram!))
                    continue;
                any = true;
                (double x, double y, double z) = centred ? FromCentred(row, tomogram) : FromPixels(row);
                yield return new Particle(z, y, x)
                {
                    Score = table.Has(Score) ? row.Number(Score) : null,
                    Class = table.Has("rlnClassNumber") ? row.WholeNumber("rlnClassNumber") : null,
                    Tomogram = tomogram,
                    Angles = Angles(row, ParticleAngleColumns),
                    BoxAngles = Angles(row, SubtomogramAngles),
                    OtherColumns = [.. kept.Select(c => KeyValuePair.Create(table.Columns[c], table.Rows[i][c]))],
                };
            }

            if (!any && context.Tomogram is not null && nameColumn is not null && table.Rows.Count > 0)
                throw CoordinateTables.NoSuchTomogram(path, context.Tomogram, table.Rows.Select(r => r[table.IndexOf(nameColumn)]));
        }

        private ParticleAngles? Angles(TableRow row, string[] columns)
            => columns.All(table.Has) ? new ParticleAngles(row.Number(columns[0]), row.Number(columns[1]), row.Number(columns[2])) : null;

        private (double X, double Y, double Z) FromPixels(TableRow row)
        {
            (double x, double y, double z) = Triple(row, Pixels);
            // Pixels of RELION 3 tables are the tomogram's; those of RELION 4 are the tilt series', whose size the table gives.
            bool relion4 = table.Has("rlnTomoName");
            double pixelSize = pixelSizeAngstrom = PixelSize(row);
            double binning = relion4 ? context.BinningFor(pixelSize) : context.BinningOrOne;
            (double X, double Y, double Z) offset = OriginAngstrom.All(table.Has) ? OffsetAngstrom(row) : default;
            if (offset != default)
            {
                if (pixelSize <= 0)
                    pixelSize = context.RequireVoxelSize(path, $"line {row.Line}: rlnOrigin*Angst are in Å, but the table has no pixel size") / binning;
                (x, y, z) = (x - (offset.X / pixelSize), y - (offset.Y / pixelSize), z - (offset.Z / pixelSize));
            }
            else if (OriginPixels.All(table.Has))
            {
                (double X, double Y, double Z) pixels = Triple(row, OriginPixels);
                (x, y, z) = (x - pixels.X, y - pixels.Y, z - pixels.Z);
            }

            return (Binned(x, binning), Binned(y, binning), Binned(z, binning));
        }

        private (double X, double Y, double Z) FromCentred(TableRow row, string? tomogram)
        {
            (double x, double y, double z) = Triple(row, Centred);
            if (OriginAngstrom.All(table.Has))
            {
                (double X, double Y, double Z) offset = OffsetAngstrom(row);
                (x, y, z) = (x - offset.X, y - offset.Y, z - offset.Z);
            }

            (double sizeX, double sizeY, double sizeZ, double pixelSize, double binning) = Frame(row, tomogram);
            return (
                Binned((x / pixelSize) + Centre(sizeX, context.Centre), binning),
                Binned((y / pixelSize) + Centre(sizeY, context.Centre), binning),
                Binned((z / pixelSize) + Centre(sizeZ, context.Centre), binning));
        }

        /// <summary>The tomogram's size in unbinned pixels, their size in Å, and the binning of the volume.</summary>
        private (double SizeX, double SizeY, double SizeZ, double PixelSize, double Binning) Frame(TableRow row, string? tomogram)
        {
            if (tomograms is not null)
            {
                if (tomogram is null || tomograms.Find(path, tomogram) is not { } entry)
                    throw new InputException($"{path}: line {row.Line}: tomogram {InputFile.Quote(tomogram ?? "")} is not in {tomograms.Path}.");
                double size = pixelSizeAngstrom = entry.PixelSize > 0 ? entry.PixelSize : PixelSize(row);
                if (size <= 0 || entry.Binning < 0)
                    throw new InputException($"{tomograms.Path}: tomogram {InputFile.Quote(tomogram)} has no {TiltSeriesPixelSize} above 0.");
                double binning = context.Binning > 0 || context.VoxelSizeAngstrom > 0 ? context.BinningFor(size) : entry.Binning > 0 ? entry.Binning : 1;
                return (entry.SizeX, entry.SizeY, entry.SizeZ, size, binning);
            }

            double unbinned = pixelSizeAngstrom = PixelSize(row);
            double factor = context.BinningFor(unbinned);
            const string unlessTomograms = $"{Relion5Counts}; without tomograms.star (which optimisation_set.star names) its size and voxel size are needed";
            VolumeShape shape = context.RequireShape(path, unlessTomograms);
            if (unbinned <= 0)
                unbinned = context.RequireVoxelSize(path, unlessTomograms) / factor;
            return (shape.Width * factor, shape.Height * factor, shape.Depth * factor, unbinned, factor);
        }

        /// <summary>The size in Å of the pixels that the table counts in; 0 when it does not say.</summary>
        private double PixelSize(TableRow row)
        {
            foreach (string column in (string[])[TiltSeriesPixelSize, "rlnMicrographPixelSize", "rlnImagePixelSize"])
            {
                if (OpticsValue(row, column) is { } size && size > 0)
                    return size;
            }

            if (table.Has("rlnDetectorPixelSize") && table.Has("rlnMagnification") && row.Number("rlnMagnification") > 0)
                return Math.Max(0, row.Number("rlnDetectorPixelSize") * 10000 / row.Number("rlnMagnification"));
            return 0;
        }

        private double? OpticsValue(TableRow row, string column)
        {
            if (table.Has(column))
                return row.Number(column);
            if (file.Table("optics") is not { } optics || !optics.Has(column) || optics.Rows.Count == 0)
                return null;
            if (!table.Has("rlnOpticsGroup") || !optics.Has("rlnOpticsGroup"))
                return new TableRow(path, optics, 0).Number(column);
            int group = row.WholeNumber("rlnOpticsGroup");
            for (int i = 0; i < optics.Rows.Count; i++)
            {
                TableRow candidate = new(path, optics, i);
                if (candidate.WholeNumber("rlnOpticsGroup") == group)
                    return candidate.Number(column);
            }

            throw new InputException($"{path}: line {row.Line}: optics group {group} is not in the optics table.");
        }

        /// <summary>
        /// The offset in the tomogram's frame. RELION refines it in the frame of the extracted box, which may be turned against the tomogram's by
        /// rlnTomoSubtomogramRot, Tilt, Psi: its Euler matrix turns it back.
        /// </summary>
        private (double X, double Y, double Z) OffsetAngstrom(TableRow row)
        {
            (double x, double y, double z) = Triple(row, OriginAngstrom);
            return Angles(row, SubtomogramAngles) is { } box ? box.ToMatrix().Apply(x, y, z) : (x, y, z);
        }

        private static (double X, double Y, double Z) Triple(TableRow row, string[] columns)
            => (row.Number(columns[0]), row.Number(columns[1]), row.Number(columns[2]));
    }
}
