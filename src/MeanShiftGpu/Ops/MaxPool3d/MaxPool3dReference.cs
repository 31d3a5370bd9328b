namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>
/// Max pooling with windows of 2³ voxels and stride 2 in float64, slow and obvious. Dense [N,D,H,W,C] arrays,
/// even extents.
/// </summary>
public static class MaxPool3dReference
{
    /// <summary>The output, [N, D/2, H/2, W/2, C].</summary>
    /// <exception cref="ArgumentException">An extent is odd, or the input is not of the extents.</exception>
    public static double[] Forward(double[] input, int batch, int depth, int height, int width, int channels)
    {
        Check("Forward", input, batch, depth, height, width, channels);
        double[] output = new double[input.Length / 8];
        ForEachWindow(input, batch, depth, height, width, channels, (o, taken) => output[o] = input[taken]);
        return output;
    }

    /// <summary>
    /// The gradient of the input, [N, D, H, W, C]: a window's gradient goes to its first maximum in the order
    /// z, y, x.
    /// </summary>
    /// <exception cref="ArgumentException">An extent is odd, or an array is not of the extents.</exception>
    public static double[] Backward(
        double[] input, double[] gradOutput, int batch, int depth, int height, int width, int channels)
    {
        ReferenceOperands operands = Check("Backward", input, batch, depth, height, width, channels);
        operands.Require(gradOutput, input.Length / 8, nameof(gradOutput));
        double[] gradInput = new double[input.Length];
        ForEachWindow(input, batch, depth, height, width, channels, (o, taken) => gradInput[taken] += gradOutput[o]);
        return gradInput;
    }

    private static ReferenceOperands Check(
        string pass, double[] input, int batch, int depth, int height, int width, int channels)
    {
        ReferenceOperands operands = new($"MaxPool3dReference.{pass}");
        if (depth % 2 != 0 || height % 2 != 0 || width % 2 != 0)
            throw new ArgumentException(
                $"MaxPool3dReference.{pass}: the input has {depth}×{height}×{width} voxels, expected even extents.",
                nameof(input));
        operands.Require(input, (long)batch * depth * height * width * channels, nameof(input));
        return operands;
    }

    private static void ForEachWindow(
        double[] input, int batch, int depth, int height, int width, int channels, Action<int, int> visit)
    {
        int o = 0;
        for (int n = 0; n < batch; n++)
        {
            for (int z = 0; z < depth; z += 2)
            {
                for (int y = 0; y < height; y += 2)
                {
                    for (int x = 0; x < width; x += 2)
                    {
                        for (int c = 0; c < channels; c++)
                            visit(o++, FirstMaximum(n, z, y, x, c));
                    }
                }
            }
        }

        int FirstMaximum(int n, int z, int y, int x, int c)
        {
            int best = -1;
            for (int dz = 0; dz < 2; dz++)
            {
                for (int dy = 0; dy < 2; dy++)
                {
                    for (int dx = 0; dx < 2; dx++)
                    {
                        int q = (((n * depth + z + dz) * height + y + dy) * width + x + dx) * channels + c;
                        if (best < 0 || input[q] > input[best] || (double.IsNaN(input[q]) && !double.IsNaN(input[best])))
                            best = q;
                    }
                }
            }

            return best;
        }
    }
}
