using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>Mean grey values in shells around places of a volume.</summary>
internal sealed class ShellMeans
{
    private readonly IVoxelSource image;
    private readonly int reach;
    private readonly int edge;
    private readonly float[] values;
    private readonly int shells;

    // The shell of each voxel of the box; -1 beyond the last one.
    private readonly sbyte[] shellOf;

    /// <param name="image">The volume.</param>
    /// <param name="radii">The outer radii of the shells in voxels, rising; at most 127.</param>
    public ShellMeans(IVoxelSource image, double[] radii)
    {
        this.image = image;
        shells = radii.Length;
        reach = (int)Math.Floor(radii[^1]);
        edge = (2 * reach) + 1;
        values = new float[edge * edge * edge];
        shellOf = new sbyte[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            (int dz, int dy, int dx) = ((i / edge / edge) - reach, (i / edge % edge) - reach, (i % edge) - reach);
            double distance = Math.Sqrt((dz * dz) + (dy * dy) + (dx * dx));
            shellOf[i] = (sbyte)Array.FindIndex(radii, r => distance <= r);
        }
    }

    /// <summary>How many voxels are read for a place.</summary>
    public int Voxels => values.Length;

    /// <summary>
    /// The mean of each shell around the voxel of a place. Of shells that leave the volume what lies inside
    /// counts; null where the place or a whole shell is outside.
    /// </summary>
    public double[]? At(Position place)
    {
        Extent size = image.Size;
        if (!(Math.Abs(place.Z) < size.Depth && Math.Abs(place.Y) < size.Height && Math.Abs(place.X) < size.Width))
            return null;
        (int z, int y, int x) = ((int)Math.Round(place.Z), (int)Math.Round(place.Y), (int)Math.Round(place.X));
        if (z < 0 || y < 0 || x < 0 || z >= size.Depth || y >= size.Height || x >= size.Width)
            return null;
        (int firstZ, int firstY, int firstX) = (Math.Max(0, z - reach), Math.Max(0, y - reach), Math.Max(0, x - reach));
        Extent part = new(
            Math.Min(size.Depth - 1, z + reach) - firstZ + 1, Math.Min(size.Height - 1, y + reach) - firstY + 1,
            Math.Min(size.Width - 1, x + reach) - firstX + 1);
        Span<float> read = values.AsSpan(0, (int)part.Voxels);
        image.Read(new Box((firstZ, firstY, firstX), part), read);
        double[] sums = new double[shells];
        int[] counts = new int[shells];
        int at = 0;
        for (int k = 0; k < part.Depth; k++)
        {
            for (int j = 0; j < part.Height; j++)
            {
                int row = ((((firstZ + k - z + reach) * edge) + firstY + j - y + reach) * edge) + firstX - x + reach;
                for (int i = 0; i < part.Width; i++, at++)
                {
                    int shell = shellOf[row + i];
                    if (shell >= 0)
                    {
                        sums[shell] += read[at];
                        counts[shell]++;
                    }
                }
            }
        }

        if (counts.Contains(0))
            return null;
        for (int s = 0; s < shells; s++)
            sums[s] /= counts[s];
        return sums;
    }
}
