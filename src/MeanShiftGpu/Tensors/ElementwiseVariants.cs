using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Tensors;

/// <summary>
/// The variants of the elementwise arithmetic. They stand beside the tensors because the tape uses them.
/// </summary>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class ElementwiseVariants<TActivation, T>
    where TActivation : unmanaged
    where T : unmanaged, INumber<T>
{
    /// <summary>
    /// Best first. Every variant takes every shape, so the default shape selects one for all calls.
    /// </summary>
    public static VariantTable<IElementwise<TActivation, T>, ElementwiseShape> Table { get; } = new(
        "elementwise",
        Variants.ForHost<TActivation, IElementwise<TActivation, T>, ElementwiseShape>(
            static threads => new ElementwiseHostSimd(threads)),
        Variants.ForDirect<T, IElementwise<TActivation, T>, ElementwiseShape>(
            typeof(ElementwiseDirect<,,,>), Variants.Storage<TActivation, T>()));
}
