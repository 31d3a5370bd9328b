using System.CommandLine;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The options of 'bench' that say how large the timed cases are.</summary>
internal sealed class BenchSizes
{
    private readonly Option<Extent?> size = Parse.Size("--size", "pick: the volume in voxels. Default: 56.");
    private readonly Option<int[]?> patches = Parse.IntegerList("--patch", "N,N,…", "unet-step: edges of the patches in "
        + "voxels, rounded down to what the network takes. Default: 32,56,96.", 1, 512);
    private readonly Option<int?> particles = Parse.Integer("--particles", "pick: particles of the score map that is "
        + "clustered. Default: one in 45000 voxels.", 1);

    /// <summary>Items of a batch.</summary>
    public Option<int> Batch { get; } = Parse.Integer("--batch", "Items in a batch of the layers; unet-step, mean-shift and "
        + "pick take one.", 1, 1, int.MaxValue);

    /// <summary>What all edges are divided by.</summary>
    public Option<int?> Shrink { get; } = Parse.Choice("--shrink", "Divide the edges of the layers and steps and run each "
        + "once, for a check that every case runs. Default: 1.", new[] { 1, 2, 7, 14 }.ToDictionary(n => $"{n}", n => n));

    /// <summary>The network's channels.</summary>
    public Option<int[]?> Widths { get; } = Parse.IntegerList(
        "--widths", "N,N,…", "The network's channels. Default: 32,48,64.", 1, 1024);

    /// <summary>The process's memory.</summary>
    public Option<int> Memory { get; } = Parse.Integer(
        "--memory", "pick: the process's memory in MiB.", 1536, 1, int.MaxValue);

    /// <summary>All options.</summary>
    public IReadOnlyList<Symbol> Symbols => [Batch, Shrink, size, Widths, patches, particles, Memory];

    /// <summary>The options that change something of a benchmark.</summary>
    /// <param name="benchmark">Its name, of <see cref="QuickBench.Names"/>.</param>
    public IEnumerable<Symbol> CountingFor(string benchmark) => benchmark switch
    {
        "pick" => [Shrink, Widths, size, particles, Memory],
        "unet-step" => [Shrink, Widths, patches],
        "mean-shift" or "center-likelihood" => [Shrink],
        "adam" or "gradient-norm" => [Shrink, Widths],
        "dice" or "binary-cross-entropy" => [Shrink, Batch],
        _ => [Shrink, Widths, Batch],
    };

    /// <summary>The network that is timed.</summary>
    public UNet3dOptions NetworkOf(ParseResult options)
        => options.GetValue(Widths) is { Length: > 0 } given ? new UNet3dOptions { Widths = given } : new();

    /// <summary>The edges of patches.</summary>
    public IReadOnlyList<int> PatchesOf(ParseResult options)
        => options.GetValue(patches) is { Length: > 0 } edges ? edges : QuickBench.StandardPatches;

    /// <summary>The volume that is picked.</summary>
    public PickCase PickCaseOf(ParseResult options)
    {
        PickCase standard = new();
        return standard with
        {
            Size = options.GetValue(size) ?? standard.Size,
            Network = NetworkOf(options),
            Particles = options.GetValue(particles),
            MemoryLimitBytes = (long)options.GetValue(Memory) << 20,
        };
    }
}
