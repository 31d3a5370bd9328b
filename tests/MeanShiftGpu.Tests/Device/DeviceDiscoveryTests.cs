using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>Which of several devices is taken unasked, and what is said of the others.</summary>
public class DeviceDiscoveryTests
{
    private static readonly FoundDevice Cpu = new(DeviceKind.Cpu, "CPU", 1L << 40);
    private static readonly FoundDevice Cuda = new(DeviceKind.Cuda, "small", 1L << 33);
    private static readonly FoundDevice LargerCuda = new(DeviceKind.Cuda, "large", 1L << 35);
    private static readonly FoundDevice Processor =
        new(DeviceKind.OpenCL, "pthread", 1L << 38) { IsProcessor = true, SharesHostMemory = true };
    private static readonly FoundDevice Integrated = new(DeviceKind.OpenCL, "integrated", 1L << 36) { SharesHostMemory = true };
    private static readonly FoundDevice Discrete = new(DeviceKind.OpenCL, "discrete", 1L << 33);

    // Where it is the first that a process does, ILGPU found no OpenCL device for one of the threads;
    // .ci/opencl runs it so.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Create_OnSeveralThreadsAtOnce_FindsTheDevice(DeviceKind kind)
    {
        using Barrier together = new(4);
        Exception?[] failures = new Exception?[together.ParticipantCount];
        Thread[] threads = [.. failures.Select((_, i) => new Thread(() =>
        {
            together.SignalAndWait();
            try
            {
                using GpuContext context = GpuContext.Create(kind);
            }
            catch (InputException e)
            {
                failures[i] = e;
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        // Where there is no such device, this says so.
        using GpuContext alone = TestDevices.Open(kind);
        Assert.That(failures, Is.All.Null);
    }

    [Test]
    public void Ordered_AllKinds_GpusWithMemoryOfTheirOwnComeBeforeTheCpu()
        => Assert.That(
            DeviceDiscovery.Ordered([Processor, Cpu, Integrated, Cuda, Discrete, LargerCuda]),
            Is.EqualTo([LargerCuda, Cuda, Discrete, Cpu, Integrated, Processor]));

    [Test]
    public void ReasonForAuto_AnOpenCLProcessorBesideTheCpu_NamesItAndWhyItWaits()
    {
        string reason = DeviceDiscovery.ReasonForAuto(DeviceDiscovery.Ordered([Processor, Cpu]));
        Assert.That(reason, Does.Contain("the device opencl would be pthread, a processor").And.Contains("slower"));
    }

    [Test]
    public void ReasonForAuto_CpuAlone_NamesNoOther()
        => Assert.That(DeviceDiscovery.ReasonForAuto([Cpu]), Is.EqualTo("no CUDA or OpenCL device was found"));

    [TestCase(false, "1.2", true, "OpenCL C 1.2")]
    [TestCase(true, "2.0", false, "generic address space")]
    public void Problem_OldDriver_IsNamed(bool recent, string version, bool generic, string expected)
        => Assert.That(DeviceDiscovery.Problem(recent, version, generic), Does.Contain(expected));

    [Test]
    public void Problem_RecentDriver_IsNone() => Assert.That(DeviceDiscovery.Problem(true, "3.0", true), Is.Null);
}
