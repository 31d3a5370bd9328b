using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;

namespace MeanShiftGpu.Tensors;

/// <summary>The variants of the elementwise arithmetic on tensors that are stored as BF16.</summary>
public static class ElementwiseVariants
{
    /// <summary>One for every device.</summary>
    public static VariantTable<IElementwiseBf16, ElementwiseShape> Bf16 { get; } = new(
        "elementwise",
        new Variant<IElementwiseBf16, ElementwiseShape>(Variants.Direct, static (_, _) => null, static context => new ElementwiseBf16(context.Accelerator)));
}

/// <summary>The variants of the elementwise arithmetic. They stand beside the tensors because the tape uses them.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class ElementwiseVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first. Every variant takes every shape, so the default shape selects one for all calls.</summary>
    public static VariantTable<IElementwise<T>, ElementwiseShape> Table { get; } = new(
        "elementwise",
        Variants.ForHost<T, IElementwise<T>, ElementwiseShape>(static threads => new ElementwiseHostSimd(threads)),
        Variants.ForDirect<T, IElementwise<T>, ElementwiseShape>(typeof(ElementwiseDirect<,>)));
}
