using System.Text.Json;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Benchmarking;

/// <summary>What is made of timings: how the forward pass grows, and one table for several
/// machines.</summary>
public sealed class GrowthAndTableTests
{
    // Edges divided by 14: 2³ to 36³, each once.
    [TestCase("growth", "--compare", "old.json")]
    [TestCase("growth", "--runs", "2")]
    [TestCase("stability", "--seconds", "2")]
    [TestCase("table", "--json", "table.json")]
    [TestCase("dice", "--out", "somewhere")]
    [TestCase("conv3d", "--size", "64")]
    [TestCase("unet-step", "--particles", "64")]
    [TestCase("pick", "--batch", "2")]
    [TestCase("adam", "--steps", "100")]
    [TestCase("adam", "--batch", "2")]
    [TestCase("dice", "--widths", "8,8")]
    [TestCase("binary-cross-entropy", "--widths", "8,8")]
    [TestCase("center-likelihood", "--widths", "8,8")]
    public void Bench_WithAnOptionWithoutEffect_IsRefused(string benchmark, string option, string value)
        => ToolRun.Refuses([$"bench {benchmark}: {option} has no effect", "eave it out"], "bench", benchmark, option, value);

    [TestCase("dice", "conv3d=Direct", "conv3d=…")]
    [TestCase("dice", "dice=Direct,SUM=Direct", "SUM=…")]
    public void Bench_WithAVariantOfAnOperationThatIsNotTimed_IsRefused(string benchmark, string given, string named)
        => ToolRun.Refuses(
            [$"bench {benchmark}: --variant {named} has no effect here", "eave it out"], "bench", benchmark, "--variant", given);

    [TestCase("there is no benchmark 'dic'", "dic")]
    [TestCase("or by itself stability, growth, table", "dic")]
    [TestCase("'growth' stands alone", "dice", "growth")]
    [TestCase("'growth' stands alone", "growth", "stability")]
    [TestCase("'Stability' stands alone", "Stability", "dice")]
    [TestCase("'table' stands alone and was given with other names. Run it by itself, with the files", "dice", "table")]
    [TestCase("bench growth: there is no folder", "Growth")]
    [TestCase("no file was given", "TABLE")]
    public void Bench_NamesThatAreUnknownOrStandAlone_AreToldApart(string expected, params string[] names)
        => ToolRun.Refuses([expected], ["bench", .. names]);

    [Test]
    public void Growth_HasItsSizesItsTableAndItsPictures()
    {
        using TemporaryFolder folder = new();
        string results = folder["growth"];
        string output = ToolRun.Succeeds(
            "bench", "growth", "--out", results, "--shrink", "14", "--widths", "8,8", "--threads", "2").Output;
        JsonElement points = ToolRun.Json(Path.Combine(results, "growth.json"));
        Assert.That(points.GetArrayLength(), Is.EqualTo(2 * GrowthBench.Sizes.Count));
        foreach (JsonElement point in points.EnumerateArray())
        {
            Assert.That(point.GetProperty("medianMs").GetDouble(), Is.Positive);
            Assert.That(point.GetProperty("predictedBytes").GetInt64(), Is.Positive);
        }

        string table = File.ReadAllText(Path.Combine(results, "growth.md"));
        // The page names the command that made it, and not the one of the committed page.
        Assert.That(table, Does.Contain(
            $"meanshift-gpu bench growth --out {results} --shrink 14 --widths 8,8 --threads 2\n"));
        foreach (string row in (string[])["| 36³ by planes | 1 |", "| 36³ by planes | 2 |", "| 8 × 2³ whole | 2 |"])
            Assert.That(table, Does.Contain(row));
        Assert.That(output, Does.Contain("| 36³ by planes | 2 |"));
        foreach ((string picture, string curve) in ((string, string)[])[
            ("growth-time.svg", "by planes, 2 threads"), ("growth-memory.svg", "by planes, measured")])
        {
            string svg = File.ReadAllText(Path.Combine(results, picture));
            Assert.That(svg, Does.StartWith("<svg").And.Contain(curve));
        }

        GrowthBench.Size[] asked = [new(false, 32, 1), new(false, 192, 1), new(true, 512, 1), new(false, 48, 8)];
        foreach (GrowthBench.Size size in asked)
            Assert.That(GrowthBench.Sizes, Does.Contain(size));
        ToolRun.Refuses(["bench growth", "--out"], "bench", "growth");
    }

    // The committed page and its pictures are what the command writes of the committed figures, byte for
    // byte: nobody has put them together by hand.
    [Test]
    public void Growth_CommittedPageAndPictures_AreWhatTheCommandWrites()
    {
        string committed = Path.Combine(Sources.Root(), "benchmarks", "results", "growth");
        GrowthPoint[] points = JsonSerializer.Deserialize<GrowthPoint[]>(
            File.ReadAllBytes(Path.Combine(committed, "growth.json")), JsonOutput.Options)!;
        using TemporaryFolder folder = new();
        string written = folder["growth"];
        Directory.CreateDirectory(written);
        GrowthBench.Write(written, new UNet3dOptions(), points, ["growth", "--out", "benchmarks/results/growth"]);
        JsonOutput.Write(Path.Combine(written, "growth.json"), points);
        string[] names = ["growth-memory.svg", "growth-time.svg", "growth.json", "growth.md"];
        Assert.That(Directory.GetFiles(written).Select(Path.GetFileName).Order(StringComparer.Ordinal), Is.EqualTo(names));
        foreach (string name in names)
        {
            Assert.That(
                File.ReadAllText(Path.Combine(committed, name)), Is.EqualTo(File.ReadAllText(Path.Combine(written, name))), name);
        }
    }

    [Test]
    public void Table_HasARowForEachVariantAndAColumnForEachMachine()
    {
        using TemporaryFolder folder = new();
        BenchRun run = new()
        {
            Version = "1",
            Commit = "abcdef0123456789",
            Date = "2026-01-01T00:00:00Z",
            Processor = "P",
            Cores = 2,
            Device = "CPU",
        };
        string one = Write(
            "zen3",
            new BenchResult("conv3d Forward", "8³", "CPU", "HostSimd", "float32") { MedianMs = 2, Gflops = 100, Run = run });
        string two = Write(
            "h200",
            new BenchResult("conv3d Forward", "8³", "Cuda", "HostSimd", "float32") { MedianMs = 1, Gflops = 200 },
            new BenchResult("dice", "8³", "Cuda", "Direct", "float32") { MedianMs = 0.5 });
        string[] lines = ToolRun.Succeeds("bench", "table", one, two).Output.TrimEnd().Split('\n');
        Assert.That(lines, Does.Contain("| what | size | variant | zen3 | h200 |"));
        Assert.That(lines, Does.Contain("| conv3d Forward | 8³ | HostSimd float32 | 2.000 (100) | 1.000 (200) |"));
        Assert.That(lines, Does.Contain("| dice | 8³ | Direct float32 |  | 0.500 |"));
        Assert.That(
            lines, Does.Contain("| zen3 | P, 2 cores, 0 MiB; CPU | version 1, commit abcdef0123, 2026-01-01T00:00:00Z |"));
        Assert.That(lines, Does.Contain("| h200 | not said | not said |"));
        ToolRun.Refuses(["no file was given"], "bench", "table");
        ToolRun.Refuses([folder["none.json"], "file not found"], "bench", "table", one, folder["none.json"]);
        ToolRun.Refuses([one, "another file has this name"], "bench", "table", one, one);

        string Write(string name, params BenchResult[] results)
            => folder.Write($"{name}.json", JsonSerializer.Serialize(results, JsonOutput.Options));
    }

    // The registers' chains do what they say, whatever processor runs them: x → 0.999999·x + 1e-6 has 1 as
    // its fixed point.
    [Test]
    public void Peak_ChainsKeepTheirValues_AndSeveralThreadsAreMoreThanNone()
    {
        Assert.That(FmaPeak.Run128(), Is.EqualTo(12 * 4).Within(0.1));
        Assert.That(FmaPeak.Run128Of24(), Is.EqualTo(24 * 4).Within(0.1));
        Assert.That(FmaPeak.Run256(), Is.EqualTo(12 * 8).Within(0.1));
        Assert.That(FmaPeak.Run512(), Is.EqualTo(12 * 16).Within(0.1));
        Assert.That(FmaPeak.MeasureGflops(threads: 3, thoroughly: false), Is.GreaterThan(0.01));
    }
}
