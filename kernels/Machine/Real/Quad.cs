namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>
/// Four numbers side by side. In float32 they load and store as one access of 16 bytes, where the address is
/// a multiple of 16; kernels keep their sums in structs of these, because a local array would not stay in
/// registers.
/// </summary>
internal struct Quad<T>
    where T : unmanaged, INumber<T>
{
    public T X;
    public T Y;
    public T Z;
    public T W;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Quad(T x, T y, T z, T w)
    {
        X = x;
        Y = y;
        Z = z;
        W = w;
    }

    /// <summary>Four zeros.</summary>
    public static Quad<T> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(T.Zero, T.Zero, T.Zero, T.Zero);
    }

    /// <summary>a + b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Add(Quad<T> a, Quad<T> b) => new(a.X + b.X, a.Y + b.Y, a.Z + b.Z, a.W + b.W);

    /// <summary>a·b + c; compilers of devices fuse it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> MultiplyAdd(T a, Quad<T> b, Quad<T> c)
        => new(a * b.X + c.X, a * b.Y + c.Y, a * b.Z + c.Z, a * b.W + c.W);

    /// <summary>max(value, 0); a NaN stays a NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Relu(Quad<T> value)
        => new(
            value.X < T.Zero ? T.Zero : value.X,
            value.Y < T.Zero ? T.Zero : value.Y,
            value.Z < T.Zero ? T.Zero : value.Z,
            value.W < T.Zero ? T.Zero : value.W);

    /// <summary>The value where the gate is above 0, otherwise 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> WherePositive(Quad<T> gate, Quad<T> value)
        => new(
            gate.X > T.Zero ? value.X : T.Zero,
            gate.Y > T.Zero ? value.Y : T.Zero,
            gate.Z > T.Zero ? value.Z : T.Zero,
            gate.W > T.Zero ? value.W : T.Zero);
}

/// <summary>Four neighbours as they lie in memory.</summary>
internal struct StoredQuad<TStored>
    where TStored : unmanaged
{
    public TStored X;
    public TStored Y;
    public TStored Z;
    public TStored W;
}

/// <summary>Loads and stores of four neighbouring channels, of which the last may be missing.</summary>
internal static class QuadAccess
{
    /// <summary>
    /// 1 where every group of four channels of a tensor can be one access: the view begins at a multiple of
    /// four elements of its buffer, and so does every voxel; 0 otherwise.
    /// </summary>
    public static int Allowed<T>(ArrayView<T> view, int channels, int pitch)
        where T : unmanaged
        => channels % 4 == 0 && pitch % 4 == 0 && IndexInBytes(view) % (4 * view.ElementSize()) == 0 ? 1 : 0;

    /// <summary>
    /// The elements index … index + 3, of which only the first <paramref name="count"/> exist; the others are
    /// 0.
    /// </summary>
    /// <param name="view">The tensor.</param>
    /// <param name="index">Where the first lies.</param>
    /// <param name="count">How many exist, from there; may exceed 4.</param>
    /// <param name="allowed">From <see cref="Allowed"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Load<T>(ArrayView<T> view, long index, int count, int allowed)
        where T : unmanaged, INumber<T>
    {
        if (allowed != 0)
            return view.Cast<Quad<T>>()[index / 4];
        return new Quad<T>(
            count > 0 ? view[index] : T.Zero,
            count > 1 ? view[index + 1] : T.Zero,
            count > 2 ? view[index + 2] : T.Zero,
            count > 3 ? view[index + 3] : T.Zero);
    }

    /// <summary>The same of what is stored in another way than as its real type: the numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Load<TStored, T>(ArrayView<TStored> view, long index, int count, int allowed)
        where TStored : unmanaged, IStored<TStored, T>
        where T : unmanaged, INumber<T>
    {
        if (allowed != 0)
        {
            StoredQuad<TStored> four = view.Cast<StoredQuad<TStored>>()[index / 4];
            return new Quad<T>(TStored.Load(four.X), TStored.Load(four.Y), TStored.Load(four.Z), TStored.Load(four.W));
        }

        return new Quad<T>(
            count > 0 ? TStored.Load(view[index]) : T.Zero,
            count > 1 ? TStored.Load(view[index + 1]) : T.Zero,
            count > 2 ? TStored.Load(view[index + 2]) : T.Zero,
            count > 3 ? TStored.Load(view[index + 3]) : T.Zero);
    }

    /// <summary>
    /// Stores to the elements index … index + 3, of which only the first <paramref name="count"/> exist.
    /// </summary>
    /// <param name="view">The tensor.</param>
    /// <param name="index">Where the first lies.</param>
    /// <param name="value">What to store.</param>
    /// <param name="count">How many exist, from there; may exceed 4 or be below 1.</param>
    /// <param name="allowed">From <see cref="Allowed"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(ArrayView<T> view, long index, Quad<T> value, int count, int allowed)
        where T : unmanaged, INumber<T>
    {
        if (allowed != 0)
        {
            if (count > 0)
                view.Cast<Quad<T>>()[index / 4] = value;
            return;
        }

        if (count > 0)
            view[index] = value.X;
        if (count > 1)
            view[index + 1] = value.Y;
        if (count > 2)
            view[index + 2] = value.Z;
        if (count > 3)
            view[index + 3] = value.W;
    }

    private static int ElementSize<T>(this ArrayView<T> view)
        where T : unmanaged
        => Interop.SizeOf<T>();

    private static long IndexInBytes<TView>(TView view)
        where TView : struct, IContiguousArrayView
        => view.IndexInBytes;
}
