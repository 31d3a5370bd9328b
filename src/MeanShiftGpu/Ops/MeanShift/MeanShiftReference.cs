using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>Which voxels lay in the ball of which seed at which iteration.</summary>
/// <param name="iterations">T.</param>
/// <param name="seeds">S.</param>
/// <param name="voxels">D·H·W.</param>
public sealed class BallMembership(int iterations, int seeds, long voxels)
{
    private readonly bool[] inside = new bool[iterations * seeds * voxels];

    internal long Length => inside.LongLength;

    /// <summary>Whether a voxel counts.</summary>
    public bool this[int iteration, int seed, long voxel]
    {
        get => inside[(iteration * seeds + seed) * voxels + voxel];
        set => inside[(iteration * seeds + seed) * voxels + voxel] = value;
    }

    /// <summary>
    /// How many (iteration, seed, voxel) differ: voxels that crossed a ball's edge between two score maps.
    /// </summary>
    public int Crossings(BallMembership other)
    {
        ArgumentNullException.ThrowIfNull(other);
        int count = 0;
        for (int i = 0; i < inside.Length; i++)
        {
            if (inside[i] != other.inside[i])
                count++;
        }

        return count;
    }
}

/// <summary>The result of <see cref="MeanShiftReference.Evaluate"/>.</summary>
/// <param name="Trajectory">[T + 1, S, 3].</param>
/// <param name="Loss">The centre loss of the end points; 0 without centres.</param>
/// <param name="GradScores">[D, H, W].</param>
/// <param name="Membership">The balls of every iteration.</param>
/// <param name="EdgeDistanceVoxels">
/// The smallest distance of any voxel from any ball's edge, exact hits of the seeds' own first balls left
/// out. Where it is below a real type's rounding, that type may take other voxels.
/// </param>
public sealed record MeanShiftReferenceResult(
    double[] Trajectory,
    double Loss,
    double[] GradScores,
    BallMembership Membership,
    double EdgeDistanceVoxels);

/// <summary>
/// The mean-shift loss of one volume in float64: every formula as <see cref="IMeanShift{T}"/> and the kernels
/// of MeanShiftDirect.cs state it, every sum over every voxel. Slow and obvious; shares nothing with the
/// kernels.
/// </summary>
public sealed class MeanShiftReference
{
    private readonly int depth;
    private readonly int height;
    private readonly int width;
    private readonly double bandwidth;
    private readonly double floor;
    private readonly int iterations;
    private readonly Weighting weighting;
    private readonly CenterDistance distance;
    private double edgeDistance;

    /// <summary>Sets the extents; of the options, what concerns seeds is not used.</summary>
    public MeanShiftReference(int depth, int height, int width, MeanShiftOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        this.depth = depth;
        this.height = height;
        this.width = width;
        bandwidth = options.BandwidthVoxels;
        floor = options.ScoreFloor;
        iterations = options.Iterations;
        weighting = options.Weighting;
        distance = options.Distance;
    }

    private long Voxels => (long)depth * height * width;

    /// <summary>Trajectory, loss and gradient.</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="seeds">[S, 3].</param>
    /// <param name="centers">[M, 3].</param>
    /// <param name="frozen">Balls to use instead of the ones that the trajectory itself gives; null for its
    /// own.</param>
    /// <param name="gradLoss">Upstream gradient.</param>
    /// <exception cref="ArgumentException">The scores do not fit the extents, a seed or centre has not three
    /// coordinates, or the balls are of others.</exception>
    public MeanShiftReferenceResult Evaluate(
        double[] scores, double[] seeds, double[] centers, BallMembership? frozen = null, double gradLoss = 1)
    {
        ReferenceOperands operands = new("MeanShiftReference.Evaluate");
        operands.Require(scores, Voxels, nameof(scores));
        operands.RequireMultiple(seeds, 3, nameof(seeds));
        operands.RequireMultiple(centers, 3, nameof(centers));
        edgeDistance = double.PositiveInfinity;
        int seedCount = seeds.Length / 3;
        if (frozen is not null && frozen.Length != iterations * seedCount * Voxels)
            throw new ArgumentException($"MeanShiftReference.Evaluate: the balls hold {frozen.Length} voxels, expected those of "
                + $"{iterations} iterations, {seedCount} seeds and {Voxels} voxels.", nameof(frozen));
        BallMembership membership = frozen ?? new BallMembership(iterations, seedCount, Voxels);
        double[] trajectory = Trajectory(scores, seeds, membership, decide: frozen is null);
        double[] gradPositions = new double[seeds.Length];
        double loss = CenterLoss(trajectory[^seeds.Length..], centers, distance, gradPositions);
        for (int i = 0; i < gradPositions.Length; i++)
            gradPositions[i] *= gradLoss;
        double[] gradScores = Backward(scores, trajectory, gradPositions, membership);
        return new MeanShiftReferenceResult(trajectory, loss, gradScores, membership, edgeDistance);
    }

    /// <summary>
    /// Shifts a point until a shift is shorter than the tolerance, at most Iterations times: end point,
    /// shifts done and W of the last.
    /// </summary>
    /// <exception cref="ArgumentException">The scores do not fit the extents, or the position has not three
    /// coordinates.</exception>
    public (double[] Position, int Iterations, double Support) Converge(
        double[] scores, double[] position, double toleranceVoxels)
    {
        ReferenceOperands operands = new("MeanShiftReference.Converge");
        operands.Require(scores, Voxels, nameof(scores));
        operands.Require(position, 3, nameof(position));
        double[] p = [.. position];
        double support = 0;
        for (int t = 1; t <= iterations; t++)
        {
            double[] moment = new double[3];
            support = 0;
            for (long q = 0; q < Voxels; q++)
            {
                double[] offset = Offset(q, p);
                if (Norm(offset) < bandwidth)
                {
                    double m = (scores[q] + floor) * Weight(Norm(offset));
                    support += m;
                    Add(moment, m, offset);
                }
            }

            if (support == 0)
                return (p, t, support);
            Add(p, 1 / support, moment);
            if (Norm(moment) / support < toleranceVoxels)
                return (p, t, support);
        }

        return (p, iterations, support);
    }

    /// <summary>
    /// Mean over centres of the distance to the nearest point, plus mean over points of the distance to the
    /// nearest centre.
    /// </summary>
    /// <param name="positions">[S, 3].</param>
    /// <param name="centers">[M, 3].</param>
    /// <param name="distance">Euclidean or squared.</param>
    /// <param name="gradPositions">[S, 3], added to.</param>
    /// <exception cref="ArgumentException">A position or centre has not three coordinates, or there are not
    /// as many gradients.</exception>
    public static double CenterLoss(double[] positions, double[] centers, CenterDistance distance, double[] gradPositions)
    {
        ReferenceOperands operands = new("MeanShiftReference.CenterLoss");
        operands.RequireMultiple(positions, 3, nameof(positions));
        operands.RequireMultiple(centers, 3, nameof(centers));
        operands.Require(gradPositions, positions.Length, nameof(gradPositions));
        int pointCount = positions.Length / 3;
        int centerCount = centers.Length / 3;
        if (centerCount == 0)
            return 0;
        double loss = 0;
        for (int c = 0; c < centerCount; c++)
        {
            int nearest = Enumerable.Range(0, pointCount).MinBy(s => Norm(Difference(positions, s, centers, c)));
            loss += AddPair(nearest, c, 1.0 / centerCount);
        }

        for (int s = 0; s < pointCount; s++)
        {
            int nearest = Enumerable.Range(0, centerCount).MinBy(c => Norm(Difference(positions, s, centers, c)));
            loss += AddPair(s, nearest, 1.0 / pointCount);
        }

        return loss;

        double AddPair(int s, int c, double share)
        {
            double[] difference = Difference(positions, s, centers, c);
            double length = Norm(difference);
            (double value, double slope) = distance switch
            {
                CenterDistance.Euclidean => (length, length == 0 ? 0 : 1 / length),
                CenterDistance.Squared => (length * length, 2),
                _ => throw UnknownValue.Of(distance),
            };
            for (int axis = 0; axis < 3; axis++)
                gradPositions[s * 3 + axis] += share * slope * difference[axis];
            return share * value;
        }
    }

    private double[] Trajectory(double[] scores, double[] seeds, BallMembership membership, bool decide)
    {
        int seedCount = seeds.Length / 3;
        double[] trajectory = new double[(iterations + 1) * seeds.Length];
        seeds.CopyTo(trajectory, 0);
        for (int t = 0; t < iterations; t++)
        {
            for (int s = 0; s < seedCount; s++)
            {
                double[] p = Position(trajectory, t, s, seedCount);
                double total = 0;
                double[] moment = new double[3];
                for (long q = 0; q < Voxels; q++)
                {
                    double[] offset = Offset(q, p);
                    double d = Norm(offset);
                    if (decide)
                    {
                        membership[t, s, q] = d < bandwidth;
                        if (t > 0 || d != bandwidth)
                            edgeDistance = Math.Min(edgeDistance, Math.Abs(d - bandwidth));
                    }

                    if (membership[t, s, q])
                    {
                        double m = (scores[q] + floor) * Weight(d);
                        total += m;
                        Add(moment, m, offset);
                    }
                }

                if (total != 0)
                    Add(p, 1 / total, moment);
                p.CopyTo(trajectory, ((t + 1) * seedCount + s) * 3);
            }
        }

        return trajectory;
    }

    private double[] Backward(double[] scores, double[] trajectory, double[] gradPositions, BallMembership membership)
    {
        int seedCount = gradPositions.Length / 3;
        double[] gradScores = new double[Voxels];
        for (int s = 0; s < seedCount; s++)
        {
            double[] g = gradPositions[(s * 3)..(s * 3 + 3)];
            for (int t = iterations - 1; t >= 0; t--)
            {
                double[] p = Position(trajectory, t, s, seedCount);
                double[] next = Position(trajectory, t + 1, s, seedCount);
                double total = 0;
                for (long q = 0; q < Voxels; q++)
                {
                    if (membership[t, s, q])
                        total += (scores[q] + floor) * Weight(Norm(Offset(q, p)));
                }

                // The point stayed where it was: p' = p.
                if (total == 0)
                    continue;
                double[] before = new double[3];
                for (long q = 0; q < Voxels; q++)
                {
                    if (!membership[t, s, q])
                        continue;
                    double[] offset = Offset(q, p);
                    double[] toNext = Offset(q, next);
                    double d = Norm(offset);
                    double pull = (g[0] * toNext[0] + g[1] * toNext[1] + g[2] * toNext[2]) / total;
                    gradScores[q] += Weight(d) * pull;
                    if (d > 0)
                        Add(before, -(scores[q] + floor) * pull * WeightDerivative(d) / d, offset);
                }

                g = before;
            }
        }

        return gradScores;
    }

    // k at a distance d.
    // Of the Gaussian weighting, σ = b/2.
    private double SquaredSigma => bandwidth * bandwidth / 4;

    private double Weight(double d) => weighting switch
    {
        Weighting.Flat => 1,
        Weighting.Linear => d / bandwidth,
        Weighting.Cone => 1 - d / bandwidth,
        Weighting.Epanechnikov => 1 - d * d / (bandwidth * bandwidth),
        Weighting.Gaussian => Math.Exp(-d * d / (2 * SquaredSigma)),
        _ => throw UnknownValue.Of(weighting),
    };

    // dk/dd.
    private double WeightDerivative(double d) => weighting switch
    {
        Weighting.Flat => 0,
        Weighting.Linear => 1 / bandwidth,
        Weighting.Cone => -1 / bandwidth,
        Weighting.Epanechnikov => -2 * d / (bandwidth * bandwidth),
        Weighting.Gaussian => -d / SquaredSigma * Weight(d),
        _ => throw UnknownValue.Of(weighting),
    };

    // q − p of a voxel.
    private double[] Offset(long voxel, double[] p)
        => [voxel / ((long)height * width) - p[0], voxel / width % height - p[1], voxel % width - p[2]];

    private static double[] Position(double[] trajectory, int iteration, int seed, int seedCount)
        => trajectory[((iteration * seedCount + seed) * 3)..((iteration * seedCount + seed) * 3 + 3)];

    private static double[] Difference(double[] positions, int s, double[] centers, int c)
        => [positions[s * 3] - centers[c * 3], positions[s * 3 + 1] - centers[c * 3 + 1],
            positions[s * 3 + 2] - centers[c * 3 + 2]];

    private static double Norm(double[] v) => Math.Sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

    private static void Add(double[] sum, double factor, double[] v)
    {
        for (int axis = 0; axis < 3; axis++)
            sum[axis] += factor * v[axis];
    }
}
