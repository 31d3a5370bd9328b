using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Datasets;

public class PatchDatasetTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp()
    {
        folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["out"]);
    }

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void PaperSplit_OfThePapersPatches_IsThePapers()
    {
        DatasetSplit[] splits = [.. Enumerable.Range(0, 72).Select(i => Empiar10045Dataset.PaperSplit(i, 72))];
        Assert.That(
            (splits.Count(s => s == DatasetSplit.Train), splits.Count(s => s == DatasetSplit.Validation),
                splits.Count(s => s == DatasetSplit.Test)), Is.EqualTo((50, 11, 11)));
        Assert.That(splits, Is.Ordered, "in scan order");
    }

    [Test]
    public void Empiar10045_Coordinates_KeepTheHalfVoxel()
    {
        // A ball of ones around voxel (z, y, x) = (6, 5, 4) was a block of 8³ pixels, whose middle is pixel
        // (51.5, 43.5, 35.5).
        string tomogram = WriteTomogram(16, 16, 16);
        DatasetManifest manifest = Empiar10045Dataset.Write(
            tomogram, folder.Write("a.coords", "35.5 43.5 51.5\n"), folder["out"], 1, 8, new PatchDatasetOptions
            {
                Patch = new(8, 8, 8),
            });
        Particle centre = CoordinateTables.Read(manifest.Volumes.Single().Coordinates).Single();
        Assert.That((centre.Z, centre.Y, centre.X), Is.EqualTo((6.0, 5.0, 4.0)));
    }

    [Test]
    public void Empiar10045_AnUnbinnedTomogram_IsAveragedOntoTheCentres()
    {
        // A bright block of 4³ pixels from (z, y, x) = (24, 20, 16) becomes voxel (6, 5, 4), and its middle,
        // pixel (25.5, 21.5, 17.5), that voxel's centre.
        using (Volume volume = new(33, 34, 35, new VoxelSize(2.17)))
        {
            for (int z = 24; z < 28; z++)
            {
                for (int y = 20; y < 24; y++)
                    volume.Row(z, y).Slice(16, 4).Fill(1);
            }

            MrcFile.Write(folder["unbinned.mrc"], volume);
        }

        DatasetManifest manifest = Empiar10045Dataset.Write(
            folder["unbinned.mrc"],
            folder.Write("a.coords", "17.5 21.5 25.5\n"),
            folder["out"],
            4,
            4,
            new PatchDatasetOptions { Patch = new(8, 8, 8) });
        Particle centre = CoordinateTables.Read(manifest.Volumes.Single().Coordinates).Single();
        using Volume patch = MrcFile.Read(manifest.Volumes[0].Volume);
        Assert.Multiple(() =>
        {
            Assert.That((centre.Z, centre.Y, centre.X), Is.EqualTo((6.0, 5.0, 4.0)));
            Assert.That(patch.AsSpan().ToArray().Count(v => v > 0), Is.EqualTo(1));
            Assert.That(patch[6, 5, 4], Is.GreaterThan(0));
            Assert.That(patch.VoxelSizeAngstrom, Is.EqualTo(8.68).Within(1e-5));
            Assert.That(
                TemporaryFolder
                    .Refused(
                        () => Empiar10045Dataset.Write(folder["unbinned.mrc"], folder["a.coords"], folder["out"], 40, 4, new()),
                        ""), Does.Contain("shorter"));
        });
    }

    [Test]
    public void Empiar10045_Patches_AreInScanOrderWithBallsAndTheVolumesNormalisation()
    {
        string tomogram = WriteTomogram(16, 16, 24);
        // Four of twelve patches have a centre; the ball of the one at x = 7 reaches into its neighbour's.
        DatasetManifest manifest = Empiar10045Dataset.Write(
            tomogram,
            folder.Write("a.coords", "7 4 4\n12 4 4\n4 12 4\n20 12 12\n"),
            folder["out"],
            1,
            1,
            new PatchDatasetOptions { Patch = new(8, 8, 8), MaskRadiusVoxels = 2 });
        TrainingVolume first = DatasetLoader.LoadVolume(manifest.Volumes[0]), second = DatasetLoader.LoadVolume(
            manifest.Volumes[1]);
        using Volume whole = MrcFile.Read(tomogram);
        float[] normalised = whole.ToArray();
        TrainingVolume.Normalize(normalised);
        Assert.Multiple(() =>
        {
            Assert.That(
                manifest.Volumes.Select(v => v.Split),
                Is.EqualTo(new[] { DatasetSplit.Train, DatasetSplit.Train, DatasetSplit.Validation, DatasetSplit.Test }));
            Assert.That(first.Centers, Is.EqualTo(new[] { new Position(4, 4, 7) }));
            Assert.That(second.Centers, Is.EqualTo(new[] { new Position(4, 4, 4) }));
            Assert.That(DatasetLoader.LoadVolume(manifest.Volumes[3]).Centers, Is.EqualTo(new[] { new Position(4, 4, 4) }));
            // Its own ball of 33 voxels, and that of the neighbour at x = −1, of which 9 + 1 voxels lie at x
            // = 0 and 1.
            Assert.That(second.Mask!.ToArray().Sum(), Is.EqualTo(33 + 9 + 1));
            Assert.That(second.Image.ToArray()[0], Is.EqualTo(normalised[8]).Within(1e-6f));
        });
    }

    [Test]
    public void Empiar10045_Sparse_KeepsOneCentreInsideEachTrainingPatch()
    {
        string tomogram = WriteTomogram(12, 12, 48);
        string centres = folder.Write(
            "a.coords", "5 5 5\n6 6 6\n1 5 5\n13 5 5\n17 5 5\n18 6 5\n29 5 5\n30 6 5\n41 5 5\n42 6 5\n");
        PatchDatasetOptions options = new() { Patch = new(12, 12, 12), OneCenter = true };
        DatasetManifest manifest = Empiar10045Dataset.Write(tomogram, centres, folder["out"], 1, 1, options);
        TrainingVolume[] volumes = [.. manifest.Volumes.Select(v => DatasetLoader.LoadVolume(v))];
        Assert.Multiple(() =>
        {
            Assert.That(volumes.Select(v => v.Centers.Count), Is.EqualTo(new[] { 1, 1, 1, 2 }), "the last one is for testing");
            Assert.That(
                volumes.Take(3).SelectMany(v => v.Centers),
                Is.All.Matches<Position>(c => c.X > 4 && c.X < 7),
                "more than 4 voxels inside");
            Assert.That(volumes[0].Mask!.ToArray().Sum(), Is.EqualTo(257), "one ball of radius 4");
        });
        Directory.CreateDirectory(folder["again"]);
        Empiar10045Dataset.Write(tomogram, centres, folder["again"], 1, 1, options);
        foreach (DatasetVolume volume in manifest.Volumes)
            Assert.That(
                File.ReadAllBytes(Path.Combine(folder["again"], Path.GetFileName(volume.Coordinates))),
                Is.EqualTo(File.ReadAllBytes(volume.Coordinates)),
                "the same seed, the same choice");
    }

    [Test]
    public void Empiar10045_Sparse_DrawsAValidationCentreAmongAll_AndATrainingCentreAmongThoseInside()
    {
        // Each patch has one centre in its middle and one at its rim, 1 voxel inside.
        string tomogram = WriteTomogram(12, 12, 48);
        string centres = folder.Write("a.coords", "6 6 6\n1 6 6\n18 6 6\n13 6 6\n30 6 6\n25 6 6\n42 6 6\n37 6 6\n");
        List<(DatasetSplit Split, double X)> drawn = [];
        for (int seed = 1; seed <= 20; seed++)
        {
            PatchDatasetOptions options = new() { Patch = new(12, 12, 12), OneCenter = true, Seed = seed };
            Directory.CreateDirectory(folder[$"{seed}"]);
            DatasetManifest manifest = Empiar10045Dataset.Write(tomogram, centres, folder[$"{seed}"], 1, 1, options);
            drawn.AddRange(manifest.Volumes.Select(v => (v.Split, DatasetLoader.LoadVolume(v).Centers[0].X)));
        }

        Assert.Multiple(() =>
        {
            Assert.That(drawn.Where(d => d.Split == DatasetSplit.Train).Select(d => d.X), Is.All.EqualTo(6));
            Assert.That(drawn.Where(d => d.Split == DatasetSplit.Validation).Select(d => d.X).Distinct(),
                Is.EquivalentTo(new[] { 1.0, 6.0 }));
        });
    }

    [Test]
    public void Empiar10045_WithoutAPatch_IsRefused()
    {
        string tomogram = WriteTomogram(8, 8, 8);
        Assert.That(
            TemporaryFolder
                .Refused(
                    () => Empiar10045Dataset.Write(tomogram, folder.Write("a.coords", "1 1 1\n"), folder["out"], 1, 1, new()),
                    tomogram), Does.Contain("smaller patches"));
        Assert.That(
            TemporaryFolder
                .Refused(
                    () => Empiar10045Dataset.Write(tomogram, folder.Write("b.coords", "100 1 1\n"), folder["out"], 1, 1, new()),
                    "b.coords"), Does.Contain("outside"));
    }

    [Test]
    public void Shrec2021_Patches_HaveTwoCentresInsideAndTheOccupancyAsMask()
    {
        ShrecModel model = ShrecDataset.Model(folder["shrec"], 7);
        Directory.CreateDirectory(model.Folder);
        using (Volume volume = new(12, 12, 24))
        {
            volume[5, 5, 5] = 2;
            volume[6, 6, 6] = 1;
            MrcFile.Write(model.Reconstruction, volume);
            MrcFile.Write(model.OccupancyMask, volume);
        }

        // Two centres more than 4 voxels inside the first patch; in the second there are two as well, but one
        // lies near its face.
        ShrecLocations.Write(
            model.Locations,
            [new("vesicle", 6, 6, 6), new("1BXN", 5, 5, 5), new("4CR2", 6, 6, 6), new("1BXN", 5, 5, 17), new("1BXN", 5, 5, 21)]);
        DatasetManifest manifest = ShrecDataset.WritePatches(
            ShrecDataset.Import(folder["shrec"]), folder["out"], new Extent(12, 12, 12));
        TrainingVolume patch = DatasetLoader.LoadVolume(manifest.Volumes.Single());
        Assert.Multiple(() =>
        {
            Assert.That(manifest.Volumes[0].Split, Is.EqualTo(DatasetSplit.Validation));
            Assert.That(Path.GetFileName(manifest.Volumes[0].Volume), Is.EqualTo("model_7_0000.mrc"));
            Assert.That(patch.Centers, Has.Count.EqualTo(2));
            Assert.That(patch.Mask!.ToArray().Sum(), Is.EqualTo(1), "the vesicle, 1 in the occupancy, is none");
            Assert.That(patch.Mask!.ToArray()[(5 * 144) + (5 * 12) + 5], Is.EqualTo(1));
        });
    }

    private string WriteTomogram(int depth, int height, int width)
    {
        using Volume volume = new(depth, height, width, new VoxelSize(17.4));
        for (int z = 0; z < depth; z++)
        {
            Span<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
                slice[i] = ((z * 31) + (i * 7)) % 17;
        }

        MrcFile.Write(folder["tomogram.mrc"], volume);
        return folder["tomogram.mrc"];
    }
}
