using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>
/// Compiles kernels to PTX for an NVIDIA architecture. No GPU and no CUDA installation is needed.
/// </summary>
public sealed class PtxCompiler
{
    private static readonly CudaArchitecture[] Known =
        [new(8, 0), new(8, 6), new(8, 7), new(8, 9), new(9, 0), new(10, 0), new(12, 0)];

    private readonly CudaArchitecture chosen;

    /// <summary>Creates a compiler.</summary>
    /// <param name="architecture">One of <see cref="Architectures"/>: sm_80, sm_90, …</param>
    /// <exception cref="InputException">The architecture is not one of them.</exception>
    public PtxCompiler(string architecture)
    {
        int index = Array.FindIndex(
            Known, known => string.Equals(NameOf(known), architecture, StringComparison.OrdinalIgnoreCase));
        if (index < 0)
            throw new InputException($"'{architecture}' is no architecture that PTX can be written for. Expected one of "
                + $"{string.Join(", ", Architectures)}.");

        chosen = Known[index];
        Architecture = NameOf(chosen);
    }

    /// <summary>The architectures, oldest first. Tensor-core kernels need at least the first.</summary>
    public static IReadOnlyList<string> Architectures { get; } = [.. Known.Select(NameOf)];

    /// <summary>The architecture that is compiled for.</summary>
    public string Architecture { get; }

    /// <summary>
    /// The kernel's PTX: the bytes that a driver gets for a device of this architecture.
    /// </summary>
    /// <exception cref="InvalidOperationException">ILGPU cannot compile the kernel; the message names it and
    /// says why.</exception>
    public string Compile(KernelEntry kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        try
        {
            return KernelText.Compile(kernel.Method, kernel.Specialization, chosen).PTXAssembly;
        }
        catch (Exception e) when (OfflineCompiler.IsRefusal(e))
        {
            throw OfflineCompiler.Refused(kernel, Architecture, e);
        }
    }

    private static string NameOf(CudaArchitecture architecture) => $"sm_{architecture.Major}{architecture.Minor}";
}
