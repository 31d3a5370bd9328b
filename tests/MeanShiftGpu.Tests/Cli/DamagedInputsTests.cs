using System.Diagnostics;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Whatever file of a verb is damaged, the verb computes or refuses: no internal error, no other exit code,
/// no hang, and no more memory than it is given. Another process does it. MEANSHIFTGPU_TEST_DAMAGED sets how
/// many files are damaged (1000).
/// </summary>
public class DamagedInputsTests
{
    // The tests themselves take some 100 MB.
    private const long MemoryLimit = 768 << 20;

    private static readonly int Count = TestData.Count("MEANSHIFTGPU_TEST_DAMAGED", 1000);

    private static readonly TimeSpan LongestRun = TimeSpan.FromSeconds(60);

    [Test]
    public void VerbThatReadsFiles_GivenADamagedOne_ComputesOrRefuses()
        => ChildRun.Succeeds(
            nameof(Child_GivesVerbsDamagedFiles), TimeSpan.FromMinutes(5) + TimeSpan.FromSeconds(0.5 * Count), MemoryLimit);

    /// <summary>What the child process of the test does; in any other it is skipped.</summary>
    [Test]
    public void Child_GivesVerbsDamagedFiles()
    {
        using (ChildLog log = ChildRun.Log())
        using (ToolFolder folder = new())
        {
            (string File, string[] Command)[] uses = [.. Uses(folder)];
            // Undamaged they are read.
            foreach ((_, string[] command) in uses)
                ToolRun.Succeeds(command);
            int[] codes = new int[3];
            for (int i = 0; i < Count; i++)
            {
                Random random = new(i);
                (string file, string[] command) = uses[random.Next(uses.Length)];
                log.Write($"file {i}, {command[0]} of a damaged {Path.GetFileName(file)}");
                byte[] good = File.ReadAllBytes(file);
                File.WriteAllBytes(file, DamagedFile.Of(good, random));
                Stopwatch clock = Stopwatch.StartNew();
                ToolRun run = ToolRun.Of(command);
                Assert.That(run.Code, Is.InRange(0, 2), $"file {i}: {string.Join(' ', command)}\n{run.Error}");
                Assert.That(run.Error, Does.Not.Contain("internal:"), $"file {i}: {string.Join(' ', command)}");
                Assert.That(clock.Elapsed, Is.LessThan(LongestRun), $"file {i}: {string.Join(' ', command)}");
                codes[run.Code]++;
                File.WriteAllBytes(file, good);
            }

            log.Write($"done: {Count} files, {codes[0]} computed, {codes[1]} failed, {codes[2]} refused");
        }
    }

    /// <summary>Files, and commands that read them.</summary>
    private static IEnumerable<(string File, string[] Command)> Uses(ToolFolder folder)
    {
        folder.Simulate();
        ToolRun.Succeeds(folder.Train("run", 2, "--checkpoint-every", "1"));
        string volume = folder.At("data", "test_000.mrc"), truth = folder.At("data", "test_000.star"), model = folder.At(
            "run", "model.safetensors");
        string[] pick = ["pick", volume, "--model", model, "--out", folder.At("picks.star"), "--device", "cpu", "--overwrite"];
        yield return (volume, pick);
        yield return (model, pick);
        yield return (model, ["export", model, "--onnx", folder.At("model.onnx")]);
        yield return (folder.At("run", "checkpoint.safetensors"), folder.Train("run", 2, "--resume"));
        yield return (folder.Manifest, folder.Train("again", 1, "--overwrite"));
        yield return (folder.At("data", "train_000.mrc"), folder.Train("again", 1, "--overwrite"));
        yield return (
            folder.Manifest, ["evaluate", "--picks", truth, "--data", folder.Manifest, "--json", folder.At("scores.json")]);
        yield return (truth, ["evaluate", "--picks", truth, "--truth", truth, "--report", folder.At("page.html")]);
        foreach (
            string to in (
                string[])["relion3", "relion4", "relion5", "dynamo", "copick", "eman2", "csv", "motl", "deepfinder", "shrec"])
        {
            string table = folder.At($"table-{to}");
            ToolRun.Succeeds("convert", truth, "--out", table, "--to", to, "--volume", volume, "--object", "ring");
            string file = Directory.EnumerateFiles(table, "*", SearchOption.AllDirectories).First(
                f => !f.EndsWith(".made", StringComparison.Ordinal) && !f.EndsWith(".doc", StringComparison.Ordinal));
            yield return (file, ["convert", file, "--out", folder.At("out.csv"), "--volume", volume]);
            yield return (file, ["evaluate", "--picks", file, "--truth", truth, "--volume", volume]);
        }
    }
}
