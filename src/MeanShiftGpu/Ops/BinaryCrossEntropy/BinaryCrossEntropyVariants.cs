using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Ops.BinaryCrossEntropy;

/// <summary>The variants of the binary cross-entropy.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class BinaryCrossEntropyVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IBinaryCrossEntropy<T>, FlatShape> Table { get; } = new(
        "binary-cross-entropy",
        Variants.ForHost<T, IBinaryCrossEntropy<T>, FlatShape>(static threads => new BinaryCrossEntropyHostSimd(threads)),
        Variants
            .ForGroups<T, IBinaryCrossEntropy<T>, FlatShape>(Variants.Grouped, typeof(BinaryCrossEntropyGrouped<,>),
                GroupSum.Threads, GroupSum.SharedBytes),
        Variants.ForDirect<T, IBinaryCrossEntropy<T>, FlatShape>(typeof(BinaryCrossEntropyDirect<,>)));
}
