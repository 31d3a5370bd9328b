using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Puts the tables of a folder together, as one process would have written them, and names the
/// volumes that have none.</summary>
internal static class PickMerge
{
    /// <summary>Writes the table.</summary>
    /// <param name="session">Where it is said.</param>
    /// <param name="outputs">The folder, the volumes, and how their tables must have been made.</param>
    /// <param name="target">The table.</param>
    /// <exception cref="InputException">There is no table at all, or one was made otherwise.</exception>
    public static ExitCode Run(Session session, PickOutputs outputs, string target)
    {
        if (outputs.Single)
            throw new InputException($"{outputs.Target}: is one table; {PickVerb.MergeName} puts those of a folder together. "
                + "Give the folder as --out.");
        CoordinateFormat format = outputs.GivenFormat is { } given && CoordinateFormats.HoldsSeveralTomograms(given) ? given
            : CoordinateFormats.ForWriting(target);
        OutputFolder.CheckFile(target);
        CoordinateFormats.RefuseOtherEnding(target, format);
        PickFiles[] files = [.. outputs.Volumes.Select(v => outputs.FilesOf(v, outputs.Volumes.Count))];
        PickFiles[] there = [.. files.Where(f => File.Exists(f.Table))];
        if (there.Length == 0)
            throw new InputException($"{outputs.Target}: has no table of any of {Counted.Of(files.Length, "volume")}. Pick "
                + "first.");
        outputs.Files.Read([.. outputs.Records.Inputs(outputs.Volumes), .. there.Select(f => f.Table)]);
        if (!outputs.Overwrite && File.Exists(target) && Provenance.Read(target) is null)
            throw new InputException($"{target}: is there already, made by an unknown program. Replace it with --overwrite, "
                + "or choose another name.");

        List<PickedVolume> merged = [];
        List<Particle> particles = [];
        foreach (PickFiles of in there)
        {
            if (outputs.Records.DifferenceOf(of.Table, [of.Volume]) is { } difference)
                throw new InputException($"{of.Table}: was made {difference}, so it does not belong to the others. Pick it "
                    + "again.");
            MrcHeader header = session.ReadHeader(of.Volume);
            CoordinateContext context = outputs.Context.WithVolume(of.Volume, header.Shape,
                header.VoxelSize) with
            { Format = outputs.Format };
            particles.AddRange(CoordinateTables.Read(of.Table, context).Select(p => p with { Tomogram = of.Name }));
            merged.Add(new PickedVolume(of with { Table = target, Map = null }, header, new VolumePicks(of.Name, [])));
        }

        outputs.CheckTogether([.. merged.Select(m => m.Header)]);
        outputs.Records.Write(merged);
        CoordinateTables.Write(target, particles, outputs.Writing(merged) with { Format = format });
        session.Line($"{target}: {Counted.Of(particles.Count, "pick")} of {Counted.Of(there.Length, "volume")}");
        string[] missing = [.. files.Except(there).Select(f => f.Name)];
        if (missing.Length == 0)
            return ExitCode.Done;
        session.Error($"{missing.Length} of {Counted.Of(files.Length, "volume")} have no table: {string.Join(", ", missing)}.");
        return ExitCode.CheckFailed;
    }
}
