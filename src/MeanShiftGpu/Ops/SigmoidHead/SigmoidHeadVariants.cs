using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>The variants of the network's head on activations that are stored as BF16, beside float32 parameters.</summary>
public static class SigmoidHeadVariants
{
    /// <summary>Best first.</summary>
    public static VariantTable<ISigmoidHead<Bf16, float>, SigmoidHeadShape> Bf16 { get; } = new(
        "sigmoid-head",
        Variants.ForBf16<ISigmoidHead<Bf16, float>, SigmoidHeadShape>(
            static _ => null,
            static shape => (shape.InputPitch, shape.InputPitch),
            SigmoidHeadTensorCore.CreateBf16));
}

/// <summary>The variants of the network's head: 1³ convolution, bias and sigmoid.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class SigmoidHeadVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<ISigmoidHead<T>, SigmoidHeadShape> Table { get; } = new(
        "sigmoid-head",
        Variants.ForTensorCores<T, ISigmoidHead<T>, SigmoidHeadShape>(
            static _ => null,
            static (accelerator, precision) => SigmoidHeadTensorCore.Create(accelerator, precision)) with
        {
            // One output takes plain units a twentieth of the memory's time: nothing to gain by rounding. Forced, it is computed all the same.
            Suits = static shape => shape.Outputs > 1,
        },
        Variants.ForHost<T, ISigmoidHead<T>, SigmoidHeadShape>(static threads => new SigmoidHeadHostSimd(threads)),
        Variants.ForGroups<T, ISigmoidHead<T>, SigmoidHeadShape>(Variants.Grouped, typeof(SigmoidHeadGrouped<,>), GroupSum.Threads, GroupSum.SharedBytes),
        Variants.ForDirect<T, ISigmoidHead<T>, SigmoidHeadShape>(typeof(SigmoidHeadDirect<,>)));
}
