using MeanShiftGpu.Cli;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// Shares of a Slurm array, and the script of 'submit'; with a real Slurm .ci/cluster runs both.
/// </summary>
public class ClusterTests
{
    [TestCase("2/8", "", 2)]
    [TestCase("8/8", "SLURM_ARRAY_TASK_ID=8 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=8", 8)]
    [TestCase("0/8", "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=7", 1)]
    [TestCase("7/8", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=7", 8)]
    [TestCase("3/8", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=1 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3",
        3)] // a part of an array, submitted again
    [TestCase("2/4", "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3",
        2)] // the share of something else
    public void Shard_CountsAsTheArrayDoes(string text, string variables, int expected)
        => Assert.That(Shard.Of(text, LauncherTests.Variables(variables))?.Index, Is.EqualTo(expected));

    [TestCase("0/8", "")]
    [TestCase("9/8", "")]
    [TestCase("8/8", "SLURM_ARRAY_TASK_ID=8 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=2 SLURM_ARRAY_TASK_MAX=16", 0)]
    [TestCase("1-8", "")]
    public void Shard_OfNoArray_IsRefused(string text, string variables, int ignored = 1)
    {
        if (ignored == 0)
            Assert.That(Shard.Of(text, LauncherTests.Variables(variables))?.Index, Is.EqualTo(8),
                "an array with gaps counts from 1");
        else
            Assert.That(() => Shard.Of(text, LauncherTests.Variables(variables)), Throws.TypeOf<InputException>()
                .With.Message.Contains("$SLURM_ARRAY_TASK_ID/8"));
    }

    [Test]
    public void Submit_DryRun_ShowsTheScript()
    {
        ToolRun run = ToolRun.Succeeds(
            "submit", "pick", "tomo grams/", "it's.mrc", "--model", "m.safetensors", "--out", "picks/", "--partition", "gpu",
                "--jobs", "8", "--sbatch=--time=1:00:00", "--sbatch=--gres=gpu:1", "--dry-run");
        string[] lines = run.Output.TrimEnd().Split('\n');
        Assert.That(lines[0], Is.EqualTo("#!/bin/bash"));
        foreach (string line in (string[])["#SBATCH --partition=gpu", "#SBATCH --requeue", "#SBATCH --time=1:00:00",
            "#SBATCH --gres=gpu:1", "#   sbatch --array=1-8 picks.sbatch",
            "#   sbatch --dependency=afterany:NUMBER --job-name=meanshift-pick-last --output=picks.sbatch-last-%j.log "
            + "picks.sbatch"])
            Assert.That(lines, Does.Contain(line));
        string command = """ pick 'tomo grams/' 'it'\''s.mrc' --model m.safetensors --out picks/ """
            + """--shard "$SLURM_ARRAY_TASK_ID/8" """;
        Assert.That(lines[^3], Does.EndWith(command.TrimEnd()));
        Assert.That(lines[^1], Does.EndWith(""" --out picks/ --merge picks.star"""));
    }

    [Test]
    public void Submit_OfReproduce_EndsWithAReport()
    {
        ToolRun run = ToolRun.Succeeds("submit", "reproduce", "--scale", "quick", "--jobs", "4", "--dry-run");
        Assert.That(run.Output, Does.Contain("reproduce --scale quick --shard")
            .And.Contain("reproduce --scale quick --report").And.Contain("#SBATCH --output=reproduce-out.sbatch"));
    }

    [Test]
    public void Submit_WhatCannotBeDone_IsRefused()
    {
        string[] pick = ["submit", "pick", "a.mrc", "--model", "m", "--dry-run"];
        ToolRun.Refuses(["'--jobs' is required"], [.. pick, "--out", "o"]);
        ToolRun.Refuses(["needs --out"], [.. pick, "--jobs", "2"]);
        ToolRun.Refuses(["one table"], [.. pick, "--jobs", "2", "--out", "all.star"]);
        ToolRun.Refuses(["leave --shard out"], [.. pick, "--jobs", "2", "--out", "o", "--shard", "1/2"]);
        ToolRun.Refuses(["unknown option '--modle'", "--model"], "submit", "pick", "a.mrc", "--modle", "m", "--out", "o",
            "--jobs", "2");
        ToolRun.Refuses(["expected pick or reproduce"], "submit", "train", "--jobs", "2");
        ToolRun.Refuses(["--jobs: 'x'"], "submit", "pick", "--jobs", "x");
    }
}
