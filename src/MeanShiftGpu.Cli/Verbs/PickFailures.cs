using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// What could not be picked of several volumes: the others are picked all the same, and at the end these are
/// named. The failure of a volume that is alone is that of the command.
/// </summary>
/// <param name="session">Where it is said.</param>
/// <param name="explained">Adds to a failure which option mends it.</param>
/// <param name="alone">Whether there is one volume.</param>
internal sealed class PickFailures(Session session, Func<InputException, InputException> explained, bool alone)
{
    private readonly List<(PickFiles Files, string Reason)> failed = [];

    /// <summary>How many there are.</summary>
    public int Count => failed.Count;

    /// <summary>What the JSON says of them.</summary>
    public IEnumerable<object> Summaries => failed.Select(f => new { f.Files.Volume, f.Files.Name, Failed = true, f.Reason });

    /// <summary>Does a part of the work on a volume.</summary>
    /// <returns>Whether it could be done.</returns>
    /// <exception cref="InputException">It could not, and the volume is alone, or an option must say what is
    /// missing.</exception>
    public bool Guard(PickFiles files, Action work)
    {
        try
        {
            work();
            return true;
        }
        // What an option must say, and would then be another setting for all, is asked for before anything is
        // computed.
        catch (InputException e) when (!alone && e.Missing is null or MissingFact.Memory or MissingFact.Threshold)
        {
            string reason = explained(e).Message;
            failed.Add((files, reason));
            session.Warn($"{files.Name} is left out: {reason}");
            return false;
        }
    }

    /// <summary>Names them.</summary>
    /// <param name="volumes">How many volumes there were.</param>
    public void Say(int volumes)
    {
        string names = string.Join(", ", failed.Select(f => f.Files.Name));
        if (Count > 0)
            session.Error($"{Count} of {Counted.Of(volumes, "volume")} could not be picked: {names}. The reasons stand above.");
    }
}
