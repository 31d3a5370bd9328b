using BenchmarkDotNet.Attributes;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops.MaxPool3d;

namespace MeanShiftGpu.Benchmarks;

/// <summary>Max pooling of a published patch, [1, 56, 56, 56, 32]: 25 MB read and written forward, 48 MB backward.</summary>
public class MaxPool3dBenchmarks
{
    private static readonly MaxPool3dShape Shape = new(1, 56, 56, 56, 32, 32, 32);
    private GpuContext context = null!;
    private IMaxPool3d<float> launcher = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> input = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> output = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> gradInput = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(MaxPool3dVariants<float>.Table, Shape);

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, MaxPool3dVariants<float>.Table, Variant);
        float[] values = BenchmarkDevice.Uniform(Shape.InputVoxels * Shape.Channels, 1);
        input = context.Accelerator.Allocate1D(values);
        output = context.Accelerator.Allocate1D<float>(values.Length / 8);
        gradInput = context.Accelerator.Allocate1D<float>(values.Length);

        Forward();
        double[] expected = MaxPool3dReference.Forward(values.ToDouble(), Shape.Batch, Shape.Depth, Shape.Height, Shape.Width, Shape.Channels);
        BenchmarkDevice.Check("max-pool3d forward", output.GetAsArray1D(), expected, 0);
        Backward();
        expected = MaxPool3dReference.Backward(values.ToDouble(), expected, Shape.Batch, Shape.Depth, Shape.Height, Shape.Width, Shape.Channels);
        BenchmarkDevice.Check("max-pool3d backward", gradInput.GetAsArray1D(), expected, 0);
    }

    [Benchmark]
    public void Forward()
    {
        launcher.Forward(context.Stream, input.View, output.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void Backward()
    {
        launcher.Backward(context.Stream, input.View, output.View, gradInput.View, Shape);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        gradInput.Dispose();
        output.Dispose();
        input.Dispose();
        launcher.Dispose();
        context.Dispose();
    }
}
