using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;

// Where a voxel crosses the rim of a ball, a loss of several iterations jumps if the weighting is not 0 there
// (Flat), and bends if it is (Epanechnikov falls to 0). A finite difference over a step that has a crossing
// in it tells of the jump, not of the gradient. Shorter steps have fewer crossings in them.
using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu });
Extent size = new(12, 12, 12);
Random random = new(1);
double[] scores = [.. Enumerable.Range(0, (int)size.Voxels).Select(_ => random.NextDouble())];
double[] seeds = [.. Enumerable.Range(0, 8 * 3).Select(_ => 3 + 6 * random.NextDouble())];
double[] steps = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5];
bool asExpected = true;
foreach (Weighting weighting in new[] { Weighting.Flat, Weighting.Epanechnikov })
{
    foreach (int iterations in new[] { 1, 5 })
    {
        using MeanShiftLoss<double> loss = new(context, new MeanShiftOptions
        {
            Weighting = weighting,
            Iterations = iterations,
            BandwidthVoxels = 3,
        });
        double[] gradient = new double[scores.Length];
        Evaluate(loss, gradient);
        int[] probes = [.. Enumerable.Range(0, scores.Length).Where(i => gradient[i] != 0).OrderBy(_ => random.Next()).Take(100)];
        double largest = gradient.Max(Math.Abs);
        List<double> shares = [];
        foreach (double step in steps)
        {
            int disagree = 0;
            foreach (int i in probes)
            {
                double before = scores[i];
                scores[i] = before + step;
                double above = Evaluate(loss, []);
                scores[i] = before - step;
                double below = Evaluate(loss, []);
                scores[i] = before;
                disagree += Math.Abs((above - below) / (2 * step) - gradient[i]) > 0.01 * largest ? 1 : 0;
            }

            shares.Add((double)disagree / probes.Length);
        }

        Console.WriteLine($"{weighting,-13}{iterations,2} "
            + $"iterations:{string.Concat(steps.Zip(shares, (s, d) => $"  step {s:0e0}: {d,5:0 %}"))}");
        asExpected &= iterations > 1 && weighting == Weighting.Flat ? shares[0] > 0.1 && shares[^1] < shares[0] : shares[^1] == 0;
    }
}

return asExpected ? 0 : 1;

double Evaluate(MeanShiftLoss<double> loss, Span<double> gradient) => loss.Evaluate(new MeanShiftSpans<double>
{
    Size = size,
    Scores = scores,
    Seeds = seeds,
    Centers = [4, 5, 6, 8, 7, 5],
    GradScores = gradient,
});
