using System.Text;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Simulation;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>Real files that take the place of simulated ones.</summary>
public sealed record PaperFiles
{
    /// <summary>Only simulated data.</summary>
    public static PaperFiles None { get; } = new();

    /// <summary>The folder of the SHREC 2021 data set, with model_0 to model_9; null to simulate.</summary>
    public string? Shrec { get; init; }

    /// <summary>
    /// The tomogram of EMPIAR-10045 that the paper uses, binned by 8 or not; null to simulate.
    /// </summary>
    public string? Tomogram { get; init; }

    /// <summary>Its deposited coordinates, in unbinned pixels.</summary>
    public string? Coordinates { get; init; }

    /// <summary>Whether a data set is made from real files.</summary>
    public bool Has(PaperDataset dataset) => dataset switch
    {
        PaperDataset.Sandclock => false,
        PaperDataset.Shrec => Shrec is not null,
        PaperDataset.Ribo or PaperDataset.RiboSparse => Tomogram is not null,
        _ => throw UnknownValue.Of(dataset),
    };
}

/// <summary>Makes the data sets of the paper's Table 1: simulated, or cut from the real files.</summary>
public static class PaperData
{
    // EMPIAR-10045's pixels of 2.17 Å, binned by 8.
    private const double RiboVoxelAngstrom = 17.4;

    // 3120 deposited particles in seven tomograms of 72 patches.
    private const double RiboParticlesPerPatch = 6.2;

    private const string DoneName = "done.txt";

    private static readonly Extent Patch = new(56, 56, 56);

    /// <summary>The short name of a data set, in file names and on the command line.</summary>
    public static string NameOf(PaperDataset dataset) => dataset switch
    {
        PaperDataset.Sandclock => "sandclock",
        PaperDataset.Shrec => "shrec",
        PaperDataset.Ribo => "ribo",
        PaperDataset.RiboSparse => "ribo-sparse",
        _ => throw UnknownValue.Of(dataset),
    };

    /// <summary>
    /// Makes a data set where it is not there yet, and reads its manifest. Of several processes that need the
    /// same one, the first makes it and the others wait.
    /// </summary>
    /// <param name="folder">The experiment's folder; the data set is DIR/data/NAME.</param>
    /// <param name="scale">How large.</param>
    /// <param name="dataset">Which.</param>
    /// <param name="files">Real files.</param>
    /// <param name="progress">Told what is being done; null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    /// <exception cref="InputException">A file cannot be read or written.</exception>
    public static DatasetManifest Prepare(
        string folder,
        PaperScale scale,
        PaperDataset dataset,
        PaperFiles files,
        Action<string>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(files);
        string place = Path.Combine(folder, "data", NameOf(dataset));
        string done = Path.Combine(place, DoneName);
        OutputFolder.Prepare(place);
        using (FolderLock.Wait(place, cancellation))
        {
            if (!File.Exists(done) || File.ReadAllText(done) != Version(dataset))
            {
                progress?.Invoke($"{NameOf(dataset)}: {(files.Has(dataset) ? "cutting the real tomograms" : "simulating")}");
                Make(place, scale, dataset, files, cancellation);
                AtomicFile.Write(done, stream => stream.Write(Encoding.ASCII.GetBytes(Version(dataset))));
            }
        }

        return DatasetManifest.Read(Path.Combine(place, DatasetManifest.UsualName));
    }

    // Changes where a data set is made in another way: what lies in a folder from before is made again.
    private static string Version(PaperDataset dataset) => dataset == PaperDataset.RiboSparse ? "2" : "";

    private static void Make(
        string place, PaperScale scale, PaperDataset dataset, PaperFiles files, CancellationToken cancellation)
    {
        switch (dataset)
        {
            case PaperDataset.Sandclock:
                SandclockDataset.Write(place, new SandclockDatasetOptions
                {
                    TrainingVolumes = scale.SandclockVolumes.Train,
                    ValidationVolumes = scale.SandclockVolumes.Validation,
                    TestVolumes = scale.SandclockVolumes.Test,
                }, cancellation: cancellation);
                return;
            case PaperDataset.Shrec:
                (int train, int validation, int test) = scale.ShrecModels;
                DatasetManifest models = ShrecDataset.Import(
                    files.Shrec ?? SimulateShrec(place, scale, cancellation),
                    files.Shrec is null
                        ? n => n < train ? DatasetSplit.Train : n < train + validation ? DatasetSplit.Validation
                        : DatasetSplit.Test
                        : null);
                ShrecDataset.WritePatches(models, place, Patch, cancellation: cancellation);
                return;
            case PaperDataset.Ribo or PaperDataset.RiboSparse:
                (string tomogram, string coordinates) = files.Tomogram is { } real
                    ? (real, files.Coordinates ?? throw new InputException($"{real}: has no coordinates beside it; name them "
                        + "with --coordinates."))
                    : SimulateRibosomes(place, scale, cancellation);
                Extent shape = Volumes.MrcFile.ReadHeader(tomogram).Shape;
                // The unbinned tomogram is some 4000 voxels wide; what is larger than a binned one is
                // averaged here.
                int averaging = files.Tomogram is not null && Math.Max(shape.Height, shape.Width) > 1000
                    ? (int)Empiar10045Dataset.PaperBinning : 1;
                Empiar10045Dataset.Write(
                    tomogram, coordinates, place, averaging, files.Tomogram is null ? 1 : Empiar10045Dataset.PaperBinning,
                    new PatchDatasetOptions { OneCenter = dataset == PaperDataset.RiboSparse }, cancellation);
                return;
            default:
                throw UnknownValue.Of(dataset);
        }
    }

    private static string SimulateShrec(string place, PaperScale scale, CancellationToken cancellation)
    {
        string folder = Path.Combine(place, "tomograms");
        OutputFolder.Prepare(folder);
        (int train, int validation, int test) = scale.ShrecModels;
        TomogramOptions options = scale.Shrec with
        {
            Shapes = ProteinDensities.Shapes(
                ProteinDensities.Shrec, scale.Shrec.VoxelSizeAngstrom, Path.Combine(place, "densities")),
        };
        TomogramDataset.Write(
            folder, options, [.. Enumerable.Repeat(DatasetSplit.Train, train + validation + test)], cancellation: cancellation);
        return folder;
    }

    private static (string Tomogram, string Coordinates) SimulateRibosomes(
        string place, PaperScale scale, CancellationToken cancellation)
    {
        string folder = Path.Combine(place, "tomogram");
        OutputFolder.Prepare(folder);
        (int y, int x) = scale.RiboPatches;
        int particles = (int)(RiboParticlesPerPatch * y * x);
        TomogramOptions options = new()
        {
            Depth = Patch.Depth,
            Height = y * Patch.Height,
            Width = x * Patch.Width,
            VoxelSizeAngstrom = RiboVoxelAngstrom,
            Shapes = ProteinDensities.Shapes([ProteinDensities.Ribosome], RiboVoxelAngstrom, Path.Combine(place, "densities")),
            MinimumParticles = particles,
            MaximumParticles = particles,
            SignalToNoise = 0.1,
            Seed = 10045,
        };
        TomogramDataset.Write(folder, options, [DatasetSplit.Train], cancellation: cancellation);
        ShrecModel model = ShrecDataset.Model(folder, 0);
        return (model.Reconstruction, model.Locations);
    }
}
