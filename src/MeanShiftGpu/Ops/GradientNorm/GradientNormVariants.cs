using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Sums;
using MeanShiftGpu.Kernels.Optimizer;

namespace MeanShiftGpu.Ops.GradientNorm;

/// <summary>
/// The variants of the gradient's norm and clip factor. Their shape is the number of parameters.
/// </summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class GradientNormVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<IGradientNorm<T>, FlatShape> Table { get; } = new(
        "gradient-norm",
        Variants.ForHost<T, IGradientNorm<T>, FlatShape>(static threads => new GradientNormHostSimd(threads)),
        Variants
            .ForGroups<T, IGradientNorm<T>, FlatShape>(Variants.Grouped, typeof(GradientNormGrouped<,>), GroupSum.Threads,
                GroupSum.SharedBytes),
        Variants.ForDirect<T, IGradientNorm<T>, FlatShape>(typeof(GradientNormDirect<,>)));
}
