using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Files;

/// <summary>
/// Files damaged at random give a result or one line that says what is wrong; never another exception.
/// </summary>
public class MutatedFilesTests
{
    // Ten thousand in all over the files of this fixture; the long run sets the variable. Another process
    // does it to whole verbs: DamagedInputsTests.
    private static readonly int Mutations = TestData.Count("MEANSHIFTGPU_TEST_MUTATIONS", 500);

    // The files are smaller than 0.4 MB; whatever a damaged header promises must not be believed before the
    // data are there.
    private const long MemoryLimit = 64 << 20;

    private static readonly CoordinateContext Frame =
        new() { VoxelSizeAngstrom = 10, Binning = 2, Shape = new Extent(50, 60, 70) };

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [TestCase("portal/run1.rec")]
    [TestCase("mrcfile/emd_3197.map.gz")]
    [TestCase("mrcfile/EMD-3001.map.bz2")]
    [TestCase("mrcfile/float16.mrc")]
    public void Read_MutatedMrc_IsReadOrRefused(string name)
        => Mutate(name, "v.mrc", path => MrcFile.Read(path).Dispose());

    [TestCase("portal/relion_3_star.star")]
    [TestCase("portal/relion_4_star.star")]
    [TestCase("relion4/empiar10064_first_rows.star")]
    [TestCase("cylindra/test_jobs/Picks/job_picks/particles.star")]
    [TestCase("cylindra/test_jobs/Tomograms/job_tomo/tomograms.star")]
    [TestCase("cylindra/test_jobs/Picks/job_picks/optimisation_set.star")]
    public void Read_MutatedStar_IsReadOrRefused(string name)
    {
        CoordinateContext context =
            new() { TomogramsStar = TemporaryFolder.Data("cylindra/test_jobs/Tomograms/job_tomo/tomograms.star") };
        Mutate(name, "a.star", path => CoordinateTables.Read(path, context));
    }

    [TestCase("portal/points_with_header.csv")]
    [TestCase("portal/points_tab_delim.csv")]
    public void Read_MutatedCsv_IsReadOrRefused(string name)
        => Mutate(name, "a.csv", path => CoordinateTables.Read(path));

    [TestCase("dynamo/t_double_first_rows.tbl", "a.tbl")]
    [TestCase("deepfinder/spinach38_pos_reduced.xml", "a.xml")]
    [TestCase("portal/copick.json", "a.json")]
    [TestCase("shrec2021/particle_locations_first_rows.txt", "a.txt")]
    public void Read_MutatedTable_IsReadOrRefused(string source, string name)
        => Mutate(source, name, path => CoordinateTables.Read(path, Frame));

    [TestCase(CoordinateFormat.Motl, "a.em")]
    [TestCase(CoordinateFormat.Eman2, "a_info.json")]
    [TestCase(CoordinateFormat.Copick, "a.json")]
    [TestCase(CoordinateFormat.DeepFinder, "a.xml")]
    [TestCase(CoordinateFormat.ChimeraX, "a.cmm")]
    [TestCase(CoordinateFormat.Imod, "a.mod")]
    [TestCase(CoordinateFormat.Napari, "a.csv")]
    public void Read_MutatedTableOfOurs_IsReadOrRefused(CoordinateFormat format, string name)
    {
        Particle[] particles =
            [new(1, 2, 3) { Score = 0.5, Class = 2, Angles = new(10, 20, 30), Tomogram = "T" },
                new(4, 5, 6) { Class = 2, Tomogram = "T" }];
        CoordinateTables.Write(folder["good"], particles, new CoordinateWriteOptions { Format = format, Context = Frame });
        Mutate(folder["good"], name, path => CoordinateTables.Read(path, Frame));
    }

    [Test]
    public void Read_MutatedSafetensors_IsReadOrRefused()
    {
        SafetensorsFile.Write(
            folder["good"],
            [new("weight", SafetensorsTensor.FromFloats([2, 3], new float[6])),
                new("bias", SafetensorsTensor.FromDoubles([2], [1, 2]))], [new("step", "7")]);
        Mutate(folder["good"], "a.safetensors", path =>
        {
            foreach (SafetensorsTensor tensor in SafetensorsFile.Read(path).Tensors.Values)
                tensor.ToFloats();
        });
    }

    [Test]
    public void Read_MutatedManifest_IsReadOrRefused()
    {
        folder.Write("a.mrc", "");
        folder.Write("a.csv", "");
        folder.Write("good", """
            {"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"train","voxelSizeAngstrom":10.5,"binning":4,
                "tomogram":"T","mask":null}]}
            """);
        Mutate(folder["good"], "data.json", path => DatasetManifest.Read(path));
    }

    private void Mutate(string source, string name, Action<string> read)
    {
        byte[] good = File.ReadAllBytes(Path.IsPathRooted(source) ? source : TemporaryFolder.Data(source));
        Random random = new(1);
        // Unpacking bzip2 takes as long as everything else together.
        int mutations = source.EndsWith(".bz2", StringComparison.Ordinal) ? Mutations / 10 : Mutations;
        for (int i = 0; i < mutations; i++)
        {
            string path = folder.Write(name, DamagedFile.Of(good, random));
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(path);
            }
            catch (InputException e)
            {
                Assert.That(e.Message, Does.Not.Contain("\n"));
            }
            catch (Exception e)
            {
                throw new AssertionException($"mutation {i} of {source}: {e}", e);
            }

            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MemoryLimit), $"bytes for mutation {i} of "
                + $"{source}");
        }
    }
}
