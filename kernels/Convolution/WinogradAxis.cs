using System.Runtime.CompilerServices;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// One axis of Winograd's algorithm for kernels of 3 taps (Lavin and Gray 2016): y = Aᵀ[(G w) ⊙ (Bᵀ d)] gives a tile of
/// <see cref="Outputs"/> neighbouring outputs from Outputs + 2 inputs with as many multiplications, where the direct algorithm needs
/// 3·Outputs. Its transpose gives the gradient of the weights: ∂w = Gᵀ[(A g) ⊙ (Bᵀ d)]. In three dimensions each factor is applied
/// along z, y and x. These are the transforms along x, for a run of tiles, of one vector of channels.
/// </summary>
internal unsafe interface IWinogradAxis
{
    /// <summary>Outputs of a tile.</summary>
    static abstract int Outputs { get; }

    /// <summary>Multiplications of a tile.</summary>
    static abstract int Points { get; }

    /// <summary>G, [Points, 3].</summary>
    static abstract ReadOnlySpan<float> WeightMatrix { get; }

    /// <summary>Bᵀ d: reads tiles·Outputs + 2 packed vectors, writes target[point·pointPitch + tile·tilePitch].</summary>
    static abstract void TransformInput<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>;

    /// <summary>A g: reads tiles·Outputs packed vectors, writes as <see cref="TransformInput"/> does.</summary>
    static abstract void TransformGradient<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>;

    /// <summary>
    /// Aᵀ m along y and x for the products [4, Points] of one tile at one point of z, added to the tile's outputs
    /// [z: 2][y: 2][x: Outputs] as z's own Aᵀ has it. Points of z must come in order: the first that an output depends on overwrites it with
    /// the sum of bias and product. Products and outputs are one pitch apart.
    /// </summary>
    static abstract void TransformOutput<TVector, TOps>(float* products, int zPoint, TVector bias, float* outputs, nint pitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>;
}

/// <summary>F(2, 3), interpolation at 0, 1, −1 and ∞: additions only, 2.25 times fewer multiplications per pair of axes.</summary>
internal readonly unsafe struct WinogradTwo : IWinogradAxis
{
    public static int Outputs => 2;

    public static int Points => 4;

    public static ReadOnlySpan<float> WeightMatrix =>
    [
        1, 0, 0,
        0.5f, 0.5f, 0.5f,
        0.5f, -0.5f, 0.5f,
        0, 0, 1,
    ];

    // Bᵀ is (d0 − d2, d1 + d2, d2 − d1, d3 − d1).
    public static void TransformInput<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        TVector d0 = TOps.Load(columns);
        TVector d1 = TOps.Load(columns + TOps.Width);
        for (int tile = 0; tile < tiles; tile++)
        {
            columns += 2 * TOps.Width;
            TVector d2 = TOps.Load(columns);
            TVector d3 = TOps.Load(columns + TOps.Width);
            TOps.Store(TOps.Subtract(d0, d2), target);
            TOps.Store(TOps.Add(d1, d2), target + pointPitch);
            TOps.Store(TOps.Subtract(d2, d1), target + 2 * pointPitch);
            TOps.Store(TOps.Subtract(d3, d1), target + 3 * pointPitch);
            d0 = d2;
            d1 = d3;
            target += tilePitch;
        }
    }

    // A is (g0, g0 + g1, g0 − g1, g1).
    public static void TransformGradient<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        for (int tile = 0; tile < tiles; tile++)
        {
            TVector g0 = TOps.Load(columns);
            TVector g1 = TOps.Load(columns + TOps.Width);
            TOps.Store(g0, target);
            TOps.Store(TOps.Add(g0, g1), target + pointPitch);
            TOps.Store(TOps.Subtract(g0, g1), target + 2 * pointPitch);
            TOps.Store(g1, target + 3 * pointPitch);
            columns += 2 * TOps.Width;
            target += tilePitch;
        }
    }

    public static void TransformOutput<TVector, TOps>(float* products, int zPoint, TVector bias, float* outputs, nint pitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        nint row = 4 * pitch;
        nint plane = 4 * pitch;
        for (int y = 0; y < 2; y++)
        {
            TVector m0 = WinogradRow.Sum<TVector, TOps>(products, row, y);
            TVector m1 = WinogradRow.Sum<TVector, TOps>(products + pitch, row, y);
            TVector m2 = WinogradRow.Sum<TVector, TOps>(products + 2 * pitch, row, y);
            TVector m3 = WinogradRow.Sum<TVector, TOps>(products + 3 * pitch, row, y);
            WinogradRow.AddAlongZ<TVector, TOps>(TOps.Add(m0, TOps.Add(m1, m2)), zPoint, bias, outputs, plane);
            WinogradRow.AddAlongZ<TVector, TOps>(TOps.Add(m3, TOps.Subtract(m1, m2)), zPoint, bias, outputs + pitch, plane);
            outputs += 2 * pitch;
        }
    }
}

/// <summary>
/// F(4, 3), interpolation at 0, ±p, ±q and ∞: half the multiplications of the direct algorithm along this axis, where F(2, 3) takes
/// two thirds. p = √½ and q = √2 keep the factors close to 1 and so the rounding small.
/// </summary>
internal readonly unsafe struct WinogradFour : IWinogradAxis
{
    private const float P = 0.70710678f;
    private const float P2 = 0.5f;
    private const float P3 = 0.35355339f;
    private const float Q = 1.41421356f;
    private const float Q2 = 2;
    private const float Q3 = 2.82842712f;

    public static int Outputs => 4;

    public static int Points => 6;

    // Row i is (1, a, a²)/Π(a − a'), the product over the other finite points a'.
    public static ReadOnlySpan<float> WeightMatrix =>
    [
        1, 0, 0,
        -2f / 3, -2f / 3 * P, -2f / 3 * P2,
        -2f / 3, 2f / 3 * P, -2f / 3 * P2,
        1f / 6, 1f / 6 * Q, 1f / 6 * Q2,
        1f / 6, -1f / 6 * Q, 1f / 6 * Q2,
        0, 0, 1,
    ];

    // Row i of Bᵀ holds the coefficients of x(x² − p²)(x² − q²)/(x − a), the last row those of the undivided polynomial; p·q = 1.
    public static void TransformInput<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        TVector minusSum = TOps.Broadcast(-P2 - Q2);
        TVector minusP2 = TOps.Broadcast(-P2);
        TVector minusQ2 = TOps.Broadcast(-Q2);
        TVector p = TOps.Broadcast(P);
        TVector minusP = TOps.Broadcast(-P);
        TVector q = TOps.Broadcast(Q);
        TVector minusQ = TOps.Broadcast(-Q);
        TVector d0 = TOps.Load(columns);
        TVector d1 = TOps.Load(columns + TOps.Width);
        for (int tile = 0; tile < tiles; tile++)
        {
            columns += 4 * TOps.Width;
            TVector d2 = TOps.Load(columns - 2 * TOps.Width);
            TVector d3 = TOps.Load(columns - TOps.Width);
            TVector d4 = TOps.Load(columns);
            TVector d5 = TOps.Load(columns + TOps.Width);
            TOps.Store(TOps.MultiplyAdd(minusSum, d2, TOps.Add(d0, d4)), target);
            TVector even = TOps.MultiplyAdd(minusQ2, d2, d4);
            TVector odd = TOps.MultiplyAdd(minusQ2, d1, d3);
            TOps.Store(TOps.MultiplyAdd(p, odd, even), target + pointPitch);
            TOps.Store(TOps.MultiplyAdd(minusP, odd, even), target + 2 * pointPitch);
            even = TOps.MultiplyAdd(minusP2, d2, d4);
            odd = TOps.MultiplyAdd(minusP2, d1, d3);
            TOps.Store(TOps.MultiplyAdd(q, odd, even), target + 3 * pointPitch);
            TOps.Store(TOps.MultiplyAdd(minusQ, odd, even), target + 4 * pointPitch);
            TOps.Store(TOps.MultiplyAdd(minusSum, d3, TOps.Add(d1, d5)), target + 5 * pointPitch);
            d0 = d4;
            d1 = d5;
            target += tilePitch;
        }
    }

    // A is the powers 0 to 3 of the points; ∞ has the last input.
    public static void TransformGradient<TVector, TOps>(float* columns, int tiles, float* target, nint pointPitch, nint tilePitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        TVector p = TOps.Broadcast(P);
        TVector p2 = TOps.Broadcast(P2);
        TVector p3 = TOps.Broadcast(P3);
        TVector q = TOps.Broadcast(Q);
        TVector q2 = TOps.Broadcast(Q2);
        TVector q3 = TOps.Broadcast(Q3);
        for (int tile = 0; tile < tiles; tile++)
        {
            TVector g0 = TOps.Load(columns);
            TVector g1 = TOps.Load(columns + TOps.Width);
            TVector g2 = TOps.Load(columns + 2 * TOps.Width);
            TVector g3 = TOps.Load(columns + 3 * TOps.Width);
            TOps.Store(g0, target);
            TVector even = TOps.MultiplyAdd(p2, g2, g0);
            TVector odd = TOps.MultiplyAdd(p3, g3, TOps.Multiply(p, g1));
            TOps.Store(TOps.Add(even, odd), target + pointPitch);
            TOps.Store(TOps.Subtract(even, odd), target + 2 * pointPitch);
            even = TOps.MultiplyAdd(q2, g2, g0);
            odd = TOps.MultiplyAdd(q3, g3, TOps.Multiply(q, g1));
            TOps.Store(TOps.Add(even, odd), target + 3 * pointPitch);
            TOps.Store(TOps.Subtract(even, odd), target + 4 * pointPitch);
            TOps.Store(g3, target + 5 * pointPitch);
            columns += 4 * TOps.Width;
            target += tilePitch;
        }
    }

    public static void TransformOutput<TVector, TOps>(float* products, int zPoint, TVector bias, float* outputs, nint pitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        nint row = 6 * pitch;
        nint plane = 8 * pitch;
        for (int y = 0; y < 2; y++)
        {
            TVector m1 = WinogradRow.Sum<TVector, TOps>(products + pitch, row, y);
            TVector m2 = WinogradRow.Sum<TVector, TOps>(products + 2 * pitch, row, y);
            TVector m3 = WinogradRow.Sum<TVector, TOps>(products + 3 * pitch, row, y);
            TVector m4 = WinogradRow.Sum<TVector, TOps>(products + 4 * pitch, row, y);
            TVector sumP = TOps.Add(m1, m2);
            TVector sumQ = TOps.Add(m3, m4);
            TVector differenceP = TOps.Subtract(m1, m2);
            TVector differenceQ = TOps.Subtract(m3, m4);
            TVector m0 = WinogradRow.Sum<TVector, TOps>(products, row, y);
            TVector m5 = WinogradRow.Sum<TVector, TOps>(products + 5 * pitch, row, y);
            WinogradRow.AddAlongZ<TVector, TOps>(TOps.Add(m0, TOps.Add(sumP, sumQ)), zPoint, bias, outputs, plane);
            WinogradRow.AddAlongZ<TVector, TOps>(
                TOps.MultiplyAdd(TOps.Broadcast(Q), differenceQ, TOps.Multiply(TOps.Broadcast(P), differenceP)), zPoint, bias, outputs + pitch, plane);
            WinogradRow.AddAlongZ<TVector, TOps>(
                TOps.MultiplyAdd(TOps.Broadcast(Q2), sumQ, TOps.Multiply(TOps.Broadcast(P2), sumP)), zPoint, bias, outputs + 2 * pitch, plane);
            WinogradRow.AddAlongZ<TVector, TOps>(
                TOps.MultiplyAdd(TOps.Broadcast(Q3), differenceQ, TOps.MultiplyAdd(TOps.Broadcast(P3), differenceP, m5)), zPoint, bias, outputs + 3 * pitch, plane);
            outputs += 4 * pitch;
        }
    }
}

/// <summary>F(2, 3)'s Aᵀ along y and along z: (m0 + m1 + m2, m1 − m2 + m3).</summary>
internal static unsafe class WinogradRow
{
    /// <summary>Output y of four products one row apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Sum<TVector, TOps>(float* products, nint row, int y)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        TVector m1 = TOps.Load(products + row);
        TVector m2 = TOps.Load(products + 2 * row);
        return y == 0
            ? TOps.Add(TOps.Load(products), TOps.Add(m1, m2))
            : TOps.Add(TOps.Load(products + 3 * row), TOps.Subtract(m1, m2));
    }

    /// <summary>Adds the product of one point of z to the two outputs along z.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddAlongZ<TVector, TOps>(TVector product, int zPoint, TVector bias, float* near, nint plane)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        float* far = near + plane;
        switch (zPoint)
        {
            case 0:
                TOps.Store(TOps.Add(bias, product), near);
                break;
            case 1:
                TOps.Store(TOps.Add(TOps.Load(near), product), near);
                TOps.Store(TOps.Add(bias, product), far);
                break;
            case 2:
                TOps.Store(TOps.Add(TOps.Load(near), product), near);
                TOps.Store(TOps.Subtract(TOps.Load(far), product), far);
                break;
            default:
                TOps.Store(TOps.Add(TOps.Load(far), product), far);
                break;
        }
    }
}
