using System.Text;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// A manifest, a model and a checkpoint of version 0.1 load for ever, or are refused by their version.
/// </summary>
public class EarlierVersionsTests
{
    private readonly ToolFolder folder = new();

    private static string Old(string name) => TemporaryFolder.Data($"version-0.1/{name}");

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void Model_OfVersion01_Picks()
    {
        ToolRun run = ToolRun.Succeeds(
            "pick",
            Old("train_000.mrc"),
            "--model",
            Old("run/model.safetensors"),
            "--out",
            folder.At("old.star"),
            "--device",
            "cpu");
        Assert.That(run.Error, Does.Contain("does not say what its volumes looked like"));
    }

    [Test]
    public void Checkpoint_OfVersion01_GoesOn()
    {
        Copy("old-run");
        ToolRun.Succeeds("train", "--data", Old("manifest.json"), "--out", folder.At("old-run"), "--resume", "--device", "cpu");
    }

    [Test]
    public void Checkpoint_OfALaterVersion_IsRefused()
    {
        string checkpoint = Resumable("later-run");
        byte[] bytes = File.ReadAllBytes(checkpoint);
        int at = bytes.AsSpan().IndexOf(Encoding.UTF8.GetBytes("Format\\u0022:2"));
        Assert.That(at, Is.Positive);
        bytes[at + "Format\\u0022:".Length] = (byte)'9';
        File.WriteAllBytes(checkpoint, bytes);
        ToolRun.Refuses(
            ["checkpoint.safetensors", "format 9"],
            "train",
            "--data",
            Old("manifest.json"),
            "--out",
            folder.At("later-run"),
            "--resume",
            "--device",
            "cpu");
    }

    [Test]
    public void Checkpoint_WithOtherData_IsRefused()
    {
        Resumable("other-data");
        folder.Simulate();
        ToolRun.Refuses(
            ["checkpoint.safetensors", "other data"],
            "train",
            "--data",
            folder.Manifest,
            "--out",
            folder.At("other-data"),
            "--resume",
            "--device",
            "cpu");
    }

    /// <summary>A run of version 0.1 whose checkpoint this version has written again.</summary>
    private string Resumable(string name)
    {
        Copy(name);
        ToolRun.Succeeds("train", "--data", Old("manifest.json"), "--out", folder.At(name), "--resume", "--device", "cpu");
        return folder.At(name, "checkpoint.safetensors");
    }

    private void Copy(string name)
    {
        Directory.CreateDirectory(folder.At(name));
        File.Copy(Old("run/checkpoint.safetensors"), folder.At(name, "checkpoint.safetensors"));
    }
}
