using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Ops.SigmoidHead;

namespace MeanShiftGpu.Benchmarks;

/// <summary>The head on a published patch, [1, 56, 56, 56, 32] to one map or eight: each pass reads or writes 22 MB of activations.</summary>
public class SigmoidHeadBenchmarks
{
    private GpuContext context = null!;
    private ISigmoidHead<float> launcher = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> input = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> weight = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> bias = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> probability = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> upstream = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradInput = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradWeight = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradBias = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> workspace = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    [Params(1, 8)]
    public int Outputs { get; set; } = 1;

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(SigmoidHeadVariants<float>.Table, new SigmoidHeadBenchmarks().Shape);

    private SigmoidHeadShape Shape => new(56 * 56 * 56, 32, Outputs, 32);

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, SigmoidHeadVariants<float>.Table, Variant);
        float[] x = BenchmarkDevice.Uniform(Shape.Voxels * Shape.InputChannels, 1);
        float[] w = [.. BenchmarkDevice.Uniform(Shape.WeightLength, 2).Select(v => v - 0.5f)];
        float[] g = BenchmarkDevice.Uniform(Shape.Voxels * Shape.Outputs, 3);
        input = context.Accelerator.Allocate1D(x);
        weight = context.Accelerator.Allocate1D(w);
        bias = context.Accelerator.Allocate1D(new float[Shape.Outputs]);
        probability = context.Accelerator.Allocate1D(g);
        upstream = context.Accelerator.Allocate1D(g);
        gradInput = context.Accelerator.Allocate1D(x);
        gradWeight = context.Accelerator.Allocate1D(new float[Shape.WeightLength]);
        gradBias = context.Accelerator.Allocate1D(new float[Shape.Outputs]);
        workspace = context.Accelerator.Allocate1D<float>(launcher.WorkspaceLength(Shape));

        double[] p = SigmoidHeadReference.Forward(x.ToDouble(), w.ToDouble(), new double[Shape.Outputs], Shape.InputChannels, Shape.Outputs);
        (double[] gx, double[] gw, double[] gb) = SigmoidHeadReference.Backward(x.ToDouble(), w.ToDouble(), p, g.ToDouble(), Shape.InputChannels, Shape.Outputs);
        Forward();
        BackwardInput();
        BackwardWeight();
        double tolerance = BenchmarkDevice.Tolerance(context, Variant);
        BenchmarkDevice.Check("sigmoid-head forward", probability.GetAsArray1D(), p, tolerance);
        BenchmarkDevice.Check("sigmoid-head gradInput", gradInput.GetAsArray1D(), gx, tolerance);
        BenchmarkDevice.Check("sigmoid-head gradWeight", gradWeight.GetAsArray1D(), gw, tolerance);
        BenchmarkDevice.Check("sigmoid-head gradBias", gradBias.GetAsArray1D(), gb, tolerance);
    }

    [Benchmark]
    public void Forward()
    {
        launcher.Forward(context.Stream, input.View, weight.View, bias.View, probability.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void BackwardInput()
    {
        launcher.BackwardInput(context.Stream, upstream.View, probability.View, weight.View, gradInput.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void BackwardWeight()
    {
        launcher.BackwardWeight(context.Stream, input.View, upstream.View, probability.View, workspace.View, gradWeight.View, gradBias.View, Shape);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (MemoryBuffer buffer in (MemoryBuffer[])[input, weight, bias, probability, upstream, gradInput, gradWeight, gradBias, workspace])
            buffer.Dispose();
        launcher.Dispose();
        context.Dispose();
    }
}
