namespace MeanShiftGpu.Kernels.Pooling;

/// <summary>
/// The plain max pooling: one thread per result, any accelerator. The reference for the others.
/// </summary>
/// <typeparam name="T">The real type.</typeparam>
/// <typeparam name="TReal">Its functions; none is needed.</typeparam>
/// <typeparam name="TElement">What the tensors hold: <typeparamref name="T"/> or
/// <see cref="Bf16"/>.</typeparam>
/// <typeparam name="TStored">How that lies in memory: <see cref="Plain{T}"/> or
/// <see cref="Bf16"/>.</typeparam>
internal sealed class MaxPool3dDirect<T, TReal, TElement, TStored> : IMaxPool3d<TElement>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TElement : unmanaged
    where TStored : unmanaged, IStored<TStored, T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<TStored>, MaxPool3dShape> forward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<TStored>, ArrayView<TStored>,
        MaxPool3dShape> backward;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public MaxPool3dDirect(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        accelerator.Load(MaxPool3dDirectKernels<T, TStored>.ForwardKernel, out forward);
        accelerator.Load(MaxPool3dDirectKernels<T, TStored>.BackwardKernel, out backward);
    }

    /// <inheritdoc/>
    void IMaxPool3d<TElement>.LaunchForward(
        AcceleratorStream stream, ArrayView<TElement> input, ArrayView<TElement> output, MaxPool3dShape shape)
        => forward(
            stream, LaunchExtent.Of(shape.OutputVoxels * shape.Channels), input.Cast<TStored>(), output.Cast<TStored>(), shape);

    /// <inheritdoc/>
    void IMaxPool3d<TElement>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<TElement> input, ArrayView<TElement> gradOutput, ArrayView<TElement> gradInput,
        MaxPool3dShape shape)
        => backward(
            stream,
            LaunchExtent.Of(shape.OutputVoxels * shape.Channels),
            input.Cast<TStored>(),
            gradOutput.Cast<TStored>(),
            gradInput.Cast<TStored>(),
            shape);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

/// <summary>The kernels of <see cref="MaxPool3dDirect{T, TReal, TElement, TStored}"/>.</summary>
internal static class MaxPool3dDirectKernels<T, TStored>
    where T : unmanaged, INumber<T>
    where TStored : unmanaged, IStored<TStored, T>
{
    // y[v,c] = max of x over the 2 x 2 x 2 voxels of v's window; NaN wins.
    // One thread per (output voxel, channel); output overwritten. Extents of the input are even. Limited by
    // memory: 25 MB at 56³ with 32 channels, 5 µs on an H200, 70 µs at 360 GB/s; the 180 instructions a
    // thread, index arithmetic mostly, take 4 µs and 20 µs beside it (estimates), so accesses of 16 bytes
    // have nothing to gain on the smaller card, and of the whole step 1 µs on the larger.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<TStored> input, // [N, D, H, W, C], pitch InputPitch
        ArrayView<TStored> output, // [N, D/2, H/2, W/2, C], pitch OutputPitch
        MaxPool3dShape shape)
    {
        long corner = MaxPool3dWindow.Corner(index.X, shape);
        TStored best = input[corner];
        for (int tap = 1; tap < MaxPool3dWindow.Taps; tap++)
        {
            TStored value = input[corner + MaxPool3dWindow.TapOffset(tap, shape)];
            if (MaxPool3dWindow.IsAbove(TStored.Load(value), TStored.Load(best)))
                best = value;
        }

        output[MaxPool3dWindow.OutputElement(index.X, shape)] = best;
    }

    // dx[q,c] = dy[v,c] where q is the first maximum (in the order z, y, x) of v's window, 0 elsewhere.
    // One thread per (output voxel, channel): it owns the window's eight elements of gradInput, overwrites
    // them or, with Accumulate, adds to the one that was taken. 48 MB at 56³ with 32 channels: 10 µs on an
    // H200, 130 µs at 360 GB/s (estimates).
    [Kernel]
    internal static void BackwardKernel(
        Index1D index,
        ArrayView<TStored> input, // [N, D, H, W, C], pitch InputPitch
        ArrayView<TStored> gradOutput, // [N, D/2, H/2, W/2, C], pitch OutputPitch
        ArrayView<TStored> gradInput, // [N, D, H, W, C], pitch InputPitch
        MaxPool3dShape shape)
    {
        long corner = MaxPool3dWindow.Corner(index.X, shape);
        T best = TStored.Load(input[corner]);
        int bestTap = 0;
        for (int tap = 1; tap < MaxPool3dWindow.Taps; tap++)
        {
            T value = TStored.Load(input[corner + MaxPool3dWindow.TapOffset(tap, shape)]);
            if (MaxPool3dWindow.IsAbove(value, best))
            {
                best = value;
                bestTap = tap;
            }
        }

        TStored gradient = gradOutput[MaxPool3dWindow.OutputElement(index.X, shape)];
        if (shape.Accumulate != 0)
        {
            ref TStored taken = ref gradInput[corner + MaxPool3dWindow.TapOffset(bestTap, shape)];
            taken = TStored.Store(TStored.Load(taken) + TStored.Load(gradient));
            return;
        }

        for (int tap = 0; tap < MaxPool3dWindow.Taps; tap++)
            gradInput[corner + MaxPool3dWindow.TapOffset(tap, shape)] = tap == bestTap ? gradient : default;
    }
}
