using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// The PTX of a kernel as a CUDA driver gets it, made from what ILGPU writes. It depends on the kernel and
/// the architecture alone: what ptxas assembles without a GPU is, byte for byte, what a driver gets, and the
/// driver's cache of compiled kernels serves every later run.
/// </summary>
/// <remarks>
/// Each kernel is compiled in a context of its own: in one that compiled others before, ILGPU 1.5.3 orders
/// the code of every fourth otherwise.</remarks>
internal static partial class KernelText
{
    // No kernel uses what came later, and a driver compiles the text for newer devices too. PTX 7.0 is the
    // first version that knows sm_80, 6.3 sm_75; drivers of CUDA 11.0, the oldest that this library takes,
    // know both.
    private static readonly CudaArchitecture Ampere = new(8, 0);

    private static readonly MethodInfo SizeOf = typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!;

    /// <summary>
    /// The version and target that a text for an architecture has; the one place that decides both.
    /// </summary>
    /// <param name="architecture">A device's.</param>
    internal static (string Version, string Target) HeaderFor(CudaArchitecture architecture)
        => architecture >= Ampere ? ("7.0", "sm_80") : ("6.3", $"sm_{architecture.Major}{architecture.Minor}");

    /// <summary>Compiles a kernel. No GPU and no driver is needed.</summary>
    /// <param name="entry">The entry point.</param>
    /// <param name="specialization">The bound on its group.</param>
    /// <param name="architecture">The device's architecture.</param>
    internal static PTXCompiledKernel Compile(MethodInfo entry, KernelSpecialization specialization,
        CudaArchitecture architecture)
    {
        // O1 emits generic loads and stores; O2 emits ld.global and ld.shared. The version that is handed on
        // is overwritten.
        using Context context = Context.Create(
            builder => builder.Optimize(OptimizationLevel.O2).EnableAlgorithms().EnableTensorCores());
        using PTXBackend backend = new(context, architecture, CudaInstructionSet.ISA_70, nvvmAPI: null!);
        PTXCompiledKernel compiled = (PTXCompiledKernel)backend.Compile(
            IsImplicitlyGrouped(entry)
                ? EntryPointDescription.FromImplicitlyGroupedKernel(entry)
                : EntryPointDescription.FromExplicitlyGroupedKernel(entry),
            specialization);
        Assembly(compiled) = Of(compiled.PTXAssembly, entry, architecture);
        return compiled;
    }

    /// <summary>
    /// Whether a kernel's first parameter is its thread's index, so that ILGPU forms its groups.
    /// </summary>
    internal static bool IsImplicitlyGrouped(MethodInfo entry)
        => entry.GetParameters() is [{ } first, ..] && typeof(IIndex).IsAssignableFrom(first.ParameterType);

    /// <summary>Makes the text from what ILGPU wrote.</summary>
    /// <remarks>
    /// ILGPU 1.5.3 marks conditional branches uniform (bra.uni) as if every thread had the same index, which
    /// lets ptxas drop the points at which threads that parted meet again; so none keeps the mark. Functions
    /// that stand beside the entry point are intrinsics, which nobody calls. Names end in numbers that depend
    /// on what was compiled before, so they are numbered anew. A comment beside each view says how many bytes
    /// its elements have, so that whoever runs the text can tell where the view ends.
    /// </remarks>
    /// <param name="written">What ILGPU wrote.</param>
    /// <param name="kernel">The entry point.</param>
    /// <param name="architecture">The device's architecture.</param>
    /// <exception cref="InvalidOperationException">The kernel calls a function, which ILGPU was to
    /// inline.</exception>
    internal static string Of(string written, MethodInfo kernel, CudaArchitecture architecture)
    {
        (string version, string target) = HeaderFor(architecture);
        string text = Functions().Replace(written.ReplaceLineEndings("\n"), "");
        if (Call().IsMatch(text))
            throw new InvalidOperationException("A kernel calls a function, expected one whose calls ILGPU has inlined. Give "
                + "the function MethodImplOptions.AggressiveInlining.");
        text = VersionLine().Replace(text, $".version {version}");
        text = TargetLine().Replace(text, $".target {target}");
        text = UniformBranch().Replace(text, "$1bra");
        ParameterInfo[] parameters = kernel.GetParameters();
        int position = 0;
        text = ParameterLine().Replace(text, match => match.Value + ElementComment(parameters[position++].ParameterType));
        if (position != parameters.Length)
            throw new InvalidOperationException($"{kernel.Name} has {position} parameters in its text, expected "
                + $"{parameters.Length}.");
        Dictionary<string, string> names = [];
        return NumberedName().Replace(text, match =>
        {
            if (!names.TryGetValue(match.Value, out string? name))
                names.Add(match.Value, name = $"{match.Groups[1].Value}{names.Count.ToString(CultureInfo.InvariantCulture)}");
            return name;
        });
    }

    // ILGPU has no call for it. Where a later ILGPU names the field otherwise, this fails with a
    // MissingFieldException.
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string Assembly(PTXCompiledKernel kernel);

    private static string ElementComment(Type type)
        => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ArrayView<>)
            ? string.Create(CultureInfo.InvariantCulture,
                $" // elements of {SizeOf.MakeGenericMethod(type.GetGenericArguments()).Invoke(null, null)} bytes")
            : "";

    // From its head to a line that is a brace, or, of a declaration, a semicolon.
    [GeneratedRegex(@"^\.visible \.func .*?\n(?:\}|;)\n+", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Functions();

    [GeneratedRegex(@"^\s*(?:@!?%\w+\s+)?call\b", RegexOptions.Multiline)]
    private static partial Regex Call();

    [GeneratedRegex(@"^\.version .*$", RegexOptions.Multiline)]
    private static partial Regex VersionLine();

    [GeneratedRegex(@"^\.target .*$", RegexOptions.Multiline)]
    private static partial Regex TargetLine();

    [GeneratedRegex(@"(@!?%\w+ )bra\.uni\b")]
    private static partial Regex UniformBranch();

    [GeneratedRegex(@"^\t\.param .*$", RegexOptions.Multiline)]
    private static partial Regex ParameterLine();

    // A parameter, _index_1209502, or a label, L_6769060.
    [GeneratedRegex(@"\b(_\w+?_|L_)\d+\b")]
    private static partial Regex NumberedName();
}
