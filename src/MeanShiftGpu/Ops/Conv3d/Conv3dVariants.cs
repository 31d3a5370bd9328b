using System.Numerics;
using System.Runtime.CompilerServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>The variants of the 3D convolution.</summary>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class Conv3dVariants<TActivation, T>
    where TActivation : unmanaged
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IConv3d<TActivation, T>, Conv3dShape> Table { get; } = new(
        "conv3d",
        KnowsRelu(Variants.ForTensorCores<TActivation, T, IConv3d<TActivation, T>, Conv3dShape>(
            TensorCoreRefusal,
            static shape => (shape.InputPitch, shape.OutputPitch),
            static (accelerator, precision) => Conv3dTensorCore.Create(accelerator, precision),
            Conv3dTensorCore.CreateBf16) with
        {
            // One input channel is too little work for its memory traffic; forced, it is computed all the
            // same.
            Suits = static shape => typeof(TActivation) == typeof(Bf16) || shape.InputChannels > 1,
        }),
        KnowsRelu(Variants.Unrounded<TActivation, IConv3d<TActivation, T>, Conv3dShape>(static () => new(
            Variants.HostWinograd,
            WinogradRefusal,
            static context => (IConv3d<TActivation, T>)Conv3dHostWinograd.Create(context.Threads))
        {
            Suits = SuitsWinograd,
        })),
        KnowsRelu(Variants.ForHost<TActivation, IConv3d<TActivation, T>, Conv3dShape>(Conv3dHostSimd.Create)),
        KnowsRelu(Variants.Unrounded<TActivation, IConv3d<TActivation, T>, Conv3dShape>(static () => new(
            Variants.ImplicitGemm,
            static (context, shape) => shape.KernelSize != 3
                ? $"it computes 3³ kernels only, this one is {shape.KernelSize}³"
                : Variants.GroupRefusal(
                    context, Conv3dImplicitGemm<T>.MostThreads, Conv3dImplicitGemm<T>.MostSharedElements * Unsafe.SizeOf<T>()),
            static context => (IConv3d<TActivation, T>)(object)new Conv3dImplicitGemm<T>(context.Accelerator)))),
        Variants.Unrounded<TActivation, IConv3d<TActivation, T>, Conv3dShape>(
            static () => Variants.ForDirect<T, IConv3d<TActivation, T>, Conv3dShape>(typeof(Conv3dDirect<,>))));

    // The fast variants have ReLU in their epilogue and its mask in their prologue, and nothing else; the
    // direct one, the last, computes every activation.
    private static Variant<IConv3d<TActivation, T>, Conv3dShape>? KnowsRelu(
        Variant<IConv3d<TActivation, T>, Conv3dShape>? variant)
        => variant is null ? null : variant with
        {
            Supports = (context, shape) => shape.Activation is Activation.None or Activation.Relu
                ? variant.Supports(context, shape) : $"of activations it knows ReLU alone, not {shape.Activation}",
        };

    // Within a tile and its surroundings it counts in 32 bits.
    private static string? TensorCoreRefusal(Conv3dShape shape)
        => shape.KernelSize != 3
            ? "it takes kernels of 3³ only"
            : 5L * shape.Height * shape.Width * Math.Max(shape.InputPitch, shape.OutputPitch) > int.MaxValue
                ? $"five planes of {shape.Height}×{shape.Width} voxels have more than {int.MaxValue} numbers"
                : null;

    private static string? WinogradRefusal(GpuContext context, Conv3dShape shape)
        => shape.KernelSize != 3 ? "it computes kernels of 3³ only" : Variants.HostRefusal<T>(context);

    // With few channels the transforms take longer than the multiplications that they save.
    private static bool SuitsWinograd(Conv3dShape shape)
        => Math.Min(shape.InputChannels, shape.OutputChannels) >= 16;
}
