using MeanShiftGpu.Device;
using MeanShiftGpu.Ops.MeanShift;

// A score map of 20×24×28 voxels with one bright particle, and its annotated centre (z, y, x).
(int depth, int height, int width) = (20, 24, 28);
float[] scores = new float[depth * height * width];
float[] centers = [9.5f, 12, 14];
for (int z = 8; z <= 11; z++)
{
    for (int y = 10; y <= 13; y++)
    {
        for (int x = 12; x <= 15; x++)
            scores[(z * height + y) * width + x] = 0.9f;
    }
}

using GpuContext context = GpuContext.Create();
using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact);

// Scores and centres in, loss and gradient out. The same seed and step draw the same points on every device.
float[] gradient = new float[scores.Length];
float value = loss.Evaluate(scores, depth, height, width, centers, gradient, seed: 1, step: 0);

Console.WriteLine($"{context.Description}: loss {value:0.000}, gradient length {MathF.Sqrt(gradient.Sum(g => g * g)):0.0000}");

// A step against the gradient lowers the loss.
for (int i = 0; i < scores.Length; i++)
    scores[i] = Math.Clamp(scores[i] - 0.5f * gradient[i], 0, 1);
float lower = loss.Evaluate(scores, depth, height, width, centers, gradient, seed: 1, step: 0);
Console.WriteLine($"after one step: {lower:0.000}");
return lower < value ? 0 : 1;
