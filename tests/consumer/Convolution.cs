using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;

using GpuContext context = GpuContext.Create();
using Conv3d<float> convolution = new(context);

// torch.nn.Conv3d(2, 3, kernel_size=3, padding=1), then ReLU, on one volume of 8×10×12 voxels.
Conv3dShape shape = Conv3dShape.Dense(batch: 1, (8, 10, 12), inputChannels: 2, outputChannels: 3, kernelSize: 3, Activation.Relu);

// conv.weight.flatten() as PyTorch has it, [Cout, Cin, kD, kH, kW]. Here: output 1 is input 0, one voxel
// further along x; all else is 0.
float[] torch = new float[shape.WeightLength];
torch[(((1 * 2 + 0) * 3 + 1) * 3 + 1) * 3 + 2] = 1;
float[] weight = shape.WeightFromPyTorch<float>(torch);
float[] bias = [0, 0.5f, -1];

// Activations are [N, D, H, W, C] here: the channels of a voxel are neighbours.
float[] input = new float[shape.Voxels * 2];
for (int i = 0; i < input.Length; i++)
    input[i] = MathF.Sin(i);
float[] output = new float[shape.Voxels * 3];
convolution.Forward(input, weight, bias, output, shape);

// Voxel (z 4, y 5, x 6), output 1: input 0 of voxel (4, 5, 7), plus the bias, through the ReLU.
int voxel = (4 * 10 + 5) * 12 + 6;
float expected = MathF.Max(0, input[(voxel + 1) * 2] + 0.5f);
Console.WriteLine($"{convolution.VariantFor(shape)}, of {string.Join(", ", convolution.VariantsFor(shape))}: "
    + $"{output[voxel * 3 + 1]}, expected {expected}");

// The gradients of a loss whose gradient with respect to every output is 1. Those of weight and bias are
// added to what is there.
float[] gradOutput = new float[output.Length];
Array.Fill(gradOutput, 1);
(float[] gradInput, float[] gradWeight, float[] gradBias) = (new float[input.Length], new float[weight.Length], new float[3]);
convolution.Backward(input, weight, output, gradOutput, gradInput, gradWeight, gradBias, shape);
float[] torchGradient = shape.WeightToPyTorch<float>(gradWeight);
Console.WriteLine($"gradient of the bias: {string.Join(", ", gradBias)}; of the first weight: {torchGradient[0]}");
return MathF.Abs(output[voxel * 3 + 1] - expected) < 1e-5f && gradBias[1] == output.Where((v, i) => i % 3 == 1 && v > 0).Count()
    ? 0 : 1;
