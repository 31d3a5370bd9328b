using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// Rotations of space, all equally likely: K. Shoemake, "Uniform random rotations", Graphics Gems III (1992).
/// </summary>
internal static class RandomRotation
{
    public static RotationMatrix Draw(SplitMix64 random)
    {
        double u = random.NextDouble();
        (double sin1, double cos1) = Math.SinCos(2 * Math.PI * random.NextDouble());
        (double sin2, double cos2) = Math.SinCos(2 * Math.PI * random.NextDouble());
        // A unit quaternion w + xi + yj + zk.
        (double w, double x, double y, double z) = (
            Math.Sqrt(1 - u) * sin1, Math.Sqrt(1 - u) * cos1, Math.Sqrt(u) * sin2, Math.Sqrt(u) * cos2);
        return new RotationMatrix(
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y));
    }
}
