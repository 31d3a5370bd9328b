using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>What 'bench' is asked to time, by name; whether in capitals does not matter.</summary>
internal static class BenchNames
{
    /// <summary>The one that measures how the forward pass grows.</summary>
    public const string Growth = "growth";

    /// <summary>The one that makes a table of several files.</summary>
    public const string Table = "table";

    private static readonly string[] Alone = [BenchStability.Name, Growth, Table];

    /// <summary>The name that stands alone, where it is the first; else null.</summary>
    public static string? AloneIn(string[] given)
        => given is [string first, .. string[] rest] && Alone.FirstOrDefault(name => Same(name, first)) is { } alone
            && (rest.Length == 0 || alone == Table) ? alone : null;

    /// <summary>The benchmarks that are asked for, each once; all of them where none is named.</summary>
    /// <exception cref="InputException">One is not known, or stands alone.</exception>
    public static string[] Chosen(string[] given)
    {
        if (given.FirstOrDefault(name => Alone.Any(a => Same(a, name))) is { } alone)
            throw new InputException($"bench: '{alone}' stands alone and was given with other names. Run it by itself"
                + $"{(Same(alone, Table) ? ", with the files behind it" : "")}.");
        return given.Length == 0 ? [.. QuickBench.Names] : [.. given.Select(Known).Distinct()];
    }

    private static string Known(string name)
        => QuickBench.Names.FirstOrDefault(known => Same(known, name))
            ?? throw new InputException($"bench: there is no benchmark '{name}'. Expected {string.Join(", ", QuickBench.Names)}, "
                + $"or by itself {string.Join(", ", Alone)}.");

    private static bool Same(string a, string b) => a.Equals(b, StringComparison.OrdinalIgnoreCase);
}
