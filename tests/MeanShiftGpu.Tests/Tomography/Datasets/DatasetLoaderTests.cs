using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Datasets;

[TestFixture]
public class DatasetLoaderTests
{
    private readonly TemporaryFolder folder = new();

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void Load_OfTwoClasses_GivesTheirCentresAndTheirPartsOfTheMask()
    {
        DatasetManifest manifest = Write();
        TrainingVolume volume = DatasetLoader.Load(manifest, new AnnotationChoice(["B", "a"], 0, 1)).Training[0];
        Assert.That(volume.Centers, Is.EqualTo(new[] { new Position(0, 0, 1), new Position(0, 0, 2), new Position(0, 0, 4) }));
        Assert.That(volume.CenterClasses, Is.EqualTo(new[] { 1, 0, 1 }), "classes have the order that was asked for, whatever "
            + "their case");
        // The third particle, c, is of no class.
        Assert.That(volume.Mask!.ToArray().Take(6), Is.EqualTo(new float[] { 0, 2, 1, 0, 2, 0 }));
    }

    [Test]
    public void Load_OfSomeCentres_ChoosesThemByTheSeedAndKeepsOnlyTheirMasks()
    {
        DatasetManifest manifest = Write();
        TrainingVolume Of(int seed) => DatasetLoader.Load(manifest, new AnnotationChoice([], 2, seed)).Training[0];
        HashSet<string> seen = [];
        for (int seed = 0; seed < 20; seed++)
        {
            TrainingVolume volume = Of(seed);
            Assert.That(volume.Centers, Has.Count.EqualTo(2).And.Unique);
            Assert.That(Of(seed).Centers, Is.EqualTo(volume.Centers));
            float[] mask = volume.Mask!.ToArray();
            foreach (int x in Enumerable.Range(1, 4))
                Assert.That(mask[x], Is.EqualTo(volume.Centers.Contains(new Position(0, 0, x)) ? 1 : 0));
            seen.Add(string.Join(' ', volume.Centers.OrderBy(c => c.X)));
        }

        Assert.That(seen, Has.Count.EqualTo(6), "two of four");
    }

    [Test]
    public void Load_WhatTheTablesDoNotSay_IsRefused()
    {
        DatasetManifest manifest = Write();
        Assert.That(
            () => DatasetLoader.Load(manifest, new AnnotationChoice(["a", "ribosome"], 0, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains("'ribosome'"));
        folder.Write("plain.csv", "x,y,z\n1,0,0\n2,0,0\n");
        DatasetManifest unnumbered = new() { Volumes = [manifest.Volumes[0] with { Coordinates = folder["plain.csv"] }] };
        Assert.That(
            () => DatasetLoader.Load(unnumbered, new AnnotationChoice([], 1, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains("must number its particles"));
    }

    [TestCase("volume", null, 2)]
    [TestCase("elsewhere", "elsewhere", 2)]
    [TestCase("elsewhere", null, 0)]
    public void Load_OfATableOfSeveralTomograms_TakesTheVolumesOwn(string first, string? named, int expected)
    {
        folder.Write("several.csv", $"x,y,z,tomogram\n1,0,0,{first}\n2,0,0,other\n3,0,0,{first}\n");
        DatasetManifest manifest =
            new() { Volumes = [Write().Volumes[0] with { Coordinates = folder["several.csv"], Mask = null, Tomogram = named }] };
        if (expected == 0)
            Assert.That(
                () => DatasetLoader.Load(manifest, AnnotationChoice.All), Throws.TypeOf<InputException>().With.Message
                    .Contains("'elsewhere', 'other'").And.Message.Contains("\"tomogram\""));
        else
            Assert.That(
                DatasetLoader.Load(manifest, AnnotationChoice.All).Training[0].Centers.Select(c => c.X), Is.EqualTo(new float[]
            {
                1,
                3,
            }));
    }

    [TestCase(0, "a particle has the number 0")]
    [TestCase(5, "two particles have the number 5")]
    public void Load_OfNumbersThatAMaskCannotHave_IsRefused(int id, string expected)
    {
        folder.Write(
            "tags.tbl", string.Concat(((int[])[id, 5]).Select((tag, i) => $"{tag}{string.Concat(Enumerable.Repeat(" 0", 22))} "
            + $"{i + 2} 1 1\n")));
        DatasetManifest manifest = new() { Volumes = [Write().Volumes[0] with { Coordinates = folder["tags.tbl"] }] };
        Assert.That(
            () => DatasetLoader.Load(manifest, new AnnotationChoice([], 2, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains(expected));
    }

    // All in memory, all in files, and the first image alone in memory: it takes 20·17·19 float32.
    [TestCase(0)]
    [TestCase(20 * 17 * 19 * 4)]
    public void Load_WithLittleMemory_GivesTheSamePatches(long memory)
    {
        DatasetManifest manifest = WriteTomograms();
        foreach (string[] classes in (string[][])[[], ["b", "a"]])
        {
            TrainingOptions options = TrainingOptions.Combined with
            {
                Patch = new Extent(16, 16, 16),
                BatchSize = 2,
                CenterMarginVoxels = 2,
                LabelRadiusVoxels = 5,
                CentersPerVolume = classes.Length == 0 ? 3 : 0,
                Classes = [.. classes.Select(c => new ClassOptions(c))],
            };
            AnnotationChoice choice = AnnotationChoice.Of(options);
            using TrainingData inMemory = DatasetLoader.Load(manifest, choice);
            using TrainingData inFiles = DatasetLoader.Load(manifest, choice, memory);
            Assert.That(inMemory.Volumes.Select(v => v.Image), Has.All.InstanceOf<Volume>());
            Assert.That(inFiles.Volumes.Count(v => v.Image is Volume), Is.EqualTo(memory == 0 ? 0 : 1));
            (PatchSampler expected, PatchSampler actual) = (new(inMemory.Training, options), new(inFiles.Training, options));
            (PatchBatch first, PatchBatch second) = (new(2, options), new(2, options));
            for (int step = 0; step < 20; step++)
            {
                expected.Fill(first, step);
                actual.Fill(second, step);
                Assert.That(second.Images, Is.EqualTo(first.Images));
                Assert.That(second.Labelled, Is.EqualTo(first.Labelled));
                for (int c = 0; c < options.ClassCount; c++)
                {
                    Assert.That(second.Masks![c], Is.EqualTo(first.Masks![c]));
                    Assert.That(second.Centers(c), Is.EqualTo(first.Centers(c)));
                }
            }
        }
    }

    [Test]
    public void Load_OfAVolumeBeyondItsMemory_TakesLittle()
    {
        // 29·10⁶ voxels, of which 112 MiB would be needed as float32 with the mask the same again; the
        // statistics read 16 MiB at a time.
        using (MrcWriter writer = MrcWriter.Create(folder["large.mrc"], new Extent(112, 512, 512), default))
        {
            float[] slice = [.. Enumerable.Range(0, 512 * 512).Select(i => (float)(i * 31 % 17))];
            for (int z = 0; z < 112; z++)
                writer.Write(Box.Slices(writer.Size, z, 1), slice);
            writer.Complete();
        }

        folder.Write("large.csv", "x,y,z\n100,200,50\n400,300,111\n");
        DatasetManifest manifest = new()
        {
            Volumes =
                [new DatasetVolume { Volume = folder["large.mrc"], Coordinates = folder["large.csv"], Mask =
                    folder["large.mrc"], Split = DatasetSplit.Train }],
        };
        TrainingOptions options = TrainingOptions.Combined with { Patch = new Extent(32, 32, 32) };
        PatchBatch batch = new(1, options);
        long before = GC.GetAllocatedBytesForCurrentThread();
        using (TrainingData data = DatasetLoader.Load(manifest, AnnotationChoice.Of(options), memoryBytes: 200 << 20))
        {
            PatchSampler sampler = new(data.Training, options);
            for (int step = 0; step < 20; step++)
                sampler.Fill(batch, step);
            // The image fits, its mask does not any more.
            Assert.That((data.Training[0].Image is Volume, data.Training[0].Mask is Volume), Is.EqualTo((true, false)));
        }

        long withImage = GC.GetAllocatedBytesForCurrentThread() - before;
        using (TrainingData data = DatasetLoader.Load(manifest, AnnotationChoice.Of(options), memoryBytes: 16 << 20))
        {
            PatchSampler sampler = new(data.Training, options);
            for (int step = 0; step < 20; step++)
                sampler.Fill(batch, step);
        }

        long inFiles = GC.GetAllocatedBytesForCurrentThread() - before - withImage;
        Assert.That(withImage, Is.InRange(112 << 20, 160 << 20));
        Assert.That(inFiles, Is.LessThan(40 << 20));
    }

    [Test]
    public void Load_WithoutALossThatNeedsMasks_LeavesThemAlone()
    {
        DatasetManifest manifest = Write();
        folder.Write("plain.csv", "x,y,z\n1,0,0\n2,0,0\n");
        manifest = new() { Volumes = [manifest.Volumes[0] with { Coordinates = folder["plain.csv"] }] };
        using TrainingData data = DatasetLoader.Load(manifest, AnnotationChoice.Of(TrainingOptions.Compact with
        {
            CentersPerVolume = 1,
        }));
        Assert.That(data.Training[0].Mask, Is.Null);
    }

    [TestCase(0)]
    [TestCase(long.MaxValue)]
    public void Load_OfVoxelsThatAreNotFinite_IsRefusedWithTheirPlace(long memory)
    {
        DatasetManifest manifest = Write();
        byte[] bytes = File.ReadAllBytes(folder["volume.mrc"]);
        BitConverter.TryWriteBytes(bytes.AsSpan(1024 + 4 * ((1 * 5 + 2) * 6 + 3)), float.NaN);
        manifest = new() { Volumes = [manifest.Volumes[0] with { Volume = folder.Write("nan.mrc", bytes), Normalize = false }] };
        Assert.That(
            TemporaryFolder.Refused(() => DatasetLoader.Load(manifest, AnnotationChoice.All, memory), "nan.mrc"),
            Does.Contain("(1, 2, 3)"));
    }

    // Two for training, packed and not, one of them shallower than a patch, and one for validation;
    // normalised or not; masks that number the particles.
    private DatasetManifest WriteTomograms()
    {
        Random random = new(8);
        List<DatasetVolume> entries = [];
        foreach (
            (string name, Extent size) in (
                (string, Extent)[])[("a.mrc", new(20, 17, 19)), ("b.mrc.gz", new(12, 30, 21)), ("c.mrc.bz2", new(16, 16, 33))])
        {
            using Volume volume = new(size.Depth, size.Height, size.Width, new VoxelSize(10));
            using Volume mask = new(volume.Size, volume.VoxelSize);
            foreach (ref float value in volume.AsSpan())
                value = random.NextSingle() * 50;
            List<ShrecObject> particles = [];
            for (int i = 0; i < 6; i++)
            {
                (int z, int y, int x) = (random.Next(size.Depth), random.Next(size.Height), random.Next(size.Width));
                particles.Add(new(i % 2 == 0 ? "a" : "b", z, y, x));
                mask[z, y, x] = i + 1;
            }

            MrcFile.Write(folder[name], volume);
            MrcFile.Write(folder["mask-" + name], mask, new MrcWriteOptions { Mode = MrcMode.Int8 });
            ShrecLocations.Write(folder[name + ".txt"], particles);
            entries.Add(new DatasetVolume
            {
                Volume = folder[name],
                Coordinates = folder[name + ".txt"],
                Mask = folder["mask-" + name],
                Normalize = entries.Count != 1,
                Split = entries.Count < 2 ? DatasetSplit.Train : DatasetSplit.Validation,
            });
        }

        return new DatasetManifest { Volumes = entries };
    }

    private DatasetManifest Write()
    {
        using Volume volume = new(4, 5, 6, new VoxelSize(10));
        for (int i = 0; i < 5; i++)
            volume.AsSpan()[i] = i;
        MrcFile.Write(folder["volume.mrc"], volume);
        ShrecLocations.Write(
            folder["particles.txt"], [new("a", 0, 0, 1), new("b", 0, 0, 2), new("c", 0, 0, 3), new("a", 0, 0, 4)]);
        return new DatasetManifest
        {
            Volumes =
                [new DatasetVolume { Volume = folder["volume.mrc"], Coordinates = folder["particles.txt"], Mask =
                    folder["volume.mrc"], Split = DatasetSplit.Train }],
        };
    }
}
