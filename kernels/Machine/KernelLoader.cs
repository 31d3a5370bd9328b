using System.Collections.Concurrent;
using System.Reflection;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// Loads kernels; every launcher does so here, because a CUDA driver must get the text of
/// <see cref="KernelText"/> and not ILGPU's own.
/// </summary>
internal static class KernelLoader
{
    // ILGPU caches what it loads itself; these are disposed with their accelerator.
    private static readonly ConditionalWeakTable<
        Accelerator, ConcurrentDictionary<(MethodInfo, KernelSpecialization), Kernel>> Loaded = [];

    /// <summary>Loads a kernel whose groups ILGPU forms; its first parameter is the thread's index.</summary>
    public static void Load<TLauncher>(this Accelerator accelerator, Delegate kernel, out TLauncher launcher)
        where TLauncher : Delegate
        => launcher = accelerator.Load<TLauncher>(kernel);

    /// <summary>Loads a kernel that forms groups itself.</summary>
    public static void Load<TLauncher>(this Accelerator accelerator, Delegate kernel, KernelSpecialization specialization,
        out TLauncher launcher)
        where TLauncher : Delegate
        => launcher = accelerator.Load<TLauncher>(kernel, specialization);

    /// <summary>Loads a kernel.</summary>
    /// <param name="accelerator">The device.</param>
    /// <param name="kernel">A static method.</param>
    /// <param name="specialization">The bound on its group; only of kernels that form groups
    /// themselves.</param>
    public static TLauncher Load<TLauncher>(this Accelerator accelerator, Delegate kernel,
        KernelSpecialization specialization = default)
        where TLauncher : Delegate
        => Load(accelerator, kernel.Method, specialization).CreateLauncherDelegate<TLauncher>();

    /// <summary>Loads a kernel.</summary>
    public static Kernel Load(Accelerator accelerator, MethodInfo kernel, KernelSpecialization specialization)
    {
        if (accelerator is not CudaAccelerator cuda)
            return KernelText.IsImplicitlyGrouped(kernel)
                ? accelerator.LoadAutoGroupedKernel(kernel)
                : accelerator.LoadKernel(kernel, specialization);
        return Loaded.GetOrCreateValue(accelerator).GetOrAdd((kernel, specialization), static (key, cuda) =>
        {
            (MethodInfo kernel, KernelSpecialization specialization) = key;
            PTXCompiledKernel compiled = KernelText.Compile(kernel, specialization, cuda.Architecture);
            return KernelText.IsImplicitlyGrouped(kernel) ? cuda.LoadAutoGroupedKernel(compiled) : cuda.LoadKernel(compiled);
        }, cuda);
    }
}
