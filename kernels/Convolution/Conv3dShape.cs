namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>What a convolution applies to its sums before it stores them.</summary>
public enum Activation
{
    /// <summary>Nothing: y = x.</summary>
    None,

    /// <summary>Rectified linear: y = max(x, 0). Its derivative at 0 is 0.</summary>
    Relu,
}

/// <summary>
/// Extents of a 3D convolution with stride 1 and zero padding KernelSize/2 (output extents equal input
/// extents). Activations are channels-last; a pitch is the number of elements from one voxel to the next, so
/// that a tensor may be a slice of the channels of a wider one (pitch ≥ channels).
/// </summary>
/// <param name="Batch">N.</param>
/// <param name="Depth">D, voxels along z.</param>
/// <param name="Height">H, voxels along y.</param>
/// <param name="Width">W, voxels along x (fastest after the channels).</param>
/// <param name="InputChannels">Cin.</param>
/// <param name="OutputChannels">Cout.</param>
/// <param name="KernelSize">Edge of the kernel: 1 or 3.</param>
/// <param name="Activation">Applied to the output in the same kernel.</param>
/// <param name="InputPitch">Elements from one input voxel to the next; also of gradInput.</param>
/// <param name="OutputPitch">Elements from one output voxel to the next; also of gradOutput.</param>
public readonly record struct Conv3dShape(
    int Batch,
    int Depth,
    int Height,
    int Width,
    int InputChannels,
    int OutputChannels,
    int KernelSize,
    Activation Activation,
    int InputPitch,
    int OutputPitch)
{
    /// <summary>Applied to the output.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a value that is not known: kernels would take it
    /// for another.</exception>
    public Activation Activation { get; init => field = Known(value); } = Known(Activation);

    /// <summary>Whole tensors, whose voxels follow each other without a gap.</summary>
    /// <param name="batch">N.</param>
    /// <param name="extent">(D, H, W) in voxels.</param>
    /// <param name="inputChannels">Cin.</param>
    /// <param name="outputChannels">Cout.</param>
    /// <param name="kernelSize">Edge of the kernel: 1 or 3.</param>
    /// <param name="activation">Applied to the output in the same kernel.</param>
    /// <exception cref="ArgumentOutOfRangeException">The kernel's edge is neither 1 nor 3, or the activation
    /// is not known.</exception>
    public static Conv3dShape Dense(
        int batch,
        (int Depth, int Height, int Width) extent,
        int inputChannels,
        int outputChannels,
        int kernelSize = 3,
        Activation activation = Activation.None)
    {
        if (kernelSize is not (1 or 3))
            throw new ArgumentOutOfRangeException(nameof(kernelSize), kernelSize, "Expected a kernel of edge 1 or 3.");
        return new(
            batch,
            extent.Depth,
            extent.Height,
            extent.Width,
            inputChannels,
            outputChannels,
            kernelSize,
            activation,
            inputChannels,
            outputChannels);
    }

    /// <summary>N·D·H·W.</summary>
    public long Voxels => (long)Batch * Depth * Height * Width;

    /// <summary>The voxels of the output that backward passes read, as a mask.</summary>
    internal long MaskedVoxels => Activation == Activation.None ? 0 : Voxels;

    /// <summary>KernelSize³.</summary>
    public int Taps => KernelSize * KernelSize * KernelSize;

    /// <summary>Number of weights: KernelSize³·Cin·Cout.</summary>
    public long WeightLength => (long)Taps * InputChannels * OutputChannels;

    /// <summary>
    /// Multiplications and additions of one pass of the direct algorithm (borders counted as inside).
    /// </summary>
    public double Operations => 2.0 * Voxels * WeightLength;

    /// <summary>Throws where an extent makes no sense; otherwise the number of voxels.</summary>
    internal long Check(in Launch launch)
    {
        if (KernelSize is not (1 or 3))
            throw launch.Refusal("shape", $"has a kernel of edge {KernelSize}, expected 1 or 3.");
        launch.Least(InputChannels, 1, "input channels");
        launch.Least(OutputChannels, 1, "output channels");
        launch.Product("weights", Taps, InputChannels, OutputChannels);
        return launch.Product("voxels", Batch, Depth, Height, Width);
    }

    private static Activation Known(Activation activation)
        => Enum.IsDefined(activation) ? activation : throw UnknownValue.Of(activation);
}
