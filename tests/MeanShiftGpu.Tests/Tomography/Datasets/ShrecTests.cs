using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Datasets;

public class ShrecTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Read_TheChallengesFile_TellsParticlesFromVesiclesAndFiducials()
    {
        string path = TemporaryFolder.Data("shrec2021/particle_locations_first_rows.txt");
        IReadOnlyList<ShrecObject> objects = ShrecLocations.Read(path);
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path);
        Assert.Multiple(() =>
        {
            Assert.That(objects, Has.Count.EqualTo(60));
            Assert.That(objects.Count(o => o.Name == "vesicle"), Is.EqualTo(5));
            Assert.That(objects.Count(o => o.Name == "fiducial"), Is.EqualTo(10));
            Assert.That(objects[0], Is.EqualTo(new ShrecObject("vesicle", 95, 180, 425)));
            Assert.That(particles, Has.Count.EqualTo(45));
            // 1BXN 446 497 138 136.7909 59.7066 325.7025 is row 16, so 16 in the occupancy mask.
            Assert.That(
                (particles[0].X, particles[0].Y, particles[0].Z, particles[0].Name, particles[0].Id),
                Is.EqualTo((446.0, 497.0, 138.0, "1BXN", 16)));
            RotationMatrix expected = RotationMatrix.AboutZ(325.7025) * RotationMatrix.AboutX(59.7066) * RotationMatrix.AboutZ(
                136.7909);
            Assert.That(particles[0].Angles!.Value.ToMatrix().AngleTo(expected), Is.LessThan(1e-9));
        });
    }

    [Test]
    public void Write_ReadBefore_KeepsEverything()
    {
        IReadOnlyList<ShrecObject> objects = ShrecLocations.Read(
            TemporaryFolder.Data("shrec2021/particle_locations_first_rows.txt"));
        ShrecLocations.Write(folder["a.txt"], objects);
        IReadOnlyList<ShrecObject> again = ShrecLocations.Read(folder["a.txt"]);
        Assert.That(again, Has.Count.EqualTo(objects.Count));
        for (int i = 0; i < objects.Count; i++)
        {
            Assert.That(again[i] with { Angles = null }, Is.EqualTo(objects[i] with { Angles = null }));
            Assert.That(again[i].Angles is null, Is.EqualTo(objects[i].Angles is null));
            if (objects[i].Angles is { } angles)
                Assert.That(again[i].Angles!.Value.ToMatrix().AngleTo(angles.ToMatrix()), Is.LessThan(1e-6));
        }
    }

    [TestCase("", "empty")]
    [TestCase("1BXN 1 2 3\n", "line 1: 4 values")]
    [TestCase("1BXN 1 2 3 0 0 0\n1BXN 1 2 x 0 0 0\n", "line 2: value 4 is 'x'")]
    [TestCase("1BXN 1 2 3 0 NaN 0\n", "line 1: angles")]
    public void Read_BadRows_AreRefusedWithTheirLine(string text, string pattern)
    {
        string path = folder.Write("a.txt", text);
        Assert.That(TemporaryFolder.Refused(() => ShrecLocations.Read(path), path), Does.Match(pattern));
    }

    [Test]
    public void Import_OfALayout_GivesThePapersSplitAndMasks()
    {
        foreach (int model in (int[])[0, 5, 6, 7, 8, 9])
            WriteModel(model);
        DatasetManifest manifest = ShrecDataset.Import(folder["shrec"]);
        manifest.Write(folder["manifest.json"]);
        manifest = DatasetManifest.Read(folder["manifest.json"]);
        TrainingVolume volume = DatasetLoader.LoadVolume(manifest.Volumes[0]);
        Assert.Multiple(() =>
        {
            Assert.That(
                manifest.Volumes.Select(v => v.Split),
                Is.EqualTo(
                    new[] { DatasetSplit.Train, DatasetSplit.Train, DatasetSplit.Validation, DatasetSplit.Validation,
                        DatasetSplit.Test, DatasetSplit.Test }));
            Assert.That(manifest.Volumes[0].MaskAbove, Is.EqualTo(2));
            Assert.That(volume.Centers, Is.EqualTo(new[] { new Position(3, 2, 1), new Position(1, 2, 3) }));
            // Voxels 0 to 4 hold 0 (outside), 1 (vesicle), 2 (fiducial), 3 and 4 (particles).
            Assert.That(volume.Mask!.ToArray().Take(6), Is.EqualTo(new float[] { 0, 0, 0, 1, 1, 0 }));
        });
    }

    [Test]
    public void Import_WhatIsNotTheLayout_IsRefused()
    {
        TemporaryFolder.Refused(() => ShrecDataset.Import(folder["nowhere"]), "nowhere");
        Directory.CreateDirectory(folder["empty"]);
        TemporaryFolder.Refused(() => ShrecDataset.Import(folder["empty"]), "empty");
        ShrecModel model = WriteModel(0);
        File.WriteAllText(model.Locations, "1BXN 1 2 3 0 0 0\nvesicle 1 2 3 NaN NaN NaN\n");
        Assert.That(
            TemporaryFolder.Refused(() => ShrecDataset.Import(folder["shrec"]), ShrecLocations.FileName), Does.Contain("row 1"));
        File.WriteAllText(model.Locations, "1BXN 1 2 30 0 0 0\n");
        Assert.That(
            TemporaryFolder.Refused(() => ShrecDataset.Import(folder["shrec"]), ShrecLocations.FileName),
            Does.Contain("outside"));
        using (Volume other = new(4, 5, 7))
            MrcFile.Write(model.OccupancyMask, other);
        Assert.That(
            TemporaryFolder.Refused(() => ShrecDataset.Import(folder["shrec"]), "occupancy_mask.mrc"), Does.Contain("same size"));
        File.Delete(model.Reconstruction);
        TemporaryFolder.Refused(() => ShrecDataset.Import(folder["shrec"]), "reconstruction.mrc");
    }

    private ShrecModel WriteModel(int number)
    {
        ShrecModel model = ShrecDataset.Model(folder["shrec"], number);
        Directory.CreateDirectory(model.Folder);
        using Volume volume = new(4, 5, 6, new VoxelSize(10));
        for (int i = 0; i < 5; i++)
            volume.AsSpan()[i] = i;
        MrcFile.Write(model.Reconstruction, volume);
        MrcFile.Write(model.OccupancyMask, volume);
        ShrecLocations.Write(
            model.Locations,
            [new("vesicle", 0, 0, 0), new("fiducial", 1, 1, 1), new("1BXN", 3, 2, 1) { Angles = default(ParticleAngles) },
                new("4CR2", 1, 2, 3) { Angles = new(10, 20, 30) }]);
        return model;
    }
}
