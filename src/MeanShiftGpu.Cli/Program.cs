using System.Runtime.InteropServices;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Training.Ranks;

// The first Ctrl-C (or termination) lets the verb stop between two pieces of work; the second ends the
// program at once.
using CancellationTokenSource interrupted = new();
void Stop(PosixSignalContext signal)
{
    signal.Cancel = !interrupted.IsCancellationRequested;
    interrupted.Cancel();
}

using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
// A lost terminal stops the work as Ctrl-C does; under nohup the signal is to be ignored, and stays so.
using PosixSignalRegistration? onHangUp = HangUp.IsIgnored ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
// Only trainings share their work with other ranks.
RankedRun ranked = new(args is ["train", ..] ? Launcher.Find() : null);
bool terminal = ranked.IsAlone && !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";
using LossyWriter output = new(ranked.IsFirst ? Console.Out : TextWriter.Null);
using LossyWriter error = new(ranked.Errors(Console.Error));
int code = CommandLine.Run(args, output, error, terminal, ranked, interrupted.Token);
ranked.End(code, Console.Error);
if (output.Problem is null || code != (int)ExitCode.Done)
    return code;
error.WriteLine($"error: standard output: cannot be written: {output.Problem}");
return (int)ExitCode.BadInput;
