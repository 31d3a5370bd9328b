using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Ops.Sum;

/// <summary>The variants of the sum of a tensor's elements. Their shape is the number of elements.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class SumVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<ISum<T>, FlatShape> Table { get; } = new(
        "sum",
        Variants.ForHost<T, ISum<T>, FlatShape>(static threads => new SumHostSimd(threads)),
        Variants.ForDirect<T, ISum<T>, FlatShape>(typeof(SumDirect<,>)));
}
