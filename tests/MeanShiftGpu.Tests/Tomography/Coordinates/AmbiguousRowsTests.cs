using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>Tables that say two things at once, of which none may be chosen without a word.</summary>
public class AmbiguousRowsTests
{
    private const string Particles = "data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
        + "_rlnOpticsGroup\n";

    private const string Blanks = "x,y,z,tomogram\n1,2,3,TS_01\n4,5,6,\n7,8,9,TS_02\n";

    private const string Folders = "x,y,z,tomogram\n1,2,3,s1/TS_01\n4,5,6,s2/TS_01\n";

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    private static string Optics(params string[] rows)
        => "data_optics\nloop_\n_rlnOpticsGroup\n_rlnTomoTiltSeriesPixelSize\n" + string.Join('\n', rows) + "\n\n";

    [Test]
    public void Read_TwoOpticsBlocks_AreRefusedWhereTheyDiffer()
    {
        string Joined(string second) => folder.Write(
            "a.star", $"{Optics("1 2")}{Particles}A 1 2 3 1\n\n{Optics(second)}{Particles}B 1 2 3 1\n");
        Assert.That(Refused(Joined("1 1")), Does.Contain("data_optics"));
        Assert.That(CoordinateTables.Read(Joined("1 2")).Select(p => p.Pixels.SizeAngstrom), Is.EqualTo(new double[] { 2, 2 }));
    }

    [Test]
    public void Read_AnOpticsGroupThatStandsTwice_IsRefusedWhereItDiffers()
    {
        string Table(string second) => folder.Write("a.star", $"{Optics("1 2", second)}{Particles}A 1 2 3 1\n");
        Assert.That(Refused(Table("1 1")), Does.Contain("line 6: optics group 1 stands also at line 5"));
        Assert.That(CoordinateTables.Read(Table("1 2")).Single().Pixels.SizeAngstrom, Is.EqualTo(2));
    }

    [TestCase("T 2 400 400 200\nT 4 400 400 200\n", true)]
    [TestCase("T 2 400 400 200\n\ndata_more\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoSizeX\n_rlnTomoSizeY\n"
        + "_rlnTomoSizeZ\nT 2 100 400 200\n", true)]
    [TestCase("T 2 400 400 200\nT 2 400 400 200\n", false)]
    public void Read_ATomogramThatStandsTwiceInTomogramsStar_IsRefusedWhereItDiffers(string rows, bool refused)
    {
        string tomograms = folder.Write(
            "t.star",
            "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\n"
            + rows);
        string table = folder.Write(
            "a.star",
            "data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n"
            + "_rlnCenteredCoordinateZAngst\nT 0 0 0\n");
        CoordinateContext context = new() { TomogramsStar = tomograms };
        if (refused)
            Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(table, context), tomograms),
                Does.Contain("'T' stands twice"));
        else
            Assert.That(CoordinateTables.Read(table, context).Single().X, Is.EqualTo(200));
    }

    [TestCase("a.json", """{"voxel_spacing": 10, "voxel_spacing": 5, "points": [{"location": {"x": 1, "y": 2, "z": 3}}]}""")]
    [TestCase("a_info.json", """{"boxes_3d": [[1, 2, 3]], "boxes_3d": [[4, 5, 6]]}""")]
    public void Read_APropertyThatStandsTwice_IsRefused(string name, string text) => Refused(folder.Write(name, text));

    [Test]
    public void Read_SomeRowsWithoutATomogram_AreRefusedUnlessItIsTold()
    {
        string table = folder.Write("a.csv", Blanks);
        string star = folder.Write("a.star", Particles + "TS_01 1 2 3 1\n'' 4 5 6 1\nTS_02 7 8 9 1\n");
        Assert.Multiple(() =>
        {
            foreach (string one in new[] { table, star })
            {
                Assert.That(Refused(one), Does.Contain("1 of 3 particles does not name a tomogram"));
                Refused(one, new CoordinateContext { Tomogram = "TS_01" });
                Assert.That(
                    CoordinateTables.Read(one, new CoordinateContext { NameOfUnnamed = "TS_03" }).Select(p => p.Tomogram),
                    Is.EqualTo(new[] { "TS_01", "TS_03", "TS_02" }));
            }
        });
        ConversionOptions told = new() { TomogramName = "TS_03" };
        TemporaryFolder.Refused(
            () => CoordinateConversion.Convert(table, folder["a.xml"], told with { TomogramName = null }), table);
        CoordinateConversion.Convert(table, folder["a.tbl"], told);
        Assert.That(
            CoordinateTables.Read(folder["a.tbl"]).Select(p => p.Tomogram), Is.EqualTo(new[] { "TS_01", "TS_03", "TS_02" }));
    }

    [Test]
    public void Convert_ANameInTwoFolders_IsNotJoined()
    {
        string table = folder.Write("a.csv", Folders);
        string binned = folder.Write("b.csv", "x,y,z,tomogram\n1,2,3,TS_01_bin4\n4,5,6,TS_01_bin8\n");
        Assert.Multiple(() =>
        {
            foreach (string one in new[] { table, binned })
                Assert.That(Refused(one, new CoordinateContext { Tomogram = "TS_01" }), Does.Contain("Use the exact name"));
            Assert.That(
                CoordinateTables.Read(table, new CoordinateContext { Tomogram = "s2/TS_01" }).Single().X, Is.EqualTo(4));
            Assert.That(
                TemporaryFolder.Refused(
                    () => CoordinateConversion.Convert(
                        table, folder["warp.star"], new ConversionOptions { To = CoordinateFormat.Warp }),
                    "warp.star"),
                Does.Contain("s1/TS_01").And.Contain("s2/TS_01").And.Contain("TS_01.tomostar"));
        });
    }

    [Test]
    public void Find_TwoTablesOfATomogram_AreRefused()
    {
        string star = folder.Write("TS_01.star", Particles);
        string parent = Path.GetDirectoryName(star)!;
        Assert.That(CoordinateFolder.Find(parent, "TS_01"), Is.EqualTo(star));
        folder.Write("TS_01.csv", "x,y,z\n1,2,3\n");
        foreach (string name in new[] { "TS_01", "rec_TS_01" })
            Assert.That(
                TemporaryFolder.Refused(() => CoordinateFolder.Find(parent, name), "TS_01.star"), Does.Contain("TS_01.csv"));
    }

    [Test]
    public void FromTables_TruthInAnotherOrder_IsRefused()
    {
        Directory.CreateDirectory(folder["g"]);
        string[] names = ["TS_01.csv", "TS_02.csv"];
        string[] picks = [.. names.Select((n, i) => folder.Write(n, $"x,y,z\n{i},2,3\n"))];
        string[] truth = [.. names.Select((n, i) => folder.Write(Path.Combine("g", n), $"x,y,z\n{i},2,3\n"))];
        IReadOnlyList<EvaluatedVolume> Read(string[] of) => EvaluationInputs.FromTables(picks, of, new(), null, [], null);
        Assert.That(Read(truth), Has.Count.EqualTo(2));
        Assert.That(
            TemporaryFolder.Refused(() => Read([truth[1], truth[0]]), "TS_02.csv"), Does.Contain("in the order of the picks"));
    }

    private static string Refused(string path, CoordinateContext? context = null)
        => TemporaryFolder.Refused(() => CoordinateTables.Read(path, context), path);
}
