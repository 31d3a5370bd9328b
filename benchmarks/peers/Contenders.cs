using MeanShiftGpu.Device;
using Microsoft.ML.OnnxRuntime;
using TorchSharp;

namespace MeanShiftGpu.Peers;

/// <summary>Who takes part.</summary>
internal sealed class Contenders : IDisposable
{
    public const string Ours = "MeanShiftGpu";
    public const string OurPlanes = "MeanShiftGpu, by planes";
    public const string OnnxRuntime = "ONNX Runtime";
    public const string Contiguous = "libtorch, contiguous";
    public const string ChannelsLast = "libtorch, channels last";
    public const string OneDnnName = "oneDNN";

    /// <summary>All names.</summary>
    public static readonly string[] Names = [Ours, OurPlanes, OnnxRuntime, ChannelsLast, Contiguous, OneDnnName];

    private readonly Settings settings;
    private readonly string oneDnnProblem = "";

    /// <summary>Sets every library's threads.</summary>
    public Contenders(GpuContext context, Settings settings)
    {
        this.settings = settings;
        Context = context;
        if (Takes(ChannelsLast) || Takes(Contiguous))
        {
            torch.set_num_threads(settings.Threads);
            torch.random.manual_seed(1);
        }

        if (Takes(OneDnnName))
            OneDnn = OneDnn.Find(settings, out oneDnnProblem);
    }

    public GpuContext Context { get; }

    /// <summary>oneDNN where its library is there.</summary>
    public OneDnn? OneDnn { get; }

    /// <summary>Whether somebody takes part.</summary>
    public bool Takes(string name)
        => settings.Only.Length == 0 || settings.Only.Any(begin => name.StartsWith(begin, StringComparison.Ordinal));

    /// <summary>libtorch's layouts that take part.</summary>
    public IEnumerable<(string Name, bool ChannelsLast)> Layouts()
        => ((string, bool)[])[.. Takes(ChannelsLast) ? [(ChannelsLast, true)] : Array.Empty<(string, bool)>(),
            .. Takes(Contiguous) ? [(Contiguous, false)] : Array.Empty<(string, bool)>()];

    /// <summary>How ONNX Runtime is set: on its threads; a pause lets them come to rest before others are
    /// timed.</summary>
    public SessionOptions OnnxOptions() => new() { IntraOpNumThreads = settings.Threads, InterOpNumThreads = 1 };

    /// <summary>What takes part, in which version.</summary>
    public IEnumerable<string> Versions()
    {
        yield return $"{Ours}: {Context.Description}";
        if (Takes(OnnxRuntime))
            yield return $"{OnnxRuntime} {OrtEnv.Instance().GetVersionString()}, {settings.Threads} threads";
        if (Takes(ChannelsLast) || Takes(Contiguous))
            yield return $"libtorch {torch.__version__}, {torch.get_num_threads()} threads";
        if (Takes(OneDnnName))
            yield return OneDnn?.Version() ?? $"oneDNN takes no part: {oneDnnProblem}";
    }

    public void Dispose() => OneDnn?.Dispose();
}
