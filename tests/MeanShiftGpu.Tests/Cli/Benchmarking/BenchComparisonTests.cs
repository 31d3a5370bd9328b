using System.Text.Json;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Benchmarking;

/// <summary>Two sets of timings beside each other: earlier and now, and two builds in turns.</summary>
public sealed class BenchComparisonTests
{
    // Quartiles 10 % below and above the median.
    [TestCase(100, 100, 9, "no", TestName = "Verdict_TheSame")]
    [TestCase(100, 82, 9, "no", TestName = "Verdict_MiddleHalvesOverlap")]
    [TestCase(100, 80, 9, "faster", TestName = "Verdict_MiddleHalvesApart_Faster")]
    [TestCase(100, 125, 9, "slower", TestName = "Verdict_MiddleHalvesApart_Slower")]
    [TestCase(100, 125, 2, "not judged", TestName = "Verdict_TwoRuns")]
    public void Verdict_GoesByTheQuartiles(double before, double after, int repeats, string expected)
        => Assert.That(BenchComparison.Verdict(Result("a", before, repeats), Result("a", after, repeats)), Is.EqualTo(expected));

    [Test]
    public void Verdict_LessThanFivePercent_IsNoise()
    {
        BenchResult before = Result("a", 100, 9) with { LowerQuartileMs = 99.9, UpperQuartileMs = 100.1 };
        BenchResult after = before with { LowerQuartileMs = 95.9, MedianMs = 96, UpperQuartileMs = 96.1 };
        Assert.That(BenchComparison.Verdict(before, after), Is.EqualTo("no"));
        Assert.That(BenchComparison.Verdict(before, after with { LowerQuartileMs = 94.9, MedianMs = 95 }), Is.EqualTo("faster"));
    }

    [Test]
    public void Table_SaysRatiosRuleAndWhatItLacks()
    {
        BenchRun run = new() { Version = "1", Commit = "abc", Date = "2026-01-01T00:00:00Z", Processor = "P", Device = "CPU" };
        BenchResult[] before = [Result("a", 100, 9) with { Run = run }, Result("gone", 1, 9)];
        BenchResult[] after = [Result("new", 1, 9) with { Run = run with { Commit = "def" } }, Result("a", 50, 9)];
        IReadOnlyList<string> lines = BenchComparison.Table("old.json", before, after);
        Assert.That(lines[0], Does.Contain("commit abc").And.Contain("commit def"));
        Assert.That(lines, Does.Contain("| a | 8³ | Direct float32 | 100.000 | 50.000 | 0.50 | faster |"));
        Assert.That(lines, Does.Contain(BenchComparison.Rule));
        Assert.That(lines[^1], Is.EqualTo("Not compared: 1 case of before alone, 1 case of now alone."));
        Assert.That(
            () => BenchComparison.Table("old.json", before, [Result("new", 1, 9)]),
            Throws.TypeOf<InputException>().With.Message.EqualTo("old.json: has none of the 1 case that were timed now."));
    }

    [Test]
    public void Table_OfOtherMachines_SaysSo()
    {
        BenchResult before = Result("a", 1, 9) with { Run = new BenchRun { Processor = "P", Device = "CPU" } };
        BenchResult after = Result("a", 1, 9) with { Run = new BenchRun { Processor = "Q", Device = "CPU" } };
        Assert.That(BenchComparison.Table("", [before], [after])[1], Does.StartWith("Machines differ."));
    }

    [Test]
    public void Turns_GiveTheMedianRatio_AndAreNoiseUnlessAllAgree()
    {
        Queue<double> ours = new([80, 90, 100, 95]);
        Queue<double> theirs = new([100, 100, 110, 100]);
        List<char> order = [];
        TurnResult result = BenchTurns.Run(4, () => Next('o', ours), () => Next('t', theirs)).Single();
        Assert.That(new string([.. order]), Is.EqualTo("ottootto"), "who begins changes from turn to turn");
        Assert.That(result.Ratios, Is.EqualTo(new[] { 0.8, 0.9, 100 / 110.0, 0.95 }));
        Assert.That(result.Ratio, Is.EqualTo((0.9 + 100 / 110.0) / 2).Within(1e-12));
        Assert.That((result.MedianMs, result.AgainstMs), Is.EqualTo((92.5, 100)));
        Assert.That(result.MoreThanNoise, Is.EqualTo("faster"));
        Assert.That(Of([1.2, 1.1]).MoreThanNoise, Is.EqualTo("slower"));
        Assert.That(Of([0.8, 1.1]).MoreThanNoise, Is.EqualTo("no"));
        Assert.That(
            BenchTurns.Table([result]),
            Does.Contain("| a | 8³ | Direct float32 | 92.500 | 100.000 | 0.90 | 0.80 to 0.95 | faster |"));
        Assert.That(BenchTurns.Rule(4), Does.Contain("one in 8 "));

        BenchResult[] Next(char who, Queue<double> medians)
        {
            order.Add(who);
            return [Result("a", medians.Dequeue(), 9), Result($"only {who}", 1, 9)];
        }

        static TurnResult Of(double[] ratios) => new("a", "", "", "", 1, 1, ratios, null, null);
    }

    [Test]
    public void Turns_WithoutACommonCase_AreRefused()
        => Assert.That(
            () => BenchTurns.Run(2, () => [Result("a", 1, 9)], () => [Result("b", 1, 9)]),
            Throws.TypeOf<InputException>().With.Message.Contains("no case in common"));

    [TestCase("", "holds no timing|line 1")]
    [TestCase("[]", "holds no timing")]
    [TestCase("null", "holds no timing")]
    [TestCase("{\"a\": 1}", "line 1")]
    [TestCase("[{\"name\": \"a\", \"medianMs\": 2}]", "timing 1 lacks")]
    [TestCase("[null]", "timing 1 lacks")]
    [TestCase("[{\"name\": \"a\", \"size\": \"b\", \"variant\": \"c\", \"precision\": \"d\", \"medianMs\": null}]", "line 1")]
    [TestCase("[{\"name\": \"a\", \"size\": \"b\", \"variant\": \"c\", \"precision\": \"d\", \"medianMs\": 2}]", "--against")]
    public void Compare_WithAFileThatIsNone_IsRefusedBeforeAnythingIsTimed(string text, string expected)
    {
        using TemporaryFolder folder = new();
        string path = folder.Write("old.json", text);
        ToolRun run = ToolRun.Of("bench", "dice", "--compare", path, "--device", "cpu");
        Assert.That(run.Code, Is.EqualTo(2));
        Assert.That(run.Error, Does.StartWith($"error: {path}: ").And.Match(expected));
        Assert.That(run.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1));
        Assert.That(run.Output, Is.Empty);
    }

    [Test]
    public void Options_ThatDoNotFit_AreRefused()
    {
        using TemporaryFolder folder = new();
        string nothing = folder["nothing"];
        ToolRun.Refuses([nothing, "file not found"], "bench", "dice", "--compare", nothing);
        ToolRun.Refuses([nothing, "no meanshift-gpu"], "bench", "dice", "--against", nothing);
        ToolRun.Refuses(["--turns is for --against"], "bench", "dice", "--turns", "3");
        ToolRun.Refuses(["--compare"], "bench", "dice", "--against", nothing, "--compare", nothing);
        ToolRun.Refuses(["--turns", "from 2"], "bench", "dice", "--turns", "1", "--against", nothing);
        TurnResult[] turns = [new("dice", "8³", "Direct", "float32", 1, 1, [1, 1], null, null)];
        string ratios = folder.Write("ratios.json", JsonSerializer.Serialize(turns, JsonOutput.Options));
        ToolRun.Refuses([ratios, "holds ratios of --against", "plain --json"], "bench", "dice", "--compare", ratios);
        ToolRun.Refuses([ratios, "holds ratios of --against", "plain --json"], "bench", "table", ratios);
    }

    [Test]
    public void Json_SaysWhereWhenAndHowTheRunsSpread_AndCompareReadsIt()
    {
        using TemporaryFolder folder = new();
        string path = folder["old.json"];
        // A name that comes twice, in capitals or not, is one.
        ToolRun.Succeeds("bench", "dice", "DICE", "--seconds", "0", "--device", "cpu", "--json", path);
        JsonElement[] results = [.. ToolRun.Json(path).EnumerateArray()];
        Assert.That(results.Select(BenchCase), Is.Unique);
        JsonElement result = results[0];
        Assert.That(
            Number("minimumMs") <= Number("lowerQuartileMs") && Number("lowerQuartileMs") <= Number("medianMs")
                && Number("medianMs") <= Number("upperQuartileMs") && Number("upperQuartileMs") <= Number("maximumMs"),
            Is.True);
        Assert.That(result.GetProperty("repeats").GetInt32(), Is.GreaterThanOrEqualTo(3));
        JsonElement run = result.GetProperty("run");
        foreach (string fact in (string[])["version", "date", "processor", "system", "runtime", "device"])
            Assert.That(run.GetProperty(fact).GetString(), Is.Not.Empty, fact);
        Assert.That(run.TryGetProperty("commit", out _) && run.TryGetProperty("driver", out _), Is.True);
        Assert.That(run.GetProperty("cores").GetInt32(), Is.EqualTo(Environment.ProcessorCount));
        Assert.That(run.GetProperty("memoryBytes").GetInt64(), Is.GreaterThan(1L << 28));

        string output = ToolRun.Succeeds("bench", "dice", "--seconds", "0", "--device", "cpu", "--compare", path).Output;
        Assert.That(output, Does.Contain("after / before | more than noise |").And.Contain("| dice "));
        ToolRun.Refuses([path, "none of the"], "bench", "sum", "--seconds", "0", "--device", "cpu", "--compare", path);

        double Number(string name) => result.GetProperty(name).GetDouble();

        static string BenchCase(JsonElement timed) => string.Join(
            ", ", ((string[])["name", "size", "variant", "precision"]).Select(fact => timed.GetProperty(fact).GetString()));
    }

    [TestCase("0.1.0+abc", "0.1.0", "abc")]
    [TestCase("0.1.0", "0.1.0", null)]
    public void Version_HasItsCommit(string informational, string version, string? commit)
        => Assert.That(BenchRun.VersionAndCommit(informational), Is.EqualTo((version, commit)));

    // Both builds are this one, so that only the way there and back is looked at.
    [Test]
    public void Against_RunsBothBuildsAndSaysTheRatio()
    {
        using TemporaryFolder folder = new();
        string path = folder["turns.json"];
        string output = ToolRun.Succeeds(
            "bench", "dice", "--shrink", "14", "--device", "cpu", "--turns", "2", "--against", AppContext.BaseDirectory, "--json",
            path).Output;
        Assert.That(output, Does.Contain("run 4 of 4").And.Contain("| dice Forward + Backward | 4³ |"));
        JsonElement result = ToolRun.Json(path)[0];
        Assert.That(result.GetProperty("ratios").GetArrayLength(), Is.EqualTo(2));
        Assert.That(result.GetProperty("againstRun").GetProperty("processor").GetString(), Is.Not.Empty);
    }

    private static BenchResult Result(string name, double median, int repeats) => new(name, "8³", "CPU", "Direct", "float32")
    {
        MinimumMs = 0.8 * median,
        LowerQuartileMs = 0.9 * median,
        MedianMs = median,
        UpperQuartileMs = 1.1 * median,
        MaximumMs = 1.5 * median,
        Repeats = repeats,
    };
}
