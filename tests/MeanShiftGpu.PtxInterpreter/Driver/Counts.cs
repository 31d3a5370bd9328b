namespace MeanShiftGpu.PtxInterpreter.Driver;

/// <summary>What was asked of the driver since the process began; a test in the same process reads
/// it.</summary>
internal sealed class Counts
{
    /// <summary>Kernels, each node of a graph that was launched included.</summary>
    public long Launches;

    /// <summary>Waits of the host for a stream, an event or the device.</summary>
    public long Synchronizations;

    /// <summary>Copies between device and host memory that the driver would first copy elsewhere, and wait
    /// for.</summary>
    public long PageableCopies;

    /// <summary>Copies between the device and host memory that it reaches by itself.</summary>
    public long PageLockedCopies;

    public long CopiesOnDevice;
    public long Fills;

    /// <summary>The most bytes of device memory that were held at a time.</summary>
    public long MostBytes;

    /// <summary>Graphs that were launched.</summary>
    public long Graphs;

    public ReadOnlySpan<long> All
        => (long[])[Launches, Synchronizations, PageableCopies, PageLockedCopies, CopiesOnDevice, Fills, MostBytes, Graphs];
}
