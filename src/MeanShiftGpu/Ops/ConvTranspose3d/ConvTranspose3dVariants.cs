using System.Numerics;
using System.Runtime.CompilerServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>The variants of the transposed 3D convolution on activations that are stored as BF16, beside float32 parameters.</summary>
public static class ConvTranspose3dVariants
{
    /// <summary>Best first.</summary>
    public static VariantTable<IConvTranspose3d<Bf16, float>, ConvTranspose3dShape> Bf16 { get; } = new(
        "conv-transpose3d",
        Variants.ForBf16<IConvTranspose3d<Bf16, float>, ConvTranspose3dShape>(
            static _ => null,
            static shape => (shape.InputPitch, shape.OutputPitch),
            ConvTranspose3dTensorCore.CreateBf16));
}

/// <summary>The variants of the transposed 3D convolution.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class ConvTranspose3dVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static readonly VariantTable<IConvTranspose3d<T>, ConvTranspose3dShape> Table = new(
        "conv-transpose3d",
        Variants.ForTensorCores<T, IConvTranspose3d<T>, ConvTranspose3dShape>(
            static _ => null,
            static (accelerator, precision) => ConvTranspose3dTensorCore.Create(accelerator, precision)),
        Variants.ForHost<T, IConvTranspose3d<T>, ConvTranspose3dShape>(static threads => new ConvTranspose3dHostSimd(threads)),
        new Variant<IConvTranspose3d<T>, ConvTranspose3dShape>(
            Variants.ImplicitGemm,
            static (context, _) => Variants.GroupRefusal(context, ConvTranspose3dImplicitGemm<T>.MostThreads, ConvTranspose3dImplicitGemm<T>.MostSharedElements * Unsafe.SizeOf<T>()),
            static context => new ConvTranspose3dImplicitGemm<T>(context.Accelerator)),
        Variants.ForDirect<T, IConvTranspose3d<T>, ConvTranspose3dShape>(typeof(ConvTranspose3dDirect<,>)));
}
