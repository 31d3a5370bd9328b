using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Sums;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

/// <summary>The second stage of weight gradients.</summary>
public sealed class PartSumsTests
{
    // Fewer parts than lanes, one more than a round of them, several rounds; the second target begins within
    // a group's columns. Integers, so sums are exact.
    [TestCase(1, 5, 0)]
    [TestCase(33, 19, 1)]
    [TestCase(132, 7, 3)]
    public void Add_OneOrTwoTargets_AddsEveryPart(int count, int first, int second)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        PartSums<float> sums = new(context.Accelerator);
        int length = first + second;
        float[] parts = [.. TestData.Uniform(count * length, 1).Select(v => (float)Math.Round(8 * v))];
        using MemoryBuffer1D<float, Stride1D.Dense> partsOnDevice = context.Accelerator.Allocate1D(parts);
        using MemoryBuffer1D<float, Stride1D.Dense> targets = context.Accelerator.Allocate1D(
            Enumerable.Repeat(7f, length).ToArray());
        ArrayView<float> all = targets.View.AsContiguous();
        if (second == 0)
            sums.Add(context.Stream, partsOnDevice.View, all, count);
        else
            sums.Add(context.Stream, partsOnDevice.View, all.SubView(0, first), all.SubView(first, second), count);
        context.Synchronize();
        Assert.That(
            targets.GetAsArray1D(),
            Is.EqualTo(Enumerable.Range(0, length).Select(i => 7 + Enumerable.Range(0, count).Sum(p => parts[p * length + i]))));
    }
}
