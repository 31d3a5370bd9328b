using System.Diagnostics;
using System.Globalization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>What was found in a score map.</summary>
/// <param name="Picks">The highest score first.</param>
/// <param name="StartVoxels">How many voxels were above the threshold.</param>
public sealed record ClusterResult(IReadOnlyList<Pick> Picks, long StartVoxels);

/// <summary>
/// Finds particles in a volume: predicts a score map, in tiles where it is large, and clusters it by a
/// score-weighted mean shift from every voxel above the threshold. Volume and map may lie in memory or in
/// files; neither is ever held whole for the work. <see cref="Open"/> a model, then <see cref="Pick"/>; the
/// other methods are the parts of that.
/// </summary>
public sealed class TomogramPicker : IDisposable
{
    private readonly UNet3d<float> network;
    private readonly MeanShiftOptions meanShift;
    private readonly PickOptions options;
    private readonly Arena arena;
    private readonly ScorePrediction prediction;
    private bool ownsNetwork;
    private TomogramPicker[] others = [];

    /// <summary>Prepares picking.</summary>
    /// <param name="network">The trained network; not disposed. Several outputs are classes with the numbers
    /// 1, 2, ….</param>
    /// <param name="meanShift">Weighting and score floor of the clustering: those of the training.</param>
    /// <param name="options">Threshold, bandwidth and merging.</param>
    public TomogramPicker(UNet3d<float> network, MeanShiftOptions meanShift, PickOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(meanShift);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (network.Options.InputChannels != 1)
            throw new InputException($"picking: the network expects {network.Options.InputChannels} input channels; a tomogram "
                + "has one.");
        this.network = network;
        this.meanShift = meanShift;
        this.options = options;
        arena = new Arena(network.Context);
        prediction = new ScorePrediction(network, arena);
        Classes = PickedClass.Unnamed(network.Options, options);
    }

    /// <summary>Told, once, where a CUDA device computes tiles in a slower way than it might, and why; null
    /// for no callback.</summary>
    public Action<string>? Remark { get => prediction.Remark; set => prediction.Remark = value; }

    /// <summary>Opens a model that a training wrote.</summary>
    /// <param name="context">The device.</param>
    /// <param name="modelPath">The model's file.</param>
    /// <param name="options">How a class is picked that was trained with a mean shift; null for
    /// <see cref="PickOptions.For"/>.</param>
    /// <param name="onlyClass">The name or number of the one class that is picked; null for all.</param>
    /// <exception cref="InputException">Not a model, or it does not know the class.</exception>
    public static TomogramPicker Open(
        GpuContext context, string modelPath, Func<MeanShiftOptions, PickOptions>? options = null, string? onlyClass = null)
    {
        options ??= PickOptions.For;
        (UNet3d<float> network, ModelDescription? description) = ModelFile.Load(context, modelPath);
        try
        {
            MeanShiftOptions meanShift = ModelFile.MeanShiftOf(description);
            return new TomogramPicker(network, meanShift, options(meanShift))
            {
                Description = description,
                Classes = PickedClass.Of(modelPath, network.Options, description, options, onlyClass),
                ownsNetwork = true,
            };
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Opens several models, whose mean score counts: of the same classes, from other starts or other data.
    /// </summary>
    /// <param name="context">The device.</param>
    /// <param name="modelPaths">The models' files, at least one. Mean shift, threshold and what volumes look
    /// like are the first one's.</param>
    /// <param name="options">See <see cref="Open"/>.</param>
    /// <param name="onlyClass">The same.</param>
    /// <exception cref="InputException">One is no model, or they do not know the same classes.</exception>
    public static TomogramPicker OpenSeveral(
        GpuContext context, IReadOnlyList<string> modelPaths, Func<MeanShiftOptions, PickOptions>? options = null,
            string? onlyClass = null)
    {
        ArgumentNullException.ThrowIfNull(modelPaths);
        TomogramPicker picker = Open(context, modelPaths[0], options, onlyClass);
        try
        {
            foreach (string path in modelPaths.Skip(1))
            {
                TomogramPicker other = Open(context, path, options, onlyClass);
                picker.others = [.. picker.others, other];
                if (!other.Classes.Select(c => c.Label).SequenceEqual(picker.Classes.Select(c => c.Label)))
                    throw new InputException($"{path}: knows the classes {Labels(other)}, {modelPaths[0]} {Labels(picker)}; "
                        + $"expected the same ones in the same order.");
            }

            // The scale of the mean is the mean of the scales.
            picker.Classes =
            [
                .. picker.Classes.Select((c, i)
                    => picker.others.Select(o => o.Classes[i].Options.ScoreScale)
                    .Prepend(c.Options.ScoreScale).ToArray() is var scales
                    && scales.All(s => s is not null) ? c with { Options = c.Options with { ScoreScale = scales.Average() } }
                        : c),
            ];
            return picker;
        }
        catch
        {
            picker.Dispose();
            throw;
        }

        static string Labels(TomogramPicker of) => string.Join(", ", of.Classes.Select(c => c.Label.Length == 0 ? "without "
            + "name" : c.Label));
    }

    /// <summary>
    /// How many of the eight mirror images along the axes are predicted, the volume among them; their mean
    /// score counts. 1, 2 (x), 4 (x, y) or 8.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Another number.</exception>
    public int Mirrors
    {
        get;
        set => field = value is 1 or 2 or 4 or MirrorImage.Count ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Expected 1, 2, 4 or 8.");
    } = 1;

    // A mean has a map of its own.
    private int Predictions => Mirrors * (1 + others.Length);

    private int MapCount => Predictions > 1 ? 2 * Classes.Count : Classes.Count;

    /// <summary>
    /// The most memory that the process may take, in bytes; larger volumes are cut into smaller tiles, with
    /// the same result.
    /// </summary>
    public long MemoryLimitBytes { get; set; } = 2L << 30;

    /// <summary>How the model was trained; null where that is not known.</summary>
    public ModelDescription? Description { get; private init; }

    /// <summary>The classes that are picked, at least one.</summary>
    public IReadOnlyList<PickedClass> Classes { get; private set; }

    /// <summary>How score maps are clustered, where classes do not differ in it.</summary>
    public PickOptions Options => options;

    /// <summary>The most device memory that tensors took at a time.</summary>
    internal long MostArenaBytes => arena.MostBytes;

    /// <summary>How a volume would be picked.</summary>
    /// <param name="volume">Its extents.</param>
    /// <param name="maps">How many score maps are predicted.</param>
    /// <param name="mapsInMemory">Whether they are kept in memory.</param>
    /// <exception cref="InputException">Not even the smallest tile fits the memory limit.</exception>
    public PickPlan Plan(Extent volume, int maps = 1, bool mapsInMemory = true)
        => PickPlan.Create(network, volume, options, MemoryLimitBytes, maps, mapsInMemory);

    /// <summary>
    /// How <see cref="Pick"/> picks a volume: maps stay in memory where that leaves enough of it for the
    /// network.
    /// </summary>
    /// <param name="volume">Its extents.</param>
    /// <param name="request">Where the scores go; null where nobody wants them.</param>
    /// <exception cref="InputException">Not even the smallest tile fits the memory limit.</exception>
    public PickPlan PlanFor(Extent volume, PickRequest? request = null)
        => Plan(volume, MapCount, request?.ScoreMapFile is null
            && (request?.Scores is not null || sizeof(float) * volume.Voxels * MapCount <= MemoryLimitBytes / 8));

    /// <summary>
    /// Picks the particles of a volume: score maps of all classes in one pass of the network, then the
    /// clusters of each.
    /// </summary>
    /// <param name="volume">The volume, in memory or in a file.</param>
    /// <param name="request">Mask, score maps, and who is told; null for none of it.</param>
    /// <param name="cancellation">Stops after some planes of one tensor, after a tile, or between two windows
    /// of the clustering.</param>
    /// <exception cref="InputException">A voxel is not finite, the volume is said to be normalised and is
    /// not, the memory does not suffice, or a file cannot be read or written.</exception>
    public PickResult Pick(IVoxelSource volume, PickRequest? request = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(volume);
        Stopwatch clock = Stopwatch.StartNew();
        PickRequest wanted = request ?? new PickRequest();
        List<PickWarning> warnings = [];
        wanted = wanted with { Warned = (Action<PickWarning>)warnings.Add + wanted.Warned };
        double voxel = wanted.VoxelSizeAngstrom ?? volume.VoxelSize.CubeAngstrom;
        foreach (PickWarning warning in WarningsOf(volume, voxel))
            wanted.Warned(warning);
        VoxelStatistics statistics = VoxelStatistics.Measure(volume, wanted.Name, cancellation);
        foreach (PickWarning warning in Diagnosis.OfGreyValues(volume, statistics, Description?.Looks))
            wanted.Warned(warning);
        if (!wanted.Normalize)
            RequireNormalised(statistics, wanted.Name);
        using PredictedScores scores = PredictScores(volume, statistics, wanted, cancellation);
        WarnOfWeakScores(volume, statistics, scores, wanted, cancellation);
        ClassPicks[] found =
            [.. Classes.Select((kind, i) => Cluster(kind, scores.Maps[i], scores.Summary.Maxima[i], wanted, cancellation))];
        if (scores.Squares.Count > 0)
            found = [.. found.Select((part, i)
                => part with { Picks = [.. part.Picks
                .Select(p => p with { ScoreDeviation = DeviationAt(p, scores.Squares[i]) })] })];
        if (!wanted.OverlappingClasses)
            found = OnePlaceOneClass(found);
        scores.Complete();
        return new PickResult
        {
            Classes = found,
            Warnings = warnings,
            VoxelSizeAngstrom = voxel,
            Plan = scores.Plan,
            Prediction = scores.Summary,
            Seconds = clock.Elapsed.TotalSeconds,
        };
    }

    /// <summary>The score maps of all classes of a volume.</summary>
    internal PredictedScores PredictScores(IVoxelSource volume, PickRequest request, CancellationToken cancellation)
        => PredictScores(volume, VoxelStatistics.Measure(volume, request.Name, cancellation), request, cancellation);

    private PredictedScores PredictScores(
        IVoxelSource volume, VoxelStatistics statistics, PickRequest request, CancellationToken cancellation)
    {
        if (request.ScoreMapFile is not null && (Classes.Count > 1 || request.Scores is not null))
            throw new ArgumentException(
                "A file holds the scores of one class, and then no memory is wanted for them.", nameof(request));
        if (request.Scores is { } given && given.Count != Classes.Count)
            throw new ArgumentException(
                $"There are {given.Count} volumes for the scores of {Classes.Count} classes.", nameof(request));
        if (request.Mask is { } mask)
        {
            VoxelStatistics values = VoxelStatistics.Measure(mask, request.MaskName, cancellation);
            MaskFiles.RefuseOtherValues(request.MaskName, values);
            if (!(values.Maximum > 0))
                throw new InputException($"{request.MaskName}: no voxel of the mask is above 0, so there is nowhere to pick.");
        }

        PickPlan plan = PlanFor(volume.Size, request);
        request.Planned?.Invoke(plan);
        VoxelStatistics? normalization = request.Normalize ? statistics : null;
        return PredictedScores.Create(request, plan, volume.VoxelSize, Classes.Count, scores => Predictions > 1
            ? PredictMean(plan, volume, normalization, scores, request, cancellation)
            : Predict(
                plan, volume, normalization, [.. Classes.Select((c, i) => new ScoreMap(c.Output, (IVoxelSink)scores.Maps[i]))],
                    request.Mask, request.Progress, cancellation));
    }

    // One prediction after the other, each into the mean, so that their number takes no memory.
    private PredictionSummary PredictMean(
        PickPlan plan, IVoxelSource volume, VoxelStatistics? normalization, PredictedScores scores, PickRequest request,
            CancellationToken cancellation)
    {
        Stopwatch clock = Stopwatch.StartNew();
        (int done, int tiles, double forward) = (0, 0, 0);
        foreach (TomogramPicker member in (TomogramPicker[])[this, .. others])
        {
            PickPlan own = plan;
            if (member != this)
            {
                member.MemoryLimitBytes = MemoryLimitBytes;
                own = member.Plan(volume.Size, plan.Maps, plan.ScoreMapBytes > 0);
            }

            foreach (MirrorImage mirror in MirrorImage.First(Mirrors))
            {
                int number = done + 1;
                IVoxelSource Image(IVoxelSource source) => mirror == default ? source : new MirroredVoxels(source, mirror);
                ScoreMap[] maps = [.. member.Classes
                    .Select((c, i) => new ScoreMap(c.Output, new MeanSink(number, mirror, scores.Maps[i], scores.Squares[i])))];
                PredictionSummary summary = member.Predict(
                    own, Image(volume), normalization, maps, request.Mask is { } mask ? Image(mask) : null,
                    p => request.Progress?.Invoke(p with
                    {
                        Share = (number - 1 + p.Share) / Predictions,
                        Remaining = clock.Elapsed * ((Predictions / (number - 1 + p.Share)) - 1),
                    }),
                    cancellation);
                (done, tiles, forward) = (number, tiles + summary.TilesComputed, forward + summary.ForwardSeconds);
            }

            if (others.Length > 0)
                member.arena.Release();
        }

        float[] maxima = [.. scores.Maps.Select(m => VoxelStatistics.Measure(m, "score map", cancellation).Maximum)];
        return new PredictionSummary(maxima, tiles, forward, clock.Elapsed.TotalSeconds);
    }

    private float DeviationAt(Pick pick, IVoxelSource squares)
    {
        static int Voxel(double place, int size) => Math.Clamp((int)Math.Round(place), 0, size - 1);
        Span<float> sum = stackalloc float[1];
        Extent size = squares.Size;
        squares.Read(new Box((Voxel(pick.Z, size.Depth), Voxel(pick.Y, size.Height), Voxel(pick.X, size.Width)),
            new Extent(1, 1, 1)), sum);
        return MathF.Sqrt(sum[0] / Predictions);
    }

    /// <summary>Predicts the score map of the first class of a volume in memory.</summary>
    /// <param name="image">[D, H, W], normalised to mean 0 and standard deviation 1 with
    /// <see cref="VoxelStatistics.Normalize"/>; that is not looked at.</param>
    /// <param name="size">Its extents; edges that are no multiples of the network's divisor are padded with
    /// zeros.</param>
    /// <param name="progress">Told after each step or tile; null for no callback.</param>
    /// <param name="cancellation">Stops after a step, some planes of one tensor, or after a tile.</param>
    /// <returns>[D, H, W], scores from 0 to 1.</returns>
    public float[] PredictScores(
        ReadOnlySpan<float> image, Extent size, Action<PredictionProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        float[] scores = new float[size.Voxels];
        Predict(image, size, scores, maps: 1, progress, cancellation);
        return scores;
    }

    /// <summary>
    /// Predicts the score maps of all classes of a volume in memory, in one pass of the network, into the
    /// caller's memory.
    /// </summary>
    /// <param name="image">[D, H, W], normalised to mean 0 and standard deviation 1 with
    /// <see cref="VoxelStatistics.Normalize"/>; that is not looked at.</param>
    /// <param name="size">Its extents; edges that are no multiples of the network's divisor are padded with
    /// zeros.</param>
    /// <param name="scores">[C, D, H, W], one map for each of <see cref="Classes"/>, overwritten with scores
    /// from 0 to 1.</param>
    /// <param name="progress">Told after each step or tile; null for no callback.</param>
    /// <param name="cancellation">Stops after a step, some planes of one tensor, or after a tile; the scores
    /// are then undefined.</param>
    public void PredictScores(
        ReadOnlySpan<float> image,
        Extent size,
        Span<float> scores,
        Action<PredictionProgress>? progress = null,
        CancellationToken cancellation = default)
        => Predict(image, size, scores, Classes.Count, progress, cancellation);

    private unsafe void Predict(
        ReadOnlySpan<float> image,
        Extent size,
        Span<float> scores,
        int maps,
        Action<PredictionProgress>? progress,
        CancellationToken cancellation)
    {
        if (image.Length != size.Voxels)
            throw new ArgumentException($"{image.Length} voxels are not a volume of {size}.", nameof(image));
        if (scores.Length != maps * size.Voxels)
            throw new ArgumentException(
                $"{scores.Length} scores are not {Counted.Of(maps, "map")} of {size}. Expected {maps * size.Voxels}.",
                nameof(scores));
        fixed (float* from = image, to = scores)
        {
            PinnedVoxels volume = new(from, size);
            ScoreMap[] targets = new ScoreMap[maps];
            for (int i = 0; i < maps; i++)
                targets[i] = new ScoreMap(Classes[i].Output, new PinnedVoxels(to + i * size.Voxels, size));
            Predict(Plan(size, maps), volume, null, targets, null, progress, cancellation);
        }
    }

    // What was normalised by another rule (a mask, a robust deviation) is near enough; grey values as they
    // come from a file are not. A constant volume has its own warning.
    private static void RequireNormalised(VoxelStatistics statistics, string name)
    {
        const double mostMean = 1;
        const double mostRatio = 5;
        double deviation = statistics.Deviation;
        if (deviation > 0 && !(Math.Abs(statistics.Mean) <= mostMean && deviation >= 1 / mostRatio && deviation <= mostRatio))
        {
            string seen = FormattableString.Invariant($"mean {statistics.Mean:g4} and standard deviation {deviation:g4}");
            throw new InputException(
                $"{name}: the voxels have {seen}, but are given as normalised. Expected 0 and 1, or nearly so: leave " +
                "PickRequest.Normalize true, or call VoxelStatistics.Normalize first.");
        }
    }

    /// <summary>All score maps of a volume in memory that is normalised.</summary>
    internal float[][] PredictAll(float[] image, Extent size, CancellationToken cancellation)
    {
        float[][] scores = [.. Enumerable.Range(0, network.Options.Outputs).Select(_ => new float[size.Voxels])];
        Predict(
            Plan(size, scores.Length),
            Volume.Of(image, size),
            null,
            [.. scores.Select((map, i) => new ScoreMap(i, Volume.Of(map, size)))],
            cancellation: cancellation);
        return scores;
    }

    /// <summary>
    /// Predicts score maps of a volume in one pass of the network, wherever volume and maps lie.
    /// </summary>
    /// <param name="plan">What <see cref="Plan"/> said for it.</param>
    /// <param name="image">The volume.</param>
    /// <param name="normalization">Its mean and deviation; null where it is normalised already.</param>
    /// <param name="maps">Which of the network's score maps, and where their scores go; as many as were
    /// planned.</param>
    /// <param name="mask">Scores are computed where this is above 0, and 0 elsewhere; null for
    /// everywhere.</param>
    /// <param name="progress">Told after each step or tile; null for no callback.</param>
    /// <param name="cancellation">Stops after a step, some planes of one tensor, or after a tile.</param>
    /// <exception cref="InputException">A file cannot be read or written, or a score is not
    /// finite.</exception>
    public PredictionSummary Predict(
        PickPlan plan,
        IVoxelSource image,
        VoxelStatistics? normalization,
        IReadOnlyList<ScoreMap> maps,
        IVoxelSource? mask = null,
        Action<PredictionProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(maps);
        if (maps.Count == 0 || maps.Count > plan.Maps)
            throw new ArgumentException($"The plan is for {plan.Maps} score maps, not {maps.Count}.", nameof(maps));
        foreach (ScoreMap map in maps)
        {
            if (map.Output < 0 || map.Output >= network.Options.Outputs)
                throw new ArgumentOutOfRangeException(nameof(maps), map.Output, $"The network has {network.Options.Outputs} "
                    + "outputs.");
            if (map.Sink.Size != plan.Volume)
                throw new ArgumentException(
                    $"The plan is for a volume of {plan.Volume}; a map has {map.Sink.Size}.", nameof(maps));
        }

        if (image.Size != plan.Volume || (mask is not null && mask.Size != plan.Volume))
            throw new ArgumentException($"The plan is for a volume of {plan.Volume}; the image has "
                + $"{image.Size}{(mask is null ? "" : $", the mask {mask.Size}")}.", nameof(plan));
        // What an earlier volume has left may be more than this one takes.
        if (!Keeps(plan))
            arena.Release();
        PredictionSummary summary = prediction.Run(plan, maps, image, normalization, mask, progress, cancellation);
        // Clustering comes next and may need the room for itself.
        if (!Keeps(plan))
            arena.Release();
        return summary;
    }

    /// <summary>Clusters a score map in memory.</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="size">Its extents.</param>
    /// <param name="cancellation">Stops between two windows of the clustering.</param>
    /// <returns>Picks with sub-voxel centres, the highest score first; empty where no score is above the
    /// threshold.</returns>
    /// <exception cref="InputException">A score is not finite; the line says where.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public unsafe IReadOnlyList<Pick> Cluster(ReadOnlySpan<float> scores, Extent size, CancellationToken cancellation = default)
    {
        if (scores.Length != size.Voxels)
            throw new ArgumentException($"{scores.Length} scores are not a map of {size}.", nameof(scores));
        fixed (float* map = scores)
        {
            PinnedVoxels source = new(map, size);
            float maximum = VoxelStatistics.Measure(source, "score map", cancellation).Maximum;
            return ClusterFinite(source, maximum, null, options, null, cancellation).Picks;
        }
    }

    /// <summary>Clusters a score map, wherever that lies.</summary>
    /// <param name="scores">The map, 0 outside the mask.</param>
    /// <param name="maximum">Its largest score.</param>
    /// <param name="mask">Of the map's size. Picks whose centre is not in it are dropped, and those near its
    /// border marked; null for everywhere.</param>
    /// <param name="options">How to cluster; null for the picker's own options.</param>
    /// <param name="progress">Told (windows done, windows); null for no callback.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    /// <exception cref="InputException">A score is not finite; the line says where.</exception>
    /// <exception cref="ArgumentException">The mask has another size, or the maximum is not the
    /// map's.</exception>
    public ClusterResult Cluster(
        IVoxelSource scores,
        float maximum,
        IVoxelSource? mask = null,
        PickOptions? options = null,
        Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(scores);
        if (mask is not null && mask.Size != scores.Size)
            throw new ArgumentException($"Cluster: the mask has {mask.Size} voxels, the score map {scores.Size}. Expected one "
                + "size.", nameof(mask));
        float largest = VoxelStatistics.Measure(scores, "score map", cancellation).Maximum;
        if (maximum != largest)
            throw new ArgumentException($"Cluster: the maximum is given as {maximum}. Expected {largest}, the largest score of "
                + "the map.", nameof(maximum));
        return ClusterFinite(scores, maximum, mask, options ?? this.options, progress, cancellation);
    }

    /// <summary>The same for a map whose scores were looked at.</summary>
    internal ClusterResult ClusterFinite(
        IVoxelSource scores, float maximum, IVoxelSource? mask, PickOptions options, Action<int, int>? progress,
        CancellationToken cancellation)
    {
        options.Validate();
        float threshold = options.ThresholdFor(maximum);
        (IReadOnlyList<Pick> picks, long starts) = options.Method switch
        {
            PickMethod.LocalMaxima => PickMaxima(scores, threshold, options, cancellation),
            PickMethod.Components => PickComponents(scores, threshold, options, cancellation),
            PickMethod.MeanShift => PickModes(scores, threshold, options, progress, cancellation),
            _ => throw UnknownValue.Of(options.Method),
        };
        return new ClusterResult(new BorderCheck(scores.Size, mask, options.BandwidthVoxels).Apply(picks), starts);
    }

    /// <summary>Moves points once and joins the places where they come to rest in several ways.</summary>
    /// <param name="scores">The map, finite.</param>
    /// <param name="maximum">Its largest score.</param>
    /// <param name="options">How to cluster.</param>
    /// <param name="basins">Values of <see cref="PickOptions.BasinFraction"/>; other methods than the mean
    /// shift take 0 alone.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    /// <returns>The picks with each value, in their order.</returns>
    internal IReadOnlyList<IReadOnlyList<Pick>> ClusterWithBasins(
        IVoxelSource scores, float maximum, PickOptions options, IReadOnlyList<float> basins, CancellationToken cancellation)
    {
        if (basins is [float only])
            return [ClusterFinite(scores, maximum, null, options with { BasinFraction = only }, null, cancellation).Picks];
        (List<PointGroup> modes, _) = Modes(scores, options.ThresholdFor(maximum), options, null, cancellation);
        BorderCheck border = new(scores.Size, null, options.BandwidthVoxels);
        return
        [
            .. basins.Select(basin =>
                border.Apply(Join([.. modes], scores, options with { BasinFraction = basin }, cancellation))),
        ];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        using CallerGate.Pass pass = network.Context.EnterToDispose();
        foreach (TomogramPicker other in others)
            other.Dispose();
        prediction.Dispose();
        arena.Dispose();
        if (ownsNetwork)
            network.Dispose();
    }

    // What can be said of a volume before a voxel is read.
    private IEnumerable<PickWarning> WarningsOf(IVoxelSource volume, double voxel)
    {
        if (voxel == 0 && !volume.VoxelSize.IsCube)
            yield return new PickWarning(PickWarningKind.NoCubes, $"has voxels of {volume.VoxelSize}; bandwidth, balls and the "
                + "network take them for cubes.", "Resample the volume, unless the header is wrong.");
        if (Description is { VoxelSizeAngstrom: > 0 } && voxel > 0 && Math.Abs(voxel / Description.VoxelSizeAngstrom - 1) > 0.05)
        {
            double header = volume.VoxelSize.CubeAngstrom;
            string own = header > 0 && header != voxel ? $" (as told; its header says {header:0.##} Å)" : "";
            yield return new PickWarning(
                PickWarningKind.OtherVoxelSize,
                $"voxels of {voxel:0.##} Å{own}, the model was trained at {Description.VoxelSizeAngstrom:0.##} Å;",
                "expect worse picks unless the volume is rescaled.");
        }

        Extent size = volume.Size;
        int shortest = Math.Min(size.Depth, Math.Min(size.Height, size.Width));
        foreach (PickOptions picking in Classes.Select(c => c.Options))
        {
            if (picking.Method == PickMethod.MeanShift && shortest < picking.BandwidthVoxels)
            {
                yield return new PickWarning(
                    PickWarningKind.NoRoom,
                    $"an edge of {Counted.Of(shortest, "voxel")} is shorter than the bandwidth of {picking.BandwidthVoxels}, "
                    + "so that picks are drawn to the volume's middle.",
                    "Is this the right volume, or the bandwidth too large?");
            }
        }
    }

    private ClassPicks Cluster(
        PickedClass kind, IVoxelSource scores, float maximum, PickRequest request, CancellationToken cancellation)
    {
        Stopwatch clock = Stopwatch.StartNew();
        RefuseCrowded(kind, scores, maximum, request, cancellation);
        ClusterResult found = ClusterFinite(scores, maximum, request.Mask, kind.Options, null, cancellation);
        if (found.Picks.Count == 0)
        {
            // What a weak map may mean has been said.
            bool weak = LooksOf(kind) is { } looks && Diagnosis.IsWeak(maximum, looks);
            string remedy = weak ? "" : kind.Options.ThresholdKind == ThresholdKind.Absolute ? "Lower the threshold."
                : "Was the model trained on such data?";
            request.Warned?.Invoke(new PickWarning(
                PickWarningKind.NoPick,
                $"no pick; the largest score is {maximum:0.000}, the threshold {kind.Options.ThresholdFor(maximum):0.000}.",
                remedy,
                kind));
        }

        Pick[] picks = [.. found.Picks.Select(p => p with { Class = kind.Number, ClassName = kind.Name })];
        return new ClassPicks(kind, picks, found.StartVoxels, maximum, clock.Elapsed.TotalSeconds);
    }

    /// <summary>
    /// Says that a map is far below those that the model knows, and why: the negative of the volume tells
    /// whether its contrast is inverted.
    /// </summary>
    private void WarnOfWeakScores(
        IVoxelSource volume,
        VoxelStatistics statistics,
        PredictedScores scores,
        PickRequest request,
        CancellationToken cancellation)
    {
        const int mostEdge = 96;
        float[][]? negative = null;
        for (int i = 0; i < Classes.Count; i++)
        {
            if (LooksOf(Classes[i]) is not { } looks || !Diagnosis.IsWeak(scores.Summary.Maxima[i], looks))
                continue;
            if (negative is null)
            {
                Extent size = new(
                    Math.Min(volume.Size.Depth, mostEdge),
                    Math.Min(volume.Size.Height, mostEdge),
                    Math.Min(volume.Size.Width, mostEdge));
                float[] part = new float[size.Voxels];
                volume.Read(
                    new Box(
                        ((volume.Size.Depth - size.Depth) / 2, (volume.Size.Height - size.Height) / 2,
                            (volume.Size.Width - size.Width) / 2), size), part);
                if (request.Normalize)
                    statistics.Normalize(part);
                for (int v = 0; v < part.Length; v++)
                    part[v] = -part[v];
                negative = PredictAll(part, size, cancellation);
            }

            float inverted = negative[Classes[i].Output].Max();
            request.Warned?.Invoke(new PickWarning(
                PickWarningKind.WeakScores,
                string.Create(CultureInfo.InvariantCulture, $"scores up to {scores.Summary.Maxima[i]:0.000}, in volumes that "
                    + $"the model knows up to {looks.ScoreScale:0.000}."),
                Diagnosis.IsWeak(inverted, looks)
                    ? "Is there nothing in it, or has it another voxel size?"
                    : string.Create(CultureInfo.InvariantCulture, $"Its contrast is inverted: the negative of the volume gives "
                        + $"scores up to {inverted:0.000}. Invert the volume."),
                Classes[i]));
        }
    }

    /// <summary>
    /// Of picks of different classes at one place the one with the highest score is kept, relative to the
    /// scale of its class, and remembers the next. One place is what the mean shift of either class would
    /// merge.
    /// </summary>
    private static ClassPicks[] OnePlaceOneClass(ClassPicks[] found)
    {
        List<(Pick Pick, int Class)> kept = [];
        // Picks in cells of the largest distance, so that one is compared with those of the cells around it
        // alone.
        double edge = found.Max(part => part.Class.Options.EffectiveMergeDistanceVoxels);
        Dictionary<(int Z, int Y, int X), List<int>> cells = [];
        (int Z, int Y, int X) Cell(Pick p)
            => ((int)Math.Floor(p.Z / edge), (int)Math.Floor(p.Y / edge), (int)Math.Floor(p.X / edge));
        double Rank(Pick p, ClassPicks part)
            => p.Score / (part.Class.Options.ScoreScale ?? Math.Max(part.MaximumScore, float.Epsilon));
        foreach (
            (Pick pick, int kind) in found.SelectMany((part, c) => part.Picks.Select(p => (Pick: p, Class: c))).OrderByDescending(
                p => Rank(p.Pick, found[p.Class])))
        {
            (int z, int y, int x) = Cell(pick);
            int holder = Enumerable.Range(0, 27)
                .SelectMany(i => cells.GetValueOrDefault((z + (i / 9) - 1, y + (i / 3 % 3) - 1, x + (i % 3) - 1)) ?? [])
                .Where(k => kept[k].Class != kind && kept[k].Pick.Position.DistanceTo(pick.Position) < Math.Min(
                    found[kept[k].Class].Class.Options.EffectiveMergeDistanceVoxels,
                    found[kind].Class.Options.EffectiveMergeDistanceVoxels))
                .DefaultIfEmpty(-1).First();
            if (holder < 0)
            {
                if (!cells.TryGetValue((z, y, x), out List<int>? cell))
                    cells[(z, y, x)] = cell = [];
                cell.Add(kept.Count);
                kept.Add((pick, kind));
            }
            else if (kept[holder].Pick.RunnerUp is null)
            {
                kept[holder] = (
                    kept[holder].Pick with { RunnerUp = found[kind].Class.Label, RunnerUpScore = pick.Score },
                    kept[holder].Class);
            }
        }

        return [.. found.Select((part, c) => part with
        {
            Picks = [.. kept.Where(k => k.Class == c).Select(k => k.Pick).OrderByDescending(p => p.Score)],
        })];
    }

    private ClassLooks? LooksOf(PickedClass kind)
        => Description?.Looks is { Volumes: > 0 } looks && kind.Output < looks.Classes.Count ? looks.Classes[kind.Output] : null;

    /// <summary>
    /// Stops before noise is clustered, where the model knows better; a threshold that is told as a score is
    /// the user's own judgement.
    /// </summary>
    private void RefuseCrowded(
        PickedClass kind, IVoxelSource scores, float maximum, PickRequest request, CancellationToken cancellation)
    {
        if (Diagnosis.BrightBecause(LooksOf(kind)) is { } bright)
        {
            request.Warned?.Invoke(new PickWarning(PickWarningKind.Crowded, bright, Diagnosis.TrainLonger, kind));
            return;
        }

        float threshold = kind.Options.ThresholdFor(maximum);
        long above = 0;
        float[] slice = new float[(long)scores.Size.Height * scores.Size.Width];
        for (int z = 0; z < scores.Size.Depth; z++)
        {
            cancellation.ThrowIfCancellationRequested();
            scores.Read(new Box((z, 0, 0), new Extent(1, scores.Size.Height, scores.Size.Width)), slice);
            foreach (float score in slice)
                above += score > threshold ? 1 : 0;
        }

        if (Diagnosis.CrowdedBecause(above, scores.Size.Voxels, LooksOf(kind)) is not { } reason)
            return;
        const string remedy = "These are no particles: check contrast, voxel size and filter of the volume.";
        if (LooksOf(kind) is not null && kind.Options.ThresholdKind != ThresholdKind.Absolute)
            throw new InputException($"{request.Name}: {reason}. {remedy} To cluster them all the same, give the threshold as "
                + "a score.")
            { Missing = MissingFact.Threshold };
        request.Warned?.Invoke(new PickWarning(PickWarningKind.Crowded, $"{reason}.", remedy, kind));
    }

    private bool Keeps(PickPlan plan) => plan.KeepsNetwork && plan.BytesBeside(arena.CapacityBytes) <= plan.MemoryLimitBytes;

    private (IReadOnlyList<Pick> Picks, long Starts) PickModes(
        IVoxelSource scores, float threshold, PickOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        (List<PointGroup> modes, long starts) = Modes(scores, threshold, options, progress, cancellation);
        return (Join(modes, scores, options, cancellation), starts);
    }

    private (List<PointGroup> Modes, long Starts) Modes(
        IVoxelSource scores, float threshold, PickOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        MeanShiftParameters parameters = new(options.BandwidthVoxels, meanShift.ScoreFloor, meanShift.Weighting);
        WindowedMeanShift windows = new(network.Context, arena, scores, threshold, parameters, options);
        windows.Run(progress, cancellation);
        return (Clustering.MergeToEnd(windows.Cells.Groups, options.EffectiveMergeDistanceVoxels), windows.StartVoxels);
    }

    private static IReadOnlyList<Pick> Join(
        List<PointGroup> modes, IVoxelSource scores, PickOptions options, CancellationToken cancellation)
    {
        if (options.BasinFraction > 0)
        {
            Basins basins = new(scores, options.BasinFraction, PickOptions.BasinReach * options.BandwidthVoxels);
            modes = basins.Merge(modes, cancellation);
        }
        return Clustering.ToPicks(modes, options);
    }

    private static (IReadOnlyList<Pick> Picks, long Starts) PickMaxima(
        IVoxelSource scores, float threshold, PickOptions options, CancellationToken cancellation)
    {
        (List<PointGroup> maxima, long above) = LocalMaxima.Find(scores, threshold, cancellation);
        // The highest maximum stands for all within the merge distance; there are no others to merge with.
        PickOptions apart =
            options with
            {
                MinimumDistanceVoxels = Math.Max(
                options.MinimumDistanceVoxels, options.EffectiveMergeDistanceVoxels)
            };
        return (Clustering.ToPicks(maxima, apart), above);
    }

    private static (IReadOnlyList<Pick> Picks, long Starts) PickComponents(
        IVoxelSource scores, float threshold, PickOptions options, CancellationToken cancellation)
    {
        (List<PointGroup> components, long above) = ConnectedComponents.Find(scores, threshold, cancellation);
        return (Clustering.ToPicks(components, options), above);
    }
}
