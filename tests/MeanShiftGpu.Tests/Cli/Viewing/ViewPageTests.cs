using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;
using PuppeteerSharp;
using PuppeteerSharp.Input;

namespace MeanShiftGpu.Tests.Cli.Viewing;

/// <summary>
/// A person's work on the page of 'view', done by a real browser: look, reject, add, move, undo, save; then a
/// training with the result.
/// </summary>
[NonParallelizable]
public sealed class ViewPageTests : IDisposable
{
    // Blobs on a grid, so that every place of the page is known.
    private const int Depth = 32, Edge = 96;
    private static readonly Position[] Centers =
        [.. from z in (int[])[10, 20] from y in (int[])[16, 40, 64] from x in (int[])[16, 40, 64] select new Position(z, y, x)];

    private readonly ToolFolder folder = new();
    private IBrowser browser = null!;
    private string volume = null!;
    private string picks = null!;

    [OneTimeSetUp]
    public async Task SetUpAsync()
    {
        browser = await Chromium.StartAsync();
        volume = folder.At("blobs.mrc");
        using Volume image = new(Depth, Edge, Edge, new VoxelSize(10));
        Random random = new(1);
        for (int z = 0; z < Depth; z++)
        {
            Span<float> slice = image.Slice(z);
            for (int i = 0; i < slice.Length; i++)
            {
                Position here = new(z, i / Edge, i % Edge);
                slice[i] = (float)random.NextDouble() + (Centers.Any(c => c.DistanceTo(here) < 5) ? 3 : 0);
            }
        }

        MrcFile.Write(volume, image);
        picks = folder.At("picks.star");
        // The scores rise in the order of the table.
        CoordinateTables.Write(picks,
            [.. Centers.Select((c, i) => new Particle(c.Z, c.Y, c.X) { Score = (i + 1) / 20.0, Tomogram = "blobs" })]);
    }

    public void Dispose()
    {
        browser?.Dispose();
        folder.Dispose();
    }

    [Test]
    public async Task Page_WhatAPersonDoes_IsSavedAndTrainsAgain()
    {
        string corrected = folder.At("corrected.star");
        using ViewRun view = new(volume, "--picks", picks, "--out", corrected, "--particle-diameter", "100");
        await using Sheet sheet = await Sheet.OpenAsync(browser, view.Address.ToString());
        await sheet.UntilAsync("document.querySelector('.counts').textContent.startsWith('18 of 18 picks kept')");
        // The voxel size reaches the page, for its scale bar.
        await sheet.UntilAsync("document.querySelector('.side .note').textContent.includes(' Å wide')");

        // z, by the slider's own event and by a key.
        await sheet.DoAsync(
            "const s = document.querySelector('.depth input'); s.value = 10; s.dispatchEvent(new Event('input'));");
        await sheet.UntilAsync("viewer.viewer.planes[0].lastDrawn === 10");
        await sheet.Page.Keyboard.PressAsync("PageUp");
        await sheet.UntilAsync("viewer.viewer.planes[0].lastDrawn === 20");
        await sheet.UntilAsync("viewer.viewer.planes.every(p => p.lastDrawn !== null)");

        // The slider is dragged; then the number beside it says exactly which are left out: the four lowest.
        await sheet.DragSliderAsync(".filter input[type=range]", 0.4m);
        await sheet.UntilAsync("document.querySelector('.counts').textContent.includes('below the sliders')");
        await sheet.DoAsync(
            "const n = document.querySelector('.filter input[type=number]'); n.value = 0.22; n.dispatchEvent(new "
            + "Event('change'));");
        await sheet.UntilAsync("document.querySelector('.counts').textContent.startsWith('14 of 18 picks kept · 4 below')");

        // The first two thumbnails are those of the lowest scores that are left.
        await sheet.UntilAsync("document.querySelectorAll('.cell').length >= 8");
        await sheet.UntilAsync(
            "document.querySelector(\".cell[data-pick='4']\") && !document.querySelector(\".cell[data-pick='3']\")");
        await sheet.Page.ClickAsync(".cell[data-pick='4']");
        await sheet.UntilAsync("document.querySelector(\".cell[data-pick='4']\").classList.contains('rejected')");
        await sheet.Page.Keyboard.PressAsync("ArrowRight");
        await sheet.UntilAsync("viewer.viewer.gallery.current.number === 5");
        await sheet.Page.Keyboard.PressAsync("x");
        await sheet.UntilAsync("viewer.viewer.picks.changes().removed.length === 2");

        // On the slice: a double click in an empty place adds, a click on a circle rejects, a drag moves.
        // A click on a thumbnail has led the slices to its pick.
        await sheet.UntilAsync("viewer.viewer.view.center.z !== 20");
        await sheet.DoAsync("viewer.viewer.go({ z: 20 }); viewer.viewer.fit()");
        await sheet.DoubleClickAsync(new Position(20, 80, 84));
        await sheet.UntilAsync("viewer.viewer.picks.changes().added.length === 1");
        await sheet.ClickAsync(new Position(20, 64, 64));
        await sheet.UntilAsync("viewer.viewer.picks.changes().removed.includes(17)");
        await sheet.DragAsync(new Position(20, 16, 16), new Position(20, 18, 19));
        await sheet.UntilAsync("viewer.viewer.picks.changes().moved.length === 1");

        // Undo takes the move back, then the rejection on the slice; redo brings that back.
        await sheet.Page.Keyboard.DownAsync("Control");
        await sheet.Page.Keyboard.PressAsync("z");
        await sheet.Page.Keyboard.PressAsync("z");
        await sheet.Page.Keyboard.PressAsync("y");
        await sheet.Page.Keyboard.UpAsync("Control");
        await sheet.UntilAsync(
            "viewer.viewer.picks.changes().moved.length === 0 && viewer.viewer.picks.changes().removed.length === 3");

        await sheet.Page.ClickAsync("button.primary");
        await sheet.UntilAsync("document.querySelector('.message').textContent.startsWith('Saved: 12 picks in ')");
        Assert.That(sheet.Problems, Is.Empty);

        IReadOnlyList<Particle> saved = CoordinateTables.Read(corrected);
        IReadOnlyList<Particle> removed = CoordinateTables.Read(folder.At("corrected_removed.star"));
        using (Assert.EnterMultipleScope())
        {
            // Of 18 four are below the slider, three are rejected, and one is new.
            Assert.That(saved, Has.Count.EqualTo(12));
            Assert.That(saved[^1].Z, Is.EqualTo(20).Within(0.01));
            Assert.That(saved[^1].Y, Is.EqualTo(80).Within(1));
            Assert.That(saved[^1].X, Is.EqualTo(84).Within(1));
            Assert.That(removed.Select(p => (p.Z, p.Y, p.X)),
                Is.EqualTo(((int[])[4, 5, 17]).Select(i => (Centers[i].Z, Centers[i].Y, Centers[i].X))));
            Assert.That(saved.SkipLast(1).Select(p => p.Score), Is.All.GreaterThanOrEqualTo(0.22));
        }

        // A page that is loaded again has what was changed.
        await using Sheet again = await Sheet.OpenAsync(browser, view.Address.ToString());
        await again.UntilAsync("document.querySelector('.counts').textContent.includes('3 rejected · 1 added')");
        Assert.That(view.Stop(), Is.Zero);

        string[] training =
        [
            "train", volume, "--picks", corrected, "--steps", "2", "--widths", "4,4", "--patch", "16", "--seeds", "24",
                "--iterations", "3",
            "--center-margin", "2", "--validate-every", "2", "--device", "cpu",
        ];
        ToolRun trained = ToolRun.Succeeds([.. training, "--out", folder.At("run")]);
        Assert.That(File.Exists(folder.At("run", "model.safetensors")), trained.Output);

        // What was rejected is known background, where labels are sparse.
        ToolRun.Succeeds(
            [.. training, "--out", folder.At("again"), "--background", folder.At("corrected_removed.star"), "--dice", "0.5",
            "--label-radius", "8"]);
        Assert.That(await File.ReadAllTextAsync(folder.At("again", "manifest.json")),
            Does.Contain("\"background\": \"../corrected_removed.star\""));
        ToolRun.Refuses(["known background makes no difference"],
            [.. training, "--out", folder.At("never"), "--background", folder.At("corrected_removed.star")]);
    }

    [Test]
    public async Task Page_WithoutPicks_SaysHowToAddOne()
    {
        using ViewRun view = new(volume, "--out", folder.At("new.csv"));
        await using Sheet sheet = await Sheet.OpenAsync(browser, view.Address.ToString());
        await sheet.UntilAsync("document.body.innerText.includes('A double click on a slice adds one.')");
        await sheet.DoubleClickAsync(new Position(16, 40, 40));
        await sheet.Page.ClickAsync("button.primary");
        await sheet.UntilAsync("document.querySelector('.message').textContent.startsWith('Saved: 1 pick')");
        Assert.That(CoordinateTables.Read(folder.At("new.csv")), Has.Count.EqualTo(1));
        Assert.That(sheet.Problems, Is.Empty);
    }

    [Test]
    public async Task Page_WithManyPicks_KeepsFewThumbnailsAndRejects()
    {
        const int many = 20_000;
        Random random = new(2);
        string table = folder.At("many.csv");
        CoordinateTables.Write(table,
            [.. Enumerable.Range(0, many)
            .Select(_ =>
            new Particle(random.NextDouble() * 31, random.NextDouble() * 95,
            random.NextDouble() * 95) { Score = random.NextDouble() })]);
        using ViewRun view = new(volume, "--picks", table, "--score-map", volume, "--out", folder.At("fewer.csv"));
        await using Sheet sheet = await Sheet.OpenAsync(browser, view.Address.ToString());
        await sheet.UntilAsync("document.querySelector('.counts')?.textContent.startsWith('20000 of 20000')");
        await sheet.UntilAsync("document.querySelectorAll('.filter:not([hidden])').length === 2");
        await sheet.UntilAsync("document.querySelectorAll('.cell').length > 5");
        Assert.That(await sheet.Page.EvaluateExpressionAsync<int>("document.querySelectorAll('.cell').length"), Is.LessThan(200));
        await sheet.DoAsync("document.querySelector('.gallery').scrollTop = 1e6");
        await sheet.UntilAsync("[...document.querySelectorAll('.score')].some(s => s.textContent.endsWith(' 1.000'))");
        await sheet.Page.ClickAsync(".cell");
        await sheet.Page.ClickAsync("button.primary");
        await sheet.UntilAsync("document.querySelector('.message').textContent.startsWith('Saved: 19999 picks')");
        Assert.That(sheet.Problems, Is.Empty);
    }

    [Test]
    public async Task Report_OfPicksAndTruth_IsOnePageWithWhatIsWrongFirst()
    {
        // Two true centres have no pick, three picks no centre; all others are half a voxel off along z.
        string found = folder.At("found.csv");
        Position[] wrong = [new(15, 28, 28), new(15, 52, 52), new(15, 80, 80)];
        CoordinateTables.Write(found,
            [.. Centers.Skip(2).Concat(wrong)
            .Select((c, i) =>
            new Particle(c.Z + (wrong.Contains(c) ? 0 : 0.5), c.Y, c.X) { Score = wrong.Contains(c) ? 0.1 + i / 100.0 : 0.5
            + i / 100.0 })]);
        ToolRun.Succeeds("evaluate", "--picks", found, "--truth", picks, "--volume", volume, "--radii", "4", "--report",
            folder.At("report.html"));
        string text = await File.ReadAllTextAsync(folder.At("report.html"));
        Assert.That(text, Has.Length.LessThan(4_000_000));
        string words = System.Net.WebUtility.HtmlDecode(text);
        Assert.That(words, Does.Contain("The picks are shifted: they lie +0.50 ± 0.00 voxels along z"));
        Assert.That(words, Does.Contain("Precision and recall against the threshold"));
        Assert.That(text, Does.Not.Match("(src|href)=\"(http|//)"), "nothing is loaded from elsewhere");
        Assert.That(() =>
            System.Xml.Linq.XDocument.Parse(text.Replace("<!DOCTYPE html>", "", StringComparison.Ordinal)), Throws.Nothing);

        await using Sheet sheet = await Sheet.OpenAsync(browser, new Uri(folder.At("report.html")).AbsoluteUri);
        await sheet.UntilAsync("document.querySelectorAll('.cell').length >= 5");
        string[] first =
            await sheet.Page.EvaluateExpressionAsync<string[]>(
            "viewer0.viewer.gallery.list.slice(0, 6).map(p => viewer0.viewer.source.volume.kinds[p.kind].name)");
        Assert.That(first,
            Is.EqualTo(new[] { "false pick", "false pick", "false pick", "missed centre", "missed centre", "hit" }));
        await sheet.Page.ClickAsync(".cell");
        await sheet.UntilAsync("viewer0.viewer.view.selected === viewer0.viewer.gallery.list[0]");
        Assert.That(await sheet.Page.EvaluateExpressionAsync<int>("viewer0.viewer.picks.changes().removed.length"), Is.Zero,
            "a report changes nothing");
        Assert.That(sheet.Problems, Is.Empty);
    }

    /// <summary>A page with what went wrong on it.</summary>
    private sealed class Sheet : IAsyncDisposable
    {
        private Sheet(IPage page)
        {
            Page = page;
            page.PageError += (_, e) => Problems.Add(e.Message);
            page.Console += (_, e) =>
            {
                if (e.Message.Type == ConsoleType.Error)
                    Problems.Add(e.Message.Text);
            };
            page.Dialog += async (_, e) => await e.Dialog.Accept();
        }

        public IPage Page { get; }

        public List<string> Problems { get; } = [];

        public static async Task<Sheet> OpenAsync(IBrowser browser, string address)
        {
            Sheet sheet = new(await browser.NewPageAsync());
            await sheet.Page.GoToAsync(address);
            return sheet;
        }

        public Task DoAsync(string script) => Page.EvaluateFunctionAsync($"() => {{ {script} }}");

        public async Task UntilAsync(string condition)
        {
            try
            {
                // Until the page has drawn what is asked about, the condition throws; the wait goes on.
                await Page.WaitForExpressionAsync(
                    $"(() => {{ try {{ return {condition}; }} catch {{ return false; }} }})()",
                    new WaitForFunctionOptions { Timeout = 60_000, PollingInterval = 50 });
            }
            catch (Exception e) when (e is WaitTaskTimeoutException or EvaluationFailedException)
            {
                string shown = await Page.EvaluateExpressionAsync<string>("document.body.innerText");
                Assert.Fail($"never: {condition}\n{string.Join('\n', Problems)}\n{shown[..Math.Min(shown.Length, 800)]}");
            }
        }

        public async Task ClickAsync(Position place)
        {
            (decimal x, decimal y) = await OnScreenAsync(place);
            await Page.Mouse.ClickAsync(x, y);
        }

        public async Task DoubleClickAsync(Position place)
        {
            (decimal x, decimal y) = await OnScreenAsync(place);
            await Page.Mouse.ClickAsync(x, y, new ClickOptions { Count = 2 });
        }

        public async Task DragAsync(Position from, Position to)
        {
            (decimal x, decimal y) = await OnScreenAsync(from);
            await Page.Mouse.MoveAsync(x, y);
            await Page.Mouse.DownAsync();
            (x, y) = await OnScreenAsync(to);
            await Page.Mouse.MoveAsync(x, y, new MoveOptions { Steps = 5 });
            await Page.Mouse.UpAsync();
        }

        public async Task DragSliderAsync(string selector, decimal share)
        {
            BoundingBox box = await (await Page.QuerySelectorAsync(selector)).BoundingBoxAsync();
            decimal y = box.Y + box.Height / 2;
            await Page.Mouse.MoveAsync(box.X + 8, y);
            await Page.Mouse.DownAsync();
            await Page.Mouse.MoveAsync(box.X + share * box.Width, y, new MoveOptions { Steps = 5 });
            await Page.Mouse.UpAsync();
        }

        // Where a place lies on the screen in the plane of x and y.
        private async Task<(decimal X, decimal Y)> OnScreenAsync(Position place)
        {
            decimal[] on = await Page.EvaluateExpressionAsync<decimal[]>(string.Create(CultureInfo.InvariantCulture, $$"""
                (() => {
                    const plane = viewer.viewer.planes[0], box = plane.canvas.getBoundingClientRect();
                    const at = plane.toScreen({ z: {{place.Z}}, y: {{place.Y}}, x: {{place.X}} });
                    return [box.left + at.x, box.top + at.y];
                })()
                """));
            return (on[0], on[1]);
        }

        public async ValueTask DisposeAsync() => await Page.DisposeAsync();
    }
}
