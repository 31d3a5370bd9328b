using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

public class CoordinateTablesTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [TestCase("portal/points.csv")]
    [TestCase("portal/points_with_header.csv")]
    [TestCase("portal/points_tab_delim.csv")]
    public void Read_PortalPoints_AreXYZ(string name)
        => Assert.That(
            CoordinateTables.Read(TemporaryFolder.Data(name)),
            Is.EqualTo(new[] { new Particle(3, 2, 1), new Particle(2, 2, 2), new Particle(0, 3, 0) }).Using<Particle>(SamePlace));

    [Test]
    public void Read_ExponentNotation_IsRead()
    {
        IReadOnlyList<Particle> particles = CoordinateTables.Read(TemporaryFolder.Data("cylindra/13pf_first_rows.csv"));
        Assert.That(particles, Has.Count.EqualTo(40));
        Assert.That(
            particles[0], Is.EqualTo(new Particle(15.90251197379804715, 29.17532516779503382, 64.95115796167664257))
                .Using<Particle>(SamePlace));
    }

    [TestCase("a.csv", "x,y,z\n1,2,3\n")]
    [TestCase("a.csv", "X, Y, Z\r\n1, 2, 3\r\n")]
    [TestCase("a.csv", "\uFEFFz,x,y\n3,1,2")]
    [TestCase("a.csv", "1;2;3")]
    [TestCase("a.csv", "\"x\",\"y\",\"z\"\n\"1\",\"2\",\"3\"\n")]
    [TestCase("a.tsv", "x\ty\tz\n1\t2\t3\n")]
    [TestCase("a.txt", "# picked by hand\n\n  1   2 3  \n\n")]
    [TestCase("a.coords", "1 2 3\r")]
    [TestCase("A.COORDS", "1\t2\t3")]
    public void Read_ShapesOfTables_GiveTheSame(string name, string text)
        => Assert.That(CoordinateTables.Read(folder.Write(name, text)).Single(), Is.EqualTo(new Particle(3, 2, 1)));

    [Test]
    public void Read_FourColumns_HaveTheClassFirst()
        => Assert.That(
            CoordinateTables.Read(folder.Write("a.coords", "7 1 2 3\n")).Single(),
            Is.EqualTo(new Particle(3, 2, 1) { Class = 7 }).Using<Particle>(SameFields));

    [TestCase("a.star", "rlnAutopickFigureOfMerit")]
    [TestCase("a.star", "rlnLCCmax")]
    [TestCase("a.star", "lcCFCmax")]
    [TestCase("a.star", "ccc")]
    [TestCase("a.star", "score")]
    [TestCase("a.star", "_Confidence")]
    [TestCase("a.csv", "lcCFCmax")]
    [TestCase("a.csv", "AutopickFigureOfMerit")]
    [TestCase("a.csv", "ccc")]
    [TestCase("a.csv", "CC")]
    [TestCase("a.csv", "confidence")]
    [TestCase("a.tsv", "Score")]
    public void Read_ScoresOfOtherPickers_AreScores(string file, string column)
    {
        char between = file == "a.csv" ? ',' : '\t';
        string heading = file == "a.star" ? "data_\r\nloop_\r\n_rlnCoordinateX #1\r\n_rlnCoordinateY #2\r\n_rlnCoordinateZ "
            + $"#3\r\n_{column} #4\r\n" : string.Join(between, "x", "y", "z", column) + "\r\n";
        string path = folder.Write(file, "\uFEFF" + heading + string.Join(between, "1", "2", "3", "0.41") + "\r\n");
        Assert.That(CoordinateTables.Read(path).Single().Score, Is.EqualTo(0.41));
    }

    [TestCase(
        "a.star", "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnCoordinateX\n1 2 3 4\n", "stands twice")]
    [TestCase("a.csv", "x,y,z,x\n1,2,3,4\n", "stands twice")]
    [TestCase("a.csv", "x,y,z,score,cc\n1,2,3,4,5\n", "unknown column")]
    public void Read_AColumnThatStandsTwice_IsRefused(string file, string text, string cause)
        => Assert.That(
            TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write(file, text)), folder[file]), Does.Contain(cause));

    // A column that is called so and holds words is none of scores; a loop without columns or rows is no
    // table.
    [Test]
    public void Read_OddStarTables_AreRead()
    {
        string rows = folder.Write(
            "rows.star",
            "data_\nloop_\n\ndata_particles\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_score\n1 2 3 high\n");
        string none = folder.Write(
            "none.star", "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n\n");
        Assert.That(CoordinateTables.Read(rows).Single().Score, Is.Null);
        Assert.That(CoordinateTables.Read(none), Is.Empty);
    }

    [Test]
    public void Read_AllColumns_AreTaken()
    {
        string path = folder.Write("a.csv", "score,class,tomogram,x,y,z,rot,tilt,psi\n0.5,2,\"TS "
            + "1\",1,2,3,10,20,30\n,,TS 2,4,5,6,,,\n");
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path);
        Assert.Multiple(() =>
        {
            Assert.That(
                particles[0], Is.EqualTo(
                    new Particle(3, 2, 1) { Score = 0.5, Class = 2, Tomogram = "TS 1", Angles = new(10, 20, 30) })
                        .Using<Particle>(SameFields));
            Assert.That(particles[1], Is.EqualTo(new Particle(6, 5, 4) { Tomogram = "TS 2" }).Using<Particle>(SameFields));
        });
    }

    [Test]
    public void Read_Binning_KeepsTheHalfVoxel()
    {
        // The centre between pixels 3 and 4 of a block of 8 is the centre of voxel 0.
        Particle p =
            CoordinateTables.Read(folder.Write("a.coords", "3.5 11.5 0\n"), new CoordinateContext { Binning = 8 }).Single();
        Assert.That((p.X, p.Y, p.Z), Is.EqualTo((0.0, 1.0, -0.4375)));
    }

    [TestCase("a.csv", "", "empty")]
    [TestCase("a.csv", "\n\n", "empty")]
    [TestCase("a.csv", "x,y,z,colour\n1,2,3,4\n", "line 1: unknown column 'colour'")]
    [TestCase("a.csv", "a,b,c\n1,2,3\n", "unknown column 'a'")]
    [TestCase("a.csv", "x,y\n1,2\n", "no column z")]
    [TestCase("a.csv", "x,y,z,z\n1,2,3,3\n", "twice")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n1,two,3\n", "line 3: y is 'two'")]
    [TestCase("a.csv", "x,y,z\n1,2,NaN\n", "line 2: z is 'NaN'")]
    [TestCase("a.csv", "x,y,z\n1,,3\n", "line 2: y is empty")]
    [TestCase("a.csv", "x,y,z\n1,2\n", "line 2: 2 values")]
    [TestCase("a.csv", "1,2\n", "2 columns")]
    [TestCase("a.csv", "1,2,3,4,5\n", "5 columns")]
    [TestCase("a.csv", "1.5,2,3,4\n", "whole number")]
    [TestCase("a.csv", "x,y,z,class\n1,2,3,1.5\n", "class is '1.5'")]
    [TestCase("a.csv", "1,2,3\0\n", "no text")]
    [TestCase("a.foo", "1,2,3\n", "no supported table")]
    [TestCase("a", "1,2,3\n", "without ending")]
    [TestCase("a.star", "", "empty")]
    [TestCase("a.star", "hello\n", "before the first data_")]
    [TestCase("a.star", "data_\nloop_\n_rlnCoordinateX #1\n1\n", "no table has coordinates")]
    [TestCase("a.star", "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n1 2\n", "line 6: 2 values")]
    [TestCase(
        "a.star",
        "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n1 2 x\n",
        "line 6: rlnCoordinateZ is 'x'")]
    [TestCase("a.star", "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateX #2\n", "line 4: .*twice")]
    [TestCase("a.star", "data_\nloop_\n_a #1\n'1 2\n", "quote")]
    [TestCase("a.star", "data_\nloop_\nloop_\n_a\n1\n_b\n", "after the rows")]
    [TestCase("a.star", "data_\n_a 1 2\n", "2 values")]
    [TestCase("a.star", "data_\n1 2\n", "no column")]
    public void Read_BadTable_IsRefusedWithOneLine(string name, string text, string pattern)
    {
        string path = folder.Write(name, text);
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Match(pattern));
    }

    [Test]
    public void Read_BinaryOrMissing_IsRefused()
    {
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder["missing.csv"]), "missing.csv");
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("b.csv", [0xff, 0xfe, 0xc3, 0x28])), "b.csv");
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("long.csv", new string('1', 3 << 20))), "long.csv");
        Assert.Throws<InputException>(() => CoordinateTables.Read("a.csv", new CoordinateContext { Binning = -1 }));
    }

    [Test]
    public void Read_HeadingWithoutRows_IsAnEmptyList()
    {
        Assert.That(CoordinateTables.Read(folder.Write("a.csv", "x,y,z\n")), Is.Empty);
        Assert.That(
            CoordinateTables.Read(folder.Write("a.star", "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n")),
            Is.Empty);
    }

    [Test]
    public void CheckInside_CentreOutside_IsNamed()
    {
        Extent shape = new(10, 20, 30);
        Particle[] inside = [new(-0.5, 0, 29.5), new(9.4, 19, 0)];
        Assert.That(() => CoordinateTables.CheckInside("a.csv", inside, shape), Throws.Nothing);
        Assert.That(
            TemporaryFolder.Refused(
                () => CoordinateTables.CheckInside("a.csv", [.. inside, new(9.6, 1, 2), new(0, 0, 31)], shape), "a.csv"),
            Does.Contain("2 of 4").And.Contain("(9.6, 1, 2)").And.Contain("10×20×30"));
    }

    [Test]
    public void Read_Relion3_SubtractsOriginsInPixels()
    {
        IReadOnlyList<Particle> particles = CoordinateTables.Read(
            TemporaryFolder.Data("portal/relion_3_star.star"), new CoordinateContext
            {
                Tomogram = "tomo_1.tomostar",
            });
        Assert.Multiple(() =>
        {
            Assert.That(particles, Has.Count.EqualTo(2));
            Assert.That(particles[0], Is.EqualTo(new Particle(15.2, 10.4, 5.2)).Using<Particle>(SamePlace));
            Assert.That(particles[0].Angles, Is.EqualTo(new ParticleAngles(90, 45, 180)));
            Assert.That(particles[0].OtherColumns.Select(c => c.Key), Does.Contain("rlnCtfMaxResolution"));
        });
    }

    [Test]
    public void Read_Relion4_SubtractsOriginsInAngstromAndBins()
    {
        // Pixels of 1 Å, origin (−1.2, −2.4, −3.2) Å.
        string path = TemporaryFolder.Data("portal/relion_4_star.star");
        Particle unbinned = CoordinateTables.Read(path)[0];
        Particle binned = CoordinateTables.Read(path, new CoordinateContext { VoxelSizeAngstrom = 2.001 })[0];
        Assert.Multiple(() =>
        {
            Assert.That(unbinned, Is.EqualTo(new Particle(15.2, 10.4, 5.2)).Using<Particle>(SamePlace));
            Assert.That(unbinned.Tomogram, Is.EqualTo("TS_001"));
            Assert.That(
                binned, Is.EqualTo(new Particle((15.7 / 2) - 0.5, (10.9 / 2) - 0.5, (5.7 / 2) - 0.5)).Using<Particle>(SamePlace));
        });
    }

    [Test]
    public void Read_Relion4SubtomogramAngles_TurnTheOrigin()
    {
        // A quarter turn about z maps RELION's offset (1, 0, 0) to (0, −1, 0); pixels of 2 Å.
        const string Text = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnTomoTiltSeriesPixelSize\n1 "
            + "2\n\ndata_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
            + "_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n_rlnTomoSubtomogramRot\n_rlnTomoSubtomogramTilt\n"
            + "_rlnTomoSubtomogramPsi\n_rlnOpticsGroup\nT 10 10 10 4 0 0 90 0 0 1\n";
        Assert.That(
            CoordinateTables.Read(folder.Write("a.star", Text)).Single(),
            Is.EqualTo(new Particle(10, 12, 10)).Using<Particle>(SamePlace));
    }

    [Test]
    public void Read_Relion4RefinedByRelion_KeepsTheDistanceOfTheOffset()
    {
        // A rotation does not change the offset's length, which RELION gives in Å at 2.62 Å per pixel.
        IReadOnlyList<Particle> particles = CoordinateTables.Read(TemporaryFolder.Data("relion4/empiar10064_first_rows.star"));
        Particle p = particles[0];
        double moved = Math.Sqrt(Math.Pow(p.X - 424, 2) + Math.Pow(p.Y - 1584, 2) + Math.Pow(p.Z - 864, 2)) * 2.62;
        Assert.That(
            moved, Is.EqualTo(Math.Sqrt((32.54977 * 32.54977) + (21.893834 * 21.893834) + (22.915634 * 22.915634))).Within(1e-9));
    }

    [TestCase(RelionCentre.HalfSize, 0)]
    [TestCase(RelionCentre.HalfSizeMinusOne, -1)]
    public void Read_Relion5_CountsFromTheTomogramsCentre(RelionCentre centre, double shift)
    {
        // TS_01 is 84 × 136 × 44 (x, y, z) at 10.52 Å; the optimisation set names both tables from the
        // project's folder.
        string path = TemporaryFolder.Data("cylindra/test_jobs/Picks/job_picks/optimisation_set.star");
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path, new CoordinateContext { Centre = centre });
        Particle expected = new(22 + (11.16 / 10.52) + shift, 68 + (765.48005 / 10.52) + shift, 42 - (176.94 / 10.52) + shift);
        Assert.Multiple(() =>
        {
            Assert.That(particles, Has.Count.EqualTo(5));
            Assert.That(particles[0], Is.EqualTo(expected).Using<Particle>(SamePlace));
            Assert.That(particles[4].Tomogram, Is.EqualTo("TS_02"));
        });
    }

    [Test]
    public void Read_Relion5_SizeFromArguments()
    {
        string path = TemporaryFolder.Data("cylindra/test_jobs/Picks/job_picks/particles.star");
        string message = TemporaryFolder.Refused(() => CoordinateTables.Read(path), path);
        Particle p =
            CoordinateTables.Read(path, new CoordinateContext { Shape = new Extent(36, 206, 94), VoxelSizeAngstrom = 10.52 })[0];
        Assert.Multiple(() =>
        {
            Assert.That(message, Does.Contain("tomograms.star"));
            Assert.That(
                p, Is.EqualTo(new Particle(18 + (11.16 / 10.52), 103 + (765.48005 / 10.52), 47 - (176.94 / 10.52)))
                    .Using<Particle>(SamePlace));
        });
    }

    [Test]
    public void Read_Relion5Binned_AgreesBetweenTableAndArguments()
    {
        string particles = folder.Write(
            "p.star",
            "data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n"
            + "_rlnCenteredCoordinateZAngst\nT -40 0 40\n");
        string tomograms = folder.Write(
            "t.star",
            "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoTomogramBinning\n_rlnTomoSizeX\n"
            + "_rlnTomoSizeY\n_rlnTomoSizeZ\nT 2 4 400 400 200\n");
        Particle byTable = CoordinateTables.Read(particles, new CoordinateContext { TomogramsStar = tomograms }).Single();
        Particle byArguments = CoordinateTables
            .Read(particles, new CoordinateContext { Shape = new(50, 100, 100), VoxelSizeAngstrom = 8, Binning = 4 }).Single();
        Assert.Multiple(() =>
        {
            Assert.That(byTable.X, Is.EqualTo(((200 - 20 + 0.5) / 4) - 0.5));
            Assert.That(byArguments, Is.EqualTo(byTable).Using<Particle>(SamePlace));
            TemporaryFolder.Refused(
                () => CoordinateTables.Read(particles, new CoordinateContext { TomogramsStar = particles }), "p.star");
        });
    }

    // RELION gives such offsets in pixels of the extracted image, whose size the table need not say.
    [TestCase("0 0 0", null)]
    [TestCase("0 3 0", "rlnOriginX, rlnOriginY, rlnOriginZ are offsets in pixels")]
    public void Read_Relion5WithOffsetsInPixels_IsRefusedUnlessTheyAreNone(string offset, string? expected)
    {
        string path = folder.Write(
            "offset.star",
            "data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n"
            + $"_rlnCenteredCoordinateZAngst\n_rlnOriginX\n_rlnOriginY\n_rlnOriginZ\nT -40 0 40 {offset}\n");
        CoordinateContext context = new() { Shape = new Extent(50, 100, 100), VoxelSizeAngstrom = 8 };
        if (expected is null)
            Assert.That(CoordinateTables.Read(path, context).Single().X, Is.EqualTo(50 - (40 / 8.0)));
        else
            Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path, context), path),
                Does.Contain("line 10").And.Contain(expected).And.Contain("rlnOriginXAngst"));
    }

    // Both kinds of offsets are refined in the frame of the extracted box.
    [Test]
    public void Read_OffsetsInPixels_AreTurnedBackFromTheBoxAsThoseInAngstromAre()
    {
        const string columns = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnTomoTiltSeriesPixelSize\n1 2\n\ndata_particles\n"
            + "loop_\n_rlnTomoName\n_rlnOpticsGroup\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
            + "_rlnTomoSubtomogramRot\n_rlnTomoSubtomogramTilt\n_rlnTomoSubtomogramPsi\n";
        Particle angstrom = CoordinateTables.Read(folder.Write("boxes-angstrom.star", columns
            + "_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\nT 1 50 60 70 10 40 80 2 4 6\n")).Single();
        Particle pixels = CoordinateTables.Read(folder.Write("boxes-pixels.star", columns
            + "_rlnOriginX\n_rlnOriginY\n_rlnOriginZ\nT 1 50 60 70 10 40 80 1 2 3\n")).Single();
        Assert.That(pixels, Is.EqualTo(angstrom).Using<Particle>(SamePlace));
    }

    [Test]
    public void Read_TomogramThatIsNotThere_IsRefused()
        => Assert.That(
            TemporaryFolder.Refused(
                () => CoordinateTables.Read(
                    TemporaryFolder.Data("portal/relion_3_star.star"), new CoordinateContext { Tomogram = "tomo_9" }),
                        "relion_3_star.star"),
            Does.Contain("tomo_9").And.Contain("tomo_1.tomostar"));

    [Test]
    public void Write_ThenRead_GivesTheSameNumbers(
        [Values(
            CoordinateFormat.Csv, CoordinateFormat.Tsv, CoordinateFormat.Relion3, CoordinateFormat.Relion4,
            CoordinateFormat.Relion5)] CoordinateFormat format,
        [Values(1, 4)] double binning,
        [Values] RelionCentre centre)
    {
        Particle[] particles =
        [
            new(1.25, 2.5, 3.125) { Score = 0.1, Class = 3, Tomogram = "TS_01", Angles = new(10, -20, 30.5) },
            new(-0.4375, 1e-7, 99.999) { Score = 2, Class = 1, Tomogram = "TS 02", Angles = new(0, 0, 0) },
        ];
        CoordinateContext context =
            new() { VoxelSizeAngstrom = 10.48, Binning = binning, Shape = new Extent(50, 100, 101), Centre = centre };
        string name = $"a{CoordinateFormats.Ending(format)}";
        CoordinateTables.Write(folder[name], particles, new CoordinateWriteOptions { Context = context, Format = format });
        IReadOnlyList<Particle> read = CoordinateTables.Read(folder[name], context);
        Assert.That(read, Is.EqualTo(particles).Using<Particle>(SameFields));
    }

    [TestCase("a.coords")]
    [TestCase("a.txt")]
    public void Write_PlainColumns_GiveTheSamePlaces(string name)
    {
        Particle[] particles = [new(1.25, 2.5, 3.125), new(-0.4375, 1e-7, 99.999)];
        CoordinateTables.Write(folder[name], particles);
        Assert.That(CoordinateTables.Read(folder[name]), Is.EqualTo(particles).Using<Particle>(SamePlace));
        Assert.That(File.ReadLines(folder[name]).First(), Is.EqualTo("3.125 2.5 1.25"));
    }

    [Test]
    public void Write_StarReadBefore_KeepsUnknownColumnsAndTables()
    {
        string path = TemporaryFolder.Data("portal/relion_4_star.star");
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path);
        CoordinateTables.Write(folder["b.star"], particles, new CoordinateWriteOptions
        {
            Format = CoordinateFormat.Relion4,
            Template = StarFile.Read(path),
        });
        IReadOnlyList<Particle> again = CoordinateTables.Read(folder["b.star"]);
        Assert.Multiple(() =>
        {
            Assert.That(again, Is.EqualTo(particles).Using<Particle>(SamePlace));
            Assert.That(again[1].OtherColumns.Single(c => c.Key == "rlnTomoPickParticleId").Value, Is.EqualTo("1"));
            Assert.That(
                StarFile.Read(folder["b.star"]).Table("optics")!.Rows[0],
                Is.EqualTo(StarFile.Read(path).Table("optics")!.Rows[0]));
        });
    }

    [Test]
    public void Write_Relion3_HasTheColumnsThatRelionJoinsBy()
    {
        CoordinateTables.Write(folder["a.star"], [new(1, 2, 3) { Score = 0.5 }], new CoordinateWriteOptions
        {
            TomogramName = "tomo.mrc",
        });
        StarTable table = StarFile.Read(folder["a.star"]).Tables.Single();
        Assert.Multiple(() =>
        {
            Assert.That(
                table.Columns, Is.EqualTo(
                    new[] { "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ",
                        "rlnAutopickFigureOfMerit" }));
            Assert.That(table.Rows[0], Is.EqualTo(new[] { "tomo.mrc", "3", "2", "1", "0.5" }));
        });
    }

    [Test]
    public void Write_WithoutWhatTheFormatNeeds_IsRefused()
    {
        Particle[] particles = [new(1, 2, 3)];
        TemporaryFolder.Refused(() => CoordinateTables.Write(folder["a.star"], particles), "a.star");
        TemporaryFolder.Refused(
            () => CoordinateTables.Write(
                folder["a.star"], particles, new() { TomogramName = "t", Format = CoordinateFormat.Relion4 }), "a.star");
        TemporaryFolder.Refused(
            () => CoordinateTables.Write(
                folder["a.star"], particles, new() { TomogramName = "t", Format = CoordinateFormat.Relion5 }), "a.star");
        TemporaryFolder.Refused(() => CoordinateTables.Write(folder["a.pdf"], particles), "a.pdf");
        TemporaryFolder.Refused(() => CoordinateTables.Write(folder["a.csv"], [new(double.NaN, 0, 0)]), "a.csv");
        Assert.That(folder.Files(), Is.Empty);
    }

    // Places after a conversion to Å or to other pixels and back agree to rounding.
    private static bool SamePlace(Particle a, Particle b)
        => Math.Abs(a.Z - b.Z) < 1e-9 && Math.Abs(a.Y - b.Y) < 1e-9 && Math.Abs(a.X - b.X) < 1e-9;

    private static bool SameFields(Particle a, Particle b)
        => SamePlace(a, b) && a.Score == b.Score && a.Class == b.Class && a.Tomogram == b.Tomogram && a.Angles == b.Angles;
}
