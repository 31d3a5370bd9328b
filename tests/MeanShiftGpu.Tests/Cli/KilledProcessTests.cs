using System.Diagnostics;
using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Processes that are killed (SIGKILL) at random moments leave complete files or none, and the next run ends
/// with the bits of an undisturbed one. MEANSHIFTGPU_KILLS sets how often (3).
/// </summary>
[NonParallelizable]
public class KilledProcessTests : TrainedToolTests
{
    private static readonly int Kills = TestData.Count("MEANSHIFTGPU_KILLS", 3);

    [Test]
    public void Pick_KilledAtRandom_LeavesCompleteFilesAndGoesOn()
    {
        string[] volumes = [.. Enumerable.Range(0, 4).Select(i => Folder.WriteVolume($"v{i}.mrc", 60, 70 + i, 80))];
        string[] Arguments(string output)
            => ["pick", .. volumes, "--model", Folder.At("run", "model.safetensors"), "--out", Folder.At(output), "--score-map",
                Folder.At(output), "--device", "cpu"];
        ToolRun.Succeeds(Arguments("straight"));

        Random random = new(1);
        int whole = DurationOf(Arguments("measured"));
        for (int i = 0; i < Kills; i++)
        {
            Kill(Arguments("killed"), whole * 0.2 + random.NextDouble() * whole * 0.8);
            AssertComplete("straight", "killed");
        }

        ToolRun.Succeeds(Arguments("killed"));
        AssertComplete("straight", "killed");
        Assert.That(Names("killed"), Is.EqualTo(Names("straight")));
    }

    [Test]
    public void Train_KilledAtRandom_LeavesCompleteFilesAndEndsWithTheSameBits()
    {
        // A run is killed within the time of thirty steps from its first one on, of which there are enough
        // for every kill to fall amid them; one in four as it starts.
        string[] Arguments(string run, int steps, params string[] more)
            => Folder.Train(run, steps, ["--checkpoint-every", "1", "--validate-every", "3", "--lr", "1e-4", .. more]);
        int all = 30 * Kills;
        ToolRun.Succeeds(Arguments("trained", all));

        Random random = new(2);
        Stopwatch clock = Stopwatch.StartNew();
        using (Process timed = Start(Arguments("timed", 30), out ManualResetEventSlim begun))
        {
            begun.Wait();
            clock.Restart();
            timed.WaitForExit();
            Assert.That(timed.ExitCode, Is.Zero);
        }

        long thirty = clock.ElapsedMilliseconds;
        string checkpoint = Folder.At("resumed", "checkpoint.safetensors");
        int killed = 0;
        for (int i = 0; i < Kills; i++)
        {
            if (Kill(
                Arguments("resumed", all, File.Exists(checkpoint) ? ["--resume"] : []),
                random.NextDouble() * thirty,
                onceTraining: i % 4 != 3))
                killed++;
            if (File.Exists(checkpoint))
                Assert.That(() => SafetensorsFile.Read(checkpoint), Throws.Nothing);
            if (File.Exists(Folder.At("resumed", "model.safetensors")))
                Assert.That(() => SafetensorsFile.Read(Folder.At("resumed", "model.safetensors")), Throws.Nothing);
            if (File.Exists(Folder.At("resumed", "history.json")))
                Assert.That(() => ToolRun.Json(Folder.At("resumed", "history.json")), Throws.Nothing);
        }

        TestContext.Out.WriteLine($"killed {killed} times, the last after step "
            + $"{(File.Exists(checkpoint) ? Trainer.ReadProgress(checkpoint).Done : 0)} of {all}");
        ToolRun.Succeeds(Arguments("resumed", all, File.Exists(checkpoint) ? ["--resume"] : []));
        AssertComplete("trained", "resumed");
        Assert.That(Names("resumed"), Is.EqualTo(Names("trained")));
    }

    // What a terminal sends to its programs as it is closed.
    [Test]
    public void Train_TheTerminalIsLost_WritesACheckpoint()
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("signals are not Windows's");
        if (IgnoresHangup())
            Assert.Ignore("these tests run under nohup, and so do the programs that they start");
        using Process process = Start(
            Folder.Train("lost", 1_000_000, "--validate-every", "1000"), out ManualResetEventSlim training);
        training.Wait();
        using (Process signal = Process.Start("kill", ["-HUP", $"{process.Id}"]))
            signal.WaitForExit();
        bool ended = process.WaitForExit(30_000);
        process.Kill();
        Assert.That(ended, Is.True);
        Assert.That(process.ExitCode, Is.EqualTo(130));
        Assert.That(Trainer.ReadProgress(Folder.At("lost", "checkpoint.safetensors")).Done, Is.Positive);
    }

    // The first bit of the ignored signals is SIGHUP's; other systems than Linux do not tell.
    internal static bool IgnoresHangup()
        => File.Exists("/proc/self/status") && File.ReadLines("/proc/self/status")
            .FirstOrDefault(l => l.StartsWith("SigIgn:", StringComparison.Ordinal)) is { } line
            && (ulong.Parse(line.AsSpan("SigIgn:".Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 1) != 0;

    private string[] Names(string name)
        => [.. Directory.GetFileSystemEntries(Folder.At(name)).Select(f => Path.GetFileName(f)!).Order()];

    // Every file that has its name has all its bytes; temporary ones begin with a dot. Records of how a table
    // was made name the folder, and so does the training's page.
    private void AssertComplete(string expected, string actual)
    {
        if (!Directory.Exists(Folder.At(actual)))
            return;
        string page = Folder.At(actual, "training.html");
        if (File.Exists(page))
            Assert.That(File.ReadAllText(page).TrimEnd(), Does.EndWith("</html>"));
        string[] others = [".made", ".html"];
        foreach (string name in Names(actual).Where(n => !n.StartsWith('.') && !others.Contains(Path.GetExtension(n))))
            Assert.That(
                File.ReadAllBytes(Folder.At(actual, name)), Is.EqualTo(File.ReadAllBytes(Folder.At(expected, name))), name);
    }

    private static int DurationOf(string[] arguments)
    {
        Stopwatch clock = Stopwatch.StartNew();
        using Process process = Start(arguments, out _);
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero);
        return (int)clock.ElapsedMilliseconds;
    }

    /// <returns>Whether it was still running.</returns>
    private static bool Kill(string[] arguments, double milliseconds, bool onceTraining = false)
    {
        using Process process = Start(arguments, out ManualResetEventSlim training);
        if (onceTraining)
            training.Wait();
        bool running = !process.WaitForExit((int)milliseconds);
        if (running)
            process.Kill();
        process.WaitForExit();
        return running;
    }

    // Training is signalled with its first step, and at the latest as the process ends.
    private static Process Start(string[] arguments, out ManualResetEventSlim training)
    {
        ManualResetEventSlim signal = training = new();
        string tool = Path.Combine(AppContext.BaseDirectory, "meanshift-gpu.dll");
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";
        try
        {
            ProcessStartInfo start =
                new(host, [tool, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
            Process process = Process.Start(start)!;
            process.OutputDataReceived += (_, line) =>
            {
                if (line.Data?.StartsWith("training:", StringComparison.Ordinal) != false)
                    signal.Set();
            };
            process.ErrorDataReceived += static (_, _) => { };
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            return process;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("no dotnet on this machine to start another process with");
            throw;
        }
    }
}
