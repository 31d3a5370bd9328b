namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>
/// 1³ convolution, bias and sigmoid in float64, slow and obvious. Dense arrays: input [voxels, Cin], weight [Cin, outputs],
/// bias [outputs], probability [voxels, outputs].
/// </summary>
public static class SigmoidHeadReference
{
    /// <summary>The probabilities, [voxels, outputs].</summary>
    public static double[] Forward(double[] input, double[] weight, double[] bias, int inputChannels, int outputs)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        int voxels = input.Length / inputChannels;
        double[] probability = new double[voxels * outputs];
        for (int v = 0; v < voxels; v++)
        {
            for (int o = 0; o < outputs; o++)
            {
                double logit = bias[o];
                for (int i = 0; i < inputChannels; i++)
                    logit += input[v * inputChannels + i] * weight[i * outputs + o];
                probability[v * outputs + o] = 1 / (1 + Math.Exp(-logit));
            }
        }

        return probability;
    }

    /// <summary>The gradients of input, weight and bias for an upstream gradient of the probabilities.</summary>
    public static (double[] Input, double[] Weight, double[] Bias) Backward(
        double[] input, double[] weight, double[] probability, double[] gradProbability, int inputChannels, int outputs)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(probability);
        ArgumentNullException.ThrowIfNull(gradProbability);
        double[] gradInput = new double[input.Length];
        double[] gradWeight = new double[weight.Length];
        double[] gradBias = new double[outputs];
        for (int v = 0; v < input.Length / inputChannels; v++)
        {
            for (int o = 0; o < outputs; o++)
            {
                double p = probability[v * outputs + o];
                double gradLogit = gradProbability[v * outputs + o] * p * (1 - p);
                gradBias[o] += gradLogit;
                for (int i = 0; i < inputChannels; i++)
                {
                    gradInput[v * inputChannels + i] += gradLogit * weight[i * outputs + o];
                    gradWeight[i * outputs + o] += gradLogit * input[v * inputChannels + i];
                }
            }
        }

        return (gradInput, gradWeight, gradBias);
    }
}
