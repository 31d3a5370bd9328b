using System.Text.RegularExpressions;
using System.Xml.Linq;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Cli;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;
using NUnit.Framework;
using PuppeteerSharp;

namespace MeanShiftGpu.Tests.Tomography.Training;

/// <summary>The page that grows while a network is trained.</summary>
public sealed partial class TrainingPageTests : IDisposable
{
    private static readonly TrainingOptions Options = TrainingOptions.Compact with
    {
        Patch = new Extent(16, 16, 16),
        Steps = 24,
        ValidationInterval = 3,
        CenterMarginVoxels = 2,
        MeanShift = MeanShiftOptions.Compact with { SeedCount = 24, Iterations = 3 },
    };

    private readonly ToolFolder folder = new();

    [OneTimeSetUp]
    public void Simulate() => folder.Simulate("--no-masks");

    public void Dispose() => folder.Dispose();

    [Test]
    public void Train_OnThePage_ShowsEachValidationAndEnds()
    {
        Directory.CreateDirectory(folder.At("run"));
        List<string> states = [];
        TrainingHistory history = Train("run", (run, step) =>
        {
            if (step.Validation is null)
                return;
            string text = File.ReadAllText(run.Files.Page);
            Assert.That(text, Does.Contain("http-equiv=\"refresh\"").And.Contain($"Step {step.Position} of 24; about "));
            states.Add(text);
            Assert.That(Directory.GetFiles(folder.At("run"), ".*"), Is.Empty, "what was being written");
        });
        Assert.That(states, Has.Count.EqualTo(8));

        string page = File.ReadAllText(folder.At("run", "training.html"));
        XElement body = XDocument.Parse(page).Root!.Element("body")!;
        Assert.Multiple(() =>
        {
            Assert.That(page, Does.Not.Contain("http-equiv=\"refresh\""), "nothing follows");
            Assert.That(Url().Matches(page).Select(m => m.Value), Is.All.StartsWith("http://www.w3.org/"), "names of XML alone");
            Assert.That(body.Value, Does.Contain("Ended after 24 steps").And.Contain("At step 24 the network finds "));
            Assert.That(body.Value,
                Does.Contain("Loss").And.Contain("Picks on the validation volumes").And.Contain("Health of the"));
            Assert.That(body.Value, Does.Match("validation_000.*, slice [0-9]+"));
        });
        // The slice, and seven of the eight validations, the first and the last among them.
        XElement[] panels = [.. body.Descendants().Where(e => (string?)e.Attribute("class") == "images")];
        Assert.That(panels, Is.Not.Empty);
        foreach (XElement panel in panels)
        {
            string[] titles = [.. panel.Descendants().Where(e => e.Name.LocalName == "figcaption").Select(e => e.Value)];
            Assert.That(titles, Has.Length.EqualTo(8));
            Assert.That(titles[1], Does.StartWith("Step 3, maximum "));
            Assert.That(titles[^1], Does.StartWith("Step 24, maximum "));
        }

        // The page at the third validation had three score maps of each slice.
        Assert.That(XDocument.Parse(states[2]).Descendants().Count(e => e.Value.StartsWith("Step ", StringComparison.Ordinal)
            && e.Name.LocalName == "figcaption"), Is.EqualTo(3 * panels.Length));
        Assert.That(history.Steps, Is.EqualTo(TrainedWithoutThePage()), "the page changes no bit of the training");
    }

    [Test]
    public void Train_ThatIsStopped_SaysHowToGoOn()
    {
        ToolRun.Interrupted("step 2: best", folder.Train("stopped", 6, "--validate-every", "2"));
        string stopped = File.ReadAllText(folder.At("stopped", "training.html"));
        Assert.That(stopped, Does.Contain("Stopped after step 2 of 6; go on with --resume, and --out with this folder.")
            .And.Not.Contain("http-equiv"));
        ToolRun run = ToolRun.Succeeds(folder.Train("stopped", 6, "--validate-every", "2", "--resume"));
        Assert.That(run.Output, Does.Contain($"page: {folder.At("stopped", "training.html")}"));
        string ended = File.ReadAllText(folder.At("stopped", "training.html"));
        Assert.That(ended, Does.Contain("Ended after 6 steps").And.Contain("Step 4, maximum").And.Contain("Step 6, maximum"));
    }

    [Test]
    public void Train_ThatFails_SaysWhy()
    {
        ToolRun run = ToolRun.Of(folder.Train("failed", 120, "--validate-every", "120", "--lr", "10"));
        Assert.That(run.Code, Is.EqualTo(1), run.Output);
        string page = File.ReadAllText(folder.At("failed", "training.html"));
        Assert.That(page, Does.Contain("Failed: ").And.Not.Contain("http-equiv"));
    }

    // On a telephone nothing may stick out to the right, but charts and pictures shrink.
    [Test]
    public async Task Page_InANarrowWindow_DoesNotScrollSideways()
    {
        Directory.CreateDirectory(folder.At("narrow"));
        Train("narrow", (_, _) => { });
        using IBrowser browser = await Chromium.StartAsync();
        await using IPage page = await browser.NewPageAsync();
        foreach (int width in (int[])[360, 1300])
        {
            await page.SetViewportAsync(new ViewPortOptions { Width = width, Height = 800 });
            await page.GoToAsync(new Uri(folder.At("narrow", "training.html")).AbsoluteUri);
            int taken = await page.EvaluateExpressionAsync<int>("document.documentElement.scrollWidth");
            Assert.That(taken, Is.LessThanOrEqualTo(width));
        }
    }

    private TrainingHistory Train(string name, Action<TrainingRun, TrainingProgress> progress)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu, 2);
        using TrainingData data = Data();
        using TrainingRun run = new(context, new UNet3dOptions { Widths = [4, 4] }, Options, data, folder.At(name));
        run.Begin(resume: false);
        run.Train(new Provenance(), 100, step => progress(run, step));
        return run.Trainer.History;
    }

    private IReadOnlyList<TrainingStep> TrainedWithoutThePage()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu, 2);
        using TrainingData data = Data();
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, Options.Seed, Options.OutputBias);
        using Trainer trainer = new(network, data, Options);
        trainer.Run();
        return trainer.History.Steps;
    }

    private TrainingData Data() => DatasetLoader.Load(
        DatasetManifest.Read(folder.Manifest), AnnotationChoice.Of(Options), long.MaxValue, null, CancellationToken.None);

    [GeneratedRegex("https?://[^\"' )]*")]
    private static partial Regex Url();
}
