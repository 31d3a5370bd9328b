using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Training;

using GpuContext context = GpuContext.Create();

// A small classifier of patches: a convolution with ReLU, a pooling, a head. The layers first, then the
// memory.
using ParameterSet<float> parameters = new();
(Parameter<float> weight, Parameter<float> bias) = parameters.AddConvolution("features", inputChannels: 1, outputChannels: 8);
(Parameter<float> headWeight, Parameter<float> headBias) = parameters.AddConvolution(
    "head", inputChannels: 8, outputChannels: 1, kernelSize: 1);
parameters.Allocate(context, seed: 1);
using Adam<float> adam = new(context, parameters, new AdamOptions { WeightDecay = 1e-4, ClipNorm = 1 });
using Arena arena = new(context);

// Patches of 4³ voxels: with a bright voxel (label 1) or without (label 0).
TensorShape shape = new(Batch: 16, Depth: 4, Height: 4, Width: 4, Channels: 1);
Random random = new(2);
float first = 0, last = 0;
for (int step = 0; step < 150; step++)
{
    float[] patches = new float[shape.Length];
    float[] labels = new float[shape.Batch * 8];
    for (int n = 0; n < shape.Batch; n++)
    {
        for (int v = 0; v < 64; v++)
            patches[n * 64 + v] = (float)random.NextDouble() * 0.3f;
        if (n % 2 != 0)
            continue;
        // The label of the block of 2³ voxels that the bright one lies in.
        (int z, int y, int x) = (random.Next(4), random.Next(4), random.Next(4));
        patches[((n * 4 + z) * 4 + y) * 4 + x] = 2;
        labels[((n * 2 + z / 2) * 2 + y / 2) * 2 + x / 2] = 1;
    }

    parameters.ZeroGradients(context);
    using Tape<float> tape = Tape<float>.Begin(arena);
    Tensor<float> features = tape.MaxPool3d(tape.Conv3d(tape.Upload(patches, shape), weight, bias, Activation.Relu));
    Tensor<float> answers = tape.SigmoidHead(features, headWeight, headBias);

    // A loss of elementary operations: the mean of the squares of answer − label.
    Tensor<float> error = tape.Add(answers, tape.Scale(tape.Upload(labels, answers.Shape), -1));
    Tensor<float> loss = tape.Mean(tape.Multiply(error, error));
    tape.Backward(loss);
    adam.Step(learningRate: 0.02);
    last = loss.ToArray(context)[0];
    if (step == 0)
        first = last;
}

Console.WriteLine($"{parameters.Count} parameters, loss {first:0.0000} before, {last:0.0000} after {adam.Steps} steps");

// To a file that PyTorch reads, and back.
string path = Path.Combine(Path.GetTempPath(), $"classifier-{Environment.ProcessId}.safetensors");
SafetensorsFile.Write(path, parameters.Parameters.ToDictionary(
    p => p.Name, p => SafetensorsTensor.FromFloats(p.FileShape, p.ToFileOrder<float>(p.Download(context)))));
float[] trained = weight.Download(context);
SafetensorsFile file = SafetensorsFile.Read(path);
foreach (Parameter<float> p in parameters.Parameters)
    p.Upload(context, p.FromFileOrder<float>(file.Tensors[p.Name].ToFloats()));
File.Delete(path);
return last < 0.3 * first && weight.Download(context).SequenceEqual(trained) ? 0 : 1;
