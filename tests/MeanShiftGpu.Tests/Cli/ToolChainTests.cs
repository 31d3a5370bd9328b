using System.Buffers.Binary;
using System.Text.Json;
using System.Xml.Linq;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// The whole chain from files to figures, with a network that is far too small and short of training to find
/// anything.
/// </summary>
[NonParallelizable]
public class ToolChainTests
{
    private readonly ToolFolder folder = new();

    [OneTimeSetUp]
    public void TrainOnce()
    {
        folder.Simulate("--json", folder.At("simulate.json"));
        ToolRun.Succeeds(folder.Train("run", 5, "--validate-every", "2", "--json", folder.At("train.json")));
    }

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    // One record of version, commit, command, inputs and device for everything that is written: within it, or
    // beside it.
    [Test]
    public void EveryOutput_SaysHowItWasMade()
    {
        string model = folder.At("run", "model.safetensors"), volume = folder.At("data", "test_000.mrc"), truth = folder.At(
            "data", "test_000.star");
        string picks = folder.At("made.star"), map = folder.At("made.mrc"), page = folder.At("made.html"), table =
            folder.At("made.csv"), tables = folder.At("made-tables"), list = folder.At("made-list.json");
        ToolRun.Succeeds(
            "pick", volume, "--model", model, "--out", picks, "--score-map", map, "--device", "cpu", "--json", folder.At(
                "made-pick.json"));
        ToolRun.Succeeds(
            "evaluate", "--picks", truth, "--truth", truth, "--report", page, "--json", folder.At("made-evaluate.json"));
        ToolRun.Succeeds("convert", truth, "--out", table, "--json", folder.At("made-convert.json"));
        ToolRun.Succeeds("convert", truth, "--out", tables, "--to", "dynamo");
        ToolRun.Succeeds("gradcheck", "dice", "--device", "cpu", "--json", list);
        using (Assert.EnterMultipleScope())
        {
            AssertMade(Provenance.Read(folder.Manifest)!, "simulate", computed: false);
            AssertMade(
                Provenance.Read(model)!,
                "train",
                computed: true,
                folder.Manifest,
                folder.At("data", "train_000.mrc"),
                folder.At("data", "train_000.star"));
            AssertMade(Provenance.Read(folder.At("run", "checkpoint.safetensors"))!, "train", computed: true, folder.Manifest);
            AssertMade(Provenance.Read(picks)!, "pick", computed: true, model, volume);
            AssertMade(Provenance.Read(map)!, "pick", computed: true, model, volume);
            AssertMade(Provenance.Read(table)!, "convert", computed: false, truth);
            AssertMade(Provenance.Read(Path.Combine(tables, "convert"))!, "convert", computed: false, truth);
            AssertMade(Provenance.Read(list)!, "gradcheck", computed: true);
            AssertMade(OfJson("train.json"), "train", computed: true, folder.Manifest);
            AssertMade(OfJson("made-pick.json"), "pick", computed: true, model, volume);
            AssertMade(OfJson("made-evaluate.json"), "evaluate", computed: false, truth);
            AssertMade(OfJson("made-convert.json"), "convert", computed: false, truth);
            Assert.That(MrcFile.ReadHeader(map).Labels.Single(), Is.EqualTo($"MeanShiftGpu {Provenance.OwnVersion}"));
            Assert.That(
                File.ReadAllText(page), Does.Contain(InputRecord.Of(truth).Sha256).And.Contain("--report").And.Contain(
                    System.Net.WebUtility.HtmlEncode(Provenance.OwnVersion)));
        }

        Provenance OfJson(string name) => System.Text.Json.JsonSerializer.Deserialize<Provenance>(
            ToolRun.Json(folder.At(name)).GetProperty("made"), System.Text.Json.JsonSerializerOptions.Web)!;

        static void AssertMade(Provenance made, string verb, bool computed, params string[] from)
        {
            Assert.That(made.Version, Does.Match(@"^\d+\.\d+\.\d+\+[0-9a-f]{40}$"), verb);
            Assert.That(made.Command, Does.StartWith($"meanshift-gpu {verb} "));
            Assert.That(made.Device, computed ? Does.Contain("-bit vectors") : Is.Empty, verb);
            Assert.That(
                made.Inputs.Select(i => (i.File, i.Sha256)),
                Is.SupersetOf(from.Select(f => (f, InputRecord.Of(f).Sha256))),
                verb);
        }
    }

    [Test]
    public void Simulate_WritesWhatTheManifestNames()
    {
        JsonElement json = ToolRun.Json(folder.At("simulate.json"));
        DatasetManifest manifest = DatasetManifest.Read(folder.Manifest);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(json.GetProperty("volumes").GetArrayLength(), Is.EqualTo(5));
            Assert.That(manifest.Of(DatasetSplit.Train).Count(), Is.EqualTo(3));
            Assert.That(MrcFile.ReadHeader(manifest.Volumes[0].Volume).Shape, Is.EqualTo(new Extent(18, 21, 19)));
            Assert.That(CoordinateTables.Read(manifest.Volumes[0].Coordinates), Has.Count.EqualTo(2));
        }
    }

    [Test]
    public void Simulate_Tomograms_AreInShrecLayoutAndTheManifestsParticlesInTheirMasks()
    {
        string data = folder.At("tomograms");
        ToolRun.Succeeds(
            "simulate", "--out", data, "--preset", "tomogram", "--train", "1", "--test", "1", "--size", "24,40,36", "--particles",
            "3,3", "--shapes", "ring", "rod",
            "--tilts", "-60,60,10", "--defocus", "3", "--json", folder.At("tomograms.json"));
        JsonElement json = ToolRun.Json(folder.At("tomograms.json"));
        DatasetManifest manifest = DatasetManifest.Read(Path.Combine(data, "manifest.json"));
        DatasetManifest imported = ShrecDataset.Import(data, n => n == 0 ? DatasetSplit.Train : DatasetSplit.Test);
        Assert.That(imported.Volumes, Is.EqualTo(manifest.Volumes));
        Assert.That(json.GetProperty("tomograms")[0].GetProperty("defocusMicrometers").GetDouble(), Is.EqualTo(3));
        Assert.That(json.GetProperty("tiltsDegrees").GetArrayLength(), Is.EqualTo(13));
        ShrecModel model = ShrecDataset.Model(data, 0);
        using Volume classes = MrcFile.Read(model.ClassMask);
        using Volume occupancy = MrcFile.Read(model.OccupancyMask);
        Assert.That(MrcFile.ReadHeader(model.Reconstruction).VoxelSize, Is.EqualTo(new VoxelSize(10)));
        IReadOnlyList<Particle> particles = CoordinateTables.Read(manifest.Volumes[0].Coordinates);
        Assert.That(particles.Select(p => p.Name), Is.EqualTo((string[])["ring", "rod", "ring"]));
        // A rod's centre is inside it, a ring's is not.
        (int z, int y, int x) = (
            (int)Math.Round(particles[1].Z), (int)Math.Round(particles[1].Y), (int)Math.Round(particles[1].X));
        Assert.That(occupancy[z, y, x], Is.EqualTo(2));
        Assert.That(classes[z, y, x], Is.EqualTo(2));
    }

    [Test]
    public void TrainAndPick_OfTwoClasses_GivesEachPickItsClass()
    {
        string data = folder.At("two");
        ToolRun.Succeeds(
            "simulate", "--out", data, "--preset", "tomogram", "--train", "1", "--test", "1", "--size", "24,40,36", "--particles",
            "4,4", "--shapes", "ring", "rod", "--tilts", "-60,60,20");
        ToolRun trained = ToolRun.Succeeds(
            "train", "--data", Path.Combine(data, "manifest.json"), "--out", folder.At("two-run"), "--steps", "2", "--widths",
            "4,4", "--patch", "16", "--seeds", "24", "--preset", "combined",
            "--classes", "ring", "rod", "--bandwidth", "5,3", "--centers", "3", "--label-radius", "8", "--contrast", "0.1",
            "--noise", "0.1", "--device", "cpu");
        Assert.That(trained.Output, Does.Contain("2 classes (ring: "));
        // Other classes begin with the other layers; the settings are those of the model.
        ToolRun one = ToolRun.Succeeds(
            "train", "--data", Path.Combine(data, "manifest.json"), "--out", folder.At("one-run"), "--init",
                folder.At("two-run", "model.safetensors"), "--steps", "1", "--device", "cpu");
        Assert.That(one.Output, Does.Contain("without its last layer").And.Contain("patches of 16"));

        string tomogram = ShrecDataset.Model(data, 1).Reconstruction;
        string[] pick = ["pick", tomogram, "--model", folder.At("two-run", "model.safetensors"), "--device", "cpu"];
        ToolRun.Succeeds([.. pick, "--out", folder.At("two.csv"), "--json", folder.At("two.json")]);
        JsonElement volume = ToolRun.Json(folder.At("two.json")).GetProperty("volumes")[0];
        IReadOnlyList<Particle> both = CoordinateTables.Read(folder.At("two.csv"));
        Assert.That(
            volume.GetProperty("maps").EnumerateArray().Select(m => m.GetProperty("className").GetString()),
            Is.EqualTo((string[])["ring", "rod"]));
        Assert.That(both.Select(p => p.Class).Distinct(), Is.EquivalentTo((int?[])[1, 2]));

        ToolRun.Succeeds([.. pick, "--out", folder.At("rod.csv"), "--class", "rod", "--score-map", folder.At("rod.mrc")]);
        Assert.That(
            CoordinateTables.Read(folder.At("rod.csv")),
            Is.EqualTo(both.Where(p => p.Class == 2)).Using<Particle, Particle>((a, b) => (a.Z, a.Y, a.X) == (b.Z, b.Y, b.X)));
        // The page says what the table says, of each class by its own picks, and shows the test tomogram.
        string[] evaluate =
            ["evaluate", "--picks", folder.At("two.csv"), "--data", Path.Combine(data, "manifest.json"), "--radii", "2.5,5"];
        ToolRun.Succeeds(
            [.. evaluate, "--classes", "ring", "rod", "--report", folder.At("two.html"), "--json", folder.At("evaluated.json")]);
        XDocument page = XDocument.Parse(
            File.ReadAllText(folder.At("two.html")).Replace("<!DOCTYPE html>", "", StringComparison.Ordinal));
        string[] headings = [.. page.Descendants().Where(e => e.Name.LocalName == "h2").Select(e => e.Value)];
        Assert.That(headings, Does.Contain("Classes").And.Contain("Scores against hit radius"));
        Assert.That(page.ToString(), Does.Contain("model_1"));
        JsonElement[] classes = [.. ToolRun.Json(folder.At("evaluated.json")).GetProperty("classes").EnumerateArray()];
        Assert.That(classes.Select(c => c.GetProperty("class").GetString()), Is.EqualTo((string[])["ring", "rod"]));
        Assert.That(classes.Sum(c => c.GetProperty("result").GetProperty("predictions").GetInt32()), Is.EqualTo(both.Count));
        ToolRun.Refuses(["no true particle is of class 'hook'", "ring, rod"], [.. evaluate, "--classes", "ring", "hook"]);
        Assert.That(ToolRun.Succeeds(evaluate).Output, Does.Contain("classes: recall at each radius"), "without --classes "
            + "picks of any class count");
        ToolRun.Refuses(["choose one with --class"], [.. pick, "--out", folder.At("x.csv"), "--score-map", folder.At("x.mrc")]);
        ToolRun.Refuses(["knows no class 'hook'"], [.. pick, "--out", folder.At("x.csv"), "--class", "hook"]);
    }

    [Test]
    public void Train_WritesModelCheckpointAndHistory()
    {
        JsonElement json = ToolRun.Json(folder.At("train.json"));
        JsonElement history = ToolRun.Json(folder.At("run", "history.json"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(json.GetProperty("model").GetString(), Does.Exist);
            Assert.That(json.GetProperty("checkpoint").GetString(), Does.Exist);
            Assert.That(json.GetProperty("steps").GetInt32(), Is.EqualTo(5));
            Assert.That(json.GetProperty("bestStep").GetInt32(), Is.AnyOf(2, 4, 5));
            Assert.That(history.GetProperty("steps").GetArrayLength(), Is.EqualTo(5));
            Assert.That(history.GetProperty("validations").GetArrayLength(), Is.EqualTo(3));
        }
    }

    [Test]
    public void Train_Model_CarriesWhatPickingNeeds()
    {
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        (UNet3d<float> network, ModelDescription? description) = ModelFile.Load(context, folder.At("run", "model.safetensors"));
        using (network)
        using (Assert.EnterMultipleScope())
        {
            Assert.That(network.Options.Widths, Is.EqualTo(new[] { 4, 4 }));
            Assert.That(description!.Training.Preset, Is.EqualTo("compact"));
            Assert.That(description.Training.MeanShift.Weighting, Is.EqualTo(Weighting.Epanechnikov));
            Assert.That(description.Training.MeanShift.SeedCount, Is.EqualTo(24));
            Assert.That(description.VoxelSizeAngstrom, Is.EqualTo(10).Within(1e-6));
        }
    }

    [Test]
    public void PickAndEvaluate_AVolumeWhoseEdgesAreNoMultiples_GivesPicksAndFigures()
    {
        string picks = folder.At("picks.star");
        ToolRun run = ToolRun.Succeeds(
            "pick", folder.At("data", "test_000.mrc"), "--model", folder.At("run", "model.safetensors"), "--out", picks,
            "--score-map", folder.At("map.mrc"), "--device", "cpu", "--json", folder.At("pick.json"));
        JsonElement volume = ToolRun.Json(folder.At("pick.json")).GetProperty("volumes")[0];
        ToolRun.Succeeds(
            "evaluate",
            "--picks",
            picks,
            "--truth",
            folder.At("data", "test_000.star"),
            "--volume",
            folder.At("data", "test_000.mrc"),
            "--radii",
            "2,4",
            "--json",
            folder.At("evaluate.json"));
        JsonElement figures = ToolRun.Json(folder.At("evaluate.json"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Output, Does.Contain("1 tile"));
            Assert.That(MrcFile.ReadHeader(folder.At("map.mrc")).Shape, Is.EqualTo(new Extent(18, 21, 19)));
            Assert.That(CoordinateTables.Read(picks), Has.Count.EqualTo(volume.GetProperty("picks").GetArrayLength()));
            Assert.That(figures.GetProperty("truth").GetInt32(), Is.EqualTo(2));
            Assert.That(figures.GetProperty("radii").GetArrayLength(), Is.EqualTo(2));
            Assert.That(figures.GetProperty("radii")[1].GetProperty("f1").GetDouble(), Is.InRange(0, 1));
            Assert.That(figures.GetProperty("radii")[1].GetProperty("oneToOneF1").GetDouble(), Is.InRange(0, 1));
        }
    }

    // Map and markers lie on the tomogram in ChimeraX, which places a map by its origin or its nstart.
    [TestCase(196, ".mrc")]
    [TestCase(16, ".mrc.gz")]
    public void Pick_TheScoreMap_LiesWhereTheTomogramDoes(int field, string ending)
    {
        string volume = folder.At($"moved{field}.mrc");
        byte[] bytes = File.ReadAllBytes(folder.At("data", "test_000.mrc"));
        for (int axis = 0; axis < 3; axis++)
        {
            Span<byte> place = bytes.AsSpan(field + (4 * axis), 4);
            if (field == 196)
                BinaryPrimitives.WriteSingleLittleEndian(place, (100.25f * axis) - 50);
            else
                BinaryPrimitives.WriteInt32LittleEndian(place, (7 * axis) - 3);
        }

        File.WriteAllBytes(volume, bytes);
        string map = folder.At($"moved{field}_scores{ending}");
        ToolRun.Succeeds("pick", volume, "--model", folder.At("run", "model.safetensors"),
            "--out", folder.At($"moved{field}.cmm"),
            "--score-map", map, "--device", "cpu");
        MrcHeader expected = MrcFile.ReadHeader(volume), written = MrcFile.ReadHeader(map);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(written.Place, Is.EqualTo(expected.Place));
            Assert.That(written.OriginAngstrom, Is.EqualTo(expected.OriginAngstrom));
            Assert.That(written.OriginAngstrom.Y, Is.Not.Zero);
        }
    }

    [TestCase("csv")]
    [TestCase("coords")]
    public void Pick_IntoAFolder_WritesATableForEachVolume(string format)
    {
        string[] volumes = [folder.At("data", "train_000.mrc"), folder.At("data", "train_001.mrc")];
        string output = folder.At($"tables-{format}");
        ToolRun.Succeeds(
            ["pick", .. volumes, "--model", folder.At("run", "model.safetensors"), "--out", output, "--format", format,
                "--device", "cpu"]);
        Assert.That(
            Directory.GetFiles(output).Select(Path.GetFileName), Is.EquivalentTo(
                ((string[])[$"train_000.{format}", $"train_001.{format}"]).SelectMany(n => (string[])[n, n + ".made"])));
        ToolRun.Succeeds(
            "evaluate", "--picks", output, "--data", folder.Manifest, "--split", "train", "--json", folder.At("e.json"));
        // The third volume has no table, so all of its centres are missed.
        Assert.That(ToolRun.Json(folder.At("e.json")).GetProperty("volumesWithoutPredictions").GetInt32(), Is.EqualTo(1));
    }

    [TestCase("3", "rlnMicrographName")]
    [TestCase("4", "rlnTomoName")]
    [TestCase("5", "rlnCenteredCoordinateXAngst")]
    public void Pick_ForAVersionOfRelion_WritesItsColumnsAndReadsBack(string version, string column)
    {
        string[] volumes = [folder.At("data", "train_000.mrc"), folder.At("data", "train_001.mrc")];
        string table = folder.At($"relion{version}.star");
        ToolRun.Succeeds(
            ["pick", .. volumes, "--model", folder.At("run", "model.safetensors"), "--out", table, "--format", $"relion{version}",
                "--binning", "2", "--device", "cpu", "--json", folder.At("p.json")]);
        Assert.That(File.ReadAllText(table), Does.Contain(column));
        CoordinateContext context =
            new() { Shape = new Extent(18, 21, 19), VoxelSizeAngstrom = 10, Binning = 2, Tomogram = "train_001" };
        IReadOnlyList<Particle> read = CoordinateTables.Read(table, context);
        JsonElement picks = ToolRun.Json(folder.At("p.json")).GetProperty("volumes")[1].GetProperty("picks");
        Assert.That(read, Has.Count.EqualTo(picks.GetArrayLength()));
        Assert.That(
            read[0].Z, Is.EqualTo(picks[0].GetProperty("z").GetDouble()).Within(1e-4), "Å with six decimals over 10 Å voxels");
    }

    [Test]
    public void Pick_WithLessMemory_GivesTheSameScoresInTiles()
    {
        string volume = folder.WriteVolume("long.mrc", 40, 62, 320);
        string[] arguments =
            ["pick", volume, "--model", folder.At("run", "model.safetensors"), "--method", "local-maxima", "--device", "cpu"];
        ToolRun whole = ToolRun.Succeeds([.. arguments, "--out", folder.At("whole.csv"), "--score-map", folder.At("whole.mrc")]);
        ToolRun tiled = ToolRun.Succeeds(
            [.. arguments, "--out", folder.At("tiled.csv"), "--score-map", folder.At("tiled.mrc.gz"), "--memory", "210"]);
        Assert.That(whole.Output, Does.Contain(", 1 tile of"));
        Assert.That(tiled.Output, Does.Contain(" tiles of up to ").And.Contain(" of 210 MiB").And.Contain(" left"));
        using Volume expected = MrcFile.Read(folder.At("whole.mrc"));
        using Volume map = MrcFile.Read(folder.At("tiled.mrc.gz"));
        for (int z = 0; z < expected.Depth; z++)
            Assert.That(map.Slice(z).ToArray(), Is.EqualTo(expected.Slice(z).ToArray()), $"slice {z}");
        Assert.That(File.ReadAllText(folder.At("tiled.csv")), Is.EqualTo(File.ReadAllText(folder.At("whole.csv"))));
    }

    [Test]
    public void Pick_AgainAndInShards_ComputesWhatIsMissing()
    {
        string[] volumes = [.. Enumerable.Range(0, 3).Select(i => folder.At("data", $"train_00{i}.mrc"))];
        string output = folder.At("shards");
        string[] arguments =
            ["pick", .. volumes, "--model", folder.At("run", "model.safetensors"), "--out", output, "--device", "cpu"];
        ToolRun second = ToolRun.Succeeds([.. arguments, "--shard", "2/2"]);
        Assert.That(second.Output, Does.Contain("shard 2 of 2: 1 of 3 volumes"));
        Assert.That(
            Directory.GetFiles(output).Select(Path.GetFileName),
            Is.EquivalentTo((string[])["train_001.star", "train_001.star.made"]));
        byte[] made = File.ReadAllBytes(Path.Combine(output, "train_001.star"));

        ToolRun rest = ToolRun.Succeeds([.. arguments, "--json", folder.At("rest.json")]);
        Assert.That(rest.Output, Does.Contain("train_001.star exists, made from the same files with the same settings; skipped"));
        Assert.That(
            Directory.GetFileSystemEntries(output).Select(Path.GetFileName)
                .Where(n => !n!.EndsWith(".made", StringComparison.Ordinal)),
                Is.EquivalentTo((string[])["train_000.star", "train_001.star", "train_002.star"]));
        Assert.That(
            ToolRun.Json(folder.At("rest.json")).GetProperty("volumes").EnumerateArray()
                .Count(v => v.TryGetProperty("skipped", out _)), Is.EqualTo(1));

        ToolRun nothing = ToolRun.Succeeds(arguments);
        Assert.That(nothing.Output, Does.Not.Contain("device:"), "nothing is left to do, so nothing is opened");
        // Put together they are what one process writes, byte for byte.
        string[] whole = [.. arguments.Select(a => a == output ? folder.At("whole.star") : a)];
        ToolRun.Succeeds(whole);
        ToolRun.Succeeds([.. arguments, "--merge", folder.At("merged.star")]);
        Assert.That(File.ReadAllBytes(folder.At("merged.star")), Is.EqualTo(File.ReadAllBytes(folder.At("whole.star"))));
        File.Move(Path.Combine(output, "train_002.star"), folder.At("aside.star"));
        ToolRun without = ToolRun.Of([.. arguments, "--merge", folder.At("merged.star")]);
        Assert.That((without.Code, without.Error.Trim()), Is.EqualTo((1, "error: 1 of 3 volumes have no table: train_002.")));
        File.Move(folder.At("aside.star"), Path.Combine(output, "train_002.star"));
        ToolRun.Succeeds([.. arguments, "--overwrite", "--shard", "2/2"]);
        Assert.That(File.ReadAllBytes(Path.Combine(output, "train_001.star")), Is.EqualTo(made), "the same bits again");

        // Old picks are not taken for those of another threshold or model.
        ToolRun.Refuses(["train_000.star", "other settings", "--overwrite"], [.. arguments, "--threshold", "0.4"]);
        File.Copy(folder.At("run", "model.safetensors"), folder.At("another.safetensors"));
        File.AppendAllText(folder.At("another.safetensors"), " ");
        ToolRun.Refuses(
            ["train_000.star", "not from another.safetensors"],
            [.. arguments.Select(
                a => a.EndsWith("model.safetensors", StringComparison.Ordinal) ? folder.At("another.safetensors") : a)]);
        File.Delete(Path.Combine(output, "train_002.star.made"));
        ToolRun.Refuses(["train_002.star", "unknown program"], arguments);
    }

    [Test]
    public void Pick_WithAMask_StaysInside()
    {
        string volume = folder.At("data", "test_000.mrc");
        using Volume mask = new(18, 21, 19);
        for (int z = 4; z < 12; z++)
        {
            for (int y = 3; y < 15; y++)
                mask.Row(z, y)[2..11].Fill(1);
        }

        MrcFile.Write(folder.At("region.mrc"), mask);
        string[] arguments =
            ["pick", volume, "--model", folder.At("run", "model.safetensors"), "--threshold", "0", "--min-support", "0",
                "--device", "cpu"];
        ToolRun.Succeeds(
            [.. arguments, "--out", folder.At("inside.csv"), "--mask", folder.At("region.mrc"), "--score-map",
                folder.At("inside.mrc"), "--json", folder.At("inside.json")]);
        ToolRun.Succeeds([.. arguments, "--out", folder.At("everywhere.csv"), "--score-map", folder.At("everywhere.mrc")]);
        using Volume inside = MrcFile.Read(folder.At("inside.mrc"));
        using Volume everywhere = MrcFile.Read(folder.At("everywhere.mrc"));
        for (int z = 0; z < mask.Depth; z++)
        {
            for (int y = 0; y < mask.Height; y++)
                Assert.That(
                    inside.Row(z, y).ToArray(),
                    Is.EqualTo(everywhere.Row(z, y).ToArray().Zip(mask.Row(z, y).ToArray(), (s, m) => s * m)));
        }

        JsonElement[] picks =
            [.. ToolRun.Json(folder.At("inside.json")).GetProperty("volumes")[0].GetProperty("picks").EnumerateArray()];
        Assert.That(picks, Is.Not.Empty);
        foreach (JsonElement pick in picks)
            Assert.That(
                mask[(int)Math.Round(pick.GetProperty("z").GetDouble()), (int)Math.Round(pick.GetProperty("y").GetDouble()),
                    (int)Math.Round(pick.GetProperty("x").GetDouble())], Is.EqualTo(1));

        // A folder has the mask of each volume by its name.
        Directory.CreateDirectory(folder.At("masks"));
        File.Copy(folder.At("region.mrc"), folder.At("masks", "test_000_mask.mrc"));
        string[] ofFolder = [.. arguments, "--out", folder.At("folder.csv"), "--mask", folder.At("masks")];
        ToolRun.Succeeds(ofFolder);
        Assert.That(File.ReadAllText(folder.At("folder.csv")), Is.EqualTo(File.ReadAllText(folder.At("inside.csv"))));
        Assert.That(Provenance.Read(folder.At("folder.csv"))!.Inputs.Select(i => Path.GetFileName(i.File)),
            Does.Contain("test_000_mask.mrc"));
        Assert.That(ToolRun.Succeeds(ofFolder).Output, Does.Contain("skipped"));
        ToolRun.Refuses(["no mask", "other"], "pick", folder.WriteVolume("other.mrc"), "--model",
            folder.At("run", "model.safetensors"),
            "--out", folder.At("o.csv"), "--mask", folder.At("masks"), "--device", "cpu");
        ToolRun.Refuses(
            ["region.mrc", "same size"],
            "pick",
            folder.WriteVolume("other.mrc"),
            "--model",
            folder.At("run", "model.safetensors"),
            "--out",
            folder.At("o.csv"),
            "--mask",
            folder.At("region.mrc"),
            "--device",
            "cpu");
    }

    [Test]
    public void Pick_Suggest_PrintsThresholdsAndTheBest()
    {
        ToolRun run = ToolRun.Succeeds(
            "pick",
            "--suggest",
            folder.Manifest,
            "--model",
            folder.At("run", "model.safetensors"),
            "--device",
            "cpu",
            "--json",
            folder.At("suggest.json"));
        JsonElement json = ToolRun.Json(folder.At("suggest.json"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Output, Does.Match(@"best: --threshold 0\.\d\d --min-support 0\.\d\d "));
            Assert.That(json.GetProperty("thresholds").GetArrayLength(), Is.EqualTo(18 * 6 * 2));
            Assert.That(json.GetProperty("centers").GetInt32(), Is.EqualTo(2));
            Assert.That(json.GetProperty("best").GetDouble(), Is.InRange(0.05, 0.9));
        }

        // What is suggested is what picking with these settings gives.
        string[] best = ["best", "bestMinimumSupport", "bestMergeBasins"], setting =
            ["threshold", "minimumSupport", "basinFraction"];
        string[] values = [.. best.Select(name => $"{json.GetProperty(name)}")];
        ToolRun.Succeeds(
            "pick", folder.At("data", "validation_000.mrc"), "--model", folder.At("run", "model.safetensors"), "--device", "cpu",
            "--out",
            folder.At("suggested.csv"),
            "--threshold",
            values[0],
            "--min-support",
            values[1],
            "--merge-basins",
            values[2]);
        JsonElement row = json.GetProperty("thresholds").EnumerateArray()
            .Single(t => setting.Select(name => $"{t.GetProperty(name)}").SequenceEqual(values));
        Assert.That(CoordinateTables.Read(folder.At("suggested.csv")), Has.Count.EqualTo(row.GetProperty("picks").GetInt32()));
    }

    [Test]
    public void Pick_Interrupted_LeavesNothing()
    {
        string output = folder.At("interrupted");
        ToolRun run = ToolRun.Interrupted(
            "tile 1 of 1",
            "pick",
            folder.At("data", "test_000.mrc"),
            "--model",
            folder.At("run", "model.safetensors"),
            "--out",
            output,
            "--score-map",
            output,
            "--device",
            "cpu");
        Assert.That(run.Code, Is.EqualTo(130), run.Output + run.Error);
        Assert.That(Directory.GetFileSystemEntries(output), Is.Empty);
    }

    [Test]
    public void Evaluate_TruthAgainstItself_IsPerfect()
    {
        string truth = folder.At("data", "train_000.star");
        ToolRun.Succeeds("evaluate", "--picks", truth, "--truth", truth, "--radii", "0", "--json", folder.At("self.json"));
        JsonElement figures = ToolRun.Json(folder.At("self.json"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(figures.GetProperty("distPred").GetDouble(), Is.Zero);
            Assert.That(figures.GetProperty("distGt").GetDouble(), Is.Zero);
            Assert.That(figures.GetProperty("radii")[0].GetProperty("f1").GetDouble(), Is.EqualTo(1));
            Assert.That(figures.GetProperty("radii")[0].GetProperty("oneToOneF1").GetDouble(), Is.EqualTo(1));
        }
    }

    [Test]
    public void Train_ResumedAfterCtrlC_EndsWithTheBitsOfAnUninterruptedRun()
    {
        string[] options = ["--validate-every", "2", "--checkpoint-every", "3", "--preset", "combined"];
        ToolRun.Succeeds(folder.Train("straight", 6, [.. options, "--threads", "1"]));

        ToolRun stopped = ToolRun.Interrupted("step 2: best", folder.Train("resumed", 6, [.. options, "--threads", "2"]));
        Assert.That(stopped.Code, Is.EqualTo(130), stopped.Output + stopped.Error);
        Assert.That(stopped.Output, Does.Contain($"stopped after step 2 of 6; go on with --resume --out {folder.At("resumed")}"));
        ToolRun.Refuses(["--resume", "--overwrite"], folder.Train("resumed", 6, options));
        // Once with the whole command line again, once with what is needed alone.
        ToolRun again = ToolRun.Interrupted(
            "step 4: ", folder.Train("resumed", 6, [.. options, "--resume", "--threads", "1"]));
        Assert.That(
            again.Output, Does.Contain("resumed after step 2 of 6").And.Contain("stopped after step 4 of 6"), again.Error);
        ToolRun.Succeeds(
            "train", "--data", folder.Manifest, "--out", folder.At("resumed"), "--resume", "--device", "cpu", "--threads", "2",
            "--volume-memory", "0");

        foreach (string file in (string[])["model.safetensors", "checkpoint.safetensors", "history.json"])
            Assert.That(
                File.ReadAllBytes(folder.At("resumed", file)), Is.EqualTo(File.ReadAllBytes(folder.At("straight", file))), file);
    }

    [Test]
    public void Train_ResumeOfAFinishedRun_SaysThatNothingWasLeft()
    {
        ToolRun.Succeeds(folder.Train("finished", 2));
        byte[] model = File.ReadAllBytes(folder.At("finished", "model.safetensors"));
        ToolRun again = ToolRun.Succeeds(folder.Train("finished", 2, "--resume", "--json", folder.At("finished.json")));
        Assert.That(
            again.Output,
            Does.Contain("resumed after step 2 of 2").And.Contain("2 steps, none of them now").And.Not.Contain("per second"));
        Assert.That(
            ToolRun.Json(folder.At("finished.json")).GetProperty("stepsPerSecond").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(File.ReadAllBytes(folder.At("finished", "model.safetensors")), Is.EqualTo(model));
    }

    // The mean of a model with itself is the model; of its mirror images, that of the volume's.
    [Test]
    public void Pick_WithSeveralModelsOrMirrors_TakesTheMean()
    {
        string model = folder.At("run", "model.safetensors");
        string[] arguments = [folder.At("data", "test_000.mrc"), "--threshold", "0", "--min-support", "0", "--device", "cpu"];
        float[] Scores(string name, params string[] more)
        {
            ToolRun.Succeeds(["pick", "--model", model, .. more, .. arguments, "--out", folder.At($"{name}.csv"),
                "--score-map", folder.At($"{name}.mrc"), "--json", folder.At($"{name}.json")]);
            using Volume map = MrcFile.Read(folder.At($"{name}.mrc"));
            float[] values = new float[map.Length];
            map.Read(Box.Slices(map.Size, 0, map.Depth), values);
            return values;
        }

        float[] alone = Scores("alone");
        Assert.That(Scores("twice", model), Is.EqualTo(alone).Within(1e-6f));
        Assert.That(CoordinateTables.Read(folder.At("twice.csv")).Max(p => p.ScoreDeviation), Is.EqualTo(0).Within(1e-6));
        Assert.That(CoordinateTables.Read(folder.At("alone.csv")).All(p => p.ScoreDeviation is null), Is.True);

        float[] mirrored = Scores("mirrored", "--mirror", "8");
        Assert.That(mirrored, Is.Not.EqualTo(alone).Within(1e-6f));
        Assert.That(CoordinateTables.Read(folder.At("mirrored.csv")).Max(p => p.ScoreDeviation), Is.GreaterThan(0));
        Assert.That(
            ToolRun.Json(folder.At("mirrored.json")).GetProperty("volumes")[0].GetProperty("picks")[0]
                .GetProperty("scoreDeviation").GetDouble(), Is.GreaterThan(0));
        // The table of another number of mirror images is another one.
        ToolRun.Refuses(["mirrored.csv", "--overwrite"],
            ["pick", "--model", model, .. arguments, "--out", folder.At("mirrored.csv")]);
        ToolRun.Refuses(["3 mirror images"],
            ["pick", "--model", model, .. arguments, "--out", folder.At("three.csv"), "--mirror", "3"]);
    }

    // While the learning rate rises it does not depend on the number of steps, and the parameters are those
    // of the longer run. What was the best validation may differ, as one more was made.
    [Test]
    public void Train_ResumedWithMoreSteps_IsTheLongerRun()
    {
        ToolRun.Succeeds(folder.Train("longer", 2));
        ToolRun.Refuses(["a run of 2 steps has ended here", "--resume"], folder.Train("longer", 4));
        Assert.That(ToolRun.Succeeds(folder.Train("longer", 4, "--resume")).Output, Does.Contain("resumed after step 2 of 4"));
        ToolRun.Succeeds(folder.Train("long", 4));
        IReadOnlyDictionary<string, SafetensorsTensor> longer = SafetensorsFile.Read(folder.At("longer",
            "checkpoint.safetensors")).Tensors;
        foreach ((string name, SafetensorsTensor tensor) in SafetensorsFile.Read(folder.At("long",
            "checkpoint.safetensors")).Tensors.Where(t => !t.Key.StartsWith("best.", StringComparison.Ordinal)))
            Assert.That(longer[name].ToFloats(), Is.EqualTo(tensor.ToFloats()), name);
        ToolRun.Refuses(["4 steps are done"], folder.Train("longer", 3, "--resume"));
    }

    [Test]
    public void Train_FromAModel_BeginsWithItsWeightsAndRecordsIt()
    {
        string parent = folder.At("run", "model.safetensors");
        string[] slow = ["--init", parent, "--lr", "1e-7"];
        Assert.That(ToolRun.Succeeds(folder.Train("child", 1, slow)).Output,
            Does.Contain($"begins with the weights of {parent}"));
        string child = folder.At("child", "model.safetensors");
        IReadOnlyDictionary<string, SafetensorsTensor> weights = SafetensorsFile.Read(parent).Tensors;
        foreach ((string name, SafetensorsTensor tensor) in SafetensorsFile.Read(child).Tensors)
            Assert.That(tensor.ToFloats(), Is.EqualTo(weights[name].ToFloats()).Within(1e-6f), name);
        Assert.That(Provenance.Read(child)!.Inputs.Select(i => i.File), Does.Contain(parent));
        // The parent is still there when the run goes on without naming it.
        ToolRun.Succeeds("train", "--data", folder.Manifest, "--out", folder.At("child"), "--resume", "--steps", "2",
            "--device", "cpu");
        Assert.That(Provenance.Read(child)!.Inputs.Select(i => i.File), Does.Contain(parent));
        ToolRun.Refuses([parent], folder.Train("run", 1, "--init", parent, "--overwrite"));
    }

    [Test]
    public void Pick_AVolumeWithoutRoomForTheBandwidth_IsWarnedAbout()
    {
        string volume = folder.WriteVolume("flat.mrc", 3, 16, 20);
        string[] pick =
            ["pick", volume, "--model", folder.At("run", "model.safetensors"), "--out", folder.At("flat.csv"), "--device", "cpu",
                "--overwrite"];
        Assert.That(
            ToolRun.Succeeds(pick).Error, Does.Contain("flat.mrc: an edge of 3 voxels is shorter than the bandwidth of 4,"));
        Assert.That(ToolRun.Succeeds([.. pick, "--bandwidth", "3"]).Error, Does.Not.Contain("bandwidth"));
        Assert.That(ToolRun.Succeeds([.. pick, "--method", "components"]).Error, Does.Not.Contain("bandwidth"));
    }

    [Test]
    public void Evaluate_WithoutPairsOrWithARadiusTwice_PrintsNoEmptyTableAndEachRadiusOnce()
    {
        string near = folder.WriteText("near.csv", "x,y,z\n5,5,5\n");
        string far = folder.WriteText("far.csv", "x,y,z\n15,15,15\n");
        string report = folder.At("pairs.html");
        string[] radii = ["--radii", "2,2,4", "--report", report];
        string[] Radii(string output)
            => [.. output.Split('\n').SkipWhile(l => !l.StartsWith("radius", StringComparison.Ordinal)).Skip(1)
                .TakeWhile(l => l.Length > 0 && char.IsDigit(l[0])).Select(l => l.Split(' ')[0])];
        ToolRun none = ToolRun.Succeeds(["evaluate", "--picks", near, "--truth", far, .. radii]);
        Assert.That(none.Output, Does.Not.Contain("bias"));
        Assert.That(File.ReadAllText(report), Does.Not.Contain("Bias"));
        Assert.That(Radii(none.Output), Is.EqualTo((string[])["2", "4"]));
        ToolRun some = ToolRun.Succeeds(["evaluate", "--picks", near, "--truth", near, .. radii]);
        Assert.That(some.Output, Does.Contain("bias"));
        Assert.That(File.ReadAllText(report), Does.Contain("Bias"));
    }

    [Test]
    public void Train_ResumeWithOtherSettings_IsRefused()
    {
        ToolRun.Refuses(
            ["checkpoint", "other settings"],
            "train",
            "--data",
            folder.Manifest,
            "--out",
            folder.At("run"),
            "--resume",
            "--lr",
            "0.5",
            "--device",
            "cpu");
        ToolRun.Refuses(
            ["widths 4,4"],
            "train",
            "--data",
            folder.Manifest,
            "--out",
            folder.At("run"),
            "--resume",
            "--widths",
            "4,8",
            "--device",
            "cpu");
        ToolRun.Refuses(
            ["there is no checkpoint"],
            "train",
            "--data",
            folder.Manifest,
            "--out",
            folder.At("empty"),
            "--resume",
            "--device",
            "cpu");
    }

    [Test]
    public void Simulate_Interrupted_LeavesNoManifest()
    {
        ToolRun run = ToolRun.Interrupted(
            "1 of 3", "simulate", "--out", folder.At("half"), "--size", "16", "--particles", "1,1", "--train", "3",
            "--validation", "0", "--test", "0");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Code, Is.EqualTo(130));
            Assert.That(run.Error, Is.EqualTo("error: interrupted.\n"));
            Assert.That(folder.At("half", "manifest.json"), Does.Not.Exist);
            Assert.That(Directory.GetFiles(folder.At("half"), ".*"), Is.Empty);
        }
    }
}
