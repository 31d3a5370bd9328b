using System.Numerics;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>One implementation of an operation.</summary>
/// <param name="Name">The technique: Direct, Grouped, HostSimd, HostWinograd, ImplicitGemm,
/// TensorCore.</param>
/// <param name="Supports">Null when it can run this shape on this context; otherwise the reason why
/// not.</param>
/// <param name="Create">Compiles it for a context.</param>
internal sealed record Variant<TLauncher, TShape>(
    string Name,
    Func<GpuContext, TShape, string?> Supports,
    Func<GpuContext, TLauncher> Create)
    where TLauncher : class, IDisposable
{
    /// <summary>
    /// Whether automatic choice takes it for a shape that it supports; false where a later variant is faster.
    /// </summary>
    public Func<TShape, bool> Suits { get; init; } = static _ => true;
}

/// <summary>What a table of variants is called and holds, whatever its kernels.</summary>
internal interface IVariantTable
{
    /// <summary>The operation's name.</summary>
    string Operation { get; }

    /// <summary>The variants' names, best first.</summary>
    IEnumerable<string> Names { get; }
}

/// <summary>
/// The variants of an operation, best first. Automatic choice, tests, benchmarks and the reference check all
/// enumerate the same table, so that no variant exists untested or unmeasured.
/// </summary>
/// <param name="operation">The operation's name, as in MEANSHIFTGPU_VARIANT: conv3d, max-pool3d, …</param>
/// <param name="variants">Best first; the last supports and suits everything, except on BF16 activations.
/// Null: one that a real type or storage has not.</param>
internal sealed class VariantTable<TLauncher, TShape>(string operation, params Variant<TLauncher, TShape>?[] variants)
    : IVariantTable
    where TLauncher : class, IDisposable
{
    /// <summary>The operation's name.</summary>
    public string Operation { get; } = operation;

    /// <inheritdoc/>
    public IEnumerable<string> Names => Variants.Select(variant => variant.Name);

    /// <summary>The variants, best first.</summary>
    public IReadOnlyList<Variant<TLauncher, TShape>> Variants { get; } = [.. variants.OfType<Variant<TLauncher, TShape>>()];

    /// <summary>The variants that can run a shape on a context.</summary>
    public IEnumerable<Variant<TLauncher, TShape>> Supported(GpuContext context, TShape shape)
        => Variants.Where(v => v.Supports(context, shape) is null);

    internal Variant<TLauncher, TShape> Select(GpuContext context, TShape shape, VariantChoice choice)
        => Forced(context, shape, choice)
            ?? Supported(context, shape).FirstOrDefault(v => v.Suits(shape))
            ?? throw new InputException($"{Operation}: no variant can run here: "
                + $"{string.Join("; ", Variants.Select(v => $"{v.Name}: {v.Supports(context, shape)}"))}.");

    /// <summary>
    /// The variants that can run a shape and that the choice leaves: all, or the forced one alone.
    /// </summary>
    internal IEnumerable<Variant<TLauncher, TShape>> Candidates(GpuContext context, TShape shape, VariantChoice choice)
        => Forced(context, shape, choice) is { } forced ? [forced] : Supported(context, shape);

    private Variant<TLauncher, TShape>? Forced(GpuContext context, TShape shape, VariantChoice choice)
    {
        if (choice.For(Operation) is { } forced
            && Variants.FirstOrDefault(v => string.Equals(v.Name, forced, StringComparison.OrdinalIgnoreCase)) is { } chosen)
        {
            return chosen.Supports(context, shape) is { } reason
                ? throw new InputException($"{Operation}: {choice.Source} asks for the variant {chosen.Name}, which cannot run "
                    + $"here: {reason}. Expected {string.Join(" or ", Supported(context, shape).Select(v => v.Name))}, or "
                    + "nothing.")
                : chosen;
        }

        if (choice.ForAlone(Operation) is { } missing)
        {
            string where = context.Precision == Precision.Bf16 ? " for BF16 activations" : "";
            throw new InputException($"{Operation}: {choice.Source} asks for the variant {missing}, which it does not "
                + $"have{where}. Expected {string.Join(" or ", Variants.Select(v => v.Name))}, or nothing.");
        }

        return null;
    }
}

/// <summary>Which variants are forced, from "NAME" or "operation=NAME,operation=NAME".</summary>
internal sealed class VariantChoice
{
    private readonly Dictionary<string, string> byOperation = new(StringComparer.OrdinalIgnoreCase);
    private string? everywhere;

    /// <summary>What was parsed.</summary>
    public string Text { get; private init; } = "";

    /// <summary>Where the choice was made, for messages: an argument's or a variable's name.</summary>
    public required string Source { get; init; }

    public static VariantChoice Parse(string text, string source)
    {
        VariantChoice choice = new() { Text = text, Source = source };
        foreach (string entry in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] parts = entry.Split('=', StringSplitOptions.TrimEntries);
            string name = parts[^1];
            if (parts.Length > 2 || !Variants.Names.Contains(name, StringComparer.OrdinalIgnoreCase))
                throw new InputException($"{source}: '{entry}' is no variant. Expected one of "
                    + $"{string.Join(", ", Variants.Names)}, or operation=variant, separated by commas.");
            if (parts.Length == 2 && !Variants.Operations.Contains(parts[0], StringComparer.OrdinalIgnoreCase))
                throw new InputException($"{source}: '{parts[0]}' is no operation. Expected one of "
                    + $"{string.Join(", ", Variants.Operations)}.");
            if (parts.Length == 2)
                choice.byOperation[parts[0]] = name;
            else
                choice.everywhere = name;
        }

        return choice;
    }

    /// <summary>One operation's, by an argument.</summary>
    /// <exception cref="InputException">The operation has no such variant.</exception>
    public static VariantChoice One(string operation, string name, string[] names)
        => names.Contains(name, StringComparer.OrdinalIgnoreCase)
            ? new VariantChoice { Text = $"{operation}={name}", Source = "variant", byOperation = { [operation] = name } }
            : throw new InputException($"variant: {operation} has no variant '{name}'. Expected {string.Join(" or ", names)}, or "
                + "null for the best.");

    /// <summary>
    /// The variant forced for an operation; one forced for everything applies to the operations that have it.
    /// </summary>
    public string? For(string operation) => byOperation.GetValueOrDefault(operation, everywhere!);

    /// <summary>The variant forced for this operation by its name, which must have it.</summary>
    public string? ForAlone(string operation) => byOperation.GetValueOrDefault(operation);
}

/// <summary>Building blocks of variant tables.</summary>
internal static class Variants
{
    public const string Direct = "Direct";
    public const string HostSimd = "HostSimd";
    public const string HostWinograd = "HostWinograd";
    public const string TensorCore = "TensorCore";
    public const string ImplicitGemm = "ImplicitGemm";
    public const string Grouped = "Grouped";

    /// <summary>
    /// All tables. The catalogue of operations, which lies above, gives them when the library is loaded.
    /// </summary>
    public static Lazy<IReadOnlyList<IVariantTable>> Tables { get; set; } = new(() => []);

    /// <summary>Every name that a table holds, for the check of forced variants.</summary>
    public static IEnumerable<string> Names
        => Tables.Value.SelectMany(table => table.Names).Distinct().Order(StringComparer.Ordinal);

    /// <summary>The name of every table's operation, for the same check.</summary>
    public static IEnumerable<string> Operations
        => Tables.Value.Select(table => table.Operation).Distinct().Order(StringComparer.Ordinal);

    /// <summary>
    /// The variant that runs everywhere: a kernel class generic over (T, TReal, further…), given open.
    /// </summary>
    public static Variant<TLauncher, TShape> ForDirect<T, TLauncher, TShape>(Type openKernelClass, params Type[] further)
        where T : unmanaged, INumber<T>
        where TLauncher : class, IDisposable
        => new(Direct, static (_, _) => null, context => CreateDirect<T, TLauncher>(context, openKernelClass, further));

    /// <summary>
    /// A variant whose kernels form groups, on devices that allow them: a class as for
    /// <see cref="ForDirect"/>.
    /// </summary>
    public static Variant<TLauncher, TShape> ForGroups<T, TLauncher, TShape>(
        string name, Type openKernelClass, int threads, int sharedBytes, params Type[] further)
        where T : unmanaged, INumber<T>
        where TLauncher : class, IDisposable
        => new(
            name,
            (context, _) => GroupRefusal(context, threads, sharedBytes),
            context => CreateDirect<T, TLauncher>(context, openKernelClass, further));

    /// <summary>
    /// What a kernel class takes behind its real type to work on activations: what they hold and how that
    /// lies in memory.
    /// </summary>
    public static Type[] Storage<TActivation, T>()
        where TActivation : unmanaged
        where T : unmanaged, INumber<T>
        => [typeof(TActivation), typeof(TActivation) == typeof(Bf16) ? typeof(Bf16) : typeof(Plain<T>)];

    /// <summary>A variant that is there for activations of the real type alone; null on BF16.</summary>
    public static Variant<TLauncher, TShape>? Unrounded<TActivation, TLauncher, TShape>(Func<Variant<TLauncher, TShape>> variant)
        where TActivation : unmanaged
        where TLauncher : class, IDisposable
        => typeof(TActivation) == typeof(Bf16) ? null : variant();

    /// <summary>A float32 variant for the CPU device; null on BF16.</summary>
    public static Variant<TLauncher, TShape>? ForHost<TActivation, TLauncher, TShape>(Func<HostThreads, object> create)
        where TActivation : unmanaged
        where TLauncher : class, IDisposable
        => Unrounded<TActivation, TLauncher, TShape>(() => new(
            HostSimd, static (context, _) => HostRefusal<TActivation>(context), context => (TLauncher)create(context.Threads)));

    /// <summary>
    /// A float32 variant for tensor cores: one that rounds operands to the context's precision or, with BF16
    /// activations, one whose activations are stored so.
    /// </summary>
    /// <param name="shapeRefusal">Why it does not take a shape; null where it does.</param>
    /// <param name="pitches">Elements from one voxel to the next of what it reads and writes.</param>
    /// <param name="create">Compiles it for float32 activations.</param>
    /// <param name="createBf16">Compiles it for BF16 activations.</param>
    public static Variant<TLauncher, TShape> ForTensorCores<TActivation, T, TLauncher, TShape>(
        Func<TShape, string?> shapeRefusal,
        Func<TShape, (int Input, int Output)> pitches,
        Func<Accelerator, TensorCorePrecision, object> create,
        Func<Accelerator, object> createBf16)
        where TActivation : unmanaged
        where T : unmanaged, INumber<T>
        where TLauncher : class, IDisposable
        => typeof(TActivation) == typeof(Bf16)
            ? new(
                TensorCore,
                (context, shape) => TensorCoreRefusal(context)
                    ?? PitchRefusal(pitches(shape).Input) ?? PitchRefusal(pitches(shape).Output) ?? shapeRefusal(shape),
                context => (TLauncher)createBf16(context.Accelerator))
            : new(
                TensorCore,
                (context, shape) => typeof(T) != typeof(float) ? "it computes in float32 only"
                    : (TensorCoreRefusal(context)
                        ?? (context.Precision == Precision.Float32
                            ? "it rounds operands, which needs the precision (GpuContextOptions.Precision, --precision or "
                                + "MEANSHIFTGPU_PRECISION) to be tf32, bf16-operands or bf16"
                            : shapeRefusal(shape))),
                context => (TLauncher)create(context.Accelerator, context.Precision switch
                {
                    Precision.Tf32 => TensorCorePrecision.Tf32,
                    Precision.Bf16 or Precision.Bf16Operands => TensorCorePrecision.Bf16,
                    _ => throw UnknownValue.Of(context.Precision),
                }));

    /// <summary>Why BF16 activations cannot be fetched by 16 bytes; null where they can.</summary>
    public static string? PitchRefusal(int pitch)
        => pitch % Bf16.ChannelMultiple == 0 ? null : $"voxels of BF16 begin at multiples of {Bf16.ChannelMultiple} channels, "
            + $"here they are {pitch} apart";

    /// <summary>
    /// The relative error that a variant's float32 results may have against a reference; exact is the bound
    /// of those that do not round.
    /// </summary>
    public static double Tolerance(GpuContext context, string variant, double exact)
        => variant != TensorCore ? exact : context.Precision == Precision.Tf32 ? 2e-3 : 2e-2;

    /// <summary>
    /// Why a device cannot run kernels that form groups of so many threads with so much shared memory; null
    /// where it can. The CPU device cannot: its groups hold 16 threads.
    /// </summary>
    public static string? GroupRefusal(GpuContext context, int threads, int sharedBytes)
        => context.Accelerator.MaxNumThreadsPerGroup < threads ? $"its groups have up to {threads} threads, this device allows "
            + $"{context.Accelerator.MaxNumThreadsPerGroup}"
            : context.Accelerator.MaxSharedMemoryPerGroup < sharedBytes ? $"its groups need {sharedBytes} bytes of shared "
                + $"memory, this device has {context.Accelerator.MaxSharedMemoryPerGroup}"
            : null;

    /// <summary>
    /// Why a device cannot run the warp-wide matrix instructions; null where it can. The simulated GPU runs
    /// their C# bodies.
    /// </summary>
    public static string? TensorCoreRefusal(GpuContext context) => context.Accelerator switch
    {
        CPUAccelerator { WarpSize: 32 } => null,
        CudaAccelerator cuda when cuda.Architecture < new CudaArchitecture(8, 0) => "it needs compute capability 8.0, this "
            + $"GPU has {cuda.Architecture.Major}.{cuda.Architecture.Minor}",
        CudaAccelerator cuda when !cuda.Context.HasTensorCores() => "the accelerator's ILGPU context was built without "
            + "EnableTensorCores()",
        CudaAccelerator => null,
        _ => "it needs an NVIDIA GPU through CUDA",
    };

    /// <summary>Why a float32 variant for the CPU device cannot run, or null.</summary>
    public static string? HostRefusal<T>(GpuContext context)
        => context.Kind != DeviceKind.Cpu ? "it runs on the CPU device only"
            : typeof(T) != typeof(float) ? "it computes in float32 only"
            : null;

    private static TLauncher CreateDirect<T, TLauncher>(GpuContext context, Type openKernelClass, Type[] further)
    {
        Type real = typeof(T) == typeof(float) ? typeof(Float32)
            : typeof(T) == typeof(double) ? typeof(Float64)
            : throw new NotSupportedException($"Kernels compute in float or double, not in {typeof(T).Name}.");
        Type closed = openKernelClass.MakeGenericType([typeof(T), real, .. further]);
        return (TLauncher)Activator.CreateInstance(closed, context.Accelerator)!;
    }
}
