using System.Diagnostics;
using System.Globalization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;

namespace MeanShiftGpu.Peers;

/// <summary>The peak of a process with one contender and one forward pass after another; of several in one
/// process it could not be told.</summary>
internal static class ProcessMemory
{
    private const string Word = "peak MiB: ";

    /// <summary>Starts a process for each contender and edge, and writes a table.</summary>
    public static void Measure(Settings settings, TextWriter output)
    {
        output.WriteLine("### forward pass, peak of a process, MiB");
        output.WriteLine();
        output.WriteLine("| | volume | MiB |");
        output.WriteLine("|---|---|---|");
        foreach (int edge in settings.Edges.Length > 0 ? settings.Edges : [56, 128])
        {
            foreach (string name in Contenders.Names)
            {
                bool ours = name is Contenders.Ours or Contenders.OurPlanes;
                if (!ours && settings.Only.Length > 0 && !settings.Only.Any(o => name.StartsWith(o, StringComparison.Ordinal)))
                    continue;
                List<string> arguments =
                    ["--memory-of", name, "--edge", $"{edge}", "--threads", $"{settings.Threads}", "--only", name.Split(',')[0]];
                if (settings.OneDnn.Length > 0)
                    arguments.AddRange(["--onednn", settings.OneDnn]);
                output.WriteLine($"| {name} | {edge}³ | {Start(arguments)} |");
            }
        }

        output.WriteLine();
    }

    /// <summary>Two forward passes of one contender, then the process's peak.</summary>
    public static int RunOne(Settings settings, string name)
    {
        using GpuContext context = GpuContext.Create(
            new GpuContextOptions { Device = DeviceKind.Cpu, Threads = settings.Threads });
        using Contenders contenders = new(context, settings);
        UNet3dOptions structure = new();
        Extent size = Volumes.Cube(settings.Edges[0], structure);
        using UNet3d<float> network = new(context, structure, seed: 1);
        List<IDisposable> owned = [];
        Entry? entry = new NetworkForward(contenders, settings.Edges[0])
            .Entries(name, network, Numbers.Uniform(size.Voxels, 2), size, owned).FirstOrDefault();
        if (entry is null)
        {
            Console.WriteLine("takes no part");
            return 1;
        }

        entry.Run();
        entry.Run();
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal));
        long kib = long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
        Console.WriteLine($"{Word}{kib / 1024}");
        owned.ForEach(o => o.Dispose());
        return 0;
    }

    private static string Start(List<string> arguments)
    {
        string program = Environment.ProcessPath!;
        string[] library = Path.GetFileNameWithoutExtension(program) == "dotnet" ? [typeof(ProcessMemory).Assembly.Location] : [];
        ProcessStartInfo start = new(program, [.. library, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith(Word, StringComparison.Ordinal));
        return line is null ? $"failed: {(error.Result + text).ReplaceLineEndings(" ").Trim()}" : line[Word.Length..].Trim();
    }
}
