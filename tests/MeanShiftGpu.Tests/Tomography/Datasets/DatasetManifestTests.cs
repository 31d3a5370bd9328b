using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Datasets;

public class DatasetManifestTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp()
    {
        folder = new TemporaryFolder();
        foreach (string name in new[] { "a.mrc", "a.csv", "m.mrc", "t.star" })
            folder.Write(name, "");
    }

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Read_FullEntry_HasPathsFromItsFolder()
    {
        string path = folder.Write("data.json", """
            {
              // what a microscopist writes
              "volumes": [
                { "volume": "a.mrc", "coordinates": "./a.csv", "split": "train", "mask": "m.mrc", "tomogram": "TS_01",
                  "tomogramsStar": "t.star", "voxelSizeAngstrom": 10.5, "binning": 4 },
                { "volume": "a.mrc", "coordinates": "a.csv", "split": "test", "mask": null },
              ]
            }
            """);
        DatasetManifest manifest = DatasetManifest.Read(path);
        DatasetVolume first = manifest.Volumes[0];
        Assert.Multiple(() =>
        {
            Assert.That(first.Volume, Is.EqualTo(folder["a.mrc"]));
            Assert.That(first.Coordinates, Is.EqualTo(folder["a.csv"]));
            Assert.That(first.Mask, Is.EqualTo(folder["m.mrc"]));
            Assert.That(first.Context(new(1, 2, 3), new(7)), Is.EqualTo(new CoordinateContext
            {
                Volume = folder["a.mrc"],
                Shape = new(1, 2, 3),
                VoxelSizeAngstrom = 10.5,
                Binning = 4,
                Tomogram = "TS_01",
                TomogramsStar = folder["t.star"],
            }));
            Assert.That(manifest.Of(DatasetSplit.Test).Single().Context(new(1, 2, 3), new(7)).VoxelSizeAngstrom, Is.EqualTo(7));
            Assert.That(manifest.Of(DatasetSplit.Validation), Is.Empty);
        });
        manifest.Write(folder["again.json"]);
        Assert.That(DatasetManifest.Read(folder["again.json"]).Volumes, Is.EqualTo(manifest.Volumes));
    }

    [TestCase("", "empty")]
    [TestCase("{", "line 1")]
    [TestCase("{\n\n  nonsense", "line 3")]
    [TestCase("[]", "JSON object")]
    [TestCase("{}", "\"volumes\" is missing")]
    [TestCase("""{"volumes":[]}""", "missing or empty")]
    [TestCase("""{"volumes":[], "splits":1}""", "unknown property 'splits'")]
    [TestCase("""{"volumes":[1]}""", @"volumes\[0\]: expected a JSON object")]
    [TestCase(
        """{"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"train","voxelsize":1}]}""",
        @"volumes\[0\]: unknown property 'voxelsize'; expected volume, .*voxelSizeAngstrom")]
    [TestCase("""{"volumes":[{"coordinates":"a.csv","split":"train"}]}""", "\"volume\" is missing")]
    [TestCase("""{"volumes":[{"volume":"a.mrc","split":"train"}]}""", "\"coordinates\" is missing")]
    [TestCase("""{"volumes":[{"volume":"a.mrc","coordinates":"a.csv"}]}""", "\"split\" is missing")]
    [TestCase(
        """{"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"training"}]}""",
        "'training'; expected train, validation or test")]
    [TestCase("""{"volumes":[{"volume":"b.mrc","coordinates":"a.csv","split":"train"}]}""", "b.mrc not found")]
    [TestCase("""{"volumes":[{"volume":"a\u0000.mrc","coordinates":"a.csv","split":"train"}]}""", "no file name")]
    [TestCase("""{"volumes":[{"volume":"\ud800","coordinates":"a.csv","split":"train"}]}""", "Expected a data set")]
    [TestCase("""{"volumes":[{"volume":7,"coordinates":"a.csv","split":"train"}]}""", "expected a text")]
    [TestCase("""{"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"train","binning":0}]}""", "above 0")]
    [TestCase("""{"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"train","binning":"4"}]}""", "above 0")]
    [TestCase("""{"volumes":[{"volume":"a.mrc","volume":"a.mrc","coordinates":"a.csv","split":"train"}]}""", "volume")]
    public void Read_BadManifest_IsRefusedWithOneLine(string json, string pattern)
    {
        string path = folder.Write("data.json", json);
        Assert.That(TemporaryFolder.Refused(() => DatasetManifest.Read(path), path), Does.Match(pattern));
    }
}
