using System.Text.Json;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Benchmarking;

/// <summary>The count of trainings that fail continues in its folder.</summary>
public sealed class StabilityTests
{
    // Nothing is trained: the result is there. One with other settings would be taken for one of these.
    [Test]
    public void Stability_TakesWhatIsThere_AndRefusesOtherSettings()
    {
        using TemporaryFolder folder = new();
        StabilityRun run = new("sandclock", "compact", 1, "9.9.9", null, 0, 0.5, 0.75, 0.6, 0.1)
        {
            Settings = new StabilityOptions { Steps = 20 }.Settings,
        };
        string path = folder.Write("sandclock-compact-001.json", JsonSerializer.Serialize(run));
        string[] command =
        [
            "bench", "stability", "--runs", "1", "--data", "sandclock", "--presets", "compact", "--device", "cpu",
            "--out", Path.GetDirectoryName(path)!,
        ];

        string[] lines = ToolRun.Succeeds([.. command, "--steps", "20"]).Output.TrimEnd().Split('\n');
        Assert.That(lines, Does.Contain("Version 9.9.9; steps 20 of 20, center weight of the preset."));
        Assert.That(lines[^1], Is.EqualTo("| sandclock | compact | 1 | 0 | 0 | 0.500 | 0.750 |"));
        ToolRun.Refuses([path, "steps 20 of 20", "steps 40 of 40", "--out"], [.. command, "--steps", "40"]);
        ToolRun.Refuses([path, "hard"], [.. command, "--steps", "20", "--hard"]);
        ToolRun.Refuses(
            ["--schedule-steps 20 is less than --steps 30", "as many or more"],
            [.. command, "--steps", "30", "--schedule-steps", "20"]);

        File.WriteAllText(path, JsonSerializer.Serialize(run with { Settings = "" }));
        ToolRun.Refuses([path, "not noted"], [.. command, "--steps", "20"]);
    }
}
