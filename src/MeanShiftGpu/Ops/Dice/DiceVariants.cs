using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Ops.Dice;

/// <summary>The variants of the Dice loss.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class DiceVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IDice<T>, FlatShape> Table { get; } = new(
        "dice",
        Variants.ForHost<T, IDice<T>, FlatShape>(static threads => new DiceHostSimd(threads)),
        Variants
            .ForGroups<T, IDice<T>, FlatShape>(Variants.Grouped, typeof(DiceGrouped<,>), GroupSum.Threads, GroupSum.SharedBytes),
        Variants.ForDirect<T, IDice<T>, FlatShape>(typeof(DiceDirect<,>)));
}
