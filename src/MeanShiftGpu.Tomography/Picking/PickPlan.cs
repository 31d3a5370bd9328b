using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// How a volume will be picked: its tiles, and the memory that it takes, known before the first tile.
/// </summary>
public sealed record PickPlan
{
    // The runtime with its libraries, the compiled code, and what waits for garbage collection: 150 to 175
    // MiB were seen beside all that is counted below.
    private const long ProcessBytesAtRest = 192L << 20;

    // A network's parameters, and as the kernels repack them.
    private const int CopiesOfParameters = 6;

    // Voxels of a step plane by plane, so many that starting it takes little of its time. Where memory is
    // short steps may be as small as the second number of planes.
    private const long SlabVoxels = 1 << 18;
    private const int SmallestSlab = 2;

    // Of a device's memory the driver and other programs need some.
    private const double ShareOfDevice = 0.8;

    /// <summary>The volume's extents.</summary>
    public required Extent Volume { get; init; }

    /// <summary>The tiles, x fastest.</summary>
    public required IReadOnlyList<Tile> Tiles { get; init; }

    /// <summary>The largest tile with its halo.</summary>
    public required Extent LargestTile { get; init; }

    /// <summary>
    /// How many planes of a tile the network computes at once; 0 where it takes tiles whole.
    /// </summary>
    public required int Slab { get; init; }

    /// <summary>What the process may take.</summary>
    public required long MemoryLimitBytes { get; init; }

    /// <summary>The process with the network's parameters.</summary>
    public required long ProcessBytes { get; init; }

    /// <summary>The network's tensors for one tile; on a GPU these are in its own memory.</summary>
    public required long NetworkBytes { get; init; }

    /// <summary>Buffers of the host for reading and writing tiles while the network runs.</summary>
    public required long BufferBytes { get; init; }

    /// <summary>How many score maps are predicted in one pass.</summary>
    public required int Maps { get; init; }

    /// <summary>The score maps, where they are kept in memory.</summary>
    public required long ScoreMapBytes { get; init; }

    /// <summary>
    /// Clustering, which follows when the network's tensors have been given back, or beside them where
    /// <see cref="KeepsNetwork"/>.
    /// </summary>
    public required long ClusteringBytes { get; init; }

    /// <summary>Whether the network's tensors are in the host's memory.</summary>
    public required bool NetworkOnHost { get; init; }

    /// <summary>The process at its largest.</summary>
    public long TotalBytes => KeepsNetwork
        ? BytesBeside(NetworkBytes)
        : ProcessBytes + ScoreMapBytes + Math.Max(BufferBytes + (NetworkOnHost ? NetworkBytes : 0), ClusteringBytes);

    /// <summary>
    /// Whether the network's tensors stay for the next volume: taking memory from the system anew costs some
    /// 0.4 s a GiB.
    /// </summary>
    public bool KeepsNetwork => NetworkOnHost && BytesBeside(NetworkBytes) <= MemoryLimitBytes;

    /// <summary>The process at its largest where tensors of some bytes stay all the time.</summary>
    internal long BytesBeside(long tensorBytes)
        => ProcessBytes + ScoreMapBytes + tensorBytes + Math.Max(BufferBytes, ClusteringBytes);

    /// <summary>Voxels that the network computes for each voxel of the volume: 1 without halos.</summary>
    public double Overlap => Tiles.Sum(t => (double)t.Size.Voxels) / Volume.Voxels;

    /// <summary>Plans the fewest voxels, halos included, that fit.</summary>
    /// <param name="network">The network on its device.</param>
    /// <param name="volume">The volume's extents; edges that are no multiples of the network's divisor are
    /// padded with zeros.</param>
    /// <param name="options">The clustering.</param>
    /// <param name="memoryLimitBytes">What the process may take.</param>
    /// <param name="maps">How many score maps are predicted.</param>
    /// <param name="mapsInMemory">Whether they are kept in memory.</param>
    /// <exception cref="InputException">Not even the smallest tile fits; the line says what
    /// would.</exception>
    public static PickPlan Create(
        UNet3d<float> network, Extent volume, PickOptions options, long memoryLimitBytes, int maps, bool mapsInMemory)
        => Create(
            network,
            volume,
            options,
            memoryLimitBytes,
            maps,
            mapsInMemory,
            static plan => plan.TotalBytes <= plan.MemoryLimitBytes);

    /// <summary>Plans the fewest voxels under a condition.</summary>
    internal static PickPlan Create(
        UNet3d<float> network, Extent volume, PickOptions options, long memoryLimitBytes, int maps, bool mapsInMemory,
            Func<PickPlan, bool> fits)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(options);
        UNet3dOptions structure = network.Options;
        bool onHost = network.Context.ComputesInHostMemory;
        bool byPlanes = onHost && network.ComputesByPlanes;
        long device = onHost ? long.MaxValue : (long)(ShareOfDevice * network.Context.MemoryLimitBytes);
        Extent padded = volume.RoundUpTo(structure.Divisor);
        // The processor's convolutions give a tile the whole volume's bits where it is aligned; others
        // compute every voxel alone, and a score needs no more than what it depends on.
        (int halo, int alignment) = byPlanes ? (structure.TileHalo, structure.TileAlignment) : (
            structure.ReceptiveRadius, structure.Divisor);
        Dictionary<(int, int), PlaneSchedule> schedules = [];
        PlaneSchedule Schedule(Extent tile, int slab)
            => schedules.TryGetValue((tile.Depth, slab), out PlaneSchedule? known) ? known : schedules[(tile.Depth, slab)] =
                new PlaneSchedule(structure.Graph, tile.Depth, slab);
        PickPlan For(IReadOnlyList<Tile> tiles, Extent tile, Extent core, int slab) => new()
        {
            Slab = slab,
            Volume = volume,
            Tiles = tiles,
            LargestTile = tile,
            Maps = maps,
            MemoryLimitBytes = memoryLimitBytes,
            ProcessBytes = ProcessBytesAtRest + CopiesOfParameters * sizeof(float) * network.Parameters.Values.Length,
            NetworkBytes = byPlanes ? Schedule(tile, slab).Bytes(tile) : (long)(network.InferenceBytesPerVoxel * tile.Voxels),
            BufferBytes = ScorePrediction.BufferBytes(tile, core, structure, slab, maps),
            ScoreMapBytes = mapsInMemory ? sizeof(float) * volume.Voxels * maps : 0,
            ClusteringBytes =
                options.Method == PickMethod.MeanShift ? WindowedMeanShift.MemoryBytes(volume, options.BandwidthVoxels) : 0,
            NetworkOnHost = onHost,
        };

        bool Fits(Extent tile, Extent core, int slab)
        {
            PickPlan plan = For([], tile, core, slab);
            // Numbers of a tensor are counted with 31 bits.
            long largest = byPlanes ? Schedule(tile, slab).LargestBuffer(tile) : tile.Voxels * structure.Widths.Take(2).Sum();
            return fits(plan) && plan.NetworkBytes <= device && largest <= int.MaxValue;
        }

        int smallestSlab = byPlanes ? SmallestSlab : 0;
        IReadOnlyList<Tile> tiles = TilePlan.Create(
            padded, halo, structure.Divisor, alignment, (tile, core) => Fits(tile, core, smallestSlab));
        if (tiles.Count == 0)
        {
            Extent smallest = TilePlan.Smallest(padded, halo, structure.Divisor, alignment);
            PickPlan least = For([], smallest, smallest, smallestSlab);
            string onDevice = least.NetworkBytes > device
                ? $" and {(least.NetworkBytes >> 20) + 1} MiB on the device, which has {device >> 20}"
                : "";
            throw new InputException(
                $"picking: the memory limit of {memoryLimitBytes >> 20} MiB is too low for a volume of {volume}: with the "
                + $"smallest tile, {smallest}, it takes {(least.TotalBytes >> 20) + 1} MiB (process {least.ProcessBytes >> 20}, "
                + $"network {least.NetworkBytes >> 20}, tiles {least.BufferBytes >> 20}, score maps "
                + $"{least.ScoreMapBytes >> 20}, clustering {least.ClusteringBytes >> 20}){onDevice}. Raise the limit.")
            { Missing = MissingFact.Memory };
        }

        Extent Largest(Func<Tile, Extent> of)
            => new(tiles.Max(t => of(t).Depth), tiles.Max(t => of(t).Height), tiles.Max(t => of(t).Width));
        (Extent largestTile, Extent largestCore) = (Largest(t => t.Size), Largest(t => t.CoreSize));
        int planes = byPlanes ? Math
            .Max(SmallestSlab, (int)Math.Min(SlabVoxels / ((long)largestTile.Height * largestTile.Width), largestTile.Depth)) : 0;
        while (planes > smallestSlab && !Fits(largestTile, largestCore, planes))
            planes = Math.Max(planes / 2, smallestSlab);
        return For(tiles, largestTile, largestCore, planes);
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        string network = NetworkOnHost ? "network" : "on the device: network";
        return $"{Counted.Of(Tiles.Count, "tile")} of up to {LargestTile} ({Overlap:0.0} times the volume's voxels), "
            + $"memory {TotalBytes >> 20} of {MemoryLimitBytes >> 20} MiB "
            + $"(process {ProcessBytes >> 20}, {network} {NetworkBytes >> 20}, tiles {BufferBytes >> 20}, score "
            + $"map{(Maps == 1 ? "" : "s")} {(ScoreMapBytes == 0 ? "on disk" : $"{ScoreMapBytes >> 20}")}, clustering "
            + $"{ClusteringBytes >> 20})";
    }
}
