using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;

namespace MeanShiftGpu.Ops.Adam;

/// <summary>The variants of the Adam and AdamW optimiser. Their shape is the number of parameters.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class AdamVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IAdam<T>, FlatShape> Table { get; } = new(
        "adam",
        Variants.ForHost<T, IAdam<T>, FlatShape>(static threads => new AdamHostSimd(threads)),
        Variants.ForDirect<T, IAdam<T>, FlatShape>(typeof(AdamDirect<,>)));
}
