using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// Some planes of a volume, between activations of which only a few planes are in memory: plane z of input and output lies at z mod its ring.
/// </summary>
/// <param name="Begin">The first plane to compute.</param>
/// <param name="End">The one after the last.</param>
/// <param name="InputRing">Planes of the input in memory; those from Begin − 1 to End (inclusive, inside the volume) must be there.</param>
/// <param name="OutputRing">Planes of the output in memory, at least End − Begin.</param>
public readonly record struct PlaneRange(int Begin, int End, int InputRing, int OutputRing)
{
    /// <summary>How many planes are computed.</summary>
    public int Count => End - Begin;

    /// <summary>All planes of a volume that is all in memory.</summary>
    public static PlaneRange Whole(Conv3dShape shape) => new(0, shape.Depth, shape.Depth, shape.Depth);
}

/// <summary>A variant of the 3D convolution that can compute some planes alone, with the bits that they have in the whole.</summary>
/// <typeparam name="T">The real type.</typeparam>
public interface IConv3dByPlanes<T> : IConv3d<T>
    where T : unmanaged
{
    /// <summary>Overwrites planes of the output.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="input">[N, input ring, H, W, Cin].</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, output ring, H, W, Cout].</param>
    /// <param name="shape">The whole volume's shape.</param>
    /// <param name="planes">Which planes, and how they lie in memory.</param>
    void ForwardPlanes(
        AcceleratorStream stream,
        ArrayView<T> input,
        ArrayView<T> weight,
        ArrayView<T> bias,
        ArrayView<T> output,
        Conv3dShape shape,
        PlaneRange planes);
}
