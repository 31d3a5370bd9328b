using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tensors;

using GpuContext context = GpuContext.Create();

// A network from a file. Yours has one already; this one is made here, with random weights.
string path = Path.Combine(Path.GetTempPath(), $"network-{Environment.ProcessId}.safetensors");
using (UNet3d<float> made = new(context, new UNet3dOptions { Widths = [8, 16], Outputs = 2 }, seed: 1))
    made.Save(path);
using UNet3d<float> network = UNet3d<float>.Load(context, path);
File.Delete(path);

// Extents are multiples of the divisor; the volume is normalised to mean 0 and standard deviation 1.
TensorShape shape = new(Batch: 1, Depth: 16, Height: 20, Width: 24, Channels: 1);
float[] volume = new float[shape.Length];
for (int i = 0; i < volume.Length; i++)
    volume[i] = 1.41f * MathF.Sin(0.1f * i * i);

// An arena keeps its memory for the next volume. Scores are [N, D, H, W, Outputs].
using Arena arena = new(context);
float[] scores = new float[shape.Length * network.Options.Outputs];
network.Predict(arena, volume, shape, scores);
Console.WriteLine($"{context.Description}: scores from {scores.Min():0.000} to {scores.Max():0.000}, "
    + $"{arena.CapacityBytes >> 20} MiB");

// The same on a tape, whose tensors can be read until the next tape begins on their arena.
using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
float[] onTape = network.Forward(tape, tape.Upload(volume, shape)).ToArray(context);
return scores.All(s => s is >= 0 and <= 1) && scores.SequenceEqual(onTape) ? 0 : 1;
