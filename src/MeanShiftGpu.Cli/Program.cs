using System.Runtime.InteropServices;
using MeanShiftGpu.Cli;

// The first Ctrl-C (or termination) lets the verb stop between two pieces of work; the second ends the program at once.
using CancellationTokenSource interrupted = new();
void Stop(PosixSignalContext signal)
{
    signal.Cancel = !interrupted.IsCancellationRequested;
    interrupted.Cancel();
}

using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
bool terminal = !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";
return CommandLine.Run(args, Console.Out, Console.Error, terminal, interrupted.Token);
