using System.CommandLine;
using System.CommandLine.Parsing;

namespace MeanShiftGpu.Cli;

/// <summary>Turns what the parser did not understand into one line that helps.</summary>
internal static class ParseProblem
{
    /// <summary>The first problem with the arguments; null where there is none.</summary>
    public static string? Find(ParseResult parsed, RootCommand root)
    {
        Command command = parsed.CommandResult.Command;
        string hint = command == root ? "See --help." : $"See {command.Name} --help.";
        // Behind a misspelled verb no option is known.
        if (command == root && parsed.Tokens is [{ Type: TokenType.Argument } first, ..])
            return $"unknown verb '{first.Value}'.{Nearest(first.Value, root.Subcommands.Select(c => c.Name))} {hint}";
        // A misspelled option is reported as such before anything that follows from it.
        if (command.TreatUnmatchedTokensAsErrors && UnknownOption(parsed, command) is { } option)
            return OptionsOf(command, root).Contains(option)
                ? $"option '{option}' stands behind '--', where every word is the name of a file. Put it before. {hint}"
                : $"unknown option '{option}'.{Nearest(option, OptionsOf(command, root))} {hint}";
        if (command.TreatUnmatchedTokensAsErrors && parsed.UnmatchedTokens.Count > 0)
        {
            string word = parsed.UnmatchedTokens[0];
            return command == root
                ? $"unknown verb '{word}'.{Nearest(word, root.Subcommands.Select(c => c.Name))} {hint}"
                : $"unexpected argument '{word}'. {hint}";
        }

        if (parsed.Errors.Count == 0)
            return null;
        return command == root
            ? $"no verb was given; expected one of {string.Join(", ", root.Subcommands.Select(c => c.Name))}. {hint}"
            : $"{parsed.Errors[0].Message.ReplaceLineEndings(" ").TrimEnd('.')}. {hint}";
    }

    /// <summary>" Did you mean '…'?" for the candidate nearest to a word; empty where none is near.</summary>
    public static string Nearest(string word, IEnumerable<string> candidates)
    {
        (string Name, int Distance)[] near =
        [
            .. candidates
                .Select(c => (c, EditDistance(word.ToUpperInvariant(), c.ToUpperInvariant())))
                .Where(c => c.Item2 <= Math.Max(2, word.Length / 3)
                    || (word.Length > 1 && c.c.StartsWith(word, StringComparison.OrdinalIgnoreCase)))
                .OrderBy(c => c.Item2).ThenBy(c => c.c, StringComparer.Ordinal),
        ];
        return near.Length == 0 ? "" : $" Did you mean '{near[0].Name}'?";
    }

    // Words with a dash that no option took: unmatched ones, and those that an argument for file names
    // swallowed.
    private static string? UnknownOption(ParseResult parsed, Command command)
    {
        IEnumerable<string> swallowed = command.Arguments
            .Select(parsed.GetResult)
            .OfType<ArgumentResult>()
            .SelectMany(r => r.Tokens)
            .Select(t => t.Value);
        IEnumerable<string> taken = parsed.CommandResult.Children
            .OfType<OptionResult>()
            .SelectMany(r => r.Tokens)
            .Select(t => t.Value);
        return parsed.UnmatchedTokens.Concat(swallowed).Concat(taken)
            .Where(t => t.StartsWith("--", StringComparison.Ordinal) && t.Length > 2)
            .Select(t => t.Split('=', ':')[0])
            .FirstOrDefault();
    }

    private static IEnumerable<string> OptionsOf(Command command, RootCommand root)
        => command.Options.Concat(root.Options).SelectMany(o => o.Aliases.Append(o.Name))
            .Where(n => n.StartsWith("--", StringComparison.Ordinal)).Distinct();

    // Levenshtein's distance, one row at a time.
    private static int EditDistance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[^1];
    }
}
