using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Inputs that once went wrong without a word, from public reports about programs of the field: each gives
/// its right value, or a refusal that names the cause. The right values follow by hand from the manuals of
/// the formats.
/// </summary>
public class CasesTests
{
    private const string Binning = "01-relion5-tomograms-binning/";
    private const string Dots = "02-dotted-tomogram-names/";
    private const string Optics = "03-optics-groups-of-different-pixel-size/";
    private const string Fractions = "04-warp-normalised-coordinates/";
    private const string Blocks = "05-second-block-of-particles-dropped/";
    private const string Pytom = "06-pytom-score-and-pixel-size/";
    private const string ImagePixel = "07-image-pixel-size-taken-for-coordinates/";
    private const string Mrc = "08-mrc-oddities-seen-but-never-told/";
    private const string Names = "10-relion5-names-of-warp-tables/";
    private const string Columns = "11-four-columns-without-heading/";
    private const string Legal = "12-refused-though-legal-or-common/";

    private readonly ToolFolder folder = new();

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    // Pixels of 2.5 Å, tomogram binned 4 times: voxel (500, 510, 120) is pixel 4(v + 0.5) − 0.5, and 3.75,
    // 103.75, −46.25 Å from the centre at size/2.
    [TestCase(
        Binning + "rt.star", "a.star", "TS_1 3.75 103.75 -46.25", "--to", "relion5", "--tomograms", Binning + "tomograms.star")]
    [TestCase(Binning + "rt.star", "a.json", "\"x\": 5000,", "--to", "copick", "--tomograms", Binning + "tomograms.star")]
    [TestCase(
        Binning + "rt.star", "a.star", "TS_1 2001.5 2041.5 481.5", "--to", "relion4", "--tomograms", Binning + "tomograms.star")]
    [TestCase(
        Binning + "rt.star", "a.star", "TS_1 500 510 120 10000 10", "--to", "relion3", "--tomograms", Binning + "tomograms.star")]
    [TestCase(Binning + "rt.star", "a.tbl", "501 511 121 0 0 0 0 0 0 0 0 0 10", "--tomograms", Binning + "tomograms.star")]
    [TestCase(
        Binning + "warp2.star",
        "a.star",
        "TS_1 3.75 103.75 -46.25",
        "--to",
        "relion5",
        "--tomograms",
        Binning + "tomograms.star")]
    [TestCase(
        Binning + "warp2.star",
        "a.star",
        "TS_1 3.75 103.75 -46.25",
        "--to",
        "relion5",
        "--tomograms",
        Binning + "tomograms.star",
        "--voxel-size",
        "10")]
    [TestCase(Binning + "optset.star", "a.json", "\"voxel_spacing\": 10", "--to", "copick")]
    [TestCase(Dots + "dots.star", "a.csv", "x,y,z,tomogram\n1,1,1,TS_1.5\n", "--tomogram", "TS_1.5")]
    [TestCase(Dots + "dots.star", "a.csv", "x,y,z,tomogram\n10,20,30,2024.01.12_TS_01\n", "--tomogram", "2024.01.12_TS_01")]
    [TestCase(Dots + "dots.star", "a.star", "2024.01.12_TS_02.tomostar 11 21 31\n2024.01.13_TS_01.tomostar 12 22 "
        + "32\nTS_1.5.tomostar 1 1 1\nTS_1.6.tomostar", "--to", "warp")]
    [TestCase(Optics + "og2.star", "a.star", "TS_01 100 200 50", "--to", "relion4", "--voxel-size", "10")]
    [TestCase(Optics + "og2.star", "a.star", "TS_01 100 200 50 10000 2\nTS_02 100 200 50 10000 1", "--to", "relion3")]
    [TestCase(Optics + "og2.star", "a.json", "\"x\": 200,", "--to", "copick", "--tomogram", "TS_01")]
    [TestCase(Blocks + "two.star", "a.csv", "10,20,30,TS_01\n11,21,31,TS_02\n12,22,32,TS_02")]
    [TestCase(Pytom + "lcc.star", "a.csv", "10,20,30,0.41,tomo1,")]
    [TestCase(Pytom + "lcc.star", "a.tbl", " 0.41 0 0 1 -60 60 0 0 0 0 1 0 1 0 11 21 31 0 0 0 0 0 0 0 0 0 13.79")]
    [TestCase(Pytom + "lcc.star", "a.json", "\"voxel_spacing\": 13.79", "--to", "copick")]
    [TestCase(ImagePixel + "op31.star", "a.csv", "980,2010,496")]
    [TestCase(ImagePixel + "op31b.star", "a.csv", "980,2010,496")]
    [TestCase(ImagePixel + "op4b.star", "a.csv", "980,2010,496")]
    [TestCase(ImagePixel + "op31.star", "a.star", "opticsGroup1 1.35 5.4 64 3")]
    [TestCase(
        Names + "warp1.star",
        "a.star",
        "TS_1 3.75 103.75 -46.25",
        "--to",
        "relion5",
        "--tomograms",
        Names + "tomograms.star",
        "--binning",
        "4")]
    [TestCase(Legal + "s81d.star", "a.csv", "100,200,60,TS_01")]
    [TestCase(Legal + "s81c.star", "a.csv", "100,200,60,TS_01")]
    [TestCase(Legal + "optcomment.star", "a.json", "\"voxel_spacing\": 1.35", "--to", "copick")]
    public void Convert_GivesTheRightValue(string input, string output, string expected, params string[] more)
    {
        string written = folder.At(output);
        File.Delete(written);
        ToolRun.Succeeds(
            ["convert", Data(input), "--out", written, .. more.Select(
                a => a.Contains('/', StringComparison.Ordinal) ? Data(a) : a)]);
        Assert.That(File.ReadAllText(written), Does.Contain(expected));
    }

    [TestCase(
        "convert " + Fractions + "norm6.star --out a.star --to relion5 --volume " + Fractions + "TS_1.5.mrc",
        "fractions of the tomogram")]
    [TestCase(
        "evaluate --picks " + Fractions + "norm6.star --truth " + Fractions + "TS_1.5.csv --radii 2",
        "fractions of the tomogram")]
    [TestCase("convert " + Columns + "c_xyzs.coords --out a.csv", "looks like a score")]
    [TestCase("convert " + Columns + "c_xyzc.coords --out a.csv", "looks like a class")]
    [TestCase("convert " + Legal + "c_index.csv --out a.csv", "column 1 has no name")]
    [TestCase("convert " + Legal + "c_euro.coords --out a.csv", "decimal commas")]
    [TestCase("convert " + Legal + "fewer.star --out a.csv", "line 9: 4 values")]
    [TestCase("convert " + Legal + "na.star --out a.csv", "expected a number")]
    [TestCase("convert " + Legal + "ptm.star --out a.csv", "no table has coordinates")]
    [TestCase("convert " + Legal + "wrp.star --out a.csv", "no table has coordinates")]
    [TestCase(
        "pick " + Legal + "nsymbt_missing.mrc --model " + Mrc + "model.safetensors --out a.nsymbt.star --device cpu", "nsymbt")]
    public void Refuses_AndNamesTheCause(string arguments, string cause)
    {
        ToolRun run = ToolRun.Of(Arguments(arguments));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Code, Is.EqualTo(2));
            Assert.That(run.Error, Does.Contain(cause));
        }
    }

    [TestCase("evaluate --picks " + Dots + "data/TS_1.5.csv --data " + Dots + "data/man.json --radii 2")]
    [TestCase("evaluate --picks " + Dots + "data/TS_1.5.csv --data " + Dots + "data/man2.json --radii 2")]
    public void Evaluate_OfADottedName_TakesItsOwnCentresAlone(string arguments)
        => Assert.That(
            ToolRun.Succeeds(Arguments(arguments)).Output,
            Does.Contain("6 picks").And.Contain("6 true centres").And.Contain("1.000   1.000  1.000  1.000"));

    // One table of several tomograms of different size: RELION 5 counts from the centre of each.
    [TestCase("TS_01", "TS_02", 0)]
    [TestCase("TS_01", "TS_03", 2)]
    public void Evaluate_ARelion5TableOfTwoTomograms_ReadsEachInItsOwnVolume(string first, string second, int code)
    {
        string Volume(string name, int depth) => folder.WriteVolume($"{name}.mrc", depth);
        string truth = folder.WriteText("truth.csv", "x,y,z,tomogram\n4,5,6,TS_01\n7,8,9,TS_02\n");
        string manifest = folder.WriteText("two.json", $$"""
            {"volumes": [{"volume": "{{Volume("TS_01", 12)}}", "coordinates": "{{truth}}", "split": "test"},
                {"volume": "{{Volume("TS_02", 21)}}", "coordinates": "{{truth}}", "split": "test"}]}
            """);
        // Voxels of 10 Å; (x, y, z) − (20, 16, 12 or 21)/2.
        string picks = folder.WriteText(
            "relion5.star",
            "data_\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n"
            + $"_rlnCenteredCoordinateZAngst\n{first} -60 -30 0\n{second} -30 0 -15\n");
        ToolRun run = ToolRun.Of("evaluate", "--picks", picks, "--data", manifest);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Code, Is.EqualTo(code), run.Error);
            Assert.That(code == 0 ? run.Output : run.Error, Does.Contain(code == 0 ? "dist_pred 0.00" : "TS_03"));
        }
    }

    [Test]
    public void Evaluate_PicksOfAnotherTomogram_IsRefused()
    {
        string picks = folder.WriteText("picks_of_0.csv", "x,y,z,tomogram\n1,2,3,test_000\n");
        string truth = folder.WriteText("truth_of_1.csv", "x,y,z,tomogram\n1,2,3,test_001\n");
        ToolRun.Refuses(["test_000", "test_001", "names must agree"], "evaluate", "--picks", picks, "--truth", truth);
    }

    [Test]
    public void Evaluate_OneTomogramInTwoTables_IsSaid()
    {
        string table = folder.WriteText("twice.csv", "x,y,z,tomogram\n1,2,3,TS_01\n");
        Assert.That(
            ToolRun.Succeeds("evaluate", "--picks", table, table, "--truth", table, table).Error,
            Does.Contain("TS_01: stands in 2 of the tables"));
    }

    // The binning stands in the table: what was picked at binning 4 is not read a quarter of a voxel off.
    [Test]
    public void Pick_Relion5AtBinning4_IsReadWhereItWasPicked()
    {
        string volume = Data(Dots + "data/2024.01.12_TS_01.mrc"), model = Data(Mrc + "model.safetensors");
        ToolRun.Succeeds(
            "pick", volume, "--model", model, "--out", folder.At("r5.star"), "--format", "relion5", "--binning", "4",
            "--voxel-size", "10", "--device", "cpu");
        ToolRun.Succeeds("pick", volume, "--model", model, "--out", folder.At("plain.csv"), "--device", "cpu");
        string manifest = folder.WriteText("binned.json", $$"""
            {"volumes": [{"volume": "{{volume}}", "coordinates": "{{folder.At("plain.csv")}}", "split": "test",
                "binning": 1, "voxelSizeAngstrom": 10}]}
            """);
        Assert.That(
            ToolRun.Succeeds("evaluate", "--picks", folder.At("r5.star"), "--data", manifest).Output,
            Does.Contain("dist_pred 0.00 voxels, dist_GT 0.00 voxels"));
    }

    [TestCase(Mrc + "ext_unannounced.mrc", "extended header that is not announced")]
    [TestCase(Mrc + "u8_nostats.mrc", "no statistics that tell signed from unsigned")]
    [TestCase(Mrc + "u8_stats.mrc", "taken as unsigned")]
    public void Pick_OfAnOddVolume_SaysWhatTheReaderNoticed(string volume, string said)
        => Assert.That(
            ToolRun.Succeeds(
                ["pick", Data(volume), "--model", Data(Mrc + "model.safetensors"), "--out", folder.At("odd.star"), "--overwrite",
                    "--device", "cpu"]).Error, Does.Contain(said));

    [Test]
    public void Pick_ForWarp_NamesTheTomogramWhole()
    {
        ToolRun.Succeeds(
            ["pick", Data(Dots + "data/2024.01.12_TS_01.mrc"), "--model", Data(Mrc + "model.safetensors"), "--out",
                folder.At("warp.star"), "--format", "warp", "--device", "cpu"]);
        Assert.That(File.ReadAllText(folder.At("warp.star")), Does.Contain("\n2024.01.12_TS_01.tomostar "));
    }

    private string[] Arguments(string line)
        => [.. line.Split(' ').Select(
            a => a.StartsWith("a.", StringComparison.Ordinal) ? folder.At(a) : a.Contains('/', StringComparison.Ordinal) ? Data(a)
                : a)];

    private static string Data(string name) => TemporaryFolder.Data($"cases/tables/{name}");
}
