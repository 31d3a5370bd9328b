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

    /// <summary>
    /// Reads "2/8"; null where the option is not given. Numbers count from 1. In a job of a Slurm array of as
    /// many jobs, whose number this is, they count from the array's first: of --array=0-7 from 0.
    /// </summary>
    /// <exception cref="InputException">The text is not of that form.</exception>
    public static Shard? Of(string? text) => Of(text, Environment.GetEnvironmentVariable);

    /// <summary>The same by given variables.</summary>
    internal static Shard? Of(string? text, Func<string, string?> variable)
    {
        if (text is null)
            return null;
        string[] parts = text.Split('/');
        if (parts.Length == 2 && Number(parts[0], out int index) && Number(parts[1], out int count))
        {
            // An array with gaps, or a part of one that is submitted again, does not say where the whole
            // began.
            bool isOfArray = Variable("SLURM_ARRAY_TASK_ID") == index && Variable("SLURM_ARRAY_TASK_COUNT") == count;
            if (isOfArray && Variable("SLURM_ARRAY_TASK_MIN") is { } first && Variable("SLURM_ARRAY_TASK_MAX") == first
                + count - 1)
                index = index - first + 1;
            if (index >= 1 && index <= count)
                return new Shard(index, count);
        }

        throw new InputException($"--shard: '{text}' is not I/N with I from 1 to N, for example 2/8. A Slurm array "
            + "--array=1-8 or --array=0-7 gives $SLURM_ARRAY_TASK_ID/8.");

        int? Variable(string name) => Number(variable(name) ?? "", out int number) ? number : null;
    }

    /// <summary>This process's share: every Nth from the Ith on.</summary>
    public T[] Of<T>(IReadOnlyList<T> all)
    {
        (int first, int step) = (Index - 1, Count);
        return [.. all.Where((_, i) => i % step == first)];
    }

    /// <summary>The volumes of this process.</summary>
    /// <param name="session">Where it is said how many.</param>
    /// <param name="text">As for <see cref="Of(string?)"/>; null for all volumes.</param>
    /// <param name="all">All volumes.</param>
    /// <param name="intoFolder">Whether each has files of its own.</param>
    /// <exception cref="InputException">The text is not of that form, or all would write one
    /// file.</exception>
    public static string[] Share(Session session, string? text, string[] all, bool intoFolder)
    {
        if (Of(text) is not { } part)
            return all;
        if (!intoFolder)
            throw new InputException("pick: --shard needs a folder as --out: the processes cannot write one table together.");
        string[] paths = part.Of(all);
        session.Line($"shard {part.Index} of {part.Count}: {paths.Length} of {Counted.Of(all.Length, "volume")}");
        return paths;
    }

    private static bool Number(string text, out int number)
        => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
