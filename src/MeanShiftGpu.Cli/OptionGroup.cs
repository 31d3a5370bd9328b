using System.CommandLine;

namespace MeanShiftGpu.Cli;

/// <summary>Options that stand together in the help.</summary>
/// <param name="Title">The heading.</param>
/// <param name="Symbols">The options, and arguments, which stand before all groups.</param>
internal sealed record OptionGroup(string Title, params IEnumerable<Symbol> Symbols)
{
    /// <summary>Input and output.</summary>
    public const string Data = "Data";

    /// <summary>What is looked for.</summary>
    public const string Particle = "Particle";

    /// <summary>What is minimised.</summary>
    public const string Loss = "Loss";

    /// <summary>How it is minimised.</summary>
    public const string Optimiser = "Optimiser";

    /// <summary>Where it is computed.</summary>
    public const string Device = "Memory and device";

    /// <summary>What hardly anybody changes.</summary>
    public const string Advanced = "Advanced";

    /// <summary>The parser's help with its options under the headings of their groups.</summary>
    /// <param name="help">The parser's help.</param>
    /// <param name="groups">The groups; an option that is in none of them stands in the last.</param>
    public static string Arrange(string help, IReadOnlyList<OptionGroup> groups)
    {
        const string Heading = "Options:";
        string[] lines = help.ReplaceLineEndings("\n").Split('\n');
        int first = Array.IndexOf(lines, Heading) + 1;
        if (groups.Count == 0 || first == 0)
            return help;
        int end = Array.IndexOf(lines, "", first);
        // An entry begins with its option; what a narrow terminal breaks off stands deeper.
        List<string> entries = [];
        foreach (string line in lines[first..end])
        {
            if (line.StartsWith("  -", StringComparison.Ordinal))
                entries.Add(line);
            else
                entries[^1] += "\n" + line;
        }

        ILookup<OptionGroup, string> grouped = entries.ToLookup(
            e => groups.FirstOrDefault(
                g => g.Symbols.Any(s => e.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0] == s.Name), groups[^1]));
        IEnumerable<string> arranged = groups.Where(g => grouped[g].Any()).SelectMany(
            g => (string[])[$"{g.Title} options:", .. grouped[g], ""]);
        return string.Join('\n', [.. lines[..(first - 1)], .. arranged, .. lines[(end + 1)..]]).ReplaceLineEndings();
    }
}
