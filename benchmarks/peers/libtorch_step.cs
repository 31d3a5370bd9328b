#:package TorchSharp-cpu@0.107.0
#:property ManagePackageVersionsCentrally=false
#:property PublishAot=false

// Times the published U-Net with libtorch on the CPU: the forward pass alone, the training step (network, Dice, backward, Adam), each 3³ layer pass by pass,
// and the mean-shift loss written naively with autograd. Writes records of the same form as `meanshift-gpu bench --json`, for compare.py.
//
//   dotnet run -c Release --file benchmarks/peers/libtorch_step.cs -- [forward] [step] [conv3d] [mean-shift] [--layout contiguous|channels-last]
//       [--patch N]… [--iterations N] [--seconds S] [--threads N] [--json FILE]
//
// It is no part of the solution: only who runs it downloads libtorch. Each case is timed in both layouts where none is given, and the peak of the process is that of
// the last case and of what the allocator kept of those before: for the memory of one case, run it alone.

using System.Diagnostics;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

string[] known = ["forward", "step", "conv3d", "mean-shift"];
List<string> cases = [];
List<int> patches = [];
List<bool> layouts = [];
int iterations = 2;
string? json = null;
Bench bench = new();
for (int i = 0; i < args.Length; i++)
{
    string Value() => i + 1 < args.Length ? args[++i] : throw new ArgumentException($"{args[i]} needs a value");
    int Whole() => int.Parse(Value(), CultureInfo.InvariantCulture);
    switch (args[i])
    {
        case "--patch": patches.Add(Whole()); break;
        case "--layout": layouts.Add(Value() switch { "contiguous" => false, "channels-last" => true, string other => throw new ArgumentException($"there is no layout {other}") }); break;
        case "--iterations": iterations = Whole(); break;
        case "--seconds": bench.Seconds = double.Parse(Value(), CultureInfo.InvariantCulture); break;
        case "--threads": set_num_threads(Whole()); break;
        case "--json": json = Value(); break;
        case string name when known.Contains(name): cases.Add(name); break;
        default: throw new ArgumentException($"'{args[i]}' is neither an option nor one of {string.Join(", ", known)}");
    }
}

random.manual_seed(1);
Console.WriteLine($"TorchSharp with libtorch {__version__}, {get_num_threads()} threads");
foreach (string name in cases.Count > 0 ? cases : [.. known])
{
    // Points and voxels have no channels.
    if (name == "mean-shift")
    {
        MeanShiftCase.Run(bench, iterations);
        continue;
    }

    foreach (bool channelsLast in layouts.Count > 0 ? layouts : [false, true])
    {
        switch (name)
        {
            case "forward":
                foreach (int edge in patches.Count > 0 ? patches : [56])
                    NetworkCases.Forward(bench, edge, channelsLast);
                break;
            case "step":
                foreach (int edge in patches.Count > 0 ? patches : [32, 56, 96])
                    NetworkCases.Step(bench, edge, channelsLast);
                break;
            case "conv3d":
                LayerCases.Run(bench, channelsLast);
                break;
        }
    }
}

Console.WriteLine($"peak of the process: {Bench.ReadKiB("VmHWM:") / 1024} MiB");
if (json is not null)
{
    JsonSerializerOptions style = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    File.WriteAllText(json, JsonSerializer.Serialize(bench.Records, style));
}

internal sealed record Result(
    string Name, string Size, string Device, string Variant, string Precision, double MedianMs, double Gflops, long PeakBytes, double? PeakGflops, double? PercentOfPeak, double? GigabytesPerSecond,
    double? PercentOfBandwidth, int Repeats);

/// <summary>Runs cases as `meanshift-gpu bench` does: one run that counts for memory alone, then medians.</summary>
internal sealed class Bench
{
    public double Seconds { get; set; } = 1;

    public List<Result> Records { get; } = [];

    public static string Layout(bool channelsLast) => channelsLast ? "channels last" : "contiguous";

    /// <summary>Times some work; what it allocates is freed after each run.</summary>
    public double Time(string name, string size, string variant, double operations, Action run)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        // The kernel takes the high-water mark of resident memory back to what is resident now.
        File.WriteAllText("/proc/self/clear_refs", "5");
        long before = ReadKiB("VmRSS:");
        Once();
        long peakBytes = Math.Max(0, ReadKiB("VmHWM:") - before) * 1024;
        List<double> times = [];
        Stopwatch total = Stopwatch.StartNew();
        while (times.Count < 3 || total.Elapsed.TotalSeconds < Seconds)
        {
            long start = Stopwatch.GetTimestamp();
            Once();
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        times.Sort();
        double median = (times[(times.Count - 1) / 2] + times[times.Count / 2]) / 2;
        double gflops = operations / median / 1e6;
        Records.Add(new Result(name, size, $"CPU, {get_num_threads()} threads, libtorch {__version__}", variant, "float32", median, gflops, peakBytes, null, null, null, null, times.Count));
        Console.WriteLine($"{name}, {size}, {variant}: {median:0.00} ms{(operations > 0 ? $", {gflops:0.0} GFLOP/s" : "")}, {peakBytes / 1048576.0:0.0} MiB, median of {times.Count}");
        return median;

        void Once()
        {
            using DisposeScope scope = NewDisposeScope();
            run();
        }
    }

    public static long ReadKiB(string field)
        => long.Parse(File.ReadLines("/proc/self/status").First(l => l.StartsWith(field, StringComparison.Ordinal))[field.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture);

    /// <summary>The same numbers, laid out as asked: TorchSharp has no memory formats, but libtorch goes by the strides, which a permutation sets.</summary>
    public static Tensor InLayout(Tensor tensor, bool channelsLast)
        => channelsLast ? tensor.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3) : tensor.contiguous();

    /// <summary>Values in [−1, 1].</summary>
    public static Tensor Uniform(params long[] shape) => rand(shape) * 2 - 1;
}

/// <summary>The published network, 32-48-64 channels: as UNet3d, and as benchmarks/peers/pytorch_layers.py lists its layers.</summary>
internal sealed class Network(bool channelsLast)
{
    private static readonly int[] Widths = [32, 48, 64];
    private readonly Dictionary<string, Parameter> parameters = [];

    public IReadOnlyCollection<Parameter> Parameters => parameters.Values;

    /// <summary>Multiplications and additions of a forward pass in the direct algorithm: 27 taps of each convolution, one of a transposed one, for each voxel written.</summary>
    public static double ForwardOperations(int edge)
    {
        double voxels = Math.Pow(edge, 3);
        double fine = 27 * (1 * 32 + 32 * 32 + 48 * 48 + 80 * 32 + 32 * 32) + 48 * 48 + 32;
        double middle = 27 * (32 * 48 + 48 * 48 + 64 * 64 + 112 * 48 + 48 * 48) + 64 * 64;
        double coarse = 27 * (48 * 64 + 3 * 64 * 64);
        return 2 * voxels * (fine + middle / 8 + coarse / 64);
    }

    public Tensor Forward(Tensor x)
    {
        List<Tensor> skips = [];
        for (int level = 0; level < Widths.Length - 1; level++)
        {
            x = Convolution($"enc{level}.conv0", x, Widths[level]).relu_();
            x = Convolution($"enc{level}.conv1", x, Widths[level]).relu_();
            skips.Add(x);
            x = nn.functional.max_pool3d(x, [2, 2, 2]);
        }

        for (int i = 0; i < 4; i++)
            x = Convolution($"mid.conv{i}", x, Widths[^1]).relu_();
        for (int level = Widths.Length - 2; level >= 0; level--)
        {
            x = Upsampling($"up{level}.transpose", x);
            x = Convolution($"up{level}.conv", x, Widths[level + 1]);
            x = cat([skips[level], x], 1);
            x = Convolution($"dec{level}.conv0", x, Widths[level]).relu_();
            x = Convolution($"dec{level}.conv1", x, Widths[level]).relu_();
        }

        return Convolution("head", x, 1, kernel: 1).sigmoid();
    }

    private Tensor Convolution(string name, Tensor x, long to, long kernel = 3)
        => nn.functional.conv3d(x, Weight(name, to, x.shape[1], kernel), Bias(name, to), padding: [kernel / 2, kernel / 2, kernel / 2]);

    private Tensor Upsampling(string name, Tensor x)
        => nn.functional.conv_transpose3d(x, Weight(name, x.shape[1], x.shape[1], 2), Bias(name, x.shape[1]), strides: [2, 2, 2]);

    private Parameter Weight(string name, long first, long second, long kernel)
        => Trained($"{name}.weight", () => Bench.InLayout(Bench.Uniform(first, second, kernel, kernel, kernel) / Math.Sqrt(second * kernel * kernel * kernel), channelsLast));

    private Parameter Bias(string name, long count) => Trained($"{name}.bias", () => zeros(count));

    // Made at first use, when the input tells the shape; parameters outlive the run that makes them.
    private Parameter Trained(string name, Func<Tensor> create)
    {
        if (!parameters.TryGetValue(name, out Parameter? parameter))
        {
            using (no_grad())
                parameter = new Parameter(create());
            parameter.DetachFromDisposeScope();
            parameters.Add(name, parameter);
        }

        return parameter;
    }
}

internal static class NetworkCases
{
    public static void Forward(Bench bench, int edge, bool channelsLast)
    {
        using DisposeScope scope = NewDisposeScope();
        Network network = new(channelsLast);
        Tensor image = Bench.InLayout(Bench.Uniform(1, 1, edge, edge, edge), channelsLast);
        bench.Time("pick: plain forward pass", $"{edge}³, widths 32-48-64", $"libtorch, {Bench.Layout(channelsLast)}", Network.ForwardOperations(edge), () =>
        {
            using (inference_mode(true))
                network.Forward(image);
        });
        Release(network);
    }

    public static void Step(Bench bench, int edge, bool channelsLast)
    {
        using DisposeScope scope = NewDisposeScope();
        Network network = new(channelsLast);
        Tensor image = Bench.InLayout(Bench.Uniform(1, 1, edge, edge, edge), channelsLast);
        Tensor mask = (rand([1, 1, edge, edge, edge]) > 0.9).to(float32);
        using (no_grad())
            network.Forward(image);
        using optim.Optimizer adam = optim.Adam(network.Parameters, lr: 1e-3);
        bench.Time("unet-step: Dice + mean shift + Adam", $"{edge}³, widths 32-48-64", $"libtorch, {Bench.Layout(channelsLast)}, without mean shift", 3 * Network.ForwardOperations(edge), () =>
        {
            adam.zero_grad();
            Tensor p = network.Forward(image);
            Tensor loss = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1);
            loss.backward();
            adam.step();
        });
        Release(network);
    }

    private static void Release(Network network)
    {
        foreach (Parameter parameter in network.Parameters)
            parameter.Dispose();
    }
}

/// <summary>The 3³ layers with their ReLU, as ours apply it in the same kernel. A pass backward is asked of autograd alone, from a graph that is kept.</summary>
internal static class LayerCases
{
    private static readonly (int Edge, int From, int To)[] Layers =
    [
        (56, 1, 32), (56, 32, 32), (28, 32, 48), (28, 48, 48), (14, 48, 64), (14, 64, 64), (28, 64, 64), (28, 112, 48), (56, 48, 48), (56, 80, 32),
    ];

    public static void Run(Bench bench, bool channelsLast)
    {
        string variant = $"libtorch, {Bench.Layout(channelsLast)}";
        foreach ((int edge, int from, int to) in Layers)
        {
            using DisposeScope scope = NewDisposeScope();
            string size = $"{edge}³ {from}→{to}";
            double operations = 2.0 * edge * edge * edge * 27 * from * to;
            Tensor x = Bench.InLayout(Bench.Uniform(1, from, edge, edge, edge), channelsLast);
            Tensor weight = Bench.InLayout(Bench.Uniform(to, from, 3, 3, 3), channelsLast);
            Tensor bias = Bench.Uniform(to);
            Tensor gradOutput = Bench.InLayout(Bench.Uniform(1, to, edge, edge, edge), channelsLast);
            bench.Time("conv3d Forward", size, variant, operations, () =>
            {
                using (inference_mode(true))
                    Layer(x, weight, bias);
            });
            Tensor image = x.detach().requires_grad_();
            Tensor fromImage = Layer(image, weight, bias);
            bench.Time("conv3d BackwardInput", size, variant, operations, () => autograd.grad([fromImage], [image], [gradOutput], retain_graph: true));
            Tensor trained = weight.detach().requires_grad_();
            Tensor offset = bias.detach().requires_grad_();
            Tensor fromWeight = Layer(x, trained, offset);
            bench.Time("conv3d BackwardWeight", size, variant, operations, () => autograd.grad([fromWeight], [trained, offset], [gradOutput], retain_graph: true));
        }
    }

    private static Tensor Layer(Tensor x, Tensor weight, Tensor bias) => nn.functional.conv3d(x, weight, bias, padding: [1, 1, 1]).relu_();
}

/// <summary>The loss as one writes it with autograd: every seed against every voxel.</summary>
internal static class MeanShiftCase
{
    public static void Run(Bench bench, int iterations)
    {
        const int edge = 56;
        const int seeds = 256;
        const double bandwidth = 4;
        const double floor = 0.05;
        using DisposeScope scope = NewDisposeScope();
        Tensor axis = arange(edge, dtype: float32);
        Tensor grid = stack(meshgrid([axis, axis, axis], "ij"), -1).reshape(-1, 3);
        Tensor centers = (rand(10, 3) * 0.64 + 0.18) * edge;
        Tensor starts = centers[arange(seeds) % 10] + Bench.Uniform(seeds, 3) * 4;
        Tensor scores = rand((long)edge * edge * edge).requires_grad_();
        foreach (string weighting in (string[])["Flat", "Epanechnikov"])
        {
            double median = bench.Time("mean-shift loss, forward and backward", $"{edge}³, {seeds} seeds, {iterations} iterations, {weighting}", "libtorch, naive", 0, () =>
            {
                Tensor points = starts;
                for (int i = 0; i < iterations; i++)
                {
                    Tensor squared = cdist(points, grid).square() / (bandwidth * bandwidth);
                    Tensor weight = where(squared < 1, weighting == "Flat" ? ones_like(squared) : 1 - squared, zeros_like(squared));
                    Tensor mass = weight * (scores + floor);
                    points = mass.matmul(grid) / mass.sum(1, keepdim: true).clamp_min(1e-12);
                }

                Tensor distances = cdist(centers, points);
                Tensor loss = distances.min(1).values.mean() + distances.min(0).values.mean();
                autograd.grad([loss], [scores]);
            });
            Console.WriteLine($"  {median / iterations:0.0} ms an iteration");
        }
    }
}
