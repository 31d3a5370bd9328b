using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Network;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>
/// A value of an enumeration that nobody knows is refused, and does not become one that somebody does.
/// </summary>
public sealed class UnknownNodeTests
{
    private const NodeOp Unknown = (NodeOp)99;

    [Test]
    public void PlanesRead_UnknownOperation_Throw()
    {
        Assert.That(() => PlaneSchedule.FirstRead(4, Unknown),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Transposed"));
        Assert.That(() => PlaneSchedule.LastRead(4, Unknown), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(()
            => new NetworkNode(Unknown, "node", 0, 1, Activation.None).KernelSize, Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    // Every launcher takes a shape, so that the shape's check is theirs.
    [Test]
    public void ConvolutionShape_UnknownActivation_Throws()
    {
        Conv3dShape shape = new(1, 2, 2, 2, 1, 1, 3, Activation.Relu, 1, 1);
        Assert.That(() => new Conv3dShape(1, 2, 2, 2, 1, 1, 3, (Activation)99, 1, 1),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Relu"));
        Assert.That(() => shape with { Activation = (Activation)99 }, Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That((shape with { Activation = Activation.None }).Activation, Is.EqualTo(Activation.None));
    }

    [Test]
    public void TensorCores_UnknownPrecision_Throw()
    {
        const TensorCorePrecision unknown = (TensorCorePrecision)99;
        Assert.That(() => ConvTranspose3dTensorCore.Create(null!, unknown),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Tf32"));
        Assert.That(() => Conv3dTensorCore.Create(null!, unknown), Throws.TypeOf<ArgumentOutOfRangeException>());
    }
}
