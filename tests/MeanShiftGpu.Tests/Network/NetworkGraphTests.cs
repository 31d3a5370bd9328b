using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>What follows from a network's structure, as figures.</summary>
public class NetworkGraphTests
{
    // Computed by formulas for each resolution in turn, which know nothing of the graph.
    [TestCase("7", 4, 8, 120, 236, 80, 140, 2183659520)]
    [TestCase("4,5", 14, 24, 124, 244, 82, 144, 1556414464)]
    [TestCase("32,48,64", 34, 53, 1099, 2194, 569.5, 1119, 130820341760)]
    [TestCase("8,16,24,32", 70, 112, 336.1875, 668.375, 188.09375, 356.1875, 12705333248)]
    [TestCase("2,3,4,5,6", 142, 229, 77.1220703125, 150.244140625, 58.56103515625, 97.1220703125, 553665280)]
    [TestCase("8,16,24,32,40,48", 286, 464, 337.1220703125, 670.244140625, 188.56103515625, 357.1220703125, 12826318848)]
    public void Figures_OfAStructure_AreThese(
        string widths,
        int radius,
        int halo,
        double inference,
        double training,
        double inferenceBf16,
        double trainingBf16,
        double operations)
    {
        UNet3dOptions structure = new() { Widths = [.. widths.Split(',').Select(int.Parse)] };
        Assert.That((structure.ReceptiveRadius, structure.TileHalo), Is.EqualTo((radius, halo)));
        Assert.That(
            (structure.InferenceBytesPerVoxel(false), structure.TrainingBytesPerVoxel(false)), Is.EqualTo((inference, training)));
        Assert.That(
            (structure.InferenceBytesPerVoxel(true), structure.TrainingBytesPerVoxel(true)),
            Is.EqualTo((inferenceBf16, trainingBf16)));
        Assert.That(structure.ForwardOperations(new Extent(64, 64, 64)), Is.EqualTo(operations));
    }

    [Test]
    public void Parameters_OfThePublishedNetwork_AreTheseInThisOrder()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions(), seed: 1);
        string[] layers =
        [
            "enc0.conv0", "enc0.conv1", "enc1.conv0", "enc1.conv1", "mid.conv0", "mid.conv1", "mid.conv2", "mid.conv3",
            "up1.transpose",
            "up1.conv",
            "dec1.conv0",
            "dec1.conv1",
            "up0.transpose",
            "up0.conv",
            "dec0.conv0",
            "dec0.conv1",
            "head",
        ];
        Assert.That(network.Parameters.Parameters.Sum(p => p.Length), Is.EqualTo(1_075_873));
        Assert.That(
            network.Parameters.Parameters.Select(p => p.Name),
            Is.EqualTo(layers.SelectMany(l => (string[])[$"{l}.weight", $"{l}.bias"])));
    }
}
