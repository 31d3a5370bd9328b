using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>The variants of the 3D max pooling.</summary>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class MaxPool3dVariants<TActivation, T>
    where TActivation : unmanaged
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IMaxPool3d<TActivation>, MaxPool3dShape> Table { get; } = new(
        "max-pool3d",
        Variants.ForHost<TActivation, IMaxPool3d<TActivation>, MaxPool3dShape>(static threads => new MaxPool3dHostSimd(threads)),
        Variants.ForDirect<T, IMaxPool3d<TActivation>, MaxPool3dShape>(
            typeof(MaxPool3dDirect<,,,>), Variants.Storage<TActivation, T>()));
}
