namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>Some planes of a volume, of whose output only a few are in memory.</summary>
/// <param name="Begin">The first plane to compute.</param>
/// <param name="End">The one after the last.</param>
/// <param name="OutputRing">Planes of the output in memory, at least End − Begin: plane z lies at z mod this.</param>
public readonly record struct PlaneRange(int Begin, int End, int OutputRing)
{
    /// <summary>How many planes are computed.</summary>
    public int Count => End - Begin;

    /// <summary>All planes of a volume that is all in memory.</summary>
    public static PlaneRange Whole(Conv3dShape shape) => new(0, shape.Depth, shape.Depth);
}

/// <summary>Neighbouring channels of a convolution's input in a buffer of their own, of which only a few planes are in memory.</summary>
/// <typeparam name="T">The real type.</typeparam>
/// <param name="View">[N, ring, H, W, channels].</param>
/// <param name="Channels">The channels.</param>
/// <param name="Pitch">Elements from one voxel to the next.</param>
/// <param name="Ring">Planes in memory, plane z at z mod this; those before, of and after what is computed, inside the volume, must be there.</param>
public readonly record struct PlaneInput<T>(ArrayView<T> View, int Channels, int Pitch, int Ring)
    where T : unmanaged;

/// <summary>A variant of the 3D convolution that can compute some planes alone, with the bits that they have in the whole.</summary>
/// <typeparam name="T">The real type.</typeparam>
public interface IConv3dByPlanes<T> : IConv3d<T, T>
    where T : unmanaged
{
    /// <summary>Overwrites planes of the output.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="inputs">Where Cin's channels are, the first ones first: a skip connection and what is upsampled need not be brought together.</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, output ring, H, W, Cout].</param>
    /// <param name="shape">The whole volume's shape; of its input's pitch nothing is read.</param>
    /// <param name="planes">Which planes, and how they lie in memory.</param>
    void ForwardPlanes(
        AcceleratorStream stream,
        ReadOnlySpan<PlaneInput<T>> inputs,
        ArrayView<T> weight,
        ArrayView<T> bias,
        ArrayView<T> output,
        Conv3dShape shape,
        PlaneRange planes);
}
