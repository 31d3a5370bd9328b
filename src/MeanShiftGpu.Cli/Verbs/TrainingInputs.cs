using System.CommandLine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>What 'train' learns from: a manifest, or volumes and tables, of which it makes one.</summary>
internal sealed class TrainingInputs(Session session)
{
    private readonly Argument<string[]> volumes = Parse.Files(
        "VOLUMES", $"Tomograms ({VolumeFiles.EndingsText}): files, folders and patterns.", ArgumentArity.ZeroOrMore);
    private readonly Option<string[]> picks = Parse.Texts(
        "--picks", "TABLE",
        $"Tables with the centres of particles ({string.Join(", ", CoordinateFormats.Endings)}): files, folders and patterns. "
        + "Rows belong to the volume that is called like their tomogram; volumes without rows are left out. 'train' keeps a "
        + "part for validation.");
    private readonly Option<string?> data = Parse.Text(
        "--data", "FILE", "A data set's manifest (JSON), instead of VOLUMES and --picks. It also gives each volume's split, "
        + "mask and other facts.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size",
        "Voxel size of VOLUMES in Å. Default: that of each volume's header.", 1e-6, 1e6);
    private readonly Option<double?> binning = Parse.Real("--binning",
        "How many pixels of --picks make a voxel. Default: what the tables say, or 1.", 1e-6);
    private readonly Option<string?> tomograms = Parse.Text(
        "--tomograms", "FILE",
            $"RELION's tomograms.star, for RELION 5 tables. Default: {DatasetFiles.TomogramsName} beside --picks or VOLUMES, "
            + "if there is one.");
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>(
        "--relion5-centre", "The point that RELION 5 coordinates count from: size/2, as its C++ programs take it, or one less, "
        + "as its Python pickers do. Default: half-size.");

    /// <summary>The arguments and options, in the order of the help.</summary>
    public IEnumerable<Symbol> Symbols => [volumes, picks, data, voxelSize, binning, tomograms, centre];

    /// <summary>Those that name files, or folders of such.</summary>
    public IEnumerable<Symbol> Files => [volumes, picks, data, tomograms];

    /// <summary>How a fact is given that no file holds.</summary>
    public string? OptionFor(ParseResult options, MissingFact fact) => (fact, options.GetValue(data)) switch
    {
        (MissingFact.VoxelSize, null) => voxelSize.Name,
        (MissingFact.VoxelSize, _) => Verb.VoxelSizeInManifest,
        (MissingFact.Binning, null) => binning.Name,
        (MissingFact.Binning, _) => Verb.BinningInManifest,
        _ => null,
    };

    /// <summary>Finds what belongs together.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="choice">The classes that count.</param>
    /// <param name="earlier">The manifest of the run that is gone on with, for a command line that names no
    /// data; null where there is none.</param>
    /// <exception cref="InputException">Nothing was given, or what was given does not fit
    /// together.</exception>
    public TrainingSource Find(ParseResult options, AnnotationChoice choice, string? earlier)
    {
        string[] given = options.GetValue(volumes) ?? [];
        string[] tables = options.GetValue(picks) ?? [];
        string? path = options.GetValue(data);
        if (path is not null)
        {
            Option[] others = [picks, voxelSize, binning, tomograms, centre];
            if (given.Length > 0 || others.Any(o => options.GetResult(o) is { Implicit: false }))
                throw new InputException(
                    $"{(given.Length > 0 ? given[0] : others.First(o => options.GetResult(o) is { Implicit: false }).Name)} "
                    + "and --data exclude each other; a manifest says all of it. Leave one out.");
        }
        else if (given.Length == 0 && tables.Length == 0)
        {
            path = earlier ?? throw new InputException("no data was given. Give tomograms and --picks with their particles "
                + "(tomograms/ --picks picks.star), or --data with a manifest.");
        }

        if (path is not null)
        {
            DatasetManifest manifest = DatasetManifest.Read(path);
            ReadHeaders(manifest.Volumes.Select(v => v.Volume));
            return new TrainingSource(manifest, path, null);
        }

        if (given.Length == 0 || tables.Length == 0)
            throw new InputException(given.Length == 0
                ? "no tomogram was given. Name files, a folder or a pattern before the options."
                : "'--picks' is required with tomograms: tables with the centres of particles.");
        VolumeFiles files = VolumeFiles.Find(given);
        if (files.LeftOut.Count > 0)
            session.Line($"left out, masks or score maps by their names: {Some(files.LeftOut.Select(f => Path.GetFileName(f)))}");
        CoordinateContext told = new()
        {
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
            Binning = options.GetValue(binning) ?? 0,
            TomogramsStar = options.GetValue(tomograms),
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
        };
        DatasetFiles matched = DatasetFiles.Match(files.Paths, tables, told, choice);
        foreach (string star in matched.TomogramsStars)
            session.Line($"found {star}; --tomograms names another one");
        ReadHeaders(matched.Annotated.Select(a => a.Entry.Volume));
        if (matched.WithoutParticles.Count > 0)
            session.Line("left out, as no table has particles of them: "
                + $"{Some(matched.WithoutParticles.Select(f => Path.GetFileName(f)))}");
        if (matched.WithoutVolume.Count > 0)
            session.Warn($"{Counted.Of(matched.WithoutVolume.Count, "tomogram")} of the tables "
                + $"{(matched.WithoutVolume.Count == 1 ? "is" : "are")} none of the volumes, and "
                + $"{(matched.WithoutVolume.Count == 1 ? "is" : "are")} left out: {Some(matched.WithoutVolume)}.");
        return new TrainingSource(null, null, matched) { Told = told };
    }

    // A header that says something odd is remarked on once, before anything is computed.
    private void ReadHeaders(IEnumerable<string> paths)
    {
        foreach (string path in paths.Distinct())
            session.ReadHeader(path);
    }

    private static string Some(IEnumerable<string> names)
    {
        const int most = 5;
        string[] all = [.. names];
        return string.Join(", ", all.Take(most)) + (all.Length > most ? $" and {all.Length - most} more" : "");
    }
}
