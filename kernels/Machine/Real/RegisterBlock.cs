namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>Eight numbers: the channels, or the voxels, of a thread's block.</summary>
internal struct Octet<T>
    where T : unmanaged, INumber<T>
{
    public Quad<T> Low;
    public Quad<T> High;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Octet(Quad<T> low, Quad<T> high)
    {
        Low = low;
        High = high;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Octet<T> MultiplyAdd(T a, Octet<T> b, Octet<T> c)
        => new(Quad<T>.MultiplyAdd(a, b.Low, c.Low), Quad<T>.MultiplyAdd(a, b.High, c.High));
}

/// <summary>A thread's sums: 8 voxels × 8 channels, 64 registers in float32.</summary>
internal struct RegisterBlock<T>
    where T : unmanaged, INumber<T>
{
    public Octet<T> V0;
    public Octet<T> V1;
    public Octet<T> V2;
    public Octet<T> V3;
    public Octet<T> V4;
    public Octet<T> V5;
    public Octet<T> V6;
    public Octet<T> V7;

    /// <summary>Every voxel with the same channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RegisterBlock(Octet<T> channels)
    {
        V0 = channels;
        V1 = channels;
        V2 = channels;
        V3 = channels;
        V4 = channels;
        V5 = channels;
        V6 = channels;
        V7 = channels;
    }

    /// <summary>The outer product of voxels and channels, added: 64 multiply-adds from 16 numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RegisterBlock<T> MultiplyAdd(Octet<T> voxels, Octet<T> channels, RegisterBlock<T> sum)
    {
        sum.V0 = Octet<T>.MultiplyAdd(voxels.Low.X, channels, sum.V0);
        sum.V1 = Octet<T>.MultiplyAdd(voxels.Low.Y, channels, sum.V1);
        sum.V2 = Octet<T>.MultiplyAdd(voxels.Low.Z, channels, sum.V2);
        sum.V3 = Octet<T>.MultiplyAdd(voxels.Low.W, channels, sum.V3);
        sum.V4 = Octet<T>.MultiplyAdd(voxels.High.X, channels, sum.V4);
        sum.V5 = Octet<T>.MultiplyAdd(voxels.High.Y, channels, sum.V5);
        sum.V6 = Octet<T>.MultiplyAdd(voxels.High.Z, channels, sum.V6);
        sum.V7 = Octet<T>.MultiplyAdd(voxels.High.W, channels, sum.V7);
        return sum;
    }
}

/// <summary>
/// Eight voxels along x with one neighbour on each side, and two numbers that are not read.
/// </summary>
internal struct HaloRun<T>
    where T : unmanaged, INumber<T>
{
    public Quad<T> A;
    public Quad<T> B;
    public Quad<T> C;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public HaloRun(Quad<T> a, Quad<T> b, Quad<T> c)
    {
        A = a;
        B = b;
        C = c;
    }

    /// <summary>The eight voxels' left neighbours.</summary>
    public readonly Octet<T> Left
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(A, B);
    }

    /// <summary>The eight voxels.</summary>
    public readonly Octet<T> Middle
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(new Quad<T>(A.Y, A.Z, A.W, B.X), new Quad<T>(B.Y, B.Z, B.W, C.X));
    }

    /// <summary>The eight voxels' right neighbours.</summary>
    public readonly Octet<T> Right
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(new Quad<T>(A.Z, A.W, B.X, B.Y), new Quad<T>(B.Z, B.W, C.X, C.Y));
    }
}
