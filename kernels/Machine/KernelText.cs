using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// The PTX of a kernel as a CUDA driver gets it, made from what ILGPU writes. It depends on the kernel and the architecture alone: what ptxas assembles
/// without a GPU is, byte for byte, what a driver gets, and the driver's cache of compiled kernels serves every later run.
/// </summary>
public static partial class KernelText
{
    // No kernel uses what came later, and a driver compiles the text for newer devices too. PTX 7.0 is the first version that knows sm_80, 6.3 sm_75;
    // drivers of CUDA 11.0, the oldest that this library takes, know both.
    private static readonly CudaArchitecture Ampere = new(8, 0);

    private static readonly MethodInfo SizeOf = typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!;

    /// <summary>The version and target that a text for an architecture has; the one place that decides both.</summary>
    /// <param name="architecture">A device's.</param>
    public static (string Version, string Target) HeaderFor(CudaArchitecture architecture)
        => architecture >= Ampere ? ("7.0", "sm_80") : ("6.3", $"sm_{architecture.Major}{architecture.Minor}");

    /// <summary>The text for an architecture.</summary>
    /// <remarks>
    /// ILGPU 1.5.3 marks conditional branches uniform (bra.uni) as if every thread had the same index, which lets ptxas drop the points at which threads that
    /// parted meet again; so none keeps the mark. Functions that stand beside the entry point are intrinsics, which nobody calls. Names end in numbers
    /// that depend on what was compiled before, so they are numbered anew. A comment beside each view says how many bytes its elements have, so that
    /// whoever runs the text can tell where the view ends.
    /// </remarks>
    /// <param name="written">What ILGPU wrote.</param>
    /// <param name="kernel">The entry point.</param>
    /// <param name="architecture">The device's architecture.</param>
    /// <exception cref="InvalidOperationException">The kernel calls a function, which ILGPU was to inline.</exception>
    public static string Of(string written, MethodInfo kernel, CudaArchitecture architecture)
    {
        ArgumentNullException.ThrowIfNull(written);
        ArgumentNullException.ThrowIfNull(kernel);
        (string version, string target) = HeaderFor(architecture);
        string text = Functions().Replace(written.ReplaceLineEndings("\n"), "");
        if (Call().IsMatch(text))
            throw new InvalidOperationException("A kernel calls a function, expected one whose calls ILGPU has inlined. Give the function MethodImplOptions.AggressiveInlining.");
        text = VersionLine().Replace(text, $".version {version}");
        text = TargetLine().Replace(text, $".target {target}");
        text = UniformBranch().Replace(text, "$1bra");
        ParameterInfo[] parameters = kernel.GetParameters();
        int position = 0;
        text = ParameterLine().Replace(text, match => match.Value + ElementComment(parameters[position++].ParameterType));
        if (position != parameters.Length)
            throw new InvalidOperationException($"{kernel.Name} has {position} parameters in its text, expected {parameters.Length}.");
        Dictionary<string, string> names = [];
        return NumberedName().Replace(text, match =>
        {
            if (!names.TryGetValue(match.Value, out string? name))
                names.Add(match.Value, name = $"{match.Groups[1].Value}{names.Count.ToString(CultureInfo.InvariantCulture)}");
            return name;
        });
    }

    /// <summary>Replaces the text of a compiled kernel, before it is loaded.</summary>
    internal static void Replace(PTXCompiledKernel compiled, MethodInfo kernel, CudaArchitecture architecture)
        => Assembly(compiled) = Of(compiled.PTXAssembly, kernel, architecture);

    // ILGPU has no call for it. Where a later ILGPU names the field otherwise, this fails with a MissingFieldException.
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string Assembly(PTXCompiledKernel kernel);

    private static string ElementComment(Type type)
        => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ArrayView<>)
            ? string.Create(CultureInfo.InvariantCulture, $" // elements of {SizeOf.MakeGenericMethod(type.GetGenericArguments()).Invoke(null, null)} bytes")
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
