using System.Buffers.Binary;
using System.Text.Json;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

public class ConvertTests
{
    private readonly ToolFolder folder = new();

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    // Pixel 2i + 0.5 is voxel i at binning 2: only where each side is read with its own are the places the
    // same.
    [TestCase("dist_pred 0.00", "--binning", "2", "--truth-binning", "1")]
    [TestCase("dist_pred 6.50", "--binning", "2")]
    public void Evaluate_OfPicksInUnbinnedPixels_ScalesEachSideAsItIsTold(string expected, params string[] binnings)
    {
        string picks = folder.WriteText("unbinned.coords", "14.5 14.5 14.5\n");
        string truth = folder.WriteText("voxels.coords", "7 7 7\n");
        ToolRun run = ToolRun.Succeeds(["evaluate", "--picks", picks, "--truth", truth, .. binnings]);
        Assert.That(run.Output, Does.Contain(expected));
    }

    [Test]
    public void Evaluate_APickOutsideTheVolume_IsTold()
    {
        string points = folder.WriteText("outside.coords", "1 1 1\n900 1 1\n");
        ToolRun run = ToolRun.Succeeds(
            "evaluate",
            "--picks",
            points,
            "--truth",
            folder.WriteText("inside.coords", "1 1 1\n"),
            "--volume",
            folder.WriteVolume("small.mrc"));
        Assert.That(run.Error, Does.Contain("1 of 2 picks outside the volume").And.Not.Contain("No pick"));
    }

    [Test]
    public void Evaluate_PicksInAnotherUnit_IsTold()
    {
        ToolRun run = ToolRun.Succeeds(
            "evaluate", "--picks", folder.WriteText("angstrom.coords", "100 200 300\n"), "--truth",
            folder.WriteText("voxels.coords", "10 20 30\n"), "--radii", "2,5");
        Assert.That(run.Error, Does.Contain("No pick lies within 5 voxels of a true centre"));
    }

    // Markers are physical places: those of a map begin where its header says, by its origin or its nstart.
    [TestCase(196, true, "150", "-140", "120")]
    [TestCase(16, false, "1050", "-1940", "570")]
    public void Convert_ChimeraXMarkersOfAMapWithAnOrigin_CountFromIt(int at, bool real, string x, string y, string z)
    {
        string volume = folder.WriteVolume($"map{at}.mrc");
        byte[] bytes = File.ReadAllBytes(volume);
        int[] origin = [100, -200, 50];
        for (int i = 0; i < 3; i++)
        {
            if (real)
                BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(at + (4 * i)), origin[i]);
            else
                BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(at + (4 * i)), origin[i]);
        }

        File.WriteAllBytes(volume, bytes);
        string markers = folder.At($"map{at}.cmm");
        ToolRun.Succeeds("convert", folder.WriteText("map.csv", "x,y,z\n5,6,7\n"), "--out", markers, "--volume", volume);
        Assert.That(File.ReadAllText(markers), Does.Contain($"x=\"{x}\" y=\"{y}\" z=\"{z}\""));
        // The program's own file says the origin; ChimeraX's does not.
        string theirs = folder.WriteText("theirs.cmm",
            $"<marker_set name=\"map{at}\"><marker id=\"1\" x=\"{x}\" y=\"{y}\" z=\"{z}\" radius=\"1\"/></marker_set>");
        using (Assert.EnterMultipleScope())
        {
            foreach (string[] read in (string[][])[[markers], [markers, "--volume", volume], [theirs, "--volume", volume]])
            {
                string table = folder.At("back.csv");
                ToolRun.Succeeds(["convert", .. read, "--out", table]);
                Particle back = CoordinateTables.Read(table).Single();
                Assert.That((back.X, back.Y, back.Z), Is.EqualTo((5.0, 6.0, 7.0)), string.Join(' ', read));
            }

            ToolRun.Refuses(["begins at 0 0 0 Å by its header"],
                "convert", markers, "--out", folder.At("back.csv"), "--volume", folder.WriteVolume("other.mrc"));
            Assert.That(
                ToolRun.Succeeds("convert", theirs, "--out", folder.At("back.csv"), "--voxel-size", "10").Output,
                Does.Contain("which is taken as 0 unless").And.Contain("--volume gives it"));
            // Whoever compares distances with a table that begins at 0 must know it, too.
            Assert.That(
                ToolRun.Succeeds("evaluate", "--picks", theirs, "--truth", folder.At("back.csv"), "--voxel-size", "10").Output,
                Does.Contain("which is taken as 0 unless").And.Contain("--volume gives it"));
            Assert.That(
                ToolRun.Succeeds("evaluate", "--picks", theirs, "--truth", folder.At("map.csv"), "--volume", volume).Output,
                Does.Not.Contain("taken as 0"));
            // Markers made of markers lie where those did.
            string again = folder.At("again.cmm");
            ToolRun.Succeeds("convert", markers, "--out", again);
            Assert.That(File.ReadAllText(again), Does.Contain($"x=\"{x}\" y=\"{y}\" z=\"{z}\"").And.Contain("map_origin="));
        }
    }

    [Test]
    public void Convert_MarkersOfMapsThatBeginApart_IntoAFolderOfMarkers_IsRefused()
    {
        Directory.CreateDirectory(folder.At("apart"));
        foreach (string name in (string[])["0 0 0", "5 5 5"])
            folder.WriteText(Path.Combine("apart", $"TS_{name[0]}.cmm"),
                $"<marker_set voxel_spacing=\"10\" map_origin=\"{name}\">"
                + "<marker id=\"1\" x=\"50\" y=\"60\" z=\"70\" radius=\"1\"/></marker_set>");
        ToolRun.Refuses(["begin at different places"],
            "convert", folder.At("apart"), "--out", folder.At("apart2"), "--to", "chimerax");
    }

    [Test]
    public void Convert_WithAFilterThatKeepsNothing_Warns()
    {
        string table = folder.WriteText("scored.csv", "x,y,z,score\n5,6,7,0.4\n8,9,3,0.6\n");
        ToolRun none = ToolRun.Succeeds("convert", table, "--out", folder.At("none.csv"), "--min-score", "0.9");
        Assert.That(none.Error, Does.Contain("is empty").And.Contain("all of the 2 particles"));
        ToolRun one = ToolRun.Succeeds("convert", table, "--out", folder.At("one.csv"), "--min-score", "0.5");
        Assert.That(one.Error, Does.Not.Contain("is empty"));
    }

    [Test]
    public void Convert_ATableWithoutRows_Warns()
    {
        ToolRun run = ToolRun.Succeeds("convert", folder.WriteText("bare.csv", "x,y,z\n"), "--out", folder.At("bare.tbl"));
        Assert.That(run.Error, Does.Contain($"{folder.At("bare.tbl")}: is empty, as {folder.At("bare.csv")} holds no particle."));
        Assert.That(run.Output, Does.Contain("0 particles").And.Not.Contain("pixels per voxel"));
    }

    [Test]
    public void Convert_ATomogramsNameWhereAllRowsNameTheirs_IsRefused()
    {
        string named = folder.WriteText("named.csv", "tomogram,x,y,z\nTS_01,5,6,7\n");
        string some = folder.WriteText("some.csv", "tomogram,x,y,z\nTS_01,5,6,7\n,5,6,8\n");
        ToolRun.Refuses(["names the tomogram of every particle", "eave it out"],
            "convert", named, "--out", folder.At("renamed.csv"), "--tomogram-name", "TS_02");
        ToolRun.Succeeds("convert", some, "--out", folder.At("renamed.csv"), "--tomogram-name", "TS_02");
        Assert.That(CoordinateTables.Read(folder.At("renamed.csv")).Select(p => p.Tomogram), Is.EqualTo(["TS_01", "TS_02"]));
    }

    [TestCase("--relion5-centre is for relion5, not for csv", "--relion5-centre", "half-size")]
    [TestCase("--tomograms is for relion5, not for csv", "--tomograms", "tomograms.star")]
    public void View_WithAnOptionWithoutEffect_IsRefused(string reason, params string[] given)
    {
        string table = folder.WriteText("viewed.csv", "x,y,z\n5,6,7\n");
        ToolRun.Refuses([reason, "eave it out"],
            ["view", folder.WriteVolume("viewed.mrc"), "--picks", table, "--no-browser", .. given]);
    }

    // Rows that were pasted twice count twice.
    [Test]
    public void RowsThatStandTwice_AreSpokenOf()
    {
        string volume = folder.WriteVolume("twice.mrc");
        string table = folder.WriteText("twice.csv", "x,y,z\n5,6,7\n5,6,7\n8,9,3\n");
        const string said = "1 of 3 centres at the very place of another";
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                ToolRun.Of("check", volume, "--picks", table, "--particle-diameter", "60").Error, Does.Contain(said));
            Assert.That(ToolRun.Succeeds("evaluate", "--picks", table, "--truth", table).Error,
                Does.Contain("1 of 3 true centres at the very place of another").And.Contain("1 of 3 picks at"));
            Assert.That(
                ToolRun.Succeeds("evaluate", "--picks", folder.WriteText("kinds.csv", "x,y,z,class\n5,6,7,1\n5,6,7,2\n"),
                    "--truth", folder.WriteText("kind.csv", "x,y,z\n5,6,7\n")).Error, Does.Not.Contain("very place"));
        }
    }

    // Before the picks are computed, and before a table without names is left behind.
    [Test]
    public void NamesThatATableCannotHold_AreRefusedFirst()
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("Windows has no such names");
        string volume = folder.WriteVolume("new\nline.mrc");
        foreach (string target in (string[])["broken.star", "broken.csv", "broken.tbl"])
        {
            // The model is not there: the names come first.
            ToolRun.Refuses(["cannot be written", "line", "Rename"],
                "pick", volume, "--model", folder.WriteText("no.safetensors", "no"), "--out", folder.At(target));
            Assert.That(folder.At(target), Does.Not.Exist);
        }

        string copick = folder.WriteText("broken.json", "{\"points\":[{\"location\":{\"x\":10,\"y\":20,\"z\":30}}],"
            + "\"pickable_object_name\":\"a\",\"run_name\":\"TS\\n01\",\"voxel_spacing\":10,\"unit\":\"angstrom\"}");
        ToolRun.Refuses(["fits a line"], "convert", copick, "--out", folder.At("half.tbl"));
        Assert.That(folder.At("half.tbl"), Does.Not.Exist);
    }

    [Test]
    public void AnOptionBehindTwoDashes_IsToldSo()
        => ToolRun.Refuses(["'--model' stands behind '--'"], "pick", "--", "-x.mrc", "--model", "m.safetensors");

    [Test]
    public void Evaluate_AFolderWithoutADataSet_SaysWhatToGive()
    {
        string table = folder.WriteText("one.csv", "x,y,z\n5,6,7\n");
        ToolRun.Refuses(["is a folder", "one by one", "--data"], "evaluate", "--picks", folder.Path, "--truth", table);
    }

    // The smallest radius says how few picks are exact, not how good they are.
    [TestCase("1,4,6", "Within 4 voxels F1 is 1.000: 1 pick lies near a true centre")]
    [TestCase("1", "Within 1 voxel F1 is 0.000: 0 picks lie near a true centre")]
    public void Evaluate_ReportsLead_IsOfTheRadiusInTheMiddle(string radii, string said)
    {
        string picks = folder.WriteText("lead-picks.csv", "x,y,z\n5,6,7\n");
        string truth = folder.WriteText("lead-truth.csv", "x,y,z\n8,6,7\n");
        string page = folder.At("lead.html");
        ToolRun.Succeeds("evaluate", "--picks", picks, "--truth", truth, "--radii", radii, "--report", page);
        Assert.That(File.ReadAllText(page), Does.Contain(said).And.Not.Contain("within 1 voxels"));
    }

    // Nobody gives an option that is to have no effect.
    [TestCase("--binning is for relion4, relion5, eman2, not for csv or dynamo", "idle.tbl", "--binning", "2")]
    [TestCase("or give --from-binning or --to-binning", "idle.tbl", "--binning", "2")]
    [TestCase("--binning is for", "idle.star", "--to", "relion4", "--to-binning", "2", "--binning", "2")]
    [TestCase("--from-centre is for relion5, not for csv", "idle.tbl", "--from-centre", "half-size")]
    [TestCase("--to-centre is for relion5, not for dynamo", "idle.tbl", "--to-centre", "half-size")]
    [TestCase("--tomograms is for relion5, not for csv or dynamo", "idle.tbl", "--tomograms", "tomograms.star")]
    [TestCase("names no tomograms", "idle.tbl", "--tomogram", "TS_01")]
    [TestCase("says of every particle what it is", "idle.tbl", "--object", "ring")]
    public void Convert_WithAnOptionWithoutEffect_IsRefused(string reason, string target, params string[] given)
    {
        string table = folder.WriteText("idle.csv", "x,y,z,class\n5,6,7,1\n");
        ToolRun.Refuses([reason, "eave"], ["convert", table, "--out", folder.At(target), "--voxel-size", "10", .. given]);
        Assert.That(folder.At(target), Does.Not.Exist);
    }

    [TestCase("--relion5-centre is for relion5, not for csv", "--relion5-centre", "half-size")]
    [TestCase("--tomograms is for relion5, not for csv", "--tomograms", "tomograms.star")]
    [TestCase("--split is for --data", "--split", "train")]
    public void Evaluate_WithAnOptionWithoutEffect_IsRefused(string reason, params string[] given)
    {
        string table = folder.WriteText("idle.csv", "x,y,z\n5,6,7\n");
        ToolRun.Refuses([reason, "eave it out"], ["evaluate", "--picks", table, "--truth", table, .. given]);
    }

    [Test]
    public void Convert_Relion4ToDynamo_TakesPixelSizeAndBinningFromTheTable()
    {
        // Pixels of 2.62 Å, tomogram binned four times: (424, 1584, 864) − offset is pixel / 4, with the half
        // pixel, and Dynamo counts from 1.
        string source = TemporaryFolder.Data("relion4/empiar10064_first_rows.star");
        ToolRun run = ToolRun.Succeeds(
            "convert", source, "--out", folder.At("a.tbl"), "--voxel-size", "10.48", "--json", folder.At("a.json"));
        JsonElement json = ToolRun.Json(folder.At("a.json"));
        IReadOnlyList<Particle> direct = CoordinateTables.Read(source, new CoordinateContext { VoxelSizeAngstrom = 10.48 });
        IReadOnlyList<Particle> through = CoordinateTables.Read(folder.At("a.tbl"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Output, Does.Contain("relion4 to dynamo").And.Contain("10.48 Å"));
            Assert.That(json.GetProperty("fromBinning").GetDouble(), Is.EqualTo(4));
            Assert.That(json.GetProperty("toBinning").GetDouble(), Is.EqualTo(1));
            Assert.That(
                through.Zip(direct, (a, b) => Math.Abs(a.X - b.X) + Math.Abs(a.Y - b.Y) + Math.Abs(a.Z - b.Z)).Max(),
                Is.LessThan(1e-6));
            Assert.That(
                through.Zip(direct, (a, b) => a.Orientation!.Value.ToMatrix().AngleTo(b.Orientation!.Value.ToMatrix())).Max(),
                Is.LessThan(1e-5));
            Assert.That(through[0].Tomogram, Is.EqualTo("CTEM_tomo1"));
        }
    }

    // A .star stays what it was.
    [Test]
    public void Convert_Relion4ToItself_KeepsColumnsAndOptics([Values] bool isNamed)
    {
        string source = TemporaryFolder.Data("relion4/empiar10064_first_rows.star");
        ToolRun.Succeeds(["convert", source, "--out", folder.At("b.star"), .. isNamed ? (string[])["--to", "relion4"] : []]);
        StarFile before = StarFile.Read(source), after = StarFile.Read(folder.At("b.star"));
        StarTable was = before.Table("particles")!, became = after.Table("particles")!;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(after.Table("optics")!.Rows[0], Is.EqualTo(before.Table("optics")!.Rows[0]));
            Assert.That(became.Columns, Is.SupersetOf(was.Columns));
            foreach (string column in (string[])["rlnImageName", "rlnRandomSubset", "rlnTomoParticleName", "rlnObjectNumber"])
                Assert.That(
                    became.Rows.Select(r => r[became.IndexOf(column)]),
                    Is.EqualTo(was.Rows.Select(r => r[was.IndexOf(column)])),
                    column);
            Assert.That(double.Parse(became.Rows[0][became.IndexOf("rlnTomoSubtomogramRot")]), Is.EqualTo(-138));
            Assert.That(double.Parse(became.Rows[0][became.IndexOf("rlnAngleRot")]), Is.EqualTo(68.371027));
            Assert.That(became.Rows[0][became.IndexOf("rlnOriginXAngst")], Is.EqualTo("0"));
        }
    }

    [Test]
    public void Convert_AFolderOfCopick_AndBackToOneTable()
    {
        File.WriteAllText(
            folder.At("in.csv"),
            "x,y,z,score,tomogram,name\n1,2,3,0.5,TS_01,ribosome\n4,5,6,0.25,TS_02,ribosome\n7,8,9,1,TS_02,proteasome\n");
        ToolRun.Succeeds("convert", folder.At("in.csv"), "--out", folder.At("copick"), "--to", "copick", "--voxel-size", "10");
        Assert.That(File.Exists(folder.At("copick", "ExperimentRuns", "TS_02", "Picks", "meanshift-gpu_1_proteasome.json")));
        ToolRun.Succeeds("convert", folder.At("copick"), "--out", folder.At("out.csv"));
        Assert.That(
            CoordinateTables.Read(folder.At("out.csv")).Select(p => (p.X, p.Y, p.Z, p.Score, p.Tomogram, p.Name)),
            Is.EquivalentTo(
                CoordinateTables.Read(folder.At("in.csv")).Select(p => (p.X, p.Y, p.Z, p.Score, p.Tomogram, p.Name))));
    }

    [Test]
    public void Convert_WithAVolume_TakesItsSizeVoxelSizeAndName()
    {
        string volume = folder.WriteVolume("TS_07.mrc", 12, 16, 20);
        ToolRun run = ToolRun.Succeeds(
            "convert",
            folder.WriteText("picks.coords", "10 8 6\n25 0 0\n"),
            "--out",
            folder.At("five.star"),
            "--to",
            "relion5",
            "--volume",
            volume,
            "--binning",
            "2");
        StarTable table = StarFile.Read(folder.At("five.star")).Table("particles")!;
        // Voxels of 10 Å are two pixels of 5 Å; the centre of 20 × 16 × 12 voxels is pixel 20, 16, 12, and
        // voxel 10, 8, 6 is pixel 20.5, 16.5, 12.5.
        Assert.That(table.Rows[0].Take(4), Is.EqualTo(new[] { "TS_07", "2.5", "2.5", "2.5" }));
        Assert.That(run.Error, Does.StartWith("warning: ").And.Contain("1 of 2 centres outside"));
    }

    [TestCase("a.csv", "x,y,z\n1,2,3\n", "a.star", "Give a name (--tomogram-name or --volume)", "")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "a.json", "name the format, eman2 or copick (--to)", "")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "a.xyz", "does not end like a table", "")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "a.xyz", "name their format (--to)", "")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "copick.json", "give the voxel size (--voxel-size or --volume)", "--to copick")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "a_info.json", "give the volume's size (--volume or --volume-size", "--voxel-size 10")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "r5.star", "give the volume's size (--volume or --volume-size; relion5: or "
        + "--tomograms)", "--to relion5 --voxel-size 10 --tomogram-name T")]
    [TestCase(
        "a.csv",
        "x,y,z\n1,2,3\n",
        "a.star",
        "the format csv ends in .csv. Choose that ending, or another format (--to)",
        "--to csv")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "folder", "name their format (--to)", "")]
    [TestCase("a.csv", "x,y,z,tomogram\n1,2,3,A\n1,2,3,B\n", "b.coords", "folder", "")]
    [TestCase("a.csv", "x,y,z\n1,2,3\n", "b.tbl", "not one of", "--from unknown")]
    public void Convert_WithoutAFactThatIsNeeded_SaysWhich(string name, string text, string output, string expected, string more)
        => ToolRun.Refuses(
            [expected],
            ["convert", folder.WriteText(name, text), "--out", folder.At(output), .. more.Split(
                ' ', StringSplitOptions.RemoveEmptyEntries)]);

    [TestCase("a.star", true)]
    [TestCase("a.tbl", true)]
    [TestCase("b.csv", false)]
    public void Convert_BlankCellsAmongOthers_WarnsWhereTheyBecomeNumbers(string output, bool warns)
    {
        string table = folder.WriteText("a.csv", "x,y,z,score,class,tomogram\n1,2,3,0.5,7,A\n4,5,6,,,A\n");
        string error = ToolRun.Succeeds("convert", table, "--out", folder.At(output)).Error;
        Assert.That(
            error,
            warns ? Does.Contain("1 of 2 particles without a score").And.Contain("1 of 2 particles without a class") : Is.Empty);
    }

    [Test]
    public void Convert_ATableOntoItself_IsRefused()
    {
        string table = folder.WriteText("same.csv", "x,y,z\n1,2,3\n");
        ToolRun.Refuses([table], "convert", table, "--out", table);
        Assert.That(File.ReadAllText(table), Is.EqualTo("x,y,z\n1,2,3\n"));
    }

    [Test]
    public void Convert_AContradiction_IsRefused()
        => ToolRun.Refuses(
            ["2.62", "not of 20"],
            "convert",
            TemporaryFolder.Data("relion4/empiar10064_first_rows.star"),
            "--out",
            folder.At("c.tbl"),
            "--voxel-size",
            "20",
            "--binning",
            "4");
}
