using System.Buffers.Binary;
using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>
/// Tables that say a fact twice, by halves or against what belongs to them: they give the right place or are
/// refused, and never a wrong place.
/// </summary>
public class AmbiguousPlacesTests
{
    private const string Place = "rlnCoordinateX rlnCoordinateY rlnCoordinateZ";
    private const string Centred =
        "rlnTomoName rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst";

    private const string Tomogram = "rlnTomoName rlnTomoTiltSeriesPixelSize rlnTomoTomogramBinning rlnTomoSizeX rlnTomoSizeY "
        + "rlnTomoSizeZ";

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [TestCase("rlnImagePixelSize rlnOriginXAngst rlnOriginYAngst", "10 20 -40", "rlnOriginZAngst")]
    [TestCase("rlnOriginX rlnOriginY", "2 -4", "rlnOriginZ")]
    [TestCase("rlnAngleRot rlnAngleTilt", "10 20", "rlnAnglePsi")]
    [TestCase("rlnTomoSubtomogramTilt", "90", "rlnTomoSubtomogramRot")]
    public void Read_PartOfASetOfColumns_IsRefused(string columns, string values, string missing)
    {
        string path = Star("a.star", Table("particles", $"{Place} {columns}", $"100 200 50 {values}"));
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Contain($"no {missing};"));
    }

    [Test]
    public void Read_OffsetsInAngstromBesideThoseInPixels_AreTakenInAngstrom()
    {
        string columns = $"{Place} rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst rlnOriginX rlnOriginY rlnOriginZ";
        string path = Star("a.star", Table("particles", columns, "100 200 50 0 0 0 2 2 2"));
        Assert.That(CoordinateTables.Read(path).Single().X, Is.EqualTo(100));
    }

    [TestCase("0 400 200", "rlnTomoSizeX")]
    [TestCase("400 0 200", "rlnTomoSizeY")]
    [TestCase("400 400 0", "rlnTomoSizeZ")]
    public void Read_ATomogramOfSizeZero_IsRefused(string sizes, string column)
    {
        string tomograms = Star("t.star", Table("global", Tomogram, $"T 2 4 {sizes}"));
        string path = Star("a.star", Table("particles", Centred, "T 0 0 0"));
        CoordinateContext context = new() { TomogramsStar = tomograms };
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(path, context), tomograms),
            Does.Contain($"{column} is 0; expected a number above 0"));
    }

    // numpy.savetxt writes so.
    [TestCase("# z y x\n1 2 3\n", 3, 2, 1, null)]
    [TestCase("# columns: z y x\n1 2 3\n", 3, 2, 1, null)]
    [TestCase("#class,z,y,x\n7,1,2,3\n", 3, 2, 1, 7)]
    [TestCase("# z y x\nx,y,z\n1,2,3\n", 1, 2, 3, null)]
    [TestCase("# x y z of the ribosomes\n1 2 3\n", 1, 2, 3, null)]
    public void Read_AHeadingInAComment_NamesTheColumns(string text, double x, double y, double z, int? label)
    {
        Particle p = CoordinateTables.Read(folder.Write("a.csv", text)).Single();
        Assert.That((p.X, p.Y, p.Z, p.Class), Is.EqualTo((x, y, z, label)));
    }

    [Test]
    public void Read_AHeadingInACommentWithAnUnknownWord_IsRefused()
        => Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("a.csv", "# x y z id\n1 2 3 4\n")), "a.csv"),
            Does.Contain("line 1: unknown column 'id'"));

    [TestCase("100 200 50 12.5\n101 210 60 9.75\n")]
    [TestCase("100 200 50 12\n250 210 60 12\n")]
    public void Read_FourColumnsWhoseFirstIsNoClass_AreRefused(string text)
        => Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("a.coords", text)), "a.coords"),
            Does.Contain("without a heading"));

    [TestCase("1 200 50 12\n2 210 60 9\n")]
    [TestCase("1 200.5 50.25 12.5\n2 210 60 9.75\n1 10 60 9.75\n")]
    [TestCase("1 200 50 12.5\n1 210 60 9.75\n")]
    public void Read_FourColumnsWithClasses_AreRead(string text)
        => Assert.That(CoordinateTables.Read(folder.Write("a.coords", text))[0].X, Is.EqualTo(200).Within(0.5));

    // 232 pixels are 58 voxels of 4.
    [TestCase("4000 4000 1000", 36, 32, 28)]
    [TestCase("232 232 232", 56, 58, 58)]
    [TestCase("232 232 232", 58, 58, 60)]
    public void Read_TomogramsStarOfAnotherVolume_IsRefused(string sizes, int depth, int height, int width)
    {
        string tomograms = Star("t.star", Table("global", Tomogram, $"T 2.5 4 {sizes}"));
        string path = Star("a.star", Table("particles", Centred, "T 0 0 0"));
        CoordinateContext context =
            new() { TomogramsStar = tomograms, Shape = new Extent(depth, height, width), VoxelSizeAngstrom = 10 };
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(path, context), tomograms),
            Does.Contain($"{width}×{height}×{depth} voxels").And.Contain("2.5 Å"));
        Assert.That(
            TemporaryFolder.Refused(
                () => CoordinateTables.CheckOptions("b.star", new CoordinateWriteOptions
                {
                    Format = CoordinateFormat.Relion5,
                    TomogramName = "T",
                    Context = context,
                }),
                tomograms),
            Does.Contain("voxels of 10 Å"));
    }

    // 20 Å voxels in the table, 10 Å in the header of a volume of their size.
    [Test]
    public void Read_TomogramsStarOfAnotherVoxelSize_IsRefused()
    {
        string tomograms = Star("t.star", Table("global", Tomogram, "T 2.5 8 400 400 400"));
        string path = Star("a.star", Table("particles", Centred, "T 0 0 0"));
        CoordinateContext context = new() { TomogramsStar = tomograms, Shape = new Extent(50, 50, 50), VoxelSizeAngstrom = 10 };
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(path, context), tomograms),
            Does.Contain("binning 8").And.Contain("voxels of 10 Å"));
        Assert.That(
            CoordinateTables.Read(path, context with { VoxelSizeAngstrom = 20 }).Single().X, Is.EqualTo(24.5 + 0.0625));
    }

    [Test]
    public void Convert_WithARoundedVoxelSize_KeepsTheTablesPixels()
    {
        string path = Star(
            "a.star",
            Table("optics", "rlnOpticsGroup rlnTomoTiltSeriesPixelSize", "1 2.5"),
            Table("particles", $"{Centred} rlnOpticsGroup", "T 4000 0 0 1"));
        CoordinateConversion.Convert(path, folder["b.star"], new ConversionOptions
        {
            To = CoordinateFormat.Relion5,
            VoxelSizeAngstrom = 10.08,
            Shape = new Extent(250, 1000, 1000),
        });
        StarFile written = StarFile.Read(folder["b.star"]);
        Assert.That(Number(written.Table("particles")!.Rows[0][1]), Is.EqualTo(4000).Within(1e-6));
        Assert.That(Number(written.Table("optics")!.Rows[0][1]), Is.EqualTo(2.5));
    }

    [Test]
    public void Convert_OfAnotherTomogramThanTheVolume_IsRefused()
    {
        string path = folder.Write("a.csv", "x,y,z,tomogram\n1,2,3,TS_02\n");
        ConversionOptions options = new()
        {
            To = CoordinateFormat.Relion5,
            VoxelSizeAngstrom = 10,
            Shape = new Extent(10, 20, 30),
            Volume = "data/TS_01.mrc",
        };
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateConversion.Convert(path, folder["b.star"], options), path),
            Does.Contain("TS_02").And.Contain("TS_01.mrc"));
        CoordinateConversion.Convert(path, folder["b.star"], options with { Volume = "data/rec_TS_02_bin8.mrc" });
        Assert.That(File.Exists(folder["b.star"]));
    }

    [Test]
    public void Evaluate_OfAnotherTomogramThanTheVolume_IsRefused()
    {
        string path = folder.Write("a.csv", "x,y,z,tomogram\n1,2,3,TS_02\n");
        Assert.That(
            TemporaryFolder.Refused(() => Evaluate(path, path, "TS_01.mrc"), path),
            Does.Contain("TS_02").And.Contain("TS_01.mrc"));
        Assert.That(Evaluate(path, path, "TS_02.mrc"), Has.Count.EqualTo(1));
    }

    [Test]
    public void Evaluate_OfOtherVoxels_IsRefused()
    {
        string Of(string name, string pixel) => Star(
            name, Table("particles", $"rlnMicrographName {Place} rlnMicrographPixelSize", $"T.mrc 10 20 30 {pixel}"));
        string picks = Of("a.star", "10");
        Assert.That(
            TemporaryFolder.Refused(() => Evaluate(picks, Of("b.star", "20"), null), picks),
            Does.Contain("voxels of 10 Å").And.Contain("voxels of 20 Å"));
        Assert.That(Evaluate(picks, Of("c.star", "10.01"), null), Has.Count.EqualTo(1));
    }

    [Test]
    public void Read_PixelSizesThatDiffer_AreRefused()
    {
        string detector = Star(
            "a.star", Table("particles", $"{Place} rlnPixelSize rlnMagnification rlnDetectorPixelSize", "1 2 3 5 10000 10"));
        string optics = Star(
            "b.star",
            Table("optics", "rlnOpticsGroup rlnTomoTiltSeriesPixelSize", "1 2.5"),
            Table("particles", $"rlnTomoName {Place} rlnOpticsGroup rlnTomoTiltSeriesPixelSize", "T 1 2 3 1 5"));
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(detector), detector), Does.Contain("5 Å").And.Contain("10 Å"));
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(optics), optics), Does.Contain("is 5, but 2.5 in the optics"));
    }

    [Test]
    public void Read_ASubtomogramsPixelSize_IsDividedByItsBinning()
    {
        string path = Star(
            "a.star",
            Table("optics", "rlnOpticsGroup rlnImagePixelSize rlnTomoSubtomogramBinning", "1 10 4"),
            Table("particles", $"rlnTomoName {Place} rlnOpticsGroup", "T 1 2 3 1"));
        Assert.That(CoordinateTables.Read(path).Single().Pixels.SizeAngstrom, Is.EqualTo(2.5));
    }

    [Test]
    public void Read_AnImodModelWithYAndZFlipped_IsRefused()
    {
        CoordinateTables.Write(folder["a.mod"], [new(1, 2, 3)]);
        byte[] bytes = File.ReadAllBytes(folder["a.mod"]);
        Span<byte> flags = bytes.AsSpan(8 + 144);
        BinaryPrimitives.WriteUInt32BigEndian(flags, BinaryPrimitives.ReadUInt32BigEndian(flags) | (1u << 16));
        string path = folder.Write("b.mod", bytes);
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Contain("flipped"));
    }

    [Test]
    public void Read_OneOrTwoFractions_AreRefused()
    {
        string row = Star("a.star", Table("particles", $"rlnMicrographName {Place}", "T 0.5111 0.2522 0.7711"));
        string four = Star("b.star", Table("particles", $"rlnMicrographName {Place}",
            "TS_01 0.5 0.25 0.75\nTS_02 0.1 0.2 0.3\nTS_01 0.6 0.7 0.8\nTS_02 0.3 0.2 0.1"));
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(row), row), Does.Contain("fractions"));
        Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(four, new CoordinateContext { Tomogram = "TS_01" }), four),
            Does.Contain("fractions"));
    }

    private static IReadOnlyList<EvaluatedVolume> Evaluate(string picks, string truth, string? volume)
        => EvaluationInputs.FromTables([picks], [truth], new CoordinateContext(), null, [], volume);

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    private static string Table(string name, string columns, string rows)
        => $"data_{name}\nloop_\n{string.Concat(columns.Split(' ').Select(c => $"_{c}\n"))}{rows}\n\n";

    private string Star(string name, params string[] tables) => folder.Write(name, string.Concat(tables));
}
