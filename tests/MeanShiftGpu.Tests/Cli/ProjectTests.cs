using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// A new user's project in small: five tomograms of unequal sizes with the names that programs give, rings
/// among rods, some rings of one tomogram annotated in a table of RELION 5 at another binning. From files to
/// a table of RELION 5, without JSON and without a number but the diameter.
/// </summary>
public class ProjectTests
{
    // Of 10 Å, as large as a training of seconds allows; the table counts in pixels of 2.5 Å.
    private static readonly Extent Size = new(32, 72, 88);
    private static readonly Extent[] Sizes = [Size, new(32, 80, 72), new(40, 72, 72), new(32, 88, 72), new(36, 76, 80)];
    private const double Binning = 4;
    private const int Annotated = 12;

    private static readonly string[] Names = ["TS_01_10.00Apx.mrc", "TS_02_rec.mrc", "rec_TS_03.mrc", "TS_04.mrc",
        "TS_05_Vol.mrc"];

    // As short a training as finds most rings; the network alone is smaller than a user's.
    private static readonly string[] Small = ["--widths", "8,16", "--steps", "120", "--validate-every", "60", "--device", "cpu"];

    private ToolFolder folder = null!;
    private IReadOnlyList<Position>[] truth = null!;

    [OneTimeSetUp]
    public void SetUp()
    {
        folder = new ToolFolder();
        DatasetVolume[] entries = [.. Sizes.Select((size, i) =>
        {
            string simulated = folder.At($"simulated{i}");
            ToolRun.Succeeds("simulate", "--out", simulated, "--preset", "tomogram", "--train", "1", "--test", "0", "--shapes",
                "ring", "rod", "--particles", "24,24", "--snr", "0.3", "--size", $"{size.Depth},{size.Height},{size.Width}",
                "--seed", $"{i + 1}");
            return DatasetManifest.Read(Path.Combine(simulated, "manifest.json")).Volumes.Single();
        })];
        Particle[][] rings = [.. entries.Zip(Sizes, (e, size)
            => e.ReadParticles(size, new VoxelSize(10)).Where(p => p.Name == "ring").ToArray())];
        truth = [.. rings.Select(r => (IReadOnlyList<Position>)[.. r.Select(p => new Position(p.Z, p.Y, p.X))])];
        Directory.CreateDirectory(folder.At("tomograms"));
        for (int i = 0; i < Names.Length; i++)
            File.Copy(entries[i].Volume, folder.At("tomograms", Names[i]));
        folder.WriteText("tomograms.star",
            "data_global\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\n"
            + "_rlnTomoTomogramBinning\n"
            + string.Concat(Sizes.Select((s, i)
                => $"TS_0{i + 1} 2.5 {s.Width * Binning} {s.Height * Binning} {s.Depth * Binning} {Binning}\n")));
        CoordinateTables.Write(folder.At("picks.star"), [.. rings[0].Take(Annotated).Select(p
            => p with { Tomogram = "TS_01" })], new CoordinateWriteOptions
            {
                Format = CoordinateFormat.Relion5,
                Context = new CoordinateContext { TomogramsStar = folder.At("tomograms.star"), VoxelSizeAngstrom = 10 },
            });
    }

    [OneTimeTearDown]
    public void TearDown() => folder.Dispose();

    [Test, Order(1)]
    public void Train_OnFiles_SaysWhatItFoundAndDerived()
    {
        ToolRun run = ToolRun.Succeeds([.. Train("run"), .. Small]);
        Assert.Multiple(() =>
        {
            Assert.That(run.Output, Does.Contain($"found {folder.At("tomograms.star")}"));
            Assert.That(run.Output,
                Does.Contain("left out, as no table has particles of them: TS_02_rec.mrc, TS_04.mrc, TS_05_Vol.mrc, "
                    + "rec_TS_03.mrc"));
            Assert.That(run.Output,
                Does.Contain("particles of 150 Å are 15 voxels of 10 Å: bandwidth 6, seed radius 11.3, mask radius 6, centre "
                    + "margin 6"));
            Assert.That(run.Output, Does.Contain("split by region, as one tomogram has centres"));
            Assert.That(
                run.Output, Does.Match(@"step 60: (best model so far; )?finds \d+ % of the validation particles within 60 Å"));
            Assert.That(run.Output, Does.Match(@"step 120: (best model so far; )?finds \d+ % of the validation particles "
                + @"within 60 Å, \d+ % at the validation before"));
            Assert.That(run.Output, Does.Not.Contain("stuck seeds"), "a detail");
            Assert.That(run.Error, Is.Empty);
        });
        DatasetManifest manifest = DatasetManifest.Read(folder.At("run", "manifest.json"));
        Assert.That(manifest.Volumes.Select(v => v.Split), Is.EqualTo(new[] { DatasetSplit.Train, DatasetSplit.Validation }));
        Assert.That(manifest.Volumes.Select(v => Path.GetFileName(v.Volume)).Distinct(), Is.EqualTo(Names[..1]));
    }

    [Test, Order(2)]
    public void Pick_TheFolder_FindsRingsOfTomogramsThatNobodyAnnotated()
    {
        string table = folder.At("found.star");
        ToolRun run = ToolRun.Succeeds(
            "pick", folder.At("tomograms"), "--model", folder.At("run", "model.safetensors"), "--out", table, "--format",
                "relion5", "--device", "cpu");
        Assert.That(run.Output, Does.Contain($"found {folder.At("tomograms.star")}"));
        Assert.That(File.ReadAllText(table), Does.Contain("rlnCenteredCoordinateXAngst"));
        // Rods are picked as well after so short a training; chance finds a tenth of the rings.
        RadiusScore score = Score(table, 1, 4);
        TestContext.Out.WriteLine($"recall {score.OneToOneRecall:0.000}, F1 {score.OneToOneF1:0.000}");
        Assert.That(score.OneToOneRecall, Is.GreaterThan(0.6));
        Assert.That(score.OneToOneF1, Is.GreaterThan(0.5));
    }

    // Without tomograms.star the sizes are those of the volumes, each of its own.
    [Test, Order(3)]
    public void Pick_VolumesOfUnequalSizesIntoOneTable_CountsFromTheCentreOfEach()
    {
        Directory.CreateDirectory(folder.At("bare"));
        foreach (string name in Names[3..])
            File.Copy(folder.At("tomograms", name), folder.At("bare", name));
        // Not in the folder where tomograms.star lies, which would be found.
        string table = Path.Combine(Directory.CreateDirectory(folder.At("bare", "out")).FullName, "bare.star");
        ToolRun.Succeeds("pick", folder.At("bare"), "--model", folder.At("run", "model.safetensors"), "--out", table, "--format",
            "relion5", "--binning", "4", "--device", "cpu");
        foreach (int i in (int[])[3, 4])
        {
            Position[] expected = Picks(folder.At("found.star"), i);
            Particle[] found =
            [
                .. CoordinateTables.Read(table, new CoordinateContext
                {
                    Shape = Sizes[i], Tomogram = $"TS_0{i + 1}", VoxelSizeAngstrom = 10, Binning = Binning,
                }),
            ];
            Assert.That(found, Has.Length.EqualTo(expected.Length).And.Length.GreaterThan(5));
            Assert.That(found.Zip(expected, (f, e) => e.DistanceTo(new Position(f.Z, f.Y, f.X))), Is.All.LessThan(1e-3));
        }
    }

    // A user looks at 20 picks of two tomograms: those that are rings are moved to their middle, the others
    // rejected. With these the model learns on for a few seconds, and does better in the two tomograms that
    // nobody has looked at.
    [Test, Order(3)]
    public void Train_FromTheModelWithTwentyCorrectedPicks_DoesBetterElsewhere()
    {
        string found = folder.At("found.star");
        (Particle Corrected, bool IsRing)[] looked =
        [
            .. (from i in (int[])[1, 2]
                from p in Picks(found, i)
                let ring = truth[i].MinBy(p.DistanceTo)
                let isRing = ring.DistanceTo(p) <= 4
                let place = isRing ? ring : p
                select (new Particle(place.Z, place.Y, place.X) { Tomogram = $"TS_0{i + 1}" }, isRing)).Take(20),
        ];
        Assert.That(looked, Has.Length.EqualTo(20));
        Directory.CreateDirectory(folder.At("corrected"));
        CoordinateTables.Write(folder.At("corrected", "all.star"), [.. looked.Where(l => l.IsRing).Select(l => l.Corrected)]);
        CoordinateTables.Write(
            folder.At("corrected", "all_removed.star"), [.. looked.Where(l => !l.IsRing).Select(l => l.Corrected)]);
        ToolRun run = ToolRun.Succeeds("train", folder.At("tomograms"), "--picks", folder.At("corrected"), "--background",
            folder.At("corrected"), "--dice", "0.5", "--label-radius", "15", "--init", folder.At("run", "model.safetensors"),
            "--out", folder.At("tuned"), "--steps", "150", "--device", "cpu");
        Assert.That(run.Output, Does.Contain($"begins with the weights of {folder.At("run", "model.safetensors")}"));
        ToolRun.Succeeds("pick", folder.At("tomograms"), "--model", folder.At("tuned", "model.safetensors"), "--out",
            folder.At("found2.star"), "--format", "relion5", "--device", "cpu");
        RadiusScore before = Score(found, 3, 2), after = Score(folder.At("found2.star"), 3, 2);
        TestContext.Out.WriteLine($"{looked.Count(l => l.IsRing)} of 20 picks were rings: F1 {before.OneToOneF1:0.000} before, "
            + $"{after.OneToOneF1:0.000} after; precision {before.OneToOnePrecision:0.000} and {after.OneToOnePrecision:0.000}, "
            + $"recall {before.OneToOneRecall:0.000} and {after.OneToOneRecall:0.000}");
        Assert.That(after.OneToOneF1, Is.GreaterThan(before.OneToOneF1));
    }

    // The manifest says all that the names said, so that the run can be repeated from it; so does the run
    // itself when it goes on.
    [Test, Order(4)]
    public void TheManifestThatWasWritten_GivesTheSameRun()
    {
        string[] few = ["--widths", "4,4", "--steps", "2", "--device", "cpu"];
        ToolRun.Succeeds([.. Train("first"), .. few]);
        ToolRun.Succeeds(["train", "--data", folder.At("first", "manifest.json"), "--particle-diameter", "150", "--out",
            folder.At("second"), .. few]);
        Assert.That(File.ReadAllBytes(folder.At("second", "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(folder.At("first", "model.safetensors"))));
        Assert.That(ToolRun.Succeeds("train", "--out", folder.At("first"), "--resume", "--device", "cpu").Output,
            Does.Contain("resumed after step 2 of 2"));
        ToolRun.Refuses(["a run of 2 steps has ended here"], [.. Train("first"), .. few]);
    }

    [Test]
    public void ParticleDiameter_WithOptions_IsChangedByThem()
    {
        ToolRun run = ToolRun.Succeeds([.. Train("own"), "--bandwidth", "5", "--patch", "16", "--center-margin", "3",
            "--widths", "4,4", "--steps", "1", "--device", "cpu"]);
        Assert.That(run.Output,
            Does.Contain(
                "bandwidth 5, seed radius 11.3, mask radius 6, centre margin 3, patch 16×16×16; picks merge within 7.5"));
    }

    [Test]
    public void ParticleDiameter_WithoutAVoxelSize_IsRefusedWithTheOption()
    {
        string volume = folder.WriteVolume("unsized.mrc", voxelSize: new VoxelSize(0));
        string table = folder.WriteText("unsized.csv", "x,y,z\n5,5,5\n");
        ToolRun.Refuses([volume, "(--voxel-size)"], "train", volume, "--picks", table, "--particle-diameter", "80", "--out",
            folder.At("unsized"));
        string manifest = folder.WriteManifest("unsized.json", volume, table);
        ToolRun.Refuses([volume, "\"voxelSizeAngstrom\""], "train", "--data", manifest, "--particle-diameter", "80", "--out",
            folder.At("unsized"));
        ToolRun.Refuses(["binned less"], "train", volume, "--picks", table, "--particle-diameter", "80", "--voxel-size", "40",
            "--out", folder.At("unsized"));
    }

    // Each mistake is named; the right table of each tomogram is not reported.
    [TestCase("halved", "times 2", 0.5)]
    [TestCase("doubled", "times 0.5", 2)]
    public void Check_CoordinatesAtAnotherScale_AreNamed(string name, string said, double factor)
        => CheckFinds(name, said, p => new Position(p.Z * factor, p.Y * factor, p.X * factor));

    [Test]
    public void Check_ExchangedMirroredOrMovedAxes_AreNamed()
    {
        CheckFinds("exchanged", "with x and y exchanged", p => new Position(p.Z, p.X, p.Y));
        CheckFinds("mirrored", "mirrored along y", p => p with { Y = Size.Height - 1 - p.Y });
        CheckFinds("moved", "half a box", p => new Position(p.Z + 9, p.Y + 9, p.X + 9));
    }

    [Test]
    public void Check_TheTableOfAnotherTomogram_IsNamed()
    {
        string table = Table("other", truth[1]);
        ToolRun run = ToolRun.Of("check", folder.At("tomograms", Names[0]), "--picks", table, "--particle-diameter", "150");
        Assert.That(run.Code, Is.EqualTo(1), run.Output);
        Assert.That(run.Error, Does.Contain("Does the table belong to this volume?").Or.Contain("stand out far more"));
    }

    [Test]
    public void Check_RightTables_AreNotReported()
    {
        ToolRun.Succeeds("check", folder.At("tomograms"), "--picks", folder.At("picks.star"), "--particle-diameter", "150");
        for (int i = 0; i < Names.Length; i++)
        {
            string page = folder.At("check.html");
            ToolRun run = ToolRun.Succeeds(
                "check", folder.At("tomograms", Names[i]), "--picks", Table("right", truth[i]), "--particle-diameter", "150",
                    "--report", page, "--json", folder.At("check.json"));
            Assert.That(run.Error, Is.Empty);
            Assert.That(File.ReadAllText(page), Does.Contain("Nothing wrong was found").And.Contain("Mean of"));
        }
    }

    // The tomogram is cut in two for validation; the check sees it whole.
    [Test]
    public void Train_OnTheTableOfAnotherTomogram_StopsUnlessTold()
    {
        string[] arguments = ["train", folder.At("tomograms", Names[0]), "--picks", Table("stopped", truth[1]),
            "--particle-diameter",
            "150", "--out", folder.At("stopped"), "--widths", "4,4", "--steps", "1", "--device", "cpu", "--check-report",
                folder.At("stopped.html")];
        ToolRun run = ToolRun.Of(arguments);
        Assert.That(run.Code, Is.EqualTo(1), run.Output);
        Assert.That(run.Error.TrimEnd('\n'), Does.StartWith($"error: {Names[0]}: ")
            .And.EndsWith("--no-check trains all the same.").And.Not.Contain("\n"));
        Assert.That(File.ReadAllText(folder.At("stopped.html")), Does.Contain("Look at this"));
        Assert.That(File.Exists(folder.At("stopped", "checkpoint.safetensors")), Is.False);
        ToolRun.Succeeds([.. arguments, "--no-check"]);
    }

    private Position[] Picks(string table, int tomogram) =>
    [
        .. CoordinateTables.Read(table, new CoordinateContext
        {
            TomogramsStar = folder.At("tomograms.star"), Tomogram = $"TS_0{tomogram + 1}", VoxelSizeAngstrom = 10,
        }).Select(p => new Position(p.Z, p.Y, p.X)),
    ];

    // Of rings in some tomograms, within 4 voxels.
    private RadiusScore Score(string table, int first, int count) => Evaluator.Evaluate(
        [.. Enumerable.Range(first, count).Select(i => new EvaluationVolume(Picks(table, i), truth[i]))], [4]).Radii[0];

    private void CheckFinds(string name, string said, Func<Position, Position> wrong)
    {
        string table = Table(name, truth[0].Select(wrong));
        ToolRun run = ToolRun.Of("check", folder.At("tomograms", Names[0]), "--picks", table, "--particle-diameter", "150");
        Assert.That(run.Code, Is.EqualTo(1), run.Output);
        Assert.That(run.Error, Does.Contain(said), name);
    }

    private string Table(string name, IEnumerable<Position> places)
        => folder.WriteText($"{name}.csv", "z,y,x\n" + string.Concat(
            places.Select(p => FormattableString.Invariant($"{p.Z},{p.Y},{p.X}\n"))));

    private string[] Train(string run)
        => ["train", folder.At("tomograms"), "--picks", folder.At("picks.star"), "--particle-diameter", "150", "--out",
            folder.At(run)];
}
