using BenchmarkDotNet.Attributes;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Ops.Dice;

namespace MeanShiftGpu.Benchmarks;

/// <summary>The Dice loss of one map of 56³ voxels: 1.4 MB read forward, 1.4 MB read or written backward.</summary>
public class DiceBenchmarks
{
    private static readonly FlatShape Shape = new(56 * 56 * 56);
    private GpuContext context = null!;
    private IDice<float> launcher = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> prediction = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> target = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> workspace = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> sums = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> loss = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradLoss = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> gradient = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(DiceVariants<float>.Table, Shape);

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        launcher = BenchmarkDevice.Create(context, DiceVariants<float>.Table, Variant);
        float[] p = [.. BenchmarkDevice.Uniform(Shape.Count, 1).Select(static v => 0.02f + 0.96f * v)];
        float[] t = [.. BenchmarkDevice.Uniform(Shape.Count, 2).Select(static v => v > 0.9f ? 1f : 0f)];
        prediction = context.Accelerator.Allocate1D(p);
        target = context.Accelerator.Allocate1D(t);
        workspace = context.Accelerator.Allocate1D<float>(launcher.WorkspaceLength(Shape));
        sums = context.Accelerator.Allocate1D<float>(2);
        loss = context.Accelerator.Allocate1D<float>(1);
        gradLoss = context.Accelerator.Allocate1D(new float[] { 1 });
        gradient = context.Accelerator.Allocate1D<float>(Shape.Count);

        Forward();
        Backward();
        BenchmarkDevice.Check("loss", loss.GetAsArray1D(), [DiceReference.Forward(p.ToDouble(), t.ToDouble())], 1e-5);
        BenchmarkDevice.Check("gradient", gradient.GetAsArray1D(), DiceReference.Backward(p.ToDouble(), t.ToDouble()), 1e-5);
    }

    [Benchmark]
    public void Forward()
    {
        launcher.Forward(context.Stream, prediction.View, target.View, workspace.View, sums.View, loss.View, Shape);
        context.Synchronize();
    }

    [Benchmark]
    public void Backward()
    {
        launcher.Backward(context.Stream, target.View, sums.View, gradLoss.View, gradient.View, Shape);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (MemoryBuffer buffer in (MemoryBuffer[])[prediction, target, workspace, sums, loss, gradLoss, gradient])
            buffer.Dispose();
        launcher.Dispose();
        context.Dispose();
    }
}
