using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>The variants of the network's head: 1³ convolution, bias and sigmoid.</summary>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class SigmoidHeadVariants<TActivation, T>
    where TActivation : unmanaged
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<ISigmoidHead<TActivation, T>, SigmoidHeadShape> Table { get; } = new(
        "sigmoid-head",
        Variants.ForHost<TActivation, ISigmoidHead<TActivation, T>, SigmoidHeadShape>(
            static threads => new SigmoidHeadHostSimd(threads)),
        Variants.ForGroups<T, ISigmoidHead<TActivation, T>, SigmoidHeadShape>(
            Variants.Grouped, typeof(SigmoidHeadGrouped<,,,>), GroupSum.Threads, GroupSum.SharedBytes,
            Variants.Storage<TActivation, T>()),
        Variants.ForDirect<T, ISigmoidHead<TActivation, T>, SigmoidHeadShape>(
            typeof(SigmoidHeadDirect<,,,>), Variants.Storage<TActivation, T>()));
}
