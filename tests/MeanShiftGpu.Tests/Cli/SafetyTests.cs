using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Inputs that would do harm: names that choose a path, control characters, links, pipes and devices,
/// tampered models and checkpoints, full disks. Results stay in the folder that was given, nothing is
/// replaced that was not named, and every refusal is one line that names its file.
/// </summary>
[NonParallelizable]
public class SafetyTests
{
    private const string Tomogram = "cases/tables/02-dotted-tomogram-names/data/TS_1.5.mrc";

    private readonly ToolFolder folder = new();

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void Convert_NamesThatAreTablesOfPaths_StaysInTheFolder(
        [Values("nul", "overwrite", "trav")] string table,
        [Values("csv", "relion3", "copick", "shrec", "eman2", "dynamo")] string format)
    {
        string parent = folder.At($"paths-{table}-{format}"), output = Path.Combine(parent, "a", "b", "out");
        Directory.CreateDirectory(output);
        ToolRun.Succeeds(
            "convert",
            Data($"01-path-traversal/{table}.csv"),
            "--out",
            output,
            "--to",
            format,
            "--voxel-size",
            "10",
            "--volume-size",
            "20");
        string[] files = Directory.GetFiles(parent, "*", SearchOption.AllDirectories);
        Assert.That(files, Is.Not.Empty);
        Assert.That(files, Has.All.StartsWith(output + Path.DirectorySeparatorChar));
    }

    [Test]
    public void Pick_AModelWhoseClassIsAPath_StaysInTheFolder()
    {
        string parent = folder.At("class-name"), output = Path.Combine(parent, "a", "b", "out");
        ToolRun.Succeeds(
            "pick", TemporaryFolder.Data(Tomogram), "--model", Data("01-path-traversal/model-class-name.safetensors"), "--out",
            output, "--format", "copick", "--threshold-absolute", "1e-4", "--device", "cpu");
        Assert.That(
            Directory.GetFiles(parent, "*", SearchOption.AllDirectories),
            Is.Not.Empty.And.All.StartsWith(output + Path.DirectorySeparatorChar));
    }

    [TestCase("TS_01", "TS_01")]
    [TestCase("ribosome 70S (large)", "ribosome 70S (large)")]
    [TestCase("β-gal", "β-gal")]
    [TestCase("2024.01.12_TS_01", "2024.01.12_TS_01")]
    [TestCase("a/b", "a_b-*")]
    [TestCase("..", "_.-*")]
    [TestCase("", "_-*")]
    [TestCase(".hidden", "_hidden-*")]
    [TestCase("a\nb\u001b[2J", "a_b_[2J-*")]
    [TestCase("nul.txt", "_nul.txt-*")]
    [TestCase("turned\u202egnp", "turned_gnp-*")]
    public void SafeName_IsOneNameOfAFile(string name, string expected)
    {
        string safe = SafeName.Of(name);
        Assert.That(expected.EndsWith('*') ? safe[..^8] : safe, Is.EqualTo(expected.TrimEnd('*')));
        Assert.That(SafeName.Of(safe), Is.EqualTo(safe), "a safe name stays as it is");
    }

    [Test]
    public void SafeName_OfDifferentNames_DiffersAndFits()
    {
        string[] names =
            ["half\ud800", "a/b", "a:b", "a_b", "a\\b", new string('x', 300), new string('x', 301),
                string.Concat(Enumerable.Repeat("😀", 200)), "A/b"];
        string[] safe = [.. names.Select(SafeName.Of)];
        Assert.That(safe.Distinct(StringComparer.OrdinalIgnoreCase).Count(), Is.EqualTo(names.Length));
        Assert.That(safe.Max(System.Text.Encoding.UTF8.GetByteCount), Is.LessThanOrEqualTo(120));
    }

    [TestCase("02-control-chars/esc.csv", "csv")]
    [TestCase("02-control-chars/esc.csv", "copick")]
    [TestCase("02-control-chars/esc.csv", "shrec")]
    [TestCase("02-control-chars/esc.csv", "dynamo")]
    [TestCase("02-control-chars/esc.json", "copick")]
    [TestCase("02-control-chars/esc.json", "csv")]
    [TestCase("02-control-chars/esc.json", "relion3")]
    [TestCase("02-control-chars/esc.star", "relion4")]
    public void Convert_ControlCharacters_DoNotReachTheTerminalOrAFilesName(string table, string format)
    {
        string output = folder.At($"esc-{Path.GetExtension(table)[1..]}-{format}");
        ToolRun run = ToolRun.Of("convert", Data(table), "--out", output, "--to", format, "--voxel-size", "10");
        AssertShown(run, 0, 2);
        if (Directory.Exists(output))
            Assert.That(
                Directory.GetFileSystemEntries(output, "*", SearchOption.AllDirectories).SelectMany(f => f).Any(char.IsControl),
                Is.False);
    }

    [TestCase("02-control-chars/esc.csv")]
    [TestCase("02-control-chars/esc.json")]
    [TestCase("02-control-chars/esc.star")]
    public void Evaluate_ControlCharacters_DoNotReachTerminalOrReport(string table)
    {
        string report = folder.At("esc.html");
        AssertShown(
            ToolRun.Of(
                "evaluate", "--picks", Data(table), "--truth", Data(table), "--radii", "2", "--voxel-size", "10", "--report",
                report), 0);
        string page = File.ReadAllText(report);
        Assert.That(page.Any(c => char.IsControl(c) && c != '\n'), Is.False);
        Assert.That(page, Does.Not.Contain("<script"));
        Assert.That(() => XDocument.Parse(page), Throws.Nothing);
    }

    [Test]
    public void AFilesNameWithControlCharacters_IsShownEscaped()
        => AssertShown(ToolRun.Of("convert", folder.At("a\u001b[31m\u009b2J\nb.csv"), "--out", folder.At("x.csv")), 2);

    [TestCase("06-model-metadata/meta12.safetensors", "no name")]
    [TestCase("06-model-metadata/meta15.safetensors", "'a' is named twice")]
    [TestCase("06-model-metadata/meta8.safetensors", "weighting 77")]
    [TestCase("06-model-metadata/unet2.safetensors", "Widths")]
    public void Pick_ATamperedModel_IsRefused(string model, string cause)
        => ToolRun.Refuses(
            [Path.GetFileName(model), cause],
            "pick",
            TemporaryFolder.Data(Tomogram),
            "--model",
            Data(model),
            "--out",
            folder.At("tampered.csv"),
            "--device",
            "cpu");

    // Sizes that fit the types and no machine: refused by what the file holds, before memory is taken.
    [TestCase("\"Widths\":[4,4]", "\"Widths\":[1024,1024,1024,1024,1024,1024]")]
    [TestCase("\"Widths\":[4,4]", "\"Widths\":[4,4,4]")]
    [TestCase("\"Widths\":[4,4]", "\"Widths\":[]")]
    [TestCase("\"Widths\":[4,4]", "\"Widths\":[-4,2147483647]")]
    [TestCase("\"Widths\":[4,4]", "\"Widths\":[4,99999999999]")]
    [TestCase("\"InputChannels\":1", "\"InputChannels\":2147483647")]
    [TestCase("\"Outputs\":1", "\"Outputs\":2147483647")]
    [TestCase("\"Outputs\":1", "\"Outputs\":1000")]
    [TestCase("\"Outputs\":1", "\"Outputs\":\"\\ud800\"")]
    [TestCase("\"BandwidthVoxels\": 4", "\"BandwidthVoxels\": 1e999")]
    [TestCase("\"Iterations\": 10", "\"Iterations\": -1")]
    [TestCase("\"Schedule\": \"Cosine\"", "\"Schedule\": 99")]
    [TestCase("\"Normalization\": \"volume-mean-0-sd-1\"", "\"Normalization\": null")]
    [TestCase("\"Normalization\": \"volume-mean-0-sd-1\"", "\"Normalization\": \"none\"")]
    [TestCase("{\"Training\": {", "[{\"Training\": {")]
    [TestCase("\"VoxelSizeAngstrom\": 10", "\"VoxelSizeAngstrom\": -1")]
    public void Pick_AModelWithImpossibleNumbers_IsRefusedByName(string before, string after)
    {
        string model = Rewritten(Data("01-path-traversal/model-class-name.safetensors"), "impossible.safetensors", before, after);
        ToolRun.Refuses(
            [model],
            "pick",
            TemporaryFolder.Data(Tomogram),
            "--model",
            model,
            "--out",
            folder.At("impossible.csv"),
            "--device",
            "cpu");
    }

    // Every value of a model's and of a checkpoint's settings is replaced by others in turn: the file is
    // read, or refused by name.
    [TestCase("13-checkpoint-null/20_Steps/model.safetensors", "meanshift_gpu.model")]
    [TestCase("13-checkpoint-null/20_Steps/model.safetensors", "meanshift_gpu.unet3d")]
    [TestCase("checkpoint", "meanshift_gpu.training")]
    [TestCase("checkpoint", "meanshift_gpu.unet3d")]
    public void EveryChangeOfMetadata_IsReadOrRefused(string name, string key)
    {
        bool checkpoint = name == "checkpoint";
        if (checkpoint)
        {
            Simulate();
            if (!Directory.Exists(folder.At("mutated")))
                ToolRun.Succeeds(folder.Train("mutated", 2));
        }

        SafetensorsFile file = SafetensorsFile.Read(checkpoint ? folder.At("mutated", "checkpoint.safetensors") : Data(name));
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = 1 });
        string path = folder.At("mutant.safetensors");
        string[] values =
            ["null", "-1", "0", "1e308", "1e999", "4294967296", "\"x\"", "\"\\ud800\"", "[]", "{}", "[null]", "[[[]]]", "true",
                "\"a/../b\"", "NaN", "\"NaN\""];
        foreach (string place in Places(JsonNode.Parse(file.Metadata[key])!))
        {
            foreach (string value in values)
            {
                string changed = Changed(file.Metadata[key], place, value);
                SafetensorsFile.Write(
                    path, file.Tensors, file.Metadata.Select(m => m.Key == key ? KeyValuePair.Create(key, changed) : m));
                try
                {
                    if (checkpoint)
                    {
                        Trainer.ReadSettings(path);
                        Trainer.ReadProgress(path);
                    }
                    else
                    {
                        using TomogramPicker picker = TomogramPicker.Open(context, path);
                    }
                }
                catch (InputException e)
                {
                    Assert.That(e.Message, Does.Contain("mutant.safetensors").And.Not.Contain("\n"), $"{place} = {value}");
                }
                // What else comes is a defect, whose input must be known.
                catch (Exception e) when (e is not AssertionException)
                {
                    Assert.Fail($"{place} = {value}: {e}");
                }
            }
        }
    }

    [TestCase("06_Options.MeanShift", "MeanShift")]
    [TestCase("11_Options.Classes", "Classes")]
    [TestCase("20_Steps", "step 1 of 2")]
    public void Train_ATamperedCheckpoint_IsRefused(string run, string cause)
    {
        Simulate();
        string output = folder.At(run);
        Directory.CreateDirectory(output);
        File.Copy(
            Data($"13-checkpoint-null/{run}/checkpoint.safetensors"),
            Path.Combine(output, "checkpoint.safetensors"),
            overwrite: true);
        ToolRun.Refuses(
            ["checkpoint.safetensors", cause],
            "train",
            "--data",
            folder.Manifest,
            "--out",
            output,
            "--resume",
            "--device",
            "cpu");
        ToolRun.Refuses(
            ["checkpoint.safetensors", cause], "train", "--data", folder.Manifest, "--out", output, "--device", "cpu");
    }

    [Test]
    public void Convert_ThroughALink_DoesNotReplaceItsInput()
    {
        RequireLinks();
        string[] own = ["convert", folder.WriteText("real/../linked.csv", "x,y,z\n1,2,3\n")];
        Directory.CreateSymbolicLink(folder.At("linked"), folder.Path);
        File.CreateSymbolicLink(folder.At("link.csv"), folder.At("linked.csv"));
        ToolRun.Refuses(["is an input"], [.. own, "--out", folder.At("linked", "linked.csv")]);
        ToolRun.Refuses(["is an input"], [.. own, "--out", folder.At("link.csv")]);
        ToolRun.Refuses(["is an input"], [.. own, "--out", folder.At("linked"), "--to", "csv", "--tomogram-name", "linked"]);
        ToolRun.Refuses(
            ["is an input"], [.. own, "--out", folder.At("other.csv"), "--json", folder.At("linked", "linked.csv")]);
        Assert.That(File.ReadAllText(folder.At("linked.csv")), Is.EqualTo("x,y,z\n1,2,3\n"));
    }

    [Test]
    public void Pick_ThroughALink_DoesNotReplaceItsInput()
    {
        RequireLinks();
        string volume = folder.WriteVolume("seen_scores.mrc");
        string target = folder.At("seen");
        Directory.CreateSymbolicLink(target, folder.Path);
        File.Copy(volume, folder.At("seen.mrc"));
        byte[] before = File.ReadAllBytes(volume);
        string[] pick =
            ["pick", volume, folder.At("seen.mrc"), "--model", Data("01-path-traversal/model-class-name.safetensors"), "--device",
                "cpu"];
        ToolRun.Refuses(["seen_scores.mrc", "is an input"], [.. pick, "--out", folder.At("picked"), "--score-map", target]);
        ToolRun.Refuses(
            ["is an input"],
            [.. pick[..2], .. pick[3..], "--out", folder.At("p.csv"), "--score-map", Path.Combine(target, "seen_scores.mrc")]);
        Assert.That(File.ReadAllBytes(volume), Is.EqualTo(before));
    }

    [Test]
    public void ALinkInAFolder_DoesNotLeadOutOfIt()
    {
        RequireLinks();
        string victim = folder.WriteText("victim.csv", "of somebody");
        string output = folder.At("holed");
        Directory.CreateDirectory(output);
        File.CreateSymbolicLink(Path.Combine(output, "T1.csv"), victim);
        ToolRun.Refuses(["T1.csv", "leads out"], "convert", Data("01-path-traversal/trav.csv"), "--out", output, "--to", "csv");
        string[] pick =
            ["pick", folder.WriteVolume("T1.mrc"), "--model", Data("01-path-traversal/model-class-name.safetensors"), "--device",
                "cpu"];
        ToolRun.Refuses(["T1.csv", "leads out"], [.. pick, "--out", output, "--format", "csv"]);
        Assert.That(File.ReadAllText(victim), Is.EqualTo("of somebody"));
    }

    [Test]
    public void Convert_LinksAtFilesBesideTheTable_AreRefused()
    {
        RequireLinks();
        string text = "x,y,z,tomogram\n1,2,3,TS_01\n", table = folder.WriteText("beside.csv", text);
        File.CreateSymbolicLink(folder.At("z2.tomograms.doc"), table);
        File.CreateSymbolicLink(folder.At("o7.csv.made"), table);
        ToolRun.Refuses(["z2.tomograms.doc", "is an input"], "convert", table, "--out", folder.At("z2.tbl"));
        ToolRun.Refuses(["o7.csv.made", "is an input"], "convert", table, "--out", folder.At("o7.csv"));
        string holed = folder.At("made-holed"), other = folder.WriteText("other.txt", text);
        Directory.CreateDirectory(holed);
        File.CreateSymbolicLink(Path.Combine(holed, "convert.made"), other);
        ToolRun.Refuses(["convert.made", "leads out"], "convert", table, "--out", holed, "--to", "csv");
        string volume = folder.WriteVolume("ref.mrc");
        byte[] before = File.ReadAllBytes(volume);
        File.CreateSymbolicLink(folder.At("p8.tomograms.doc"), volume);
        string[] pick = ["pick", volume, "--model", Data("01-path-traversal/model-class-name.safetensors"), "--device", "cpu"];
        ToolRun.Refuses(["p8.tomograms.doc", "is an input"], [.. pick, "--out", folder.At("p8.tbl")]);
        ToolRun.Refuses(["/dev/stdout", "device or a pipe"], [.. pick, "--out", "/dev/stdout", "--format", "csv"]);
        File.CreateSymbolicLink(folder.At("circle"), folder.At("circle"));
        ToolRun.Refuses(["circle", "in a circle"], [.. pick, "--out", folder.At("circle"), "--format", "csv"]);
        Assert.That(File.ReadAllText(table), Is.EqualTo(text));
        Assert.That(File.ReadAllText(other), Is.EqualTo(text));
        Assert.That(File.ReadAllBytes(volume), Is.EqualTo(before));
    }

    [Test]
    public void Convert_NamesThatAnotherTableShares_AreNotChanged()
    {
        string two = folder.WriteText("two.csv", "x,y,z,tomogram\n1,2,3,TS_01\n1,2,3,TS_03\n");
        ToolRun.Succeeds("convert", two, "--out", folder.At("shared.tbl"));
        string names = File.ReadAllText(folder.At("shared.tomograms.doc"));
        ToolRun.Refuses(
            ["shared.tomograms.doc", "shared.tbl"], "convert", folder.At("shared.tbl"), "--tomogram", "TS_03", "--out",
            folder.At("shared.em"));
        string numbered = folder.WriteText("numbered.csv", "x,y,z,tomogram\n1,2,3,4\n");
        ToolRun.Refuses(["shared.tomograms.doc"], "convert", numbered, "--out", folder.At("shared.xml"));
        Assert.That(File.Exists(folder.At("shared.em")), Is.False);
        Assert.That(File.ReadAllText(folder.At("shared.tomograms.doc")), Is.EqualTo(names));
        ToolRun.Succeeds("convert", folder.At("shared.tbl"), "--out", folder.At("shared.em"));
    }

    [Test]
    public void AMaskOfAnotherGrid_IsRefused()
    {
        string volume = folder.WriteVolume("grid.mrc"), table = folder.WriteText("grid.csv", "x,y,z\n1,2,3\n");
        string coarse = folder.WriteVolume("coarse.mrc", voxelSize: new VoxelSize(20));
        string small = folder.WriteVolume("small.mrc", depth: 8);
        string[] convert = ["convert", table, "--volume", volume, "--out", folder.At("grid2.csv"), "--inside"];
        ToolRun.Refuses(["coarse.mrc", "20 Å"], [.. convert, coarse]);
        ToolRun.Refuses(["small.mrc", "same size"], [.. convert, small]);
        ToolRun.Succeeds([.. convert, volume]);
        ToolRun.Refuses(
            ["coarse.mrc", "20 Å"], "pick", volume, "--model", Data("01-path-traversal/model-class-name.safetensors"), "--device",
            "cpu", "--mask", coarse, "--out", folder.At("grid3.csv"));
    }

    [Test]
    public void ATomogramInPlaceOfAMask_IsRefused()
    {
        string volume = folder.WriteVolume("masked.mrc"), table = folder.WriteText("masked.csv", "x,y,z\n1,2,3\n");
        string tomogram = folder.At("tomogram.mrc");
        using (Volume voxels = MrcFile.Read(volume))
        {
            voxels.Slice(3)[5] = -4;
            MrcFile.Write(tomogram, voxels);
        }

        string[] expected = ["tomogram.mrc", "from -4 to 16", "a mask is 0 outside"];
        ToolRun.Refuses(expected, "convert", table, "--volume", volume, "--out", folder.At("kept.csv"), "--inside", tomogram);
        ToolRun run = ToolRun.Of(
            "pick", volume, "--model", Data("01-path-traversal/model-class-name.safetensors"), "--device", "cpu", "--mask",
            tomogram, "--out", folder.At("found.csv"));
        Assert.That(run.Code, Is.EqualTo(2), run.Output);
        foreach (string part in expected)
            Assert.That(run.Error, Does.Contain(part));
    }

    [Test]
    public void AtomicFile_ALink_StaysALinkAndItsFileIsReplaced()
    {
        RequireLinks();
        Directory.CreateDirectory(folder.At("far"));
        File.CreateSymbolicLink(folder.At("near"), Path.Combine("far", "file"));
        AtomicFile.Write(folder.At("near"), s => s.Write("new"u8));
        Assert.That(new FileInfo(folder.At("near")).LinkTarget, Is.Not.Null);
        Assert.That(File.ReadAllText(folder.At("far", "file")), Is.EqualTo("new"));
    }

    [Test]
    public void Json_ToADevice_IsWrittenThrough()
    {
        RequireLinux();
        string table = folder.WriteText("device.csv", "x,y,z\n1,2,3\n");
        ToolRun.Succeeds("convert", table, "--out", folder.At("device.tbl"), "--json", "/dev/null");
        ToolRun.Succeeds("evaluate", "--picks", table, "--truth", table, "--json", "/dev/null");
        Assert.That(FilePlace.Of("/dev/null").Kind, Is.EqualTo(FileKind.Device));
        ToolRun.Refuses(["/dev/full", "No space"], "convert", table, "--out", folder.At("device2.tbl"), "--json", "/dev/full");
    }

    [Test]
    public void Pipes_AreRefusedAsInputsAndWrittenThroughAsOutputs()
    {
        RequireLinux();
        string pipe = folder.At("pipe.csv"), table = folder.WriteText("piped.csv", "x,y,z\n1,2,3\n");
        using (Process made = Process.Start("mkfifo", pipe)!)
            made.WaitForExit();
        ToolRun.Refuses([pipe, "pipe"], "convert", pipe, "--out", folder.At("p1.csv"));
        ToolRun.Refuses(
            [pipe, "pipe"],
            "pick",
            pipe,
            "--model",
            Data("01-path-traversal/model-class-name.safetensors"),
            "--out",
            folder.At("p1.csv"),
            "--device",
            "cpu");
        ToolRun.Refuses(
            [pipe, "pipe"],
            "pick",
            TemporaryFolder.Data(Tomogram),
            "--model",
            pipe,
            "--out",
            folder.At("p1.csv"),
            "--device",
            "cpu");
        ToolRun.Refuses([pipe, "pipe"], "train", "--data", pipe, "--out", folder.At("p1"), "--device", "cpu");
        ToolRun.Refuses([pipe, "nobody reads"], "convert", table, "--out", folder.At("p2.csv"), "--json", pipe);
        Task<string> reader = Task.Run(() => File.ReadAllText(pipe));
        // The reader may not have come yet.
        for (int i = 0; i < 100 && !reader.IsCompleted
            && ToolRun.Of("convert", table, "--out", folder.At("p2.csv"), "--json", pipe).Code != 0; i++)
            Thread.Sleep(20);
        Assert.That(reader.Wait(TimeSpan.FromSeconds(10)), Is.True);
        Assert.That(reader.Result, Does.Contain("\"particles\": 1"));
        Assert.That(FilePlace.Of(pipe).Kind, Is.EqualTo(FileKind.Pipe));

        // What a shell's <(…) gives is a pipe too.
        foreach (string verb in (string[])["convert <(cat {0}) --out {1}", "convert {0} --out {1}.star --tomograms <(cat {0}) "
            + "--to relion5 --tomogram-name T",
            "evaluate --picks <(cat {0}) --truth {0}",
            "evaluate --picks {0} --truth <(cat {0})"])
        {
            string program = $"exec dotnet '{typeof(CommandLine).Assembly.Location}' "
                + $"{string.Format(CultureInfo.InvariantCulture, verb, $"'{table}'", $"'{folder.At("substituted.csv")}'")}";
            ProcessStartInfo start = new("bash", ["-c", program]) { RedirectStandardError = true };
            using Process shell = Process.Start(start)!;
            string error = shell.StandardError.ReadToEnd();
            Assert.That(shell.WaitForExit(60_000), Is.True, verb);
            Assert.That((shell.ExitCode, error), Is.EqualTo((2, error)), verb);
            Assert.That(error, Does.Contain("/dev/fd/").And.Contain("pipe").And.Contain("Save it to a file first"), verb);
        }
    }

    // Files that the command line does not name itself: those of a folder or of a manifest.
    [TestCase("verify {0} --device cpu --json {0}/case.safetensors", "case.safetensors")]
    [TestCase("convert {0} --out {1} --json {0}/TS_1.csv", "TS_1.csv")]
    [TestCase("evaluate --picks {0} --data {0}/manifest.json --json {0}/TS_1.csv", "TS_1.csv")]
    [TestCase("evaluate --picks {0} --data {0}/manifest.json --json {0}/TS_1.mrc", "TS_1.mrc")]
    [TestCase("pick --suggest {0}/manifest.json --model {2} --device cpu --json {0}/TS_1.csv", "TS_1.csv")]
    [TestCase("train --data {0}/manifest.json --out {0}/run --device cpu --json {0}/TS_1.csv", "TS_1.csv")]
    public void Json_InPlaceOfAnInput_IsRefusedAndTheInputStays(string command, string input)
    {
        string inputs = folder.At("inputs");
        Directory.CreateDirectory(inputs);
        File.Copy(TemporaryFolder.Data(Tomogram), Path.Combine(inputs, "TS_1.mrc"), overwrite: true);
        File.Copy(TemporaryFolder.Data("golden/dice.safetensors"), Path.Combine(inputs, "case.safetensors"), overwrite: true);
        File.WriteAllText(Path.Combine(inputs, "TS_1.csv"), "x,y,z\n10,11,12\n");
        string Volume(string split) => $$"""{"volume": "TS_1.mrc", "coordinates": "TS_1.csv", "split": "{{split}}"}""";
        IEnumerable<string> volumes = ((string[])["train", "validation", "test"]).Select(Volume);
        File.WriteAllText(Path.Combine(inputs, "manifest.json"), $$"""{"volumes": [{{string.Join(", ", volumes)}}]}""");
        byte[] before = File.ReadAllBytes(Path.Combine(inputs, input));
        string[] arguments =
            [.. command.Split(' ').Select(
                a => string.Format(
                    CultureInfo.InvariantCulture,
                    a,
                    inputs,
                    folder.At("other.csv"),
                    TemporaryFolder.Data("models/hundred-steps.safetensors")))];
        ToolRun.Refuses([input, "is an input"], arguments);
        Assert.That(File.ReadAllBytes(Path.Combine(inputs, input)), Is.EqualTo(before));
    }

    [Test]
    public void Train_TwoInOneFolder_TheSecondIsRefused()
    {
        Simulate();
        Directory.CreateDirectory(folder.At("shared"));
        using (FolderLock.Take(folder.At("shared")))
            ToolRun.Refuses(["shared", "another process"], folder.Train("shared", 1));
        ToolRun.Succeeds(folder.Train("shared", 1));
        Assert.That(Directory.GetFiles(folder.At("shared"), ".*"), Is.Empty);
    }

    [Test]
    public void Train_JsonInPlaceOfTheModel_IsRefused()
    {
        Simulate();
        Directory.CreateDirectory(folder.At("json"));
        ToolRun.Refuses(
            ["model.safetensors", "two results"],
            folder.Train("json", 1, "--json", folder.At("json", "..", "json", "model.safetensors")));
    }

    // The header promises 4 TB, of which a thousandth is there: nothing is unpacked that has no room.
    [Test]
    public void MrcReader_AHugeCompressedHeader_DoesNotFillTheDisk()
    {
        string plain = folder.WriteVolume("huge.mrc", 4, 8, 8), packed = folder.At("huge.mrc.gz");
        byte[] bytes = File.ReadAllBytes(plain);
        for (int axis = 0; axis < 3; axis++)
            BitConverter.GetBytes(10_000).CopyTo(bytes, 4 * axis);
        using (GZipStream gzip = new(File.Create(packed), CompressionLevel.Fastest))
            gzip.Write(bytes);
        // As large a file as such a header needs to be believed; it takes no room on the disk.
        using (FileStream file = new(packed, FileMode.Open))
            file.SetLength(4L << 30);
        Assert.That(TemporaryFolder.Refused(() => MrcReader.Open(packed).Dispose(), packed), Does.Contain("MiB free"));
    }

    [Test]
    public void Convert_ManyPairsOrTables_TakesLinearTime()
    {
        string pairs = folder.At("pairs.star");
        using (GZipStream packed = new(File.OpenRead(Data("pairs.star.gz")), CompressionMode.Decompress))
        using (FileStream file = File.Create(pairs))
            packed.CopyTo(file);
        Stopwatch clock = Stopwatch.StartNew();
        ToolRun.Refuses(["pairs.star"], "convert", pairs, "--out", folder.At("pairs.csv"));
        string many = folder.WriteText(
            "many.csv", "x,y,z,tomogram\n" + string.Concat(Enumerable.Range(0, 1500).Select(i => $"1,2,3,T{i}\n")));
        ToolRun.Succeeds("convert", many, "--out", folder.At("many"), "--to", "coords");
        Assert.That(Directory.GetFiles(folder.At("many"), "*.coords"), Has.Length.EqualTo(1500));
        // As many classes as particles, with and without classes of the picks.
        string classes = folder.WriteText(
            "classes.csv",
            "x,y,z,name\n" + string.Concat(Enumerable.Range(0, 20_000).Select(i => $"{i % 200},{i / 200},3,name{i}\n")));
        ToolRun.Succeeds(
            "evaluate", "--picks", classes, "--truth", classes, "--radii", "0.5", "--json", folder.At("classes.json"));
        JsonElement last = ToolRun.Json(folder.At("classes.json")).GetProperty("classes")[19_999];
        Assert.That(
            (last.GetProperty("class").GetString(), last.GetProperty("radii")[0].GetProperty("foundTruth").GetInt32()),
            Is.EqualTo(("name19999", 1)));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(60)));
    }

    [Test]
    public void DecimalCommas_ReachNoTextTableOrDrawing()
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        // As German, which a program without language data does not have.
        CultureInfo commas = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        commas.NumberFormat.NumberDecimalSeparator = ",";
        commas.NumberFormat.NumberGroupSeparator = ".";
        commas.NumberFormat.PercentDecimalSeparator = ",";
        string table = folder.WriteText("input.csv", "x,y,z,score\n1.25,2.5,3.75,0.5\n5.5,4.25,9.125,0.25\n");
        ReportChart chart =
            new()
            {
                Title = "t",
                XTitle = "x",
                YTitle = "y",
                Curves =
                [new ReportCurve("n", ReportColor.Blue, [(0.5, 1.25), (1.5, 2.75)])]
            };
        string[] Outputs(string name)
        {
            string[] files =
                [.. ((string[])["csv", "star", "tbl", "xml", "tsv", "coords", "html", "svg", "json"]).Select(
                    e => folder.At($"{name}.{e}"))];
            List<string> texts = [];
            foreach (string file in files[..6])
                texts.Add(
                    ToolRun.Succeeds("convert", table, "--out", file, "--voxel-size", "10.5", "--tomogram-name", "T").Output);
            texts.Add(
                ToolRun.Succeeds(
                    "evaluate", "--picks", table, "--truth", table, "--radii", "1.5,2.5", "--report", files[6], "--json",
                    files[8]).Output);
            ReportPlots.WriteSvg(files[7], chart);
            CoordinateTables.Write(folder.At($"{name}-host.star"), CoordinateTables.Read(table), new CoordinateWriteOptions
            {
                TomogramName = "T",
            });
            return [.. texts.Concat([.. files, folder.At($"{name}-host.star")]).Select(
                t => (File.Exists(t) ? File.ReadAllText(t) : t).Replace(name, "", StringComparison.Ordinal))];
        }

        string[] points = Outputs("run-one");
        try
        {
            CultureInfo.CurrentCulture = commas;
            string[] written = Outputs("run-two");
            for (int i = 0; i < points.Length; i++)
                Assert.That(written[i] == points[i], Is.True, $"output {i}");
            Assert.That(CultureInfo.CurrentCulture, Is.SameAs(commas), "the program keeps its language");
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    private static string Data(string name) => TemporaryFolder.Data($"cases/safety/{name}");

    private void Simulate()
    {
        if (!File.Exists(folder.Manifest))
            folder.Simulate();
    }

    private string Rewritten(string path, string name, string before, string after)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        Assert.That(file.Metadata.Values.Any(v => v.Contains(before, StringComparison.Ordinal)), Is.True, before);
        SafetensorsFile.Write(
            folder.At(name),
            file.Tensors,
            file.Metadata.Select(m => KeyValuePair.Create(m.Key, m.Value.Replace(before, after, StringComparison.Ordinal))));
        return folder.At(name);
    }

    private static void AssertShown(ToolRun run, params int[] codes)
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(codes, Does.Contain(run.Code), run.Error);
            Assert.That((run.Output + run.Error).Where(c => char.IsControl(c) && c != '\n'), Is.Empty);
            Assert.That(run.Error, Does.Not.Contain("internal"));
        }
    }

    private static IEnumerable<string> Places(JsonNode node)
    {
        IEnumerable<JsonNode?> inside = node switch { JsonObject o => o.Select(p => p.Value), JsonArray a => a, _ => [] };
        return inside.OfType<JsonNode>().SelectMany(Places).Prepend(node.GetPath());
    }

    // The value may be no JSON, so it takes the place of a text that stands nowhere else.
    private static string Changed(string json, string place, string value)
    {
        const string mark = "\"here it is\"";
        JsonNode root = JsonNode.Parse(json)!;
        if (place == "$")
            return value;
        Find(root)!.ReplaceWith("here it is");
        return root.ToJsonString().Replace(mark, value, StringComparison.Ordinal);

        JsonNode? Find(JsonNode node)
        {
            if (node.GetPath() == place)
                return node;
            IEnumerable<JsonNode?> inside = node switch { JsonObject o => o.Select(p => p.Value), JsonArray a => a, _ => [] };
            return inside.OfType<JsonNode>().Select(Find).FirstOrDefault(found => found is not null);
        }
    }

    private static void RequireLinux()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("devices and pipes by name are Linux's");
    }

    private static void RequireLinks()
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("links need a privilege on Windows");
    }
}
