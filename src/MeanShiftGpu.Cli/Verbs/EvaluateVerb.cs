using System.CommandLine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Compares picks with the truth.</summary>
internal sealed class EvaluateVerb(Session session) : Verb(session)
{
    private static readonly double[] DefaultRadii = [1, 2, 3, 4, 5, 6, 8];

    private readonly Option<string[]> picks = Parse.Texts("--picks", "FILE", "Tables of picks "
        + $"({string.Join(", ", CoordinateFormats.Endings)}), or with --data also a folder with a table for each volume.",
        required: true);
    private readonly Option<string[]> truth = Parse.Texts("--truth", "FILE", "Tables of true centres: as many as of picks, in "
        + "their order. Tables of several volumes are joined by the volume's name.");
    private readonly Option<string?> data = Parse.Text("--data", "FILE", "A data set's manifest, instead of --truth.");
    private readonly Option<DatasetSplit?> split = Parse.Choice<DatasetSplit>("--split", "Which volumes of the data set to "
        + "evaluate. Default: test.");
    private readonly Option<double[]?> radii = Parse.RealList("--radii", "Hit radii in voxels. Default: "
        + $"{string.Join(',', DefaultRadii)}.");
    private readonly Option<double?> beta = Parse.Real("--beta", "β of F-beta: above 1 recall counts more than precision "
        + $"(β² in the formula). Default: {Evaluator.DefaultBeta}.", 1e-3);
    private readonly Option<string?> occupancy = Parse.Text("--occupancy", "FILE", "An occupancy mask (MRC): picks are scored "
        + "by the particle in whose mask they lie, as SHREC does. The truth is then particle_locations.txt. With --data and "
        + "such truth, the masks are the data set's.");
    private readonly Option<string[]> classes = Parse.Texts(
        "--classes", "NAME", "Names of the classes 1, 2, … in the true centres, in the order of 'train --classes'. Each class "
        + "is then compared with its own picks. Default: a pick's class is ignored.");
    private readonly Option<string?> report = Parse.Text("--report", "FILE", "Write a page (HTML) with tables, scores against "
        + "radius, and slices with true centres and picks.");
    private readonly Option<string?> volume = Parse.Text("--volume", "FILE", "The MRC file that the tables belong to: gives "
        + "its size and voxel size, which RELION 5 tables need, and the slices of --report.");
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre", "The point that RELION 5 "
        + "coordinates count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. Default: "
        + "half-size.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Voxel size of the volume in Å. Default: that of "
        + "--volume.", 1e-6, 1e6);
    private readonly Option<double?> binning = Parse.Real("--binning", "How many pixels of the tables make a voxel. Default: "
        + "what the tables say, or 1.", 1e-6);
    private readonly Option<string?> tomograms = Parse.Text("--tomograms", "FILE", "RELION's tomograms.star: sizes and pixel "
        + "sizes of tomograms by name, for relion5.");
    private readonly Option<double?> truthBinning = Parse.Real("--truth-binning", "How many pixels of the tables of true "
        + "centres make a voxel, where it is not as many as of the picks'. Default: --binning.", 1e-6);

    public override string Name => "evaluate";

    public override string Summary => "Compares picks with true centres.";

    protected override string Description =>
        "Compares picks with true centres as the paper's equations 3 to 6 do: dist_pred, dist_GT, precision, recall and F1 at "
        + "each hit radius. Also gives the scores of one-to-one pairs, which punish duplicates, with F-beta and the signed "
        + "bias along each axis, the scores of each class, and those by SHREC's occupancy masks. All volumes are pooled.";

    public override string Example => "meanshift-gpu evaluate --picks picks.star --truth truth.csv --radii 2,4";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols
        => [picks, truth, data, split, radii, beta, classes, occupancy, report, volume, tomograms, centre, voxelSize, binning,
            truthBinning];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize when options.GetValue(data) is not null => VoxelSizeInManifest,
        MissingFact.VoxelSize => options.GetValue(volume) is null ? $"{voxelSize.Name} or {volume.Name}" : voxelSize.Name,
        MissingFact.VolumeSize => $"{volume.Name}; relion5: or {tomograms.Name}",
        MissingFact.Binning when options.GetValue(data) is not null => BinningInManifest,
        MissingFact.Binning => binning.Name,
        _ => null,
    };

    protected override IEnumerable<Symbol> Reads => [picks, truth, data, occupancy, volume, tomograms];

    protected override IEnumerable<Symbol> Writes => [report];

    protected override ExitCode Run(ParseResult options)
    {
        string[] pickFiles = options.GetRequiredValue(picks);
        string[] truthFiles = options.GetValue(truth) ?? [];
        string? manifest = options.GetValue(data);
        if (manifest is null == (truthFiles.Length == 0))
            throw new InputException("evaluate: expected either --truth with tables of true centres, or --data with a data "
                + "set's manifest.");
        if (options.GetValue(occupancy) is not null && (manifest is not null || truthFiles.Length != 1))
            throw new InputException("evaluate: --occupancy goes with one table of true centres; a data set names its masks "
                + "itself.");
        if (manifest is not null && ((Option[])[volume, centre, voxelSize, binning, truthBinning])
            .FirstOrDefault(o => options.GetResult(o) is { Implicit: false }) is { } idle)
            throw new InputException($"evaluate: {idle.Name} is for tables given by --truth; a data set's manifest says this "
                + "itself.");
        if (manifest is null && options.GetValue(split) is not null)
            throw new InputException($"evaluate: {split.Name} is for --data, whose volumes have splits. Leave it out.");
        if (manifest is null && pickFiles.Concat(truthFiles).FirstOrDefault(Directory.Exists) is { } folder)
            throw new InputException($"{folder}: is a folder; expected tables, one by one, as many of picks as of true centres. "
                + $"A folder of picks goes with {data.Name} and a data set's manifest.");
        CoordinateFormat[] read = [.. IdleOptions.Of(pickFiles), .. IdleOptions.Of(truthFiles)];
        IdleOptions formats = new(options, Name, read);
        formats.Refuse(centre, IdleOptions.CountsFromCentre);
        formats.Refuse(tomograms, CoordinateFormats.UsesTomogramsStar);
        DatasetSplit use = options.GetValue(split) ?? DatasetSplit.Test;
        string[] names = options.GetValue(classes) ?? [];
        if (names.Distinct(StringComparer.OrdinalIgnoreCase).Count() < names.Length)
            throw new InputException($"evaluate: --classes: {string.Join(' ', names)} names a class twice. Give each of the "
                + "picks' classes once, in the order of their numbers.");
        string? page = options.GetValue(report);
        string[] inputs = Inputs(options, pickFiles, truthFiles, manifest, use);
        Files.Read(inputs);
        if (page is { } wantedPage)
        {
            OutputFolder.CheckFile(wantedPage);
            if (Path.GetExtension(wantedPage).ToLowerInvariant() is not (".html" or ".htm"))
                throw new InputException($"--report: {wantedPage} is no name of a page; expected one that ends in .html.");
        }

        IReadOnlyList<EvaluatedVolume> volumes = manifest is null
            ? EvaluationInputs.FromTables(
                pickFiles, truthFiles, Context(options), options.GetValue(truthBinning), names, options.GetValue(volume))
            : EvaluationInputs.FromManifest(
                pickFiles, manifest, use, new CoordinateContext { TomogramsStar = options.GetValue(tomograms) }, names);
        if (manifest is null && options.GetValue(volume) is null)
            MapOrigin.SayAssumed(Session, read, volume);
        if (names.Length > 0)
            EvaluationInputs.RefuseOtherClasses(volumes, names);
        double[] wanted = options.GetValue(radii) is { Length: > 0 } given ? [.. given.Distinct()] : DefaultRadii;
        OccupancyScore? masks = EvaluationInputs.Occupancy(options.GetValue(occupancy), volumes, manifest, truthFiles, use);
        EvaluateReport found = new(Session, volumes, wanted, options.GetValue(beta) ?? Evaluator.DefaultBeta, names.Length > 0)
        {
            Occupancy = masks,
        };
        found.Warn();
        object result = found.Say();
        // A volume is read for its pictures; tables take its size and voxel size alone.
        string[] volumeFiles =
            page is null ? [.. volumes.Select(v => v.Path).Append(options.GetValue(volume)).OfType<string>()] : [];
        string[] used = [.. inputs.Except(volumeFiles)];
        if (page is not null)
        {
            Provenance made = Made(options, used);
            EvaluationReport.Write(page, new EvaluationReportContent
            {
                Volumes = volumes,
                RadiiVoxels = wanted,
                OwnPicks = names.Length > 0,
                Occupancy = masks,
                Sources =
                    [new("Picks", string.Join(", ", pickFiles)),
                        new("Truth", manifest is null ? string.Join(", ", truthFiles) : $"{manifest}, {Parse.Word(use)}"),
                        new("Command", made.Command),
                        .. made.Inputs.Select(i => new ReportFact($"SHA-256 of {i.File}", i.Sha256))],
            });
            Session.Line($"report: {page}");
        }

        WriteJson(options, result, used);
        return ExitCode.Done;
    }

    private string[] Inputs(ParseResult options, string[] pickFiles, string[] truthFiles, string? manifest, DatasetSplit use)
        =>
        [
            .. pickFiles.Where(File.Exists),
            .. pickFiles.Where(Directory.Exists).SelectMany(Directory.EnumerateFiles),
            .. truthFiles,
            .. ((string?[])[manifest, options.GetValue(volume), options.GetValue(occupancy), options.GetValue(tomograms)])
                .OfType<string>(),
            .. manifest is null ? [] : DatasetManifest.Read(manifest).Of(use).SelectMany(
                e => ((string?[])[e.Volume, e.Coordinates, e.Mask]).OfType<string>()),
        ];

    private CoordinateContext Context(ParseResult options)
    {
        CoordinateContext told = new()
        {
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
            Binning = options.GetValue(binning) ?? 0,
            TomogramsStar = options.GetValue(tomograms),
        };
        return options.GetValue(volume) is { } path && Session.ReadHeader(path) is var header
            ? told.WithVolume(path, header.Shape, header.VoxelSize) : told;
    }
}
