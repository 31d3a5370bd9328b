using MeanShiftGpu.Kernels.Machine.Host;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

public class HostBlockTests
{
    [TestCase(56, 56, 1, 56, 56)] // a whole plane
    [TestCase(56, 56, 32, 8, 56)] // whole rows, as many as make whole register tiles
    [TestCase(56, 56, 80, 2, 56)]
    [TestCase(96, 96, 80, 2, 48)] // two whole rows and their border are too many
    [TestCase(1, 1, 64, 1, 1)]
    [TestCase(1, 40, 64, 1, 40)]
    public void ForPlanes_TakesWholeRowsWhereTwoFit(int height, int width, int channels, int blockHeight, int blockWidth)
        => Assert.That(
            HostBlock.ForPlanes(5, height, width, channels, kernelSize: 3),
            Is.EqualTo(new HostBlock(5, blockHeight, blockWidth)));

    [Test]
    public void ForSums_TakesMoreRowsOfTheSamePlanes()
        => Assert.That(HostBlock.ForSums(5, 56, 56, 80, kernelSize: 3), Is.EqualTo(new HostBlock(5, 6, 56)));

    [Test]
    public void ForPlanes_MoreChannelsThanFit_StillTakesSome()
    {
        HostBlock block = HostBlock.ForPlanes(5, 100, 100, 5000, kernelSize: 3);
        Assert.That((block.Height, block.Width), Is.EqualTo((1, 8)));
    }

    [TestCase(1, 28, 64)]
    [TestCase(1, 14, 64)]
    [TestCase(2, 9, 16)]
    public void ForThreads_CutsUntilThereAreEnoughOrNoneCanBeCut(int batch, int edge, int channels)
    {
        HostBlock block = HostBlock.ForThreads(batch, edge, edge, edge, channels, kernelSize: 3);
        Assert.That(block.Count(batch, edge, edge, edge), Is.GreaterThanOrEqualTo(24));
    }
}
