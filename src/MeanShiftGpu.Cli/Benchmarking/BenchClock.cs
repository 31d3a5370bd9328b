using System.Diagnostics;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>One timing.</summary>
/// <param name="Name">What was timed.</param>
/// <param name="Size">Its size.</param>
/// <param name="Device">The device.</param>
/// <param name="Variant">The kernel variant; Auto for whole networks, with what was forced.</param>
/// <param name="Precision">What convolutions round their operands to: float32 (not at all), tf32 or bf16-operands; bf16
/// where activations are stored so.</param>
/// <param name="MedianMs">Median of the repeats, in milliseconds.</param>
/// <param name="Gflops">10⁹ operations of the direct algorithm per second; 0 where operations are not counted.</param>
/// <param name="PeakBytes">Resident memory beyond the inputs, in bytes; null on a GPU, whose memory this process does
/// not see.</param>
/// <param name="PeakGflops">The processor's multiply-add peak in GFLOP/s, measured between the repeats: the median;
/// null on other devices and where operations are not counted.</param>
/// <param name="PercentOfPeak">Gflops as a share of PeakGflops; null where that is.</param>
/// <param name="GigabytesPerSecond">10⁹ bytes per second of what has to be read and written at least, each tensor once;
/// null where these are not counted.</param>
/// <param name="PercentOfBandwidth">The same as a share of the memory's bandwidth, measured in the same run; null on
/// other devices. It is above 100 where caches hold the tensors.</param>
/// <param name="Repeats">How often it was timed, after a first run that was not; of what takes minutes, that first run
/// alone.</param>
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

/// <summary>Something that is timed.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Size">Its size; asked for afterwards, with the median in milliseconds, so that it can hold what was
/// found.</param>
/// <param name="Variant">The kernel variant.</param>
/// <param name="Run">Does it, or queues it.</param>
internal sealed record Timed(string Name, Func<double, string> Size, string Variant, Action Run)
{
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
/// <param name="minimumTime">Each case is repeated for at least this long, and at least three times.</param>
internal sealed class BenchClock(GpuContext context, Action<BenchResult> report, TimeSpan minimumTime)
{
    /// <summary>The variant of whole networks, which choose for themselves.</summary>
    public const string Auto = "Auto";

    // A machine that others share gives more or less within seconds, so the peak is looked at again and again, for a
    // tenth of the time.
    private static readonly TimeSpan BetweenPeaks = TimeSpan.FromMilliseconds(100);

    /// <summary>The memory's bandwidth on the context's threads, in 10⁹ bytes per second; null on other devices.</summary>
    public double? BandwidthGigabytesPerSecond { get; } =
        context.Kind == DeviceKind.Cpu ? MemoryBandwidth.MeasureGigabytesPerSecond(context.Threads) : null;

    /// <summary>Times it and reports the result.</summary>
    /// <returns>The median in milliseconds.</returns>
    public double Time(Timed timed)
    {
        List<double> times = [];
        List<double> peaks = [];
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
        double median = Median(times);
        double gflops = timed.Operations / median / 1e6;
        double? peak = withPeak ? Median(peaks) : null;
        double? gigabytes = timed.Bytes / median / 1e6;
        report(new BenchResult(
            timed.Name, timed.Size(median), context.Description, timed.Variant, PrecisionOf(timed), median, gflops,
            onHost ? residentBytes : null, peak, 100 * gflops / peak, gigabytes, 100 * gigabytes / BandwidthGigabytesPerSecond,
            times.Count));
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
                peaks.Add(FmaPeak.MeasureGflops(context.Threads));
        }
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

    private static double Median(List<double> values)
    {
        values.Sort();
        int middle = values.Count / 2;
        return values.Count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
}
