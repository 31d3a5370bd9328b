using BenchmarkDotNet.Attributes;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;

namespace MeanShiftGpu.Benchmarks;

/// <summary>
/// One mean-shift loss with its gradient at the published size: 56³ voxels, 256 seeds, bandwidth 4, 10 iterations; and the
/// convergence of 20 000 points, as picking does it.
/// </summary>
public class MeanShiftBenchmarks
{
    private const int Edge = 56;
    private const int Points = 20_000;
    private static readonly MeanShiftShape Shape = new MeanShiftOptions().Shape(1, Edge, Edge, Edge);
    private GpuContext context = null!;
    private IMeanShift<float> launcher = null!;
    private MeanShiftLoss<float> loss = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> scores = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> gradScores = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> centers = null!;
    private MemoryBuffer1D<int, ILGPU.Stride1D.Dense> offsets = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> lossValue = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> starts = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> converged = null!;
    private MemoryBuffer1D<int, ILGPU.Stride1D.Dense> iterations = null!;
    private MemoryBuffer1D<float, ILGPU.Stride1D.Dense> support = null!;
    private MemoryBuffer1D<byte, ILGPU.Stride1D.Dense> workspace = null!;

    [ParamsSource(nameof(Variants))]
    public string Variant { get; set; } = "";

    [Params(Weighting.Flat, Weighting.Epanechnikov, Weighting.Gaussian)]
    public Weighting Weighting { get; set; }

    public static IEnumerable<string> Variants => BenchmarkDevice.Variants(MeanShiftVariants<float>.Table, Shape);

    private MeanShiftOptions Options => new() { Weighting = Weighting };

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create(new GpuContextOptions { Variant = Variant });
        launcher = BenchmarkDevice.Create(context, MeanShiftVariants<float>.Table, Variant);
        CheckAgainstReference();

        loss = new MeanShiftLoss<float>(context, Options);
        scores = context.Accelerator.Allocate1D(BenchmarkDevice.Uniform(Shape.ItemVoxels, 1));
        gradScores = context.Accelerator.Allocate1D<float>(Shape.ItemVoxels);
        centers = context.Accelerator.Allocate1D([.. BenchmarkDevice.Uniform(8 * 3, 2).Select(static v => 8 + v * (Edge - 16))]);
        offsets = context.Accelerator.Allocate1D([0, 8]);
        lossValue = context.Accelerator.Allocate1D<float>(1);
        starts = context.Accelerator.Allocate1D([.. BenchmarkDevice.Uniform(Points * 3, 3).Select(static v => v * (Edge - 1))]);
        converged = context.Accelerator.Allocate1D<float>(Points * 3);
        iterations = context.Accelerator.Allocate1D<int>(Points);
        support = context.Accelerator.Allocate1D<float>(Points);
        workspace = context.Accelerator.Allocate1D<byte>(Math.Max(1, launcher.WorkspaceBytes(Shape, Options.Parameters, centers: 0)));
    }

    [Benchmark]
    public void ForwardBackward()
    {
        loss.Evaluate(scores.View, centers.View, offsets.View, lossValue.View, gradScores.View, Shape, Options.Sampling(1, 1));
        context.Synchronize();
    }

    [Benchmark(OperationsPerInvoke = Points)]
    public void ConvergePerPoint()
    {
        launcher.Converge(context.Stream, scores.View, starts.View, converged.View, iterations.View, support.View, workspace.View, Shape, Options.Parameters, 0.01);
        context.Synchronize();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (IDisposable owned in new IDisposable[] { workspace, support, iterations, converged, starts, lossValue, offsets, centers, gradScores, scores, loss, launcher, context })
            owned.Dispose();
    }

    // On a small volume, for the reference walks every voxel for every seed.
    private void CheckAgainstReference()
    {
        const int edge = 17;
        MeanShiftOptions small = Options with { SeedCount = 8, SeedRadiusVoxels = 5 };
        float[] map = BenchmarkDevice.Uniform(edge * edge * edge, 4);
        float[] center = [8, 8.5f, 7.5f];
        float[] gradient = new float[map.Length];
        using MeanShiftLoss<float> evaluated = new(context, small);
        float value = evaluated.Evaluate(map, edge, edge, edge, center, gradient, seed: 1);
        float[] paths = new float[evaluated.Trajectory.Length];
        evaluated.Trajectory.CopyToCPU(context.Stream, paths.AsSpan());
        context.Synchronize();
        MeanShiftReferenceResult expected = new MeanShiftReference(edge, edge, edge, small)
            .Evaluate(map.ToDouble(), paths[..(small.SeedCount * 3)].ToDouble(), center.ToDouble());

        // A voxel at a ball's very edge may fall either way in float32, which a jump at the rim makes visible.
        double tolerance = expected.EdgeDistanceVoxels > 1e-4 ? 1e-5 : 1e-2;
        BenchmarkDevice.Check("mean-shift loss", [value], [expected.Loss], tolerance);
        BenchmarkDevice.Check("mean-shift gradient", gradient, expected.GradScores, tolerance);
    }
}
