using System.Numerics;
using System.Runtime.CompilerServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>The variants of the transposed 3D convolution.</summary>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class ConvTranspose3dVariants<TActivation, T>
    where TActivation : unmanaged
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IConvTranspose3d<TActivation, T>, ConvTranspose3dShape> Table { get; } = new(
        "conv-transpose3d",
        Variants.ForTensorCores<TActivation, T, IConvTranspose3d<TActivation, T>, ConvTranspose3dShape>(
            static _ => null,
            static shape => (shape.InputPitch, shape.OutputPitch),
            static (accelerator, precision) => ConvTranspose3dTensorCore.Create(accelerator, precision),
            ConvTranspose3dTensorCore.CreateBf16),
        Variants.ForHost<TActivation, IConvTranspose3d<TActivation, T>, ConvTranspose3dShape>(ConvTranspose3dHostSimd.Create),
        Variants.Unrounded<TActivation, IConvTranspose3d<TActivation, T>, ConvTranspose3dShape>(static () => new(
            Variants.ImplicitGemm,
            static (context, _) => Variants.GroupRefusal(
                context, ConvTranspose3dImplicitGemm<T>.MostThreads,
                ConvTranspose3dImplicitGemm<T>.MostSharedElements * Unsafe.SizeOf<T>()),
            static context => (IConvTranspose3d<TActivation, T>)(object)new ConvTranspose3dImplicitGemm<T>(context.Accelerator))),
        Variants.Unrounded<TActivation, IConvTranspose3d<TActivation, T>, ConvTranspose3dShape>(
            static () => Variants.ForDirect<T, IConvTranspose3d<TActivation, T>, ConvTranspose3dShape>(
                typeof(ConvTranspose3dDirect<,>))));
}
