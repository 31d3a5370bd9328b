using System.Numerics;
using System.Runtime.Intrinsics;

namespace MeanShiftGpu.PtxInterpreter.Machine;

internal readonly struct Same<T> : IUnary<T>
{
    public static Vector256<T> Of(Vector256<T> a) => a;
}

internal readonly struct Plus<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a + b;
}

internal readonly struct Minus<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a - b;
}

internal readonly struct Times<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a * b;
}

internal readonly struct TimesPlus<T> : ITernary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b, Vector256<T> c) => a * b + c;
}

internal readonly struct Over<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a / b;
}

internal readonly struct Negated<T> : IUnary<T>
{
    public static Vector256<T> Of(Vector256<T> a) => -a;
}

internal readonly struct SquareRoot<T> : IUnary<T>
{
    public static Vector256<T> Of(Vector256<T> a) => Vector256.Sqrt(a);
}

internal readonly struct Reciprocal<T> : IUnary<T>
    where T : INumberBase<T>
{
    public static Vector256<T> Of(Vector256<T> a) => Vector256.Create(T.One) / a;
}

internal readonly struct Least<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Min(a, b);
}

internal readonly struct Most<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Max(a, b);
}

internal readonly struct And<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a & b;
}

internal readonly struct Or<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a | b;
}

internal readonly struct Xor<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a ^ b;
}

internal readonly struct Not<T> : IUnary<T>
{
    public static Vector256<T> Of(Vector256<T> a) => ~a;
}

internal readonly struct ShiftedLeft<T> : IShift<T>
    where T : unmanaged, IBinaryInteger<T>
{
    public static unsafe T Of(T a, int amount) => amount >= 8 * sizeof(T) ? T.Zero : a << amount;

    public static Vector256<T> Of(Vector256<T> a, int amount) => a << amount;
}

/// <summary>Fills with the sign if the type has one.</summary>
internal readonly struct ShiftedRight<T> : IShift<T>
    where T : unmanaged, IBinaryInteger<T>
{
    public static unsafe T Of(T a, int amount) => amount >= 8 * sizeof(T) ? (T.IsNegative(a) ? -T.One : T.Zero) : a >> amount;

    public static Vector256<T> Of(Vector256<T> a, int amount) => a >> amount;
}

/// <summary>
/// A quotient towards zero. By zero the ISA leaves it open; all bits are set here, as on GPUs.
/// </summary>
internal readonly struct Quotient<T> : IEach<T>
    where T : IBinaryInteger<T>
{
    public static T Of(T a, T b) => T.IsZero(b) ? ~T.Zero : b == -T.One && T.IsNegative(b) ? -a : a / b;
}

internal readonly struct Remainder<T> : IEach<T>
    where T : IBinaryInteger<T>
{
    public static T Of(T a, T b) => T.IsZero(b) ? ~T.Zero : b == -T.One && T.IsNegative(b) ? T.Zero : a % b;
}

// Comparisons give all bits of an element. Those of floating-point numbers are false where one is NaN, and
// true with "u" in the name (unordered).
internal readonly struct IsEqual<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Equals(a, b);
}

internal readonly struct IsLess<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.LessThan(a, b);
}

internal readonly struct IsAtMost<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.LessThanOrEqual(a, b);
}

internal readonly struct IsGreater<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThan(a, b);
}

internal readonly struct IsAtLeast<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThanOrEqual(a, b);
}

internal readonly struct IsUnequalOrNaN<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => ~Vector256.Equals(a, b);
}

internal readonly struct IsLessOrNaN<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => ~Vector256.GreaterThanOrEqual(a, b);
}

internal readonly struct IsAtMostOrNaN<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => ~Vector256.GreaterThan(a, b);
}

internal readonly struct IsGreaterOrNaN<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => ~Vector256.LessThanOrEqual(a, b);
}

internal readonly struct IsAtLeastOrNaN<T> : IBinary<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => ~Vector256.LessThan(a, b);
}

internal readonly struct IsNaN<T> : IUnary<T>
{
    public static Vector256<T> Of(Vector256<T> a) => ~Vector256.Equals(a, a);
}
