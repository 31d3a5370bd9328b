namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>
/// How a number lies in memory, as a type parameter beside the real type of the arithmetic: as that type
/// (<see cref="Plain{T}"/>) or as <see cref="Bf16"/>.
/// </summary>
/// <typeparam name="TSelf">What lies in memory.</typeparam>
/// <typeparam name="T">The real type.</typeparam>
internal interface IStored<TSelf, T>
    where TSelf : unmanaged, IStored<TSelf, T>
    where T : unmanaged, INumber<T>
{
    /// <summary>The number that lies in memory.</summary>
    static abstract T Load(TSelf stored);

    /// <summary>What lies in memory for a number: the nearest that there is.</summary>
    static abstract TSelf Store(T value);
}

/// <summary>A number that lies in memory as its real type; in a kernel no more than that.</summary>
/// <param name="value">The number.</param>
internal readonly struct Plain<T>(T value) : IStored<Plain<T>, T>
    where T : unmanaged, INumber<T>
{
    private readonly T value = value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load(Plain<T> stored) => stored.value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Plain<T> Store(T value) => new(value);
}
