using System.Globalization;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// With few annotated centres the network is smaller and patches are turned in more ways, unless somebody
/// asks otherwise.
/// </summary>
public class FewCentersTests
{
    private const string Smaller = "(--widths 16,24,32)";
    private const string Turned = "(--augmentation flips-and-swaps)";
    private ToolFolder folder = null!;

    [OneTimeSetUp]
    public void SetUp() => folder = new ToolFolder();

    [OneTimeTearDown]
    public void TearDown() => folder.Dispose();

    [TestCase(15, 56, true, true)]
    [TestCase(49, 56, true, true)]
    [TestCase(50, 56, false, false)]
    // A thin volume has patches that are no cubes.
    [TestCase(15, 32, true, false)]
    [TestCase(15, 56, true, false, "--patch", "40,56,56")]
    [TestCase(15, 56, true, false, "--augmentation", "flips")]
    [TestCase(15, 56, false, true, "--widths", "4,4,4")]
    [TestCase(15, 56, false, false, "--preset", "paper")]
    public void Train_OnSoManyCentres_SaysWhatItChanges(
        int centers, int depth, bool smaller, bool turned, params string[] more)
    {
        string[] train = Training(centers, depth);
        string Plan(params string[] given) => ToolRun.Succeeds([.. train, "--plan", .. given]).Output;
        string output = Plan(more);
        Assert.That(output, smaller ? Does.Contain(Smaller) : Does.Not.Contain(Smaller));
        Assert.That(output, turned ? Does.Contain(Turned) : Does.Not.Contain(Turned));
        Assert.That(output.Contains("centres are few", StringComparison.Ordinal), Is.EqualTo(smaller || turned));
        // The network is the one that was spoken of: its memory says so.
        if (smaller)
            Assert.That(MemoryOf(output), Is.EqualTo(MemoryOf(Plan([.. more, "--widths", "16,24,32"]))));
    }

    // What a run records is what it was trained with.
    [TestCase(15, "flipsAndSwaps")]
    [TestCase(50, "flips")]
    public void Train_OnSoManyCentres_TurnsItsPatches(int centers, string recorded)
    {
        string run = folder.At($"run-{centers}");
        ToolRun.Succeeds([.. Training(centers, 56), "--steps", "1", "--no-check", "--widths", "4,4,4", "--out", run]);
        Assert.That(
            File.ReadAllText(Path.Combine(run, "history.json")), Does.Contain($"\"augmentation\": \"{recorded}\""));
    }

    private string[] Training(int centers, int depth)
    {
        string volume = folder.WriteVolume($"TS_{centers}_{depth}.mrc", depth, 56, 56);
        string rows = string.Concat(Enumerable.Range(0, centers).Select(i => string.Create(
            CultureInfo.InvariantCulture, $"{15 + (i % 3 * 12)},{15 + (i / 3 % 4 * 8)},{8 + (i / 12)}\n")));
        string table = folder.WriteText($"TS_{centers}_{depth}.csv", "x,y,z\n" + rows);
        return ["train", volume, "--picks", table, "--particle-diameter", "100", "--device", "cpu"];
    }

    private static string MemoryOf(string plan)
    {
        const string title = "memory of steps";
        Assert.That(plan, Does.Contain(title));
        return plan[plan.IndexOf(title, StringComparison.Ordinal)..];
    }
}
