using System.CommandLine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Simulation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Writes a simulated data set.</summary>
internal sealed class SimulateVerb(Session session) : Verb(session)
{
    private readonly SimulateSettings settings = new();

    public override string Name => "simulate";

    public override string Summary => "Makes a data set from nothing.";

    protected override string Description =>
        "Simulates a data set that 'train' reads: sandclock volumes (particles of two touching balls in noise), or tomograms: "
        + "particles of several shapes at random " +
        "rotations without overlaps, projected at tilts, with contrast transfer and noise, and back-projected.";

    public override string Example => "meanshift-gpu simulate --out data --preset tomogram --train 2 --test 2 --shapes "
        + "sandclock ring";

    protected override bool UsesDevice => false;

    public override IReadOnlyList<OptionGroup> Groups => settings.Groups;

    protected override IEnumerable<Symbol> Reads => [.. settings.Reads];

    protected override IEnumerable<Symbol> Writes => [settings.Output];

    protected override ExitCode Run(ParseResult options)
    {
        return settings.AsksForTomograms(options) ? WriteTomograms(options) : WriteSandclocks(options);
    }

    private ExitCode WriteSandclocks(ParseResult options)
    {
        SandclockDatasetOptions dataset = settings.Sandclocks(options);
        dataset.Sandclock.Validate();
        using FolderLock folderLock = Prepare(options, out string folder, out string manifest);

        IReadOnlyList<SimulatedVolume> volumes = [];
        Session.Progress("simulating", report =>
            volumes = SandclockDataset.Write(
                folder,
                dataset,
                (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}"),
                Cancellation));

        Made(options, []).Write(manifest);
        Session.Line($"{Counted.Of(volumes.Count, "volume")} of "
            + $"{dataset.Sandclock.Depth}×{dataset.Sandclock.Height}×{dataset.Sandclock.Width} voxels with "
            + $"{Counted.Of(volumes.Sum(v => v.Particles), "particle")}: {manifest}");
        WriteJson(options, new
        {
            Manifest = manifest,
            dataset.Sandclock.Seed,
            Volumes = volumes.Select(v => new { v.Entry.Volume, v.Entry.Coordinates, v.Entry.Mask, v.Entry.Split, v.Particles }),
        });
        return ExitCode.Done;
    }

    // Volumes without a manifest are somebody's, or those of a run that was stopped: SHREC's layout is the
    // one that is written, too.
    private FolderLock Prepare(ParseResult options, out string folder, out string manifest)
    {
        (folder, bool overwrite) = settings.Place(options);
        manifest = Path.Combine(folder, DatasetManifest.UsualName);
        OutputFolder.Prepare(folder);
        RefuseReplacing(folder, overwrite, DatasetManifest.UsualName);
        string? there = Directory.EnumerateFiles(folder, "*.mrc").FirstOrDefault()
            ?? Directory.EnumerateDirectories(folder, "model_*").Select(model => Path.Combine(model, "reconstruction.mrc"))
                .FirstOrDefault(File.Exists);
        if (there is not null && !overwrite)
            throw new InputException($"{there}: is there already, and might be replaced. Choose an empty folder, or write into "
                + "this one with --overwrite.");
        Files.Write(settings.Output.Name, manifest);
        return FolderLock.Take(folder);
    }

    private ExitCode WriteTomograms(ParseResult options)
    {
        TomogramOptions tomogram = settings.Tomograms(options);
        tomogram.Validate();
        DatasetSplit[] splits = settings.Splits(options);
        using FolderLock folderLock = Prepare(options, out string folder, out string manifest);

        IReadOnlyList<WrittenTomogram> written = [];
        Session.Progress("simulating", report =>
            written = TomogramDataset.Write(
                folder,
                tomogram,
                splits,
                (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "tomogram")}"),
                Cancellation));

        Made(options, []).Write(manifest);
        foreach (ParticleShape shape in tomogram.Shapes)
            Session.Line($"{shape.Name}: {Counted.Of(written.Sum(w => w.Particles.GetValueOrDefault(shape.Name)), "particle")} "
                + $"of {Counted.Of(shape.MaskVoxels, "voxel")}, radius {shape.RadiusVoxels:0.0} (a ball of the same volume) to "
                + $"{shape.OuterRadiusVoxels:0.0}");
        Session.Line($"{Counted.Of(written.Count, "tomogram")} of {tomogram.Extent} voxels of "
            + $"{tomogram.VoxelSizeAngstrom:0.##} Å, {Counted.Of(tomogram.TiltsDegrees.Count, "tilt")}: {manifest}");
        WriteJson(options, new
        {
            Manifest = manifest,
            tomogram.Seed,
            Shapes = tomogram.Shapes.Select(s => new { s.Name, s.MaskVoxels, s.RadiusVoxels, s.OuterRadiusVoxels }),
            tomogram.TiltsDegrees,
            tomogram.Microscope,
            tomogram.SignalToNoise,
            Tomograms = written.Select(w => new
            {
                w.Entry.Volume,
                w.Entry.Coordinates,
                w.Entry.Mask,
                w.Entry.Split,
                w.Particles,
                w.DefocusMicrometers,
                w.SignalVariance,
                w.NoiseDeviation,
            }),
        });
        return ExitCode.Done;
    }
}
