using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Reproduction;
using MeanShiftGpu.Tomography.Simulation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Reproduction;

/// <summary>
/// The experiment of the paper's Table 1: its data, its protocol in a shortened form, and its statistics.
/// </summary>
public class ReproductionTests
{
    // A network and data of the smallest size that still have every part of the experiment.
    private static readonly PaperScale Tiny = PaperScale.Quick with
    {
        Name = "tiny",
        Widths = [4, 4],
        Patch = new Extent(32, 32, 32),
        Steps = 2,
        SandclockVolumes = (1, 1, 1),
        ShrecModels = (1, 1, 1),
        Shrec = PaperScale.Quick.Shrec with { Depth = 56, Height = 56, Width = 112, TiltStepDegrees = 20 },
        RiboPatches = (2, 4),
    };

    [Test]
    public void Train_TwoDatasets_WritesResultsThatAreNotComputedAgain()
    {
        using TemporaryFolder folder = new();
        PaperExperiment experiment = new(folder["out"], Tiny, PaperFiles.None);
        PaperDataset[] datasets = [PaperDataset.Sandclock, PaperDataset.Shrec];
        IReadOnlyList<PaperRun> runs = PaperExperiment.Runs(datasets, [PaperLoss.Both], 1);
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        foreach (PaperRun run in runs)
        {
            Assert.That(experiment.Done(run), Is.Null);
            PaperResult result = experiment.Train(context, run);
            Assert.That(result.Evaluation!.Truth, Is.GreaterThan(0), run.Name);
            PaperResult again = experiment.Done(run)!;
            Assert.That(again.Evaluation!.Radii, Is.EqualTo(result.Evaluation.Radii), run.Name);
            Assert.That(
                (again.Threshold, again.MinimumSupport, again.Made.Settings),
                Is.EqualTo((result.Threshold, result.MinimumSupport, result.Made.Settings)));
            // A model whose picks were counted in another way is picked with again, and not trained again.
            string file = folder[Path.Combine("out", "runs", $"{run.Name}.json")], model = Path.ChangeExtension(
                file, "safetensors");
            File.WriteAllText(
                file,
                File.ReadAllText(file).Replace("\"pickingProtocol\": ", "\"pickingProtocol\": 9", StringComparison.Ordinal));
            DateTime trained = File.GetLastWriteTimeUtc(model);
            Assert.That(experiment.Done(run), Is.Null);
            Assert.That(experiment.Train(context, run).Evaluation!.Radii, Is.EqualTo(result.Evaluation.Radii), run.Name);
            Assert.That(File.GetLastWriteTimeUtc(model), Is.EqualTo(trained), run.Name);
            Assert.That(experiment.Done(run), Is.Not.Null);
            // Other settings are another experiment.
            Assert.That(new PaperExperiment(folder["out"], Tiny with { Steps = 3 }, PaperFiles.None).Done(run), Is.Null);
        }

        PaperResult[] results = [.. runs.Select(r => experiment.Done(r)!)];
        PaperReport.Write(context, folder["out"], experiment, Tiny, PaperFiles.None, results);
        string table = File.ReadAllText(folder[Path.Combine("out", PaperReport.TableName)]);
        foreach (PaperDataset dataset in datasets)
            Assert.That(table, Does.Contain($"## {PaperTable.Title(dataset)}"));
        Assert.That(
            table, Does.Match(
                @"\| protein \| radius in voxels \| both: recall \| duplicates a particle \|\n"
                + @"\|---\|---\|---\|---\|\n\| \w{4} \| \d"));
        Assert.That(results[1].Kinds.Sum(k => k.Truth), Is.EqualTo(results[1].Evaluation!.Truth));
        Assert.That(table, Does.Contain("| mean shift, paper | 5 | 7.75 ± 4.70 | 3.99 ± 1.70 | 0.70 ± 0.10 |"));
        Assert.That(File.ReadAllText(folder[Path.Combine("out", PaperReport.PageName)]), Does.Contain("SHREC-like"));
        foreach (string picture in new[] { "slices-shrec.svg", "f1-shrec.svg" })
            Assert.That(File.ReadAllText(folder[Path.Combine("out", picture)]), Does.StartWith("<").And.Contain("<svg"));
    }

    [Test]
    public void Prepare_SparseRibosomes_HaveOneCentreAPatchButForTesting()
    {
        using TemporaryFolder folder = new();
        DatasetManifest sparse = PaperData.Prepare(folder["out"], Tiny, PaperDataset.RiboSparse, PaperFiles.None);
        DatasetManifest full = PaperData.Prepare(folder["out"], Tiny, PaperDataset.Ribo, PaperFiles.None);
        int Centres(DatasetVolume entry) => entry.ReadParticles(new Extent(56, 56, 56), new VoxelSize(17.4, 17.4, 17.4)).Count;
        Assert.That(sparse.Of(DatasetSplit.Train).Concat(sparse.Of(DatasetSplit.Validation)).Select(Centres), Has.All.EqualTo(1));
        Assert.That(
            sparse.Of(DatasetSplit.Test).Sum(Centres), Is.EqualTo(full.Of(DatasetSplit.Test).Sum(Centres)).And.GreaterThan(1));
        Assert.That(full.Of(DatasetSplit.Train).Sum(Centres), Is.GreaterThan(full.Of(DatasetSplit.Train).Count()));
    }

    [Test]
    public void Shapes_OfEveryDensity_GrowInTheOrderOfTheList()
    {
        using TemporaryFolder folder = new();
        IReadOnlyList<ParticleShape> shapes = ProteinDensities.Shapes(
            [.. ProteinDensities.Shrec, ProteinDensities.Ribosome], 10, folder["out"]);
        Assert.That(shapes.Take(13).Select(s => s.MaskVoxels), Is.Ordered);
        Assert.That(shapes.Select(s => s.Name), Is.Unique.And.All.Match("^[0-9a-z]{4}$"));
        Assert.That(
            () => ProteinDensities.Shapes(["0000"], 10, folder["out"]),
            Throws.TypeOf<InputException>().With.Message.Contains("5mrc"));
    }

    [Test]
    public void Shapes_OnLargerVoxels_KeepTheirSize()
    {
        using TemporaryFolder folder = new();
        ParticleShape fine = ProteinDensities.Shapes([ProteinDensities.Ribosome], 10, folder["out"])[0];
        ParticleShape coarse = ProteinDensities.Shapes([ProteinDensities.Ribosome], 17.4, folder["out"])[0];
        // The volume in Å³, by the voxels above a quarter of the maximum: seen 2 % apart.
        Assert.That(coarse.MaskVoxels * Math.Pow(1.74, 3), Is.EqualTo(fine.MaskVoxels).Within(10).Percent);
    }

    [Test]
    public void PairedDifference_OfFiveSeeds_IsStudentsInterval()
    {
        // Differences 0.1, 0.2, 0.3, 0.4, 0.5: mean 0.3, SD 0.15811, t(4, 0.975) = 2.77645, half width
        // 0.19632.
        PaperResult[] results =
        [
            .. Enumerable.Range(1, 5).Select(s => Result(PaperLoss.Dice, s, 0.2)),
            .. Enumerable.Range(1, 5).Select(s => Result(PaperLoss.MeanShift, s, 0.2 + (0.1 * s))),
            Result(PaperLoss.MeanShift, 6, 0.9),
        ];
        (double mean, double half) =
            PaperTable.PairedDifference(results, PaperLoss.MeanShift, PaperLoss.Dice, r => r.ValidationF1)!.Value;
        Assert.That(mean, Is.EqualTo(0.3).Within(1e-12));
        Assert.That(half, Is.EqualTo(0.19632).Within(1e-5));
        Assert.That(PaperTable.PairedDifference(results, PaperLoss.Both, PaperLoss.Dice, r => r.ValidationF1), Is.Null);
        Assert.That(
            PaperTable.PairedDifference(
                results.Take(6), PaperLoss.MeanShift, PaperLoss.Dice, r => r.ValidationF1)!.Value.HalfWidth, Is.EqualTo(
                    double.PositiveInfinity));
    }

    private static PaperResult Result(PaperLoss loss, int seed, double f1)
        => new()
        {
            Dataset = PaperDataset.Sandclock,
            Loss = loss,
            Seed = seed,
            PickingProtocol = 1,
            ValidationF1 = f1,
            Made =
            new Provenance()
        };
}
