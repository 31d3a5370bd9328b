using System.Globalization;
using MeanShiftGpu.Storage;

using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// Looks whether centres belong to their volumes, for 'check' and at the start of 'train', and says what was
/// found.
/// </summary>
internal sealed class InputCheck
{
    // Particles that interlock have centres nearer than a diameter; few are nearer than this part of it.
    private const double NearestPart = 0.4;

    private readonly double diameterVoxels;
    private readonly bool diameterIsGiven;

    /// <summary>Looks at volumes that were opened.</summary>
    /// <param name="session">Where progress is shown.</param>
    /// <param name="entries">What the manifest says of each volume.</param>
    /// <param name="volumes">The volumes, in the same order.</param>
    /// <param name="diameterVoxels">The particles' diameter.</param>
    /// <param name="diameterIsGiven">Whether the user gave it, for particles of one kind.</param>
    public InputCheck(
        Session session, IReadOnlyList<DatasetVolume> entries, IReadOnlyList<TrainingVolume> volumes, double diameterVoxels,
            bool diameterIsGiven)
    {
        this.diameterVoxels = diameterVoxels;
        this.diameterIsGiven = diameterIsGiven;

        IReadOnlyList<TrainingVolume> whole = WholeVolumes.Of(entries, volumes);
        IReadOnlyList<CenterCheck> checks = [];
        session.Progress("checking", report => checks = CenterCheck.Of(
            whole, diameterVoxels, diameterIsGiven,
            (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}"), session.Cancellation));
        Found = [.. whole.Zip(checks)];
    }

    /// <summary>Each volume, put together where it was cut, with what was found.</summary>
    public IReadOnlyList<(TrainingVolume Volume, CenterCheck Check)> Found { get; }

    /// <summary>What is wrong, a sentence for each, with the volume's name.</summary>
    public IReadOnlyList<string> Problems => [.. Found.SelectMany(f => ProblemsOf(f.Volume, f.Check))];

    /// <summary>Writes the page.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void WritePage(string path, Provenance made)
    {
        IEnumerable<ReportFact> hashes = made.Inputs.Select(i => new ReportFact($"SHA-256 of {i.File}", i.Sha256));
        CenterCheckReport.Write(path, Found, diameterVoxels, [new ReportFact("Command", made.Command), .. hashes]);
    }

    private IEnumerable<string> ProblemsOf(TrainingVolume volume, CenterCheck check)
    {
        string name = Path.GetFileName(volume.Name);
        if (check.Outside > 0)
            yield return $"{name}: {check.Outside} of {Counted.Of(volume.Centers.Count, "centre")} outside the volume. Check "
                + $"the binning, the voxel size, the axis order, and whether the table counts in voxels, not in Å.";
        if (diameterIsGiven && check.MedianDistance is { } median && median < NearestPart * diameterVoxels)
            yield return string.Create(CultureInfo.InvariantCulture, $"{name}: nearest neighbours are {median:0.#} voxels apart, "
                + $"the particle's diameter was given as {diameterVoxels:0.#} voxels. Are the voxel size and the diameter in Å "
                + $"right?");

        if (volume.IsConstant)
            yield return $"{name}: every voxel has the same value. Was the right volume given?";
        // Annotators may keep to a corner; their centres stand out.
        if (Math.Abs(check.Given.Contrast) < CenterCheck.ClearErrors && Diagnosis.OfCentres(volume) is { } corner)
            yield return $"{name}: {corner}";
        if (check.Problem is { } problem)
            yield return $"{name}: {problem}.".Replace("?.", "?", StringComparison.Ordinal);
    }
}
