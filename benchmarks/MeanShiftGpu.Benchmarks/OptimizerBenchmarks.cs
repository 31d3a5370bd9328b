using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.GradientNorm;

namespace MeanShiftGpu.Benchmarks;

/// <summary>The end of a training step with 4 million parameters: the norm reads 17 MB, Adam reads and writes 117 MB.</summary>
public class OptimizerBenchmarks
{
    private static readonly FlatShape Shape = new(1 << 22);
    private GpuContext context = null!;
    private IAdam<float> adam = null!;
    private IGradientNorm<float> gradientNorm = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradients = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> values = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> firstMoments = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> secondMoments = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> workspace = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> norm = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> factor = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(AdamVariants<float>.Table, Shape);

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        adam = BenchmarkDevice.Create(context, AdamVariants<float>.Table, Variant);
        gradientNorm = BenchmarkDevice.Create(context, GradientNormVariants<float>.Table, Variant);
        float[] start = BenchmarkDevice.Uniform(Shape.Count, 1);
        float[] g = BenchmarkDevice.Uniform(Shape.Count, 2);
        gradients = context.Accelerator.Allocate1D(g);
        values = context.Accelerator.Allocate1D(start);
        firstMoments = context.Accelerator.Allocate1D(new float[Shape.Count]);
        secondMoments = context.Accelerator.Allocate1D(new float[Shape.Count]);
        workspace = context.Accelerator.Allocate1D<float>(gradientNorm.WorkspaceLength(Shape.Count));
        norm = context.Accelerator.Allocate1D<float>(1);
        factor = context.Accelerator.Allocate1D<float>(1);

        ClipFactor();
        Adam();
        double clip = GradientNormReference.ClipFactor(g.ToDouble(), 1);
        double[] expected = start.ToDouble();
        new AdamReference(expected, 1e-3).Step([.. g.Select(v => v * clip)]);
        BenchmarkDevice.Check("gradient-norm", factor.GetAsArray1D(), [clip], 1e-5);
        BenchmarkDevice.Check("adam", values.GetAsArray1D(), expected, 1e-6);
    }

    [Benchmark]
    public void ClipFactor()
    {
        gradientNorm.ClipFactor(context.Stream, gradients.View, workspace.View, norm.View, factor.View, maxNorm: 1);
        context.Synchronize();
    }

    [Benchmark]
    public void Adam()
    {
        adam.Step(context.Stream, gradients.View, factor.View, values.View, firstMoments.View, secondMoments.View, AdamParameters.ForStep(1, 1e-3));
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (MemoryBuffer buffer in (MemoryBuffer[])[gradients, values, firstMoments, secondMoments, workspace, norm, factor])
            buffer.Dispose();
        gradientNorm.Dispose();
        adam.Dispose();
        context.Dispose();
    }
}
