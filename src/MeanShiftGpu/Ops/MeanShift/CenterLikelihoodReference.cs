using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>The soft likelihood at the centres of one item in float64, slow and obvious.</summary>
/// <param name="size">Extents of the map.</param>
/// <param name="softScore">τ.</param>
public sealed class CenterLikelihoodReference(Extent size, double softScore)
{
    /// <summary>The mean over the centres of log(1 + τ/s(c)).</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="centers">[M, 3], (z, y, x) in voxels, inside the map.</param>
    /// <exception cref="ArgumentException">The scores do not fit the size, or a centre has not three
    /// coordinates.</exception>
    public double Forward(double[] scores, double[] centers)
    {
        Check("Forward", scores, centers);
        return Enumerable.Range(0, centers.Length / 3).Average(m => Math.Log(1 + softScore / ScoreAt(scores, centers, m)));
    }

    /// <summary>The gradient of the scores, by walking every voxel for every centre.</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="centers">[M, 3].</param>
    /// <exception cref="ArgumentException">The scores do not fit the size, or a centre has not three
    /// coordinates.</exception>
    public double[] Backward(double[] scores, double[] centers)
    {
        Check("Backward", scores, centers);
        int count = centers.Length / 3;
        double[] gradient = new double[scores.Length];
        for (int m = 0; m < count; m++)
        {
            double score = ScoreAt(scores, centers, m);
            // d/ds log(1 + τ/s) = −τ/s² / (1 + τ/s).
            double slope = -softScore / (score * score) / (1 + softScore / score) / count;
            for (int voxel = 0; voxel < gradient.Length; voxel++)
                gradient[voxel] += slope * Weight(voxel, centers, m);
        }

        return gradient;
    }

    private void Check(string pass, double[] scores, double[] centers)
    {
        ReferenceOperands operands = new($"CenterLikelihoodReference.{pass}");
        operands.Require(scores, size.Voxels, nameof(scores));
        operands.RequireMultiple(centers, 3, nameof(centers));
    }

    private double ScoreAt(double[] scores, double[] centers, int center)
        => Enumerable.Range(0, scores.Length).Sum(voxel => scores[voxel] * Weight(voxel, centers, center));

    private double Weight(int voxel, double[] centers, int center)
    {
        (int z, int y, int x) = (voxel / (size.Height * size.Width), voxel / size.Width % size.Height, voxel % size.Width);
        double Along(int axis, int at) => Math.Max(0, 1 - Math.Abs(centers[3 * center + axis] - at));
        return Along(0, z) * Along(1, y) * Along(2, x);
    }
}
