using System.Diagnostics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>One timing.</summary>
/// <param name="Name">What was timed.</param>
/// <param name="Size">Its size.</param>
/// <param name="Device">The device.</param>
/// <param name="Variant">The kernel variant; Auto for whole networks, with what was forced.</param>
/// <param name="Precision">What convolutions round their operands to: float32 (not at all), tf32 or bf16-operands; bf16 where activations are stored so.</param>
/// <param name="MedianMs">Median of the repeats, in milliseconds.</param>
/// <param name="Gflops">10⁹ operations of the direct algorithm per second; 0 where operations are not counted.</param>
/// <param name="PeakBytes">Resident memory beyond the inputs, in bytes; null on a GPU, whose memory this process does not see.</param>
/// <param name="PeakGflops">The processor's multiply-add peak in GFLOP/s, measured between the repeats: the median; null on other devices and where operations are not counted.</param>
/// <param name="PercentOfPeak">Gflops as a share of PeakGflops; null where that is.</param>
/// <param name="GigabytesPerSecond">10⁹ bytes per second of what has to be read and written at least, each tensor once; null where these are not counted.</param>
/// <param name="PercentOfBandwidth">The same as a share of the memory's bandwidth, measured in the same run; null on other devices. It is above 100 where caches hold the tensors.</param>
/// <param name="Repeats">How often it was timed, after a first run that was not; of what takes minutes, that first run alone.</param>
public sealed record BenchResult(
    string Name,
    string Size,
    string Device,
    string Variant,
    string Precision,
    double MedianMs,
    double Gflops,
    long? PeakBytes,
    double? PeakGflops,
    double? PercentOfPeak,
    double? GigabytesPerSecond,
    double? PercentOfBandwidth,
    int Repeats);

/// <summary>Timings without a benchmark framework: enough to compare a machine or a change within one run.</summary>
public sealed class QuickBench
{
    private const long MostVoxelsToRepeat = 1 << 22;

    // The patch of the published training, whose layers are timed.
    private const int PatchEdge = 56;

    private const string Auto = "Auto";

    // A machine that others share gives more or less within seconds, so the peak is looked at again and again, for a tenth of the time.
    private static readonly TimeSpan BetweenPeaks = TimeSpan.FromMilliseconds(100);

    private static readonly (string Name, Action<QuickBench> Run)[] Benchmarks =
    [
        ("conv3d", static bench => bench.Conv3d()),
        ("conv-transpose3d", static bench => bench.ConvTranspose3d()),
        ("max-pool3d", static bench => bench.MaxPool3d()),
        ("sigmoid-head", static bench => bench.SigmoidHead()),
        ("dice", static bench => bench.Loss(DiceVariants<float>.Table, DiceCases.Passes)),
        ("binary-cross-entropy", static bench => bench.Loss(BinaryCrossEntropyVariants<float>.Table, BinaryCrossEntropyCases.Passes)),
        ("mean-shift", static bench => bench.MeanShift()),
        ("unet-step", static bench => bench.NetworkStep()),
        ("pick", static bench => bench.Pick()),
    ];

    /// <summary>The benchmarks by name.</summary>
    public static readonly IReadOnlyList<string> Names = [.. Benchmarks.Select(benchmark => benchmark.Name)];

    /// <summary>Edges of several patches, because a step's time should grow with its voxels and with nothing else.</summary>
    public static readonly IReadOnlyList<int> StandardPatches = [32, 56, 96];

    private readonly GpuContext context;
    private readonly int batch;
    private readonly TimeSpan minimumTime;
    private readonly Action<BenchResult> report;
    private readonly double? bandwidth;

    /// <summary>Measures the memory's bandwidth and prepares.</summary>
    /// <param name="context">The device.</param>
    /// <param name="report">Told each result as it comes.</param>
    /// <param name="minimumSeconds">Each case is repeated for at least this long, and at least three times.</param>
    /// <param name="batch">Items of the layers' batches; the other benchmarks take one.</param>
    public QuickBench(GpuContext context, Action<BenchResult> report, double minimumSeconds = 1, int batch = 1)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        this.batch = batch;
        this.context = context;
        this.report = report;
        minimumTime = TimeSpan.FromSeconds(minimumSeconds);
        if (context.Kind == DeviceKind.Cpu)
            bandwidth = MemoryBandwidth.MeasureGigabytesPerSecond(context.Threads);
    }

    /// <summary>The memory's bandwidth on the context's threads, in 10⁹ bytes per second; null on other devices.</summary>
    public double? BandwidthGigabytesPerSecond => bandwidth;

    /// <summary>
    /// Divides the edges of layers and steps, and runs each case once: for a check that every case runs, on a device that takes too long for the published sizes.
    /// Mean-shift, whose work is its seeds', stays at 56³, and picking has a size of its own.
    /// </summary>
    public int Shrink { get; init; } = 1;

    /// <summary>The network whose layers and steps are timed.</summary>
    public UNet3dOptions Network { get; init; } = new();

    /// <summary>Edges of the patches whose steps are timed.</summary>
    public IReadOnlyList<int> Patches { get; init; } = StandardPatches;

    /// <summary>What the benchmark of picking picks.</summary>
    public PickCase PickCase { get; init; } = new();

    /// <summary>Runs one benchmark.</summary>
    /// <exception cref="InputException">No benchmark has this name.</exception>
    public void Run(string name)
    {
        Action<QuickBench> run = Benchmarks.FirstOrDefault(benchmark => benchmark.Name == name).Run
            ?? throw new InputException($"bench: there is no benchmark '{name}'. Expected one of {string.Join(", ", Names)}.");
        run(this);
    }

    private void Conv3d()
    {
        foreach ((int edge, int from, int to) in Convolutions().Distinct())
        {
            Conv3dShape shape = new(batch, edge, edge, edge, from, to, 3, Activation.Relu, from, to);
            foreach ((string variant, IConv3d<float, float> kernels) in Chosen(Conv3dVariants<float, float>.Table, shape))
                Conv3d(kernels, variant, shape);
            Conv3dShape padded = shape with { InputPitch = Bf16.Padded(from), OutputPitch = Bf16.Padded(to) };
            foreach ((string variant, IConv3d<Bf16, float> kernels) in ChosenBf16(Conv3dVariants<Bf16, float>.Table, padded))
                Conv3d(kernels, variant, padded);
        }
    }

    private void Conv3d<TActivation>(IConv3d<TActivation, float> kernels, string variant, Conv3dShape shape)
        where TActivation : unmanaged
    {
        using Arena arena = new(context);
        ArrayView<TActivation> input = Random<TActivation>(arena, shape.Voxels * shape.InputPitch, 1);
        ArrayView<float> weight = Random<float>(arena, shape.WeightLength, 2);
        ArrayView<float> bias = Random<float>(arena, shape.OutputChannels, 3);
        ArrayView<TActivation> output = Random<TActivation>(arena, shape.Voxels * shape.OutputPitch, 4);
        ArrayView<TActivation> gradInput = Random<TActivation>(arena, shape.Voxels * shape.InputPitch, 5);
        ArrayView<TActivation> gradOutput = Random<TActivation>(arena, shape.Voxels * shape.OutputPitch, 6);
        string size = $"{Items}{shape.Width}³ {shape.InputChannels}→{shape.OutputChannels}";
        // The mask of ReLU is the output, which the backward passes therefore read beside its gradient.
        long inputBytes = input.LengthInBytes;
        long outputBytes = output.LengthInBytes;
        long weightBytes = weight.LengthInBytes;
        Time<TActivation>("conv3d Forward", size, variant, shape.Operations, () => kernels.Forward(context.Stream, input, weight, bias, output, shape), inputBytes + weightBytes + outputBytes);
        Time<TActivation>(
            "conv3d BackwardInput", size, variant, shape.Operations, () => kernels.BackwardInput(context.Stream, gradOutput, output, weight, gradInput, shape), 2 * outputBytes + weightBytes + inputBytes);
        Time<TActivation>(
            "conv3d BackwardWeight", size, variant, shape.Operations, () => kernels.BackwardWeight(context.Stream, input, gradOutput, output, weight, bias, shape), inputBytes + 2 * outputBytes + 2 * weightBytes);
    }

    private void ConvTranspose3d()
    {
        foreach (NetworkNode node in Layers(NodeOp.Transposed))
        {
            (int edge, int channels) = (EdgeOf(node.Level + 1), node.Channels);
            ConvTranspose3dShape shape = new(batch, edge, edge, edge, channels, channels, channels, channels);
            foreach ((string variant, IConvTranspose3d<float, float> kernels) in Chosen(
                ConvTranspose3dVariants<float, float>.Table, shape))
                ConvTranspose3d(kernels, variant, shape);
            foreach ((string variant, IConvTranspose3d<Bf16, float> kernels) in ChosenBf16(
                ConvTranspose3dVariants<Bf16, float>.Table, shape))
                ConvTranspose3d(kernels, variant, shape);
        }
    }

    private void ConvTranspose3d<TActivation>(IConvTranspose3d<TActivation, float> kernels, string variant, ConvTranspose3dShape shape)
        where TActivation : unmanaged
    {
        using Arena arena = new(context);
        ArrayView<TActivation> input = Random<TActivation>(arena, shape.InputVoxels * shape.InputChannels, 1);
        ArrayView<float> weight = Random<float>(arena, shape.WeightLength, 2);
        ArrayView<float> bias = Random<float>(arena, shape.OutputChannels, 3);
        ArrayView<TActivation> output = Random<TActivation>(arena, shape.OutputVoxels * shape.OutputChannels, 4);
        string size = $"{Items}{shape.Width}³ {shape.InputChannels}→{shape.OutputChannels}";
        Time<TActivation>("conv-transpose3d Forward", size, variant, shape.Operations, () => kernels.Forward(context.Stream, input, weight, bias, output, shape));
        Time<TActivation>("conv-transpose3d BackwardInput", size, variant, shape.Operations, () => kernels.BackwardInput(context.Stream, output, weight, input, shape));
        Time<TActivation>("conv-transpose3d BackwardWeight", size, variant, shape.Operations, () => kernels.BackwardWeight(context.Stream, input, output, weight, bias, shape));
    }

    private void MaxPool3d()
    {
        foreach (NetworkNode node in Layers(NodeOp.Pooling))
        {
            (int edge, int channels) = (2 * EdgeOf(node.Level), node.Channels);
            MaxPool3dShape shape = new(batch, edge, edge, edge, channels, channels, channels);
            foreach ((string variant, IMaxPool3d<float> kernels) in Chosen(MaxPool3dVariants<float, float>.Table, shape))
                MaxPool3d(kernels, variant, shape);
            foreach ((string variant, IMaxPool3d<Bf16> kernels) in ChosenBf16(MaxPool3dVariants<Bf16, float>.Table, shape))
                MaxPool3d(kernels, variant, shape);
        }
    }

    private void MaxPool3d<TActivation>(IMaxPool3d<TActivation> kernels, string variant, MaxPool3dShape shape)
        where TActivation : unmanaged
    {
        using Arena arena = new(context);
        ArrayView<TActivation> input = Random<TActivation>(arena, shape.InputVoxels * shape.Channels, 1);
        ArrayView<TActivation> gradInput = Random<TActivation>(arena, shape.InputVoxels * shape.Channels, 2);
        ArrayView<TActivation> output = Random<TActivation>(arena, shape.OutputVoxels * shape.Channels, 3);
        string size = $"{Items}{shape.Width}³ {shape.Channels}";
        Time<TActivation>("max-pool3d Forward", size, variant, 0, () => kernels.Forward(context.Stream, input, output, shape));
        Time<TActivation>("max-pool3d Backward", size, variant, 0, () => kernels.Backward(context.Stream, input, output, gradInput, shape));
    }

    private void SigmoidHead()
    {
        (int edge, int channels) = (EdgeOf(0), Network.Widths[0]);
        foreach (int outputs in (int[])[1, 8])
        {
            SigmoidHeadShape shape = new((long)batch * edge * edge * edge, channels, outputs, channels);
            string size = $"{Items}{edge}³ {channels}→{outputs}";
            foreach (
                (string variant, ISigmoidHead<float, float> kernels) in Chosen(SigmoidHeadVariants<float, float>.Table, shape))
                SigmoidHead(kernels, variant, size, shape);
            foreach (
                (string variant, ISigmoidHead<Bf16, float> kernels) in ChosenBf16(SigmoidHeadVariants<Bf16, float>.Table, shape))
                SigmoidHead(kernels, variant, size, shape);
        }
    }

    private void SigmoidHead<TActivation>(ISigmoidHead<TActivation, float> kernels, string variant, string size, SigmoidHeadShape shape)
        where TActivation : unmanaged
    {
        using Arena arena = new(context);
        ArrayView<TActivation> input = Random<TActivation>(arena, shape.Voxels * shape.InputPitch, 1);
        ArrayView<float> weight = Random<float>(arena, shape.WeightLength, 2);
        ArrayView<float> bias = Random<float>(arena, shape.Outputs, 3);
        ArrayView<float> scores = Random<float>(arena, shape.Voxels * shape.Outputs, 4);
        ArrayView<float> gradient = Random<float>(arena, shape.Voxels * shape.Outputs, 5);
        ArrayView<float> workspace = arena.Allocate<float>(Math.Max(1, kernels.WorkspaceLength(shape)));
        Time<TActivation>("sigmoid-head Forward", size, variant, 0, () => kernels.Forward(context.Stream, input, weight, bias, scores, shape));
        Time<TActivation>("sigmoid-head BackwardWeight", size, variant, 0, () => kernels.BackwardWeight(context.Stream, input, gradient, scores, workspace, weight, bias, shape));
        Time<TActivation>("sigmoid-head BackwardInput", size, variant, 0, () => kernels.BackwardInput(context.Stream, gradient, scores, weight, input, shape));
    }

    // Both passes of a loss, on the numbers of the catalogue's benchmark.
    private void Loss<TLauncher>(VariantTable<TLauncher, FlatShape> table, Func<BenchmarkData, TLauncher, FlatShape, BenchmarkPasses> prepare)
        where TLauncher : class, IDisposable
    {
        int edge = EdgeOf(0);
        FlatShape shape = new((long)batch * edge * edge * edge);
        foreach ((string variant, TLauncher kernels) in Chosen(table, shape))
        {
            using BenchmarkData data = new(context);
            Action[] passes = prepare(data, kernels, shape).Run;
            Time<float>($"{table.Operation} Forward + Backward", $"{Items}{edge}³", variant, 0, () =>
            {
                foreach (Action pass in passes)
                    pass();
            });
        }
    }

    // What takes the variants of a whole network.
    private string Choice => context.ForcedVariants.Length == 0 ? Auto : $"{Auto} but {context.ForcedVariants}";

    private string Items => batch == 1 ? "" : $"{batch}×";

    private int EdgeOf(int level) => Math.Max(1, PatchEdge / Shrink >> level);

    // The network's 3³ layers in their order: edge, input channels, output channels.
    private IEnumerable<(int Edge, int From, int To)> Convolutions()
        => Layers(NodeOp.Convolution).Select(n => (EdgeOf(n.Level), n.InputChannels, n.Channels));

    private IEnumerable<NetworkNode> Layers(NodeOp op) => Network.Graph.Nodes.Where(n => n.Op == op);

    // The variants that run here, or the forced one. On the CPU device's simulated threads the direct kernels take minutes at these sizes: without them, where there is another.
    private IEnumerable<(string Name, TLauncher Kernels)> Chosen<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
    {
        Variant<TLauncher, TShape>[] candidates = [.. context.Candidates(table, shape)];
        bool withDirect = context.Kind != DeviceKind.Cpu || candidates.All(variant => variant.Name == Variants.Direct);
        return candidates.Where(variant => withDirect || variant.Name != Variants.Direct).Select(variant => (variant.Name, context.Launcher(table, variant)));
    }

    // The same for a table of kernels on BF16 activations, which are timed where a network would store such.
    private IEnumerable<(string Name, TLauncher Kernels)> ChosenBf16<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
        => context.Precision == Precision.Bf16 ? Chosen(table, shape) : [];

    // Scores, centres and results stay on the device.
    private void MeanShift()
    {
        const int edge = PatchEdge;
        SandclockVolume volume = Sandclock.Create(new SandclockOptions { Depth = edge, Height = edge, Width = edge, Seed = 1 }, 0);
        using Arena arena = new(context);
        ArrayView<float> scores = Upload(arena, volume.Mask);
        ArrayView<float> centers = Upload(arena, Position.Pack(volume.Centers));
        ArrayView<int> offsets = Upload(arena, [0, volume.Centers.Count]);
        ArrayView<float> loss = arena.Allocate<float>(1);
        ArrayView<float> gradient = arena.Allocate<float>(scores.Length);
        foreach (Weighting weighting in Enum.GetValues<Weighting>())
        {
            MeanShiftOptions options = new() { Weighting = weighting };
            foreach ((string variant, _) in Chosen(MeanShiftVariants<float>.Table, options.Shape(1, edge, edge, edge)))
            {
                using GpuContext forced = context.WithVariant(variant);
                using MeanShiftLoss<float> meanShift = new(forced, options);
                Time<float>("mean-shift loss, forward and backward", $"{edge}³, {options.SeedCount} seeds, {options.Iterations} iterations, {weighting}", variant, 0, () =>
                    meanShift.Evaluate(scores, centers, offsets, loss, gradient, options.Shape(1, edge, edge, edge), options.Sampling(seed: 1, step: 0)));
            }
        }
    }

    private void NetworkStep()
    {
        foreach (int edge in Patches.Select(e => Math.Max(1, e / Shrink / Network.Divisor) * Network.Divisor).Distinct())
            NetworkStep(edge);
    }

    private void NetworkStep(int edge)
    {
        int particles = edge * edge * edge / 12000;
        SandclockVolume volume = Shrink == 1
            ? Sandclock.Create(new SandclockOptions { Depth = edge, Height = edge, Width = edge, MinimumParticles = particles, MaximumParticles = particles, Seed = 1 }, 0)
            : OneParticle(edge);
        TrainingOptions options = TrainingOptions.Combined with { Patch = new Extent(edge, edge, edge), Augmentation = Augmentation.None, DiceWeight = 1 };
        if (Shrink > 1)
            options = options with { CenterMarginVoxels = 0 };
        TrainingData data = new([new TrainingVolume("sandclock", new Extent(edge, edge, edge), volume.Image, volume.Mask, volume.Centers)], []);
        using UNet3d<float> network = new(context, Network, seed: 1, options.OutputBias);
        using Trainer trainer = new(network, data, options);
        // Forward, gradient of the input (the first layer needs none) and of the weights: three times the forward operations.
        Time<float>("unet-step: Dice + mean shift + Adam", $"{edge}³, widths {string.Join("-", Network.Widths)}", Choice, 3 * Network.ForwardOperations(new Extent(edge, edge, edge)), () => trainer.Step());
    }

    // Where sandclocks have no room.
    private static SandclockVolume OneParticle(int edge)
    {
        float[] voxels = new float[edge * edge * edge];
        voxels[voxels.Length / 2] = 1;
        float middle = (edge - 1) / 2f;
        return new SandclockVolume(edge, edge, edge, voxels, voxels, [new Position(middle, middle, middle)]);
    }

    private void Pick()
    {
        using UNet3d<float> network = new(context, PickCase.Network, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions()) { MemoryLimitBytes = PickCase.MemoryLimitBytes };
        Extent size = PickCase.Size;
        // A tomogram takes minutes, which need no repeating.
        bool once = Shrink > 1 || size.Voxels > MostVoxelsToRepeat;
        PickPlan plan = picker.Plan(size, mapsInMemory: false);
        (Extent patch, double patchMs) = PlainForward(network);
        using (MrcWriter image = PickCase.CreateImage())
        using (MrcWriter map = MrcWriter.CreateScratch(Path.GetTempPath(), size))
        {
            PredictionSummary summary = new([], 0, 0, 0);
            VoxelStatistics statistics = VoxelStatistics.Measure(image, "bench");
            double patches = plan.Tiles.Sum(t => (double)t.Size.Voxels) / patch.Voxels;
            Time(
                "pick: score map",
                medianMs => $"{size}, widths {string.Join("-", PickCase.Network.Widths)}, {Counted.Of(plan.Tiles.Count, "tile")} of up to {plan.LargestTile}, {plan.Overlap:0.00} times the voxels, {100 * medianMs / (patches * patchMs):0} % of plain forward passes of as many voxels",
                Choice, PickCase.Network.ForwardOperations(size), () => summary = picker.Predict(plan, image, statistics, [new ScoreMap(0, map)]), once);
        }

        (MrcWriter scores, int particles) = PickCase.CreateMap();
        using (scores)
        {
            ClusterResult found = new([], 0);
            Time("pick: clustering", _ => $"{size}, {Counted.Of(found.StartVoxels, "voxel")}, {Counted.Of(particles, "particle")}, {Counted.Of(found.Picks.Count, "pick")}", Choice, 0, () => found = picker.Cluster(scores, 1), once);
        }
    }

    // What picking is held against: one forward pass of a patch as in training, all tensors whole and kept, without files and tiles.
    private (Extent Patch, double MedianMs) PlainForward(UNet3d<float> network)
    {
        int divisor = network.Options.Divisor;
        int edge = (PatchEdge / Shrink + divisor - 1) / divisor * divisor;
        Extent patch = new(edge, edge, edge);
        using Arena arena = new(context);
        float[] image = new float[patch.Voxels];
        Random random = new(1);
        foreach (ref float value in image.AsSpan())
            value = random.NextSingle() + random.NextSingle() - 1;
        double median = Time(
            "pick: plain forward pass", _ => $"{edge}³, widths {string.Join("-", network.Options.Widths)}", Choice, network.Options.ForwardOperations(patch),
            () =>
            {
                using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
                network.Forward(tape, tape.Upload(image, new TensorShape(1, edge, edge, edge, 1)));
            },
            once: false);
        return (patch, median);
    }

    // Values in [−1, 1], as float32 or rounded to BF16.
    private ArrayView<TActivation> Random<TActivation>(Arena arena, long length, int seed)
        where TActivation : unmanaged
    {
        Random random = new(seed);
        TActivation[] values = new TActivation[length];
        for (long i = 0; i < length; i++)
        {
            float value = random.NextSingle() * 2 - 1;
            values[i] = typeof(TActivation) == typeof(float) ? (TActivation)(object)value : (TActivation)(object)Bf16.Round(value);
        }

        return Upload(arena, values);
    }

    private ArrayView<TElement> Upload<TElement>(Arena arena, TElement[] values)
        where TElement : unmanaged
    {
        ArrayView<TElement> view = arena.Allocate<TElement>(values.Length);
        view.CopyFromCPU(context.Stream, values);
        return view;
    }

    private void Time<TActivation>(string name, string size, string variant, double operations, Action run, long? bytes = null)
        => Time(name, _ => size, variant, operations, run, once: Shrink > 1, typeof(TActivation) == typeof(Bf16) ? "bf16" : null, bytes);

    // What a variant on float32 activations rounds to, or a whole network.
    private string PrecisionOf(string variant, double operations) => (variant.StartsWith(Auto, StringComparison.Ordinal) ? Auto : variant, context.Precision) switch
    {
        (Auto, Precision.Bf16) when operations > 0 => "bf16",
        (Variants.TensorCore, Precision.Bf16) or (Variants.TensorCore, Precision.Bf16Operands) => "bf16-operands",
        (Auto, Precision.Bf16Operands) when operations > 0 => "bf16-operands",
        (Variants.TensorCore, Precision.Tf32) => "tf32",
        (Auto, Precision.Tf32) when operations > 0 => "tf32",
        _ => "float32",
    };

    // The size is asked for afterwards, with the median in milliseconds, so that it can hold what was found.
    private double Time(string name, Func<double, string> size, string variant, double operations, Action run, bool once, string? precision = null, long? bytes = null)
    {
        List<double> times = [];
        List<double> peaks = [];
        bool withPeak = context.Kind == DeviceKind.Cpu && operations > 0;
        MeasurePeak();
        double firstMs = 0;
        long residentBytes = PeakMemory.Measure(() =>
        {
            long begin = Stopwatch.GetTimestamp();
            run();
            context.Synchronize();
            firstMs = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        });
        long? residentOnHost = context.Kind == DeviceKind.Cpu ? residentBytes : null;
        if (once)
            times.Add(firstMs);

        // A GPU queues launches: enough for a millisecond are timed together, as a training step runs them, without a wait after each.
        int calls = 1;
        if (!once && context.Kind != DeviceKind.Cpu)
        {
            long first = Stopwatch.GetTimestamp();
            run();
            context.Synchronize();
            calls = (int)Math.Clamp(Math.Ceiling(1 / Stopwatch.GetElapsedTime(first).TotalMilliseconds), 1, 100);
        }

        Stopwatch total = Stopwatch.StartNew();
        Stopwatch sincePeak = Stopwatch.StartNew();
        while (!once && (times.Count < 3 || total.Elapsed < minimumTime))
        {
            long start = Stopwatch.GetTimestamp();
            for (int call = 0; call < calls; call++)
                run();
            context.Synchronize();
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds / calls);
            if (sincePeak.Elapsed < BetweenPeaks)
                continue;
            MeasurePeak();
            sincePeak.Restart();
        }

        MeasurePeak();
        double median = Median(times);
        double gflops = operations / median / 1e6;
        double? peak = withPeak ? Median(peaks) : null;
        double? gigabytes = bytes / median / 1e6;
        report(new BenchResult(
            name, size(median), context.Description, variant, precision ?? PrecisionOf(variant, operations), median, gflops, residentOnHost,
            peak, 100 * gflops / peak, gigabytes, 100 * gigabytes / bandwidth, times.Count));
        return median;

        void MeasurePeak()
        {
            if (withPeak)
                peaks.Add(FmaPeak.MeasureGflops(context.Threads));
        }
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        int middle = values.Count / 2;
        return values.Count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
}
