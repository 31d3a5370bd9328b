using System.Globalization;
using System.Text;
using System.Xml;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// DeepFinder's object list: an objlist of object elements with tomo_idx, obj_id, class_label, x, y, z, phi,
/// psi, the and cluster_size as attributes.
/// </summary>
internal static class DeepFinderXml
{
    private const string Expected = "DeepFinder's object list (objlist of object elements)";

    public static TableFormat Format { get; } = new(CoordinateFormat.DeepFinder, ".xml")
    {
        HoldsScores = false,
        Read = static (path, context) => new(CoordinateFormat.DeepFinder, Read(path, context)),
        Write = Write,
    };

    private static readonly string[] Known = ["tomo_idx", "obj_id", "class_label", "x", "y", "z", "phi", "psi", "the"];

    private static List<Particle> Read(string path, CoordinateContext context)
    {
        IReadOnlyDictionary<int, string> names = TomogramNumbers.ReadNames(path);
        using FileStream stream = InputFile.Open(path);
        if (stream.Length == 0)
            throw new InputException($"{path}: is empty. Expected {Expected}.");
        // No document type, so no entities that grow: what is read is never larger than the file.
        using XmlReader xml = XmlReader.Create(stream, new XmlReaderSettings
        {
            DtdProcessing = DtdProcessing.Prohibit,
            IgnoreComments = true,
            IgnoreWhitespace = true,
        });
        try
        {
            if (xml.MoveToContent() != XmlNodeType.Element || xml.Name != "objlist")
                throw new InputException($"{path}: line {Line(xml)}: the root is {InputFile.Quote(xml.Name)}; expected "
                    + $"{Expected}.");
            List<Particle> particles = [];
            while (xml.Read())
            {
                if (xml.NodeType != XmlNodeType.Element)
                    continue;
                if (xml.Name != "object" || xml.Depth != 1)
                    throw new InputException($"{path}: line {Line(xml)}: element {InputFile.Quote(xml.Name)}; expected "
                        + $"{Expected}.");
                particles.Add(Parse(path, xml, context, names));
            }

            return particles;
        }
        // The decoder throws ArgumentException on some names of encodings, NotSupportedException on others.
        catch (Exception e) when (
            e is XmlException or IOException or ArgumentException or NotSupportedException or InvalidOperationException)
        {
            throw new InputException($"{path}: {InputFile.OneLine(e.Message)} Expected {Expected}.", e);
        }
    }

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        TomogramNumbers tomograms = new(particles, options.TomogramName);
        Func<Particle, int?> classes = ParticleNames.ClassNumbers(particles);
        AtomicFile.Write(path, stream =>
        {
            using XmlWriter xml = XmlWriter.Create(stream, new XmlWriterSettings
            {
                Indent = true,
                OmitXmlDeclaration = true,
                Encoding = new UTF8Encoding(false),
                NewLineChars = "\n",
                CloseOutput = false,
            });
            xml.WriteStartElement("objlist");
            foreach (Particle p in particles)
            {
                xml.WriteStartElement("object");
                xml.WriteAttributeString("tomo_idx", tomograms.Of(p).ToString(CultureInfo.InvariantCulture));
                if (p.Id is { } id)
                    xml.WriteAttributeString("obj_id", id.ToString(CultureInfo.InvariantCulture));
                xml.WriteAttributeString("class_label", (classes(p) ?? 1).ToString(CultureInfo.InvariantCulture));
                PixelGrid grid = options.GridOf(path, p);
                xml.WriteAttributeString("x", TableNumber.Text(grid.ToPixel(p.X)));
                xml.WriteAttributeString("y", TableNumber.Text(grid.ToPixel(p.Y)));
                xml.WriteAttributeString("z", TableNumber.Text(grid.ToPixel(p.Z)));
                if (p.Orientation is { } angles)
                {
                    (double phi, double theta, double psi) = angles.ToZxz();
                    xml.WriteAttributeString("phi", TableNumber.Text(phi));
                    xml.WriteAttributeString("psi", TableNumber.Text(psi));
                    xml.WriteAttributeString("the", TableNumber.Text(theta));
                }

                if (p.OtherColumns.FirstOrDefault(c => c.Key == "cluster_size").Value is { } size)
                    xml.WriteAttributeString("cluster_size", size);
                xml.WriteEndElement();
            }

            xml.WriteEndElement();
        });
        tomograms.WriteNames(path);
    }

    private static Particle Parse(string path, XmlReader xml, CoordinateContext context, IReadOnlyDictionary<int, string> names)
    {
        double? Number(string name)
        {
            string? text = xml.GetAttribute(name);
            return text is null or "" or "None" ? null
                : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                && double.IsFinite(value) ? value
                : throw new InputException($"{path}: line {Line(xml)}: {name} is {InputFile.Quote(text)}; expected a number.");
        }

        int? Whole(string name) => Number(name) is not { } value ? null
            : value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue ? (int)value
            : throw new InputException($"{path}: line {Line(xml)}: {name} is {InputFile.Quote(xml.GetAttribute(name)!)}; "
                + "expected a whole number.");
        PixelGrid grid = context.Grid(0);
        double Voxel(string name) => grid.ToVoxel(Number(name) ?? throw new InputException($"{path}: line {Line(xml)}: an "
            + $"object without {name}; expected x, y and z."));

        (double? phi, double? theta, double? psi) = (Number("phi"), Number("the"), Number("psi"));
        Particle particle = new(Voxel("z"), Voxel("y"), Voxel("x"))
        {
            Pixels = grid,
            Id = Whole("obj_id"),
            Class = Whole("class_label"),
            Tomogram = Whole("tomo_idx") is { } number
                ? names.GetValueOrDefault(number, number.ToString(CultureInfo.InvariantCulture)) : null,
            Angles = phi is null && theta is null && psi is null ? null : ParticleAngles.FromZxz(phi ?? 0, theta ?? 0, psi ?? 0),
        };
        List<KeyValuePair<string, string>> others = [];
        for (bool more = xml.MoveToFirstAttribute(); more; more = xml.MoveToNextAttribute())
        {
            if (!Known.Contains(xml.Name))
                others.Add(new(xml.Name, xml.Value));
        }

        xml.MoveToElement();
        return others.Count == 0 ? particle : particle with { OtherColumns = others };
    }

    private static int Line(XmlReader xml) => ((IXmlLineInfo)xml).LineNumber;
}
