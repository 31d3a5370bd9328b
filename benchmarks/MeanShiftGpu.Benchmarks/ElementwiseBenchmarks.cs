using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Benchmarks;

/// <summary>Adding the gradient of a skip connection at a published patch's full size, [1, 56, 56, 56, 32] into 64 channels: 67 MB moved.</summary>
public class ElementwiseBenchmarks
{
    private static readonly ElementwiseShape Shape = new(56 * 56 * 56, 32, 32, 64);
    private GpuContext context = null!;
    private IElementwise<float> launcher = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> source = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> target = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> weight = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(ElementwiseVariants<float>.Table, Shape);

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, ElementwiseVariants<float>.Table, Variant);
        float[] values = BenchmarkDevice.Uniform(Shape.Voxels * Shape.Channels, 1);
        source = context.Accelerator.Allocate1D(values);
        target = context.Accelerator.Allocate1D<float>(Shape.Voxels * Shape.TargetPitch);

        Fill();
        Add();
        float[] actual = target.GetAsArray1D();
        double[] expected = ElementwiseReference.Add(values.ToDouble(), [.. Enumerable.Repeat(1.0, values.Length)]);
        float[] slice = [.. Enumerable.Range(0, values.Length).Select(i => actual[i / Shape.Channels * Shape.TargetPitch + i % Shape.Channels])];
        BenchmarkDevice.Check("elementwise add", slice, expected, 1e-7);

        float[] weights = BenchmarkDevice.Uniform(Shape.Voxels, 2);
        weight = context.Accelerator.Allocate1D(weights);
        Mask();
        actual = target.GetAsArray1D();
        slice = [.. Enumerable.Range(0, values.Length).Select(i => actual[i / Shape.Channels * Shape.TargetPitch + i % Shape.Channels])];
        BenchmarkDevice.Check("elementwise mask", slice, ElementwiseReference.Mask(values.ToDouble(), weights.ToDouble(), Shape.Channels), 1e-7);
    }

    [Benchmark]
    public void Add()
    {
        launcher.Add(context.Stream, source.View, target.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void Mask()
    {
        launcher.Mask(context.Stream, source.View, weight.View, target.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void Fill()
    {
        launcher.Fill(context.Stream, target.View, 1);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        weight.Dispose();
        target.Dispose();
        source.Dispose();
        launcher.Dispose();
        context.Dispose();
    }
}
