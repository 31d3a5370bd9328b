using System.Runtime.CompilerServices;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// The inner loop of every host convolution: a product of two matrices whose result tile stays in registers,
/// c[j,·] += Σ_s Σ_k a[offsets[j] + segments[s] + k·aStride] · b[(s·length + k)·bStride + ·],  j = 0…5.
/// </summary>
/// <remarks>
/// a: 6 rows at arbitrary offsets, read one float at a time and broadcast. b: the columns, contiguous vectors. c: added to
/// after the whole sum, which runs in the order of s, then k. In a forward pass the rows are voxels, a segment is the
/// contiguous run (tap x, input channel) of a packed row and b are the weights; in a weight gradient the rows are (tap, input
/// channel) pairs, a segment is a row of voxels and b is gradOutput. 6 rows × 2 vectors are 12 accumulators, which with
/// two columns and one broadcast fill the 16 vector registers of AVX2 and hide the latency of two multiply-adds a cycle.
/// </remarks>
internal static unsafe class HostTile<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 6;

    /// <summary>Adds one tile of one or two vectors of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add(
        int vectors, float* a, nint* offsets, nint* segments, int segmentCount, int length, nint aStride, float* b, nint bStride, float* c, nint cPitch)
    {
        if (vectors == 2)
            AddTwo(a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch);
        else
            AddOne(a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddTwo(
        float* a, nint* offsets, nint* segments, int segmentCount, int length, nint aStride, float* b, nint bStride, float* c, nint cPitch)
    {
        TVector c00 = TOps.Broadcast(0), c01 = TOps.Broadcast(0);
        TVector c10 = TOps.Broadcast(0), c11 = TOps.Broadcast(0);
        TVector c20 = TOps.Broadcast(0), c21 = TOps.Broadcast(0);
        TVector c30 = TOps.Broadcast(0), c31 = TOps.Broadcast(0);
        TVector c40 = TOps.Broadcast(0), c41 = TOps.Broadcast(0);
        TVector c50 = TOps.Broadcast(0), c51 = TOps.Broadcast(0);
        a += offsets[0];
        nint o1 = offsets[1] - offsets[0];
        nint o2 = offsets[2] - offsets[0];
        nint o3 = offsets[3] - offsets[0];
        nint o4 = offsets[4] - offsets[0];
        nint o5 = offsets[5] - offsets[0];
        for (int s = 0; s < segmentCount; s++)
        {
            float* p = a + segments[s];
            for (int k = length; k > 0; k--)
            {
                TVector b0 = TOps.Load(b);
                TVector b1 = TOps.Load(b + TOps.Width);
                TVector x = TOps.Broadcast(*p);
                c00 = TOps.MultiplyAdd(x, b0, c00);
                c01 = TOps.MultiplyAdd(x, b1, c01);
                x = TOps.Broadcast(p[o1]);
                c10 = TOps.MultiplyAdd(x, b0, c10);
                c11 = TOps.MultiplyAdd(x, b1, c11);
                x = TOps.Broadcast(p[o2]);
                c20 = TOps.MultiplyAdd(x, b0, c20);
                c21 = TOps.MultiplyAdd(x, b1, c21);
                x = TOps.Broadcast(p[o3]);
                c30 = TOps.MultiplyAdd(x, b0, c30);
                c31 = TOps.MultiplyAdd(x, b1, c31);
                x = TOps.Broadcast(p[o4]);
                c40 = TOps.MultiplyAdd(x, b0, c40);
                c41 = TOps.MultiplyAdd(x, b1, c41);
                x = TOps.Broadcast(p[o5]);
                c50 = TOps.MultiplyAdd(x, b0, c50);
                c51 = TOps.MultiplyAdd(x, b1, c51);
                p += aStride;
                b += bStride;
            }
        }

        AddPair(c00, c01, c);
        AddPair(c10, c11, c + cPitch);
        AddPair(c20, c21, c + 2 * cPitch);
        AddPair(c30, c31, c + 3 * cPitch);
        AddPair(c40, c41, c + 4 * cPitch);
        AddPair(c50, c51, c + 5 * cPitch);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddOne(
        float* a, nint* offsets, nint* segments, int segmentCount, int length, nint aStride, float* b, nint bStride, float* c, nint cPitch)
    {
        TVector c0 = TOps.Broadcast(0), c1 = TOps.Broadcast(0), c2 = TOps.Broadcast(0);
        TVector c3 = TOps.Broadcast(0), c4 = TOps.Broadcast(0), c5 = TOps.Broadcast(0);
        a += offsets[0];
        nint o1 = offsets[1] - offsets[0];
        nint o2 = offsets[2] - offsets[0];
        nint o3 = offsets[3] - offsets[0];
        nint o4 = offsets[4] - offsets[0];
        nint o5 = offsets[5] - offsets[0];
        for (int s = 0; s < segmentCount; s++)
        {
            float* p = a + segments[s];
            for (int k = length; k > 0; k--)
            {
                TVector b0 = TOps.Load(b);
                c0 = TOps.MultiplyAdd(TOps.Broadcast(*p), b0, c0);
                c1 = TOps.MultiplyAdd(TOps.Broadcast(p[o1]), b0, c1);
                c2 = TOps.MultiplyAdd(TOps.Broadcast(p[o2]), b0, c2);
                c3 = TOps.MultiplyAdd(TOps.Broadcast(p[o3]), b0, c3);
                c4 = TOps.MultiplyAdd(TOps.Broadcast(p[o4]), b0, c4);
                c5 = TOps.MultiplyAdd(TOps.Broadcast(p[o5]), b0, c5);
                p += aStride;
                b += bStride;
            }
        }

        AddSingle(c0, c);
        AddSingle(c1, c + cPitch);
        AddSingle(c2, c + 2 * cPitch);
        AddSingle(c3, c + 3 * cPitch);
        AddSingle(c4, c + 4 * cPitch);
        AddSingle(c5, c + 5 * cPitch);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPair(TVector first, TVector second, float* c)
    {
        AddSingle(first, c);
        AddSingle(second, c + TOps.Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSingle(TVector value, float* c) => TOps.Store(TOps.Add(TOps.Load(c), value), c);
}
