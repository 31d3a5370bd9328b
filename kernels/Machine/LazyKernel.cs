namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// A kernel that forms groups itself, compiled when it is first needed, with this much dynamic shared memory.
/// </summary>
internal sealed class LazyKernel<TLauncher>(
    Accelerator accelerator, Delegate kernel, KernelSpecialization group, int sharedBytes)
    : Lazy<TLauncher>(() =>
    {
        TLauncher launcher = accelerator.Load<TLauncher>(kernel, group);
        LargeSharedMemory.Allow(launcher.GetKernel(), sharedBytes);
        return launcher;
    })
    where TLauncher : Delegate;
