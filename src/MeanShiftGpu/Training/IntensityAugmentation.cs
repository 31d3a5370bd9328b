using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Training;

/// <summary>
/// Random changes of a patch's grey values: contrast and brightness, as between tomograms of different
/// thickness, and noise. What is drawn is a function of the seed and the patch's number alone.
/// </summary>
internal static class IntensityAugmentation
{
    // Streams of PatchSampler's generator beyond those that place and turn a patch.
    private const uint LevelStream = 2;
    private const uint FirstNoiseStream = 16;

    /// <summary>
    /// Changes a patch: value · (1 + c·u) + c·v + n·w·noise, with u and v uniform in ±1, w in 0 to 1, noise
    /// normal.
    /// </summary>
    /// <param name="image">The patch, normalised to about mean 0 and SD 1.</param>
    /// <param name="options">c and n.</param>
    /// <param name="draw">Four random words for a stream.</param>
    public static void Apply(Span<float> image, TrainingOptions options, Func<uint, PhiloxBlock> draw)
    {
        PhiloxBlock level = draw(LevelStream);
        if (options.ContrastJitter > 0)
        {
            float factor = (float)(1 + options.ContrastJitter * (2 * Unit(level.X) - 1));
            float offset = (float)(options.ContrastJitter * (2 * Unit(level.Y) - 1));
            foreach (ref float value in image)
                value = value * factor + offset;
        }

        if (options.NoiseJitter <= 0)
            return;
        double deviation = options.NoiseJitter * Unit(level.Z);
        for (int i = 0; i < image.Length; i += 4)
        {
            PhiloxBlock words = draw(FirstNoiseStream + (uint)(i / 4));
            (double a, double b) = Normals(words.X, words.Y);
            (double c, double d) = Normals(words.Z, words.W);
            ReadOnlySpan<double> four = [a, b, c, d];
            for (int k = 0; k < Math.Min(4, image.Length - i); k++)
                image[i + k] += (float)(deviation * four[k]);
        }
    }

    private static double Unit(uint word) => (word + 0.5) / 4294967296.0;

    // Box and Muller (1958).
    private static (double, double) Normals(uint a, uint b)
    {
        double radius = Math.Sqrt(-2 * Math.Log(Unit(a)));
        (double sin, double cos) = Math.SinCos(2 * Math.PI * Unit(b));
        return (radius * cos, radius * sin);
    }
}
