using System.Runtime.CompilerServices;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>Compiles kernels to PTX for an NVIDIA architecture. No GPU and no CUDA installation is needed.</summary>
public sealed class PtxCompiler : IDisposable
{
    // The PTX version is the first that knows the architecture, so that the oldest possible assembler and driver take the file.
    private static readonly (CudaArchitecture Architecture, CudaInstructionSet InstructionSet)[] Known =
    [
        (new(8, 0), new(7, 0)),
        (new(8, 6), new(7, 1)),
        (new(8, 7), new(7, 4)),
        (new(8, 9), new(7, 8)),
        (new(9, 0), new(7, 8)),
        (new(10, 0), new(8, 6)),
        (new(12, 0), new(8, 7)),
    ];

    private readonly OfflineCompiler compiler;

    /// <summary>Creates a compiler.</summary>
    /// <param name="architecture">One of <see cref="Architectures"/>: sm_80, sm_90, …</param>
    /// <exception cref="InputException">The architecture is not one of them.</exception>
    public PtxCompiler(string architecture)
    {
        int index = Array.FindIndex(Known, known => string.Equals(NameOf(known.Architecture), architecture, StringComparison.OrdinalIgnoreCase));
        if (index < 0)
            throw new InputException($"'{architecture}' is no architecture that PTX can be written for. Expected one of {string.Join(", ", Architectures)}.");

        (CudaArchitecture chosen, CudaInstructionSet instructionSet) = Known[index];
        Architecture = NameOf(chosen);
        compiler = new OfflineCompiler(Architecture, context =>
        {
            CudaCapabilityContext capabilities = new(chosen);
            SetTargetArchitecture(capabilities, chosen);
            return new PTXBackend(context, capabilities, chosen, instructionSet, nvvmAPI: null);
        });
    }

    /// <summary>The architectures, oldest first. Tensor-core kernels need at least the first.</summary>
    public static IReadOnlyList<string> Architectures { get; } = [.. Known.Select(known => NameOf(known.Architecture))];

    /// <summary>The architecture that is compiled for.</summary>
    public string Architecture { get; }

    /// <summary>The kernel's PTX, an assembly text for ptxas or the driver.</summary>
    /// <exception cref="InvalidOperationException">ILGPU cannot compile the kernel; the message names it and says why. Further kernels still compile.</exception>
    public string Compile(KernelEntry kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        return ((PTXCompiledKernel)compiler.Compile(kernel)).PTXAssembly;
    }

    /// <inheritdoc/>
    public void Dispose() => compiler.Dispose();

    private static string NameOf(CudaArchitecture architecture) => $"sm_{architecture.Major}{architecture.Minor}";

    // ILGPU writes ".target sm_80" for every newer device, which forbids the instructions that came later; the setter that
    // lifts the limit is internal. Where a later ILGPU has none, this fails with a MissingMethodException that names it.
    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_TargetArchitecture")]
    private static extern void SetTargetArchitecture(CudaCapabilityContext capabilities, CudaArchitecture architecture);
}
