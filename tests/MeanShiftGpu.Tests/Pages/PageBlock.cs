using System.Text.RegularExpressions;

namespace MeanShiftGpu.Tests.Pages;

/// <summary>A fenced block of a page.</summary>
/// <param name="Line">Where its fence stands, the first line being 1.</param>
/// <param name="Word">What stands behind the fence.</param>
/// <param name="Text">What lies between the fences.</param>
internal sealed partial record PageBlock(int Line, string Word, string Text)
{
    /// <summary>The blocks of a page, in order. A fence that is not closed reaches to the end.</summary>
    public static List<PageBlock> Read(string page)
    {
        List<PageBlock> blocks = [];
        string[] lines = page.ReplaceLineEndings("\n").Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if (!lines[i].TrimStart().StartsWith("```", StringComparison.Ordinal))
                continue;
            int end = Array.FindIndex(lines, i + 1, line => line.Trim() == "```");
            if (end < 0)
                end = lines.Length;
            blocks.Add(new PageBlock(i + 1, lines[i].Trim()[3..], string.Join('\n', lines[(i + 1)..end])));
            i = end;
        }

        return blocks;
    }

    /// <summary>
    /// The arguments of each command of the tool, after its name. A variable of a loop takes its first value,
    /// any other one 1.
    /// </summary>
    public IEnumerable<string[]> Commands()
    {
        string text = Text.Replace("\\\n", " ", StringComparison.Ordinal);
        Dictionary<string, string> first = [];
        foreach (Match loop in LoopPattern().Matches(text))
            first.TryAdd(loop.Groups[1].Value, loop.Groups[2].Value);
        foreach (string line in text.Split('\n'))
        {
            Match command = CommandPattern().Match(CommentPattern().Replace(line, ""));
            if (!command.Success)
                continue;
            string arguments = VariablePattern().Replace(
                command.Groups[1].Value, v => first.GetValueOrDefault(v.Groups[1].Value, "1"));
            yield return arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        }
    }

    [GeneratedRegex(@"for (\w+) in (\S+?)[ ;]")]
    private static partial Regex LoopPattern();

    [GeneratedRegex(@"\$(\w+)")]
    private static partial Regex VariablePattern();

    [GeneratedRegex(@"(^|\s)#.*$")]
    private static partial Regex CommentPattern();

    // The tool's name, or its project's with the dashes that end dotnet's own options; up to a pipe, a
    // redirection or the next command.
    [GeneratedRegex(@"(?:(?:^|\s|/)meanshift-gpu|MeanShiftGpu\.Cli --)\s+([^|>;&]*)")]
    private static partial Regex CommandPattern();
}
