using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Simulation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>
/// Start voxels, clustering and evaluation together, on score maps that need no training: a plain flat mean
/// shift, written here, stands for the kernels.
/// </summary>
public class PickingChainTests
{
    private const int Volumes = 6;

    [TestCase(2)]
    [TestCase(3)]
    public void Pick_BallsAtTheCentres_AreFoundExactly(int radius)
    {
        EvaluationResult result = PickAndEvaluate(volume => Balls(volume, radius), new PickOptions());
        Assert.That(result.Predictions, Is.EqualTo(result.Truth));
        Assert.That(result.At(2).OneToOneF1, Is.EqualTo(1));
        // Balls on voxels are symmetric, and small numbers of halves and whole voxels sum exactly.
        Assert.That(result.DistGt, Is.EqualTo(0).Within(1e-5));
    }

    [Test]
    public void Pick_PerfectMask_IsNoGoodAtTwoVoxels()
    {
        // The paper's point, and why its numbers are quoted with F1 at radius 2: a perfect segmentation has
        // its modes in the lobes, about 4 voxels from the centre.
        EvaluationResult result = PickAndEvaluate(volume => volume.Mask, new PickOptions { MergeDistanceVoxels = 4 });
        // Seen here: 0, about 0.67 and 3.4 voxels.
        Assert.That(result.At(2).F1, Is.LessThan(0.05));
        Assert.That(result.At(4).F1, Is.InRange(0.4, 0.8));
        Assert.That(result.DistPred, Is.InRange(3.3, 4.2));
    }

    private static EvaluationResult PickAndEvaluate(Func<SandclockVolume, float[]> toMap, PickOptions options)
    {
        List<EvaluationVolume> volumes = [];
        for (int index = 0; index < Volumes; index++)
        {
            SandclockVolume volume = Sandclock.Create(SandclockOptions.Demo with { Seed = 7 }, index);
            float[] map = toMap(volume);
            StartVoxels starts = StartVoxels.Above(map, volume.Depth, volume.Height, volume.Width, options);
            float[] converged = FlatMeanShift(map, volume.Depth, volume.Height, volume.Width, starts.Positions, options);
            IReadOnlyList<Pick> picks = Clustering.Cluster(converged, starts.Scores, options);
            volumes.Add(new EvaluationVolume([.. picks.Select(p => p.Position)], volume.Centers, 18));
        }

        return Evaluator.Evaluate(volumes, [2, 4]);
    }

    private static float[] Balls(SandclockVolume volume, int radius)
    {
        float[] map = new float[volume.Mask.Length];
        for (int i = 0; i < map.Length; i++)
        {
            Position voxel = new(i / volume.Width / volume.Height, i / volume.Width % volume.Height, i % volume.Width);
            if (volume.Centers.Any(c => c.DistanceTo(voxel) <= radius))
                map[i] = 1;
        }

        return map;
    }

    private static float[] FlatMeanShift(float[] map, int depth, int height, int width, float[] starts, PickOptions options)
    {
        double b = options.BandwidthVoxels;
        float[] converged = new float[starts.Length];
        for (int i = 0; i < starts.Length; i += 3)
        {
            double pz = starts[i];
            double py = starts[i + 1];
            double px = starts[i + 2];
            for (int iteration = 0; iteration < options.MaximumIterations; iteration++)
            {
                double w = 0;
                double sz = 0;
                double sy = 0;
                double sx = 0;
                for (int z = Math.Max(0, (int)(pz - b)); z < Math.Min(depth, pz + b); z++)
                {
                    for (int y = Math.Max(0, (int)(py - b)); y < Math.Min(height, py + b); y++)
                    {
                        for (int x = Math.Max(0, (int)(px - b)); x < Math.Min(width, px + b); x++)
                        {
                            double squared = (z - pz) * (z - pz) + (y - py) * (y - py) + (x - px) * (x - px);
                            double s = map[(z * height + y) * width + x];
                            if (s == 0 || squared >= b * b)
                                continue;
                            w += s;
                            sz += s * (z - pz);
                            sy += s * (y - py);
                            sx += s * (x - px);
                        }
                    }
                }

                pz += sz / w;
                py += sy / w;
                px += sx / w;
                if ((sz * sz + sy * sy + sx * sx) / (w * w) < options.ConvergenceVoxels * options.ConvergenceVoxels)
                    break;
            }

            (converged[i], converged[i + 1], converged[i + 2]) = ((float)pz, (float)py, (float)px);
        }

        return converged;
    }
}
