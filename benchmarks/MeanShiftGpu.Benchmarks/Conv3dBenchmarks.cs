using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.Conv3d;

namespace MeanShiftGpu.Benchmarks;

/// <summary>
/// The passes of the 3D convolution on the layers of the published network at a patch of 56³; GFLOP/s are
/// <see cref="Conv3dShape.Operations"/> by the time.
/// </summary>
public class Conv3dBenchmarks
{
    private GpuContext context = null!;
    private IConv3d<float> launcher = null!;
    private Buffers layer = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    [ParamsSource(nameof(Layers))]
    public Layer Shape { get; set; } = null!;

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(Conv3dVariants<float>.Table, new Layer(56, 32, 32).ToShape());

    public static IEnumerable<Layer> Layers =>
    [
        new(56, 1, 32),
        new(56, 32, 32),
        new(56, 48, 48),
        new(56, 80, 32),
        new(28, 32, 48),
        new(28, 48, 48),
        new(28, 64, 64),
        new(28, 112, 48),
        new(14, 48, 64),
        new(14, 64, 64),
    ];

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, Conv3dVariants<float>.Table, Variant);
        layer = new Buffers(context, (Shape with { Edge = 4 }).ToShape());
        Check();
        layer.Dispose();
        layer = new Buffers(context, Shape.ToShape());
    }

    [Benchmark]
    public void Forward()
    {
        launcher.Forward(context.Stream, layer.Input.View, layer.Weight.View, layer.Bias.View, layer.Output.View, layer.Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void BackwardInput()
    {
        launcher.BackwardInput(context.Stream, layer.GradOutput.View, layer.Output.View, layer.Weight.View, layer.GradInput.View, layer.Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void BackwardWeight()
    {
        launcher.BackwardWeight(context.Stream, layer.Input.View, layer.GradOutput.View, layer.Output.View, layer.GradWeight.View, layer.GradBias.View, layer.Shape);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        layer.Dispose();
        launcher.Dispose();
        context.Dispose();
    }

    // Every pass against the reference, in a small volume with the layer's channels.
    private void Check()
    {
        Forward();
        BackwardInput();
        BackwardWeight();
        Conv3dShape shape = layer.Shape;
        double[] input = layer.Input.GetAsArray1D().ToDouble();
        double[] weight = layer.Weight.GetAsArray1D().ToDouble();
        double[] gradOutput = layer.GradOutput.GetAsArray1D().ToDouble();
        double[] output = new double[shape.Voxels * shape.OutputChannels];
        double[] gradInput = new double[input.Length];
        double[] gradWeight = new double[weight.Length];
        double[] gradBias = new double[shape.OutputChannels];
        Conv3dReference.Forward(input, weight, layer.Bias.GetAsArray1D().ToDouble(), output, shape);
        Conv3dReference.BackwardInput(gradOutput, output, weight, gradInput, shape);
        Conv3dReference.BackwardWeight(input, gradOutput, output, gradWeight, gradBias, shape);
        double tolerance = BenchmarkDevice.Tolerance(context, Variant);
        BenchmarkDevice.Check("conv3d output", layer.Output.GetAsArray1D(), output, tolerance);
        BenchmarkDevice.Check("conv3d gradInput", layer.GradInput.GetAsArray1D(), gradInput, tolerance);
        BenchmarkDevice.Check("conv3d gradWeight", layer.GradWeight.GetAsArray1D(), gradWeight, tolerance);
        BenchmarkDevice.Check("conv3d gradBias", layer.GradBias.GetAsArray1D(), gradBias, tolerance);
    }

    /// <summary>A layer with kernel 3³ and ReLU on a cube of Edge³ voxels.</summary>
    public sealed record Layer(int Edge, int InputChannels, int OutputChannels)
    {
        public Conv3dShape ToShape() => new(1, Edge, Edge, Edge, InputChannels, OutputChannels, 3, Activation.Relu, InputChannels, OutputChannels);

        public override string ToString() => $"{InputChannels} to {OutputChannels} at {Edge}";
    }

    private sealed class Buffers(GpuContext context, Conv3dShape shape) : IDisposable
    {
        public Conv3dShape Shape { get; } = shape;

        public MemoryBuffer1D<float, Stride1D.Dense> Input { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.Voxels * shape.InputChannels, 1));

        // Around zero, so that ReLU masks about half.
        public MemoryBuffer1D<float, Stride1D.Dense> Weight { get; } = context.Accelerator.Allocate1D<float>([.. BenchmarkDevice.Uniform(shape.WeightLength, 2).Select(v => v - 0.5f)]);

        public MemoryBuffer1D<float, Stride1D.Dense> Bias { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.OutputChannels, 3));

        public MemoryBuffer1D<float, Stride1D.Dense> GradOutput { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.Voxels * shape.OutputChannels, 4));

        public MemoryBuffer1D<float, Stride1D.Dense> Output { get; } = context.Accelerator.Allocate1D<float>(shape.Voxels * shape.OutputChannels);

        public MemoryBuffer1D<float, Stride1D.Dense> GradInput { get; } = context.Accelerator.Allocate1D<float>(shape.Voxels * shape.InputChannels);

        public MemoryBuffer1D<float, Stride1D.Dense> GradWeight { get; } = context.Accelerator.Allocate1D(new float[shape.WeightLength]);

        public MemoryBuffer1D<float, Stride1D.Dense> GradBias { get; } = context.Accelerator.Allocate1D(new float[shape.OutputChannels]);

        public void Dispose()
        {
            GradBias.Dispose();
            GradWeight.Dispose();
            GradInput.Dispose();
            Output.Dispose();
            GradOutput.Dispose();
            Bias.Dispose();
            Weight.Dispose();
            Input.Dispose();
        }
    }
}
