using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>The variants of the mean shift, best first.</summary>
/// <typeparam name="T">float or double.</typeparam>
internal static class MeanShiftVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>The table.</summary>
    public static VariantTable<IMeanShift<T>, MeanShiftShape> Table { get; } = new(
        "mean-shift",
        Variants.ForHost<T, IMeanShift<T>, MeanShiftShape>(static threads => new MeanShiftHostSimd(threads)),
        Variants.ForGroups<T, IMeanShift<T>, MeanShiftShape>(
            Variants.Grouped,
            typeof(MeanShiftGrouped<,>),
            MeanShiftGrouped<float, Float32>.MostThreads,
            MeanShiftGrouped<double, Float64>.SharedBytes),
        Variants.ForDirect<T, IMeanShift<T>, MeanShiftShape>(typeof(MeanShiftDirect<,>)));
}
