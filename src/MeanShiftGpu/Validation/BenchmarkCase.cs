using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>A shape of an operation whose passes are timed.</summary>
internal abstract class BenchmarkCase(string size, params IReadOnlyList<string> passes)
{
    /// <summary>The shape, in words.</summary>
    public string Size => size;

    /// <summary>The names of the passes.</summary>
    public IReadOnlyList<string> Passes => passes;

    /// <summary>
    /// Whether activations are BF16; such a case is timed where a network would store them so.
    /// </summary>
    public bool OnBf16 { get; init; }

    /// <summary>The variants that are worth timing on a device.</summary>
    public abstract IReadOnlyList<string> Variants(GpuContext context);

    /// <summary>
    /// The variants of a table that are worth timing. On a CPU a Direct kernel is emulated, a hundred times
    /// slower than the variant written for it: it is there to be right, and its time says nothing, so it is
    /// timed only where nothing else runs.
    /// </summary>
    public static IReadOnlyList<string> WorthTiming<TLauncher, TShape>(
        GpuContext context, VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
    {
        string[] names = [.. context.Candidates(table, shape).Select(v => v.Name)];
        return context.Kind == DeviceKind.Cpu && names.Length > 1
            ? [.. names.Where(name => name != Device.Variants.Direct)] : names;
    }

    /// <summary>Makes the passes' data and compiles the variant.</summary>
    /// <param name="context">The device.</param>
    /// <param name="variant">The variant.</param>
    /// <param name="check">Whether results are compared with the reference's before, on a smaller
    /// shape.</param>
    /// <exception cref="InvalidOperationException">The variant's results are not the reference's: a wrong
    /// kernel has no speed.</exception>
    public abstract BenchmarkRun Open(GpuContext context, string variant, bool check = true);
}

/// <inheritdoc/>
/// <param name="table">The operation's variants.</param>
/// <param name="shape">What is timed.</param>
/// <param name="small">What is compared with the reference before, in reasonable time.</param>
/// <param name="prepare">The passes on a shape, with their data.</param>
/// <param name="size">The shape, in words.</param>
/// <param name="passes">The names of the passes.</param>
/// <typeparam name="TLauncher">The operation's launchers.</typeparam>
/// <typeparam name="TShape">Its shape.</typeparam>
internal sealed class BenchmarkCase<TLauncher, TShape>(
    VariantTable<TLauncher, TShape> table,
    TShape shape,
    TShape small,
    Func<BenchmarkData, TLauncher, TShape, BenchmarkPasses> prepare,
    string size,
    params IReadOnlyList<string> passes) : BenchmarkCase(size, passes)
    where TLauncher : class, IDisposable
{
    // Rounding an activation to 8 bits of mantissa, and the sum of as many roundings as a sum has.
    private const double Bf16Rounding = 2e-2;

    public override IReadOnlyList<string> Variants(GpuContext context)
        => OnBf16 && context.Precision != Precision.Bf16 ? [] : WorthTiming(context, table, shape);

    public override BenchmarkRun Open(GpuContext context, string variant, bool check = true)
    {
        GpuContext forced = context.WithVariant(variant);
        TLauncher kernels = table.Variants.Single(v => v.Name == variant).Create(forced);
        if (check)
        {
            using BenchmarkData data = new(forced);
            Check(
                variant, prepare(data, kernels, small),
                OnBf16 ? Bf16Rounding : Device.Variants.Tolerance(forced, variant, exact: 1e-5));
        }

        BenchmarkData full = new(forced);
        return new BenchmarkRun(prepare(full, kernels, shape), forced, full, kernels);
    }

    private void Check(string variant, BenchmarkPasses prepared, double rounding)
    {
        if (prepared.Run.Length != Passes.Count)
            throw new InvalidOperationException($"{table.Operation}: {prepared.Run.Length} passes for the names "
                + $"{string.Join(", ", Passes)}.");
        foreach (Action pass in prepared.Run)
            pass();
        foreach ((string what, float[] actual, double[] expected, double? tolerance) in prepared.Compare())
        {
            double error = ReferenceFile.RelativeError(actual, expected);
            if (!(error <= (tolerance ?? rounding)))
                throw new InvalidOperationException($"{table.Operation} {what}, {variant}: relative error {error:g3} against the "
                    + $"reference, expected at most {tolerance ?? rounding:g3}. 'gradcheck' and 'verify' say more.");
        }
    }
}

/// <summary>The passes of an operation on its data.</summary>
/// <param name="Run">Each queues one pass; in this order each finds what it reads.</param>
/// <param name="Compare">What all passes have computed, beside the reference; exact results have a tolerance
/// of their own.</param>
internal sealed record BenchmarkPasses(
    Action[] Run, Func<(string What, float[] Actual, double[] Expected, double? Tolerance)[]> Compare)
{
    /// <summary>
    /// Multiplications and additions of each pass by the direct algorithm; 0 where they are not counted.
    /// </summary>
    public double Operations { get; init; }

    /// <summary>
    /// What each pass has to read and write at least, in bytes; empty where that is not counted.
    /// </summary>
    public long[] Bytes { get; init; } = [];
}

/// <summary>Passes that are ready to be timed.</summary>
internal sealed class BenchmarkRun(
    BenchmarkPasses passes, GpuContext context, params IReadOnlyList<IDisposable> owned) : IDisposable
{
    /// <summary>The passes.</summary>
    public BenchmarkPasses Passes => passes;

    /// <summary>Waits for what was queued.</summary>
    public void Wait() => context.Synchronize();

    /// <summary>Runs a pass to its end.</summary>
    public void Run(int pass)
    {
        passes.Run[pass]();
        Wait();
    }

    public void Dispose()
    {
        foreach (IDisposable resource in owned)
            resource.Dispose();
        context.Dispose();
    }
}

/// <summary>The numbers that passes read and write.</summary>
internal sealed class BenchmarkData(GpuContext context) : IDisposable
{
    private readonly Arena arena = new(context);
    private readonly List<IDisposable> owned = [];

    public GpuContext Context => context;

    public AcceleratorStream Stream => context.Stream;

    /// <summary>Uniform numbers in [0, 1), or what is made of them.</summary>
    public ArrayView<float> Uniform(long count, int seed, Func<float, float>? map = null)
    {
        Random random = new(seed);
        float[] values = new float[count];
        foreach (ref float value in values.AsSpan())
            value = map is null ? random.NextSingle() : map(random.NextSingle());
        return Place(values);
    }

    /// <summary>Zeros.</summary>
    public ArrayView<float> Zeros(long count) => Place(new float[Math.Max(1, count)]);

    /// <summary>Numbers on the device.</summary>
    public ArrayView<TElement> Place<TElement>(TElement[] values)
        where TElement : unmanaged
    {
        ArrayView<TElement> view = arena.Allocate<TElement>(values.Length);
        view.CopyFromCPU(context.Stream, values);
        return view;
    }

    /// <summary>Activations, [voxels, channels] with a pitch; what lies between is 0.</summary>
    /// <param name="voxels">How many voxels.</param>
    /// <param name="channels">Channels of each, uniform in [0, 1).</param>
    /// <param name="pitch">Elements from one voxel to the next.</param>
    /// <param name="seed">Of the numbers.</param>
    public ArrayView<TActivation> Activations<TActivation>(long voxels, int channels, int pitch, int seed)
        where TActivation : unmanaged
    {
        Random random = new(seed);
        TActivation[] values = new TActivation[voxels * pitch];
        for (long i = 0; i < values.Length; i++)
        {
            if (i % pitch < channels)
                values[i] = Stored<TActivation>(random.NextSingle());
        }

        return Place(values);
    }

    /// <summary>Activations that a pass overwrites.</summary>
    public ArrayView<TActivation> Zeros<TActivation>(long count)
        where TActivation : unmanaged
        => Place(new TActivation[Math.Max(1, count)]);

    /// <summary>What a view holds, as float32.</summary>
    public float[] Read<TActivation>(ArrayView<TActivation> view)
        where TActivation : unmanaged
    {
        TActivation[] values = ReferenceFile.Download(context, view);
        return values as float[] ?? Array.ConvertAll((Bf16[])(object)values, v => v.ToSingle());
    }

    /// <summary>The same in double, for the reference.</summary>
    public double[] ReadDouble<TActivation>(ArrayView<TActivation> view)
        where TActivation : unmanaged
        => Array.ConvertAll(Read(view), v => (double)v);

    /// <summary>Disposed with the data.</summary>
    public TOwned Own<TOwned>(TOwned resource)
        where TOwned : IDisposable
    {
        owned.Add(resource);
        return resource;
    }

    private static TActivation Stored<TActivation>(float value)
        => typeof(TActivation) == typeof(float) ? (TActivation)(object)value : (TActivation)(object)Bf16.Round(value);

    public void Dispose()
    {
        foreach (IDisposable resource in owned)
            resource.Dispose();
        arena.Dispose();
    }
}
