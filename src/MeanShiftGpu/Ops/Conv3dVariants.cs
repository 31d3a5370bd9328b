using System.Numerics;
using MeanShiftGpu.Kernels;

namespace MeanShiftGpu.Ops;

/// <summary>The variants of the 3D convolution.</summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
public static class Conv3dVariants<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Best first.</summary>
    public static readonly VariantTable<IConv3d<T>, Conv3dShape> Table = new(
        "conv3d",
        Variants.ForHost<T, IConv3d<T>, Conv3dShape>(static threads => new Conv3dHostSimd(threads)),
        Variants.ForDirect<T, IConv3d<T>, Conv3dShape>(typeof(Conv3dDirect<,>)));
}
