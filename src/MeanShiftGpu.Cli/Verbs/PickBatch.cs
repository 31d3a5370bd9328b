using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// Picks the volumes of a command one after the other. What can be seen in a header is found out before the
/// volumes ahead of it are computed; a volume that cannot be picked does not stop the others.
/// </summary>
/// <param name="session">Where it is said.</param>
/// <param name="outputs">The tables and maps, prepared.</param>
/// <param name="volumes">The volumes that are picked, some of them perhaps before.</param>
/// <param name="explained">Adds to a failure which option mends it.</param>
internal sealed class PickBatch(
    Session session, PickOutputs outputs, IReadOnlyList<PickFiles> volumes, Func<InputException, InputException> explained)
{
    private readonly PickFailures failures = new(session, explained, volumes.Count == 1);
    private readonly MrcHeader?[] headers = new MrcHeader?[volumes.Count];
    private readonly List<PickedVolume> picked = [];
    private readonly List<object> report = [];

    /// <summary>The volumes that were picked in this run.</summary>
    public IReadOnlyList<PickedVolume> Picked => picked;

    /// <summary>What the JSON says of each volume.</summary>
    public IEnumerable<object> Report => report.Concat(failures.Summaries);

    /// <summary>The files that the results were computed from.</summary>
    public IEnumerable<string> Inputs => outputs.Records.Inputs(picked.Select(p => p.Files.Volume));

    /// <summary>Done, or what the failures come to.</summary>
    public ExitCode Code => failures.Count == 0 ? ExitCode.Done
        : failures.Count == volumes.Count ? ExitCode.BadInput : ExitCode.CheckFailed;

    /// <summary>
    /// Whether all volumes have been picked before with the same result; says so if they have.
    /// </summary>
    public bool SkipAll()
    {
        if (!volumes.All(outputs.IsDone))
            return false;
        report.AddRange(volumes.Select(files => PickReport.Skip(session, files)));
        return true;
    }

    /// <summary>Reads the headers and refuses what does not fit.</summary>
    /// <exception cref="InputException">The volumes do not go into one table, or the one volume cannot be
    /// picked.</exception>
    public void ReadHeaders()
    {
        for (int i = 0; i < volumes.Count; i++)
        {
            PickFiles files = volumes[i];
            failures.Guard(files, () =>
            {
                MrcHeader header = session.ReadHeader(files.Volume);
                PickReport.CheckIsVolume(files.Volume, header);
                outputs.Check(files, header);
                headers[i] = header;
            });
        }

        if (outputs.Single)
            outputs.CheckTogether([.. headers.OfType<MrcHeader>()]);
    }

    /// <summary>Picks, and writes the tables.</summary>
    /// <param name="picker">The model.</param>
    /// <param name="request">What is asked for of each volume.</param>
    public void Pick(TomogramPicker picker, PickRequest request)
    {
        for (int i = 0; i < volumes.Count; i++)
        {
            PickFiles files = volumes[i];
            if (headers[i] is { } header && !outputs.IsDone(files)
                && !failures.Guard(files, () => picker.PlanFor(header.Shape, request with { ScoreMapFile = files.Map })))
                headers[i] = null;
        }

        for (int i = 0; i < volumes.Count; i++)
        {
            if (headers[i] is { } header)
                Pick(picker, request, volumes[i], header);
        }

        if (outputs.Single && picked.Count > 0)
            outputs.WriteTable(picked);
        failures.Say(volumes.Count);
    }

    private void Pick(TomogramPicker picker, PickRequest request, PickFiles files, MrcHeader header)
    {
        if (!outputs.Single && outputs.IsDone(files))
        {
            report.Add(PickReport.Skip(session, files));
            return;
        }

        if (picker.Description is { VoxelSizeAngstrom: > 0 and var trained } && request.VoxelSizeAngstrom is null
            && header.VoxelSize is { IsCube: true, CubeAngstrom: 0 })
            session.Warn($"{files.Name}: its header has no voxel size; the model was trained at {trained:0.##} Å. Give "
                + "--voxel-size: without it the table has none, and nothing tells whether the volume is like those of the "
                + "training.");
        PickResult? result = null;
        if (!failures.Guard(files, () => result = PickReport.Pick(session, picker, files, outputs.MaskOf(files.Volume), request)))
            return;
        picked.Add(new PickedVolume(files, header, new VolumePicks(files.Name, result!.Picks)));
        report.Add(PickReport.Summary(files, header, result));
        if (!outputs.Single)
            outputs.WriteTable(picked[^1]);
    }
}
