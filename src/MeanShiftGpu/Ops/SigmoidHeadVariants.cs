using System.Numerics;
using MeanShiftGpu.Kernels;

namespace MeanShiftGpu.Ops;

/// <summary>The variants of the network's head: 1³ convolution, bias and sigmoid.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class SigmoidHeadVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<ISigmoidHead<T>, SigmoidHeadShape> Table { get; } = new(
        "sigmoid-head",
        Variants.ForHost<T, ISigmoidHead<T>, SigmoidHeadShape>(static threads => new SigmoidHeadHostSimd(threads)),
        Variants.ForGroups<T, ISigmoidHead<T>, SigmoidHeadShape>(Variants.Grouped, typeof(SigmoidHeadGrouped<,>), GroupSum.Threads, GroupSum.SharedBytes),
        Variants.ForDirect<T, ISigmoidHead<T>, SigmoidHeadShape>(typeof(SigmoidHeadDirect<,>)));
}
