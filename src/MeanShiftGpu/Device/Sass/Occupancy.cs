namespace MeanShiftGpu.Device.Sass;

/// <summary>How many groups of a kernel have room on a multiprocessor of compute capability 9.0.</summary>
/// <remarks>
/// From the table "Technical Specifications per Compute Capability" of NVIDIA's CUDA C++ Programming Guide
/// and the units of allocation of its occupancy calculator: 64 warps, 32 groups, 65536 registers, which a
/// warp gets by 256, and 228 KiB of shared memory, which a group gets by 128 bytes and of which it takes 1
/// KiB for the driver.
/// </remarks>
internal static class Occupancy
{
    private const int Warps = 64;
    private const int Groups = 32;
    private const int Registers = 65536;
    private const int RegisterUnit = 256;
    private const int SharedBytes = 228 << 10;
    private const int SharedUnit = 128;
    private const int SharedOfDriver = 1 << 10;

    /// <summary>The groups that fit at once.</summary>
    /// <param name="threads">Threads of a group.</param>
    /// <param name="registers">Registers of a thread.</param>
    /// <param name="sharedBytes">Shared memory of a group, static and dynamic.</param>
    public static int GroupsPerMultiprocessor(int threads, int registers, int sharedBytes)
    {
        int warps = (threads + 31) / 32;
        int ofWarp = RoundUp(registers * 32, RegisterUnit);
        int byWarps = Warps / warps;
        int byRegisters = Registers / ofWarp / warps;
        int byShared = SharedBytes / RoundUp(sharedBytes + SharedOfDriver, SharedUnit);
        return Math.Min(Math.Min(byWarps, Groups), Math.Min(byRegisters, byShared));
    }

    private static int RoundUp(int value, int unit) => (value + unit - 1) / unit * unit;
}
