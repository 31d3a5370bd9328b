using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>
/// Every format's origin, unit and angles: by hand-written files, by files of the programs themselves, and
/// there and back through every pair.
/// </summary>
public class CoordinateFormatTests
{
    private static readonly CoordinateFormat[] All = Enum.GetValues<CoordinateFormat>();

    // A tomogram of odd and even sizes, binned four times, so that no convention's rounding hides.
    private static readonly CoordinateContext Frame = new() { VoxelSizeAngstrom = 10.48, Shape = new Extent(51, 101, 200) };

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void RoundTrip_ThroughEveryPairOfFormats_ReturnsPlacesScoresAndAngles(
        [ValueSource(nameof(All))] CoordinateFormat first)
    {
        Particle[] particles =
        [
            new(1.25, 2.5, 3.125) { Score = 0.125, Class = 3, Tomogram = "TS_01", Angles = new(10, -20, 30.5) },
            new(50.4, 100.4, 199.4) { Score = 2, Class = 3, Tomogram = "TS_01", Angles = new(-170, 90, 0) },
            new(-0.4375, 1e-7, 17.999) { Score = -1.5, Class = 3, Tomogram = "TS_01", Angles = new(0, 180, 45) },
        ];
        IReadOnlyList<Particle> once = Pass(first, particles);
        foreach (CoordinateFormat second in All)
        {
            IReadOnlyList<Particle> twice = Pass(second, once);
            Assert.That(twice, Has.Count.EqualTo(particles.Length));
            for (int i = 0; i < particles.Length; i++)
            {
                Assert.That(Distance(twice[i], particles[i]), Is.LessThan(1e-4), $"voxels, {second}");
                if (CoordinateFormats.HoldsScores(first) && CoordinateFormats.HoldsScores(second))
                    Assert.That(twice[i].Score, Is.EqualTo(particles[i].Score).Within(1e-6), $"{second}");
                if (CoordinateFormats.HoldsAngles(first) && CoordinateFormats.HoldsAngles(second))
                    Assert.That(
                        twice[i].Orientation!.Value.ToMatrix().AngleTo(particles[i].Orientation!.Value.ToMatrix()),
                        Is.LessThan(1e-4),
                        $"degrees, {second}");
                if (HasClasses(first) && HasClasses(second))
                    Assert.That(twice[i].Class, Is.EqualTo(3), $"{second}");
                if (CoordinateFormats.HoldsSeveralTomograms(first) && CoordinateFormats.HoldsSeveralTomograms(second))
                    Assert.That(Path.GetFileNameWithoutExtension(twice[i].Tomogram), Is.EqualTo("TS_01"), $"{second}");
            }
        }
    }

    // Some formats have a number there in any case.
    [TestCaseSource(nameof(All))]
    public void Write_WithoutScores_IsReadWithoutScores(CoordinateFormat format)
    {
        Particle[] particles = [new(1.25, 2.5, 3.125) { Tomogram = "TS_01" }, new(50.5, 100.5, 199.5) { Tomogram = "TS_01" }];
        Assert.That(Pass(format, particles).Select(p => p.Score), Has.All.Null);
    }

    // Names have no number of their own: they get what no other class has.
    [TestCase(CoordinateFormat.Dynamo)]
    [TestCase(CoordinateFormat.Motl)]
    [TestCase(CoordinateFormat.DeepFinder)]
    public void Write_OfClassesByNumberAndByName_KeepsThemApart(CoordinateFormat format)
    {
        string path = Write(
            format, [new(1, 2, 3) { Class = 1 }, new(4, 5, 6) { Name = "ribosome" }, new(7, 8, 9) { Name = "proteasome" },
                new(7, 8, 10) { Class = 3 }]);
        Assert.That(CoordinateTables.Read(path, Frame).Select(p => p.Class), Is.EqualTo(new[] { 1, 4, 2, 3 }));
    }

    [Test]
    public void Read_CopickWithoutNumbers_HasNone()
    {
        string path = Write(
            CoordinateFormat.Copick, [new(1, 2, 3) { Name = "ribosome" }, new(4, 5, 6) { Name = "ribosome", Id = 7 }]);
        Assert.That(CoordinateTables.Read(path, Frame).Select(p => p.Id), Is.EqualTo(new int?[] { null, 7 }));
    }

    [Test]
    public void RoundTrip_ThroughAFolder_KeepsTheTomograms([ValueSource(nameof(All))] CoordinateFormat format)
    {
        Particle[] particles =
            [new(1, 2, 3) { Tomogram = "TS_01", Name = "ribosome" }, new(4, 5, 6) { Tomogram = "TS_02", Name = "ribosome" },
                new(7, 8, 9) { Tomogram = "TS_02", Name = "ribosome" }];
        IReadOnlyList<string> files = CoordinateFolder.Write(folder["out"], particles, new CoordinateWriteOptions
        {
            Format = format,
            Context = Frame,
        });
        Particle[] read = [.. CoordinateFolder.Read(folder["out"], Frame).SelectMany(t => t.Particles)];
        Assert.Multiple(() =>
        {
            Assert.That(files, Has.Count.EqualTo(2));
            Assert.That(
                read.Select(p => Path.GetFileNameWithoutExtension(p.Tomogram)), Is.EqualTo(new[] { "TS_01", "TS_02", "TS_02" }));
            Assert.That(read.Zip(particles, Distance).Max(), Is.LessThan(1e-5));
            Assert.That(CoordinateFolder.Find(folder["out"], "TS_02"), Is.EqualTo(files[1]));
            Assert.That(CoordinateFolder.Find(folder["out"], "TS_03"), Is.Null);
        });
    }

    // Voxel (z, y, x) = (9, 24, 49) of 51 × 101 × 200 voxels at binning 4: unbinned pixels (x, y, z) = 197.5,
    // 97.5, 37.5.
    [TestCase(CoordinateFormat.Relion3, 49, 24, 9)]
    [TestCase(CoordinateFormat.Warp, 49, 24, 9)]
    [TestCase(CoordinateFormat.Relion4, 197.5, 97.5, 37.5)]
    [TestCase(CoordinateFormat.Relion5, (197.5 - 400) * 2.62, (97.5 - 202) * 2.62, (37.5 - 102) * 2.62)]
    [TestCase(CoordinateFormat.Csv, 49, 24, 9)]
    [TestCase(CoordinateFormat.Tsv, 49, 24, 9)]
    [TestCase(CoordinateFormat.Coords, 49, 24, 9)]
    [TestCase(CoordinateFormat.DeepFinder, 49, 24, 9)]
    [TestCase(CoordinateFormat.Dynamo, 50, 25, 10)]
    [TestCase(CoordinateFormat.Motl, 50, 25, 10)]
    [TestCase(CoordinateFormat.Eman2, (49 - 100) * 4, (24 - 50) * 4, (9 - 25) * 4)]
    [TestCase(CoordinateFormat.Copick, 49 * 10.48, 24 * 10.48, 9 * 10.48)]
    [TestCase(CoordinateFormat.Shrec, 49, 24, 9)]
    [TestCase(CoordinateFormat.ChimeraX, 49 * 10.48, 24 * 10.48, 9 * 10.48)]
    [TestCase(CoordinateFormat.Imod, 49.5, 24.5, 9)]
    [TestCase(CoordinateFormat.Napari, 49, 24, 9)]
    public void Write_OneVoxel_HasTheFormatsOriginAndUnit(CoordinateFormat format, double x, double y, double z)
    {
        string path = Write(format, [new(9, 24, 49) { Tomogram = "TS_01", Name = "ribosome" }]);
        double[] numbers = format switch
        {
            CoordinateFormat.Motl =>
                [.. Enumerable.Range(7, 3).Select(
                    row => (double)BitConverter.ToSingle(File.ReadAllBytes(path), 512 + (4 * row)))],
            CoordinateFormat.Dynamo => [.. File.ReadAllText(path).Split(' ').Skip(23).Take(3).Select(Number)],
            CoordinateFormat.Shrec => [.. File.ReadAllText(path).Split(' ').Skip(1).Take(3).Select(Number)],
            CoordinateFormat.Coords => [.. File.ReadAllText(path).Split(' ').Select(Number)],
            CoordinateFormat.Csv => [.. File.ReadAllLines(path)[1].Split(',').Take(3).Select(Number)],
            CoordinateFormat.Tsv => [.. File.ReadAllLines(path)[1].Split('\t').Take(3).Select(Number)],
            CoordinateFormat.DeepFinder =>
                [.. new[] { "x", "y", "z" }.Select(
                    a => Number(System.Xml.Linq.XDocument.Load(path).Root!.Elements().Single().Attribute(a)!.Value))],
            CoordinateFormat.Eman2 =>
                [.. Json(path).GetProperty("boxes_3d")[0].EnumerateArray().Take(3).Select(v => v.GetDouble())],
            CoordinateFormat.Copick =>
                [.. new[] { "x", "y", "z" }.Select(
                    a => Json(path).GetProperty("points")[0].GetProperty("location").GetProperty(a).GetDouble())],
            CoordinateFormat.ChimeraX => [.. new[] { "x", "y", "z" }
                .Select(a => Number(System.Xml.Linq.XDocument.Load(path).Root!.Elements().Single().Attribute(a)!.Value))],
            CoordinateFormat.Imod => [.. Enumerable.Range(0, 3)
                .Select(
                    i => (double)System.Buffers.Binary.BinaryPrimitives.ReadSingleBigEndian(
                        File.ReadAllBytes(path).AsSpan(440 + (4 * i))))],
            CoordinateFormat.Napari => [.. File.ReadAllLines(path)[1].Split(',').Skip(1).Take(3).Reverse().Select(Number)],
            _ => [.. StarFile.Read(path).Table("particles")!.Rows[0].Skip(1).Take(3).Select(Number)],
        };
        Assert.That(numbers, Is.EqualTo(new[] { x, y, z }).Within(1e-9));
    }

    [Test]
    public void Relion5_PythonsCentre_IsOnePixelLess()
    {
        CoordinateContext python = Frame with { Binning = 4, Centre = RelionCentre.HalfSizeMinusOne };
        string path = folder["a.star"];
        CoordinateTables.Write(path, [new(9, 24, 49) { Tomogram = "T" }], new CoordinateWriteOptions
        {
            Format = CoordinateFormat.Relion5,
            Context = python,
        });
        Assert.That(Number(StarFile.Read(path).Table("particles")!.Rows[0][1]), Is.EqualTo((197.5 - 399) * 2.62).Within(1e-9));
        Assert.That(CoordinateTables.Read(path, python).Single().X, Is.EqualTo(49).Within(1e-9));
        // Read by the other convention the pick lies a pixel, so a quarter of a voxel, off.
        Assert.That(
            CoordinateTables.Read(path, python with { Centre = RelionCentre.HalfSize }).Single().X,
            Is.EqualTo(49.25).Within(1e-9));
    }

    [Test]
    public void Relion5_SizesFromTomogramsStar_AreThoseOfEachTomogram()
    {
        string tomograms = folder.Write(
            "t.star",
            "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\nA 2 "
            + "400 400 200\nB 2 100 100 50\n");
        CoordinateContext context = new() { Binning = 4, TomogramsStar = tomograms };
        CoordinateTables.Write(
            folder["a.star"], [new(1, 2, 3) { Tomogram = "A" }, new(1, 2, 3) { Tomogram = "B" }], new CoordinateWriteOptions
            {
                Format = CoordinateFormat.Relion5,
                Context = context,
            });
        StarTable table = StarFile.Read(folder["a.star"]).Table("particles")!;
        Assert.That(table.Rows.Select(r => Number(r[1])), Is.EqualTo(new[] { (13.5 - 200) * 2, (13.5 - 50) * 2 }));
        Assert.That(CoordinateTables.Read(folder["a.star"], context).Select(p => p.X), Is.EqualTo(new[] { 3.0, 3.0 }));
    }

    [Test]
    public void Relion4_TurnedBoxes_AreComposedForOthersAndKeptForRelion()
    {
        // RELION: the particle's matrix is that of the box times that in the box.
        Particle particle = new(1, 2, 3) { Tomogram = "T", Angles = new(0, 90, 0), BoxAngles = new(-138, 120, 25) };
        RotationMatrix expected = new ParticleAngles(-138, 120, 25).ToMatrix() * new ParticleAngles(0, 90, 0).ToMatrix();
        Particle relion = Pass(CoordinateFormat.Relion4, [particle]).Single();
        Particle dynamo = Pass(CoordinateFormat.Dynamo, [particle]).Single();
        Assert.Multiple(() =>
        {
            Assert.That((relion.Angles, relion.BoxAngles), Is.EqualTo((particle.Angles, particle.BoxAngles)));
            Assert.That(dynamo.Angles!.Value.ToMatrix().AngleTo(expected), Is.LessThan(1e-6));
        });
    }

    [Test]
    public void Read_DynamosTable_AddsTheShiftAndCountsFromOne()
    {
        Particle p = CoordinateTables.Read(TemporaryFolder.Data("dynamo/t_double_first_rows.tbl"))[0];
        Assert.Multiple(() =>
        {
            Assert.That(p.X, Is.EqualTo(141.28 + 2.5178 - 1).Within(1e-9));
            Assert.That(p.Y, Is.EqualTo(114.71 - 3.523 - 1).Within(1e-9));
            Assert.That(p.Z, Is.EqualTo(163.08 + 2.1043 - 1).Within(1e-9));
            Assert.That((p.Id, p.Score, p.Class, p.Tomogram), Is.EqualTo((1, 0.15858, 9, "1")));
        });
    }

    [Test]
    public void Read_DynamosAngles_AreRelionsOfTheSameParticle()
    {
        // A pair for which dynamo_average and relion_reconstruct were seen to give the same average.
        RotationMatrix dynamo = ParticleAngles.FromDynamo(-155.55, 63.924, 197.81).ToMatrix();
        Assert.That(dynamo.AngleTo(new ParticleAngles(107.81, 63.924, -65.55).ToMatrix()), Is.LessThan(1e-6));
    }

    [Test]
    public void Read_DeepFindersList_IsInVoxels()
    {
        IReadOnlyList<Particle> particles = CoordinateTables.Read(TemporaryFolder.Data("deepfinder/spinach38_pos_reduced.xml"));
        Assert.That(particles, Has.Count.EqualTo(27));
        Assert.That(particles[0] with { OtherColumns = [] }, Is.EqualTo(new Particle(203, 371, 197)
        {
            Tomogram = "2",
            Class = 1,
            OtherColumns = [],
        }));
    }

    [Test]
    public void Read_CopicksPoints_AreAngstromFromTheFirstVoxel()
    {
        string path = TemporaryFolder.Data("portal/copick.json");
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path, new CoordinateContext { VoxelSizeAngstrom = 10 });
        Assert.Multiple(() =>
        {
            Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Contain("voxel size"));
            Assert.That(
                particles.Select(p => (p.X, p.Y, p.Z)),
                Is.EqualTo(new[] { (4.0, 2.0, 3.0), (0.0, 5.0, 1.0), (3.0, 1.5, 9.2), (3.0, 1.0, 5.0) }));
            Assert.That((particles[0].Name, particles[0].Score, particles[0].Id), Is.EqualTo(("ribosome", 1.0, (int?)null)));
            // The portal states the first particle's orientation in its RELION fixture too.
            Assert.That(
                particles[0].Angles!.Value.ToMatrix().AngleTo(new ParticleAngles(90, 45, 180).ToMatrix()), Is.LessThan(1e-6));
        });
    }

    [Test]
    public void Read_RibosomesOfEmpiar10988_AreXYZ()
    {
        IReadOnlyList<Particle> particles = CoordinateTables.Read(TemporaryFolder.Data("empiar10988/TS_037_first_rows.csv"));
        Assert.That((particles.Count, particles[0].X, particles[0].Y, particles[0].Z), Is.EqualTo((40, 147.0, 851.0, 286.0)));
    }

    [Test]
    public void Read_Eman2_CountsFromTheMiddleVoxelInUnbinnedPixels()
    {
        string path = folder.Write("TS_01_info.json", """
            {"apix_unbin": 2.62, "boxes_3d": [[-8, 4, 2.0, "manual", 0.5, 1], [0, 0, 0, "tm", 0.25, 0]],
             "class_list": {"0": {"boxsize": 64, "name": "ribosome"}, "1": {"boxsize": 64, "name": "gold"}}}
            """);
        IReadOnlyList<Particle> particles = CoordinateTables.Read(path, Frame);
        Assert.Multiple(() =>
        {
            // 200, 101 and 51 voxels of 4 pixels have their middle at voxels 100, 50 and 25.
            Assert.That(particles[0], Is.EqualTo(new Particle(25.5, 51, 98)
            {
                Score = 0.5,
                Class = 1,
                Name = "gold",
                Tomogram = "TS_01",
                Pixels = new(2.62, 4),
                OtherColumns = particles[0].OtherColumns,
            }));
            Assert.That(
                (particles[1].Z, particles[1].Y, particles[1].X, particles[1].Name), Is.EqualTo((25.0, 50.0, 100.0, "ribosome")));
            Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Contain("size"));
        });
        // Files without apix_unbin are older than the change and count in voxels from the first.
        string old = folder.Write("old_info.json", """{"boxes_3d": [[8, 4, 2, "manual"]]}""");
        Assert.That(CoordinateTables.Read(old).Single().X, Is.EqualTo(8));
    }

    [Test]
    public void Write_NamedTomogramsInANumberedFormat_AreNamedBesideIt()
    {
        CoordinateTables.Write(folder["a.tbl"], [new(1, 2, 3) { Tomogram = "TS 01" }, new(1, 2, 3) { Tomogram = "TS_02" }]);
        Assert.That(File.ReadAllText(folder["a.tomograms.doc"]), Is.EqualTo("1 TS 01\n2 TS_02\n"));
        Assert.That(CoordinateTables.Read(folder["a.tbl"]).Select(p => p.Tomogram), Is.EqualTo(new[] { "TS 01", "TS_02" }));
        // Numbers need no names, and names of an earlier table do not stay.
        CoordinateTables.Write(folder["a.tbl"], [new(1, 2, 3) { Tomogram = "7" }]);
        Assert.That(folder.Files(), Is.EqualTo(new[] { "a.tbl" }));
        Assert.That(CoordinateTables.Read(folder["a.tbl"]).Single().Tomogram, Is.EqualTo("7"));
    }

    [TestCase("tomograms/TS_01.mrc", "TS_01")]
    [TestCase("TS_01.mrc.gz", "TS_01")]
    [TestCase("TS_01_10.00Apx.mrc", "TS_01")]
    [TestCase("rec_TS_01.mrc", "TS_01")]
    [TestCase("TS_01.tomostar", "TS_01")]
    [TestCase("shrec/model_8/reconstruction.mrc", "model_8")]
    [TestCase("rec_", "rec_")]
    public void TomogramNames_OfAFile_IsWhatTablesCallIt(string path, string name)
        => Assert.That(TomogramNames.Of(path), Is.EqualTo(name));

    [Test]
    public void Read_OneTomogramOfATable_IsFoundByWhatProgramsCallIt()
    {
        string path = folder.Write("a.star", "data_\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY "
            + "#3\n_rlnCoordinateZ #4\nTS_01.tomostar 1 2 3\nTS_02.tomostar 4 5 6\n");
        Assert.That(CoordinateTables.Read(path, new CoordinateContext { Tomogram = "TS_02_10.00Apx" }).Single().X, Is.EqualTo(4));
    }

    // Of a tomogram without particles every format keeps just that.
    [Test]
    public void Write_NoParticles_ReadsBackAsNone()
    {
        foreach (CoordinateFormat format in All)
        {
            string path =
                folder[format == CoordinateFormat.Shrec ? ShrecLocations.FileName
                    : $"none-{CoordinateFormats.Word(format)}{CoordinateFormats.Ending(format)}"];
            CoordinateTables.Write(path, [], new CoordinateWriteOptions
            {
                Format = format,
                Context = Frame,
                TomogramName = "TS_01",
            });
            Assert.That(CoordinateTables.Read(path, Frame), Is.Empty, path);
        }
    }

    [Test]
    public void Write_SeveralTomogramsInAFileOfOne_IsRefused()
    {
        Particle[] particles = [new(1, 2, 3) { Tomogram = "A" }, new(1, 2, 3) { Tomogram = "B" }];
        foreach (CoordinateFormat format in All.Where(f => !CoordinateFormats.HoldsSeveralTomograms(f)))
            Assert.That(
                TemporaryFolder
                    .Refused(
                        () => CoordinateTables.Write(
                            folder["a.x"], particles, new CoordinateWriteOptions { Format = format, Context = Frame }), "a.x"),
                                Does.Contain("folder"));
        TemporaryFolder.Refused(() => CoordinateTables.Write(folder["a.json"], particles), "a.json");
        Assert.That(folder.Files(), Is.Empty);
    }

    [TestCase("a.xml", "<objlist><object x='1' y='2'/></objlist>", "line 1: an object without z")]
    [TestCase("a.xml", "<objlist><object x='1' y='2' z='q'/></objlist>", "z is 'q'")]
    [TestCase("a.xml", "<objects/>", "root is 'objects'")]
    [TestCase("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><objlist/>", "DTD")]
    [TestCase("a.xml", "", "empty")]
    [TestCase("a.tbl", "1 2 3\n", "line 1: 3 values")]
    [TestCase("a.tbl", "", "empty")]
    [TestCase("a.coords", "", "empty")]
    [TestCase("particle_locations.txt", "", "empty")]
    [TestCase("a.em", "abc", "3 bytes")]
    [TestCase("a.json", "[]", "no JSON object")]
    [TestCase("a.json", "{", "line 1")]
    [TestCase("a.json", """{"points": [{}]}""", "voxel size")]
    [TestCase("a.json", """{"points": [{}], "voxel_spacing": 10}""", "location")]
    [TestCase(
        "a.json",
        """{"points": [{"location": {"x": 1, "y": 2, "z": 3}, "transformation_": [[2,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}], """
        + "\"voxel_spacing\": 10}",
        "no rotation")]
    [TestCase("a.json", """{"boxes_3d": [[1, 2]]}""", "expected \\[x, y, z")]
    [TestCase("a.json", """{"boxes": []}""", "neither")]
    public void Read_BadFile_IsRefusedWithOneLine(string name, string text, string pattern)
    {
        string path = folder.Write(name, text);
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Match(pattern));
    }

    [Test]
    public void Read_AMotlOfTheOtherByteOrder_IsTheSame()
    {
        Write(CoordinateFormat.Motl, [new(9, 24, 49) { Score = 0.5, Tomogram = "1" }]);
        byte[] bytes = File.ReadAllBytes(folder["a.em"]);
        bytes[0] = 5;
        for (int i = 4; i < bytes.Length; i += 4)
            Array.Reverse(bytes, i, 4);
        Particle p = CoordinateTables.Read(folder.Write("b.em", bytes)).Single();
        Assert.That((p.Z, p.Y, p.X, p.Score), Is.EqualTo((9.0, 24.0, 49.0, 0.5)));
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("c.em", bytes[..^1])), "c.em");
    }

    // What other programs write: napari with properties of its own and without a file's name that says so,
    // ChimeraX with links and colours, 3dmod with
    // meshes, materials and several objects.
    [Test]
    public void Read_NapariWithProperties_FindsPlacesAndScores()
    {
        string path = folder.Write("points.csv",
            "index,axis-0,axis-1,axis-2,confidence,face_color\n0.0,9,24,49,0.5,white\n1.0,1,2,3,0.25,red\n");
        CoordinateTable table = CoordinateTables.ReadTable(path);
        Assert.That(table.Format, Is.EqualTo(CoordinateFormat.Napari));
        Assert.That(table.Particles.Select(p => (p.Z, p.Y, p.X, p.Score)),
            Is.EqualTo(new (double, double, double, double?)[] { (9, 24, 49, 0.5), (1, 2, 3, 0.25) }));
        Assert.That(TemporaryFolder.Refused(()
            => CoordinateTables.Read(folder.Write("b.csv", "index,axis-0,axis-1\n0,1,2\n")), "b.csv"),
            Does.Contain("three axes"));
    }

    [Test]
    public void Read_ChimeraXOfAPerson_CountsInAngstrom()
    {
        const string text = """
            <marker_set name="marker set 1">
            <marker id="1" x="513.52" y="251.52" z="94.32"  radius="0.35217"/>
            <marker id="2" x="0" y="10.48" z="-3" r="0" g="1" b="1" radius="0.5" note="An example note"/>
            <link id1="2" id2="1" r="1" g="1" b="0" radius="0.17609"/>
            </marker_set>
            """;
        string path = folder.Write("a.cmm", text);
        Particle[] read = [.. CoordinateTables.Read(path, Frame)];
        Assert.That(read, Has.Length.EqualTo(2));
        Assert.That(Distance(read[0], new Particle(9, 24, 49)), Is.LessThan(1e-9));
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(path), path), Does.Contain("voxel size"));
    }

    [Test]
    public void Read_ImodOf3dmod_SkipsWhatIsNoPoint()
    {
        using MemoryStream stream = new();
        void Whole(params int[] values)
        {
            foreach (int value in values)
            {
                byte[] four = BitConverter.GetBytes(value);
                Array.Reverse(four);
                stream.Write(four);
            }
        }

        void Real(params float[] values) => Whole([.. values.Select(BitConverter.SingleToInt32Bits)]);
        void Object(string name, int contours)
        {
            byte[] header = new byte[176];
            System.Text.Encoding.ASCII.GetBytes(name, header);
            header[131] = (byte)contours;
            stream.Write([.. "OBJT"u8, .. header]);
        }

        byte[] model = new byte[240];
        "IMODV1.2"u8.CopyTo(model);
        stream.Write(model);
        Object("ribosome", 1);
        stream.Write("CONT"u8);
        Whole(2, 0, 0, 0);
        Real(49.5f, 24.5f, 9, 1, 2, 3);
        stream.Write("SIZE"u8);
        Whole(8);
        Real(4, 5);
        stream.Write("MESH"u8);
        Whole(1, 2, 0, 0);
        Real(1, 2, 3);
        Whole(-1, -2);
        stream.Write("IMAT"u8);
        Whole(4, 77);
        Object("", 1);
        stream.Write("CONT"u8);
        Whole(1, 0, 0, 0);
        Real(7, 8, 9);
        stream.Write("MINX"u8);
        Whole(72);
        Real([.. new float[18]]);
        stream.Write("IEOF"u8);
        byte[] bytes = stream.ToArray();
        Particle[] read = [.. CoordinateTables.Read(folder.Write("a.mod", bytes))];
        Assert.That(read.Select(p => (p.Z, p.Y, p.X, p.Name, p.Class)), Is.EqualTo(new (double, double, double, string?, int?)[]
        {
            (9, 24, 49, "ribosome", null), (3, 1.5, 0.5, "ribosome", null), (9, 7.5, 6.5, null, 2),
        }));
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("b.mod", bytes[..^4])), "b.mod");
        TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("c.mod", [.. bytes[..300]])), "c.mod");
        // Drawn on a part of the volume, 5 pixels from its corner along y.
        bytes[8 + 144 + 2] = 0x40;
        BitConverter.GetBytes(5f).Reverse().ToArray().CopyTo(bytes, bytes.Length - 4 - 72 + 16);
        Assert.That(TemporaryFolder.Refused(() => CoordinateTables.Read(folder.Write("d.mod", bytes)), "d.mod"),
            Does.Contain("part of a volume"));
    }

    private static bool HasClasses(CoordinateFormat format) => format is not (CoordinateFormat.Copick or CoordinateFormat.Shrec);

    private static double Distance(Particle a, Particle b)
        => Math.Sqrt(Math.Pow(a.Z - b.Z, 2) + Math.Pow(a.Y - b.Y, 2) + Math.Pow(a.X - b.X, 2));

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    private static System.Text.Json.JsonElement Json(string path)
        => System.Text.Json.JsonDocument.Parse(File.ReadAllText(path)).RootElement;

    private static CoordinateContext FrameOf(CoordinateFormat format)
        => Frame with { Format = format, Binning = CoordinateFormats.CountsUnbinnedPixels(format) ? 4 : 0 };

    private string Write(CoordinateFormat format, IReadOnlyList<Particle> particles)
    {
        string path = folder[$"a{CoordinateFormats.Ending(format)}"];
        CoordinateTables.Write(path, particles, new CoordinateWriteOptions
        {
            Format = format,
            Context = FrameOf(format),
            TomogramName = "TS_01",
        });
        return path;
    }

    private IReadOnlyList<Particle> Pass(CoordinateFormat format, IReadOnlyList<Particle> particles)
        => CoordinateTables.Read(Write(format, particles), FrameOf(format));
}
