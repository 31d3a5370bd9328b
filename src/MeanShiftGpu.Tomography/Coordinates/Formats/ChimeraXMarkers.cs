using System.Globalization;
using System.Text;
using System.Xml;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// ChimeraX's and Chimera's markers: marker_set elements of marker elements with id, x, y, z and radius in Å,
/// where the first voxel's centre is at the origin that the map's header gives. What those programs do not
/// know they keep, so that score, class, name and the set's voxel_spacing and map_origin (x y z, in Å) are
/// attributes of ours.
/// </summary>
internal static class ChimeraXMarkers
{
    private const string Expected = "ChimeraX's markers (marker_set of marker elements)";
    private const string Spacing = "voxel_spacing";
    private const string MapOrigin = "map_origin";

    // Where the voxels say nothing better: large enough to be seen, small enough not to hide a particle.
    private const double RadiusVoxels = 3;

    public static TableFormat Format { get; } = new(CoordinateFormat.ChimeraX, ".cmm")
    {
        HoldsSeveralTomograms = false,
        HoldsBlanks = true,
        HoldsAngles = false,
        PixelSizes = PixelSizes.OneInTable,
        VoxelSizeReason = static _ => "ChimeraX counts in Å",
        Read = Read,
        Write = Write,
    };

    private static CoordinateTable Read(string path, CoordinateContext context)
    {
        using FileStream stream = InputFile.Open(path);
        if (stream.Length == 0)
            throw new InputException($"{path}: is empty. Expected {Expected}.");
        using XmlReader xml = XmlReader.Create(stream,
            new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, IgnoreComments = true, IgnoreWhitespace = true });
        try
        {
            List<Particle> particles = [];
            PixelGrid? grid = null;
            Place origin = default;
            Place? first = null;
            while (xml.Read())
            {
                if (xml.NodeType != XmlNodeType.Element)
                    continue;
                switch (xml.Name)
                {
                    // Several sets are in one marker_sets.
                    case "marker_sets" or "link":
                        break;
                    case "marker_set":
                        grid = GridOf(path, xml, context);
                        origin = OriginOf(path, xml, context, grid.Value);
                        first ??= origin;
                        break;
                    case "marker" when grid is { } pixels:
                        particles.Add(Parse(path, xml, pixels, origin));
                        break;
                    default:
                        throw new InputException($"{path}: line {Line(xml)}: element {InputFile.Quote(xml.Name)}; expected "
                            + $"{Expected}.");
                }
            }

            return first is { } begin
                ? new(CoordinateFormat.ChimeraX, particles) { MapOrigin = (begin.Z, begin.Y, begin.X) }
                : throw new InputException($"{path}: has no marker_set; expected {Expected}.");
        }
        // The decoder throws ArgumentException on some names of encodings, NotSupportedException on others.
        catch (Exception e) when (
            e is XmlException or IOException or ArgumentException or NotSupportedException or InvalidOperationException)
        {
            throw new InputException($"{path}: {InputFile.OneLine(e.Message)} Expected {Expected}.", e);
        }
    }

    private static PixelGrid GridOf(string path, XmlReader xml, CoordinateContext context)
    {
        double spacing = Math.Max(0, Number(path, xml, Spacing) ?? 0);
        PixelGrid grid = context.Grid(spacing);
        return spacing > 0 ? grid
            : grid with
            {
                SizeAngstrom = context.RequireVoxelSize(path,
                "counts in Å and does not say the voxel size") / grid.PerVoxel
            };
    }

    // The volume's own, where it is known; else that of the map for which the file was written.
    private static Place OriginOf(string path, XmlReader xml, CoordinateContext context, PixelGrid grid)
    {
        Place? said = null;
        if (xml.GetAttribute(MapOrigin) is { Length: > 0 } text)
        {
            double[] numbers = [.. text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(
                n => double.TryParse(n, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) ? v : double.NaN)];
            if (numbers.Length != 3 || !numbers.All(double.IsFinite))
                throw new InputException($"{path}: line {Line(xml)}: {MapOrigin} is {InputFile.Quote(text)}; expected three "
                    + "numbers, x y z in Å.");
            said = new Place(numbers[0], numbers[1], numbers[2]);
        }

        if (context.Volume is null)
            return said ?? default;
        Place known = OriginOf(context.Volume);
        const double rounding = 0.1;
        double most = rounding * grid.VoxelSizeAngstrom;
        if (said is { } other && (Math.Abs(other.X - known.X) > most || Math.Abs(other.Y - known.Y) > most
            || Math.Abs(other.Z - known.Z) > most))
            throw new InputException($"{path}: line {Line(xml)}: was written for a map that begins at {other} Å (x, y, z), and "
                + $"{context.Volume} begins at {known} Å by its header. Give the volume of the markers, or correct its origin.");
        return known;
    }

    private static Place OriginOf(string? volume)
        => volume is not null && MrcFile.ReadHeader(volume).OriginAngstrom is var (z, y, x) ? new Place(x, y, z) : default;

    private static Particle Parse(string path, XmlReader xml, PixelGrid grid, Place origin)
    {
        double Voxel(string axis, double first) => grid.ToVoxel(((Number(path, xml, axis)
            ?? throw new InputException($"{path}: line {Line(xml)}: a marker without {axis}; expected x, y and "
                + $"z.")) - first) / grid.SizeAngstrom);
        double? label = Number(path, xml, "class");
        if (label is { } number && (number != Math.Floor(number) || Math.Abs(number) > int.MaxValue))
            throw new InputException($"{path}: line {Line(xml)}: class is {InputFile.Quote(xml.GetAttribute("class")!)}; "
                + $"expected a whole number.");
        return new Particle(Voxel("z", origin.Z), Voxel("y", origin.Y), Voxel("x", origin.X))
        {
            Pixels = grid,
            Score = Number(path, xml, "score"),
            ScoreDeviation = Number(path, xml, "score_deviation"),
            Class = (int?)label,
            Name = xml.GetAttribute("name") is { Length: > 0 } name ? name : null,
        };
    }

    private static double? Number(string path, XmlReader xml, string name)
    {
        string? text = xml.GetAttribute(name);
        return string.IsNullOrEmpty(text) ? null
            : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                && double.IsFinite(value) ? value
            : throw new InputException($"{path}: line {Line(xml)}: {name} is {InputFile.Quote(text)}; expected a number.");
    }

    private static int Line(XmlReader xml) => ((IXmlLineInfo)xml).LineNumber;

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        string set = particles.Select(p => p.Tomogram).FirstOrDefault(t => t is not null) ?? options.TomogramName ?? "picks";
        if (particles.Select(p => p.Name).OfType<string>().Append(set)
            .FirstOrDefault(n => !n.All(XmlConvert.IsXmlChar)) is { } broken)
            throw new InputException($"{path}: cannot be written: the name {InputFile.Quote(broken)} has a character that XML "
                + "does not allow. Rename it.");
        PixelGrid grid = options.GridOf(path, particles.Count > 0 ? particles[0] : new Particle(0, 0, 0));
        Place origin = options.Context is { Volume: null, MapOrigin: var (firstZ, firstY, firstX) }
            ? new Place(firstX, firstY, firstZ) : OriginOf(options.Context.Volume);
        string Angstrom(double voxel, double first) => TableNumber.Text((grid.ToPixel(voxel) * grid.SizeAngstrom) + first);
        static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);
        AtomicFile.Write(path, stream =>
        {
            using XmlWriter xml = XmlWriter.Create(stream,
                new XmlWriterSettings
                {
                    Indent = true,
                    OmitXmlDeclaration = true,
                    Encoding = new UTF8Encoding(false),
                    NewLineChars = "\n",
                    CloseOutput = false
                });
            void Say(string name, string value) => xml.WriteAttributeString(name, value);
            xml.WriteStartElement("marker_set");
            Say("name", set);
            Say(Spacing, Text(grid.SizeAngstrom));
            if (origin != default)
                Say(MapOrigin, origin.ToString());
            for (int i = 0; i < particles.Count; i++)
            {
                Particle p = particles[i];
                xml.WriteStartElement("marker");
                Say("id", (i + 1).ToString(CultureInfo.InvariantCulture));
                Say("x", Angstrom(p.X, origin.X));
                Say("y", Angstrom(p.Y, origin.Y));
                Say("z", Angstrom(p.Z, origin.Z));
                // Yellow is seen before grey densities.
                Say("r", "1");
                Say("g", "1");
                Say("b", "0");
                Say("radius", TableNumber.Text(RadiusVoxels * grid.VoxelSizeAngstrom));
                if (p.Score is { } score)
                    Say("score", Text(score));
                if (p.ScoreDeviation is { } deviation)
                    Say("score_deviation", Text(deviation));
                if (p.Class is { } number)
                    Say("class", number.ToString(CultureInfo.InvariantCulture));
                if (p.Name is { } name)
                    Say("name", name);
                xml.WriteEndElement();
            }

            xml.WriteEndElement();
        });
    }

    // In Å.
    private readonly record struct Place(double X, double Y, double Z)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{X:R} {Y:R} {Z:R}");
    }
}
