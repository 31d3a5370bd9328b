using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>What 'convert' prints.</summary>
internal static class ConvertReport
{
    /// <summary>Says what was converted, and what may be wrong with it.</summary>
    /// <param name="session">Where it is said.</param>
    /// <param name="input">The table or folder that was read.</param>
    /// <param name="target">What was written.</param>
    /// <param name="result">The conversion.</param>
    /// <param name="shape">The volume's size; null where it is not known.</param>
    /// <returns>The same for a program.</returns>
    public static object Say(Session session, string input, string target, ConversionResult result, Extent? shape)
    {
        string?[] tomograms = [.. result.Particles.Select(p => p.Tomogram).Distinct()];
        double[] voxels = [.. result.ToPixels.Select(g => g.VoxelSizeAngstrom)];
        string counts = $"{Counted.Of(result.Particles.Count, "particle")} of {Counted.Of(tomograms.Length, "tomogram")}";
        string formats = $"{CoordinateFormats.Word(result.From)} to {CoordinateFormats.Word(result.To)}";
        string sizes = voxels.Any(v => v > 0) ? $"voxels of {Numbers(voxels)} Å" : "voxel size unknown";
        string from = Numbers(result.FromPixels.Select(g => g.PerVoxel)), to = Numbers(result.ToPixels.Select(g => g.PerVoxel));
        string geometry = result.Particles.Count == 0 ? "" : $"; {sizes}, pixels per voxel: input {from}, output {to}";
        session.Line($"{target}: {counts}, {formats}{geometry}");
        string[] tableAndRecord = [target, target + Provenance.Ending];
        foreach (string names in CoordinateTables.FilesOf(target).Except(tableAndRecord).Where(File.Exists))
            session.Line($"{names}: the tomograms' numbers and names");
        if (result.LeftOut == 0 && result.Particles.Count == 0)
            session.Warn($"{target}: is empty, as {input} holds no particle.");
        else if (result.Particles.Count == 0)
            session.Warn($"{target}: is empty, as the filters left out all of the {Counted.Of(result.LeftOut, "particle")}.");
        else if (result.LeftOut > 0)
            session.Line($"{target}: {Counted.Of(result.LeftOut, "particle")} left out, {result.Particles.Count} kept");
        if (result.Particles.Any(p => p.Score is not null) && !CoordinateFormats.HoldsScores(result.To))
            session.Warn($"{target}: {CoordinateFormats.Word(result.To)} tables have no scores; they were left out.");
        if (result.Particles.Any(p => p.Orientation is not null) && !CoordinateFormats.HoldsAngles(result.To))
            session.Warn($"{target}: {CoordinateFormats.Word(result.To)} tables have no angles; they were left out.");
        if (CoordinateFormats.HoldsScores(result.To))
            WarnOfBlanks(session, target, result, "score", p => p.Score is null);
        WarnOfBlanks(session, target, result, "class", p => p.Class is null && p.Name is null);
        if (result.Files is not [var only] || only != target)
        {
            const int most = 5;
            IEnumerable<string> inFiles = CoordinateFolder.NamesInFiles(result.To, result.Particles);
            string[] unsafeNames = [.. inFiles.Where(n => SafeName.Of(n) != n)];
            foreach (string name in unsafeNames.Take(most))
            {
                string said = InputFile.Quote(name);
                session.Warn($"{target}: {said} cannot be the name of a file; the file's has '{SafeName.Of(name)}' for it.");
            }

            if (unsafeNames.Length > most)
                session.Warn($"{target}: {unsafeNames.Length - most} more names cannot be those of files, and were changed.");
        }

        int outside = shape is { } known ? result.Particles.Count(p => !CoordinateTables.IsInside(p, known)) : 0;
        if (outside > 0)
            session.Warn($"{input}: {outside} of {Counted.Of(result.Particles.Count, "centre")} "
                + $"outside the volume of {shape}. Check the binning, the voxel size and the format.");
        return new
        {
            result.From,
            result.To,
            result.Files,
            Particles = result.Particles.Count,
            result.LeftOut,
            Tomograms = tomograms,
            VoxelSizeAngstrom = One(voxels),
            FromBinning = One(result.FromPixels.Select(g => g.PerVoxel)),
            ToBinning = One(result.ToPixels.Select(g => g.PerVoxel)),
            OutsideVolume = shape is null ? (int?)null : outside,
        };
    }

    /// <summary>
    /// Warns of particles that lack what others have, where the format has a number in every row.
    /// </summary>
    private static void WarnOfBlanks(
        Session session, string target, ConversionResult result, string what, Func<Particle, bool> lacks)
    {
        int without = result.Particles.Count(lacks);
        if (without > 0 && without < result.Particles.Count && !CoordinateFormats.HoldsBlanks(result.To))
            session.Warn($"{target}: {without} of {Counted.Of(result.Particles.Count, "particle")} without a {what} got the "
                + $"number of an unknown one, as {CoordinateFormats.Word(result.To)} tables have a {what} in every row. Convert "
                + "them by themselves to tell them apart.");
    }

    /// <summary>A number that is the same for all rows, to nine digits; null where rows differ.</summary>
    private static double? One(IEnumerable<double> values) => Different(values) is [var one] ? one : null;

    private static string Numbers(IEnumerable<double> values)
    {
        const int most = 4;
        double[] different = Different(values);
        string text = string.Join(" and ", different.Take(most).Select(v => v.ToString("0.####", CultureInfo.InvariantCulture)));
        return different.Length > most ? $"{text} and {different.Length - most} others" : text;
    }

    private static double[] Different(IEnumerable<double> values)
        => [.. values.Select(v => double.Round(v, 9)).Distinct().DefaultIfEmpty(0)];
}
