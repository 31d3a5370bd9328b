using System.Text.Encodings.Web;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>What a volume of a data set is used for.</summary>
public enum DatasetSplit
{
    /// <summary>Weights are fitted to it.</summary>
    Train,

    /// <summary>The best model is chosen by it.</summary>
    Validation,

    /// <summary>Results are reported on it.</summary>
    Test,
}

/// <summary>One volume of a data set with its coordinates.</summary>
public sealed record DatasetVolume
{
    /// <summary>The MRC file, as a full path.</summary>
    public required string Volume { get; init; }

    /// <summary>The table of coordinates, as a full path.</summary>
    public required string Coordinates { get; init; }

    /// <summary>
    /// An MRC file that is above <see cref="MaskAbove"/> inside particles, as a full path: the target of Dice
    /// and cross-entropy; null draws balls around the centres instead.
    /// </summary>
    public string? Mask { get; init; }

    /// <summary>
    /// A table of places that are no particles, as a full path: picks that a person has removed; null for
    /// none.
    /// </summary>
    public string? Background { get; init; }

    /// <summary>Inside particles the mask is above this: 0, or the highest label of something else.</summary>
    public double MaskAbove { get; init; }

    /// <summary>
    /// The tomogram's name in the table of coordinates, where that holds several; null for the volume's own
    /// name.
    /// </summary>
    public string? Tomogram { get; init; }

    /// <summary>RELION's tomograms.star as a full path, for RELION 5 coordinates; null otherwise.</summary>
    public string? TomogramsStar { get; init; }

    /// <summary>The centre that RELION 5 coordinates count from.</summary>
    public RelionCentre Relion5Centre { get; init; }

    /// <summary>The voxel size in Å; 0 to take the volume's header.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>
    /// Whether the image is shifted and scaled to mean 0 and standard deviation 1; false where that was done
    /// over a larger volume.
    /// </summary>
    public bool Normalize { get; init; } = true;

    /// <summary>How many pixels of the table make a voxel; 0 to take it from the table.</summary>
    public double Binning { get; init; }

    /// <summary>The part of the volume that is used; null for all of it.</summary>
    public DatasetRegion? Region { get; init; }

    /// <summary>What it is used for.</summary>
    public required DatasetSplit Split { get; init; }

    /// <summary>How the coordinates are to be read.</summary>
    /// <param name="shape">The volume's size.</param>
    /// <param name="header">The voxel size that the volume's header gives.</param>
    public CoordinateContext Context(Extent shape, VoxelSize header)
        => new CoordinateContext
        {
            VoxelSizeAngstrom = VoxelSizeAngstrom,
            Binning = Binning,
            Tomogram = Tomogram,
            TomogramsStar =
            TomogramsStar,
            Centre = Relion5Centre
        }
            .WithVolume(Volume, shape, header);

    /// <summary>
    /// Reads its particles, in voxels of the whole volume. Of a table that names several tomograms only those
    /// of <see cref="Tomogram"/>, or of the volume's own name; of a <see cref="Region"/> only those that
    /// belong to it.
    /// </summary>
    /// <param name="shape">The volume's size.</param>
    /// <param name="header">The voxel size that the volume's header gives.</param>
    /// <exception cref="InputException">The table cannot be read, or it names tomograms and none is this
    /// volume.</exception>
    public IReadOnlyList<Particle> ReadParticles(Extent shape, VoxelSize header)
    {
        IReadOnlyList<Particle> particles = ParticlesOfVolume(Coordinates, shape, header);
        if (Region is not { } region)
            return particles;
        // A place outside the volume is in no part of it, and would not be missed.
        CoordinateTables.CheckInside(Coordinates, particles, shape);
        return [.. particles.Where(p => region.Holds(p.Z, p.Y, p.X, shape))];
    }

    /// <summary>
    /// Reads the places that are no particles, in voxels of the whole volume, as <see cref="ReadParticles"/>
    /// reads particles.
    /// </summary>
    /// <param name="shape">The volume's size.</param>
    /// <param name="header">The voxel size that the volume's header gives.</param>
    /// <exception cref="InputException">The table cannot be read, it names tomograms and none is this volume,
    /// or a place lies outside.</exception>
    public IReadOnlyList<Particle> ReadBackground(Extent shape, VoxelSize header)
    {
        if (Background is null)
            return [];
        IReadOnlyList<Particle> places = ParticlesOfVolume(Background, shape, header);
        CoordinateTables.CheckInside(Background, places, shape);
        return Region is { } region ? [.. places.Where(p => region.Holds(p.Z, p.Y, p.X, shape))] : places;
    }

    private IReadOnlyList<Particle> ParticlesOfVolume(string table, Extent shape, VoxelSize header)
    {
        IReadOnlyList<Particle> particles = CoordinateTables.Read(table, Context(shape, header));
        string[] named = [.. particles.Select(p => p.Tomogram).OfType<string>().Distinct()];
        // Formats without names number their tomograms; one number alone does not contradict.
        if (Tomogram is not null || named.Length == 0 || (named is [var only] && only.All(char.IsAsciiDigit)))
            return particles;
        Func<string, bool> isOurs = TomogramName.Among(named, Volume, table);
        return named.Any(isOurs)
            ? [.. particles.Where(p => p.Tomogram is null || isOurs(p.Tomogram))]
            : throw new InputException(
                $"{table}: names {(named.Length == 1 ? "tomogram" : "several tomograms,")} "
                + $"{string.Join(", ", named.Take(5).Select(InputFile.Quote))}{(named.Length > 5 ? ", …" : "")}, and none is "
                + $"called like the volume {Volume}. Say in the data set's manifest which it is: \"tomogram\": \"NAME\".");
    }
}

/// <summary>
/// A data set in one JSON file:
/// <code>
/// { "volumes": [ { "volume": "a.mrc", "coordinates": "a.star", "split": "train",
///                  "mask": "m.mrc", "maskAbove": 0, "background": "a_removed.star", "tomogram": "TS_01",
/// "tomogramsStar": "tomograms.star", "relion5Centre": "halfSize", "voxelSizeAngstrom": 10, "binning": 4,
/// "normalize": true, "region": { "first": [0, 0, 0], "size": [64, 150, 200], "margin": 12.5 } } ] }
/// </code>
/// The first three are required; the split is train, validation or test; RELION 5's centre is halfSize or
/// halfSizeMinusOne. A region's first voxel and size are z, y, x in voxels; centres nearer than its margin to
/// where it is cut off are left out. Paths count from the manifest's folder. Comments and trailing commas are
/// allowed; a property that is not known is refused by its name.
/// </summary>
public sealed record DatasetManifest
{
    /// <summary>What a data set's manifest is called in its folder.</summary>
    public const string UsualName = "manifest.json";

    private const long MaxBytes = 64 << 20;
    private const string Expected = "a data set's manifest in JSON";

    private static readonly JsonWriterOptions WriterOptions =
        new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonDocumentOptions Options = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        AllowDuplicateProperties = false,
    };

    private static readonly string[] VolumeProperties =
        ["volume", "coordinates", "mask", "maskAbove", "background", "tomogram", "tomogramsStar", "relion5Centre",
            "voxelSizeAngstrom", "binning", "normalize", "region", "split"];

    private static readonly string[] RegionProperties = ["first", "size", "margin"];

    /// <summary>The volumes in the file's order; at least one.</summary>
    public required IReadOnlyList<DatasetVolume> Volumes { get; init; }

    /// <summary>The volumes of one use.</summary>
    public IEnumerable<DatasetVolume> Of(DatasetSplit split) => Volumes.Where(v => v.Split == split);

    /// <summary>Reads a manifest and checks that its files exist.</summary>
    /// <exception cref="InputException">The file is no JSON (with the line), a property is unknown, missing
    /// or wrong, or a file is not there.</exception>
    public static DatasetManifest Read(string path)
    {
        byte[] bytes = InputFile.ReadAllBytes(path, MaxBytes, Expected);
        if (bytes.Length == 0)
            throw new InputException($"{path}: is empty. Expected {Expected}.");
        ReadOnlyMemory<byte> json = bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, Options);
            return Parse(path, document.RootElement);
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: {InputFile.JsonProblem(e)} Expected {Expected}.", e);
        }
        // Text with half a surrogate pair is found when it is asked for.
        catch (InvalidOperationException e)
        {
            throw new InputException($"{path}: {InputFile.OneLine(e.Message)} Expected {Expected}.", e);
        }
    }

    /// <summary>Writes a manifest; paths are written relative to its folder.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public void Write(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
        string Relative(string file) => Path.GetRelativePath(folder, Path.GetFullPath(file)).Replace('\\', '/');
        AtomicFile.Write(path, stream =>
        {
            using Utf8JsonWriter json = new(stream, WriterOptions);
            json.WriteStartObject();
            json.WriteStartArray("volumes");
            foreach (DatasetVolume volume in Volumes)
            {
                json.WriteStartObject();
                json.WriteString("volume", Relative(volume.Volume));
                json.WriteString("coordinates", Relative(volume.Coordinates));
                if (volume.Mask is not null)
                    json.WriteString("mask", Relative(volume.Mask));
                if (volume.Background is not null)
                    json.WriteString("background", Relative(volume.Background));
                if (volume.MaskAbove > 0)
                    json.WriteNumber("maskAbove", volume.MaskAbove);
                if (volume.Tomogram is not null)
                    json.WriteString("tomogram", volume.Tomogram);
                if (volume.TomogramsStar is not null)
                    json.WriteString("tomogramsStar", Relative(volume.TomogramsStar));
                if (volume.Relion5Centre != RelionCentre.HalfSize)
                    json.WriteString("relion5Centre", JsonNamingPolicy.CamelCase.ConvertName(volume.Relion5Centre.ToString()));
                if (volume.VoxelSizeAngstrom > 0)
                    json.WriteNumber("voxelSizeAngstrom", volume.VoxelSizeAngstrom);
                if (volume.Binning > 0)
                    json.WriteNumber("binning", volume.Binning);
                if (!volume.Normalize)
                    json.WriteBoolean("normalize", false);
                if (volume.Region is { } region)
                    Write(json, region);
                json.WriteString("split", volume.Split.ToString().ToLowerInvariant());
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static void Write(Utf8JsonWriter json, DatasetRegion region)
    {
        ((int z, int y, int x), Extent size) = (region.Box.Origin, region.Box.Size);
        json.WriteStartObject("region");
        // On one line each, as people write them.
        json.WritePropertyName("first");
        json.WriteRawValue(FormattableString.Invariant($"[{z}, {y}, {x}]"));
        json.WritePropertyName("size");
        json.WriteRawValue(FormattableString.Invariant($"[{size.Depth}, {size.Height}, {size.Width}]"));
        if (region.MarginVoxels > 0)
            json.WriteNumber("margin", region.MarginVoxels);
        json.WriteEndObject();
    }

    private static DatasetRegion ParseRegion(string path, string where, JsonElement element)
    {
        RefuseUnknown(path, where, element, RegionProperties);
        int[] first = Triple("first", 0);
        int[] size = Triple("size", 1);
        double margin = 0;
        if (element.TryGetProperty("margin", out JsonElement given)
            && !(given.ValueKind == JsonValueKind.Number && given.TryGetDouble(out margin) && margin >= 0 && double.IsFinite(
                margin)))
            throw Wrong("margin", given.ToString(), "a number from 0 up");
        return new DatasetRegion(new Box((first[0], first[1], first[2]), new Extent(size[0], size[1], size[2])), margin);

        int[] Triple(string name, int minimum)
        {
            if (!element.TryGetProperty(name, out JsonElement list) || list.ValueKind != JsonValueKind.Array)
                throw Wrong(name, list.ValueKind == JsonValueKind.Undefined ? "missing" : list.ToString(), "[z, y, x] in voxels");
            int[] values =
            [
                .. list.EnumerateArray().Select(e => e.ValueKind == JsonValueKind.Number && e.TryGetInt32(out int v) ? v : -1),
            ];
            return values.Length == 3 && values.All(v => v >= minimum) ? values
                : throw Wrong(name, list.ToString(), $"[z, y, x] in voxels, whole numbers from {minimum} up");
        }

        InputException Wrong(string name, string seen, string expected)
            => new($"{path}: {where}: \"{name}\" is {InputFile.Quote(seen)}; expected {expected}.");
    }

    private static DatasetManifest Parse(string path, JsonElement root)
    {
        RefuseUnknown(path, "", root, ["volumes"]);
        if (!root.TryGetProperty("volumes", out JsonElement list) || list.ValueKind != JsonValueKind.Array
            || list.GetArrayLength() == 0)
            throw new InputException($"{path}: \"volumes\" is missing or empty; expected a list of volumes with coordinates.");
        List<DatasetVolume> volumes = [];
        foreach (JsonElement element in list.EnumerateArray())
            volumes.Add(ParseVolume(path, $"volumes[{volumes.Count}]", element));
        return new DatasetManifest { Volumes = volumes };
    }

    private static DatasetVolume ParseVolume(string path, string where, JsonElement element)
    {
        RefuseUnknown(path, where, element, VolumeProperties);
        string? Text(string name) => !element.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null
            ? null
            : value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text
                ? text
                : throw new InputException(
                    $"{path}: {where}: \"{name}\" is {InputFile.Quote(value.ToString())}; expected a text.");
        string Required(string name) => Text(name)
            ?? throw new InputException($"{path}: {where}: \"{name}\" is missing; expected volume, coordinates and split.");
        string? Resolve(string name) => Text(name) is { } file ? ExistingFile(path, where, name, file) : null;
        double Positive(string name)
            => !element.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null
            ? 0
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number)
            && number > 0
                ? number
                : throw new InputException($"{path}: {where}: \"{name}\" is {InputFile.Quote(value.ToString())}; expected a "
                    + "number above 0.");

        bool Flag(string name, bool otherwise)
            => !element.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null
            ? otherwise
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? value.GetBoolean()
                : throw new InputException($"{path}: {where}: \"{name}\" is {InputFile.Quote(value.ToString())}; expected true "
                    + "or false.");

        string split = Required("split");
        return new DatasetVolume
        {
            Volume = ExistingFile(path, where, "volume", Required("volume")),
            Coordinates = ExistingFile(path, where, "coordinates", Required("coordinates")),
            Mask = Resolve("mask"),
            Background = Resolve("background"),
            MaskAbove = Positive("maskAbove"),
            Tomogram = Text("tomogram"),
            TomogramsStar = Resolve("tomogramsStar"),
            Relion5Centre = Text("relion5Centre") switch
            {
                null or "halfSize" => RelionCentre.HalfSize,
                "halfSizeMinusOne" => RelionCentre.HalfSizeMinusOne,
                string other => throw new InputException($"{path}: {where}: \"relion5Centre\" is {InputFile.Quote(other)}; "
                    + "expected halfSize or halfSizeMinusOne."),
            },
            VoxelSizeAngstrom = Positive("voxelSizeAngstrom"),
            Binning = Positive("binning"),
            Normalize = Flag("normalize", otherwise: true),
            Region = element.TryGetProperty("region", out JsonElement region) && region.ValueKind != JsonValueKind.Null
                ? ParseRegion(path, $"{where}.region", region) : null,
            Split = split switch
            {
                "train" => DatasetSplit.Train,
                "validation" => DatasetSplit.Validation,
                "test" => DatasetSplit.Test,
                _ => throw new InputException($"{path}: {where}: \"split\" is {InputFile.Quote(split)}; expected train, "
                    + "validation or test."),
            },
        };
    }

    private static string ExistingFile(string path, string where, string property, string file)
    {
        if (file.Contains('\0', StringComparison.Ordinal))
            throw new InputException($"{path}: {where}: \"{property}\" is no file name.");
        string full = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/", file));
        return File.Exists(full)
            ? full
            : throw new InputException($"{path}: {where}: \"{property}\": file {full} not found. Paths count from the "
                + "manifest's folder.");
    }

    private static void RefuseUnknown(string path, string where, JsonElement element, string[] known)
    {
        string at = where.Length == 0 ? path : $"{path}: {where}";
        if (element.ValueKind != JsonValueKind.Object)
            throw new InputException($"{at}: expected a JSON object with {string.Join(", ", known)}.");
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (!known.Contains(property.Name))
                throw new InputException($"{at}: unknown property {InputFile.Quote(property.Name)}; expected "
                    + $"{string.Join(", ", known)}.");
        }
    }
}
