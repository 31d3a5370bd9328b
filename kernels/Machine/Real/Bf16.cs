namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>
/// The upper half of a float32: its range with 8 significant bits. Activations lie in memory so in the BF16
/// mode; arithmetic on them is in float32.
/// </summary>
/// <param name="bits">The bits.</param>
public readonly struct Bf16(ushort bits) : IStored<Bf16, float>
{
    private readonly ushort bits = bits;

    /// <summary>
    /// Channels to whose multiple the voxels of a BF16 tensor are padded: 16 bytes, so that every voxel is
    /// fetched by accesses of that size.
    /// </summary>
    public const int ChannelMultiple = 8;

    /// <summary>A voxel's channels with their padding.</summary>
    /// <param name="channels">Channels in use.</param>
    public static int Padded(int channels) => (channels + ChannelMultiple - 1) / ChannelMultiple * ChannelMultiple;

    /// <summary>The nearest BF16, ties to even; NaN stays NaN.</summary>
    /// <param name="value">A float32.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Bf16 Round(float value)
    {
        uint raw = Interop.FloatAsInt(value);
        uint rounded = (raw + 0x7FFF + (raw >> 16 & 1)) >> 16;
        return new Bf16((ushort)((raw & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFF : rounded));
    }

    /// <summary>The same number in float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float ToSingle() => Interop.IntAsFloat((uint)bits << 16);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Load(Bf16 stored) => stored.ToSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Bf16 Store(float value) => Round(value);
}
