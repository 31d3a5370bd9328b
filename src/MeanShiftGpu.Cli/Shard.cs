using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli;

/// <summary>One of several processes that share a list of work.</summary>
/// <param name="Index">Which, from 1.</param>
/// <param name="Count">Of how many.</param>
internal readonly record struct Shard(int Index, int Count)
{
    /// <summary>The option of a verb.</summary>
    /// <param name="description">What is shared.</param>
    public static Option<string?> Option(string description) => Parse.Text("--shard", "I/N", description);

    /// <summary>Reads "2/8"; null where the option is not given.</summary>
    /// <exception cref="InputException">The text is not of that form.</exception>
    public static Shard? Of(string? text)
    {
        if (text is null)
            return null;
        string[] parts = text.Split('/');
        if (parts.Length == 2 && Number(parts[0], out int index) && Number(parts[1], out int count) && index >= 1 && index <= count)
            return new Shard(index, count);
        throw new InputException($"--shard: '{text}' is not I/N with I from 1 to N, for example 2/8. A Slurm array --array=1-8 gives $SLURM_ARRAY_TASK_ID/8.");
    }

    /// <summary>This process's share: every Nth from the Ith on.</summary>
    public T[] Of<T>(IReadOnlyList<T> all)
    {
        (int first, int step) = (Index - 1, Count);
        return [.. all.Where((_, i) => i % step == first)];
    }

    private static bool Number(string text, out int number) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
