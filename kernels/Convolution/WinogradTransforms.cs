using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The factors of Winograd's algorithm for kernels of 3 taps along one axis (Lavin and Gray 2016): y = Aᵀ[(G
/// w) ⊙ (Bᵀ d)] gives m neighbouring outputs from m + 2 inputs with m + 2 multiplications, where the direct
/// algorithm needs 3·m. Its transpose gives the gradient of the weights: ∂w = Gᵀ[(A g) ⊙ (Bᵀ d)]. In three
/// dimensions each factor is applied along z, y and x.
/// </summary>
/// <remarks>
/// F(2, 3) interpolates at 0, 1, −1 and ∞ and needs additions only. F(4, 3) interpolates at 0, ±p, ±q and ∞;
/// p = √½ and q = √2 keep the factors close to 1 and so the rounding small. Row i of its Bᵀ holds the
/// coefficients of x(x² − p²)(x² − q²)/(x − a), the last row those of the undivided polynomial; A holds the
/// powers of a; row i of G is (1, a, a²)/Π(a − a'), the product over the other finite points.
/// </remarks>
internal static unsafe class WinogradTransforms<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    private const float P = 0.70710678f;
    private const float P2 = 0.5f;
    private const float P3 = 0.35355339f;
    private const float Q = 1.41421356f;
    private const float Q2 = 2;
    private const float Q3 = 2.82842712f;

    /// <summary>G w of F(4, 3): three weights to six points, one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Weights(TVector w0, TVector w1, TVector w2, float* points, nint pitch)
    {
        TOps.Store(w0, points);
        TVector even = TOps.MultiplyAdd(TOps.Broadcast(-2f / 3 * P2), w2, TOps.Multiply(TOps.Broadcast(-2f / 3), w0));
        TVector odd = TOps.Multiply(TOps.Broadcast(-2f / 3 * P), w1);
        TOps.Store(TOps.Add(even, odd), points + pitch);
        TOps.Store(TOps.Subtract(even, odd), points + 2 * pitch);
        even = TOps.MultiplyAdd(TOps.Broadcast(1f / 6 * Q2), w2, TOps.Multiply(TOps.Broadcast(1f / 6), w0));
        odd = TOps.Multiply(TOps.Broadcast(1f / 6 * Q), w1);
        TOps.Store(TOps.Add(even, odd), points + 3 * pitch);
        TOps.Store(TOps.Subtract(even, odd), points + 4 * pitch);
        TOps.Store(w2, points + 5 * pitch);
    }

    /// <summary>Gᵀ of F(4, 3): six points to the gradients of three weights, each one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WeightGradient(float* points, nint pitch, float* gradients, nint gradientPitch)
    {
        TVector m1 = TOps.Load(points + pitch);
        TVector m2 = TOps.Load(points + 2 * pitch);
        TVector m3 = TOps.Load(points + 3 * pitch);
        TVector m4 = TOps.Load(points + 4 * pitch);
        TVector sumP = TOps.Multiply(TOps.Broadcast(-2f / 3), TOps.Add(m1, m2));
        TVector sumQ = TOps.Multiply(TOps.Broadcast(1f / 6), TOps.Add(m3, m4));
        TOps.Store(TOps.Add(TOps.Load(points), TOps.Add(sumP, sumQ)), gradients);
        TOps.Store(
            TOps.MultiplyAdd(
                TOps.Broadcast(1f / 6 * Q),
                TOps.Subtract(m3, m4),
                TOps.Multiply(TOps.Broadcast(-2f / 3 * P), TOps.Subtract(m1, m2))),
            gradients + gradientPitch);
        TOps.Store(
            TOps.MultiplyAdd(TOps.Broadcast(Q2), sumQ, TOps.MultiplyAdd(TOps.Broadcast(P2), sumP, TOps.Load(points + 5 * pitch))),
            gradients + 2 * gradientPitch);
    }

    /// <summary>G w of F(2, 3): three weights to four points, one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WeightsOfTwo(TVector w0, TVector w1, TVector w2, float* points, nint pitch)
    {
        TVector half = TOps.Broadcast(0.5f);
        TVector even = TOps.Multiply(half, TOps.Add(w0, w2));
        TVector odd = TOps.Multiply(half, w1);
        TOps.Store(w0, points);
        TOps.Store(TOps.Add(even, odd), points + pitch);
        TOps.Store(TOps.Subtract(even, odd), points + 2 * pitch);
        TOps.Store(w2, points + 3 * pitch);
    }

    /// <summary>Gᵀ of F(2, 3): four points to the gradients of three weights, each one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WeightGradientOfTwo(float* points, nint pitch, float* gradients, nint gradientPitch)
    {
        TVector half = TOps.Broadcast(0.5f);
        TVector m1 = TOps.Load(points + pitch);
        TVector m2 = TOps.Load(points + 2 * pitch);
        TVector sum = TOps.Multiply(half, TOps.Add(m1, m2));
        TOps.Store(TOps.Add(TOps.Load(points), sum), gradients);
        TOps.Store(TOps.Multiply(half, TOps.Subtract(m1, m2)), gradients + gradientPitch);
        TOps.Store(TOps.Add(TOps.Load(points + 3 * pitch), sum), gradients + 2 * gradientPitch);
    }

    /// <summary>Bᵀ d of F(4, 3): six inputs to six points, one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Input(TVector d0, TVector d1, TVector d2, TVector d3, TVector d4, TVector d5, float* points, nint pitch)
    {
        TVector minusSum = TOps.Broadcast(-P2 - Q2);
        TOps.Store(TOps.MultiplyAdd(minusSum, d2, TOps.Add(d0, d4)), points);
        TVector even = TOps.MultiplyAdd(TOps.Broadcast(-Q2), d2, d4);
        TVector odd = TOps.MultiplyAdd(TOps.Broadcast(-Q2), d1, d3);
        TOps.Store(TOps.MultiplyAdd(TOps.Broadcast(P), odd, even), points + pitch);
        TOps.Store(TOps.MultiplyAdd(TOps.Broadcast(-P), odd, even), points + 2 * pitch);
        even = TOps.MultiplyAdd(TOps.Broadcast(-P2), d2, d4);
        odd = TOps.MultiplyAdd(TOps.Broadcast(-P2), d1, d3);
        TOps.Store(TOps.MultiplyAdd(TOps.Broadcast(Q), odd, even), points + 3 * pitch);
        TOps.Store(TOps.MultiplyAdd(TOps.Broadcast(-Q), odd, even), points + 4 * pitch);
        TOps.Store(TOps.MultiplyAdd(minusSum, d3, TOps.Add(d1, d5)), points + 5 * pitch);
    }

    /// <summary>A g of F(4, 3): four gradients to six points, one pitch apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Gradient(TVector g0, TVector g1, TVector g2, TVector g3, float* points, nint pitch)
    {
        TOps.Store(g0, points);
        TVector even = TOps.MultiplyAdd(TOps.Broadcast(P2), g2, g0);
        TVector odd = TOps.MultiplyAdd(TOps.Broadcast(P3), g3, TOps.Multiply(TOps.Broadcast(P), g1));
        TOps.Store(TOps.Add(even, odd), points + pitch);
        TOps.Store(TOps.Subtract(even, odd), points + 2 * pitch);
        even = TOps.MultiplyAdd(TOps.Broadcast(Q2), g2, g0);
        odd = TOps.MultiplyAdd(TOps.Broadcast(Q3), g3, TOps.Multiply(TOps.Broadcast(Q), g1));
        TOps.Store(TOps.Add(even, odd), points + 3 * pitch);
        TOps.Store(TOps.Subtract(even, odd), points + 4 * pitch);
        TOps.Store(g3, points + 5 * pitch);
    }

    /// <summary>
    /// Aᵀ m of F(4, 3) along y and x for the products [6, 6] of one tile at one point of z, added to the
    /// tile's outputs [z: 2][y: 4][x: 4] as F(2, 3)'s Aᵀ has it along z. Points of z must come in order: the
    /// first that an output depends on overwrites it. Products and outputs are a pitch apart each; scratch
    /// holds 24 vectors.
    /// </summary>
    public static void Output(float* products, nint productPitch, int zPoint, float* outputs, nint pitch, float* scratch)
    {
        for (int x = 0; x < 6; x++)
        {
            Output(products + x * productPitch, 6 * productPitch, out TVector y0, out TVector y1, out TVector y2, out TVector y3);
            float* to = scratch + x * TOps.Width;
            TOps.Store(y0, to);
            TOps.Store(y1, to + 6 * TOps.Width);
            TOps.Store(y2, to + 12 * TOps.Width);
            TOps.Store(y3, to + 18 * TOps.Width);
        }

        for (int y = 0; y < 4; y++)
        {
            Output(scratch + y * 6 * TOps.Width, TOps.Width, out TVector x0, out TVector x1, out TVector x2, out TVector x3);
            AddAlongZ(x0, zPoint, outputs, 16 * pitch);
            AddAlongZ(x1, zPoint, outputs + pitch, 16 * pitch);
            AddAlongZ(x2, zPoint, outputs + 2 * pitch, 16 * pitch);
            AddAlongZ(x3, zPoint, outputs + 3 * pitch, 16 * pitch);
            outputs += 4 * pitch;
        }
    }

    // Aᵀ m of F(4, 3): six products one pitch apart to four outputs.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Output(float* products, nint pitch, out TVector y0, out TVector y1, out TVector y2, out TVector y3)
    {
        TVector m1 = TOps.Load(products + pitch);
        TVector m2 = TOps.Load(products + 2 * pitch);
        TVector m3 = TOps.Load(products + 3 * pitch);
        TVector m4 = TOps.Load(products + 4 * pitch);
        TVector sumP = TOps.Add(m1, m2);
        TVector sumQ = TOps.Add(m3, m4);
        TVector differenceP = TOps.Subtract(m1, m2);
        TVector differenceQ = TOps.Subtract(m3, m4);
        y0 = TOps.Add(TOps.Load(products), TOps.Add(sumP, sumQ));
        y1 = TOps.MultiplyAdd(TOps.Broadcast(Q), differenceQ, TOps.Multiply(TOps.Broadcast(P), differenceP));
        y2 = TOps.MultiplyAdd(TOps.Broadcast(Q2), sumQ, TOps.Multiply(TOps.Broadcast(P2), sumP));
        y3 = TOps.MultiplyAdd(
            TOps.Broadcast(Q3), differenceQ, TOps.MultiplyAdd(TOps.Broadcast(P3), differenceP, TOps.Load(products + 5 * pitch)));
    }

    // Aᵀ of F(2, 3) is (m0 + m1 + m2, m1 − m2 + m3).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddAlongZ(TVector product, int zPoint, float* near, nint plane)
    {
        float* far = near + plane;
        switch (zPoint)
        {
            case 0:
                TOps.Store(product, near);
                break;
            case 1:
                TOps.Store(TOps.Add(TOps.Load(near), product), near);
                TOps.Store(product, far);
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
