using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;

// An ILGPU context, accelerator and stream that your program has already. EnableAlgorithms is needed on
// GPUs, EnableTensorCores for tensor cores, and O2 makes better code.
using Context ilgpu = Context.Create(
    builder => builder.Default().Optimize(OptimizationLevel.O2).EnableAlgorithms().EnableTensorCores());
using Accelerator accelerator = ilgpu.GetPreferredDevice(preferCPU: false).CreateAccelerator(ilgpu);
using AcceleratorStream stream = accelerator.CreateStream();
using GpuContext context = GpuContext.Attach(accelerator, stream);
using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact);

// Two maps of two classes, interleaved as a network writes them: [N, D, H, W, C].
const int depth = 16, height = 20, width = 24, maps = 2;
float[] host = new float[depth * height * width * maps];
for (int i = 0; i < host.Length; i++)
    host[i] = 0.5f + 0.5f * MathF.Sin(0.37f * i);
using MemoryBuffer1D<float, Stride1D.Dense> scores = accelerator.Allocate1D(host);
using MemoryBuffer1D<float, Stride1D.Dense> gradient = accelerator.Allocate1D<float>(host.Length);
using MemoryBuffer1D<float, Stride1D.Dense> losses = accelerator.Allocate1D<float>(maps);
using MemoryBuffer1D<float, Stride1D.Dense> upstream = accelerator.Allocate1D([1f, 0.25f]);

// Class 0 has two centres, class 1 has one (z, y, x).
using MemoryBuffer1D<float, Stride1D.Dense> centers = accelerator.Allocate1D([8f, 10, 6, 8, 10, 18, 5, 6, 12]);
using MemoryBuffer1D<int, Stride1D.Dense> offsets = accelerator.Allocate1D([0, 2, 3]);

// Both maps in one call, on your stream: nothing is copied, allocated after the first time, or waited for.
MeanShiftShape shape = loss.Options.Shape(batch: 1, depth, height, width, scorePitch: maps);
loss.Evaluate(new MeanShiftCall<float>
{
    Shape = shape,
    Maps = maps,
    Scores = scores.View,
    Sampling = loss.Options.Sampling(seed: 1, step: 0),
    Centers = centers.View,
    CenterOffsets = offsets.View,
    Losses = losses.View,
    GradScores = gradient.View,
    Upstream = upstream.View,
});

// Your own work goes onto the same stream; wait once at its end.
stream.Synchronize();
float[] values = losses.GetAsArray1D();
float length = MathF.Sqrt(gradient.GetAsArray1D().Sum(g => g * g));
Console.WriteLine($"{accelerator.Name}: losses {values[0]:0.000} and {values[1]:0.000}, gradient length {length:0.0000}");
return values.All(v => v > 0) && length > 0 ? 0 : 1;
