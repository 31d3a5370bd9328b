namespace MeanShiftGpu.Kernels.Head;

/// <summary>
/// Extents of the network's head: a 1³ convolution, bias and sigmoid. Voxels are independent, so only their
/// number counts.
/// </summary>
/// <param name="Voxels">N·D·H·W.</param>
/// <param name="InputChannels">Cin.</param>
/// <param name="Outputs">Number of maps.</param>
/// <param name="InputPitch">Elements from one input voxel to the next (≥ Cin); also of gradInput.</param>
public readonly record struct SigmoidHeadShape(long Voxels, int InputChannels, int Outputs, int InputPitch)
{
    /// <summary>A whole tensor, whose voxels follow each other without a gap.</summary>
    /// <param name="batch">N.</param>
    /// <param name="extent">(D, H, W) in voxels.</param>
    /// <param name="inputChannels">Cin.</param>
    /// <param name="outputs">Number of maps.</param>
    public static SigmoidHeadShape Dense(
        int batch, (int Depth, int Height, int Width) extent, int inputChannels, int outputs)
        => new((long)batch * extent.Depth * extent.Height * extent.Width, inputChannels, outputs, inputChannels);

    /// <summary>Number of weights: Cin·Outputs.</summary>
    public int WeightLength => InputChannels * Outputs;

    /// <summary>Number of weights and biases.</summary>
    public int ParameterLength => WeightLength + Outputs;

    /// <summary>Throws where an extent makes no sense.</summary>
    internal void Check(in Launch launch)
    {
        launch.Least(InputChannels, 1, "input channels");
        launch.Least(Outputs, 1, "outputs");
        launch.FitsInt(((long)InputChannels + 1) * Outputs, "weights and biases");
        launch.Product("map", Voxels, Outputs);
    }
}
