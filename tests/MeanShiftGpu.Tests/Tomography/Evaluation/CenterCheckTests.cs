using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Evaluation;

/// <summary>The check of an input: it names what is wrong, and says nothing of a right project.</summary>
public class CenterCheckTests
{
    private static readonly Dictionary<string,
        double> Diameters = new() { ["ring"] = 150, ["rod"] = 190, ["hook"] = 170, ["sandclock"] = 180 };

    /// <summary>Right projects: shape, voxel size in Å, signal to noise, volumes, depth.</summary>
    private static readonly TestCaseData[] RightProjects =
    [
        Project("rings", ["ring"], 10, 0.1, 2),
        Project("rods", ["rod"], 10, 0.1, 2),
        Project("hooks in noise", ["hook"], 10, 0.03, 1),
        Project("sandclocks", ["sandclock"], 10, 0.3, 3),
        Project("small rings", ["ring"], 20, 0.1, 2),
        Project("large rods", ["rod"], 7, 0.1, 1),
        Project("bright hooks", ["hook"], 10, 0.1, 2, bright: true),
        Project("four shapes", ["ring", "rod", "hook", "sandclock"], 10, 0.1, 3),
        Project("thin", ["ring"], 10, 0.2, 2, depth: 22),
        Project("few rings of many", ["ring"], 10, 0.1, 1, keep: 8),
        Project("rings among rods", ["ring", "rod"], 10, 0.2, 1, only: "ring"),
        Project("a corner annotated", ["rod"], 10, 0.1, 1, corner: true),
    ];

    /// <summary>Particles whose tables are spoilt below.</summary>
    private static readonly string[] Shapes = ["ring", "rod", "sandclock"];

    [TestCaseSource(nameof(RightProjects))]
    public void Of_ARightProject_FindsNothing(TomogramOptions options, int volumes, int keep, string? only, bool corner)
    {
        TrainingVolume[] right = [.. Enumerable.Range(0, volumes).Select(i => Simulated(options, i, only))];
        right = [.. right.Select(v => v with
        {
            Centers = [.. v.Centers.Where(c => !corner || (c.Y < 0.6 * v.Size.Height && c.X < 0.6 * v.Size.Width)).Take(keep)],
        })];
        double diameter = options.Shapes.Average(s => Diameters[s.Name]) / options.VoxelSizeAngstrom;
        Says(CenterCheck.Of(right, diameter, diameterIsGiven: only is not null || options.Shapes.Count == 1), diameter, null);
    }

    [Test]
    public void Of_Sandclocks_FindsNothing()
    {
        TrainingVolume[] right = [.. Enumerable.Range(0, 6).Select(i =>
        {
            SandclockVolume made = Sandclock.Create(SandclockOptions.Demo, i);
            float[] image = [.. made.Image];
            TrainingVolume.Normalize(image);
            return new TrainingVolume($"sandclock {i}", new Extent(made.Depth, made.Height, made.Width), image, null,
                made.Centers);
        })];
        Says(CenterCheck.Of(right, 10, diameterIsGiven: true), 10, null);
    }

    [TestCaseSource(nameof(Shapes))]
    public void Of_ATableReadWrongly_NamesHow(string shape)
    {
        TrainingVolume right = Simulated(Options([shape], 10, 0.2), 0);
        double diameter = Diameters[shape] / 10;
        Extent size = right.Size;
        void Finds(string said, Func<Position, Position> wrong)
            => Says(CenterCheck.Of([right with { Centers = [.. right.Centers.Select(wrong)] }], diameter, true), diameter, said);
        Assert.Multiple(() =>
        {
            Finds("with coordinates times 2", p => new Position(p.Z / 2, p.Y / 2, p.X / 2));
            Finds("with coordinates times 0.5", p => new Position(p.Z * 2, p.Y * 2, p.X * 2));
            Finds("with x and y exchanged", p => new Position(p.Z, p.X, p.Y));
            Finds("mirrored along y", p => p with { Y = size.Height - 1 - p.Y });
            Finds("half a box", p => new Position(p.Z + diameter, p.Y + diameter, p.X + diameter));
        });
    }

    [TestCaseSource(nameof(Shapes))]
    public void Of_AnotherTomogramsTable_SaysThatItIsNot(string shape)
    {
        TomogramOptions options = Options([shape], 10, 0.2);
        TrainingVolume[] right = [.. Enumerable.Range(0, 3).Select(i => Simulated(options, i))];
        TrainingVolume wrong = right[0] with { Centers = right[1].Centers };
        double diameter = Diameters[shape] / 10;
        Says(CenterCheck.Of([wrong], diameter, true), diameter, "Does the table belong to this volume?");
        Says(CenterCheck.Of([wrong, right[1], right[2]], diameter, true), diameter, "Does the table belong to this volume?",
            null, null);
    }

    [TestCaseSource(nameof(Shapes))]
    public void Of_OneVolumeOfInvertedContrast_NamesIt(string shape)
    {
        TomogramOptions options = Options([shape], 10, 0.2);
        TrainingVolume[] volumes = [.. Enumerable.Range(0, 3)
            .Select(i => Simulated(i == 0 ? options with { BrightParticles = true } : options, i))];
        double diameter = Diameters[shape] / 10;
        Says(CenterCheck.Of(volumes, diameter, true), diameter, "Is the contrast of one of them inverted?", null, null);
        Says(CenterCheck.Of(volumes[..2], diameter, true), diameter, null, "Is the contrast of one of them inverted?");
    }

    // What a factor of two makes cannot be told from a particle's shape.
    [TestCase("sandclock", 0.25)]
    [TestCase("hook", 0.25)]
    [TestCase("sandclock", 3)]
    [TestCase("hook", 3)]
    public void Of_AnotherPixelSize_SaysThatTheParticleDoesNotFit(string shape, double factor)
    {
        TrainingVolume volume = Simulated(Options([shape], 10, 0.3), 0);
        double diameter = factor * Diameters[shape] / 10;
        CenterCheck check = CenterCheck.Of([volume], diameter, true)[0];
        string seen = $"{check.Given.Contrast:0.0} as it is, {check.Best.Contrast:0.0} {check.Best.Words}, extent "
            + $"{check.ExtentVoxels}, diameter {diameter}";
        Assert.That(check.Problem ?? "", Does.Contain("voxel size and").Or.Contain("stand out far more"), seen);
        TestContext.Out.WriteLine(seen);
        // A diameter that nobody gave is no reason to doubt.
        Assert.That(CenterCheck.Of([volume], diameter, false)[0].Problem ?? "", Does.Not.Contain("Are the voxel size"));
    }

    [Test]
    public void WholeVolumes_OfTwoParts_HaveTheVoxelsAndCentresOfTheWhole()
    {
        using Support.TemporaryFolder folder = new();
        Extent size = new(5, 7, 6);
        string path = folder["whole.mrc"];
        using Volume whole = Volume.Of([.. Enumerable.Range(0, (int)size.Voxels).Select(i => (float)i)], size);
        MeanShiftGpu.Tomography.Volumes.MrcFile.Write(path, whole);
        (DatasetVolume, TrainingVolume) Part(int first, int height)
        {
            Box box = new((0, first, 0), size with { Height = height });
            float[] values = new float[box.Size.Voxels];
            whole.Read(box, values);
            return (new DatasetVolume
            {
                Volume = path,
                Coordinates = "t.csv",
                Split = DatasetSplit.Train,
                Region = new DatasetRegion(box)
            },
                new TrainingVolume("part", box.Size, values, null, [new Position(1, 1, 1)]));
        }

        (DatasetVolume Entry, TrainingVolume Volume)[] parts = [Part(0, 4), Part(4, 3)];
        TrainingVolume joined = WholeVolumes.Of([.. parts.Select(p => p.Entry)], [.. parts.Select(p => p.Volume)]).Single();
        Box inside = new((1, 2, 1), new Extent(3, 4, 4));
        (float[] expected, float[] read) = (new float[inside.Size.Voxels], new float[inside.Size.Voxels]);
        whole.Read(inside, expected);
        joined.Image.Read(inside, read);
        Assert.That(read, Is.EqualTo(expected));
        Assert.That(joined.Centers, Is.EqualTo(new[] { new Position(1, 1, 1), new Position(1, 5, 1) }));
        Assert.That(WholeVolumes.Of([parts[0].Entry], [parts[0].Volume]).Single(), Is.SameAs(parts[0].Volume),
            "a part alone stays one");
    }

    private static void Says(IReadOnlyList<CenterCheck> checks, double diameter, params string?[]? said)
    {
        for (int i = 0; i < checks.Count; i++)
        {
            CenterCheck check = checks[i];
            string seen = $"volume {i}: {check.Given.Contrast:0.0} as it is, {check.Best.Contrast:0.0} {check.Best.Words}, "
                + $"extent {check.ExtentVoxels} of diameter {diameter}";
            TestContext.Out.WriteLine(seen);
            Assert.That(check.Problem, (said is null ? null : said[i]) is { } words ? Does.Contain(words) : Is.Null, seen);
        }
    }

    private static TestCaseData Project(
        string name, string[] shapes, double voxel, double noise, int volumes, bool bright = false, int depth = 32,
            int keep = int.MaxValue,
        string? only = null, bool corner = false)
        => new TestCaseData(Options(shapes, voxel, noise, depth) with { BrightParticles = bright }, volumes, keep, only, corner)
            .SetArgDisplayNames(name);

    private static TomogramOptions Options(string[] shapes, double voxel, double noise, int depth = 32) => new()
    {
        Shapes = [.. shapes.Select(s => ParticleShape.Create(s, voxel))],
        VoxelSizeAngstrom = voxel,
        SignalToNoise = noise,
        Depth = depth,
        Height = 88,
        Width = 96,
        MinimumParticles = 24,
        MaximumParticles = 24,
        TiltStepDegrees = 6,
    };

    private static TrainingVolume Simulated(TomogramOptions options, int index, string? only = null)
    {
        using SimulatedTomogram made = TomogramSimulator.Create(options, index);
        float[] image = new float[made.Reconstruction.Length];
        made.Reconstruction.Read(Box.Slices(options.Extent, 0, options.Depth), image);
        TrainingVolume.Normalize(image);
        return new TrainingVolume($"TS_{index}", options.Extent, image, null,
            [.. made.Particles.Where(p => only is null || p.Shape == only).Select(p => new Position(p.Z, p.Y, p.X))]);
    }
}
