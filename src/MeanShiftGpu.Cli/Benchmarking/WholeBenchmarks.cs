using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>
/// Timings of what is made of operations: the loss on a sandclock volume, steps of a training, and picking.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="clock">Times.</param>
/// <param name="settings">Sizes and network.</param>
internal sealed class WholeBenchmarks(GpuContext context, BenchClock clock, QuickBench settings)
{
    private const long MostVoxelsToRepeat = 1 << 22;
    private const int PatchEdge = BenchmarkedNetwork.PatchEdge;

    // One sandclock in so many voxels; a smaller patch than this edge has room for none.
    private const int VoxelsOfOne = 12000;
    private const int LeastSandclock = 24;

    private static readonly (string Name, Action<WholeBenchmarks> Run)[] All =
    [
        ("mean-shift", static whole => whole.MeanShift()),
        ("unet-step", static whole => whole.NetworkSteps()),
        ("pick", static whole => whole.Pick()),
    ];

    /// <summary>Their names; one that is an operation's too belongs to it.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Select(whole => whole.Name)];

    private bool Once => settings.Shrink > 1;

    // What takes the variants of a whole network.
    private string Choice
        => context.ForcedVariants.Length == 0 ? BenchClock.Auto : $"{BenchClock.Auto} but {context.ForcedVariants}";

    /// <summary>Runs one of them.</summary>
    public void Run(string name) => All.Single(whole => whole.Name == name).Run(this);

    // Scores, centres and results stay on the device.
    private void MeanShift()
    {
        const int edge = PatchEdge;
        SandclockOptions sandclocks = new() { Depth = edge, Height = edge, Width = edge, Seed = 1 };
        SandclockVolume volume = Sandclock.Create(sandclocks, 0);
        using Arena arena = new(context);
        ArrayView<float> scores = Upload(arena, volume.Mask);
        ArrayView<float> centers = Upload(arena, Position.Pack(volume.Centers));
        ArrayView<int> offsets = Upload(arena, [0, volume.Centers.Count]);
        ArrayView<float> loss = arena.Allocate<float>(1);
        ArrayView<float> gradient = arena.Allocate<float>(scores.Length);
        foreach (Weighting weighting in Enum.GetValues<Weighting>())
        {
            MeanShiftOptions options = new() { Weighting = weighting };
            MeanShiftShape shape = options.Shape(1, edge, edge, edge);
            string size = $"{edge}³, {options.SeedCount} seeds, {options.Iterations} iterations, {weighting}";
            foreach (string variant in BenchmarkCase.WorthTiming(context, MeanShiftVariants<float>.Table, shape))
            {
                using GpuContext forced = context.WithVariant(variant);
                using MeanShiftLoss<float> meanShift = new(forced, options);
                clock.Time(new Timed("mean-shift loss, forward and backward", size, variant, () =>
                    meanShift.Evaluate(scores, centers, offsets, loss, gradient, shape, options.Sampling(seed: 1, step: 0)))
                {
                    Wait = forced.Synchronize,
                    Once = Once,
                });
            }
        }
    }

    private void NetworkSteps()
    {
        int divisor = settings.Network.Divisor;
        foreach (int edge in settings.Patches.Select(e => Math.Max(1, e / settings.Shrink / divisor) * divisor).Distinct())
            NetworkStep(edge);
    }

    private void NetworkStep(int edge)
    {
        Extent size = new(edge, edge, edge);
        bool hasRoom = !Once && edge >= LeastSandclock;
        SandclockVolume volume = hasRoom ? Particles(edge) : OneParticle(edge);
        TrainingOptions options =
            TrainingOptions.Combined with { Patch = size, Augmentation = Augmentation.None, DiceWeight = 1 };
        if (!hasRoom)
            options = options with { CenterMarginVoxels = 0 };
        TrainingData data = new([new TrainingVolume("sandclock", size, volume.Image, volume.Mask, volume.Centers)], []);
        using UNet3d<float> network = new(context, settings.Network, seed: 1, options.OutputBias);
        using Trainer trainer = new(network, data, options);
        // Forward, gradient of the input (the first layer needs none) and of the weights: three times the
        // forward operations.
        Time(
            "unet-step: Dice + mean shift + Adam", $"{edge}³, widths {Words(settings.Network)}",
            3 * settings.Network.ForwardOperations(size), () => trainer.Step(), Once);
    }

    private static SandclockVolume Particles(int edge)
    {
        int particles = edge * edge * edge / VoxelsOfOne;
        return Sandclock.Create(
            new SandclockOptions
            {
                Depth = edge,
                Height = edge,
                Width = edge,
                MinimumParticles = particles,
                MaximumParticles = particles,
                Seed = 1,
            },
            0);
    }

    // Where a sandclock has no room, or a check needs none.
    private static SandclockVolume OneParticle(int edge)
    {
        float[] voxels = new float[edge * edge * edge];
        voxels[voxels.Length / 2] = 1;
        float middle = (edge - 1) / 2f;
        return new SandclockVolume(edge, edge, edge, voxels, voxels, [new Position(middle, middle, middle)]);
    }

    private void Pick()
    {
        PickCase on = settings.PickCase;
        using UNet3d<float> network = new(context, on.Network, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions())
        {
            MemoryLimitBytes = on.MemoryLimitBytes,
        };
        Extent size = on.Size;
        // A tomogram takes minutes, which need no repeating.
        bool once = Once || size.Voxels > MostVoxelsToRepeat;
        PickPlan plan = picker.Plan(size, mapsInMemory: false);
        (Extent patch, double patchMs) = PlainForward(network);
        using (MrcWriter image = on.CreateImage())
        using (MrcWriter map = MrcWriter.CreateScratch(Path.GetTempPath(), size))
        {
            PredictionSummary summary = new([], 0, 0, 0);
            VoxelStatistics statistics = VoxelStatistics.Measure(image, "bench");
            double patches = plan.Tiles.Sum(t => (double)t.Size.Voxels) / patch.Voxels;
            Time(
                "pick: score map",
                $"{size}, widths {Words(on.Network)}, {Counted.Of(plan.Tiles.Count, "tile")} of up to {plan.LargestTile}, "
                    + $"{plan.Overlap:0.00} times the voxels",
                on.Network.ForwardOperations(size),
                () => summary = picker.Predict(plan, image, statistics, [new ScoreMap(0, map)]), once,
                medianMs => $"{100 * medianMs / (patches * patchMs):0} % of plain forward passes of as many voxels");
        }

        (MrcWriter scores, int particles) = on.CreateMap();
        using (scores)
        {
            ClusterResult found = new([], 0);
            Time(
                "pick: clustering",
                $"{size}, {Counted.Of(particles, "particle")}",
                0, () => found = picker.ClusterFinite(scores, 1, null, picker.Options, null, default), once,
                _ => $"{Counted.Of(found.StartVoxels, "voxel")}, {Counted.Of(found.Picks.Count, "pick")}");
        }
    }

    // What picking is held against: one forward pass of a patch as in training, all tensors whole and kept,
    // without files.
    private (Extent Patch, double MedianMs) PlainForward(UNet3d<float> network)
    {
        int divisor = network.Options.Divisor;
        int edge = (PatchEdge / settings.Shrink + divisor - 1) / divisor * divisor;
        Extent patch = new(edge, edge, edge);
        using Arena arena = new(context);
        float[] image = new float[patch.Voxels];
        Random random = new(1);
        foreach (ref float value in image.AsSpan())
            value = random.NextSingle() + random.NextSingle() - 1;
        double median = Time(
            "pick: plain forward pass", $"{edge}³, widths {Words(network.Options)}",
            network.Options.ForwardOperations(patch),
            () =>
            {
                using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
                network.Forward(tape, tape.Upload(image, new TensorShape(1, edge, edge, edge, 1)));
            },
            once: false);
        return (patch, median);
    }

    private double Time(
        string name, string size, double operations, Action run, bool once, Func<double, string>? note = null)
        => clock.Time(new Timed(name, size, Choice, run)
        {
            Note = note,
            Wait = context.Synchronize,
            Operations = operations,
            Once = once,
        });

    private static string Words(UNet3dOptions network) => string.Join("-", network.Widths);

    private ArrayView<TElement> Upload<TElement>(Arena arena, TElement[] values)
        where TElement : unmanaged
    {
        ArrayView<TElement> view = arena.Allocate<TElement>(values.Length);
        view.CopyFromCPU(context.Stream, values);
        return view;
    }
}
