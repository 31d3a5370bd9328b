using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>The 3D convolution in double, slow and obvious, sharing nothing with the kernels. Layouts as in
/// <see cref="IConv3d{TActivation, T}"/>.</summary>
public static class Conv3dReference
{
    /// <summary>Overwrites the output's channels; what lies between them (pitch) is left alone.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void Forward(double[] input, double[] weight, double[] bias, double[] output, Conv3dShape shape)
    {
        ReferenceOperands operands = new("Conv3dReference.Forward");
        operands.RequireVoxels(input, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        operands.Require(weight, shape.WeightLength, nameof(weight));
        operands.Require(bias, shape.OutputChannels, nameof(bias));
        operands.RequireVoxels(output, shape.Voxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        for (long voxel = 0; voxel < shape.Voxels; voxel++)
        {
            for (int o = 0; o < shape.OutputChannels; o++)
                output[voxel * shape.OutputPitch + o] = bias[o];
        }

        ForEachPair(shape, (outputVoxel, inputVoxel, tap) =>
        {
            for (int i = 0; i < shape.InputChannels; i++)
            {
                for (int o = 0; o < shape.OutputChannels; o++)
                    output[outputVoxel * shape.OutputPitch + o] += input[inputVoxel * shape.InputPitch + i] * weight[Weight(
                        shape, tap, i, o)];
            }
        });

        if (!IsRelu(shape.Activation))
            return;
        for (long voxel = 0; voxel < shape.Voxels; voxel++)
        {
            for (int o = 0; o < shape.OutputChannels; o++)
                output[voxel * shape.OutputPitch + o] = Math.Max(0, output[voxel * shape.OutputPitch + o]);
        }
    }

    /// <summary>Overwrites the gradInput's channels; output is the forward pass's.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void BackwardInput(double[] gradOutput, double[] output, double[] weight, double[] gradInput, Conv3dShape shape)
    {
        ReferenceOperands operands = new("Conv3dReference.BackwardInput");
        operands.RequireVoxels(gradOutput, shape.Voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        operands.RequireVoxels(output, shape.Voxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        operands.Require(weight, shape.WeightLength, nameof(weight));
        operands.RequireVoxels(gradInput, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(gradInput));
        for (long voxel = 0; voxel < shape.Voxels; voxel++)
        {
            for (int i = 0; i < shape.InputChannels; i++)
                gradInput[voxel * shape.InputPitch + i] = 0;
        }

        ForEachPair(shape, (outputVoxel, inputVoxel, tap) =>
        {
            for (int i = 0; i < shape.InputChannels; i++)
            {
                for (int o = 0; o < shape.OutputChannels; o++)
                    gradInput[inputVoxel * shape.InputPitch + i] += Gradient(
                        gradOutput, output, outputVoxel, o, shape) * weight[Weight(shape, tap, i, o)];
            }
        });
    }

    /// <summary>Adds to gradWeight and gradBias; output is the forward pass's.</summary>
    /// <exception cref="ArgumentException">An array does not fit the shape.</exception>
    public static void BackwardWeight(
        double[] input, double[] gradOutput, double[] output, double[] gradWeight, double[] gradBias, Conv3dShape shape)
    {
        ReferenceOperands operands = new("Conv3dReference.BackwardWeight");
        operands.RequireVoxels(input, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        operands.RequireVoxels(gradOutput, shape.Voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        operands.RequireVoxels(output, shape.Voxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        operands.Require(gradWeight, shape.WeightLength, nameof(gradWeight));
        operands.Require(gradBias, shape.OutputChannels, nameof(gradBias));
        for (long voxel = 0; voxel < shape.Voxels; voxel++)
        {
            for (int o = 0; o < shape.OutputChannels; o++)
                gradBias[o] += Gradient(gradOutput, output, voxel, o, shape);
        }

        ForEachPair(shape, (outputVoxel, inputVoxel, tap) =>
        {
            for (int i = 0; i < shape.InputChannels; i++)
            {
                for (int o = 0; o < shape.OutputChannels; o++)
                    gradWeight[Weight(shape, tap, i, o)] += input[inputVoxel * shape.InputPitch + i] * Gradient(
                        gradOutput, output, outputVoxel, o, shape);
            }
        });
    }

    private static long Weight(Conv3dShape shape, int tap, int i, int o)
        => ((long)tap * shape.InputChannels + i) * shape.OutputChannels + o;

    private static bool IsRelu(Activation activation) => activation switch
    {
        Activation.None => false,
        Activation.Relu => true,
        _ => throw UnknownValue.Of(activation),
    };

    // The gradient of the sums before the activation.
    private static double Gradient(double[] gradOutput, double[] output, long voxel, int o, Conv3dShape shape)
    {
        long index = voxel * shape.OutputPitch + o;
        return IsRelu(shape.Activation) && !(output[index] > 0) ? 0 : gradOutput[index];
    }

    // Calls visit(output voxel, input voxel, tap) for every output voxel and tap whose input voxel is inside
    // the volume.
    private static void ForEachPair(Conv3dShape shape, Action<long, long, int> visit)
    {
        int size = shape.KernelSize;
        for (int n = 0; n < shape.Batch; n++)
            for (int z = 0; z < shape.Depth; z++)
                for (int y = 0; y < shape.Height; y++)
                    for (int x = 0; x < shape.Width; x++)
                        for (int kz = 0; kz < size; kz++)
                            for (int ky = 0; ky < size; ky++)
                                for (int kx = 0; kx < size; kx++)
                                {
                                    int sz = z + kz - size / 2;
                                    int sy = y + ky - size / 2;
                                    int sx = x + kx - size / 2;
                                    if (sz >= 0 && sz < shape.Depth && sy >= 0 && sy < shape.Height && sx >= 0
                                        && sx < shape.Width)
                                        visit(Voxel(shape, n, z, y, x), Voxel(shape, n, sz, sy, sx),
                                            (kz * size + ky) * size + kx);
                                }
    }

    private static long Voxel(Conv3dShape shape, int n, int z, int y, int x)
        => (((long)n * shape.Depth + z) * shape.Height + y) * shape.Width + x;
}
