using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>The variants of the 3D max pooling on activations that are stored as BF16, beside float32 parameters.</summary>
public static class MaxPool3dVariants
{
    /// <summary>Best first.</summary>
    public static VariantTable<IMaxPool3d<Bf16>, MaxPool3dShape> Bf16 { get; } = new(
        "max-pool3d",
        new Variant<IMaxPool3d<Bf16>, MaxPool3dShape>(Variants.Direct, static (_, _) => null, static context => new MaxPool3dDirect<Bf16, float, Bf16>(context.Accelerator)));
}

/// <summary>The variants of the 3D max pooling.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class MaxPool3dVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IMaxPool3d<T>, MaxPool3dShape> Table { get; } = new(
        "max-pool3d",
        Variants.ForHost<T, IMaxPool3d<T>, MaxPool3dShape>(static threads => new MaxPool3dHostSimd(threads)),
        new Variant<IMaxPool3d<T>, MaxPool3dShape>(Variants.Direct, static (_, _) => null, static context => new MaxPool3dDirect<T, T, Plain<T>>(context.Accelerator)));
}
