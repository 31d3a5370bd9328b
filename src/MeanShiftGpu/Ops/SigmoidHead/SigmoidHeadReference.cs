namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>
/// 1³ convolution, bias and sigmoid with its floor of 1e-30 in float64, slow and obvious. Dense arrays: input
/// [voxels, Cin], weight [Cin, outputs], bias [outputs], scores [voxels, outputs].
/// </summary>
public static class SigmoidHeadReference
{
    /// <summary>The scores, [voxels, outputs].</summary>
    /// <exception cref="ArgumentException">An array is not of the channels and outputs.</exception>
    public static double[] Forward(double[] input, double[] weight, double[] bias, int inputChannels, int outputs)
    {
        ReferenceOperands operands = new("SigmoidHeadReference.Forward");
        operands.RequireMultiple(input, inputChannels, nameof(input));
        operands.Require(weight, (long)inputChannels * outputs, nameof(weight));
        operands.Require(bias, outputs, nameof(bias));
        int voxels = input.Length / inputChannels;
        double[] scores = new double[voxels * outputs];
        for (int v = 0; v < voxels; v++)
        {
            for (int o = 0; o < outputs; o++)
            {
                double logit = bias[o];
                for (int i = 0; i < inputChannels; i++)
                    logit += input[v * inputChannels + i] * weight[i * outputs + o];
                scores[v * outputs + o] = Math.Max(1e-30, 1 / (1 + Math.Exp(-logit)));
            }
        }

        return scores;
    }

    /// <summary>The gradients of input, weight and bias for an upstream gradient of the scores.</summary>
    /// <exception cref="ArgumentException">An array is not of the channels and outputs.</exception>
    public static (double[] Input, double[] Weight, double[] Bias) Backward(
        double[] input, double[] weight, double[] scores, double[] gradScores, int inputChannels, int outputs)
    {
        ReferenceOperands operands = new("SigmoidHeadReference.Backward");
        operands.RequireMultiple(input, inputChannels, nameof(input));
        operands.Require(weight, (long)inputChannels * outputs, nameof(weight));
        operands.Require(scores, (long)input.Length / inputChannels * outputs, nameof(scores));
        operands.Require(gradScores, scores.Length, nameof(gradScores));
        double[] gradInput = new double[input.Length];
        double[] gradWeight = new double[weight.Length];
        double[] gradBias = new double[outputs];
        for (int v = 0; v < input.Length / inputChannels; v++)
        {
            for (int o = 0; o < outputs; o++)
            {
                double p = scores[v * outputs + o];
                double gradLogit = gradScores[v * outputs + o] * p * (1 - p);
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
