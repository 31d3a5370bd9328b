using System.Text.RegularExpressions;
using System.Xml.Linq;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Simulation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Reporting;

public partial class ReportTests
{
    private string folder = "";

    [SetUp]
    public void CreateFolder() => folder = Directory.CreateTempSubdirectory("report").FullName;

    [TearDown]
    public void DeleteFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void Write_Toy_IsOneWholePage()
    {
        string path = Path.Combine(folder, "report.html");
        ReportHtml.Write(path, Toy());
        string page = File.ReadAllText(path);
        // For the eye: a folder in this variable keeps the files.
        if (Environment.GetEnvironmentVariable("MEANSHIFTGPU_TEST_REPORT") is { } keep)
            WriteAll(keep);

        XElement root = XDocument.Parse(page).Root!;
        Assert.That(root.Element("head")!.Element("title")!.Value, Is.EqualTo(Toy().Title));
        XElement body = root.Element("body")!;
        Assert.That(body.Descendants("table").Single().Descendants("tr").Count(), Is.EqualTo(1 + 3 + 1));
        XName image = XName.Get("image", "http://www.w3.org/2000/svg");
        Assert.That(body.Descendants(image).Count(), Is.EqualTo(4));
        Assert.That(body.Descendants("dt").Count(), Is.EqualTo(5));
        string text = body.Value;
        foreach (
            string piece in new[] { "Dice", "Mean shift", "Both", "Mean ± SD over 2 training runs.", "3.31", "± 0.14",
                "F1 against the hit radius", "hit radius (voxels)", "true centre", "4 min 12 s" })
            Assert.That(text, Does.Contain(piece));
        Assert.That(Directory.GetFiles(folder), Has.Length.EqualTo(1));
    }

    [Test]
    public void Build_Toy_NeedsNothingFromOutside()
    {
        string page = ReportHtml.Build(Toy());
        Assert.That(Url().Matches(page).Select(m => m.Value).Distinct(), Is.All.StartsWith("http://www.w3.org/"));
        Assert.That(
            page, Does.Not.Contain("<script").And.Not.Contain("<link").And.Not.Contain(" src=").And.Not.Contain("@import").And.Not
                .Match("url\\((?!#)"));
        // Names within the page are unique, and those that are used exist.
        XElement root = XDocument.Parse(page).Root!;
        string[] ids = [.. root.Descendants().Attributes("id").Select(a => a.Value)];
        Assert.That(ids, Is.Unique.And.Not.Empty);
        Assert.That(root.Descendants().Attributes("clip-path").Select(a => a.Value[5..^1]), Is.SubsetOf(ids));
        // Every colour of the charts follows the reader's theme.
        Assert.That(page, Does.Not.Contain("rgb("));
        Assert.That(ReportHtml.Build(Toy()), Is.EqualTo(page));
    }

    [Test]
    public void Build_Empty_IsStillAPage() =>
        Assert.That(
            XDocument.Parse(ReportHtml.Build(new ReportDocument { Title = "Nothing" })).Root!.Element("body")!.Value.Trim(),
            Is.EqualTo("Nothing"));

    [Test]
    public void Build_Best_IsBoldAndNeverAReference()
    {
        XElement table = XDocument.Parse(ReportHtml.Build(Toy())).Descendants("table").Single();
        string[][] bold =
            [.. table.Element("tbody")!.Elements("tr").Select(r => r.Descendants("strong").Select(s => s.Value).ToArray())];
        Assert.That(bold, Is.EqualTo(new string[][] { [], ["1.57", "0.87", "0.83"], ["0.91"], [] }));
    }

    [Test]
    public void FromRuns_MissingValue_LeavesTheCellEmpty()
    {
        Assert.That(ReportCell.FromRuns([1, 3]), Is.EqualTo(new ReportCell(2, Math.Sqrt(2))));
        Assert.That(ReportCell.FromRuns([1]), Is.EqualTo(new ReportCell(1)));
        Assert.That(ReportCell.FromRuns([1, null]), Is.EqualTo(new ReportCell(null)));
        Assert.That(ReportCell.FromRuns([]), Is.EqualTo(new ReportCell(null)));
    }

    [Test]
    public void FromRuns_UnequalCounts_AreNamed()
    {
        ReportTable table = ReportTable.FromRuns(
            "t",
            [new("a", 1, ReportBest.None)],
            [new("x", ReportColor.Red, [1]), new("y", ReportColor.Blue, [1]), new("x", ReportColor.Red, [2])],
            [],
            "");
        Assert.That(table.Caption, Is.EqualTo("Mean ± SD over 2 training runs (x), 1 training run (y)."));
        Assert.That(table.Rows.Select(r => r.Name), Is.EqualTo(new[] { "x", "y" }));
    }

    [Test]
    public void FromVolume_Slice_TakesItsValuesAndTheCentresNearIt()
    {
        float[] volume = new float[3 * 2 * 4];
        volume[8] = 1;
        volume[9] = 0.5f;
        volume[10] = 7;
        Position[] truth = [new(1, 0, 3), new(2, 1, 1), new(2.5f, 0, 90)];
        ReportImage image = ReportImage.FromVolume("s", volume, 3, 2, 4, 1, truth, [new(0, 1, 2)], 1, window: (0, 1));
        Assert.That(image.Pixels, Is.EqualTo(new byte[] { 255, 128, 255, 0, 0, 0, 0, 0 }));
        Assert.That(image.Markers.Select(m => (m.Y, m.X, m.Kind)), Is.EqualTo(new[]
        {
            (0f, 3f, ReportMarkerKind.Truth), (1f, 1f, ReportMarkerKind.Truth), (1f, 2f, ReportMarkerKind.Pick),
        }));
        // One slice away with a reach of one: the cross-section at half of the ball's radius.
        Assert.That(image.Markers[1].Radius / image.Markers[0].Radius, Is.EqualTo(Math.Sqrt(0.75)).Within(1e-6));
        Assert.Throws<ArgumentOutOfRangeException>(() => ReportImage.FromVolume("s", volume, 3, 2, 4, 3, [], [], 1));
        Assert.Throws<ArgumentException>(() => ReportImage.FromVolume("s", volume, 3, 2, 3, 1, [], [], 1));
    }

    [Test]
    public void FromVolume_PartnerBeyondReach_IsShown()
    {
        Position[] picks = [new(3.4f, 5, 6), new(3.4f, 25, 25)];
        ReportImage image = ReportImage.FromVolume("s", new float[8 * 30 * 30], 8, 30, 30, 0, [new(3, 5, 5)], picks, 3);
        Assert.That(
            image.Markers.Select(m => (m.Kind, m.X)),
            Is.EqualTo(new[] { (ReportMarkerKind.Truth, 5f), (ReportMarkerKind.Pick, 6f) }));
    }

    [Test]
    public void FullestSlice_Centres_AreCounted()
    {
        Assert.That(ReportImage.FullestSlice([new(3, 0, 0), new(5, 0, 0), new(20, 0, 0)], 30, 1), Is.EqualTo(4));
        Assert.That(ReportImage.FullestSlice([], 30, 1), Is.EqualTo(15));
    }

    [Test]
    public void WriteSvg_PanelAndChart_AreDocumentsOfTheirOwn()
    {
        string panel = Path.Combine(folder, "panel.svg");
        string chart = Path.Combine(folder, "chart.svg");
        ReportPlots.WriteSvg(panel, Toy().Panels[0]);
        ReportPlots.WriteSvg(chart, Toy().Charts[0]);
        Assert.That(XDocument.Load(panel).Descendants().Count(e => e.Name.LocalName == "circle"), Is.GreaterThan(4));
        Assert.That(
            XDocument.Load(panel).Descendants().Where(e => e.Name.LocalName == "text").Select(e => e.Value),
            Is.EqualTo((string[])[.. Toy().Panels[0].Images.Select(i => i.Title), "true centre", "pick"]));
        Assert.That(XDocument.Load(chart).Root!.Attribute("viewBox"), Is.Not.Null);
        Assert.That(XDocument.Load(chart).Root!.Value, Does.Contain("Mean shift").And.Contain("F1"));
    }

    [Test]
    public void Write_FolderMissing_SaysSoInOneLine()
    {
        string path = Path.Combine(folder, "none", "report.html");
        InputException e = Assert.Throws<InputException>(() => ReportHtml.Write(path, Toy()))!;
        Assert.That(e.Message, Does.StartWith(path).And.Not.Contain("\n"));
    }

    private static void WriteAll(string keep)
    {
        ReportHtml.Write(Path.Combine(keep, "report.html"), Toy());
        ReportPlots.WriteSvg(Path.Combine(keep, "panel.svg"), Toy().Panels[0]);
        ReportPlots.WriteSvg(Path.Combine(keep, "chart.svg"), Toy().Charts[0]);
    }

    [GeneratedRegex("https?://[^\"' )]*")]
    private static partial Regex Url();

    private static ReportDocument Toy()
    {
        SandclockVolume volume = Sandclock.Create(SandclockOptions.Demo, 1);
        int z = ReportImage.FullestSlice(volume.Centers, volume.Depth, 3);
        Position[] picks = [.. volume.Centers.Select(c => new Position(c.Z + 0.4f, c.Y - 0.8f, c.X + 0.6f))];
        float[] blobs = new float[volume.Mask.Length];
        for (int i = 0; i < blobs.Length; i++)
        {
            Position p = new(i / 36 / 36, i / 36 % 36, i % 36);
            blobs[i] = (float)volume.Centers.Max(c => Math.Exp(-p.SquaredDistanceTo(c) / 8));
        }

        ReportImage Score(string title, float[] map)
            => ReportImage.FromVolume(title, map, 36, 36, 36, z, volume.Centers, picks, 3, window: (0, 1));
        ReportRun[] runs =
        [
            new("Dice", ReportColor.Red, [3.21, 1.52, 0.05, 0.57]),
            new("Dice", ReportColor.Red, [3.41, 1.62, 0.07, 0.61]),
            new("Mean shift", ReportColor.Blue, [1.62, 0.77, 0.84, 0.89]),
            new("Mean shift", ReportColor.Blue, [1.52, 0.97, 0.82, 0.91]),
            new("Both", ReportColor.Green, [1.58, 1.91, 0.76, 0.90]),
            new("Both", ReportColor.Green, [1.68, 1.71, 0.78, 0.92]),
        ];
        ReportColumn[] columns =
        [
            new("dist pred", 2, ReportBest.Smallest, "mean distance of a pick from the nearest true centre, in voxels"),
            new("dist GT", 2, ReportBest.Smallest, "mean distance of a true centre from the nearest pick, in voxels"),
            new("F1 at 2", 2, ReportBest.Largest, "share found within 2 voxels"),
            new("F1 at 4", 2, ReportBest.Largest),
        ];
        double[] radii = [.. Enumerable.Range(1, 16).Select(i => i * 0.5)];
        return new ReportDocument
        {
            Title = "Sandclock: Dice, mean shift & both <unseen volumes>",
            Lead = ["Three networks were trained from the same start on 100 simulated volumes, and tested on 25 that none of "
                + "them had seen."],
            Tables =
            [
                ReportTable.FromRuns("Picks against the truth", columns, runs,
                    [new("Paper, mean shift", ReportColor.Grey, [new(2.43, 0.17), new(1.64, 0.24), new(null), new(0.81, 0.03)],
                        IsReference: true)],
                    "Pooled over 25 test volumes with 122 particles."),
            ],
            Panels =
            [
                new("One test volume",
                    [
                        ReportImage.FromVolume("Tomogram", volume.Image, 36, 36, 36, z, volume.Centers, [], 3),
                        Score("Dice", volume.Mask),
                        Score("Mean shift", blobs),
                        Score("Both", [.. blobs.Zip(volume.Mask, (a, b) => 0.6f * a + 0.4f * b)]),
                    ],
                    $"Slice z = {z} of 36³. Centres up to 3 slices away are shown, smaller the farther. Score maps: black 0, "
                    + "white 1."),
            ],
            Charts =
            [
                new ReportChart
                {
                    Title = "F1 against the hit radius", XTitle = "hit radius (voxels)", YTitle = "F1", YMinimum =
                        0, YMaximum = 1,
                    Guides = [(4, "paper’s radius")],
                    Curves =
                    [
                        new("Dice", ReportColor.Red, [.. radii.Select(r => (r, 0.9 / (1 + Math.Exp(-2 * (r - 3.7)))))],
                            [.. radii.Select(_ => 0.02)]),
                        new("Mean shift", ReportColor.Blue, [.. radii.Select(r => (r, 0.92 / (1 + Math.Exp(-3 * (r - 1)))))],
                            [.. radii.Select(_ => 0.03)]),
                        new("Both", ReportColor.Green, [.. radii.Select(r => (r, 0.94 / (1 + Math.Exp(-3 * (r - 1.4)))))],
                            [.. radii.Select(_ => 0.02)]),
                    ],
                    Caption = "Mean over 2 training runs; bands are one SD.",
                },
                new ReportChart
                {
                    Title = "Training", XTitle = "step", YTitle = "loss", LogarithmicY = true,
                    Curves =
                    [
                        new("Dice", ReportColor.Red,
                            [.. Enumerable.Range(0, 100).Select(i => (5.0 * i, 0.2 + 0.8 * Math.Exp(-i / 20.0)))]),
                        new("Dice, validation", ReportColor.Red,
                            [.. Enumerable.Range(0, 10).Select(i => (50.0 * i, 0.25 + 0.8 * Math.Exp(-i / 2.0)))], Dashed: true),
                        new("Mean shift", ReportColor.Blue,
                            [.. Enumerable.Range(0, 100).Select(i => (5.0 * i, 1.3 + 5 * Math.Exp(-i / 30.0)))]),
                        new("Both", ReportColor.Green,
                            [.. Enumerable.Range(0, 100).Select(i => (5.0 * i, 2 + 7 * Math.Exp(-i / 30.0)))]),
                    ],
                    Caption = "Losses have different scales; compare shapes, not heights.",
                },
            ],
            Facts =
            [
                new("Device", "CPU, 2 threads"),
                new("Training", "500 steps, Adam 1e-3"),
                new("Volumes", "36³, 4–6 particles, noise SD 0.7"),
                new("Picking", "threshold 0.3 of maximum, merge 6 voxels"), new("Time", "4 min 12 s"),
            ],
        };
    }
}
