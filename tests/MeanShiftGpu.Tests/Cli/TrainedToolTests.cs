using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>Tests of verbs that need a model, which is trained once for all of a class: one step.</summary>
public abstract class TrainedToolTests
{
    /// <summary>The tests' files; the data and the run are in it.</summary>
    internal ToolFolder Folder { get; } = new();

    /// <summary>The model.</summary>
    protected string Model => Folder.At("run", "model.safetensors");

    [OneTimeSetUp]
    public void TrainOnce()
    {
        Folder.Simulate();
        ToolRun.Succeeds(Folder.Train("run", 1));
    }

    [OneTimeTearDown]
    public void DeleteFolder() => Folder.Dispose();
}
