using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>Several threads on one device, and what a call leaves behind.</summary>
public sealed class SharedContextTests
{
    private static readonly Extent Size = new(10, 12, 14);

    // Float64 runs on ILGPU's own threads, which the contexts share; float32 on those of the processes' pool.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Share_ThreadsAtTheSameTime_GiveTheBitsOfOneAlone(DeviceKind device)
    {
        using GpuContext context = TestDevices.Open(device);
        Check<float>(context, rounds: 60);
        Check<double>(context, rounds: 6);
    }

    private static void Check<T>(GpuContext context, int rounds)
        where T : unmanaged, INumber<T>
    {
        (T[] alone, T[] convolved) = Compute<T>(context, rounds: 1);
        Exception? failure = null;
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            try
            {
                using GpuContext own = context.Share();
                (T[] gradient, T[] output) = Compute<T>(own, rounds);
                Assert.That(gradient.AsSpan().SequenceEqual(alone), Is.True);
                Assert.That(output.AsSpan().SequenceEqual(convolved), Is.True);
            }
            catch (Exception e)
            {
                failure = e;
            }
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.That(failure, Is.Null, failure?.ToString());
    }

    private static (T[] Gradient, T[] Output) Compute<T>(GpuContext context, int rounds)
        where T : unmanaged, INumber<T>
    {
        using MeanShiftLoss<T> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 24, Iterations = 3 });
        using Conv3d<T> convolution = new(context);
        T[] scores = Array.ConvertAll(TestData.Uniform(Size.Voxels, 1), v => T.CreateChecked((float)Math.Abs(v)));
        T[] gradient = new T[scores.Length];
        Conv3dShape shape = Conv3dShape.Dense(1, (6, 6, 6), 4, 8);
        T[] input = Array.ConvertAll(TestData.Uniform(shape.Voxels * 4, 2), v => T.CreateChecked((float)v));
        T[] weight = Array.ConvertAll(TestData.Uniform(shape.WeightLength, 3), v => T.CreateChecked((float)v));
        T[] output = new T[shape.Voxels * 8];
        for (int i = 0; i < rounds; i++)
        {
            loss.Evaluate(
                scores, Size.Depth, Size.Height, Size.Width, [T.CreateChecked(5), T.CreateChecked(6), T.CreateChecked(7)],
                gradient, seed: 1);
            convolution.Forward(input, weight, new T[8], output, shape);
        }

        return (gradient, output);
    }

    [Test]
    public void Attach_AStreamOfAnotherAccelerator_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using GpuContext other = TestDevices.Open(DeviceKind.Cpu);
        Assert.That(
            () => GpuContext.Attach(context.Accelerator, other.Stream),
            Throws.ArgumentException.With.Message.Contains("another accelerator's"));
    }

    [Test]
    public void Attach_WhatWasDisposedOrIsUnknown_IsRefused()
    {
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        AcceleratorStream stream = context.Accelerator.CreateStream();
        stream.Dispose();
        Assert.That(() => GpuContext.Attach(context.Accelerator, stream), Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(
            () => GpuContext.Attach(context.Accelerator, options: new GpuContextOptions { Precision = (Precision)99 }),
            Throws.TypeOf<InputException>().With.Message.Contains("99 is no precision. Expected one of Float32"));
        GpuContext closed = GpuContext.Create(DeviceKind.Cpu);
        Accelerator accelerator = closed.Accelerator;
        closed.Dispose();
        Assert.That(() => GpuContext.Attach(accelerator), Throws.InstanceOf<ObjectDisposedException>());
    }

    // On the CPU device all memory is the host's, whichever accelerator allocated it.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Forward_AViewOfAnotherAccelerator_IsRefusedOnGpus(DeviceKind device)
    {
        using GpuContext context = TestDevices.Open(device);
        using GpuContext other = GpuContext.Create(device);
        using Conv3d<float> convolution = new(context);
        Conv3dShape shape = Conv3dShape.Dense(1, (2, 2, 2), 1, 1);
        using MemoryBuffer1D<float, Stride1D.Dense> own = context.Accelerator.Allocate1D<float>(64);
        using MemoryBuffer1D<float, Stride1D.Dense> elsewhere = other.Accelerator.Allocate1D<float>(8);
        void Call() => convolution.Forward(
            elsewhere.View, own.View.SubView(0, shape.WeightLength), own.View.SubView(32, 1), own.View.SubView(40, 8), shape);
        Assert.That(Call, device == DeviceKind.Cpu ? Throws.Nothing
            : Throws.ArgumentException.With.Message.Contains("Copy it there"));
    }

    [Test]
    public void Create_AnIndexOfNoDevice_IsRefused()
        => Assert.That(
            () => GpuContext.Create(new GpuContextOptions { DeviceIndex = 7 }),
            Throws.InstanceOf<InputException>().With.Message.Contains("DeviceIndex is 7"));

    [Test]
    public void Create_NegativeThreads_AreRefused()
        => Assert.That(
            () => GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = -3 }),
            Throws.InstanceOf<InputException>().With.Message.Contains("threads: -3"));

    [Test]
    public void Share_KeepsSettings_AndItsOwnStream()
    {
        using GpuContext context = GpuContext.Create(
            new GpuContextOptions { Device = DeviceKind.Cpu, Threads = 1, Variant = "conv3d=Direct" });
        GpuContext own = context.Share();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(own.Accelerator, Is.SameAs(context.Accelerator));
            Assert.That(own.Stream, Is.Not.SameAs(context.Stream));
            Assert.That(own.Description, Is.EqualTo(context.Description));
            using Conv3d<float> convolution = new(own);
            Assert.That(convolution.VariantFor(Conv3dShape.Dense(1, (2, 2, 2), 1, 1)), Is.EqualTo("Direct"));
        }

        own.Dispose();
        Assert.That(() => context.Stream.Synchronize(), Throws.Nothing, "the first context goes on");
        context.Dispose();
        Assert.That(() => context.Share(), Throws.InstanceOf<ObjectDisposedException>());
    }

    // The promise is for the CPU device in float32: many evaluations, of which the largest must not leave a
    // byte.
    [Test]
    public void Evaluate_ManyTimes_AllocatesNothing([Values(1, 2)] int threads)
    {
        int count = TestData.Count("MEANSHIFTGPU_TEST_EVALUATIONS", 2000);
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = threads });
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 32, Iterations = 2 });
        float[] scores = [.. TestData.Uniform(Size.Voxels, 1).Select(v => (float)Math.Abs(v))];
        float[] gradient = new float[scores.Length];
        float[] centers = [5, 6, 7, 4, 5, 9];
        float[] ends = new float[32 * 3];
        loss.Prepare(Size);
        float Once(uint step) => loss.Evaluate(new MeanShiftSpans<float>
        {
            Size = Size,
            Scores = scores,
            Centers = centers,
            GradScores = gradient,
            Positions = ends,
            Step = step,
            Scale = step % 2 == 0 ? 1 : 0.5,
            Accumulate = step % 3 == 0,
        });
        // The runtime's own tables are made by the first calls.
        for (uint i = 0; i < 50; i++)
            Once(i);
        long before = GC.GetAllocatedBytesForCurrentThread();
        float sum = 0;
        for (uint i = 0; i < count; i++)
            sum += Once(i);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        TestContext.Out.WriteLine($"{allocated} bytes in {count} evaluations");
        Assert.That(sum, Is.GreaterThan(0));
        Assert.That(allocated, Is.Zero);
    }

    [Test]
    public void Prepare_TakesTheMemoryOfTheCallsThatFollow()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 8 });
        loss.Prepare(Size, batch: 2, maps: 3, centers: 5);
        long bytes = loss.Bytes;
        float[] scores = new float[Size.Voxels * 6];
        loss.Evaluate(new MeanShiftSpans<float>
        {
            Size = Size,
            Batch = 2,
            Maps = 3,
            Scores = scores,
            Centers = (float[])[5, 6, 7],
            CenterOffsets = (int[])[0, 0, 0, 1, 1, 1, 1],
            GradScores = new float[scores.Length],
        });
        Assert.That(loss.Bytes, Is.EqualTo(bytes));
    }
}
