using System.Text.Json;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Device;
using MeanShiftGpu.Device.Sass;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

public class UsageTests
{
    private static readonly string[] Verbs =
        ["devices", "simulate", "import", "train", "pick", "check", "evaluate", "convert", "export", "gradcheck", "verify",
            "demo", "bench", "kernels"];

    [TestCaseSource(nameof(Verbs))]
    public void Help_OfEveryVerb_ShowsDefaultsAndAnExample(string verb)
    {
        ToolRun run = ToolRun.Succeeds(verb, "--help");
        Assert.That(
            run.Output,
            Does.Contain("Example:").And.Contain($"meanshift-gpu {verb}").And.Contain("--json").And.Contain("--verbose"));
        Assert.That(run.Error, Is.Empty);
    }

    [TestCaseSource(nameof(Verbs))]
    public void Help_AsAVerb_IsTheVerbsHelp(string verb)
        => Assert.That(ToolRun.Succeeds("help", verb).Output, Is.EqualTo(ToolRun.Succeeds(verb, "--help").Output));

    [Test]
    public void Help_NamesEveryVerbInOneLine_ThoseForUsersFirst()
    {
        string help = ToolRun.Succeeds("help").Output;
        string[] lines = [.. help.Split('\n').SkipWhile(l => l != "Commands:")];
        foreach (string verb in Verbs)
            Assert.That(lines.Count(l => l.StartsWith($"  {verb} ", StringComparison.Ordinal)), Is.EqualTo(1), verb);
        Assert.That(lines, Has.All.Length.LessThanOrEqualTo(80));
        Assert.That(lines[1], Does.StartWith("  train "));
        Assert.That(
            lines.SkipWhile(l => l != "For developers:").Count(l => l.StartsWith("  ", StringComparison.Ordinal)), Is.EqualTo(4));
    }

    [TestCase("--help")]
    [TestCase("--version")]
    [TestCase("help")]
    [TestCase]
    public void Run_WithoutVerb_Succeeds(params string[] args) => Assert.That(ToolRun.Succeeds(args).Output, Is.Not.Empty);

    [TestCase(
        "'--thresold'. Did you mean '--threshold'?", "pick", "a.mrc", "--model", "m", "--out", "o.star", "--thresold", "0.3")]
    [TestCase("'--stpes'. Did you mean '--steps'?", "train", "--data", "d", "--out", "o", "--stpes", "3")]
    [TestCase("'--jsn'. Did you mean '--json'?", "devices", "--jsn=x")]
    [TestCase("unknown option '--completely-different'", "devices", "--completely-different")]
    [TestCase("unknown verb 'pik'. Did you mean 'pick'?", "pik")]
    [TestCase("unknown verb 'pik'. Did you mean 'pick'?", "pik", "tomograms/", "--model", "m")]
    [TestCase("unknown verb 'eval'. Did you mean 'evaluate'?", "eval", "--picks", "p")]
    [TestCase("unexpected argument 'extra'", "devices", "extra")]
    [TestCase("'abc' is not a whole number from 1 up", "train", "--data", "d", "--out", "o", "--steps", "abc")]
    [TestCase("'0' is not a whole number", "train", "--data", "d", "--out", "o", "--batch", "0")]
    [TestCase("'nan' is not a number", "train", "--data", "d", "--out", "o", "--lr", "nan")]
    [TestCase("Did you mean 'compact'?", "train", "--data", "d", "--out", "o", "--preset", "compct")]
    [TestCase("'gpu' is not one of auto, cuda, opencl, cpu", "devices", "--device", "gpu")]
    [TestCase("no data was given", "train", "--out", "o")]
    [TestCase("no tomogram was given", "train", "--picks", "p.star")]
    [TestCase("'--picks' is required", "train", "a.mrc")]
    [TestCase("--picks and --data exclude each other", "train", "--data", "d", "--picks", "p.star")]
    [TestCase("unknown verb 'trian'. Did you mean 'train'?", "help", "trian")]
    [TestCase("'5,5' is not one edge", "train", "--data", "d", "--out", "o", "--patch", "5,5")]
    [TestCase("'1,-2' is not a list of numbers", "evaluate", "--picks", "p", "--truth", "t", "--radii", "1,-2")]
    [TestCase("either --truth", "evaluate", "--picks", "p")]
    [TestCase("2 numbers for 1 class", "train", "--data", "d", "--out", "o", "--bandwidth", "3,4")]
    [TestCase("is for tomograms", "simulate", "--out", "o", "--snr", "1")]
    [TestCase("is for sandclock volumes", "simulate", "--out", "o", "--preset", "tomogram", "--noise", "1")]
    [TestCase("expected the least and the most", "simulate", "--out", "o", "--preset", "tomogram", "--defocus", "1,2,3")]
    [TestCase("three numbers", "simulate", "--out", "o", "--preset", "tomogram", "--tilts", "60")]
    [TestCase("expected one of sandclock", "simulate", "--out", "o", "--preset", "tomogram", "--shapes", "cube")]
    [TestCase("expected paper, demo or tomogram", "simulate", "--out", "o", "--preset", "small")]
    [TestCase("would have no particle", "simulate", "--out", "o", "--preset", "tomogram", "--size", "8")]
    [TestCase(
        "'2000' is not a number from 0.001 to 1024", "pick", "a.mrc", "--model", "m", "--out", "o.star", "--bandwidth", "2000")]
    [TestCase("nowhere: file not found", "evaluate", "--picks", "nowhere", "--truth", "nowhere")]
    [TestCase("no case's name contains 'conv5d'", "gradcheck", "conv5d", "--device", "cpu")]
    [TestCase("it checks every variant", "gradcheck", "dice", "--variant", "Direct", "--device", "cpu")]
    [TestCase("a name is empty", "gradcheck", "", "--device", "cpu")]
    [TestCase("'2147483648' is not a whole number from 0 to 2147483647", "gradcheck", "--seed", "2147483648")]
    [TestCase("'-1' is not a whole number from 0 up", "gradcheck", "--seed", "-1")]
    [TestCase("'conv' is no operation", "devices", "--variant", "conv=Direct")]
    [TestCase("'Fast' is no variant", "devices", "--variant", "Fast")]
    [TestCase("no such folder", "verify", "nowhere", "--device", "cpu")]
    public void Run_WrongUsage_IsOneLineWithExitCode2(string expected, params string[] args) => ToolRun.Refuses([expected], args);

    [Test]
    public void Verbose_OnAnError_ShowsTheTrace()
    {
        ToolRun run = ToolRun.Of("verify", "nowhere", "--device", "cpu", "--verbose");
        Assert.That(run.Code, Is.EqualTo(2));
        Assert.That(run.Error, Does.Contain("   at "));
    }

    // What is in a folder may be work of hours; a demo's is its own, and everything in it comes again.
    [Test]
    public void OutputFolders_ThatHoldResults_AreReplacedWhenAskedFor()
    {
        using ToolFolder folder = new();
        folder.Simulate();
        byte[] manifest = File.ReadAllBytes(folder.Manifest);
        string[] tomograms =
            ["simulate", "--out", folder.At("data"), "--preset", "tomogram", "--size", "12", "--particles", "0,0", "--train", "1",
                "--test", "0", "--tilts", "-60,60,60"];
        ToolRun.Refuses([folder.Manifest, "Choose another folder", "--overwrite"], ["simulate", "--out", folder.At("data")]);
        ToolRun.Refuses([folder.Manifest, "Choose another folder", "--overwrite"], tomograms);
        ToolRun.Refuses(
            [folder.Manifest, "Choose another folder", "--overwrite"],
            "import",
            "shrec2021",
            "nowhere",
            "--out",
            folder.At("data"));
        Assert.That(File.ReadAllBytes(folder.Manifest), Is.EqualTo(manifest));

        ToolRun.Succeeds(folder.Train("run", 1));
        string model = folder.At("run", "model.safetensors");
        ToolRun.Refuses(["a run of 1 step has ended here", "Choose another folder", "--overwrite"], folder.Train("run", 2));
        ToolRun.Succeeds(folder.Train("run", 2, "--overwrite"));
        Assert.That(Trainer.ReadProgress(folder.At("run", "checkpoint.safetensors")), Is.EqualTo((2, 2)));
        File.Delete(folder.At("run", "checkpoint.safetensors"));
        ToolRun.Refuses([model, "Choose another folder", "--overwrite"], folder.Train("run", 2));

        ToolRun.Succeeds([.. tomograms, "--overwrite"]);
        Assert.That(DatasetManifest.Read(folder.Manifest).Volumes.Single().Coordinates, Does.EndWith("particle_locations.txt"));
    }

    [Test]
    public void Demo_InTheFolderOfAnotherReport_IsRefusedAndInThatOfADemoReplacesIt()
    {
        using ToolFolder folder = new();
        string report = folder.WriteText("report.html", "mine");
        string[] demo = ["demo", "--out", folder.Path, "--steps", "1", "--volumes", "1", "--device", "cpu"];
        ToolRun.Refuses([report, "is no demo's", "--out"], demo);
        Assert.That(File.ReadAllText(report), Is.EqualTo("mine"));
        folder.WriteText("metrics.json", "{}");
        Assert.That(ToolRun.Succeeds(demo).Output, Does.Contain("an earlier demo is replaced"));
        Assert.That(File.ReadAllText(report), Does.Contain("Sandclock"));
    }

    [Test]
    public void Devices_Json_SaysWhatIsUsedAndWhy()
    {
        using ToolFolder folder = new();
        ToolRun run = ToolRun.Succeeds("devices", "--device", "cpu", "--threads", "2", "--json", folder.At("devices.json"));
        JsonElement json = ToolRun.Json(folder.At("devices.json"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Output, Does.Contain("used: CPU, 2 threads"));
            Assert.That(json.GetProperty("used").GetProperty("kind").GetString(), Is.EqualTo("cpu"));
            Assert.That(json.GetProperty("used").GetProperty("reason").GetString(), Is.Not.Empty);
            Assert.That(json.GetProperty("devices").GetArrayLength(), Is.GreaterThanOrEqualTo(1));
        }
    }

    [Test]
    public void GradCheck_Help_DoesNotNameTheOptionThatItRefuses()
    {
        Assert.That(ToolRun.Succeeds("gradcheck", "--help").Output, Does.Not.Contain("--variant"));
        Assert.That(ToolRun.Succeeds("verify", "--help").Output, Does.Contain("--variant"));
    }

    [Test]
    public void GradCheck_OneOperation_WritesTheDocumentedFields()
    {
        using ToolFolder folder = new();
        ToolRun.Succeeds("gradcheck", "weighted-sum", "--device", "cpu", "--json", folder.At("g.json"));
        JsonElement[] results = [.. ToolRun.Json(folder.At("g.json")).EnumerateArray()];
        Assert.That(results, Is.Not.Empty);
        foreach (JsonElement result in results)
        {
            using (Assert.EnterMultipleScope())
            {
                Assert.That(result.GetProperty("op").GetString(), Is.EqualTo("weighted-sum"));
                Assert.That(result.GetProperty("input").GetString(), Is.Not.Empty);
                Assert.That(result.GetProperty("device").GetString(), Is.Not.Empty);
                Assert.That(result.GetProperty("realType").GetString(), Is.AnyOf("float32", "float64"));
                Assert.That(
                    result.GetProperty("maxRelativeError").GetDouble(),
                    Is.LessThanOrEqualTo(result.GetProperty("tolerance").GetDouble()));
                Assert.That(result.GetProperty("passed").GetBoolean(), Is.True);
            }
        }
    }

    [Test]
    public void Verify_AReferenceOfOurOwn_WritesTheDocumentedFieldsAndFailsWhenItIsWrong()
    {
        using ToolFolder folder = new();
        Directory.CreateDirectory(folder.At("good"));
        Directory.CreateDirectory(folder.At("bad"));
        // Pooling of eight numbers by hand: the largest, whose place takes the whole gradient.
        float[] input = [3, 1, 4, 1, 5, 9, 2, 6];
        float[] gradInput = [0, 0, 0, 0, 0, 2, 0, 0];
        WritePooling(folder.At("good", "max_pool3d_tiny.safetensors"), input, 9, gradInput);
        WritePooling(folder.At("bad", "max_pool3d_tiny.safetensors"), input, 8, gradInput);

        ToolRun.Succeeds("verify", folder.At("good"), "--device", "cpu", "--json", folder.At("v.json"));
        JsonElement result = ToolRun.Json(folder.At("v.json"))[0];
        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.GetProperty("case").GetString(), Is.EqualTo("max_pool3d_tiny"));
            Assert.That(result.GetProperty("tensor").GetString(), Is.Not.Empty);
            Assert.That(result.GetProperty("variant").GetString(), Is.Not.Empty);
            Assert.That(
                result.GetProperty("relativeError").GetDouble(),
                Is.LessThanOrEqualTo(result.GetProperty("tolerance").GetDouble()));
            Assert.That(result.GetProperty("passed").GetBoolean(), Is.True);
        }

        ToolRun wrong = ToolRun.Of("verify", folder.At("bad"), "--device", "cpu");
        Assert.That(wrong.Code, Is.EqualTo(1));
        Assert.That(wrong.Output, Does.Contain("FAIL"));
    }

    [Test]
    public void Kernels_WritesThePtxOfEveryKernel()
    {
        using ToolFolder folder = new();
        ToolRun.Succeeds("kernels", "--ptx", folder.At("ptx"), "--arch", "sm_80", "--json", folder.At("k.json"));
        JsonElement[] kernels = [.. ToolRun.Json(folder.At("k.json")).EnumerateArray()];
        Assert.That(kernels, Has.Length.EqualTo(KernelCatalog.All.Count));
        foreach (JsonElement kernel in kernels)
            Assert.That(
                File.ReadAllText(kernel.GetProperty("file").GetString()!), Does.Contain(".target sm_80").And.Contain(".entry"));
        ToolRun.Refuses(["Did you mean 'sm_90'?"], "kernels", "--ptx", folder.At("ptx"), "--arch", "sm90");
    }

    [Test]
    public void Kernels_OfMachineCode_WritesATableOrSaysWhatIsMissing()
    {
        using ToolFolder folder = new();
        string[] arguments = ["kernels", "--sass", folder.At("sass"), "--only", "addsplits"];
        if (Ptxas.Find() is { } ptxas && Ptxas.FindDisassembler(ptxas) is not null)
        {
            ToolRun.Succeeds(arguments);
            Assert.That(
                File.ReadAllText(Path.Combine(folder.At("sass"), "sass.md")),
                Does.Contain("| Conv3dTensorCore.AddSplits.Tf32 | "));
            Assert.That(
                File.ReadAllText(Path.Combine(folder.At("sass"), "Conv3dTensorCore.AddSplits.Tf32.sass")), Does.Contain("EXIT"));
        }
        else
        {
            ToolRun.Refuses(["--sass needs ptxas and nvdisasm"], arguments);
        }

        ToolRun.Refuses(["give --ptx DIR, --sass DIR or both"], "kernels");
        ToolRun.Refuses(["no kernel's name contains 'nothing'"], "kernels", "--ptx", folder.At("ptx"), "--only", "nothing");
    }

    [Test]
    public void Output_WhenRedirected_HasNoControlCharacters()
    {
        using ToolFolder folder = new();
        string output = folder.Simulate().Output + ToolRun.Succeeds("devices", "--device", "cpu").Output;
        Assert.That(output.Where(c => char.IsControl(c) && c != '\n'), Is.Empty);
    }

    [Test]
    public void Output_OnATerminal_ShowsAProgressBar()
    {
        using ToolFolder folder = new();
        using StringWriter output = new();
        using StringWriter error = new();
        int code = CommandLine.Run(
            ["simulate", "--out", folder.At("d"), "--size", "16", "--particles", "1,1", "--train", "2", "--validation", "0",
                "--test", "0"], output, error, terminal: true);
        Assert.That(code, Is.Zero, error.ToString());
        Assert.That(output.ToString(), Does.Contain("\u001b["));
    }

    private static void WritePooling(string path, float[] input, float output, float[] gradInput)
        => SafetensorsFile.Write(
            path,
            new Dictionary<string, SafetensorsTensor>
            {
                ["input"] = SafetensorsTensor.FromFloats([1, 1, 2, 2, 2], input),
                ["output"] = SafetensorsTensor.FromFloats([1, 1, 1, 1, 1], [output]),
                ["grad_output"] = SafetensorsTensor.FromFloats([1, 1, 1, 1, 1], [2]),
                ["grad_input"] = SafetensorsTensor.FromFloats([1, 1, 2, 2, 2], gradInput),
            });
}
