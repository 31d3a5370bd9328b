using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Autograd;

public class ArenaTests
{
    // A cast to larger elements must not round the view's beginning down: kernels for groups sum float64 in
    // elements of 32 bytes.
    [TestCase(DeviceKind.Cpu)]
    [TestCase(DeviceKind.Simulated)]
    public void Allocate_EveryBuffer_BeginsWhereAnyElementMay(DeviceKind device)
    {
        using GpuContext context = TestDevices.Open(device);
        using Arena arena = new(context);
        foreach (long length in (long[])[3, 8, 200_000, 5])
        {
            ArrayView<double> view = arena.Allocate<double>(length);
            Assert.That((long)view.LoadEffectiveAddressAsPtr() % 256, Is.Zero);
            if (length % 4 == 0)
                Assert.That(view.Cast<Quad<double>>().LoadEffectiveAddressAsPtr(), Is.EqualTo(view.LoadEffectiveAddressAsPtr()));
        }
    }
}
