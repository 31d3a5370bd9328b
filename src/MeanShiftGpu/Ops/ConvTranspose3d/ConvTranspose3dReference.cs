using MeanShiftGpu.Kernels.Convolution;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>
/// The transposed 3D convolution in double, slow and obvious, sharing nothing with the kernels. Layouts as in
/// <see cref="IConvTranspose3d{TActivation, T}"/>.
/// </summary>
public static class ConvTranspose3dReference
{
    /// <summary>Overwrites the output's channels; what lies between them (pitch) is left alone.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void Forward(double[] input, double[] weight, double[] bias, double[] output, ConvTranspose3dShape shape)
    {
        ReferenceOperands operands = new("ConvTranspose3dReference.Forward");
        operands.RequireVoxels(input, shape.InputVoxels, shape.InputChannels, shape.InputPitch, nameof(input));
        operands.Require(weight, shape.WeightLength, nameof(weight));
        operands.Require(bias, shape.OutputChannels, nameof(bias));
        operands.RequireVoxels(output, shape.OutputVoxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        ForEachPair(shape, (inputVoxel, outputVoxel, tap) =>
        {
            for (int o = 0; o < shape.OutputChannels; o++)
            {
                double sum = bias[o];
                for (int i = 0; i < shape.InputChannels; i++)
                    sum += input[inputVoxel * shape.InputPitch + i] * weight[Weight(shape, tap, i, o)];
                output[outputVoxel * shape.OutputPitch + o] = sum;
            }
        });
    }

    /// <summary>Overwrites the gradInput's channels.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void BackwardInput(double[] gradOutput, double[] weight, double[] gradInput, ConvTranspose3dShape shape)
    {
        ReferenceOperands operands = new("ConvTranspose3dReference.BackwardInput");
        operands.RequireVoxels(gradOutput, shape.OutputVoxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        operands.Require(weight, shape.WeightLength, nameof(weight));
        operands.RequireVoxels(gradInput, shape.InputVoxels, shape.InputChannels, shape.InputPitch, nameof(gradInput));
        for (long voxel = 0; voxel < shape.InputVoxels; voxel++)
        {
            for (int i = 0; i < shape.InputChannels; i++)
                gradInput[voxel * shape.InputPitch + i] = 0;
        }

        ForEachPair(shape, (inputVoxel, outputVoxel, tap) =>
        {
            for (int i = 0; i < shape.InputChannels; i++)
            {
                for (int o = 0; o < shape.OutputChannels; o++)
                    gradInput[inputVoxel * shape.InputPitch + i] += gradOutput[outputVoxel * shape.OutputPitch
                        + o] * weight[Weight(shape, tap, i, o)];
            }
        });
    }

    /// <summary>Adds to gradWeight and gradBias.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void BackwardWeight(
        double[] input, double[] gradOutput, double[] gradWeight, double[] gradBias, ConvTranspose3dShape shape)
    {
        ReferenceOperands operands = new("ConvTranspose3dReference.BackwardWeight");
        operands.RequireVoxels(input, shape.InputVoxels, shape.InputChannels, shape.InputPitch, nameof(input));
        operands.RequireVoxels(gradOutput, shape.OutputVoxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        operands.Require(gradWeight, shape.WeightLength, nameof(gradWeight));
        operands.Require(gradBias, shape.OutputChannels, nameof(gradBias));
        ForEachPair(shape, (inputVoxel, outputVoxel, tap) =>
        {
            for (int o = 0; o < shape.OutputChannels; o++)
            {
                double gradient = gradOutput[outputVoxel * shape.OutputPitch + o];
                gradBias[o] += gradient;
                for (int i = 0; i < shape.InputChannels; i++)
                    gradWeight[Weight(shape, tap, i, o)] += input[inputVoxel * shape.InputPitch + i] * gradient;
            }
        });
    }

    private static long Weight(ConvTranspose3dShape shape, int tap, int i, int o)
        => ((long)tap * shape.InputChannels + i) * shape.OutputChannels + o;

    // Calls visit(input voxel, output voxel, tap) for every input voxel and every voxel of its cube.
    private static void ForEachPair(ConvTranspose3dShape shape, Action<long, long, int> visit)
    {
        for (int n = 0; n < shape.Batch; n++)
            for (int z = 0; z < shape.Depth; z++)
                for (int y = 0; y < shape.Height; y++)
                    for (int x = 0; x < shape.Width; x++)
                        for (int kz = 0; kz < 2; kz++)
                            for (int ky = 0; ky < 2; ky++)
                                for (int kx = 0; kx < 2; kx++)
                                {
                                    long inputVoxel = (((long)n * shape.Depth + z) * shape.Height + y) * shape.Width + x;
                                    long outputVoxel =
                                        (((long)n * 2 * shape.Depth + 2 * z + kz) * 2 * shape.Height + 2 * y
                                            + ky) * 2 * shape.Width + 2 * x + kx;
                                    visit(inputVoxel, outputVoxel, (kz * 2 + ky) * 2 + kx);
                                }
    }
}
