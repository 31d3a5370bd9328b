namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// Marks a static method as the entry point of a GPU kernel. The catalogue that compiles, assembles and tests
/// every kernel finds them by this mark, so no kernel can exist untested.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KernelAttribute : Attribute
{
    /// <summary>
    /// The largest group that an explicitly grouped kernel is launched with, which bounds the registers of a
    /// thread; 0 where ILGPU chooses the group. The launcher loads the kernel with the same number.
    /// </summary>
    public int MaxGroupSize { get; set; }

    /// <summary>
    /// Groups of the largest size that a multiprocessor shall have room for; 0 leaves it to ptxas, which
    /// spills registers for more groups than there are. The launcher loads the kernel with the same number.
    /// </summary>
    public int MinGroups { get; set; }

    /// <summary>
    /// The same as a static method of the kernel's class, with the kernel's type parameters; null where it
    /// does not depend on them.
    /// </summary>
    public string? MinGroupsOf { get; set; }

    /// <summary>
    /// The static method of the kernel's class that says how many bytes of dynamic shared memory the launcher
    /// asks for at most; it has the kernel's type parameters. Null where it asks for none.
    /// </summary>
    public string? SharedBytes { get; set; }
}
