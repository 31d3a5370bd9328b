using System.Numerics;
using System.Runtime.CompilerServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>The variants of the 3D convolution on activations that are stored as BF16, beside float32 parameters.</summary>
public static class Conv3dVariants
{
    /// <summary>Best first.</summary>
    public static VariantTable<IConv3d<Bf16, float>, Conv3dShape> Bf16 { get; } = new(
        "conv3d",
        Variants.ForBf16<IConv3d<Bf16, float>, Conv3dShape>(
            static shape => shape.KernelSize != 3 ? "it takes kernels of 3³ only" : null,
            static shape => (shape.InputPitch, shape.OutputPitch),
            Conv3dTensorCore.CreateBf16));
}

/// <summary>The variants of the 3D convolution.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class Conv3dVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static readonly VariantTable<IConv3d<T>, Conv3dShape> Table = new(
        "conv3d",
        Variants.ForTensorCores<T, IConv3d<T>, Conv3dShape>(
            static shape => shape.KernelSize != 3 ? "it takes kernels of 3³ only" : null,
            static (accelerator, precision) => Conv3dTensorCore.Create(accelerator, precision)) with
        {
            // One input channel is too little work for its memory traffic; forced, it is computed all the same.
            Suits = static shape => shape.InputChannels > 1,
        },
        new(Variants.HostWinograd, WinogradRefusal, static context => (IConv3d<T>)(object)new Conv3dHostWinograd(context.Threads)) { Suits = SuitsWinograd },
        Variants.ForHost<T, IConv3d<T>, Conv3dShape>(static threads => new Conv3dHostSimd(threads)),
        new Variant<IConv3d<T>, Conv3dShape>(
            Variants.ImplicitGemm,
            static (context, shape) => shape.KernelSize != 3
                ? $"it computes 3³ kernels only, this one is {shape.KernelSize}³"
                : Variants.GroupRefusal(context, Conv3dImplicitGemm<T>.MostThreads, Conv3dImplicitGemm<T>.MostSharedElements * Unsafe.SizeOf<T>()),
            static context => new Conv3dImplicitGemm<T>(context.Accelerator)),
        Variants.ForDirect<T, IConv3d<T>, Conv3dShape>(typeof(Conv3dDirect<,>)));

    private static string? WinogradRefusal(GpuContext context, Conv3dShape shape)
        => shape.KernelSize != 3 ? "it computes kernels of 3³ only" : Variants.HostRefusal<T>(context);

    // With few channels the transforms take longer than the multiplications that they save.
    private static bool SuitsWinograd(Conv3dShape shape)
        => Math.Min(shape.InputChannels, shape.OutputChannels) >= 16;
}
