using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
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
    /// The variants that are worth timing on a device. On a CPU a Direct kernel is emulated, a hundred times slower than the variant written for it: it is
    /// there to be right, and its time says nothing, so it is timed only where nothing else runs.
    /// </summary>
    public abstract IReadOnlyList<string> Variants(GpuContext context);

    /// <summary>Makes the passes' data and compiles the variant.</summary>
    /// <exception cref="InvalidOperationException">The variant's results are not the reference's: a wrong kernel has no speed.</exception>
    public abstract BenchmarkRun Open(GpuContext context, string variant);
}

/// <inheritdoc/>
/// <param name="table">The operation's variants.</param>
/// <param name="shape">What is timed.</param>
/// <param name="small">What is compared with the reference before, in reasonable time.</param>
/// <param name="prepare">The passes on a shape, with their data.</param>
/// <param name="size">The shape, in words.</param>
/// <param name="passes">The names of the passes.</param>
internal sealed class BenchmarkCase<TLauncher, TShape>(
    VariantTable<TLauncher, TShape> table,
    TShape shape,
    TShape small,
    Func<BenchmarkData, TLauncher, TShape, BenchmarkPasses> prepare,
    string size,
    params IReadOnlyList<string> passes) : BenchmarkCase(size, passes)
    where TLauncher : class, IDisposable
{
    public override IReadOnlyList<string> Variants(GpuContext context)
    {
        string[] names = [.. table.Names(context, shape)];
        return context.Kind == DeviceKind.Cpu && names.Length > 1 ? [.. names.Where(name => name != Device.Variants.Direct)] : names;
    }

    public override BenchmarkRun Open(GpuContext context, string variant)
    {
        GpuContext forced = context.WithVariant(variant);
        TLauncher kernels = table.Variants.Single(v => v.Name == variant).Create(forced);
        using (BenchmarkData data = new(forced))
            Check(prepare(data, kernels, small), Device.Variants.Tolerance(forced, variant, exact: 1e-5));
        BenchmarkData full = new(forced);
        return new BenchmarkRun(prepare(full, kernels, shape).Run, forced, full, kernels);
    }

    private void Check(BenchmarkPasses prepared, double rounding)
    {
        if (prepared.Run.Length != Passes.Count)
            throw new InvalidOperationException($"{table.Operation}: {prepared.Run.Length} passes for the names {string.Join(", ", Passes)}.");
        foreach (Action pass in prepared.Run)
            pass();
        foreach ((string what, float[] actual, double[] expected, double? tolerance) in prepared.Compare())
        {
            double error = ReferenceFile.RelativeError(actual, expected);
            if (!(error <= (tolerance ?? rounding)))
                throw new InvalidOperationException($"{table.Operation} {what}: relative error {error:g3} against the reference, expected at most {tolerance ?? rounding:g3}.");
        }
    }
}

/// <summary>The passes of an operation on its data.</summary>
/// <param name="Run">Each queues one pass; in this order each finds what it reads.</param>
/// <param name="Compare">What all passes have computed, beside the reference; exact results have a tolerance of their own.</param>
internal sealed record BenchmarkPasses(Action[] Run, Func<(string What, float[] Actual, double[] Expected, double? Tolerance)[]> Compare);

/// <summary>Passes that are ready to be timed.</summary>
internal sealed class BenchmarkRun(Action[] passes, GpuContext context, params IReadOnlyList<IDisposable> owned) : IDisposable
{
    /// <summary>Runs a pass to its end.</summary>
    public void Run(int pass)
    {
        passes[pass]();
        context.Synchronize();
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

    /// <summary>What a view holds.</summary>
    public float[] Read(ArrayView<float> view) => ReferenceFile.Download(context, view);

    /// <summary>The same in double, for the reference.</summary>
    public double[] ReadDouble(ArrayView<float> view) => Array.ConvertAll(Read(view), v => (double)v);

    /// <summary>Disposed with the data.</summary>
    public TOwned Own<TOwned>(TOwned resource)
        where TOwned : IDisposable
    {
        owned.Add(resource);
        return resource;
    }

    public void Dispose()
    {
        foreach (IDisposable resource in owned)
            resource.Dispose();
        arena.Dispose();
    }
}
