using System.Diagnostics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>A forward pass of some size.</summary>
/// <param name="ByPlanes">Whether planes were computed as they were needed, or whole tensors.</param>
/// <param name="Edge">Edge of the cubes, in voxels.</param>
/// <param name="Batch">How many cubes at once.</param>
/// <param name="Threads">Threads.</param>
/// <param name="MedianMs">Median of the repeats, in milliseconds.</param>
/// <param name="NanosecondsPerVoxel">The same for each voxel.</param>
/// <param name="PredictedBytes">Memory of the activations, planned before.</param>
/// <param name="MeasuredBytes">Highest resident memory less that before, image and scores left out.</param>
/// <param name="Repeats">How often it was timed.</param>
public sealed record GrowthPoint(
    bool ByPlanes, int Edge, int Batch, int Threads, double MedianMs, double NanosecondsPerVoxel, long PredictedBytes,
    long MeasuredBytes, int Repeats)
{
    /// <summary>The machine and the program; null in tests.</summary>
    public BenchRun? Run { get; init; }
}

/// <summary>How time and memory of the forward pass grow with the volume, the batch and the
/// threads.</summary>
/// <param name="options">The network.</param>
/// <param name="shrink">Divides the edges, for a check that everything runs.</param>
/// <param name="seconds">Each size is repeated for at least this long, and at least three times; what takes
/// longer, once.</param>
internal sealed class GrowthBench(UNet3dOptions options, int shrink, double seconds)
{
    private const double ShareOfMemory = 0.8;
    private const double OnceFromMs = 20_000;
    private const string TimePicture = "growth-time.svg";
    private const string MemoryPicture = "growth-memory.svg";

    /// <summary>The sizes: cubes of 32³ to 192³ whole, up to 512³ by planes, and batches.</summary>
    /// <param name="ByPlanes">By planes, or whole.</param>
    /// <param name="Edge">The edge.</param>
    /// <param name="Batch">The batch.</param>
    internal readonly record struct Size(bool ByPlanes, int Edge, int Batch);

    internal static readonly IReadOnlyList<Size> Sizes =
    [
        .. ((int[])[32, 48, 64, 96, 128, 160, 192]).Select(edge => new Size(false, edge, 1)),
        .. ((int[])[32, 64, 128, 192, 256, 512]).Select(edge => new Size(true, edge, 1)),
        .. ((int[])[2, 4, 8]).Select(batch => new Size(false, 48, batch)),
    ];

    /// <summary>Times all sizes on the host, with one thread and with all.</summary>
    /// <param name="device">The settings of the contexts.</param>
    /// <param name="say">Told each device, and each point as it comes.</param>
    /// <param name="cancellation">Stops after a size.</param>
    public IReadOnlyList<GrowthPoint> RunOnHost(
        GpuContextOptions device, Action<string> say, CancellationToken cancellation)
    {
        List<GrowthPoint> points = [];
        int most = device.Threads > 0 ? device.Threads : Environment.ProcessorCount;
        foreach (int count in new[] { 1, most }.Distinct())
        {
            using GpuContext context = GpuContext.Create(device with { Device = DeviceKind.Cpu, Threads = count });
            say($"device: {context.Description}");
            Run(context, point =>
            {
                points.Add(point);
                say(Table([point])[^1]);
            }, say, cancellation);
        }

        return points;
    }

    /// <summary>Times all sizes on one context.</summary>
    /// <param name="context">The CPU device.</param>
    /// <param name="report">Told each point as it comes.</param>
    /// <param name="leftOut">Told what would not fit into the memory.</param>
    /// <param name="cancellation">Stops after a size.</param>
    public void Run(GpuContext context, Action<GrowthPoint> report, Action<string> leftOut, CancellationToken cancellation)
    {
        BenchRun run = BenchRun.Of(context);
        using UNet3d<float> network = new(context, options, seed: 1);
        foreach (Size size in Sizes)
        {
            cancellation.ThrowIfCancellationRequested();
            int edge = Math.Max(1, size.Edge / shrink / options.Divisor) * options.Divisor;
            TensorShape shape = new(size.Batch, edge, edge, edge, options.InputChannels);
            long predicted = size.ByPlanes
                ? network.PredictBytes(new Extent(edge, edge, edge))
                : (long)(network.InferenceBytesPerVoxel * size.Batch * new Extent(edge, edge, edge).Voxels);
            if (predicted + 2 * sizeof(float) * shape.Length > ShareOfMemory * context.MemoryLimitBytes)
                leftOut($"{Words(size.ByPlanes, edge, size.Batch)} needs {predicted >> 20} MiB, more than there is.");
            else
                report(Measure(context, network, shape, size.ByPlanes, predicted) with { Run = run });
        }
    }

    /// <summary>Writes the page, which is what benchmarks/results holds, and its pictures.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="network">The network.</param>
    /// <param name="points">The figures.</param>
    /// <param name="arguments">What follows "bench" on the command line, the folder among it.</param>
    public static void Write(
        string folder, UNet3dOptions network, IReadOnlyList<GrowthPoint> points, IReadOnlyList<string> arguments)
    {
        ReportFile.WriteText(Path.Combine(folder, "growth.md"), string.Join('\n', Page(network, points, arguments)) + "\n");
        ReportPlots.WriteSvg(Path.Combine(folder, TimePicture), new ReportChart
        {
            Title = "Forward pass",
            XTitle = "edge of a cube of as many voxels",
            YTitle = "ns for each voxel",
            LogarithmicY = true,
            Curves = Curves(points, p => p.NanosecondsPerVoxel),
        });
        int threads = MostThreads(points);
        GrowthPoint[] most = [.. points.Where(p => p.Threads == threads && p.Batch == 1)];
        ReportPlots.WriteSvg(Path.Combine(folder, MemoryPicture), new ReportChart
        {
            Title = "Memory of a forward pass",
            XTitle = "edge of a cube of as many voxels",
            YTitle = "MiB",
            LogarithmicY = true,
            Curves =
            [
                .. Curves(most, p => p.MeasuredBytes / 1048576.0, ", measured"),
                .. Curves(most, p => p.PredictedBytes / 1048576.0, ", predicted", dashed: true),
            ],
        });
    }

    private static IEnumerable<string> Page(
        UNet3dOptions network, IReadOnlyList<GrowthPoint> points, IReadOnlyList<string> arguments)
    {
        string widths = string.Join("-", network.Widths);
        bool isPublished = network.Widths.SequenceEqual(new UNet3dOptions().Widths);
        return
        [
            "# How time and memory of the forward pass grow",
            "",
            $"This page is about {(isPublished ? "the published network" : "a network")} with {widths} channels.",
            .. Largest(points),
            $"A size whose first run takes longer than {OnceFromMs / 1000:0} seconds is not run again. The first run also gets",
            "the memory from the system.",
            .. Once(points),
            "Memory is the growth of the process, so pages that it already had do not count.",
            "",
            "```console",
            $"meanshift-gpu bench {string.Join(' ', arguments.Select(Quoted))}",
            "```",
            "",
            $"![Time for each voxel]({TimePicture})",
            $"![Memory, measured and predicted]({MemoryPicture})",
            "",
            .. Table(points),
        ];
    }

    // What the largest cube takes by planes, and what whole tensors of it would take: their memory grows with
    // the voxels.
    private static IEnumerable<string> Largest(IReadOnlyList<GrowthPoint> points)
    {
        int threads = MostThreads(points);
        GrowthPoint[] all = [.. points.Where(p => p.Threads == threads && p.Batch == 1)];
        if (all.Where(p => p.ByPlanes).MaxBy(p => p.Edge) is not { } largest
            || all.Where(p => p.ByPlanes).MinBy(p => p.Edge) is not { } least
            || all.Where(p => !p.ByPlanes).MaxBy(p => p.Edge) is not { } whole)
            yield break;
        double wholeBytes = whole.PredictedBytes * Math.Pow((double)largest.Edge / whole.Edge, 3);
        yield return $"By planes, a cube of {largest.Edge}³ voxels takes {Gibibytes(largest.MeasuredBytes)}; whole tensors "
            + $"would need {Gibibytes(wholeBytes)}.";
        yield return $"With {Counted.Of(threads, "thread")} it takes {largest.NanosecondsPerVoxel:0} ns for each voxel, a cube "
            + $"of {least.Edge}³ {least.NanosecondsPerVoxel:0} ns.";

        static string Gibibytes(double bytes)
        {
            double count = bytes / (1 << 30);
            return count < 10 ? $"{count:0.0} GiB" : $"{count:0} GiB";
        }
    }

    // Which figures are those of a first run.
    private static IEnumerable<string> Once(IReadOnlyList<GrowthPoint> points)
    {
        GrowthPoint[] once = [.. points.Where(p => p.Repeats == 1)];
        if (once.Length == 0)
            yield break;
        if (once.Length == points.Count)
        {
            yield return "Here every size was run once.";
            yield break;
        }

        yield return $"Here that holds for {Counted.Of(once.Length, "size")}:";
        yield return "";
        foreach (GrowthPoint p in once)
            yield return $"- {Words(p.ByPlanes, p.Edge, p.Batch)}, {Counted.Of(p.Threads, "thread")}";
        yield return "";
    }

    /// <summary>A Markdown table of all points.</summary>
    public static IReadOnlyList<string> Table(IReadOnlyList<GrowthPoint> points)
    {
        List<string> lines = [];
        // The last point's device has the most threads.
        if (points.Count > 0 && points[^1].Run is { } run)
            lines.AddRange([$"{run.Build()}.", run.Machine(), ""]);
        lines.Add("| forward pass of | threads | ms | ns for each voxel | memory predicted, MiB | measured, MiB |");
        lines.Add("|---|---|---|---|---|---|");
        lines.AddRange(points.Select(p => $"| {Words(p.ByPlanes, p.Edge, p.Batch)} | {p.Threads} | {p.MedianMs:0.0} "
            + $"| {p.NanosecondsPerVoxel:0} | {p.PredictedBytes / 1048576.0:0} | {p.MeasuredBytes / 1048576.0:0} |"));
        return lines;
    }

    private static string Quoted(string word) => word.Contains(' ', StringComparison.Ordinal) ? $"\"{word}\"" : word;

    private static string Words(bool byPlanes, int edge, int batch)
        => $"{(batch > 1 ? $"{batch} × " : "")}{edge}³ {(byPlanes ? "by planes" : "whole")}";

    // 0 where nothing fitted into the memory.
    private static int MostThreads(IReadOnlyList<GrowthPoint> points) => points.Select(p => p.Threads).DefaultIfEmpty().Max();

    private static IReadOnlyList<ReportCurve> Curves(
        IReadOnlyList<GrowthPoint> points, Func<GrowthPoint, double> value, string ending = "", bool dashed = false)
    {
        int most = MostThreads(points);
        bool threadsDiffer = points.Any(p => p.Threads != most);
        return
        [
            .. points.GroupBy(p => (p.ByPlanes, Batches: p.Batch > 1, p.Threads)).Select(group => new ReportCurve(
                (group.Key.ByPlanes ? "by planes" : group.Key.Batches ? "batches" : "whole")
                    + (threadsDiffer ? $", {Counted.Of(group.Key.Threads, "thread")}" : "") + ending,
                group.Key.ByPlanes ? ReportColor.Blue : group.Key.Batches ? ReportColor.Green : ReportColor.Red,
                [.. group.OrderBy(p => Voxels(p)).Select(p => (Math.Cbrt(Voxels(p)), value(p))).Where(p => p.Item2 > 0)],
                Dashed: dashed || group.Key.Threads < most)),
        ];

        static double Voxels(GrowthPoint p) => p.Batch * Math.Pow(p.Edge, 3);
    }

    private GrowthPoint Measure(GpuContext context, UNet3d<float> network, TensorShape shape, bool byPlanes, long predicted)
    {
        float[] image = new float[shape.Length];
        Random random = new(1);
        foreach (ref float value in image.AsSpan())
            value = random.NextSingle() + random.NextSingle() - 1;
        float[] scores = new float[shape.Length / options.InputChannels * options.Outputs];
        // Touched, so that their pages do not count as the network's.
        scores.AsSpan().Fill(1);
        using Arena arena = new(context);
        double firstMs = 0;
        long measured = PeakMemory.Measure(() => firstMs = Pass());
        List<double> times = firstMs >= OnceFromMs || shrink > 1 ? [firstMs] : [];
        bool repeats = times.Count == 0;
        if (repeats)
            BenchClock.WarmUp(() => Pass(), TimeSpan.FromSeconds(seconds));
        for (Stopwatch total = Stopwatch.StartNew(); repeats && (times.Count < 3 || total.Elapsed.TotalSeconds < seconds);)
            times.Add(Pass());
        times.Sort();
        double median = BenchClock.Quantile(times, 0.5);
        return new GrowthPoint(
            byPlanes, shape.Height, shape.Batch, context.Threads.Count, median,
            1e6 * median / (shape.Length / options.InputChannels), predicted, measured, times.Count);

        double Pass()
        {
            long begin = Stopwatch.GetTimestamp();
            if (byPlanes)
            {
                network.Predict(arena, image, shape, scores);
            }
            else
            {
                using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
                network.Forward(tape, tape.Upload(image, shape));
                context.Synchronize();
            }

            return Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        }
    }
}
