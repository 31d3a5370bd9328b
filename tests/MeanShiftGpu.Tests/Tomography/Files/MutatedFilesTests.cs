using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Files;

/// <summary>Files damaged at random give a result or one line that says what is wrong; never another exception.</summary>
public class MutatedFilesTests
{
    // Ten thousand in all over the files of this fixture; longer runs are done by hand with the variable set.
    private static readonly int Mutations = TestData.Count("MEANSHIFTGPU_TEST_MUTATIONS", 500);

    // The files are smaller than 0.4 MB; whatever a damaged header promises must not be believed before the data are there.
    private const long MemoryLimit = 64 << 20;

    private const string Marks = "0123456789-.eE,;#'\"_ \t\r\n{}[]:";

    private static readonly CoordinateContext Frame = new() { VoxelSizeAngstrom = 10, Binning = 2, Shape = new Extent(50, 60, 70) };

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
        CoordinateContext context = new() { TomogramsStar = TemporaryFolder.Data("cylindra/test_jobs/Tomograms/job_tomo/tomograms.star") };
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
    public void Read_MutatedTableOfOurs_IsReadOrRefused(CoordinateFormat format, string name)
    {
        Particle[] particles = [new(1, 2, 3) { Score = 0.5, Class = 2, Angles = new(10, 20, 30), Tomogram = "T" }, new(4, 5, 6) { Class = 2, Tomogram = "T" }];
        CoordinateTables.Write(folder["good"], particles, new CoordinateWriteOptions { Format = format, Context = Frame });
        Mutate(folder["good"], name, path => CoordinateTables.Read(path, Frame));
    }

    [Test]
    public void Read_MutatedSafetensors_IsReadOrRefused()
    {
        SafetensorsFile.Write(folder["good"], [new("weight", SafetensorsTensor.FromFloats([2, 3], new float[6])), new("bias", SafetensorsTensor.FromDoubles([2], [1, 2]))], [new("step", "7")]);
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
        folder.Write("good", """{"volumes":[{"volume":"a.mrc","coordinates":"a.csv","split":"train","voxelSizeAngstrom":10.5,"binning":4,"tomogram":"T","mask":null}]}""");
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
            string path = folder.Write(name, Damage(good, random));
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

            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MemoryLimit), $"bytes for mutation {i} of {source}");
        }
    }

    /// <summary>Changes bits, bytes or numbers, mostly near the beginning where headers are, cuts, repeats or inserts.</summary>
    private static byte[] Damage(byte[] good, Random random)
    {
        List<byte> bytes = [.. good];
        for (int changes = random.Next(1, 4); changes > 0; changes--)
        {
            int at = random.Next(random.Next(2) == 0 ? bytes.Count : Math.Min(bytes.Count, 300));
            int length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes[at] = (byte)Marks[random.Next(Marks.Length)];
                    break;
                case 3:
                    bytes.RemoveRange(at, length);
                    break;
                case 4:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 5:
                    // A whole number somewhere in a binary header: any, or a small one.
                    byte[] number = BitConverter.GetBytes(random.Next(2) == 0 ? random.Next() : random.Next(100));
                    for (int k = 0; k < 4 && (at & ~3) + k < bytes.Count; k++)
                        bytes[(at & ~3) + k] = number[k];
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }

            if (bytes.Count == 0)
                break;
        }

        return [.. bytes];
    }
}
