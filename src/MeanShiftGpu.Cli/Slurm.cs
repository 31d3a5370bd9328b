using System.ComponentModel;
using System.Diagnostics;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli;

/// <summary>The commands of Slurm, and the script of an array of jobs.</summary>
internal static class Slurm
{
    /// <summary>What jobs' names begin with, by which their state is asked for.</summary>
    public const string NamePrefix = "meanshift-";

    /// <summary>Runs a command of Slurm.</summary>
    /// <returns>Its exit code, what it printed, and what it complained about.</returns>
    /// <exception cref="InputException">It is not there.</exception>
    public static (int Code, string Output, string Error) Run(string command, params IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output.TrimEnd(), error.Result.Trim());
        }
        catch (Win32Exception e)
        {
            throw new InputException($"submit: {command} cannot be started: {InputFile.OneLine(e.Message)}. Call it where "
                + "Slurm is, or see with --dry-run what would be submitted.", e);
        }
    }

    /// <summary>Submits a job.</summary>
    /// <returns>Its number.</returns>
    /// <exception cref="InputException">Slurm refuses it.</exception>
    public static string Submit(params IEnumerable<string> arguments)
    {
        (int code, string output, string error) = Run("sbatch", ["--parsable", .. arguments]);
        return code == 0 ? output.Split(';')[0]
            : throw new InputException($"submit: sbatch refused the job: {InputFile.OneLine(error)}. See --dry-run for what "
                + "was submitted.");
    }

    /// <summary>A word as a shell takes it for one.</summary>
    public static string Quote(string word)
        => word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || "-_./=:,+@%".Contains(c,
            StringComparison.Ordinal)) ? word
            : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    /// <summary>Words as a line of a script.</summary>
    public static string Line(IEnumerable<string> words) => string.Join(' ', words.Select(Quote));
}

/// <summary>One script for all jobs of an array and for the one that comes after them.</summary>
internal sealed record ArrayScript
{
    /// <summary>The verb.</summary>
    public required string Verb { get; init; }

    /// <summary>The script's file.</summary>
    public required string File { get; init; }

    /// <summary>How many jobs share the work.</summary>
    public required int Jobs { get; init; }

    /// <summary>The command line of every job, without its share.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>What the last job's command line has in place of a share.</summary>
    public required IReadOnlyList<string> Last { get; init; }

    /// <summary>Options of sbatch.</summary>
    public required IReadOnlyList<string> Sbatch { get; init; }

    /// <summary>How the array is submitted.</summary>
    public IEnumerable<string> ArrayArguments => [$"--array=1-{Jobs}", File];

    /// <summary>How the last job is submitted.</summary>
    /// <param name="array">The array's number.</param>
    public IEnumerable<string> LastArguments(string array) => [$"--dependency=afterany:{array}",
        $"--job-name={Slurm.NamePrefix}{Verb}-last", $"--output={File}-last-%j.log", File];

    /// <summary>The script.</summary>
    public string Text(string folder, string program) =>
        $"""
        #!/bin/bash
        # {Jobs} jobs that share the work of '{Verb}', and one after them that puts the results together. Submitted by:
        #   sbatch {Slurm.Line(ArrayArguments)}
        #   sbatch {Slurm.Line(LastArguments("NUMBER"))}
        # where NUMBER is what the first of them prints. A job that is requeued, or submitted again, goes on where it was.
        #SBATCH --job-name={Slurm.NamePrefix}{Verb}
        #SBATCH --chdir={folder}
        #SBATCH --output={File}-%A_%a.log
        #SBATCH --open-mode=append
        #SBATCH --requeue
        {string.Join('\n', Sbatch.Select(o => $"#SBATCH {o}"))}
        if [ -n "$SLURM_ARRAY_TASK_ID" ]; then
            exec {program} {Slurm.Line(Command)} --shard "$SLURM_ARRAY_TASK_ID/{Jobs}"
        fi
        exec {program} {Slurm.Line(Command)} {Slurm.Line(Last)}

        """;
}
