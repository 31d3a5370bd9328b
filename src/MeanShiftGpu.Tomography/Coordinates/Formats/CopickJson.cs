using System.Text.Json;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// copick's picks of one object in one tomogram: points with a location in Å (the voxel's index times its
/// size), a 4×4 transformation whose upper left 3×3 turns the object into the tomogram and whose last column,
/// in Å, is added to the location, instance_id and score.
/// </summary>
internal static class CopickJson
{
    private const string Points = "points";
    private const string RunsFolder = "ExperimentRuns";
    private const string PicksFolder = "Picks";

    public static TableFormat Format { get; } = new(CoordinateFormat.Copick, ".json")
    {
        HoldsSeveralTomograms = false,
        HoldsBlanks = true,
        HoldsSeveralObjects = false,
        IsUsual = false,
        Recognise = static path => JsonTable.Has(path, Points) ? CoordinateFormat.Copick : null,
        Mark = $"\"{Points}\" (copick)",
        DeeperIn = TablesIn,
        TomogramOf = TomogramOf,
        FileName = static (tomogram, particle) => Path.Combine(
            RunsFolder, tomogram, PicksFolder, $"meanshift-gpu_1_{particle.Replace('_', '-')}.json"),
        Read = Read,
        Write = Write,
        PixelSizes = PixelSizes.OneInTable,
        VoxelSizeReason = static _ => "copick counts in Å",
    };

    private const string Expected = "copick's picks with points";
    private const string Spacing = "voxel_spacing";

    // The folder itself may be that of the runs.
    private static IEnumerable<string> TablesIn(string folder)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(folder));
        string runs = name == RunsFolder ? folder : Path.Combine(folder, RunsFolder);
        return !Directory.Exists(runs) ? []
            : Directory.EnumerateDirectories(runs).Select(run => Path.Combine(run, PicksFolder)).Where(Directory.Exists)
                .SelectMany(picks => Directory.EnumerateFiles(picks, "*.json"));
    }

    private static string? TomogramOf(string path)
        => Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder && Path.GetFileName(folder) == PicksFolder
            ? Path.GetFileName(Path.GetDirectoryName(folder))
            : null;

    private static CoordinateTable Read(string path, CoordinateContext context) => JsonTable.Read(path, Expected, root =>
    {
        JsonElement points = JsonTable.List(path, root, Points, Expected);
        if (JsonTable.Text(path, "", root, "unit") is { } unit && unit != "angstrom")
            throw new InputException($"{path}: unit is {InputFile.Quote(unit)}; expected angstrom.");
        double spacing = Math.Max(0, JsonTable.Number(path, "", root, Spacing) ?? 0);
        string? name = JsonTable.Text(path, "", root, "pickable_object_name");
        string? run = JsonTable.Text(path, "", root, "run_name");
        CoordinateContext own = context.Of(path, run);
        PixelGrid grid = own.Grid(spacing);
        if (spacing == 0)
            grid = grid with
            {
                SizeAngstrom =
                own.RequireVoxelSize(path, "counts in Å and does not give its voxel_spacing") / grid.PerVoxel
            };
        List<Particle> particles = new(points.GetArrayLength());
        foreach (JsonElement point in points.EnumerateArray())
        {
            string where = $"{Points}[{particles.Count}].";
            if (point.ValueKind != JsonValueKind.Object || !point.TryGetProperty("location", out JsonElement location)
                || location.ValueKind != JsonValueKind.Object)
                throw new InputException($"{path}: {where}location is missing; expected x, y and z.");
            (ParticleAngles? angles, double[] shift) = Transformation(path, where, point);
            double Voxel(string axis, double added)
            {
                double angstrom = JsonTable.Number(path, $"{where}location.", location, axis)
                    ?? throw new InputException($"{path}: {where}location.{axis} is missing; expected a number.");
                return grid.ToVoxel((angstrom + added) / grid.SizeAngstrom);
            }

            particles.Add(new Particle(Voxel("z", shift[2]), Voxel("y", shift[1]), Voxel("x", shift[0]))
            {
                Pixels = grid,
                Name = name,
                Tomogram = run,
                Score = JsonTable.Number(path, where, point, "score"),
                // 0 stands for none.
                Id = point.TryGetProperty("instance_id", out JsonElement id)
                    && JsonTable.Whole(path, $"{where}instance_id", id) is var number and not 0 ? number : null,
                Angles = angles,
            });
        }

        return new CoordinateTable(CoordinateFormat.Copick, particles);
    });

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        PixelGrid grid = options.GridOf(path, particles.Count > 0 ? particles[0] : new Particle(0, 0, 0));
        string[] names = [.. particles.Select(ParticleNames.NameOf).Distinct()];
        if (names.Length > 1)
            throw new InputException($"{path}: the particles are of several kinds ({string.Join(", ", names.Take(5))}), and a "
                + "copick file holds one. Give a folder.");
        string name = options.ObjectName ?? names.FirstOrDefault() ?? "particle";
        AtomicFile.Write(path, stream =>
        {
            using Utf8JsonWriter json = new(stream, JsonTable.WriterOptions);
            json.WriteStartObject();
            json.WriteString("pickable_object_name", name);
            json.WriteString("user_id", "meanshift-gpu");
            json.WriteString("session_id", "1");
            json.WriteString(
                "run_name", particles.Select(p => p.Tomogram).FirstOrDefault(t => t is not null) ?? options.TomogramName);
            json.WriteNumber(Spacing, grid.SizeAngstrom);
            json.WriteString("unit", "angstrom");
            json.WriteStartArray(Points);
            foreach (Particle p in particles)
                WritePoint(json, p, grid);
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static void WritePoint(Utf8JsonWriter json, Particle p, PixelGrid grid)
    {
        double Angstrom(double voxel) => TableNumber.Rounded(grid.ToPixel(voxel) * grid.SizeAngstrom);
        RotationMatrix m = p.Orientation?.ToMatrix() ?? RotationMatrix.Identity;
        json.WriteStartObject();
        json.WriteStartObject("location");
        json.WriteNumber("x", Angstrom(p.X));
        json.WriteNumber("y", Angstrom(p.Y));
        json.WriteNumber("z", Angstrom(p.Z));
        json.WriteEndObject();
        json.WriteStartArray("transformation_");
        foreach (double[] row in (double[][])[[m.XX, m.XY, m.XZ, 0], [m.YX, m.YY, m.YZ, 0], [m.ZX, m.ZY, m.ZZ, 0], [0, 0, 0, 1]])
        {
            json.WriteStartArray();
            foreach (double value in row)
                json.WriteNumberValue(value);
            json.WriteEndArray();
        }

        json.WriteEndArray();
        json.WriteNumber("instance_id", p.Id ?? 0);
        if (p.Score is { } score)
            json.WriteNumber("score", score);
        else
            json.WriteNull("score");
        json.WriteEndObject();
    }

    private static (ParticleAngles? Angles, double[] Shift) Transformation(string path, string where, JsonElement point)
    {
        if (!point.TryGetProperty("transformation_", out JsonElement rows) || rows.ValueKind == JsonValueKind.Null)
            return (null, [0, 0, 0]);
        InputException Bad() => new($"{path}: {where}transformation_ is no rotation and shift; expected 4 × 4 numbers with an "
            + "orthonormal upper left and 0 0 0 1 below.");
        if (rows.ValueKind != JsonValueKind.Array || rows.GetArrayLength() != 4)
            throw Bad();
        double[] m = new double[16];
        int i = 0;
        foreach (JsonElement row in rows.EnumerateArray())
        {
            if (row.ValueKind != JsonValueKind.Array || row.GetArrayLength() != 4)
                throw Bad();
            foreach (JsonElement value in row.EnumerateArray())
                m[i++] = JsonTable.Number(path, $"{where}transformation_", value) ?? throw Bad();
        }

        RotationMatrix rotation = new(m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]);
        RotationMatrix squared = rotation * rotation.Transposed;
        bool rotates = Math.Abs(rotation.Determinant - 1) < 1e-3 && Math.Abs(squared.XX - 1) < 1e-3
            && Math.Abs(squared.YY - 1) < 1e-3 && Math.Abs(squared.ZZ - 1) < 1e-3;
        return rotates && m[12] == 0 && m[13] == 0 && m[14] == 0 && m[15] == 1
            ? (ParticleAngles.FromMatrix(rotation), [m[3], m[7], m[11]]) : throw Bad();
    }
}
