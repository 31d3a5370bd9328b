using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Whatever is wrong with the input ends in one line that names the file, and leaves no results.
/// </summary>
[NonParallelizable]
public class BadInputTests : TrainedToolTests
{
    [Test]
    public void Pick_AStackOfImages_IsRefusedByItsNameAndDoubtedByItsHeader()
    {
        string volume = Folder.WriteVolume("tilts.mrc");
        File.Copy(volume, Folder.At("tilts.mrcs"));
        string output = Folder.At("tilts.star");
        ToolRun.Refuses(
            ["tilts.mrcs", "stack of", "rename"],
            "pick",
            Folder.At("tilts.mrcs"),
            "--model",
            Model,
            "--out",
            output,
            "--device",
            "cpu");
        Assert.That(output, Does.Not.Exist);
        byte[] bytes = File.ReadAllBytes(volume);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(88), 0);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(36), 1);
        File.WriteAllBytes(volume, bytes);
        Assert.That(
            ToolRun.Succeeds("pick", volume, "--model", Model, "--out", output, "--device", "cpu").Error,
            Does.Contain("tilts.mrc: is by its header a stack of"));
    }

    [Test]
    public void Pick_AModelWithNaN_IsRefused()
    {
        SafetensorsFile good = SafetensorsFile.Read(Model);
        string broken = Folder.At("nan.safetensors");
        SafetensorsFile.Write(
            broken,
            good.Tensors.ToDictionary(t => t.Key, t =>
            {
                float[] values = t.Value.ToFloats();
                values[0] = t.Key == "mid.conv1.weight" ? float.NaN : values[0];
                return SafetensorsTensor.FromFloats(t.Value.Shape, values);
            }),
            good.Metadata);
        ToolRun.Refuses(
            [broken, "tensor 'mid.conv1.weight' holds NaN"],
            "pick",
            Folder.WriteVolume("fine.mrc"),
            "--model",
            broken,
            "--out",
            Folder.At("fine.star"),
            "--device",
            "cpu");
        Assert.That(Folder.At("fine.star"), Does.Not.Exist);
    }

    [TestCase("missing", "not found")]
    [TestCase("folder", "has no volume")]
    [TestCase("empty", "")]
    [TestCase("truncated", "")]
    [TestCase("long-header", "")]
    [TestCase("complex", "complex")]
    [TestCase("text", "not an MRC file")]
    [TestCase("nan", "NaN")]
    public void Pick_ABadVolume_IsRefused(string kind, string expected)
    {
        string path = Folder.WriteVolume($"{kind}.mrc");
        byte[] bytes = File.ReadAllBytes(path);
        switch (kind)
        {
            case "missing":
                File.Delete(path);
                break;
            case "folder":
                File.Delete(path);
                Directory.CreateDirectory(path);
                break;
            case "empty":
                File.WriteAllBytes(path, []);
                break;
            case "truncated":
                File.WriteAllBytes(path, bytes[..^100]);
                break;
            case "long-header":
                BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(92), 1 << 30);
                File.WriteAllBytes(path, bytes);
                break;
            case "complex":
                BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), 4);
                File.WriteAllBytes(path, bytes);
                break;
            case "text":
                File.WriteAllText(path, string.Concat(Enumerable.Repeat("This is no tomogram. ", 200)), Encoding.ASCII);
                break;
            default:
                BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(1024 + 400), float.NaN);
                File.WriteAllBytes(path, bytes);
                break;
        }

        string output = Folder.At($"{kind}.star");
        ToolRun.Refuses([path, expected], "pick", path, "--model", Model, "--out", output, "--device", "cpu");
        Assert.That(output, Does.Not.Exist);

        if (kind is "missing" or "folder")
            return;
        string manifest = Folder.WriteManifest($"{kind}.json", path, Folder.WriteText($"{kind}.csv", "x,y,z\n5,5,5\n"));
        ToolRun.Refuses([path, expected], "train", "--data", manifest, "--out", Folder.At("bad-run"), "--device", "cpu");
        Assert.That(
            !Directory.Exists(Folder.At("bad-run")) || Directory.GetFileSystemEntries(Folder.At("bad-run")).Length == 0,
            "nothing is written");
    }

    [TestCase("x,y,z\n", "no centre in 1 training volume;")]
    [TestCase("x,y,z\n5,5,50\n", "outside")]
    [TestCase("x,y,z\n-3,5,5\n", "outside")]
    [TestCase("x,y,z,weight\n5,5,5,1\n", "unknown column 'weight'")]
    [TestCase("x,y\n5,5\n", "no column z")]
    [TestCase("x,y,z\n5,five,5\n", "line 2: y is 'five'")]
    [TestCase("", "is empty")]
    public void Train_BadCoordinates_AreRefused(string table, string expected)
    {
        string volume = Folder.WriteVolume("ramp.mrc");
        string manifest = Folder.WriteManifest("coordinates.json", volume, Folder.WriteText("bad.csv", table));
        ToolRun.Refuses(
            [expected], "train", "--data", manifest, "--out", Folder.At("bad-coordinates"), "--patch", "12", "--widths", "4,4",
            "--device", "cpu");
    }

    [TestCase("{", "line 1: Expected depth to be zero")]
    [TestCase(
        "{\n#", "line 2: '#' is an invalid start of a property name. Expected a '\"'. Expected a data set's manifest in JSON.")]
    [TestCase("""{"volumes": []}""", "volumes")]
    [TestCase("""{"volumes": [{"volume": "no.mrc", "coordinates": "no.csv", "split": "train"}]}""", "no.mrc")]
    [TestCase("""{"volumes": [{"volme": "a.mrc"}]}""", "unknown property 'volme'")]
    public void Train_ABadManifest_IsRefused(string json, string expected)
        => ToolRun.Refuses(
            ["bad.json", expected],
            "train",
            "--data",
            Folder.WriteText("bad.json", json),
            "--out",
            Folder.At("bad-manifest"),
            "--device",
            "cpu");

    [Test]
    public void Train_WithoutTrainingVolumes_IsRefused()
    {
        string volume = Folder.WriteVolume("only.mrc");
        new DatasetManifest
        {
            Volumes =
            [new DatasetVolume { Volume = volume, Coordinates = Folder.WriteText("only.csv", "x,y,z\n5,5,5\n"), Split =
                DatasetSplit.Test }]
        }.Write(Folder.At("only.json"));
        ToolRun.Refuses(
            ["\"split\": \"train\""], "train", "--data", Folder.At("only.json"), "--out", Folder.At("only"), "--device", "cpu");
    }

    [Test]
    public void Train_AMaskOfAnotherSize_IsRefused()
    {
        string volume = Folder.WriteVolume("masked.mrc");
        string mask = Folder.WriteVolume("mask.mrc", depth: 8);
        new DatasetManifest
        {
            Volumes =
            [new DatasetVolume { Volume = volume, Mask = mask, Coordinates =
                Folder.WriteText("masked.csv", "x,y,z\n5,5,5\n"), Split = DatasetSplit.Train }]
        }.Write(Folder.At("masked.json"));
        ToolRun.Refuses(
            [mask, "same size"],
            "train",
            "--data",
            Folder.At("masked.json"),
            "--out",
            Folder.At("masked"),
            "--preset",
            "combined",
            "--device",
            "cpu");
    }

    [TestCase("--patch", "18,16,16", "multiples")]
    [TestCase("--patch", "1048576", "voxels in all")]
    [TestCase("--center-margin", "40", "smaller centre margin")]
    [TestCase("--mean-shift", "0", "loss weights")]
    [TestCase("--widths", "4,0", "whole numbers from 1")]
    [TestCase("--bandwidth", "0", "bandwidth")]
    public void Train_SettingsThatDoNotFit_AreRefusedBeforeAVolumeIsRead(string option, string value, string expected)
    {
        string unread = Folder.WriteManifest(
            "unread.json", Folder.WriteText("unread.mrc", "no volume"), Folder.WriteText("unread.csv", "x,y,z\n5,5,5\n"));
        ToolRun.Refuses(
            [expected], "train", "--data", unread, "--out", Folder.At("unfit"), "--augmentation", "flips", "--device", "cpu",
            option, value);
    }

    [Test]
    public void Simulate_IntoAFolderWithVolumes_LeavesThem()
    {
        Directory.CreateDirectory(Folder.At("shrec/model_0"));
        File.WriteAllText(Folder.At("shrec/model_0/reconstruction.mrc"), "a tomogram");
        ToolRun.Refuses(["reconstruction.mrc", "--overwrite"], "simulate", "--out", Folder.At("shrec"), "--preset", "tomogram");
        File.WriteAllText(Folder.At("shrec/x.mrc"), "a volume");
        ToolRun.Refuses(["x.mrc", "--overwrite"], "simulate", "--out", Folder.At("shrec"));
    }

    [Test]
    public void Evaluate_AReportThatIsNamedLikeAVolume_IsRefused()
    {
        string table = Folder.WriteText("points.csv", "x,y,z\n1,1,1\n");
        ToolRun.Refuses(
            ["no name of a page"],
            "evaluate",
            "--picks",
            table,
            "--truth",
            Folder.WriteText("truth.csv", "x,y,z\n1,1,1\n"),
            "--report",
            Folder.WriteVolume("page.mrc"));
    }

    [Test]
    public void Pick_AScoreMapThatIsThere_IsNotReplaced()
        => ToolRun.Refuses(
            ["b.mrc", "--overwrite"],
            "pick",
            Folder.WriteVolume("a.mrc"),
            "--model",
            Model,
            "--out",
            Folder.At("new.star"),
            "--score-map",
            Folder.WriteVolume("b.mrc"),
            "--device",
            "cpu");

    [Test]
    public void Pick_AFileThatIsNoModel_IsRefused()
        => ToolRun.Refuses(
            ["fake.safetensors"],
            "pick",
            Folder.WriteVolume("v.mrc"),
            "--model",
            Folder.WriteText("fake.safetensors", "not a model"),
            "--out",
            Folder.At("fake.star"),
            "--device",
            "cpu");

    [Test]
    public void Pick_AModelOfAnotherShape_IsRefused()
    {
        SafetensorsFile model = SafetensorsFile.Read(Model);
        Dictionary<string, string> metadata = new(model.Metadata);
        metadata["meanshift_gpu.unet3d"] = metadata["meanshift_gpu.unet3d"].Replace("[4,4]", "[4,8]", StringComparison.Ordinal);
        SafetensorsFile.Write(Folder.At("other.safetensors"), model.Tensors, metadata);
        ToolRun.Refuses(
            ["other.safetensors", "this network needs"],
            "pick",
            Folder.WriteVolume("w.mrc"),
            "--model",
            Folder.At("other.safetensors"),
            "--out",
            Folder.At("other.star"),
            "--device",
            "cpu");
    }

    [Test]
    public void Pick_AContradictoryRequest_IsRefused()
    {
        string volume = Folder.WriteVolume("c.mrc");
        string[] pick = ["pick", volume, "--model", Model, "--device", "cpu"];
        ToolRun.Refuses(
            ["exclude"], [.. pick, "--out", Folder.At("c.star"), "--threshold", "0.3", "--threshold-absolute", "0.5"]);
        ToolRun.Refuses(
            ["the format csv ends in .csv", "(--format)"], [.. pick, "--out", Folder.At("c.star"), "--format", "csv"]);
        ToolRun.Refuses(
            ["the format coords ends in .coords", "(--format)"], [.. pick, "--out", Folder.At("c.star"), "--format", "coords"]);
        ToolRun.Refuses(
            ["--relion5-centre is for relion5, not for relion3"],
            [.. pick, "--out", Folder.At("c.star"), "--relion5-centre", "half-size"]);
        ToolRun.Refuses(
            ["--tomograms is for relion5, not for csv"],
            [.. pick, "--out", Folder.At("c.csv"), "--tomograms", Folder.At("tomograms.star")]);
        ToolRun.Refuses(["'.xlsx'"], [.. pick, "--out", Folder.At("c.xlsx")]);
        ToolRun.Refuses(["folder"], [.. pick, "--out", Folder.At("nowhere", "c.star")]);
        ToolRun.Refuses(["same name"], "pick", volume, volume, "--model", Model, "--out", Folder.At("c.star"), "--device", "cpu");
        ToolRun.Refuses(
            ["Raise the limit (--memory)"],
            "pick",
            Folder.WriteVolume("large.mrc", 60, 60, 60),
            "--model",
            Model,
            "--out",
            Folder.At("c.star"),
            "--device",
            "cpu",
            "--memory",
            "1");
    }

    [Test]
    public void Pick_AResultInTheNameOfAnInput_IsRefusedAndTheInputStays()
    {
        string volume = Folder.WriteVolume("precious.mrc");
        byte[] before = File.ReadAllBytes(volume);
        string[] pick = ["pick", volume, "--model", Model, "--device", "cpu"];
        ToolRun.Refuses(["is an input"], [.. pick, "--out", Folder.At("p.star"), "--score-map", volume]);
        ToolRun.Refuses(
            ["is an input"], [.. pick, "--out", Folder.At("p.star"), "--score-map", Folder.At("run", "..", "precious.mrc")]);
        ToolRun.Refuses(
            ["is the name of two results"], [.. pick, "--out", Folder.At("p.star"), "--score-map", Folder.At("p.star")]);
        Assert.That(File.ReadAllBytes(volume), Is.EqualTo(before));
        Assert.That(Folder.At("p.star"), Does.Not.Exist);
    }

    // The format's lack is known from the headers: no volume is computed first, and what exists already does
    // not matter.
    [TestCase("relion4", "star")]
    [TestCase("relion5", "star")]
    [TestCase("copick", "json")]
    [TestCase("eman2", "json")]
    public void Pick_AFormatThatNeedsAVoxelSize_AsksForItBeforeTheFirstTile(string format, string ending)
    {
        string good = Folder.WriteVolume("first.mrc");
        string bare = Folder.WriteVolume("second.mrc", voxelSize: new VoxelSize(0));
        string output = Folder.At($"bare-{format}");
        string[] pick = ["--model", Model, "--format", format, "--device", "cpu"];
        ToolRun.Refuses(["second", "give the voxel size (--voxel-size)"], ["pick", good, bare, "--out", output, .. pick]);
        Assert.That(Directory.GetFileSystemEntries(output), Is.Empty);
        ToolRun.Refuses(
            ["give the voxel size (--voxel-size)"], ["pick", bare, "--out", Folder.At($"bare-{format}.{ending}"), .. pick]);
        Assert.That(Folder.At($"bare-{format}.{ending}"), Does.Not.Exist);
        ToolRun.Succeeds(["pick", bare, "--out", Folder.At($"bare-{format}.{ending}"), "--voxel-size", "10", .. pick]);
        ToolRun.Refuses(
            ["second", "has voxels of 10 × 10 × 13 Å (z, y, x)", "(--voxel-size)"],
            ["pick", good, Folder.WriteVolume("second.mrc", voxelSize: new VoxelSize(10, 10, 13)), "--out", output, .. pick]);
        Assert.That(Directory.GetFileSystemEntries(output), Is.Empty);
    }

    // RELION 5 counts from the centre in pixels of the tilt series, so that binning shifts all coordinates.
    [TestCase("has no voxel size; the model was trained at 10 Å", 0, "relion3", "--voxel-size", "10")]
    [TestCase("pixels of the tilt series", 10, "relion5", "--binning", "4")]
    public void Pick_WhatNothingSays_IsWarnedAboutUntilItIsTold(
        string warning, double voxelSize, string format, params string[] told)
    {
        string volume = Folder.WriteVolume("assumed.mrc", voxelSize: new VoxelSize(voxelSize));
        string[] pick = ["pick", volume, "--model", Model, "--device", "cpu", "--format", format];
        Assert.That(ToolRun.Succeeds([.. pick, "--out", Folder.At($"assumed-{format}.star")]).Error, Does.Contain(warning));
        Assert.That(
            ToolRun.Succeeds([.. pick, "--out", Folder.At($"told-{format}.star"), .. told]).Error, Does.Not.Contain(warning));
    }

    [Test]
    public void VoxelsThatAreNoCubes_AreWarnedAboutWherePixelsDoAndRefusedWhereAngstromIsCounted()
    {
        string volume = Folder.WriteVolume("flat.mrc", voxelSize: new VoxelSize(10, 10, 13));
        string table = Folder.At("flat.star");
        const string problem = "flat.mrc: has voxels of 10 × 10 × 13 Å (z, y, x)";
        Assert.That(
            ToolRun.Succeeds("pick", volume, "--model", Model, "--out", table, "--device", "cpu").Error, Does.Contain(problem));
        Assert.That(File.ReadAllText(table), Does.Not.Contain("rlnDetectorPixelSize"), "no size is better than a mean of three");
        Assert.That(
            ToolRun.Succeeds(
                "pick", volume, "--model", Model, "--out", table, "--device", "cpu", "--overwrite", "--voxel-size", "10").Error,
                    Does.Not.Contain(problem));
        Assert.That(File.ReadAllText(table), Does.Contain("rlnDetectorPixelSize"));

        // Pixels of 5 Å: two of them are a voxel along two axes only.
        string angstrom = Folder.At("angstrom.json");
        string pixels = Folder.WriteText("pixels.csv", "x,y,z\n5,5,5\n");
        ToolRun.Succeeds("convert", pixels, "--out", angstrom, "--to", "copick", "--voxel-size", "5");
        ToolRun.Succeeds("convert", pixels, "--out", Folder.At("flat.tbl"), "--volume", volume);
        ToolRun.Refuses(
            [problem, "(--voxel-size)"],
            "convert",
            pixels,
            "--out",
            Folder.At("flat.json"),
            "--to",
            "copick",
            "--volume",
            volume);
        ToolRun.Refuses([problem, "(--voxel-size)"], "convert", angstrom, "--out", Folder.At("flat.csv"), "--volume", volume);
        ToolRun.Succeeds("convert", angstrom, "--out", Folder.At("flat.csv"), "--volume", volume, "--voxel-size", "10");
        ToolRun.Succeeds("evaluate", "--picks", pixels, "--truth", pixels, "--volume", volume);
        ToolRun.Refuses([problem, "(--voxel-size)"], "evaluate", "--picks", angstrom, "--truth", pixels, "--volume", volume);
        ToolRun.Succeeds("evaluate", "--picks", angstrom, "--truth", pixels, "--volume", volume, "--voxel-size", "10");

        string[] train =
            ["--out", Folder.At("flat-run"), "--steps", "1", "--widths", "4,4", "--patch", "12", "--center-margin", "2",
                "--device", "cpu"];
        ToolRun.Refuses(
            [problem, "(\"voxelSizeAngstrom\" in the manifest)"],
            ["train", "--data", Folder.WriteManifest("flat.json", volume, angstrom), .. train]);
        Assert.That(
            ToolRun.Succeeds(["train", "--data", Folder.WriteManifest("flat.json", volume, pixels), .. train]).Error,
            Does.Contain(problem));
    }

    [Test]
    public void Pick_OfSeveralVolumes_OneThatCannotBePickedIsNamedAndTheOthersArePicked()
    {
        string[] volumes = [Folder.WriteVolume("small.mrc"), Folder.WriteVolume("bigger.mrc", 60, 60, 60)];
        string output = Folder.At("later");
        string[] pick = ["pick", .. volumes, "--model", Model, "--out", output, "--device", "cpu"];
        AssertLeftOut(ToolRun.Of([.. pick, "--mask", volumes[0]]), "the mask has", "same size", "1 of 2 volumes could not be "
            + "picked: bigger");
        AssertLeftOut(ToolRun.Of([.. pick, "--overwrite", "--memory", "195"]), "60×60×60", "Raise the limit (--memory)");
        Assert.That(Directory.GetFiles(output, "*.star").Select(Path.GetFileName), Is.EqualTo(new[] { "small.star" }));

        // What is wrong with a volume may be seen when its voxels are read, and not before.
        string broken = Folder.At("broken.mrc"), noVolume = Folder.WriteText("text.mrc", "no volume"), json =
            Folder.At("several.json"), one = Folder.At("several.csv");
        File.Copy(volumes[0], broken, overwrite: true);
        using (FileStream file = new(broken, FileMode.Open))
        {
            file.Position = file.Length - 4;
            file.Write(BitConverter.GetBytes(float.NaN));
        }

        string[] several =
            ["pick", broken, noVolume, volumes[0], Folder.At("missing.mrc"), "--model", Model, "--device", "cpu", "--json", json,
                "--overwrite"];
        AssertLeftOut(
            ToolRun.Of([.. several, "--out", Folder.At("several")]),
            "broken is left out",
            "NaN",
            "file not found",
            "3 of 4 volumes could not be picked: text, missing, broken");
        Assert.That(
            Directory.GetFiles(Folder.At("several")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "small.star", "small.star.made" }));
        Assert.That(
            ToolRun.Json(json).GetProperty("volumes").EnumerateArray().Count(v => v.TryGetProperty("failed", out _)),
            Is.EqualTo(3));
        AssertLeftOut(ToolRun.Of([.. several, "--out", one]), "broken is left out");
        Assert.That(File.ReadAllLines(one).Skip(1), Has.All.Contains("small"));
        // A table without them is not taken for one of all volumes.
        ToolRun.Refuses(["several.csv", "other files"], [.. several.Where(a => a != "--overwrite"), "--out", one]);
        ToolRun.Refuses(["NaN"], "pick", broken, "--model", Model, "--device", "cpu", "--out", Folder.At("broken.csv"));

        static void AssertLeftOut(ToolRun run, params string[] said)
        {
            using (Assert.EnterMultipleScope())
            {
                Assert.That(run.Code, Is.EqualTo(1), run.Error);
                foreach (string words in said)
                    Assert.That(run.Error, Does.Contain(words));
            }
        }
    }

    [Test]
    public void Pick_AConstantVolume_IsWarnedAbout()
    {
        string path = Folder.At("constant.mrc");
        using (Volume volume = new(12, 12, 12, new VoxelSize(10)))
            MrcFile.Write(path, volume);
        Assert.That(
            ToolRun.Succeeds("pick", path, "--model", Model, "--out", Folder.At("constant.star"), "--device", "cpu").Error,
            Does.Contain("same value"));
    }

    // The kernel's own folder refuses new files even to the superuser, whom no permission bits stop.
    [Test]
    [Platform("Linux")]
    public void AnyVerb_AFolderThatCannotBeWritten_IsRefused()
    {
        string volume = Folder.WriteVolume("r.mrc");
        ToolRun.Refuses(["/proc/run"], "train", "--data", Folder.Manifest, "--out", "/proc/run", "--device", "cpu");
        ToolRun.Refuses(["/proc"], "pick", volume, "--model", Model, "--out", "/proc/picks.star", "--device", "cpu");
        ToolRun.Refuses(["/proc/data"], "simulate", "--out", "/proc/data");
        ToolRun.Refuses(["/proc/demo"], "demo", "--out", "/proc/demo", "--device", "cpu");
        ToolRun.Refuses(["/proc"], "devices", "--json", "/proc/devices.json");
    }

    [Test]
    public void Evaluate_TablesThatDoNotBelongTogether_AreRefused()
    {
        string picks = Folder.WriteText("picks.csv", "x,y,z,tomogram\n1,1,1,a\n2,2,2,b\n");
        string truth = Folder.WriteText("truth.csv", "x,y,z,tomogram\n1,1,1,a\n2,2,2,c\n");
        ToolRun.Refuses([picks, "'b'"], "evaluate", "--picks", picks, "--truth", truth);
        ToolRun.Refuses(["2 tables of picks and 1"], "evaluate", "--picks", picks, picks, "--truth", truth);
        ToolRun.Refuses(
            ["1 centre without a volume's name"],
            "evaluate",
            "--picks",
            picks,
            "--truth",
            Folder.WriteText("one.csv", "x,y,z\n1,1,1\n"));
    }

    [Test]
    public void Evaluate_WhatWouldReplaceInputsOrChangeNothing_IsRefused()
    {
        string text = "x,y,z,class\n1,1,1,2\n9,9,9,3\n";
        string picks = Folder.WriteText("picks.csv", text);
        string truth = Folder.WriteText("truth.csv", text);
        string[] evaluate = ["evaluate", "--picks", picks, "--truth", truth];
        foreach (string input in (string[])[picks, truth])
            ToolRun.Refuses([input, "is an input"], [.. evaluate, "--report", input]);
        Assert.That((File.ReadAllText(picks), File.ReadAllText(truth)), Is.EqualTo((text, text)));
        ToolRun.Refuses(["does not exist"], [.. evaluate, "--report", Folder.At("none", "page.html")]);
        ToolRun.Refuses(["names a class twice"], [.. evaluate, "--classes", "2", "2"]);
        ToolRun.Refuses(
            ["--binning", "manifest"], "evaluate", "--picks", picks, "--data", Folder.At("manifest.json"), "--binning", "2");
        ToolRun.Refuses(["--mask"], "pick", "--suggest", "manifest.json", "--model", "m.safetensors", "--mask", "mask.mrc");
        ToolRun.Refuses(["--radius"], "pick", "volume.mrc", "--model", "m.safetensors", "--out", "o.csv", "--radius", "2");
        ToolRun.Refuses(["--sparse"], "pick", "volume.mrc", "--model", "m.safetensors", "--out", "o.csv", "--sparse");
    }

    [Test]
    public void Evaluate_ClassesThatAreNumbers_AreThoseOfThePicks()
    {
        string picks = Folder.WriteText("picks.csv", "x,y,z,class\n1,1,1,2\n9,9,9,3\n");
        string truth = Folder.WriteText("truth.csv", "x,y,z,class\n1,1,1,2\n9,9,9,3\n");
        ToolRun.Succeeds(
            "evaluate", "--picks", picks, "--truth", truth, "--classes", "2", "3", "--radii", "1", "--json", Folder.At("e.json"));
        foreach (JsonElement kind in ToolRun.Json(Folder.At("e.json")).GetProperty("classes").EnumerateArray())
            Assert.That(
                kind.GetProperty("result").GetProperty("radii")[0].GetProperty("f1").GetDouble(),
                Is.EqualTo(1),
                kind.GetProperty("class").GetString());
    }
}
