using System.Text;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Cli;

/// <summary>
/// This process as one of the ranks that mpiexec or srun has started, or by itself. Rank 0 speaks and writes
/// the files; the others are silent, unless they fail where rank 0 does not. A rank that fails ends all.
/// </summary>
/// <param name="launcher">What started it; null for a process by itself.</param>
internal sealed class RankedRun(Launcher? launcher)
{
    // Where all ranks fail alike rank 0 says why, within this time, and ends the others.
    private static readonly TimeSpan ForFirst = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan ForLauncher = TimeSpan.FromSeconds(0.5);

    private readonly StringBuilder errors = new();
    private bool left;

    /// <summary>Whether this is a process by itself. mpiexec gives its output a terminal, where there is none
    /// to draw on.</summary>
    public bool IsAlone => launcher is null;

    /// <summary>Whether this is rank 0, or a process by itself.</summary>
    public bool IsFirst => launcher is null || launcher.Rank == 0;

    /// <summary>The ranks under MPI; null for a process by itself, and before it has joined them.</summary>
    public MpiRanks? Mpi { get; private set; }

    /// <summary>Where errors go: those of other ranks wait for <see cref="End"/>.</summary>
    public TextWriter Errors(TextWriter error) => IsFirst ? error : new StringWriter(errors);

    /// <summary>Joins the other ranks.</summary>
    /// <exception cref="Storage.InputException">The library of the launcher's MPI is not there, or it is not
    /// its own.</exception>
    public IRanks Join() => launcher is null ? InProcessRanks.Alone : Mpi = launcher.Join();

    /// <summary>All ranks have come to the same end; waits until rank 0 has written what it had to.</summary>
    public void Leave()
    {
        Mpi?.Barrier();
        left = true;
    }

    /// <summary>Ends the run: in good order where all ranks came to the same end, and for all of them where
    /// this one failed.</summary>
    /// <param name="code">The exit code.</param>
    /// <param name="error">Where the errors of other ranks than the first go.</param>
    public void End(int code, TextWriter error)
    {
        if (left)
        {
            Mpi?.Leave();
            return;
        }

        if (!IsFirst && code != (int)ExitCode.Done)
        {
            Thread.Sleep(ForFirst);
            foreach (string line in errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l
                => !l.StartsWith("warning:", StringComparison.Ordinal)))
                error.WriteLine($"rank {launcher!.Rank}: {line.TrimEnd()}");
            error.Flush();
        }

        if (Mpi is null)
            return;
        // A launcher forwards what was printed, and may drop what it has not forwarded yet.
        Thread.Sleep(ForLauncher);
        Mpi.Abort(code);
    }
}
