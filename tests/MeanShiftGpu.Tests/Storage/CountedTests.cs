using System.Text.RegularExpressions;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Cli;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Storage;

public partial class CountedTests
{
    [TestCase(0, "0 picks")]
    [TestCase(1, "1 pick")]
    [TestCase(2, "2 picks")]
    public void Of_HasThePluralWhereItIsNotOne(long count, string expected)
        => Assert.That(Counted.Of(count, "pick"), Is.EqualTo(expected));

    [Test]
    public void Of_AnIrregularWord_IsGiven() => Assert.That(
        (Counted.Of(1, "class", "classes"), Counted.Of(3, "class", "classes")), Is.EqualTo(("1 class", "3 classes")));

    // One of everything: whoever reads the lines sees no "1 volumes".
    [Test]
    public void Verbs_WithOneOfEverything_CountInTheSingular()
    {
        using ToolFolder folder = new();
        List<ToolRun> runs =
            [ToolRun.Succeeds(
                "simulate", "--out", folder.At("data"), "--size", "18,21,19", "--particles", "1,1", "--train", "1",
                "--validation", "0", "--test", "0")];
        string volume = folder.At("data", "train_000.mrc");
        string truth = folder.At("data", "train_000.star");
        runs.Add(
            ToolRun.Succeeds(
                "simulate", "--out", folder.At("one"), "--preset", "tomogram", "--size", "24", "--particles", "1,1", "--train",
                "1", "--test", "0", "--shapes", "rod", "--tilts", "0,0,1"));
        runs.Add(ToolRun.Succeeds(folder.Train("run", 1)));
        using (Volume mask = new(18, 21, 19))
        {
            mask[9, 10, 9] = 1;
            MrcFile.Write(folder.At("mask.mrc"), mask);
        }

        runs.Add(
            ToolRun.Succeeds(
                "pick", volume, "--model", folder.At("run", "model.safetensors"), "--out", folder.At("picks.star"), "--mask",
                folder.At("mask.mrc"), "--device", "cpu", "--threads", "1"));
        runs.Add(ToolRun.Succeeds("convert", truth, "--out", folder.At("truth.csv"), "--volume", volume));
        runs.Add(ToolRun.Succeeds("evaluate", "--picks", truth, "--truth", truth));
        string[] lines = [.. runs.SelectMany(r => (r.Output + r.Error).Split('\n'))];
        Assert.That(
            lines, Has.Some.Contains("1 pick from 1 voxel").And.Some.Contains("1 thread,").And.Some.Contains(
                "1 training volume with 1 centre"));
        Assert.That(lines.Where(l => OneOfSeveral().IsMatch(l)), Is.Empty);
    }

    [GeneratedRegex(
        @"(?<![\d.,×] ?)\b1 (\w+ )?(particles|volumes|tomograms|voxels|picks|centres|steps|tiles|tilts|threads|models)\b")]
    private static partial Regex OneOfSeveral();
}
