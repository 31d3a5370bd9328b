using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Datasets;

public class DatasetFilesTests
{
    private const string Heading = "x,y,z,tomogram\n";

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Match_ByTheNamesThatProgramsGive_FindsEachVolume()
    {
        string[] volumes = [Volume("TS_01_10.00Apx.mrc"), Volume("rec_TS_02.mrc"), Volume("TS_03_rec.mrc"), Volume("TS_04.mrc")];
        string table = folder.Write("picks.csv",
            Heading + "1,2,3,TS_01.tomostar\n4,5,6,TS_02\n7,8,9,TS_03\n1,1,1,TS_02\n0,0,0,TS_09\n");
        DatasetFiles files = Match(volumes, [table]);
        Assert.Multiple(() =>
        {
            Assert.That(files.Annotated.Select(a => a.Entry.Volume), Is.EqualTo(volumes[..3]));
            Assert.That(files.Annotated.Select(a => a.Centers.Count), Is.EqualTo(new[] { 1, 2, 1 }));
            Assert.That(files.Annotated[2].Centers, Is.EqualTo(new[] { new Position(9, 8, 7) }));
            Assert.That(files.WithoutParticles, Is.EqualTo(volumes[3..]));
            Assert.That(files.WithoutVolume, Is.EqualTo(new[] { "TS_09" }));
        });
    }

    // SHREC calls every tomogram reconstruction.mrc, and its particles name the folder.
    [TestCase(1)]
    [TestCase(2)]
    public void Match_AReconstruction_IsCalledLikeItsFolder(int count)
    {
        string[] volumes = new string[count];
        for (int i = 0; i < count; i++)
        {
            Directory.CreateDirectory(folder[$"model_{i}"]);
            volumes[i] = Volume(Path.Combine($"model_{i}", "reconstruction.mrc"));
        }

        string table = folder.Write("picks.csv", Heading + "1,2,3,model_0\n4,5,6,model_1\n");
        DatasetFiles files = Match(volumes, [table]);
        Assert.That(files.Annotated.Select(a => a.Entry.Volume), Is.EqualTo(volumes));
        Assert.That(files.Annotated.Select(a => a.Centers.Count), Is.All.EqualTo(1));
    }

    [Test]
    public void Match_ATableWithoutNames_BelongsToTheVolumeThatItIsCalledLike()
    {
        string[] volumes = [Volume("TS_01.mrc"), Volume("TS_02_rec.mrc")];
        string table = folder.Write("TS_02.csv", "x,y,z\n1,2,3\n");
        Assert.That(Match(volumes, [table]).Annotated.Single().Entry.Volume, Is.EqualTo(volumes[1]));
        string other = folder.Write("picks.csv", "x,y,z\n1,2,3\n");
        Assert.That(TemporaryFolder.Refused(() => Match(volumes, [other]), other),
            Does.Contain("does not say which tomogram").And.Contain("'TS_01'"));
        Assert.That(Match(volumes[..1], [other]).Annotated.Single().Entry.Volume, Is.EqualTo(volumes[0]),
            "one volume can be meant only");
        string empty = folder.Write("none.csv", "x,y,z\n");
        Assert.That(TemporaryFolder.Refused(() => Match(volumes, [empty]), empty),
            Does.Contain("holds no particle").And.Not.Contain("Rename"));
    }

    [Test]
    public void Match_AFolderOfTables_TakesTables()
    {
        string[] volumes = [Volume("TS_01.mrc"), Volume("TS_02.mrc")];
        folder.Write("TS_01.csv", "x,y,z\n1,2,3\n");
        folder.Write("TS_02.csv", "x,y,z\n4,5,6\n");
        folder.Write("tomograms.star", "no table of particles");
        Assert.That(Match(volumes, [folder["."]]).Annotated, Has.Count.EqualTo(2));
        Assert.That(Match(volumes, [folder["TS_*.csv"]]).Annotated, Has.Count.EqualTo(2));
    }

    [Test]
    public void Match_OfClasses_LeavesOutVolumesWithoutThem()
    {
        string[] volumes = [Volume("TS_01.mrc"), Volume("TS_02.mrc")];
        string table = folder.Write("picks.csv", "x,y,z,tomogram,name\n1,2,3,TS_01,ring\n4,5,6,TS_02,rod\n");
        DatasetFiles files = DatasetFiles.Match(volumes, [table], new CoordinateContext(), new AnnotationChoice(["rod"], 0, 1));
        Assert.That(files.WithoutParticles, Is.EqualTo(volumes[..1]));
        Assert.That(
            () => DatasetFiles.Match(volumes, [table], new CoordinateContext(), new AnnotationChoice(["hook"], 0, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains("no particle of 'hook'"));
    }

    [Test]
    public void Match_WhatFitsTwice_IsRefused()
    {
        string[] volumes = [Volume("TS_01_rec.mrc"), Volume("TS_01_bin4.mrc")];
        string table = folder.Write("picks.csv", Heading + "1,2,3,TS_01\n");
        Assert.That(TemporaryFolder.Refused(() => Match(volumes, [table]), table),
            Does.Contain("may be").And.Contain("TS_01_bin4"));
        string second = folder.Write("more.csv", Heading + "4,5,6,TS_01\n");
        Assert.That(TemporaryFolder.Refused(() => Match(volumes[..1], [table, second]), volumes[0]),
            Does.Contain("picks.csv").And.Contain("more.csv"));
        string both = folder.Write("both.csv", Heading + "1,2,3,TS_01\n4,5,6,TS_01.mrc\n");
        Assert.That(TemporaryFolder.Refused(() => Match(volumes[..1], [both]), both), Does.Contain("Spell one tomogram alike"));
    }

    [Test]
    public void Match_WithoutACommonName_SaysBothSides()
    {
        string table = folder.Write("picks.csv", Heading + "1,2,3,TS_07\n");
        Assert.That(TemporaryFolder.Refused(() => Match([Volume("lamella.mrc")], [table]), table),
            Does.Contain("'TS_07'").And.Contain("'lamella'"));
    }

    [Test]
    public void Split_OfSeveralTomograms_KeepsAFifthOfThemWithAFifthOfTheCentres()
    {
        int[] counts = [40, 3, 9, 30, 20];
        DatasetSplitting split = DatasetSplitting.Of([.. counts.Select((n, i) => Annotated($"TS_{i}.mrc",
            [.. Enumerable.Range(0, n).Select(y => 2.0 * y)]))], 4);
        Assert.That(split.Manifest.Of(DatasetSplit.Validation).Single().Volume, Is.EqualTo("TS_4.mrc"),
            "20 of 102 are nearest to a fifth");
        Assert.That(split.Said,
            Does.Contain("20 centres for validation (TS_4)").And.Contain("4 tomograms with 82 centres for training"));
        // Of two the smaller one, however it is ordered.
        Assert.That(DatasetSplitting.Of([Annotated("a.mrc", [1, 2]), Annotated("b.mrc", [1])], 4).Manifest.Volumes[1].Split,
            Is.EqualTo(DatasetSplit.Validation));
    }

    [Test]
    public void Split_OfOneTomogram_CutsItBetweenParticlesAndLosesWhatStraddles()
    {
        double[] along = [5, 15, 25, 35, 45, 55, 65, 75, 85, 95];
        AnnotatedVolume volume = Annotated("a.mrc", along);
        DatasetSplitting split = DatasetSplitting.Of([volume], 4);
        (DatasetRegion train, DatasetRegion validation) = (split.Manifest.Volumes[0].Region!, split.Manifest.Volumes[1].Region!);
        int[] Of(DatasetRegion region) => [.. Enumerable.Range(0, along.Length).Where(i => region.Holds(10, along[i], 10,
            volume.Shape))];
        Assert.Multiple(() =>
        {
            Assert.That(Of(train), Is.EqualTo(Enumerable.Range(0, 8)));
            Assert.That(Of(validation), Is.EqualTo(new[] { 8, 9 }));
            Assert.That(train.Box.Size.Height + validation.Box.Size.Height, Is.EqualTo(volume.Shape.Height),
                "no voxel is lost, none is in both");
            Assert.That(validation.Box.Origin.Y, Is.EqualTo(train.Box.Size.Height));
        });
        // Particles that touch each other cannot be cut apart: one is lost, and said.
        double[] touching = [.. Enumerable.Range(0, 12).Select(i => 4 + (8.0 * i))];
        DatasetSplitting dense = DatasetSplitting.Of([Annotated("a.mrc", touching)], 5);
        Assert.That(dense.Said, Does.Contain("1 too near to the cut"));
    }

    [TestCase(1.0, 2.0, 3.0)]
    [TestCase(50.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0)]
    public void Split_OfTooFewCentresOrOneCrowd_TrainsOnAll(params double[] along)
    {
        DatasetSplitting split = DatasetSplitting.Of([Annotated("a.mrc", along)], 4);
        Assert.That(split.Manifest.Volumes.Single().Region, Is.Null);
        Assert.That(split.Said, Does.Contain("all are for training"));
    }

    // In memory and from the file: the bits of the whole volume, normalised as it is, and the centres of the
    // part.
    [TestCase(1 << 20)]
    [TestCase(0)]
    public void Load_OfARegion_GivesThePartOfTheWhole(int memoryBytes)
    {
        string path = Volume("TS_01.mrc");
        string table = folder.Write("TS_01.csv", "x,y,z\n3,2,1\n3,8,1\n4,9,2\n3,4,1\n");
        DatasetVolume entry = new()
        {
            Volume = path,
            Coordinates = table,
            Split = DatasetSplit.Train,
            Region = new DatasetRegion(new Box((0, 5, 2), new Extent(10, 7, 6)), 1)
        };
        folder.Write("again.json", "");
        new DatasetManifest { Volumes = [entry] }.Write(folder["again.json"]);
        DatasetManifest manifest = DatasetManifest.Read(folder["again.json"]);
        Assert.That(manifest.Volumes.Single(), Is.EqualTo(entry));
        using TrainingData data = DatasetLoader.Load(manifest, AnnotationChoice.All, memoryBytes);
        TrainingVolume whole = DatasetLoader.LoadVolume(entry with { Region = null }), part = data.Training.Single();
        float[] expected = new float[part.Size.Voxels], seen = new float[part.Size.Voxels];
        whole.Image.Read(entry.Region.Box, expected);
        part.Image.Read(Box.Whole(part.Size), seen);
        Assert.Multiple(() =>
        {
            Assert.That(part.Size, Is.EqualTo(new Extent(10, 7, 6)));
            Assert.That(seen, Is.EqualTo(expected));
            Assert.That(part.Centers, Is.EqualTo(new[] { new Position(1, 3, 1), new Position(2, 4, 2) }));
            Assert.That(part.Name, Does.Contain("y 5 to 11"));
            Assert.That(part.Image is Volume, Is.EqualTo(memoryBytes > 0));
        });
    }

    [TestCase("""{ "size": [1, 1, 1] }""", "first")]
    [TestCase("""{ "first": [0, 0], "size": [1, 1, 1] }""", "[z, y, x]")]
    [TestCase("""{ "first": [0, 0, 0], "size": [1, 0, 1] }""", "from 1 up")]
    [TestCase("""{ "first": [0, 0, 0], "size": [1, 1, 1], "margin": -1 }""", "margin")]
    [TestCase("""{ "first": [0, 0, 0], "size": [1, 1, 1], "last": 4 }""", "'last'")]
    public void Manifest_WithAWrongRegion_IsRefused(string region, string said)
    {
        Volume("TS_01.mrc");
        folder.Write("TS_01.csv", "x,y,z\n");
        string manifest = folder.Write("data.json", $$"""
            { "volumes": [ { "volume": "TS_01.mrc", "coordinates": "TS_01.csv", "split": "train", "region": {{region}} } ] }
            """);
        Assert.That(TemporaryFolder.Refused(() => DatasetManifest.Read(manifest), manifest), Does.Contain(said));
    }

    [Test]
    public void Load_OfARegionBeyondTheVolume_IsRefused()
    {
        DatasetVolume entry = new()
        {
            Volume = Volume("TS_01.mrc"),
            Coordinates = folder.Write("TS_01.csv", "x,y,z\n1,1,1\n"),
            Split = DatasetSplit.Train,
            Region = new DatasetRegion(new Box((0, 0, 0), new Extent(11, 1, 1))),
        };
        Assert.That(TemporaryFolder.Refused(() => DatasetLoader.LoadVolume(entry), entry.Volume),
            Does.Contain("not inside the volume"));
    }

    [Test]
    public void VolumeFiles_OfFoldersAndPatterns_AreTomogramsByName()
    {
        foreach (string name in new[] { "b.mrc", "a.rec", "c.mrc.gz", "a_mask.mrc", "a_scores.mrc", "notes.txt", "stack.mrcs",
            ".hidden.mrc" })
            folder.Write(name, "");
        Directory.CreateDirectory(folder["model_0"]);
        folder.Write(Path.Combine("model_0", "reconstruction.mrc"), "");
        string[] Names(IEnumerable<string> paths) => [.. paths.Select(p => Path.GetFileName(p))];
        VolumeFiles all = VolumeFiles.Find([folder["."]]);
        Assert.Multiple(() =>
        {
            Assert.That(Names(all.Paths), Is.EqualTo(new[] { "a.rec", "b.mrc", "c.mrc.gz", "reconstruction.mrc" }));
            Assert.That(Names(all.LeftOut), Is.EqualTo(new[] { "a_mask.mrc", "a_scores.mrc" }));
            Assert.That(Names(VolumeFiles.Find([folder["?.*"]]).Paths), Is.EqualTo(new[] { "a.rec", "b.mrc", "c.mrc.gz" }));
            Assert.That(Names(VolumeFiles.Find([folder[Path.Combine("model_*", "*.mrc")]]).Paths),
                Is.EqualTo(new[] { "reconstruction.mrc" }));
            // What is named itself is meant.
            Assert.That(VolumeFiles.Find([folder["a_mask.mrc"], "nowhere.mrc"]).Paths, Is.EqualTo(new[] { folder["a_mask.mrc"],
                "nowhere.mrc" }));
        });
        Assert.That(TemporaryFolder.Refused(() => VolumeFiles.Find([folder["x*.mrc"]]), "x*.mrc"),
            Does.Contain("no volume matches"));
        Directory.CreateDirectory(folder["empty"]);
        Assert.That(TemporaryFolder.Refused(() => VolumeFiles.Find([folder["empty"]]), "empty"), Does.Contain("no volume"));
    }

    private static DatasetFiles Match(string[] volumes, string[] tables) => DatasetFiles.Match(volumes, tables,
        new CoordinateContext(), AnnotationChoice.All);

    private static AnnotatedVolume Annotated(string name, double[] along)
        => new(new DatasetVolume { Volume = name, Coordinates = "t.csv", Split = DatasetSplit.Train }, new Extent(20, 100, 90),
            [.. along.Select(y => new Position(10, y, 10))]);

    private string Volume(string name)
    {
        using Volume volume = new(10, 12, 14, new VoxelSize(10));
        for (int z = 0; z < volume.Depth; z++)
        {
            Span<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
                slice[i] = ((z * 31) + (i * 7)) % 17;
        }

        MrcFile.Write(folder[name], volume);
        return folder[name];
    }
}
