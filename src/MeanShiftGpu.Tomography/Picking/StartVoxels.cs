using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>The voxels of a score map from which the mean shift starts.</summary>
/// <param name="Positions">[n, 3], each z, y, x in voxels; in scan order.</param>
/// <param name="Scores">[n], the map there; above 0.</param>
public sealed record StartVoxels(float[] Positions, float[] Scores)
{
    /// <summary>Number of voxels.</summary>
    public int Count => Scores.Length;

    /// <summary>Finds the voxels above the threshold.</summary>
    /// <param name="scores">The score map, [D, H, W].</param>
    /// <param name="depth">D.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="options">The threshold. As a fraction it refers to the maximum of this map; a map without
    /// a positive score has no start voxels.</param>
    /// <exception cref="InputException">A score is not a finite number, or an option is out of
    /// range.</exception>
    public static StartVoxels Above(ReadOnlySpan<float> scores, int depth, int height, int width, PickOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (scores.Length != (long)depth * height * width)
            throw new ArgumentException(
                $"Score map: {scores.Length} values for {depth}×{height}×{width} voxels.", nameof(scores));

        float maximum = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (!float.IsFinite(scores[i]))
                throw new InputException($"score map: {scores[i]} at (z, y, x) = {At(i, height, width)}; expected finite "
                    + "scores. Check the input volume for NaN.");
            maximum = Math.Max(maximum, scores[i]);
        }

        float threshold = options.ThresholdFor(maximum);
        int count = 0;
        foreach (float score in scores)
        {
            if (score > threshold)
                count++;
        }

        float[] positions = new float[checked(3 * count)];
        float[] above = new float[count];
        int n = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i] > threshold)
            {
                (positions[3 * n], positions[3 * n + 1], positions[3 * n + 2]) = At(i, height, width);
                above[n++] = scores[i];
            }
        }

        return new StartVoxels(positions, above);
    }

    private static (int Z, int Y, int X) At(int index, int height, int width)
        => (index / width / height, index / width % height, index % width);
}
