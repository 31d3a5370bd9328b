using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>
/// A physical place is kept, with its score, or the conversion is refused: random particles in random
/// tomograms (two pixel sizes, binning 1 to 8, odd sizes, dotted names, shifts, both centres of RELION 5, two
/// blocks in a file, other labels that say a pixel size or a score), written by hand, go through pairs and
/// triples of formats, all or those of one tomogram. What comes out is read by hand too, as another program
/// would read it. Fractions of the tomogram instead of pixels are refused, and a score or a class after x, y
/// and z where no heading says so. MEANSHIFTGPU_TEST_CONVERSIONS sets how many conversions are made (10 000);
/// MEANSHIFTGPU_TEST_SEED another beginning. `.ci/faults` puts faults back that this test must find.
/// </summary>
public class ConversionPropertyTests
{
    private const double ToleranceVoxels = 1e-3;

    private static readonly int Conversions = TestData.Count("MEANSHIFTGPU_TEST_CONVERSIONS", 10_000);

    private static readonly int FirstSeed = TestData.Count("MEANSHIFTGPU_TEST_SEED", 1);

    private static readonly CoordinateFormat[] Formats = Enum.GetValues<CoordinateFormat>();

    private static readonly CoordinateFormat[] WithoutPixelSizes =
    [
        CoordinateFormat.Csv,
        CoordinateFormat.Tsv,
        CoordinateFormat.Coords,
        CoordinateFormat.DeepFinder,
        CoordinateFormat.Motl,
        CoordinateFormat.Shrec,
        CoordinateFormat.Napari,
    ];

    private static readonly CoordinateFormat[] ByHand =
        [CoordinateFormat.Relion3, CoordinateFormat.Relion4, CoordinateFormat.Relion5, CoordinateFormat.Dynamo,
            CoordinateFormat.Copick, CoordinateFormat.Csv];

    // Dates, magnifications, endings that are none, and what belongs to a name.
    private static readonly string[] Names =
        ["TS_01", "TS_1.5", "TS_1.6", "2024.01.12_TS_01", "2024.01.12_TS_02", "rec_3", "A_ts_005.mrc", "TS_02.", "tomo_bin", "7"];

    // What pickers and template matchings call the score in a STAR file, and in a table with a heading.
    private static readonly string[] StarScores =
        ["AutopickFigureOfMerit", "LCCmax", "ParticleFigureOfMerit", "MaxValueProbDistribution"];

    private static readonly string[] HeadedScores = ["score", "confidence", "LCCmax", "ccc"];

    private static readonly string[] Refusals =
        ["give the voxel size", "has no use", "four columns without a heading", "fractions of the tomogram"];

    [Test]
    public void Convert_ThroughPairsAndTriplesOfFormats_KeepsPlacesOrRefuses()
    {
        int made = 0, refused = 0;
        // Most of the time a chain waits for files to be safely on the disk.
        ParallelOptions many = new() { MaxDegreeOfParallelism = 16 };
        Parallel.For(0, Conversions, many, (i, loop) =>
        {
            (int steps, string? refusal) = Chain(FirstSeed + i);
            Interlocked.Add(ref refused, refusal is null ? 0 : 1);
            if (Interlocked.Add(ref made, steps) >= Conversions)
                loop.Stop();
        });

        // A program that refuses everything would pass otherwise.
        Assert.That(refused, Is.LessThan(made / 20), $"refusals of {made} conversions");
    }

    /// <summary>One chain of conversions; the message says everything that is needed to repeat it.</summary>
    private static (int Steps, string? Refusal) Chain(int seed)
    {
        Random random = new(seed);
        using TemporaryFolder folder = new();
        World world = new(random, folder[""]);
        CoordinateFormat format = ByHand[random.Next(world.Tomograms.Count > 1 ? 4 : ByHand.Length)];
        RelionCentre centre = (RelionCentre)random.Next(2);
        string file = world.WriteByHand(format, centre, random);
        switch (random.Next(20))
        {
            case 0:
                AssertFractionsAreRefused(world, folder[""], random, seed);
                return (1, null);
            case 1:
                AssertOtherOrdersAreRefused(world, folder[""], random, seed);
                return (1, null);
        }

        // In the end those of one tomogram may be asked for, by its name or its volume's.
        string? wanted = random.Next(3) == 0 ? world.Tomograms[random.Next(world.Tomograms.Count)].Name : null;
        List<string> story = [$"seed {seed}: {world}", $"{format} by hand"];
        int steps = random.Next(1, 3);
        // The voxel size is told where a table on the way cannot tell it; where tomograms differ it cannot be
        // told.
        CoordinateFormat[] chain = [.. Enumerable.Range(0, steps).Select(_ => world.Choose(random))];
        bool unbinned = format == CoordinateFormat.Relion4 || chain[..^1].Any(
            f => f is CoordinateFormat.Relion4 or CoordinateFormat.Eman2);
        bool told = world.OneVoxelSize && (unbinned || chain.Any(WithoutPixelSizes.Contains) || random.Next(2) == 0);
        if (!world.OneVoxelSize && unbinned && chain.Any(WithoutPixelSizes.Contains))
            return (0, null);
        bool scored = true;
        for (int i = 0; i < steps; i++)
        {
            RelionCentre next = (RelionCentre)random.Next(2);
            string output = Path.Combine(folder[""], $"step{i}{world.OutputEnding(chain[i])}");
            ConversionOptions options = new()
            {
                To = chain[i],
                VoxelSizeAngstrom = told ? world.Tomograms[0].Voxel : 0,
                Shape = world.Tomograms.Count == 1 ? world.Tomograms[0].Shape : null,
                TomogramsStar = world.TomogramsStar,
                TomogramName = world.Tomograms.Count == 1 ? world.Tomograms[0].Name : null,
                Tomogram = i < steps - 1 || wanted is null ? null : wanted + (random.Next(2) == 0 ? ".mrc" : ""),
                FromCentre = centre,
                ToCentre = next,
            };
            story.Add($"{centre} to {chain[i]} "
                + $"{next}{(told ? ", voxel size told" : "")}{(options.Tomogram is { } one ? $", {one} alone" : "")}");
            try
            {
                CoordinateConversion.Convert(file, output, options);
            }
            catch (InputException e)
            {
                // A voxel size that no table on the way can hold, a name that every row has, or one or two
                // particles in the first slice or corner that look like something else: all else is known.
                if (!Refusals.Any(reason => e.Message.Contains(reason, StringComparison.Ordinal)))
                    Assert.Fail($"{string.Join("; ", story)}: refused, though everything is known: {e.Message}");
                return (i + 1, e.Message);
            }

            (file, centre) = (output, next);
            scored &= CoordinateFormats.HoldsScores(chain[i]);
            AssertPlaces(
                world, chain[i], file, centre, told, options.Tomogram is null ? null : wanted, scored, string.Join("; ", story));
        }

        return (steps, null);
    }

    /// <summary>Places between 0 and 1, as Warp's template matching writes them, are no pixels.</summary>
    private static void AssertFractionsAreRefused(World world, string folder, Random random, int seed)
    {
        string path = Path.Combine(folder, "fractions.star");
        string Row() => string.Create(CultureInfo.InvariantCulture, $"{world.Tomograms[0].Name}.tomostar {random.NextDouble()} "
            + $"{random.NextDouble()} {random.NextDouble()}");
        File.WriteAllText(
            path,
            "data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
            + $"{string.Join("\n", Enumerable.Range(0, random.Next(3, 9)).Select(_ => Row()))}\n");
        CoordinateFormat to = random.Next(2) == 0 ? CoordinateFormat.Relion3 : CoordinateFormat.Csv;
        ConversionOptions options = new() { To = to, VoxelSizeAngstrom = random.Next(2) == 0 ? world.Tomograms[0].Voxel : 0 };
        try
        {
            CoordinateConversion.Convert(path, Path.Combine(folder, $"wrong{CoordinateFormats.Ending(to)}"), options);
        }
        catch (InputException e) when (e.Message.Contains("fractions of the tomogram", StringComparison.Ordinal))
        {
            return;
        }

        Assert.Fail($"seed {seed}: fractions of the tomogram were taken for pixels: {File.ReadAllText(path)}");
    }

    /// <summary>
    /// Four columns without a heading are class, x, y and z. A score or a class at their end would turn the
    /// axes.
    /// </summary>
    private static void AssertOtherOrdersAreRefused(World world, string folder, Random random, int seed)
    {
        string path = Path.Combine(folder, "unnamed.coords");
        bool score = random.Next(2) == 0;
        // Places of a picker that works voxel by voxel.
        int count = random.Next(3, 9), first = random.Next(20, 200);
        string Row(int i) => string.Create(CultureInfo.InvariantCulture, $"{first + i} {random.Next(200)} {random.Next(200)} "
            + $"{(score ? 0.01 + (0.98 * random.NextDouble()) : 1 + (i % 2))}");
        File.WriteAllText(path, string.Concat(Enumerable.Range(0, count).Select(i => $"{Row(i)}\n")));
        try
        {
            CoordinateConversion.Convert(path, Path.Combine(folder, "turned.csv"), new ConversionOptions
            {
                To = CoordinateFormat.Csv,
                TomogramName = world.Tomograms[0].Name,
            });
        }
        catch (InputException e) when (e.Message.Contains("four columns without a heading", StringComparison.Ordinal))
        {
            return;
        }

        Assert.Fail($"seed {seed}: x, y, z and a {(score ? "score" : "class")} were taken for class, x, y, z: "
            + File.ReadAllText(path));
    }

    private static void AssertPlaces(
        World world, CoordinateFormat format, string output, RelionCentre centre, bool told, string? wanted, bool scored,
        string story)
    {
        List<Found> found = [];
        foreach (
            string file in Directory.Exists(output) ? Directory.EnumerateFiles(output, "*", SearchOption.AllDirectories)
                : [output])
        {
            if (!file.EndsWith(".doc", StringComparison.Ordinal))
                found.AddRange(ReadByHand(world, format, file, centre, told));
        }

        int count = world.Tomograms.Where(t => wanted is null || t.Name == wanted).Sum(t => t.Places.Count);
        if (found.Count != count)
            Assert.Fail($"{story}: {found.Count} particles of {count}");
        foreach (Found one in found)
        {
            (Tomogram tomogram, double x, double y, double z, double? score) = one;
            double Distance((double X, double Y, double Z) p)
                => Math.Max(Math.Abs(p.X - x), Math.Max(Math.Abs(p.Y - y), Math.Abs(p.Z - z)));
            (double X, double Y, double Z) nearest = tomogram.Places.MinBy(Distance);
            if (!(Distance(nearest) < ToleranceVoxels))
                Assert.Fail(string.Create(CultureInfo.InvariantCulture, $"{story}: ({x}, {y}, {z}) in {tomogram.Name} is "
                    + $"{Distance(nearest)} voxels from every particle"));
            // Single precision is what an EM file has.
            if (scored && !(Math.Abs((score ?? double.NaN) - ScoreOf(nearest)) < 1e-6))
                Assert.Fail(string.Create(CultureInfo.InvariantCulture, $"{story}: ({x}, {y}, {z}) in {tomogram.Name} has the "
                    + $"score {score?.ToString(CultureInfo.InvariantCulture) ?? "of nobody"}, not {ScoreOf(nearest)}"));
        }
    }

    /// <summary>A particle's score, which follows from its place.</summary>
    private static double ScoreOf((double X, double Y, double Z) place)
        => Math.Round(0.1 + (0.8 * (place.X - Math.Floor(place.X))), 3);

    /// <summary>A particle that was read: its place in voxels and its score, if the format has one.</summary>
    private sealed record Found(Tomogram Tomogram, double X, double Y, double Z, double? Score = null);

    /// <summary>
    /// Places in voxels of each particle's tomogram, from what the file says and the facts of the tomogram.
    /// </summary>
    private static IEnumerable<Found> ReadByHand(
        World world, CoordinateFormat format, string file, RelionCentre centre, bool told)
    {
        static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
        static double? Score(Dictionary<string, string> row)
            => row.TryGetValue("rlnAutopickFigureOfMerit", out string? text) ? Number(text) : null;
        // Pixel 0 and voxel 0 begin at the same corner.
        static double Voxel(double pixel, double size, double voxel) => ((pixel + 0.5) * size / voxel) - 0.5;
        switch (format)
        {
            case CoordinateFormat.Relion3 or CoordinateFormat.Warp:
                foreach (Dictionary<string, string> row in StarRows(file, "particles"))
                {
                    Tomogram t = world.Named(
                        format == CoordinateFormat.Warp ? row["rlnMicrographName"][..^".tomostar".Length]
                            : row["rlnMicrographName"]);
                    double pixel = row.TryGetValue("rlnDetectorPixelSize", out string? size)
                        ? Number(size) * 1e4 / Number(row["rlnMagnification"]) : t.Voxel;
                    yield return new Found(
                        t,
                        Voxel(Number(row["rlnCoordinateX"]), pixel, t.Voxel),
                        Voxel(Number(row["rlnCoordinateY"]), pixel, t.Voxel),
                        Voxel(Number(row["rlnCoordinateZ"]), pixel, t.Voxel),
                        Score(row));
                }

                break;
            case CoordinateFormat.Relion4:
                Dictionary<string, double> groups = StarRows(file, "optics").ToDictionary(
                    r => r["rlnOpticsGroup"], r => Number(r["rlnTomoTiltSeriesPixelSize"]));
                foreach (Dictionary<string, string> row in StarRows(file, "particles"))
                {
                    Tomogram t = world.Named(row["rlnTomoName"]);
                    double pixel = groups[row["rlnOpticsGroup"]];
                    yield return new Found(
                        t,
                        Voxel(Number(row["rlnCoordinateX"]), pixel, t.Voxel),
                        Voxel(Number(row["rlnCoordinateY"]), pixel, t.Voxel),
                        Voxel(Number(row["rlnCoordinateZ"]), pixel, t.Voxel),
                        Score(row));
                }

                break;
            case CoordinateFormat.Relion5:
                foreach (Dictionary<string, string> row in StarRows(file, "particles"))
                {
                    Tomogram t = world.Named(row["rlnTomoName"]);
                    double Place(string axis, double unbinnedSize)
                        => Voxel(
                            (Number(row[$"rlnCenteredCoordinate{axis}Angst"]) / t.Pixel)
                                + (unbinnedSize / 2) - (centre == RelionCentre.HalfSizeMinusOne ? 1 : 0), t.Pixel, t.Voxel);
                    yield return new Found(t, Place("X", t.SizeX), Place("Y", t.SizeY), Place("Z", t.SizeZ), Score(row));
                }

                break;
            case CoordinateFormat.Dynamo:
                Dictionary<string, string> names = NamesBeside(file);
                foreach (string[] row in File.ReadLines(file).Select(l => l.Split(' ')))
                {
                    Tomogram t = world.Named(names.GetValueOrDefault(row[19], row[19]));
                    double pixel = row.Length > 35 && Number(row[35]) > 0 ? Number(row[35]) : t.Voxel;
                    yield return new Found(
                        t,
                        Voxel(Number(row[23]) - 1, pixel, t.Voxel),
                        Voxel(Number(row[24]) - 1, pixel, t.Voxel),
                        Voxel(Number(row[25]) - 1, pixel, t.Voxel),
                        Number(row[9]));
                }

                break;
            case CoordinateFormat.Motl:
                byte[] bytes = File.ReadAllBytes(file);
                Dictionary<string, string> numbers = NamesBeside(file);
                for (int offset = 512; offset < bytes.Length; offset += 80)
                {
                    double Row(int row) => BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(offset + (4 * (row - 1))));
                    string number = Row(5).ToString(CultureInfo.InvariantCulture);
                    yield return new Found(
                        world.Named(numbers.GetValueOrDefault(number, number)), Row(8) - 1, Row(9) - 1, Row(10) - 1, Row(1));
                }

                break;
            case CoordinateFormat.DeepFinder:
                Dictionary<string, string> indices = NamesBeside(file);
                foreach (XElement o in XDocument.Load(file).Root!.Elements())
                {
                    string index = o.Attribute("tomo_idx")!.Value;
                    yield return new Found(
                        world.Named(indices.GetValueOrDefault(index, index)),
                        Number(o.Attribute("x")!.Value),
                        Number(o.Attribute("y")!.Value),
                        Number(o.Attribute("z")!.Value));
                }

                break;
            case CoordinateFormat.Csv or CoordinateFormat.Tsv:
                string[][] lines = [.. File.ReadLines(file).Select(l => l.Split(format == CoordinateFormat.Csv ? ',' : '\t'))];
                int name = Array.IndexOf(lines[0], "tomogram");
                int score = Array.IndexOf(lines[0], "score");
                foreach (string[] row in lines[1..])
                    yield return new Found(
                        name >= 0 ? world.Named(row[name]) : world.Tomograms[0],
                        Number(row[0]),
                        Number(row[1]),
                        Number(row[2]),
                        score >= 0 ? Number(row[score]) : null);
                break;
            case CoordinateFormat.Coords:
                foreach (string[] row in File.ReadLines(file).Select(l => l.Split(' ')))
                    yield return new Found(
                        world.Named(Path.GetFileName(file)[..^".coords".Length]),
                        Number(row[^3]),
                        Number(row[^2]),
                        Number(row[^1]));
                break;
            case CoordinateFormat.Shrec:
                foreach (string[] row in File.ReadLines(file).Select(l => l.Split(' ')))
                    yield return new Found(
                        world.Named(Path.GetFileName(Path.GetDirectoryName(file)!)),
                        Number(row[1]),
                        Number(row[2]),
                        Number(row[3]));
                break;
            case CoordinateFormat.Copick:
                JsonElement picks = JsonDocument.Parse(File.ReadAllBytes(file)).RootElement;
                double spacing = picks.GetProperty("voxel_spacing").GetDouble();
                Tomogram run = world.Named(picks.GetProperty("run_name").GetString()!);
                foreach (JsonElement point in picks.GetProperty("points").EnumerateArray())
                {
                    double Place(string axis)
                        => Voxel(point.GetProperty("location").GetProperty(axis).GetDouble() / spacing, spacing, run.Voxel);
                    JsonElement pointScore = point.GetProperty("score");
                    yield return new Found(
                        run,
                        Place("x"),
                        Place("y"),
                        Place("z"),
                        pointScore.ValueKind == JsonValueKind.Number ? pointScore.GetDouble() : null);
                }

                break;
            case CoordinateFormat.Eman2:
                JsonElement info = JsonDocument.Parse(File.ReadAllBytes(file)).RootElement;
                double apix = info.GetProperty("apix_unbin").GetDouble();
                Tomogram of = world.Named(Path.GetFileName(file)[..^"_info.json".Length]);
                foreach (JsonElement box in info.GetProperty("boxes_3d").EnumerateArray())
                {
                    double Place(int axis, int size) => (box[axis].GetDouble() * apix / of.Voxel) + (size / 2);
                    yield return new Found(
                        of, Place(0, of.Shape.Width), Place(1, of.Shape.Height), Place(2, of.Shape.Depth), box[4].GetDouble());
                }

                break;
            case CoordinateFormat.ChimeraX:
                XElement set = XDocument.Load(file).Root!;
                double step = Number(set.Attribute("voxel_spacing")!.Value);
                foreach (XElement marker in set.Elements())
                {
                    Tomogram owner = world.Named(Path.GetFileName(file)[..^".cmm".Length]);
                    double Place(string axis) => Voxel(Number(marker.Attribute(axis)!.Value) / step, step, owner.Voxel);
                    yield return new Found(
                        owner,
                        Place("x"),
                        Place("y"),
                        Place("z"),
                        marker.Attribute("score") is { } markerScore ? Number(markerScore.Value) : null);
                }

                break;
            case CoordinateFormat.Imod:
                byte[] model = File.ReadAllBytes(file);
                // A header of 240 bytes, one object of 180 and one contour of 20 with its tag and the number
                // of points first.
                int points = BinaryPrimitives.ReadInt32BigEndian(model.AsSpan(424));
                // The size is in nanometres, where there is one.
                double nanometres = BinaryPrimitives.ReadSingleBigEndian(model.AsSpan(216));
                Tomogram drawn = world.Named(Path.GetFileName(file)[..^".mod".Length]);
                for (int at = 440; at < 440 + (12 * points); at += 12)
                {
                    double Axis(int axis, double first) => Voxel(
                        BinaryPrimitives.ReadSingleBigEndian(model.AsSpan(at + (4 * axis))) - first, nanometres > 0
                            ? 10 * nanometres : drawn.Voxel, drawn.Voxel);
                    yield return new Found(drawn, Axis(0, 0.5), Axis(1, 0.5), Axis(2, 0));
                }

                break;
            case CoordinateFormat.Napari:
                string[][] rows = [.. File.ReadLines(file).Select(l => l.Split(','))];
                int scoreColumn = Array.IndexOf(rows[0], "score");
                foreach (string[] row in rows[1..])
                    yield return new Found(
                        world.Named(Path.GetFileName(file)[..^".csv".Length]),
                        Number(row[3]),
                        Number(row[2]),
                        Number(row[1]),
                        scoreColumn >= 0 ? Number(row[scoreColumn]) : null);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(format), format, $"No reader by hand; told {told}.");
        }
    }

    private static Dictionary<string, string> NamesBeside(string file)
        => Path.ChangeExtension(file, ".tomograms.doc") is var doc && File.Exists(doc)
            ? File.ReadLines(doc).Select(l => l.Split(' ', 2)).ToDictionary(l => l[0], l => l[1]) : [];

    /// <summary>The rows of a loop, as simply as can be: our files quote nothing here.</summary>
    private static IEnumerable<Dictionary<string, string>> StarRows(string file, string block)
    {
        List<string> columns = [];
        bool inside = false;
        foreach (string line in File.ReadLines(file))
        {
            if (line.StartsWith("data_", StringComparison.Ordinal))
                inside = line == $"data_{block}";
            else if (inside && line.StartsWith('_'))
                columns.Add(line.Split(' ')[0][1..]);
            else if (inside && line.Length > 0 && line[0] != '#' && line != "loop_")
                yield return columns.Zip(line.Split(' ')).ToDictionary(p => p.First, p => p.Second);
        }
    }

    /// <summary>
    /// A tomogram: unbinned size and pixel, the binned volume, and where its particles are, in voxels.
    /// </summary>
    private sealed record Tomogram(
        string Name,
        double Pixel,
        int Binning,
        Extent Shape,
        int SizeX,
        int SizeY,
        int SizeZ,
        List<(double X, double Y, double Z)> Places)
    {
        public double Voxel => Pixel * Binning;
    }

    /// <summary>Random tomograms with their tomograms.star.</summary>
    private sealed class World
    {
        private readonly string folder;

        public World(Random random, string folder)
        {
            this.folder = folder;
            string[] names = [.. Names];
            random.Shuffle(names);
            double[] pixels = [1.35, 2.5, 2.62, 3.4];
            random.Shuffle(pixels);
            int count = random.Next(1, 4), different = random.Next(1, 3), binning = random.Next(1, 9);
            for (int i = 0; i < count; i++)
            {
                Extent shape = new(random.Next(20, 90), random.Next(20, 200), random.Next(20, 200));
                // What is left at the far end when a size is no multiple of the binning.
                int Unbinned(int size) => (size * binning) + random.Next(binning);
                List<(double X, double Y, double Z)> places = [];
                for (int p = random.Next(1, 6); p > 0; p--)
                    places.Add(
                        (random.NextDouble() * (shape.Width - 1), random.NextDouble() * (shape.Height - 1),
                            random.NextDouble() * (shape.Depth - 1)));
                Tomograms.Add(
                    new Tomogram(
                        names[i],
                        pixels[i % different],
                        binning,
                        shape,
                        Unbinned(shape.Width),
                        Unbinned(shape.Height),
                        Unbinned(shape.Depth),
                        places));
                if (different == 2)
                    binning = random.Next(1, 9);
            }

            TomogramsStar = Path.Combine(folder, "tomograms.star");
            File.WriteAllText(TomogramsStar, "data_global\n\nloop_\n_rlnTomoName #1\n_rlnTomoSizeX #2\n_rlnTomoSizeY "
                + "#3\n_rlnTomoSizeZ #4\n_rlnTomoTiltSeriesPixelSize #5\n_rlnTomoTomogramBinning #6\n"
                + string.Concat(Tomograms.Select(t => string.Create(CultureInfo.InvariantCulture, $"{t.Name} {t.SizeX} "
                + $"{t.SizeY} {t.SizeZ} {t.Pixel} {t.Binning}\n"))));
        }

        public List<Tomogram> Tomograms { get; } = [];

        public string TomogramsStar { get; }

        public bool OneVoxelSize => Tomograms.Select(t => t.Voxel).Distinct().Count() == 1;

        // A name may come out of Warp without the ending of a volume and with its own.
        public Tomogram Named(string name)
            => Tomograms
                .Find(t => new[] { t.Name, t.Name.Replace(".mrc", "", StringComparison.Ordinal) }
                    .Any(own => own == name || $"{own}.tomostar" == name)) ?? throw new AssertionException(
                        $"'{name}' is none of {this}");

        public override string ToString()
            => string.Join(", ", Tomograms.Select(t => string.Create(CultureInfo.InvariantCulture, $"'{t.Name}' {t.Binning} x "
                + $"{t.Pixel} Å {t.Shape}")));

        /// <summary>
        /// A format that can be asked for here: EMAN2 counts from the middle of one volume.
        /// </summary>
        public CoordinateFormat Choose(Random random)
        {
            while (true)
            {
                CoordinateFormat format = Formats[random.Next(Formats.Length)];
                if (format != CoordinateFormat.Eman2 || Tomograms.Count == 1)
                    return format;
            }
        }

        /// <summary>The ending of a table; none where the format needs a folder.</summary>
        public string OutputEnding(CoordinateFormat format)
            => format is CoordinateFormat.Coords or CoordinateFormat.Shrec or CoordinateFormat.Copick or CoordinateFormat.Eman2
                or CoordinateFormat.ChimeraX or CoordinateFormat.Imod or CoordinateFormat.Napari ? ""
                    : CoordinateFormats.Ending(format);

        /// <summary>
        /// Writes all particles as another program does, with shifts where the format has them.
        /// </summary>
        public string WriteByHand(CoordinateFormat format, RelionCentre centre, Random random)
        {
            string path = Path.Combine(folder, $"start{CoordinateFormats.Ending(format)}");
            double Shift() => Math.Round(random.NextDouble() * 20, 2) - 10;
            static double Pixel(double voxel, double binning) => ((voxel + 0.5) * binning) - 0.5;
            List<string> lines = [];
            double[] groups = [.. Tomograms.Select(t => t.Pixel).Distinct()];
            List<double> voxels = [.. Tomograms.Select(t => t.Voxel).Distinct()];
            foreach (Tomogram t in Tomograms)
            {
                foreach ((double x, double y, double z) in t.Places)
                {
                    (double x, double y, double z) s = (Shift(), Shift(), Shift());
                    double score = ScoreOf((x, y, z));
                    double minus = centre == RelionCentre.HalfSizeMinusOne ? 1 : 0;
                    lines.Add(format switch
                    {
                        CoordinateFormat.Relion3 => string.Create(CultureInfo.InvariantCulture, $"{t.Name} {x + s.x} {y + s.y} "
                            + $"{z + s.z} {s.x} {s.y} {s.z} {score} 10000 {t.Voxel}"),
                        CoordinateFormat.Relion4 => string.Create(
                            CultureInfo.InvariantCulture, $"{t.Name} {Pixel(x, t.Binning) + (s.x / t.Pixel)} "
                                + $"{Pixel(y, t.Binning) + (s.y / t.Pixel)} {Pixel(z, t.Binning) + (s.z / t.Pixel)} {s.x} "
                                + $"{s.y} {s.z} {score} {Array.IndexOf(groups, t.Pixel) + 1}"),
                        CoordinateFormat.Relion5 => string.Create(
                            CultureInfo.InvariantCulture,
                            $"{t.Name} {((Pixel(x, t.Binning) - (t.SizeX / 2.0) + minus) * t.Pixel) + s.x} "
                            + $"{((Pixel(y, t.Binning) - (t.SizeY / 2.0) + minus) * t.Pixel) + s.y} "
                            + $"{((Pixel(z, t.Binning) - (t.SizeZ / 2.0) + minus) * t.Pixel) + s.z} {s.x} {s.y} {s.z} {score}"),
                        CoordinateFormat.Dynamo => string.Create(CultureInfo.InvariantCulture, $"1 1 0 {s.x} {s.y} {s.z} 0 0 0 "
                            + $"{score} 0 0 1 -60 60 0 0 0 0 {Tomograms.IndexOf(t) + 1} 0 1 0 {x + 1 - s.x} {y + 1 - s.y} "
                            + $"{z + 1 - s.z} 0 0 0 0 0 0 0 0 0 {t.Voxel}"),
                        CoordinateFormat.Copick => string.Create(CultureInfo.InvariantCulture, $"{{\"location\": {{\"x\": "
                            + $"{(x * t.Voxel) - s.x}, \"y\": {(y * t.Voxel) - s.y}, \"z\": {(z * t.Voxel) - s.z}}}, "
                            + $"\"transformation_\": [[1,0,0,{s.x}],[0,1,0,{s.y}],[0,0,1,{s.z}],[0,0,0,1]], "
                            + $"\"score\": {score}}}"),
                        CoordinateFormat.Csv => FormattableString.Invariant($"{x},{y},{z},{t.Name},{score}"),
                        _ => throw new ArgumentOutOfRangeException(nameof(format)),
                    });
                }
            }

            bool unitsOfOptics = format == CoordinateFormat.Relion3 && random.Next(2) == 0;
            if (unitsOfOptics)
                lines = [.. lines.Select(l => $"{string.Join(' ', l.Split(' ')[..^2])} "
                    + $"{voxels.IndexOf(double.Parse(l.Split(' ')[^1], CultureInfo.InvariantCulture)) + 1}")];
            // What the boxes were binned by when they were extracted says nothing about the coordinates.
            int box = random.Next(1, 5);
            static string Loop(string block, params string[] columns)
                => $"data_{block}\n\nloop_\n{string.Concat(columns.Select(c => $"_rln{c}\n"))}";
            string[] pixels = ["CoordinateX", "CoordinateY", "CoordinateZ"];
            string starScore = StarScores[random.Next(StarScores.Length)];
            string[] originsAngst = ["OriginXAngst", "OriginYAngst", "OriginZAngst"];
            string text = format switch
            {
                CoordinateFormat.Relion3 when unitsOfOptics => Loop(
                    "optics", "OpticsGroup", "ImagePixelSize", "MicrographPixelSize")
                    + string.Concat(voxels.Select((v, i) => FormattableString.Invariant($"{i + 1} {v * box} {v}\n"))),
                CoordinateFormat.Relion4 => Loop("optics", "OpticsGroup", "ImagePixelSize", "TomoTiltSeriesPixelSize")
                    + string.Concat(groups.Select((g, i) => FormattableString.Invariant($"{i + 1} {g * box} {g}\n"))),
                CoordinateFormat.Csv => $"x,y,z,tomogram,{HeadedScores[random.Next(HeadedScores.Length)]}\n",
                CoordinateFormat.Copick => string.Create(CultureInfo.InvariantCulture, $"{{\"pickable_object_name\": "
                    + $"\"ribosome\", \"run_name\": \"{Tomograms[0].Name}\", \"voxel_spacing\": {Tomograms[0].Voxel}, "
                    + $"\"unit\": \"angstrom\", \"points\": ["),
                _ => "",
            };
            string particles = format switch
            {
                CoordinateFormat.Relion3 when unitsOfOptics => Loop(
                    "particles", ["MicrographName", .. pixels, "OriginX", "OriginY", "OriginZ", starScore, "OpticsGroup"]),
                CoordinateFormat.Relion3 => Loop(
                    "particles",
                    ["MicrographName", .. pixels, "OriginX", "OriginY", "OriginZ", starScore, "Magnification",
                        "DetectorPixelSize"]),
                CoordinateFormat.Relion4 => Loop("particles", ["TomoName", .. pixels, .. originsAngst, starScore, "OpticsGroup"]),
                CoordinateFormat.Relion5 => Loop(
                    "particles",
                    ["TomoName", "CenteredCoordinateXAngst", "CenteredCoordinateYAngst", "CenteredCoordinateZAngst",
                        .. originsAngst, starScore]),
                _ => "",
            };
            text += (text.Length > 0 && particles.Length > 0 ? "\n" : "") + particles;
            if (particles.Length > 0 && lines.Count > 1 && random.Next(3) == 0)
                lines.Insert(
                    random.Next(1, lines.Count),
                    $"\n{particles.Replace("data_particles", "data_more", StringComparison.Ordinal)}");
            File.WriteAllText(
                path, format == CoordinateFormat.Copick ? $"{text}{string.Join(",", lines)}]}}"
                    : text + string.Join("\n", lines) + "\n");
            if (format == CoordinateFormat.Dynamo)
                File.WriteAllText(
                    Path.ChangeExtension(path, ".tomograms.doc"),
                    string.Concat(Tomograms.Select((t, i) => $"{i + 1} {t.Name}\n")));
            return path;
        }
    }
}
