using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>
/// A page with the centres of each volume on a slice, and the mean of the subvolumes at the centres: a blob
/// in the middle if all is well.
/// </summary>
public static class CenterCheckReport
{
    private const int MostVolumes = 8;
    private const int ReachSlices = 3;
    private const int SlicesAround = 2;

    /// <summary>Writes the page.</summary>
    /// <param name="path">An HTML file.</param>
    /// <param name="volumes">The volumes, normalised, with what was found.</param>
    /// <param name="diameterVoxels">The particles' diameter.</param>
    /// <param name="facts">How the page was made.</param>
    /// <exception cref="InputException">A volume cannot be read, or the page cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<(TrainingVolume Volume, CenterCheck Check)> volumes,
        double diameterVoxels, IReadOnlyList<ReportFact> facts)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        using InvariantText invariant = InvariantText.Begin();
        ReportHtml.Write(path, new ReportDocument
        {
            Title = "Do the centres belong to the tomograms?",
            Lead =
            [
                .. volumes.Select(v => $"{Path.GetFileName(v.Volume.Name)}: {Counted.Of(v.Volume.Centers.Count, "centre")}; "
                    + "grey values there differ from other places by "
                    + $"{v.Check.Given.Contrast:0.0} standard errors. "
                    + $"{(v.Check.Problem is { } problem ? $"Look at this: {problem}." : "Nothing wrong was found.")}"),
            ],
            Panels = [.. volumes.Take(MostVolumes).Select(v => Panel(v.Volume, diameterVoxels))],
            Facts = facts,
        });
    }

    private static ReportPanel Panel(TrainingVolume volume, double diameter)
    {
        Extent size = volume.Size;
        int z = ReportImage.FullestSlice(volume.Centers, size.Depth, ReachSlices);
        (int first, int last) = (Math.Max(0, z - SlicesAround), Math.Min(size.Depth - 1, z + SlicesAround));
        float[] slice = new float[size.Height * size.Width];
        float[] one = new float[slice.Length];
        for (int i = first; i <= last; i++)
        {
            volume.Image.Read(Box.Slices(size, i, 1), one);
            for (int k = 0; k < slice.Length; k++)
                slice[k] += one[k] / (last - first + 1);
        }

        List<ReportImage> images = [ReportImage.FromSlice("Centres", slice, size.Height, size.Width, z, volume.Centers, [],
            ReachSlices)];
        // In a thin tomogram few larger boxes would lie inside.
        int half = Math.Min((int)Math.Ceiling(diameter), Math.Min(size.Depth, Math.Min(size.Height, size.Width)) / 4);
        int edge = (2 * half) + 1;
        if (Average(volume, edge) is var (average, count) && count > 0)
            images.Add(ReportImage.FromVolume($"Mean of {count}", average, edge, edge, edge, edge / 2, [], [], 0));
        return new ReportPanel(
            $"{Path.GetFileName(volume.Name)}, slice {z}", images,
            $"Left: the mean of {last - first + 1} slices with the centres within {ReachSlices} slices. Right: the middle "
            + "slice of the mean of the subvolumes "
                + "at the centres, at most two diameters wide; a blob in its middle if the centres are right.");
    }

    private static (float[] Mean, int Count) Average(TrainingVolume volume, int edge)
    {
        float[] sum = new float[edge * edge * edge];
        float[] one = new float[sum.Length];
        int count = 0;
        foreach (Position center in volume.Centers)
        {
            (int z, int y, int x) = ((int)Math.Round(center.Z), (int)Math.Round(center.Y), (int)Math.Round(center.X));
            Box box = new((z - (edge / 2), y - (edge / 2), x - (edge / 2)), new Extent(edge, edge, edge));
            if (!box.IsInside(volume.Size))
                continue;
            volume.Image.Read(box, one);
            for (int i = 0; i < sum.Length; i++)
                sum[i] += one[i];
            count++;
        }

        for (int i = 0; i < sum.Length; i++)
            sum[i] /= Math.Max(1, count);
        return (sum, count);
    }
}
