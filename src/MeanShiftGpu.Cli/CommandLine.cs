using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using MeanShiftGpu.Cli.Verbs;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli;

/// <summary>The command line as a function: what the program does, and what tests call.</summary>
internal static class CommandLine
{
    /// <summary>Parses the arguments and runs a verb.</summary>
    /// <param name="args">Verb, arguments and options.</param>
    /// <param name="output">Results and progress.</param>
    /// <param name="error">Errors and warnings, one line each.</param>
    /// <param name="terminal">Whether a person watches: colours, tables with frames, progress bars.</param>
    /// <param name="ranked">The other ranks of a training; null for a process by itself.</param>
    /// <param name="cancellation">Ctrl-C.</param>
    /// <returns>See <see cref="ExitCode"/>.</returns>
    public static int Run(
        IReadOnlyList<string> args, TextWriter output, TextWriter error, bool terminal = false, RankedRun? ranked = null,
        CancellationToken cancellation = default)
    {
        // A variable or a program around this one may have chosen a language with decimal commas.
        using InvariantText invariant = InvariantText.Begin();
        Session session = new(output, error, terminal, cancellation) { Ranked = ranked ?? new RankedRun(null) };
        RootCommand root = CreateRoot(session);
        args = WithoutHelpVerb(args);
        ParseResult parsed = root.Parse(args);
        if (args.Count == 0)
            parsed = root.Parse(["--help"]);
        else if (ParseProblem.Find(parsed, root) is { } problem)
            return Fail(error, problem, ExitCode.BadInput);

        bool verbose = args.Contains("--verbose");
        try
        {
            return parsed.Invoke(new InvocationConfiguration
            {
                Output = output,
                Error = error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        // Another rank may have been told to stop.
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested || session.Ranked.Mpi is not null)
        {
            return Fail(error, "interrupted.", ExitCode.Interrupted);
        }
        catch (InputException e)
        {
            return Fail(error, verbose ? e.ToString() : OneLine(e.Message), ExitCode.BadInput);
        }
        catch (Training.TrainingFailedException e)
        {
            return Fail(error, verbose ? e.ToString() : $"training: {OneLine(e.Message)}", ExitCode.CheckFailed);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail(error, verbose ? e.ToString() : OneLine(e.Message), ExitCode.BadInput);
        }
        catch (OutOfMemoryException e)
        {
            const string remedy = "Use smaller inputs, patches or batches, or a machine with more memory.";
            string line = $"{parsed.CommandResult.Command.Name}: the memory does not suffice. {remedy}";
            return Fail(error, verbose ? e.ToString() : line, ExitCode.BadInput);
        }
        catch (Exception e) when (DeviceProblem.Explain(e) is { } problem)
        {
            return Fail(error, verbose ? e.ToString() : OneLine(problem), ExitCode.BadInput);
        }
        // The last resort of the program: a defect is reported in one line too, and its trace on request.
#pragma warning disable CA1031
        catch (Exception e)
#pragma warning restore CA1031
        {
            // The cause, not what wraps it.
            Exception cause = e.GetBaseException();
            return Fail(error, verbose ? e.ToString() : $"internal: {cause.GetType().Name}: {OneLine(cause.Message)} Repeat with "
                + "--verbose and report the trace.", ExitCode.CheckFailed);
        }
    }

    /// <summary>
    /// What is wrong with the arguments, in one line, without running anything; null where nothing is.
    /// </summary>
    public static string? FindProblem(IReadOnlyList<string> args)
    {
        RootCommand root = CreateRoot(new Session(TextWriter.Null, TextWriter.Null, terminal: false, CancellationToken.None));
        return ParseProblem.Find(root.Parse(WithoutHelpVerb(args)), root);
    }

    // "help train" asks for what "train --help" asks for.
    private static IReadOnlyList<string> WithoutHelpVerb(IReadOnlyList<string> args)
        => args is ["help", ..] ? [.. args.Skip(1), "--help"] : args;

    private static RootCommand CreateRoot(Session session)
    {
        RootCommand root = new(
            """
            Finds macromolecules in cryo-electron tomograms: trains a 3D U-Net through a
            differentiable mean shift, and picks particles.

            With tomograms and a table of some particles' centres (250 is their diameter in Å):
              meanshift-gpu train tomograms/ --picks picks.star --particle-diameter 250
              meanshift-gpu pick tomograms/ --model run/model.safetensors --out picks/
            """);
        Verb[] verbs = VerbsOf(session);
        foreach (Verb verb in verbs)
            root.Subcommands.Add(verb.CreateCommand());
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExample((SynchronousCommandLineAction)help.Action!, verbs);
        return root;
    }

    /// <summary>All verbs, in the order in which a person meets them; those for developers last.</summary>
    internal static Verb[] VerbsOf(Session session) =>
    [
        new TrainVerb(session),
        new PickVerb(session),
        new CheckVerb(session),
        new ViewVerb(session),
        new EvaluateVerb(session),
        new ConvertVerb(session),
        new ExportVerb(session),
        new SimulateVerb(session),
        new ImportVerb(session),
        new DemoVerb(session),
        new ReproduceVerb(session),
        new SubmitVerb(session),
        new DevicesVerb(session),
        new GradCheckVerb(session),
        new VerifyVerb(session),
        new BenchVerb(session),
        new KernelsVerb(session),
    ];

    private static int Fail(TextWriter error, string message, ExitCode code)
    {
        error.WriteLine($"error: {Shown.Lines(message)}");
        return (int)code;
    }

    private static string OneLine(string message) => Shown.Text(InputFile.OneLine(message));

    /// <summary>The parser's help with its options in groups, and below it what a person can copy.</summary>
    private sealed class HelpWithExample(
        SynchronousCommandLineAction help, IReadOnlyList<Verb> verbs) : SynchronousCommandLineAction
    {
        // Help is given whatever else is missing or wrong.
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            Verb? verb = verbs.FirstOrDefault(v => v.Name == parseResult.CommandResult.Command.Name);
            verb?.CompleteHelp();
            TextWriter output = parseResult.InvocationConfiguration.Output;
            using StringWriter text = new();
            parseResult.InvocationConfiguration.Output = text;
            int code = help.Invoke(parseResult);
            parseResult.InvocationConfiguration.Output = output;
            if (verb is null)
            {
                WriteVerbs(output, text.ToString());
            }
            else
            {
                output.Write(OptionGroup.Arrange(text.ToString(), verb.Groups));
                output.WriteLine("Example:");
                output.WriteLine($"  {verb.Example}");
                output.WriteLine();
                output.WriteLine("Exit code: 0 done, 1 a check failed, 2 bad input or usage, 130 interrupted.");
            }

            return code;
        }

        // The parser's list has everything that each verb's own help says, and no order by who needs it.
        private void WriteVerbs(TextWriter output, string help)
        {
            const string heading = "Commands:";
            int end = help.IndexOf(heading, StringComparison.Ordinal);
            output.Write(end < 0 ? help : help[..end]);
            int width = verbs.Max(v => v.Name.Length);
            foreach (IGrouping<bool, Verb> group in verbs.GroupBy(v => v.IsForDevelopers))
            {
                output.WriteLine(group.Key ? "For developers:" : heading);
                foreach (Verb verb in group)
                    output.WriteLine($"  {verb.Name.PadRight(width)}  {verb.Summary}");
                output.WriteLine();
            }

            output.WriteLine("meanshift-gpu help VERB lists the options of a verb, with an example.");
        }
    }
}

/// <summary>What the program says to the shell.</summary>
internal enum ExitCode
{
    /// <summary>Done, and every check passed.</summary>
    Done = 0,

    /// <summary>It ran, but a check failed or the training collapsed.</summary>
    CheckFailed = 1,

    /// <summary>Bad input or usage.</summary>
    BadInput = 2,

    /// <summary>Stopped by Ctrl-C: 128 + SIGINT, as shells count it.</summary>
    Interrupted = 130,
}
