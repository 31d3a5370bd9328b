using System.Globalization;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// EMAN2's info file: boxes_3d is a list of [x, y, z, method, score, class], class_list gives the classes'
/// names, apix_unbin the size of an unbinned pixel. A box at b lies at voxel b·apix_unbin/apix + size/2,
/// size/2 rounded down, of the tomogram with voxels of apix; without apix_unbin, which old files lack, b
/// counts in voxels from the first.
/// </summary>
internal static class Eman2Json
{
    private const string Boxes = "boxes_3d";
    private const string NameEnding = "_info.json";

    private const string Expected = "EMAN2's info file with boxes_3d";
    private const string PixelSize = "apix_unbin";
    private const string Counts = "EMAN2 coordinates count from the tomogram's middle";
    private const int BoxSize = 32;

    public static TableFormat Format { get; } = new(CoordinateFormat.Eman2, ".json")
    {
        CountsUnbinnedPixels = true,
        NeedsScores = true,
        HoldsSeveralTomograms = false,
        HoldsAngles = false,
        IsUsual = false,
        IsNamed = static path => path.EndsWith(NameEnding, StringComparison.OrdinalIgnoreCase),
        Recognise = static path => JsonTable.Has(path, Boxes) ? CoordinateFormat.Eman2 : null,
        Mark = $"\"{Boxes}\" (EMAN2)",
        TomogramOf = TomogramOf,
        FileName = static (tomogram, _) => tomogram + NameEnding,
        Read = Read,
        Write = Write,
        PixelSizes = PixelSizes.OneInTable,
        VoxelSizeReason = static _ => "EMAN2 coordinates count in unbinned pixels, whose size the file gives",
        ShapeReason = static _ => Counts,
    };

    private static CoordinateTable Read(string path, CoordinateContext context) => JsonTable.Read(path, Expected, root =>
    {
        JsonElement boxes = JsonTable.List(path, root, Boxes, Expected);
        double pixel = Math.Max(0, JsonTable.Number(path, "", root, PixelSize) ?? 0);
        Dictionary<int, string> names = ClassNames(path, root);
        string? tomogram = TomogramOf(path);
        CoordinateContext own = context.Of(path, tomogram);
        PixelGrid grid = own.Grid(pixel);
        List<Particle> particles = new(boxes.GetArrayLength());
        foreach (JsonElement box in boxes.EnumerateArray())
        {
            string where = $"{Boxes}[{particles.Count}]";
            if (box.ValueKind != JsonValueKind.Array || box.GetArrayLength() is < 3 or > 64)
                throw new InputException($"{path}: {where} is {InputFile.Quote(box.ToString())}; expected [x, y, z, method, "
                    + "score, class].");
            JsonElement At(int index) => index < box.GetArrayLength() ? box[index] : default;
            double Voxel(int axis, Func<Extent, int> size)
            {
                double value = JsonTable.Number(path, $"{where}[{axis}]", At(axis)) ?? throw new InputException(
                    $"{path}: {where}[{axis}] is null; expected a number.");
                return pixel > 0 ? (value / grid.PerVoxel) + (size(own.RequireShape(path, Counts)) / 2) : value;
            }

            int? number = At(5).ValueKind == JsonValueKind.Undefined ? null : JsonTable.Whole(path, $"{where}[5]", At(5));
            particles.Add(new Particle(Voxel(2, s => s.Depth), Voxel(1, s => s.Height), Voxel(0, s => s.Width))
            {
                Pixels = grid,
                Score = At(4).ValueKind == JsonValueKind.Undefined ? null : JsonTable.Number(path, $"{where}[4]", At(4)),
                Class = number,
                Name = number is { } n ? names.GetValueOrDefault(n) : null,
                Tomogram = tomogram,
            });
        }

        return new CoordinateTable(CoordinateFormat.Eman2, particles);
    });

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        Extent shape = options.Context.RequireShape(path, Counts);
        PixelGrid grid = options.GridOf(path, particles.Count > 0 ? particles[0] : new Particle(0, 0, 0));
        Func<Particle, int?> numbers = ParticleNames.ClassNumbers(particles);
        int ClassOf(Particle p) => numbers(p) ?? 0;
        AtomicFile.Write(path, stream =>
        {
            using Utf8JsonWriter json = new(stream, JsonTable.WriterOptions);
            json.WriteStartObject();
            json.WriteNumber(PixelSize, grid.SizeAngstrom);
            json.WriteStartArray(Boxes);
            foreach (Particle p in particles)
            {
                json.WriteStartArray();
                json.WriteNumberValue(TableNumber.Rounded((p.X - (shape.Width / 2)) * grid.PerVoxel));
                json.WriteNumberValue(TableNumber.Rounded((p.Y - (shape.Height / 2)) * grid.PerVoxel));
                json.WriteNumberValue(TableNumber.Rounded((p.Z - (shape.Depth / 2)) * grid.PerVoxel));
                json.WriteStringValue("meanshift-gpu");
                json.WriteNumberValue(p.Score ?? 0);
                json.WriteNumberValue(ClassOf(p));
                json.WriteEndArray();
            }

            json.WriteEndArray();
            json.WriteStartObject("class_list");
            foreach (IGrouping<int, Particle> group in particles.GroupBy(ClassOf).OrderBy(g => g.Key))
            {
                json.WriteStartObject(group.Key.ToString(CultureInfo.InvariantCulture));
                json.WriteNumber("boxsize", (int)Math.Round(BoxSize * grid.PerVoxel));
                json.WriteString("name", ParticleNames.NameOf(group.First()));
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteEndObject();
        });
    }

    private static string? TomogramOf(string path)
    {
        string name = Path.GetFileName(path);
        return name.EndsWith(NameEnding, StringComparison.OrdinalIgnoreCase) && name.Length > NameEnding.Length
            ? name[..^NameEnding.Length] : null;
    }

    private static Dictionary<int, string> ClassNames(string path, JsonElement root)
    {
        Dictionary<int, string> names = [];
        if (!root.TryGetProperty("class_list", out JsonElement list) || list.ValueKind != JsonValueKind.Object)
            return names;
        foreach (JsonProperty entry in list.EnumerateObject())
        {
            if (int.TryParse(entry.Name, NumberStyles.Integer, CultureInfo.InvariantCulture, out int number)
                && entry.Value.ValueKind == JsonValueKind.Object
                && JsonTable.Text(path, $"class_list.{number}.", entry.Value, "name") is { } name)
            {
                names[number] = name;
            }
        }

        return names;
    }
}
