using System.Globalization;
using System.Text;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Dynamo's table: columns 1 tag, 4–6 shift, 7–9 tdrot, tilt and narot, 10 cc, 20 tomogram, 22 class, 24–26 x
/// y z, and 36 the pixel size in Å where there are so many. A particle's centre is x y z plus the shift, and
/// 1 is the first voxel's centre.
/// </summary>
internal static class DynamoTable
{
    private const string Expected = "Dynamo's table (at least 26 numbers in a row)";
    private const int MinimumColumns = 26;
    private const int Columns = 36;

    public static TableFormat Format { get; } = new(CoordinateFormat.Dynamo, ".tbl")
    {
        NeedsScores = true,
        PixelSizes = PixelSizes.EachRow,
        Read = Read,
        Write = Write,
    };

    private static CoordinateTable Read(string path, CoordinateContext context)
    {
        IReadOnlyDictionary<int, string> names = TomogramNumbers.ReadNames(path);
        List<Particle> particles = [];
        bool any = false;
        foreach ((int line, string text) in InputFile.ReadLines(path, Expected))
        {
            any = true;
            string[] fields = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length == 0 || fields[0][0] == '#')
                continue;
            if (fields.Length < MinimumColumns)
                throw new InputException($"{path}: line {line}: {Counted.Of(fields.Length, "value")}; expected {Expected}.");
            double Number(int column)
                => double.TryParse(fields[column - 1], NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                    && double.IsFinite(value)
                    ? value
                    : throw new InputException($"{path}: line {line}: column {column} is "
                        + $"{InputFile.Quote(fields[column - 1])}; expected a number.");
            int Whole(int column) => Number(column) is var value && value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue
                ? (int)value
                : throw new InputException($"{path}: line {line}: column {column} is {InputFile.Quote(fields[column - 1])}; "
                    + "expected a whole number.");

            int number = Whole(20);
            string tomogram = names.GetValueOrDefault(number, number.ToString(CultureInfo.InvariantCulture));
            PixelGrid grid = context.Of(path, tomogram).Grid(fields.Length >= Columns ? Number(Columns) : 0);
            double Voxel(int axis) => grid.ToVoxel(Number(24 + axis) + Number(4 + axis) - 1);
            particles.Add(new Particle(Voxel(2), Voxel(1), Voxel(0))
            {
                Id = Whole(1),
                Score = Number(10),
                Class = Whole(22),
                Tomogram = tomogram,
                Pixels = grid,
                Angles = ParticleAngles.FromDynamo(Number(7), Number(8), Number(9)),
            });
        }

        return any ? new CoordinateTable(CoordinateFormat.Dynamo, particles) : throw new InputException($"{path}: is empty. "
            + $"Expected {Expected}.");
    }

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        TomogramNumbers tomograms = new(particles, options.TomogramName);
        Func<Particle, int?> classes = ParticleNames.ClassNumbers(particles);
        bool sizes = particles.Any(p => options.GridOf(path, p).SizeAngstrom > 0);
        AtomicFile.Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            if (particles.Count == 0)
                writer.Write(HeadlessTable.NoRows);
            double[] row = new double[sizes ? Columns : Columns - 1];
            for (int i = 0; i < particles.Count; i++)
            {
                Particle p = particles[i];
                PixelGrid grid = options.GridOf(path, p);
                (double tdrot, double tilt, double narot) = (p.Orientation ?? default).ToDynamo();
                Array.Clear(row);
                void Set(int column, double value) => row[column - 1] = TableNumber.Rounded(value);
                // Tags tell particles apart; those of several tables need not.
                Set(1, i + 1);
                Set(2, 1);
                Set(7, tdrot);
                Set(8, tilt);
                Set(9, narot);
                Set(10, p.Score ?? 0);
                Set(13, 1);
                // The usual range of tilts; a template matching's or picker's table knows no better.
                Set(14, -60);
                Set(15, 60);
                Set(20, tomograms.Of(p));
                Set(22, classes(p) ?? 1);
                Set(24, grid.ToPixel(p.X) + 1);
                Set(25, grid.ToPixel(p.Y) + 1);
                Set(26, grid.ToPixel(p.Z) + 1);
                if (sizes)
                    Set(Columns, grid.SizeAngstrom);
                writer.WriteLine(string.Join(' ', row.Select(v => v.ToString("R", CultureInfo.InvariantCulture))));
            }
        });
        tomograms.WriteNames(path);
    }
}
