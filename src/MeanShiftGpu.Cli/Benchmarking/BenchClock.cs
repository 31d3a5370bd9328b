using System.Diagnostics;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>One timing.</summary>
/// <param name="Name">What was timed.</param>
/// <param name="Size">Its size.</param>
/// <param name="Device">The device.</param>
/// <param name="Variant">The kernel variant; Auto for whole networks, with what was forced.</param>
/// <param name="Precision">What convolutions round their operands to: float32 (not at all), tf32 or
/// bf16-operands; bf16 where activations are stored so.</param>
public sealed record BenchResult(string Name, string Size, string Device, string Variant, string Precision)
{
    /// <summary>What was found beside the time, in words; null where that is nothing.</summary>
    public string? Note { get; init; }

    /// <summary>The fastest repeat, in milliseconds.</summary>
    public double MinimumMs { get; init; }

    /// <summary>A quarter of the repeats took at most this, in milliseconds.</summary>
    public double LowerQuartileMs { get; init; }

    /// <summary>Median of the repeats, in milliseconds.</summary>
    public double MedianMs { get; init; }

    /// <summary>Three quarters of the repeats took at most this, in milliseconds.</summary>
    public double UpperQuartileMs { get; init; }

    /// <summary>The slowest repeat, in milliseconds.</summary>
    public double MaximumMs { get; init; }

    /// <summary>How often it was timed, after runs that were not; of what takes minutes, a first run
    /// alone.</summary>
    public int Repeats { get; init; }

    /// <summary>10⁹ operations of the direct algorithm per second; 0 where operations are not
    /// counted.</summary>
    public double Gflops { get; init; }

    /// <summary>Resident memory beyond the inputs, in bytes; null on a GPU, whose memory this process does
    /// not see.</summary>
    public long? PeakBytes { get; init; }

    /// <summary>The processor's multiply-add peak in GFLOP/s, the highest that was measured between the
    /// repeats, in a line up to there and in a file in the whole run; null on other devices and where
    /// operations are not counted.</summary>
    public double? PeakGflops { get; init; }

    /// <summary>Gflops as a share of PeakGflops; null where that is.</summary>
    public double? PercentOfPeak { get; init; }

    /// <summary>10⁹ bytes per second of what has to be read and written at least, each tensor once; null
    /// where these are not counted.</summary>
    public double? GigabytesPerSecond { get; init; }

    /// <summary>The same as a share of the memory's bandwidth, measured in the same run; null on other
    /// devices. It is above 100 where caches hold the tensors.</summary>
    public double? PercentOfBandwidth { get; init; }

    /// <summary>Where and when it was timed; null in files of versions that did not say.</summary>
    public BenchRun? Run { get; init; }

    /// <summary>Results with the shares of the highest peak among them: other programs may have disturbed
    /// the first measurements.</summary>
    internal static BenchResult[] OfOnePeak(IReadOnlyList<BenchResult> results, Action<string> warn)
    {
        double? peak = results.Max(r => r.PeakGflops);
        if (results.Any(r => r.PeakGflops < 0.95 * peak))
            warn($"the peak rose to {peak:0} GFLOP/s while this ran: other programs disturbed the first measurements. Shares "
                + "above that name a lower peak are too large; --json writes those of this one.");
        return [.. results.Select(r => r.PeakGflops is null ? r
            : r with { PeakGflops = peak, PercentOfPeak = 100 * r.Gflops / peak })];
    }

    /// <summary>The result in a line, for people.</summary>
    internal string Line()
    {
        string note = Note is { } words ? $", {words}" : "";
        string speed = Gflops > 0 ? $", {Gflops:0.0} GFLOP/s" : "";
        string share = PercentOfPeak is { } percent ? $" ({percent:0} % of the peak, {PeakGflops:0})" : "";
        string rate = GigabytesPerSecond is { } gigabytes ? $", {gigabytes:0.0} GB/s" : "";
        string shareOfRate = PercentOfBandwidth is { } ofBandwidth ? $" ({ofBandwidth:0} % of the bandwidth)" : "";
        string resident = PeakBytes is { } bytes ? $", {bytes / 1048576.0:0.0} MiB" : "";
        string times = Repeats == 1 ? "once"
            : $"median of {Repeats}, {MinimumMs:0.00} to {MaximumMs:0.00} ms";
        return $"{Name}, {Size}, {Variant}: {MedianMs:0.00} ms{note}{speed}{share}{rate}{shareOfRate}"
            + $"{resident}, {times}";
    }
}

/// <summary>Something that is timed.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Size">Its size.</param>
/// <param name="Variant">The kernel variant.</param>
/// <param name="Run">Does it, or queues it.</param>
internal sealed record Timed(string Name, string Size, string Variant, Action Run)
{
    /// <summary>What was found, in words; asked for afterwards, with the median in milliseconds. Null for
    /// nothing.</summary>
    public Func<double, string>? Note { get; init; }

    /// <summary>Waits for what was queued.</summary>
    public required Action Wait { get; init; }

    /// <summary>Operations of the direct algorithm; 0 where they are not counted.</summary>
    public double Operations { get; init; }

    /// <summary>Bytes that have to be read and written at least; null where they are not counted.</summary>
    public long? Bytes { get; init; }

    /// <summary>Whether activations are BF16.</summary>
    public bool OnBf16 { get; init; }

    /// <summary>Whether it is run once, as a check or because it takes minutes.</summary>
    public bool Once { get; init; }
}

/// <summary>Times what it is given, and measures the processor's peak beside it.</summary>
/// <param name="context">The device.</param>
/// <param name="report">Told each result as it comes.</param>
/// <param name="minimumTime">Each case is repeated for at least this long, and at least three times; on the
/// host as long before, without being timed.</param>
internal sealed class BenchClock(GpuContext context, Action<BenchResult> report, TimeSpan minimumTime)
{
    /// <summary>The variant of whole networks, which choose for themselves.</summary>
    public const string Auto = "Auto";

    // A machine that others share gives more or less within seconds, so the peak is looked at again and
    // again, for some hundredths of the time; the highest look is the machine's.
    private static readonly TimeSpan BetweenPeaks = TimeSpan.FromMilliseconds(100);

    private double peakGflops;

    // Where and when: the same for all results of a run.
    private readonly BenchRun run = BenchRun.Of(context);

    /// <summary>
    /// The memory's bandwidth on the context's threads, in 10⁹ bytes per second; null on other devices.
    /// </summary>
    public double? BandwidthGigabytesPerSecond { get; } =
        context.Kind == DeviceKind.Cpu ? MemoryBandwidth.MeasureGigabytesPerSecond(context.Threads) : null;

    /// <summary>Times it and reports the result.</summary>
    /// <returns>The median in milliseconds.</returns>
    public double Time(Timed timed)
    {
        List<double> times = [];
        bool onHost = context.Kind == DeviceKind.Cpu;
        bool withPeak = onHost && timed.Operations > 0;
        MeasurePeak();
        double firstMs = 0;
        long residentBytes = PeakMemory.Measure(() => firstMs = Call(1));
        if (timed.Once)
            times.Add(firstMs);

        // A GPU queues launches: enough for a millisecond are timed together, as a training step runs them,
        // without a wait after each.
        int calls = timed.Once || onHost ? 1 : (int)Math.Clamp(Math.Ceiling(1 / Call(1)), 1, 100);
        if (onHost && !timed.Once)
            WarmUp(() => Call(1), minimumTime);
        Stopwatch total = Stopwatch.StartNew();
        Stopwatch sincePeak = Stopwatch.StartNew();
        while (!timed.Once && (times.Count < 3 || total.Elapsed < minimumTime))
        {
            times.Add(Call(calls) / calls);
            if (sincePeak.Elapsed < BetweenPeaks)
                continue;
            MeasurePeak();
            sincePeak.Restart();
        }

        MeasurePeak();
        times.Sort();
        double median = Quantile(times, 0.5);
        double gflops = timed.Operations / median / 1e6;
        double? peak = withPeak ? peakGflops : null;
        double? gigabytes = timed.Bytes / median / 1e6;
        report(new BenchResult(timed.Name, timed.Size, context.Description, timed.Variant, PrecisionOf(timed))
        {
            Note = timed.Note?.Invoke(median),
            MinimumMs = times[0],
            LowerQuartileMs = Quantile(times, 0.25),
            MedianMs = median,
            UpperQuartileMs = Quantile(times, 0.75),
            MaximumMs = times[^1],
            Repeats = times.Count,
            Gflops = gflops,
            PeakBytes = onHost ? residentBytes : null,
            PeakGflops = peak,
            PercentOfPeak = 100 * gflops / peak,
            GigabytesPerSecond = gigabytes,
            PercentOfBandwidth = 100 * gigabytes / BandwidthGigabytesPerSecond,
            Run = run,
        });
        return median;

        double Call(int count)
        {
            long begin = Stopwatch.GetTimestamp();
            for (int call = 0; call < count; call++)
                timed.Run();
            timed.Wait();
            return Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        }

        void MeasurePeak()
        {
            if (withPeak)
                peakGflops = Math.Max(peakGflops, FmaPeak.MeasureGflops(context.Threads.Count, thoroughly: peakGflops == 0));
        }
    }

    /// <summary>Runs something for a while: the runtime compiles code quickly at first, and anew, better,
    /// after a second of use.</summary>
    internal static void WarmUp(Action run, TimeSpan time)
    {
        for (Stopwatch total = Stopwatch.StartNew(); total.Elapsed < time;)
            run();
    }

    // What a variant on float32 activations rounds to, or a whole network.
    private string PrecisionOf(Timed timed)
    {
        bool isNetwork = timed.Variant.StartsWith(Auto, StringComparison.Ordinal);
        bool rounds = isNetwork ? timed.Operations > 0 : timed.Variant == Variants.TensorCore;
        return timed.OnBf16 || (isNetwork && rounds && context.Precision == Precision.Bf16) ? "bf16"
            : !rounds ? "float32"
            : context.Precision switch
            {
                Precision.Bf16 or Precision.Bf16Operands => "bf16-operands",
                Precision.Tf32 => "tf32",
                _ => "float32",
            };
    }

    /// <summary>The value below which a share of sorted values lies, between two of them where it falls
    /// there.</summary>
    internal static double Quantile(IReadOnlyList<double> sorted, double share)
    {
        double place = share * (sorted.Count - 1);
        int below = (int)place;
        int above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
}
