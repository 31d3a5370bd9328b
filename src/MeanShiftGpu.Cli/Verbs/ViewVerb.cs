using System.CommandLine;
using MeanShiftGpu.Cli.Viewing;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Viewing;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Shows a tomogram and its picks in the browser, where they can be corrected.</summary>
internal sealed class ViewVerb(Session session) : Verb(session)
{
    private const double UsualDiameterVoxels = 10;

    // What the program itself takes beside the caches of slices: its code, and a few slices on their way.
    private const int OwnMemoryMiB = 256;

    private readonly Argument<string> tomogram = new("TOMOGRAM") { Description = $"The tomogram ({VolumeFiles.EndingsText})." };
    private readonly Option<string?> picks = Parse.Text("--picks", "TABLE",
        $"Table of picks ({string.Join(", ", CoordinateFormats.Endings)}), or a folder of such. Default: none.");
    private readonly Option<string?> scoreMap = Parse.Text("--score-map", "MAP",
        "The score map that 'pick' wrote: laid over the slices, and gives each pick its support, the sum of the scores "
            + "within the particle's ball.");
    private readonly Option<string?> output = Parse.Text("--out", "TABLE",
        $"Where the page saves the corrected picks. Those rejected by hand go to a table of their own beside it, "
            + $"NAME{PickCorrection.RemovedEnding}.star, "
            + $"what was changed to NAME.star{PickCorrection.ChangesEnding}. Default: the page cannot save.");
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace what --out has left earlier." };
    private readonly Option<CoordinateFormat?> format = Parse.Choice("--format",
        "Format of --out. Default: that of --picks where the ending is one of its, or else that of the ending.",
        CoordinateFormats.Words);
    private readonly Option<double[]?> diameter = Parse.RealList("--particle-diameter",
        $"Diameter of the particle in Å; one for all classes, or one for each in the alphabetical order of their names. "
            + $"Default: {UsualDiameterVoxels} voxels.");
    private readonly Option<bool> noBrowser =
        new("--no-browser") { Description = "Print the page's address, and open no browser." };
    private readonly Option<int> memory = Parse.Integer("--memory",
        "Memory for the whole process in MiB; slices along x and y are coarser where it does not suffice.", 2048, 320,
            int.MaxValue);
    private readonly Option<double?> voxelSize =
        Parse.Real("--voxel-size", "Voxel size in Å. Default: the tomogram's header.", 1e-6, 1e6);
    private readonly Option<double?> binning =
        Parse.Real("--binning", "How many pixels of the tables make a voxel. Default: what they say, or 1.", 1e-6);
    private readonly Option<string?> tomograms =
        Parse.Text("--tomograms", "FILE", "RELION's tomograms.star, for tables of relion5.");
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre",
        "The point that RELION 5 coordinates count from: size/2, as its C++ programs take it, or one less, as its Python "
            + "pickers do. Default: half-size.");

    public override string Name => "view";

    public override string Summary => "Shows a tomogram and its picks in the browser, to correct them.";

    protected override string Description =>
        "Shows a tomogram, its picks and its score map in the browser. Picks can be rejected, added and moved there, chosen "
            + "by score and support, and saved. "
        + "The page is for this machine alone, and its address is a secret; Ctrl-C ends it. "
        + "On another machine: forward the port with ssh -L, as the printed line says, and open the printed address.";

    public override string Example =>
        "meanshift-gpu view TS_01.mrc --picks picks/TS_01.star --out corrected/TS_01.star --particle-diameter 250";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols
        => [tomogram, picks, scoreMap, output, overwrite, format, diameter, noBrowser, memory, voxelSize, binning, tomograms,
            centre];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize => voxelSize.Name,
        MissingFact.Binning => binning.Name,
        MissingFact.Format => format.Name,
        _ => null,
    };

    protected override IEnumerable<Symbol> Reads => [tomogram, picks, scoreMap, tomograms];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        string volumePath = options.GetRequiredValue(tomogram);
        MrcHeader header = Session.ReadHeader(volumePath);
        string name = TomogramNames.Of(volumePath);
        CoordinateContext context = new CoordinateContext
        {
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
            Binning = options.GetValue(binning) ?? 0,
            TomogramsStar = options.GetValue(tomograms),
        }.WithVolume(volumePath, header.Shape, header.VoxelSize);
        string? table = TableOf(options.GetValue(picks), name);
        IdleOptions idle = new(options, Name, [.. IdleOptions.Of(table is null ? [] : [table]),
            .. options.GetValue(format) is { } wanted ? [wanted] : (CoordinateFormat[])[]]);
        idle.Refuse(centre, IdleOptions.CountsFromCentre);
        idle.Refuse(tomograms, CoordinateFormats.UsesTomogramsStar);
        CoordinateTable? read = table is null ? null : CoordinateTables.ReadTable(table, context with { Tomogram = name });
        if (read is not null)
            CoordinateTables.CheckInside(table!, read.Particles, header.Shape);
        string[] inputs =
            [volumePath, .. ((string?[])[table, options.GetValue(scoreMap), options.GetValue(tomograms)]).OfType<string>()];
        Files.Read(inputs);
        PickCorrection correction = new(read?.Particles ?? [], header.Shape);
        double[] diameters = Diameters(options, correction.Kinds.Count, context.VoxelSizeAngstrom, volumePath);
        // Corrected picks follow from the tables and the score map; the tomogram was only looked at.
        string[] used = [.. inputs.Skip(1)];
        Func<PickChanges, int>? save = options.GetValue(output) is { } target
            ? Saving(options, target, () => Made(options, used), correction, name, context, read is null ? null
                : (table!, read.Format))
            : null;
        long caches = (long)(options.GetValue(memory) - OwnMemoryMiB) << 20;
        string? mapPath = options.GetValue(scoreMap);
        using VolumeSlices volume = VolumeSlices.Open(volumePath, mapPath is null ? caches : caches / 2, Cancellation);
        using VolumeSlices? scores = mapPath is null ? null : VolumeSlices.OpenScoreMap(mapPath, caches / 2, Cancellation);
        if (scores is not null && scores.Size != volume.Size)
            throw new InputException($"{mapPath}: the score map has {scores.Size} voxels, {volumePath} has {volume.Size}; "
                + "expected the same size. Give the score map that 'pick' wrote for this tomogram.");
        ViewSession page = new()
        {
            Volume = volume,
            Scores = scores,
            Correction = correction,
            Name = name,
            VoxelAngstrom = context.VoxelSizeAngstrom,
            Diameters = diameters,
            Save = save,
            SavedTable = Path.GetFileName(options.GetValue(output) ?? ""),
            Failed = Session.Error,
        };
        volume.FillCache();
        scores?.FillCache();
        new ViewServing(Session).Run(page, opens: !options.GetValue(noBrowser), Cancellation);
        WriteJson(options, new { Tomogram = name, Picks = correction.Picks.Count, page.Saves, page.Changes }, used);
        return ExitCode.Done;
    }

    private static string? TableOf(string? given, string name)
        => given is null || !Directory.Exists(given) ? given
            : CoordinateFolder.Find(given, name)
                ?? throw new InputException($"{given}: has no table of tomogram {InputFile.Quote(name)}. Name the table.");

    private static double[] DiametersInVoxels(double[] angstrom, double voxel) => [.. angstrom.Select(d => d / voxel)];

    private double[] Diameters(ParseResult options, int kinds, double voxel, string path)
    {
        if (options.GetValue(diameter) is not { Length: > 0 } given)
            return [.. Enumerable.Repeat(UsualDiameterVoxels, kinds)];
        if (given.Length != 1 && given.Length != kinds)
            throw new InputException(
                $"--particle-diameter: {Counted.Of(given.Length, "number")} for {Counted.Of(kinds, "class", "classes")}; "
                + $"expected one for all, or one for each.");
        if (voxel <= 0)
            throw new InputException(
                $"{path}: its header does not say the voxel size, and --particle-diameter is in Å; give the voxel "
                + $"size.")
            { Missing = MissingFact.VoxelSize };
        double[] voxels = DiametersInVoxels(given, voxel);
        return voxels.All(v => v is >= 1 and <= 1000)
            ? [.. Enumerable.Range(0, kinds).Select(i => voxels[voxels.Length == 1 ? 0 : i])]
            : throw new InputException(
                FormattableString.Invariant(
                $"--particle-diameter: is {voxels[0]:0.##} voxels of {voxel:0.###} Å; expected 1 to 1000."));
    }

    // Everything that can be wrong with the table is found out before anybody has corrected anything.
    private Func<PickChanges, int> Saving(
        ParseResult options, string target, Func<Provenance> record, PickCorrection correction, string name,
            CoordinateContext context, (string Path, CoordinateFormat Format)? source)
    {
        CoordinateFormat to = options.GetValue(format)
            ?? (source is { } like && CoordinateFormats.Of(like.Format).HasEnding(target) ? like.Format
                : CoordinateFormats.ForWriting(target));
        CoordinateFormats.RefuseOtherEnding(target, to);
        // As 'pick' does for its folder: the pages' first lines write into one that is not there yet.
        if (Path.GetDirectoryName(target) is { Length: > 0 } folder)
            OutputFolder.Prepare(folder);
        OutputFolder.CheckFile(target);
        string[] written = [target, PickCorrection.RemovedTable(target), target + PickCorrection.ChangesEnding];
        Files.Write(output.Name, written);
        if (!options.GetValue(overwrite) && Array.Find(written, File.Exists) is { } earlier)
            throw new InputException($"{earlier}: is there already. Choose another name, or replace it with --overwrite.");
        CoordinateWriteOptions writing = new()
        {
            Format = to,
            TomogramName = name,
            Context = context,
            Template = source is { } from ? PickCorrection.TemplateOf(from.Path, from.Format, to) : null,
        };
        CoordinateTables.CheckOptions(target, writing);
        Provenance? made = null;
        return changes =>
        {
            int kept = correction.Save(target, changes, writing, made ??= record());
            Session.Line($"saved {target}: {Counted.Of(kept, "pick")}; {changes.Said}");
            return kept;
        };
    }
}
