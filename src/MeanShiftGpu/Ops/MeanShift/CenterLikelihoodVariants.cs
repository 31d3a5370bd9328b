using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>
/// The variants of the soft likelihood at centres: one, as its work is some hundred numbers.
/// </summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal static class CenterLikelihoodVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static VariantTable<ICenterLikelihood<T>, CenterLikelihoodShape> Table { get; } = new(
        "center-likelihood",
        Variants.ForDirect<T, ICenterLikelihood<T>, CenterLikelihoodShape>(typeof(CenterLikelihoodDirect<,>)));
}
