namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// The inner loop of every host convolution: a product of two matrices whose result tile stays in registers,
/// c[j,·] += Σ_s Σ_k a[offsets[j] + segments[s] + k·aStride] · b[(s·length + k)·bStride + ·] for the tile's
/// rows j.
/// </summary>
/// <remarks>
/// a: rows at arbitrary offsets, read one float at a time and broadcast. b: the columns, contiguous vectors.
/// c: added to, or overwritten, after the whole sum, which runs in the order of s, then k. In a forward pass
/// the rows are voxels, a segment is the contiguous run (tap x, input channel) of a packed row and b are the
/// weights; in a weight gradient the rows are (tap, input channel) pairs, a segment is a row of voxels and b
/// is gradOutput. 6 rows × 2 vectors are 12 accumulators, which with two columns and one broadcast fill the
/// 16 vector registers of AVX2 and hide the latency of two multiply-adds a cycle. AVX-512 has registers for 8
/// rows, of which volumes and channels are more often a multiple.
/// </remarks>
internal static unsafe class HostTile<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    /// <summary>Rows of a tile.</summary>
    public static int Rows => TOps.TileRows;

    /// <summary>
    /// Rows of the next tile where this many remain: 4 where that leaves fewer rows that nobody needs, at
    /// most 3.
    /// </summary>
    public static int RowsFor(int remaining) => remaining <= 4 || (Rows == 6 && remaining is 7 or 8) ? 4 : Rows;

    /// <summary>Adds one tile of one or two vectors of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add(
        int vectors,
        float* a,
        nint* offsets,
        nint* segments,
        int segmentCount,
        int length,
        nint aStride,
        float* b,
        nint bStride,
        float* c,
        nint cPitch)
        => Choose(Rows, vectors, a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite: false);

    /// <summary>The same, but overwrites the tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Overwrite(
        int vectors,
        float* a,
        nint* offsets,
        nint* segments,
        int segmentCount,
        int length,
        nint aStride,
        float* b,
        nint bStride,
        float* c,
        nint cPitch)
        => Choose(Rows, vectors, a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite: true);

    /// <summary>
    /// The same for <see cref="RowsFor"/> rows and a single segment at 0; adds or overwrites.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Product(
        int rows,
        int vectors,
        float* a,
        nint* offsets,
        int length,
        nint aStride,
        float* b,
        nint bStride,
        float* c,
        nint cPitch,
        bool overwrite)
    {
        nint segment = 0;
        Choose(rows, vectors, a, offsets, &segment, 1, length, aStride, b, bStride, c, cPitch, overwrite);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Choose(
        int rows, int vectors, float* a, nint* offsets, nint* segments, int segmentCount, int length, nint aStride, float* b,
        nint bStride, float* c, nint cPitch, bool overwrite)
    {
        if (rows == 4)
            Choose<FourRows>(vectors, a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite);
        else if (Rows == 6)
            Choose<SixRows>(vectors, a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite);
        else
            Choose<EightRows>(vectors, a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Choose<TRows>(
        int vectors, float* a, nint* offsets, nint* segments, int segmentCount, int length, nint aStride, float* b, nint bStride,
        float* c, nint cPitch, bool overwrite)
        where TRows : struct, IRows
    {
        if (vectors == 2)
            Two<TRows>(a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite);
        else
            One<TRows>(a, offsets, segments, segmentCount, length, aStride, b, bStride, c, cPitch, overwrite);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Two<TRows>(
        float* a,
        nint* offsets,
        nint* segments,
        int segmentCount,
        int length,
        nint aStride,
        float* b,
        nint bStride,
        float* c,
        nint cPitch,
        bool overwrite)
        where TRows : struct, IRows
    {
        TVector c00 = TOps.Broadcast(0), c01 = TOps.Broadcast(0);
        TVector c10 = TOps.Broadcast(0), c11 = TOps.Broadcast(0);
        TVector c20 = TOps.Broadcast(0), c21 = TOps.Broadcast(0);
        TVector c30 = TOps.Broadcast(0), c31 = TOps.Broadcast(0);
        TVector c40 = TOps.Broadcast(0), c41 = TOps.Broadcast(0);
        TVector c50 = TOps.Broadcast(0), c51 = TOps.Broadcast(0);
        TVector c60 = TOps.Broadcast(0), c61 = TOps.Broadcast(0);
        TVector c70 = TOps.Broadcast(0), c71 = TOps.Broadcast(0);
        a += offsets[0];
        nint o1 = offsets[1] - offsets[0];
        nint o2 = offsets[2] - offsets[0];
        nint o3 = offsets[3] - offsets[0];
        // The compiler knows the count: of rows beyond it nothing remains.
        nint o4 = TRows.Count > 4 ? offsets[4] - offsets[0] : 0;
        nint o5 = TRows.Count > 4 ? offsets[5] - offsets[0] : 0;
        nint o6 = TRows.Count > 6 ? offsets[6] - offsets[0] : 0;
        nint o7 = TRows.Count > 6 ? offsets[7] - offsets[0] : 0;
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
                if (TRows.Count > 4)
                {
                    x = TOps.Broadcast(p[o4]);
                    c40 = TOps.MultiplyAdd(x, b0, c40);
                    c41 = TOps.MultiplyAdd(x, b1, c41);
                    x = TOps.Broadcast(p[o5]);
                    c50 = TOps.MultiplyAdd(x, b0, c50);
                    c51 = TOps.MultiplyAdd(x, b1, c51);
                }

                if (TRows.Count > 6)
                {
                    x = TOps.Broadcast(p[o6]);
                    c60 = TOps.MultiplyAdd(x, b0, c60);
                    c61 = TOps.MultiplyAdd(x, b1, c61);
                    x = TOps.Broadcast(p[o7]);
                    c70 = TOps.MultiplyAdd(x, b0, c70);
                    c71 = TOps.MultiplyAdd(x, b1, c71);
                }

                p += aStride;
                b += bStride;
            }
        }

        Finish(c00, c01, c, overwrite);
        Finish(c10, c11, c + cPitch, overwrite);
        Finish(c20, c21, c + 2 * cPitch, overwrite);
        Finish(c30, c31, c + 3 * cPitch, overwrite);
        if (TRows.Count > 4)
        {
            Finish(c40, c41, c + 4 * cPitch, overwrite);
            Finish(c50, c51, c + 5 * cPitch, overwrite);
        }

        if (TRows.Count > 6)
        {
            Finish(c60, c61, c + 6 * cPitch, overwrite);
            Finish(c70, c71, c + 7 * cPitch, overwrite);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void One<TRows>(
        float* a,
        nint* offsets,
        nint* segments,
        int segmentCount,
        int length,
        nint aStride,
        float* b,
        nint bStride,
        float* c,
        nint cPitch,
        bool overwrite)
        where TRows : struct, IRows
    {
        TVector c0 = TOps.Broadcast(0), c1 = TOps.Broadcast(0), c2 = TOps.Broadcast(0);
        TVector c3 = TOps.Broadcast(0), c4 = TOps.Broadcast(0), c5 = TOps.Broadcast(0);
        TVector c6 = TOps.Broadcast(0), c7 = TOps.Broadcast(0);
        a += offsets[0];
        nint o1 = offsets[1] - offsets[0];
        nint o2 = offsets[2] - offsets[0];
        nint o3 = offsets[3] - offsets[0];
        // The compiler knows the count: of rows beyond it nothing remains.
        nint o4 = TRows.Count > 4 ? offsets[4] - offsets[0] : 0;
        nint o5 = TRows.Count > 4 ? offsets[5] - offsets[0] : 0;
        nint o6 = TRows.Count > 6 ? offsets[6] - offsets[0] : 0;
        nint o7 = TRows.Count > 6 ? offsets[7] - offsets[0] : 0;
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
                if (TRows.Count > 4)
                {
                    c4 = TOps.MultiplyAdd(TOps.Broadcast(p[o4]), b0, c4);
                    c5 = TOps.MultiplyAdd(TOps.Broadcast(p[o5]), b0, c5);
                }

                if (TRows.Count > 6)
                {
                    c6 = TOps.MultiplyAdd(TOps.Broadcast(p[o6]), b0, c6);
                    c7 = TOps.MultiplyAdd(TOps.Broadcast(p[o7]), b0, c7);
                }

                p += aStride;
                b += bStride;
            }
        }

        Finish(c0, c, overwrite);
        Finish(c1, c + cPitch, overwrite);
        Finish(c2, c + 2 * cPitch, overwrite);
        Finish(c3, c + 3 * cPitch, overwrite);
        if (TRows.Count > 4)
        {
            Finish(c4, c + 4 * cPitch, overwrite);
            Finish(c5, c + 5 * cPitch, overwrite);
        }

        if (TRows.Count > 6)
        {
            Finish(c6, c + 6 * cPitch, overwrite);
            Finish(c7, c + 7 * cPitch, overwrite);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(TVector first, TVector second, float* c, bool overwrite)
    {
        Finish(first, c, overwrite);
        Finish(second, c + TOps.Width, overwrite);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(TVector value, float* c, bool overwrite)
        => TOps.Store(overwrite ? value : TOps.Add(TOps.Load(c), value), c);

    private interface IRows
    {
        static abstract int Count { get; }
    }

    private readonly struct FourRows : IRows
    {
        public static int Count => 4;
    }

    private readonly struct SixRows : IRows
    {
        public static int Count => 6;
    }

    private readonly struct EightRows : IRows
    {
        public static int Count => 8;
    }
}
