using System.Globalization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Peers;

// The same network and layers through this library, ONNX Runtime, libtorch and oneDNN, on the CPU: outputs
// compared, then timed in turns.
//
//   benchmarks/peers/run [forward] [step] [conv3d] [mean-shift] [--edge N,N,…] [--threads N] [--seconds S]
//       [--only NAME,NAME,…] [--memory] [--onednn LIBRARY] [--json FILE] [--chart FILE.svg]
//   benchmarks/peers/run --from FILE.json --chart FILE.svg

string[] known = ["forward", "step", "conv3d", "mean-shift"];
List<string> cases = [];
Settings settings = new();
string? json = null;
string? chart = null;
string? drawn = null;
bool memory = false;
string? onlyMemoryOf = null;
try
{
    for (int i = 0; i < args.Length; i++)
    {
        string option = args[i];
        string Value() => ++i < args.Length ? args[i] : throw new ArgumentException($"{option} needs a value.");
        int Whole(string text) => int.TryParse(text, CultureInfo.InvariantCulture, out int value) && value > 0
            ? value
            : throw new ArgumentException($"{option}: '{text}' is not a whole number from 1 up.");
        switch (option)
        {
            case "--edge": settings.Edges = [.. Value().Split(',').Select(Whole)]; break;
            case "--threads": settings.Threads = Whole(Value()); break;
            case "--seconds":
                settings.Seconds = double.TryParse(Value(), CultureInfo.InvariantCulture, out double seconds) && seconds >= 0
                    ? seconds
                    : throw new ArgumentException($"{option}: '{args[i]}' is not a number from 0 up.");
                break;
            case "--only": settings.Only = Value().Split(','); break;
            case "--memory": memory = true; break;
            case "--memory-of": onlyMemoryOf = Value(); break;
            case "--onednn": settings.OneDnn = Value(); break;
            case "--json": json = Value(); break;
            case "--chart": chart = Value(); break;
            case "--from": drawn = Value(); break;
            case string name when known.Contains(name): cases.Add(name); break;
            default: throw new ArgumentException($"'{option}' is neither an option nor one of {string.Join(", ", known)}.");
        }
    }
}
catch (ArgumentException e)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return 2;
}

if (drawn is not null)
{
    Chart.Write(chart ?? Path.ChangeExtension(drawn, ".svg"), Contest.Read(drawn));
    return 0;
}

if (onlyMemoryOf is not null)
    return ProcessMemory.RunOne(settings, onlyMemoryOf);

string[] unknown = [.. settings.Only.Where(name => !Contenders.Names.Any(n => n.StartsWith(name, StringComparison.Ordinal)))];
if (unknown.Length > 0)
{
    Console.Error.WriteLine($"error: --only: '{unknown[0]}' is not known. Expected {string.Join(", ", Contenders.Names)}.");
    return 2;
}

using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = settings.Threads });
using Contenders contenders = new(context, settings);
foreach (string line in contenders.Versions())
    Console.WriteLine(line);
Console.WriteLine();
Contest contest = new(settings, Console.Out);
foreach (string name in cases.Count > 0 ? cases : ["forward", "step", "conv3d"])
{
    switch (name)
    {
        case "forward":
            foreach (int edge in settings.Edges.Length > 0 ? settings.Edges : [56, 128])
                new NetworkForward(contenders, edge).Run(contest);
            break;
        case "step":
            foreach (int edge in settings.Edges.Length > 0 ? settings.Edges : [32, 56])
                new NetworkStep(contenders, edge).Run(contest);
            break;
        case "conv3d":
            foreach ((int edge, int from, int to) in Layers.Of(settings))
                new Layer(contenders, edge, from, to).Run(contest);
            break;
        case "mean-shift":
            NaiveMeanShift.Run(contenders, contest);
            break;
    }
}

if (memory)
    ProcessMemory.Measure(settings, Console.Out);
if (json is not null)
    contest.Write(json);
if (chart is not null)
    contest.Draw(chart);
if (contest.Differing > 0)
    Console.WriteLine($"{contest.Differing} outputs differ by more than they may.");
return contest.Differing == 0 ? 0 : 1;
