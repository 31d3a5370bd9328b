using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Viewing;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The page of 'pick --report': the picks of some volumes, to be looked at and mailed.</summary>
internal static class PickPage
{
    // The bandwidth that 'train' derives from a diameter, as a fraction of it.
    private const double BandwidthOfDiameter = 0.4;

    /// <summary>The option.</summary>
    public static Option<string?> Option() => Parse.Text(
        "--report", "FILE",
            $"Write a page (HTML) with the picks on slices and as thumbnails, of the first {ViewReport.MostVolumes} volumes "
            + $"that are picked. Needs nothing else beside it.");

    /// <summary>Refuses a name that cannot be that of the page.</summary>
    /// <param name="page">The name; null where no page is wanted.</param>
    /// <exception cref="InputException">It is no name of a page, or its folder cannot be written
    /// to.</exception>
    public static string? Check(string? page)
    {
        if (page is null)
            return null;
        if (Path.GetExtension(page).ToLowerInvariant() is not (".html" or ".htm"))
            throw new InputException($"--report: {page} is no name of a page; expected one that ends in .html.");
        OutputFolder.CheckFile(page);
        return page;
    }

    /// <summary>Writes the page.</summary>
    /// <param name="page">Its file.</param>
    /// <param name="picked">The volumes that were picked in this run.</param>
    /// <param name="picker">What picked them.</param>
    /// <param name="command">The command line.</param>
    /// <param name="session">Told where it is.</param>
    public static void Write(string page, IReadOnlyList<PickedVolume> picked, TomogramPicker picker, string command,
        Session session)
    {
        int total = picked.Sum(p => p.Picks.Picks.Count);
        List<string> lead =
            [$"{Counted.Of(total, "pick")} in {Counted.Of(picked.Count, "volume")}. Look at the thumbnails with the lowest "
            + $"scores first: where they show no particles, choose a higher threshold. 'meanshift-gpu view' corrects picks "
            + $"one by one."];
        if (picked.Count > ViewReport.MostVolumes)
            lead.Add($"The pictures are of the first {ViewReport.MostVolumes} volumes.");
        ReportHtml.Write(page, new ReportDocument
        {
            Title = $"Picks in {(picked.Count == 1 ? picked[0].Files.Name : Counted.Of(picked.Count, "volume"))}",
            Lead = lead,
            Insert = ViewReport.Make([.. picked.Select(p => Shown(p, picker))]),
            Tables = [Table(picked)],
            Facts =
            [
                new("Command", command),
                .. picker.Classes.Select(c => new ReportFact(
                    c.Label.Length == 0 ? "Threshold, bandwidth" : $"Threshold, bandwidth of {c.Label}",
                    FormattableString.Invariant($"{c.Options.Threshold:0.###}, {c.Options.BandwidthVoxels:0.##} voxels"))),
                new("Program",
                    $"MeanShiftGpu {Provenance.OwnVersion}, {RuntimeInformation.FrameworkDescription}, "
                    + $"{RuntimeInformation.OSDescription}"),
            ],
        });
        session.Line($"report: {page}");
    }

    private static ReportedVolume Shown(PickedVolume volume, TomogramPicker picker)
    {
        ViewedKind[] kinds =
            [.. picker.Classes.Select(c => new ViewedKind(c.Label, c.Options.BandwidthVoxels / BandwidthOfDiameter))];
        int KindOf(Pick pick) =>
            Math.Max(0, Array.FindIndex(kinds, k =>
            k.Name == (pick.ClassName ?? pick.Class?.ToString(CultureInfo.InvariantCulture) ?? "")));
        return new ReportedVolume(
            volume.Files.Name, volume.Files.Volume, kinds,
            [.. volume.Picks.Picks
                .Select(p => new ReportedPoint(p.Position, KindOf(p)) { Score = p.Score, Support = p.Support })],
                WorstFirst: false);
    }

    private static ReportTable Table(IReadOnlyList<PickedVolume> picked)
        => new(
            "Volumes",
            [
                new("picks", 0, ReportBest.None), new("lowest score", 3, ReportBest.None), new("median", 3, ReportBest.None),
                    new("highest", 3, ReportBest.None),
                new("at the border", 0, ReportBest.None,
                    "picks within a bandwidth of the volume's border or the mask's, of whose surroundings a part was not seen"),
            ],
            [
                .. picked.Select(p =>
                {
                    double[] scores = [.. p.Picks.Picks.Select(k => (double)k.Score).Order()];
                    ReportCell Score(Func<double[], double> of) => new(scores.Length == 0 ? null : of(scores));
                    return new ReportRow(p.Files.Name, ReportColor.Blue,
                        [new(scores.Length), Score(s => s[0]), Score(s => s[s.Length / 2]), Score(s => s[^1]),
                        new(p.Picks.Picks.Count(k => k.AtBorder))]);
                }),
            ],
            "Volumes that had been picked before are left out.");
}
