namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// The last arm of a switch over an enumeration. A value without an arm must not compute what another one
/// means.
/// </summary>
internal static class UnknownValue
{
    /// <summary>The exception to throw for a value that has no arm.</summary>
    public static ArgumentOutOfRangeException Of<TEnum>(TEnum value)
        where TEnum : struct, Enum
        => new(null, value, $"{typeof(TEnum).Name} {value} is not known here. Expected one of "
            + $"{string.Join(", ", Enum.GetNames<TEnum>())}.");
}
