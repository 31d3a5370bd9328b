using System.Globalization;
using System.Text.RegularExpressions;
using ILGPU.Runtime;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>
/// What a person reads when a device fails. Failures are injected: this machine's devices work.
/// </summary>
public sealed class DeviceProblemTests
{
    [Test]
    public void CudaDriver_WhatItSays_IsExplained()
    {
        Assert.That(new CudaDriver(false, 0, 0).Problem, Does.Contain("not installed").And.Contain("--gpus all"));
        Assert.That(
            new CudaDriver(true, 0, 10020).Problem, Does.Contain("too old: it knows CUDA 10.2").And.Contain("driver 450"));
        Assert.That(new CudaDriver(true, 100, 12040).Problem, Does.Contain("finds no GPU"));
        Assert.That(new CudaDriver(true, 100, 13000).Problem, Does.Contain("finds no GPU").And.Contain("below compute "
            + "capability 7.5").And.Contain("driver 580"));
        Assert.That(new CudaDriver(true, 100, 12040).Problem, Does.Not.Contain("7.5"));
        Assert.That(new CudaDriver(true, 803, 12040).Problem, Does.Contain("different versions"));
        Assert.That(new CudaDriver(true, 999, 12040).Problem, Does.Contain("cuInit returned 999"));
        Assert.That(new CudaDriver(true, 0, 12040).Problem, Is.Null);
    }

    [Test]
    public void Create_CudaWithoutADevice_SaysWhatIsWrongWithTheDriver()
    {
        if (CudaDriver.Ask().Problem is not { } problem)
        {
            Assert.Ignore("this machine has a working NVIDIA driver");
            return;
        }

        Assert.That(
            () => GpuContext.Create(DeviceKind.Cuda), Throws.TypeOf<InputException>().With.Message.Contains(problem[1..]));
    }

    [TestCase(2, "no memory left")]
    [TestCase(218, "too old")]
    [TestCase(700, "a kernel failed on the GPU (CUDA error 700)")]
    [TestCase(214, "uncorrectable memory error")]
    [TestCase(220, "NVLink")]
    [TestCase(802, "fabric manager")]
    [TestCase(803, "different versions")]
    [TestCase(999, "lost")]
    [TestCase(12345, "error 12345")]
    public void OfCuda_EveryKindOfError_SaysWhatToDo(int code, string words)
        => Assert.That(DeviceProblem.OfCuda(code), Does.Contain(words));

    [Test]
    public void Explain_ExceptionsOfDrivers_AreOneLine()
    {
        Assert.That(
            DeviceProblem.Explain(new InvalidOperationException("outer", new CLException((CLError)(-5)))),
            Does.StartWith("device: the OpenCL device has no memory left"));
        Assert.That(DeviceProblem.Explain(new InvalidOperationException("a defect")), Is.Null);
    }

    [Test]
    public void Allocate_BeyondTheLimit_SaysHowMuchWasNeeded()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        context.MemoryLimitBytes = 4 << 20;
        using Arena arena = new(context);
        arena.Allocate<byte>(2 << 20);
        Assert.That(
            () => arena.Allocate<byte>(3 << 20),
            Throws.TypeOf<InputException>().With.Message.Contains("3 MiB more were needed beside 2 MiB already held").And.Message
                .Contains("CPU"));
        // What was held can still be used.
        arena.Reset();
        Assert.That(arena.Allocate<byte>(1 << 20).Length, Is.EqualTo(1 << 20));
    }

    // What the line proposes is tried, and what is one size larger.
    [Test]
    public void Step_BeyondTheLimit_SaysWhichPatchWouldFit()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        SandclockVolume volume = Sandclock.Create(new SandclockOptions { Depth = 32, Height = 32, Width = 32, Seed = 1 }, 0);
        TrainingData data = new(
            [new TrainingVolume("sandclock", new Extent(32, 32, 32), volume.Image, volume.Mask, volume.Centers)], []);
        TrainingOptions options = TrainingOptions.Compact with { Patch = new Extent(32, 32, 32), BatchSize = 4 };
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
        context.MemoryLimitBytes = 8 << 20;
        using Trainer trainer = new(network, data, options);
        // A processor computes the patches of a batch one by one.
        string said = Assert.Throws<InputException>(() => trainer.Step()).Message;
        Match line = Regex.Match(said,
            @"^[^\n]*A step with patches of 32×32×32 in batches of 1 needs about \d+ MiB; "
            + @"(8 MiB are there, enough for patches of (\d+)³\.)$");
        Assert.That(line.Success, Is.True, said);
        string fits = line.Groups[1].Value;
        int edge = int.Parse(line.Groups[2].Value, CultureInfo.InvariantCulture);
        Assert.That(() => Step(options with { Patch = new Extent(edge, edge, edge) }), Throws.Nothing);
        Assert.That(() => Step(options with { Patch = new Extent(edge + 2, edge + 2, edge + 2) }),
            Throws.TypeOf<InputException>());

        // What kernels take for themselves fails with the driver's exception.
        Assert.That(
            trainer.OutOfMemory(new CLException((CLError)(-4)))?.Message,
            Does.Contain("no memory left (error -4)").And.Contain("the device cpu. A step with").And.Contain(fits));
        Assert.That(
            trainer.OutOfMemory(new InsufficientMemoryException("none for the host."))?.Message,
            Does.StartWith("memory: none for the host. A step with").And.Contain(fits));
        Assert.That(trainer.OutOfMemory(new InputException("something else")), Is.Null);
        Assert.That(trainer.OutOfMemory(new CLException((CLError)(-1))), Is.Null);

        void Step(TrainingOptions with)
        {
            using Trainer other = new(network, data, with);
            other.Step();
        }
    }

    // The simulated GPU takes the patches of a batch together.
    [Test]
    public void Step_OfABatchBeyondTheLimit_SaysWhichBatchWouldFit()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Extent size = new(8, 8, 8);
        TrainingData data = new([new TrainingVolume("one", size, new float[size.Voxels], null, [new Position(3, 4, 4)])], []);
        TrainingOptions options = TrainingOptions.Compact with
        {
            Patch = size,
            CenterMarginVoxels = 1,
            BatchSize = 4,
            MeanShift = MeanShiftOptions.Compact with { SeedCount = 4, Iterations = 2 }
        };
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, seed: 1);
        using Trainer four = new(network, data, options);
        context.MemoryLimitBytes = four.PlannedBytes(size, 2) + (four.PlannedBytes(size, 3) - four.PlannedBytes(size, 2)) / 2
            + (1 << 16);
        Assert.That(four.Step, Throws.TypeOf<InputException>().With.Message.Contains("in batches of 4 needs")
            .And.Message.Contains("enough for a batch of 2 or for patches of 6³"));
        using Trainer three = new(network, data, options with { BatchSize = 3 });
        Assert.That(three.Step, Throws.TypeOf<InputException>());
        using Trainer two = new(network, data, options with { BatchSize = 2 });
        Assert.That(two.Step, Throws.Nothing);
    }

    private const long MoreThanThereIs = 1L << 60;

    [Test]
    public void HostScratch_WithoutMemoryToGrow_CanBeUsedAfterwards()
    {
        using HostScratch scratch = new();
        unsafe
        {
            scratch.Require<byte>(100);
            Assert.That(() => { scratch.Require<byte>(MoreThanThereIs); }, Throws.TypeOf<OutOfMemoryException>());
            Assert.That(scratch.Bytes, Is.Zero);
            scratch.Require<byte>(50)[49] = 1;
        }

        Assert.That(scratch.Bytes, Is.EqualTo(50));
    }

    [Test]
    public void DeviceScratch_WithoutMemoryToGrow_CanBeUsedAfterwards()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using DeviceScratch<float> scratch = new(context.Accelerator);
        scratch.Get(context.Stream, 100);
        Assert.That(
            () => scratch.Get(context.Stream, MoreThanThereIs / sizeof(float)), Throws.InstanceOf<OutOfMemoryException>());
        scratch.Get(context.Stream, 50).CopyFromCPU(context.Stream, new float[50]);
    }
}
