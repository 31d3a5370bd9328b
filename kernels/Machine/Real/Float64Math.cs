using ILGPU.Algorithms;

namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>
/// exp and log in float64 for every device. On CUDA, ILGPU.Algorithms takes them from an iterated rotation
/// with its table in local memory; these are a few dozen multiplications in registers, and the same bits on
/// the CPU as long as the device does not contract them.
/// </summary>
internal static class Float64Math
{
    // ln 2 in two parts: the upper has 21 zeros at its end, so its product with any exponent is exact.
    private const double Ln2High = 0.6931471803691238;
    private const double Ln2Low = 1.9082149292705877e-10;
    private const double InverseLn2 = 1.4426950408889634;
    private const double SquareRootOf2 = 1.4142135623730951;

    // Beyond these the result is infinite, or below half the smallest number.
    private const double LargestExponent = 709.782712893384;
    private const double SmallestExponent = -745.1332191019412;

    private const double SmallestNormal = 2.2250738585072014e-308;
    private const int MantissaBits = 52;
    private const int ExponentBias = 1023;
    private const ulong MantissaMask = (1UL << MantissaBits) - 1;

    /// <summary>
    /// exp(x) = 2^k · exp(r) with |r| ≤ ½ ln 2 and exp(r) by its Taylor series, whose first term left out,
    /// r¹⁴/14!, is below 5e-18.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Exp(double value)
    {
        if (XMath.IsNaN(value))
            return value;
        if (value > LargestExponent)
            return double.PositiveInfinity;
        if (value < SmallestExponent)
            return 0;

        double k = XMath.Floor(value * InverseLn2 + 0.5);
        double r = value - k * Ln2High - k * Ln2Low;
        double sum = 1.0 / 6227020800;
        sum = sum * r + 1.0 / 479001600;
        sum = sum * r + 1.0 / 39916800;
        sum = sum * r + 1.0 / 3628800;
        sum = sum * r + 1.0 / 362880;
        sum = sum * r + 1.0 / 40320;
        sum = sum * r + 1.0 / 5040;
        sum = sum * r + 1.0 / 720;
        sum = sum * r + 1.0 / 120;
        sum = sum * r + 1.0 / 24;
        sum = sum * r + 1.0 / 6;
        sum = sum * r + 1.0 / 2;
        sum = sum * r + 1;
        sum = sum * r + 1;

        // In two steps, because 2^k itself may be no number where the result is one.
        int exponent = (int)k;
        int half = exponent / 2;
        return sum * PowerOfTwo(half) * PowerOfTwo(exponent - half);
    }

    /// <summary>
    /// ln(m·2^e) = e·ln 2 + 2·artanh(s), s = (m − 1)/(m + 1), m between √½ and √2; artanh by its series in s²
    /// ≤ 0.0295, whose first term left out is below 1e-18 of the sum.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Log(double value)
    {
        if (XMath.IsNaN(value) || value < 0)
            return double.NaN;
        if (value == 0)
            return double.NegativeInfinity;
        if (value > double.MaxValue)
            return value;

        int shift = value < SmallestNormal ? MantissaBits : 0;
        ulong bits = Interop.FloatAsInt(value * PowerOfTwo(shift));
        int exponent = (int)(bits >> MantissaBits) - ExponentBias - shift;
        double m = Interop.IntAsFloat((bits & MantissaMask) | ((ulong)ExponentBias << MantissaBits));
        if (m > SquareRootOf2)
        {
            m *= 0.5;
            exponent++;
        }

        double s = (m - 1) / (m + 1);
        double square = s * s;
        double sum = 1.0 / 21;
        sum = sum * square + 1.0 / 19;
        sum = sum * square + 1.0 / 17;
        sum = sum * square + 1.0 / 15;
        sum = sum * square + 1.0 / 13;
        sum = sum * square + 1.0 / 11;
        sum = sum * square + 1.0 / 9;
        sum = sum * square + 1.0 / 7;
        sum = sum * square + 1.0 / 5;
        sum = sum * square + 1.0 / 3;
        return exponent * Ln2High + (exponent * Ln2Low + (2 * s + 2 * s * square * sum));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double PowerOfTwo(int exponent) => Interop.IntAsFloat((ulong)(exponent + ExponentBias) << MantissaBits);
}
