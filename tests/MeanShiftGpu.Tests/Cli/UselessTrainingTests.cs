using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Trainings that once ended with exit code 0 and a model that finds nothing: each ends with the reason, or
/// with a model that works.
/// </summary>
public class UselessTrainingTests
{
    private readonly ToolFolder folder = new();

    [OneTimeSetUp]
    public void Simulate() => ToolRun.Succeeds(
        "simulate", "--out", folder.At("data"), "--preset", "demo", "--train", "20", "--validation", "4", "--test", "0");

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void Train_WithUsualSettings_GivesAModel()
    {
        ToolRun run = Train("usual", folder.Manifest);
        Assert.That(run.Code, Is.Zero, run.Error);
        Assert.That(File.Exists(folder.At("usual", "model.safetensors")), Is.True);
    }

    // Too short to be judged by its picks, which are thousands.
    [Test]
    public void Train_OfEightSteps_WarnsOfAMapThatIsBrightEverywhere_AndSoDoesPick()
    {
        const string warning = "so it finds particles everywhere. Its training ended before it had learnt anything";
        ToolRun run = ToolRun.Succeeds(
            "train", "--data", folder.Manifest, "--out", folder.At("eight"), "--steps", "8", "--widths", "8,8,8", "--patch",
            "24", "--device", "cpu");
        string model = folder.At("eight", "model.safetensors");
        ToolRun pick = ToolRun.Succeeds(
            "pick", DatasetManifest.Read(folder.Manifest).Volumes[0].Volume, "--model", model, "--out", folder.At("eight.star"),
            "--device", "cpu");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Error, Does.Contain($"warning: {model}: ").And.Contain(warning));
            Assert.That(pick.Error, Does.Contain(warning));
        }
    }

    [Test]
    public void Train_WithoutTheCheck_WarnsOfCentresInACorner()
    {
        string corner = Edited("corner", DatasetSplit.Train, static _ => { });
        DatasetManifest manifest = DatasetManifest.Read(corner);
        DatasetVolume first = manifest.Volumes.First(v => v.Split == DatasetSplit.Train);
        new DatasetManifest
        {
            Volumes = [first with { Coordinates = folder.WriteText("corner.coords", string.Concat(
                Enumerable.Range(0, 12).Select(i => $"{5 + i % 4} {5 + i / 4} {5 + i}\n"))) }],
        }.Write(corner);
        string[] train = ["train", "--data", corner, "--out", folder.At("corner"), "--steps", "1", "--widths", "4,4",
            "--patch", "16", "--device", "cpu", "--overwrite"];
        using (Assert.EnterMultipleScope())
        {
            Assert.That(ToolRun.Succeeds([.. train, "--no-check"]).Error, Does.Contain("in a corner of the volume"));
            Assert.That(
                ToolRun.Succeeds([.. train, "--no-check", "--check-report", folder.At("corner.html")]).Error,
                Does.Contain("in a corner of the volume"));
        }
    }

    [TestCase("rate", "Try a lower learning rate (it is 10)", "--lr", "10")]
    [TestCase("bandwidth", "Try a bandwidth near the particles' radius", "--bandwidth", "0.5")]
    [TestCase("floor", "Try a score floor well below 1", "--score-floor", "1000")]
    public void Train_WithASettingThatCannotWork_SaysWhich(string name, string advice, params string[] settings)
        => Fails(name, folder.Manifest, advice, settings);

    [Test]
    public void Train_OnVolumesWithoutAnything_SaysSo()
        => Fails("constant", Edited("constant", DatasetSplit.Train, static voxels => voxels.Clear()),
            "every voxel of every training volume has the same value");

    // The mean and standard deviation are then that voxel's, and all others are alike.
    [Test]
    public void Train_OnVolumesWithOneHugeVoxel_SaysSo()
        => Fails("spike", Edited("spike", DatasetSplit.Train, static voxels => voxels[123] = 1e30f), "no better than chance");

    [Test]
    public void Train_WithInvertedContrast_SaysSo()
    {
        ToolRun run = Fails(
            "inverted",
            Edited("inverted", DatasetSplit.Train, static voxels =>
            {
                foreach (ref float voxel in voxels)
                    voxel = -voxel;
            }),
            "See whether particles are dark, or bright, in all volumes");
        Assert.That(run.Error, Does.Contain("particles are dark in the training volumes and bright in the validation volumes"));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Train_WithTheTablesOfOtherTomograms_SaysSo(bool validated)
    {
        DatasetManifest manifest = DatasetManifest.Read(folder.Manifest);
        DatasetVolume[] training = [.. manifest.Volumes.Where(v => v.Split == DatasetSplit.Train)];
        string path = folder.At($"others-{validated}.json");
        new DatasetManifest
        {
            Volumes =
            [
                .. training.Select((v, i) => v with
                {
                    Coordinates = training[(i + 7) % training.Length].Coordinates,
                    Tomogram = Path.GetFileNameWithoutExtension(training[(i + 7) % training.Length].Coordinates),
                }),
                .. manifest.Volumes.Where(v => validated && v.Split == DatasetSplit.Validation),
            ],
        }.Write(path);
        Fails($"others-{validated}", path, "the right table, binning and voxel size");
    }

    // What the check before the training would find as well is trained all the same. An earlier model does
    // not stay where a run failed that was to replace it.
    private ToolRun Fails(string name, string manifest, string reason, params string[] settings)
    {
        Directory.CreateDirectory(folder.At(name));
        File.WriteAllText(folder.At(name, "model.safetensors"), "an earlier model");
        ToolRun run = Train(name, manifest, [.. settings, "--overwrite", "--no-check"]);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Code, Is.EqualTo(1), run.Error);
            Assert.That(run.Error, Does.Contain(reason));
            Assert.That(File.Exists(folder.At(name, "model.safetensors")), Is.False);
        }

        return run;
    }

    private ToolRun Train(string name, string manifest, params string[] settings) => ToolRun.Of(
        [
            "train", "--data", manifest, "--out", folder.At(name), "--steps", "120", "--validate-every", "40", "--widths",
                "8,8,8", "--patch", "24",
            "--device", "cpu", .. settings,
        ]);

    // The same data set with other voxels in the volumes of a split.
    private string Edited(string name, DatasetSplit split, Edit edit)
    {
        Directory.CreateDirectory(folder.At(name));
        DatasetManifest manifest = DatasetManifest.Read(folder.Manifest);
        string path = folder.At($"{name}.json");
        new DatasetManifest
        {
            Volumes = [.. manifest.Volumes.Select(v => v.Split == split ? v
            with { Volume = Rewritten(v.Volume) } : v)]
        }.Write(path);
        return path;

        string Rewritten(string volume)
        {
            string target = folder.At(name, Path.GetFileName(volume));
            using Volume read = MrcFile.Read(volume);
            for (int z = 0; z < read.Depth; z++)
                edit(read.Slice(z));
            MrcFile.Write(target, read);
            return target;
        }
    }

    private delegate void Edit(Span<float> slice);
}
