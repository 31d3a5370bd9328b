namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>
/// Values as bytes: <paramref name="Low"/> and less is 0, <paramref name="High"/> and more is 255, what is no
/// number is 0.
/// </summary>
/// <param name="Low">The value of byte 0.</param>
/// <param name="High">The value of byte 255, above <paramref name="Low"/>.</param>
internal readonly record struct GreyRange(float Low, float High)
{
    // Percentiles are black and white at first; a person may turn the contrast down by this fraction on
    // either side.
    private const double Percentile = 0.005;

    /// <summary>
    /// How far the range reaches beyond the percentiles on either side, as a fraction of the way between
    /// them.
    /// </summary>
    public const double Reserve = 0.25;

    /// <summary>
    /// The range of a sample: from the 0.5th to the 99.5th percentile, and <see cref="Reserve"/> beyond on
    /// either side.
    /// </summary>
    /// <param name="sample">Values in any order, which are sorted; what is no finite number does not
    /// count.</param>
    public static GreyRange Of(Span<float> sample)
    {
        int count = 0;
        foreach (float value in sample)
        {
            if (float.IsFinite(value))
                sample[count++] = value;
        }

        if (count == 0)
            return new GreyRange(0, 1);
        Span<float> finite = sample[..count];
        finite.Sort();
        int cut = (int)(Percentile * (count - 1));
        double low = finite[cut], high = finite[count - 1 - cut];
        if (high == low)
        {
            // A volume of one value is grey.
            double half = 1e-3 * Math.Max(Math.Abs(low), 1e-3);
            (low, high) = (low - half, low + half);
        }

        double width = high - low;
        return new GreyRange((float)(low - Reserve * width), (float)(low + (1 + Reserve) * width));
    }

    /// <summary>A value as a byte.</summary>
    public byte Of(float value) => (byte)Math.Clamp((value - Low) * (255f / (High - Low)) + 0.5f, 0f, 255f);

    /// <summary>Values as bytes.</summary>
    /// <param name="values">[n].</param>
    /// <param name="factor">Each is multiplied by it first.</param>
    /// <param name="bytes">[n].</param>
    public void Encode(ReadOnlySpan<float> values, float factor, Span<byte> bytes)
    {
        float scale = 255f / (High - Low);
        float offset = 0.5f - Low * scale;
        scale *= factor;
        for (int i = 0; i < values.Length; i++)
        {
            float grey = values[i] * scale + offset;
            // The comparison is false for what is no number.
            bytes[i] = grey > 0 ? (byte)Math.Min(grey, 255f) : (byte)0;
        }
    }
}
