using System.Globalization;
using System.Text;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>An object of a SHREC 2021 tomogram: a particle, or a vesicle or gold fiducial.</summary>
/// <param name="Name">The PDB code (1BXN, 4V94_fixed), or vesicle or fiducial.</param>
/// <param name="Z">Centre along z in voxels, 0 at the first voxel's centre.</param>
/// <param name="Y">Centre along y.</param>
/// <param name="X">Centre along x.</param>
public sealed record ShrecObject(string Name, double Z, double Y, double X)
{
    /// <summary>The orientation, which vesicles and fiducials do not have.</summary>
    public ParticleAngles? Angles { get; init; }

    /// <summary>Whether it is a particle to be found: neither a vesicle nor a fiducial.</summary>
    public bool IsParticle => Name is not (ShrecLocations.Vesicle or ShrecLocations.Fiducial);
}

/// <summary>
/// SHREC 2021's particle_locations.txt: a row for each object with its name, x y z in voxels from 0, and
/// three angles of rotations about z, x, z (see <see cref="ParticleAngles.FromZxz"/>), NaN for vesicles and
/// fiducials. The row's number, from 1, is the object's value in the occupancy mask.
/// </summary>
public static class ShrecLocations
{
    /// <summary>The file's name in a model's folder.</summary>
    public const string FileName = "particle_locations.txt";

    /// <summary>The name of vesicles, which are no particles.</summary>
    public const string Vesicle = "vesicle";

    /// <summary>The name of gold fiducials, which are no particles.</summary>
    public const string Fiducial = "fiducial";

    private const string Expected = "rows of a name, x y z and three angles (NaN for vesicles and fiducials)";

    internal static TableFormat Format { get; } = new(CoordinateFormat.Shrec, ".txt")
    {
        HoldsSeveralTomograms = false,
        HoldsBlanks = true,
        HoldsScores = false,
        IsUsual = false,
        IsNamed = static path => Path.GetFileName(path) == FileName,
        Recognise = static path => IsOurs(path) ? CoordinateFormat.Shrec : null,
        NumbersOccupancy = true,
        DeeperIn = static folder
            => Directory.EnumerateDirectories(folder).Select(d => Path.Combine(d, FileName)).Where(File.Exists),
        TomogramOf = TomogramOf,
        FileName = static (tomogram, _) => Path.Combine(tomogram, FileName),
        Read = static (path, context) => new(CoordinateFormat.Shrec, ReadParticles(path, context)),
        Write = WriteParticles,
    };

    /// <summary>Reads all rows; none where there are blank lines alone.</summary>
    /// <exception cref="InputException">The file is missing or has no byte, or a row is not as expected (with
    /// its line).</exception>
    public static IReadOnlyList<ShrecObject> Read(string path)
    {
        List<ShrecObject> objects = [];
        bool any = false;
        foreach ((int line, string text) in InputFile.ReadLines(path, Expected))
        {
            any = true;
            string[] fields = Fields(text);
            if (fields.Length > 0)
                objects.Add(Parse(path, line, fields));
        }

        return any ? objects : throw new InputException($"{path}: is empty. Expected {Expected}.");
    }

    /// <summary>Writes all rows, the positions with as many digits as they have.</summary>
    /// <exception cref="InputException">A name is empty or has blanks, a number is not finite, or the file
    /// cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<ShrecObject> objects)
    {
        ArgumentNullException.ThrowIfNull(objects);
        for (int i = 0; i < objects.Count; i++)
        {
            ShrecObject o = objects[i];
            if (o.Name.Length == 0 || o.Name.Any(char.IsWhiteSpace) || double.TryParse(
                o.Name, NumberStyles.Float, CultureInfo.InvariantCulture, out _))
                throw new InputException($"{path}: cannot be written: object {i + 1} is called {InputFile.Quote(o.Name)}; "
                    + "expected a name without blanks that is no number.");
            if (!double.IsFinite(o.Z + o.Y + o.X))
                throw new InputException($"{path}: cannot be written: object {i + 1} has a coordinate that is not finite.");
        }

        AtomicFile.Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            if (objects.Count == 0)
                writer.Write(HeadlessTable.NoRows);
            foreach (ShrecObject o in objects)
            {
                (double, double, double) angles = o.Angles?.ToZxz() ?? (double.NaN, double.NaN, double.NaN);
                writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{o.Name} {TableNumber.Text(o.X)} "
                    + $"{TableNumber.Text(o.Y)} {TableNumber.Text(o.Z)} {TableNumber.Text(angles.Item1)} "
                    + $"{TableNumber.Text(angles.Item2)} {TableNumber.Text(angles.Item3)}"));
            }
        });
    }

    /// <summary>
    /// Whether a file's first line is such a row, or its name is SHREC's where it has none.
    /// </summary>
    private static bool IsOurs(string path)
        => InputFile.ReadLines(path, "a table of coordinates")
            .FirstOrDefault(l => !string.IsNullOrWhiteSpace(l.Text)).Text is { } line
            ? IsRow(line)
            : Path.GetFileName(path) == FileName;

    /// <summary>Whether a line is such a row: a name and six numbers.</summary>
    private static bool IsRow(string line)
        => Fields(line) is { Length: 7 } fields && !TryNumber(fields[0], out _) && fields[1..].All(f => TryNumber(f, out _));

    private static string? TomogramOf(string path)
        => Path.GetFileName(path) == FileName ? Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path))) : null;

    /// <summary>The particles among the rows, with their names and occupancy ids.</summary>
    internal static List<Particle> ReadParticles(string path, CoordinateContext context)
    {
        PixelGrid grid = context.Grid(0);
        // All of them have the same name; the tomogram's is its folder's.
        string? tomogram = TomogramOf(path);
        return
        [
            .. Read(path).Select((o, i) => (Object: o, Id: i + 1)).Where(r => r.Object.IsParticle).Select(r =>
                new Particle(grid.ToVoxel(r.Object.Z), grid.ToVoxel(r.Object.Y), grid.ToVoxel(r.Object.X))
                {
                    Pixels = grid,
                    Name = r.Object.Name,
                    Id = r.Id,
                    Tomogram = tomogram,
                    Angles = r.Object.Angles,
                }),
        ];
    }

    /// <summary>Writes particles; those without a name are called by their class.</summary>
    private static void WriteParticles(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        Write(path, [.. particles.Select(p => (Particle: p, Grid: options.GridOf(path, p))).Select(r =>
            new ShrecObject(
                ParticleNames.NameOf(r.Particle),
                r.Grid.ToPixel(r.Particle.Z),
                r.Grid.ToPixel(r.Particle.Y),
                r.Grid.ToPixel(r.Particle.X))
            {
                Angles = r.Particle.Orientation ?? default(ParticleAngles),
            })]);
    }

    private static ShrecObject Parse(string path, int line, string[] fields)
    {
        if (fields.Length != 7)
            throw new InputException($"{path}: line {line}: {Counted.Of(fields.Length, "value")}; expected {Expected}.");
        double[] numbers = new double[6];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (!TryNumber(fields[i + 1], out numbers[i]) || (i < 3 && !double.IsFinite(numbers[i])))
                throw new InputException($"{path}: line {line}: value {i + 2} is {InputFile.Quote(fields[i + 1])}; expected a "
                    + "number.");
        }

        int unknown = numbers[3..].Count(double.IsNaN);
        if (unknown is not (0 or 3) || numbers[3..].Any(double.IsInfinity))
            throw new InputException($"{path}: line {line}: angles {InputFile.Quote(string.Join(' ', fields[4..]))}; expected "
                + "three numbers, or NaN three times.");
        return new ShrecObject(fields[0], numbers[2], numbers[1], numbers[0])
        {
            Angles = unknown == 3 ? null : ParticleAngles.FromZxz(numbers[3], numbers[4], numbers[5]),
        };
    }

    private static string[] Fields(string line) => line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    private static bool TryNumber(string text, out double value)
        => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
}
