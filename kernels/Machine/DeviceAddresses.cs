namespace MeanShiftGpu.Kernels.Machine;

/// <summary>How often memory that launches share was taken anew: whoever captured launches knows by it that
/// they use what is gone.</summary>
internal static class DeviceAddresses
{
    private static readonly ConditionalWeakTable<Accelerator, StrongBox<long>> Changes = [];

    /// <summary>The number of changes on a device so far.</summary>
    public static long Of(Accelerator accelerator) => Interlocked.Read(ref Changes.GetOrCreateValue(accelerator).Value);

    /// <summary>Memory was given back, or will be.</summary>
    public static void Change(Accelerator accelerator) => Interlocked.Increment(ref Changes.GetOrCreateValue(accelerator).Value);
}
