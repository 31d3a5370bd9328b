using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.ConvTranspose3d;

namespace MeanShiftGpu.Benchmarks;

/// <summary>
/// The passes of the transposed 3D convolution on the layers of the published network at a patch of 56³; GFLOP/s are
/// <see cref="ConvTranspose3dShape.Operations"/> by the time.
/// </summary>
public class ConvTranspose3dBenchmarks
{
    private GpuContext context = null!;
    private IConvTranspose3d<float> launcher = null!;
    private Buffers layer = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    [ParamsSource(nameof(Layers))]
    public Layer Shape { get; set; } = null!;

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(ConvTranspose3dVariants<float>.Table, new Layer(14, 64, 64).ToShape());

    public static IEnumerable<Layer> Layers =>
    [
        new(14, 64, 64),
        new(28, 48, 48),
    ];

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, ConvTranspose3dVariants<float>.Table, Variant);
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
        launcher.BackwardInput(context.Stream, layer.GradOutput.View, layer.Weight.View, layer.GradInput.View, layer.Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void BackwardWeight()
    {
        launcher.BackwardWeight(context.Stream, layer.Input.View, layer.GradOutput.View, layer.GradWeight.View, layer.GradBias.View, layer.Shape);
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
        ConvTranspose3dShape shape = layer.Shape;
        double[] input = layer.Input.GetAsArray1D().ToDouble();
        double[] weight = layer.Weight.GetAsArray1D().ToDouble();
        double[] gradOutput = layer.GradOutput.GetAsArray1D().ToDouble();
        double[] output = new double[shape.OutputVoxels * shape.OutputChannels];
        double[] gradInput = new double[input.Length];
        double[] gradWeight = new double[weight.Length];
        double[] gradBias = new double[shape.OutputChannels];
        ConvTranspose3dReference.Forward(input, weight, layer.Bias.GetAsArray1D().ToDouble(), output, shape);
        ConvTranspose3dReference.BackwardInput(gradOutput, weight, gradInput, shape);
        ConvTranspose3dReference.BackwardWeight(input, gradOutput, gradWeight, gradBias, shape);
        double tolerance = BenchmarkDevice.Tolerance(context, Variant);
        BenchmarkDevice.Check("conv-transpose3d output", layer.Output.GetAsArray1D(), output, tolerance);
        BenchmarkDevice.Check("conv-transpose3d gradInput", layer.GradInput.GetAsArray1D(), gradInput, tolerance);
        BenchmarkDevice.Check("conv-transpose3d gradWeight", layer.GradWeight.GetAsArray1D(), gradWeight, tolerance);
        BenchmarkDevice.Check("conv-transpose3d gradBias", layer.GradBias.GetAsArray1D(), gradBias, tolerance);
    }

    /// <summary>A layer on a cube of Edge³ input voxels.</summary>
    public sealed record Layer(int Edge, int InputChannels, int OutputChannels)
    {
        public ConvTranspose3dShape ToShape() => new(1, Edge, Edge, Edge, InputChannels, OutputChannels, InputChannels, OutputChannels);

        public override string ToString() => $"{InputChannels} to {OutputChannels} at {Edge}";
    }

    private sealed class Buffers(GpuContext context, ConvTranspose3dShape shape) : IDisposable
    {
        public ConvTranspose3dShape Shape { get; } = shape;

        public MemoryBuffer1D<float, Stride1D.Dense> Input { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.InputVoxels * shape.InputChannels, 1));

        public MemoryBuffer1D<float, Stride1D.Dense> Weight { get; } = context.Accelerator.Allocate1D<float>([.. BenchmarkDevice.Uniform(shape.WeightLength, 2).Select(v => v - 0.5f)]);

        public MemoryBuffer1D<float, Stride1D.Dense> Bias { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.OutputChannels, 3));

        public MemoryBuffer1D<float, Stride1D.Dense> GradOutput { get; } = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(shape.OutputVoxels * shape.OutputChannels, 4));

        public MemoryBuffer1D<float, Stride1D.Dense> Output { get; } = context.Accelerator.Allocate1D<float>(shape.OutputVoxels * shape.OutputChannels);

        public MemoryBuffer1D<float, Stride1D.Dense> GradInput { get; } = context.Accelerator.Allocate1D<float>(shape.InputVoxels * shape.InputChannels);

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
