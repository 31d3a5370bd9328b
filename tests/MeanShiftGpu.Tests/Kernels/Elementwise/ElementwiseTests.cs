using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Elementwise;

[TestFixture]
public class ElementwiseTests
{
    // Channel counts around the vector lengths of every machine; dense, source, target and both sliced; one
    // element; several chunks.
    private static readonly ElementwiseShape[] Shapes =
    [
        new(1, 1, 1, 1),
        new(35, 3, 3, 3),
        new(27, 13, 20, 13),
        new(27, 21, 21, 40),
        new(15, 32, 48, 64),
        new(1100, 35, 40, 36),
        new(1231, 29, 29, 29),
    ];

    private static readonly int[] Lengths = [1, 7, 16, 33, 40001];

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Add_ShapesAndPitches_EqualsReferenceAndLeavesNeighboursAlone(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (ElementwiseShape shape in Shapes)
        {
            CheckAdd<float>(context, shape);
            CheckAdd<double>(context, shape);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Fill_PartOfABuffer_WritesThatPartOnly(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (int length in Lengths)
        {
            CheckFill<float>(context, length);
            CheckFill<double>(context, length);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void WeightedAdd_ThreeTermsOverGarbage_EqualsReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (int length in Lengths)
        {
            CheckWeightedSum<float>(context, length);
            CheckWeightedSum<double>(context, length);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Scale_AnyLength_OverwritesWithTheProduct(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (int length in Lengths)
        {
            CheckScale<float>(context, length);
            CheckScale<double>(context, length);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Mask_ShapesAndPitches_EqualsReferenceAndLeavesNeighboursAlone(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (
            ElementwiseShape shape in (
                ElementwiseShape[])[.. Shapes, new(40_001, 1, 1, 1), new(1231, 1, 3, 1), new(1231, 1, 1, 3)])
        {
            CheckMask<float>(context, shape);
            CheckMask<double>(context, shape);
        }
    }

    // Sums of two multiples of 1/1024 below 1 are exact in float32, so results can be compared exactly.
    private static double[] Rounded(long count, int seed)
        => [.. TestData.Uniform(count, seed).Select(v => Math.Round(v * 1024) / 1024)];

    private static void CheckAdd<T>(GpuContext context, ElementwiseShape shape)
        where T : unmanaged, INumber<T>
    {
        double[] source = Rounded(shape.Voxels * shape.Channels, 1);
        double[] target = Rounded(shape.Voxels * shape.Channels, 2);
        double[] expected = ElementwiseReference.Add(source, target);
        foreach (Variant<IElementwise<T, T>, ElementwiseShape> variant
            in ElementwiseVariants<T, T>.Table.Supported(context, shape))
        {
            using SlicedTensor<T> from = new(
                context, source, shape.Channels, shape.SourcePitch, shape.SourcePitch - shape.Channels);
            using SlicedTensor<T> to = new(
                context, target, shape.Channels, shape.TargetPitch, (shape.TargetPitch - shape.Channels) / 2);
            context.Launcher(ElementwiseVariants<T, T>.Table, variant).Add(context.Stream, from.View, to.View, shape);
            context.Synchronize();

            Assert.That(to.Read().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} {typeof(T).Name} {shape}");
        }
    }

    private static void CheckMask<T>(GpuContext context, ElementwiseShape shape)
        where T : unmanaged, INumber<T>
    {
        double[] source = Rounded(shape.Voxels * shape.Channels, 1);
        // Weights of −1, 0 and 1 keep products exact.
        double[] weight = [.. Rounded(shape.Voxels, 2).Select(v => Math.Round(v))];
        double[] garbage = [.. Enumerable.Repeat(double.NaN, source.Length)];
        double[] expected = ElementwiseReference.Mask(source, weight, shape.Channels);
        foreach (Variant<IElementwise<T, T>, ElementwiseShape> variant
            in ElementwiseVariants<T, T>.Table.Supported(context, shape))
        {
            using SlicedTensor<T> from = new(
                context, source, shape.Channels, shape.SourcePitch, shape.SourcePitch - shape.Channels);
            using MemoryBuffer1D<T, Stride1D.Dense> weights = context.ToDevice<T>(weight);
            using SlicedTensor<T> to = new(
                context, garbage, shape.Channels, shape.TargetPitch, (shape.TargetPitch - shape.Channels) / 2);
            context.Launcher(ElementwiseVariants<T, T>.Table, variant).Mask(
                context.Stream, from.View, weights.View, to.View, shape);
            context.Synchronize();

            Assert.That(to.Read().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} {typeof(T).Name} {shape}");
        }
    }

    private static void CheckFill<T>(GpuContext context, int length)
        where T : unmanaged, INumber<T>
    {
        foreach (Variant<IElementwise<T, T>, ElementwiseShape> variant
            in ElementwiseVariants<T, T>.Table.Supported(context, default))
        {
            using MemoryBuffer1D<T, Stride1D.Dense> buffer = context.ToDevice<T>(new double[length + 2]);
            context.Launcher(ElementwiseVariants<T, T>.Table, variant).Fill(
                context.Stream, buffer.View.BaseView.SubView(1, length), T.CreateChecked(-0.75));
            context.Synchronize();

            double[] expected = [0, .. Enumerable.Repeat(-0.75, length), 0];
            Assert.That(buffer.GetAsArray1D().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} "
                + $"{typeof(T).Name} {length}");
        }
    }

    private static void CheckWeightedSum<T>(GpuContext context, int length)
        where T : unmanaged, INumber<T>
    {
        (double[] Term, double Weight)[] terms =
            [(Rounded(length, 1), 0.5), (Rounded(length, 2), -2), (Rounded(length, 3), 0.125)];
        double[] expected = ElementwiseReference.WeightedSum(terms);
        foreach (Variant<IElementwise<T, T>, ElementwiseShape> variant
            in ElementwiseVariants<T, T>.Table.Supported(context, default))
        {
            IElementwise<T, T> elementwise = context.Launcher(ElementwiseVariants<T, T>.Table, variant);
            // The first term overwrites, so the memory may hold anything before.
            using MemoryBuffer1D<T, Stride1D.Dense> total = context.ToDevice<T>([.. Enumerable.Repeat(double.NaN, length)]);
            for (int i = 0; i < terms.Length; i++)
            {
                using MemoryBuffer1D<T, Stride1D.Dense> term = context.ToDevice<T>(terms[i].Term);
                elementwise.WeightedAdd(
                    context.Stream,
                    term.View.BaseView,
                    T.CreateChecked(terms[i].Weight),
                    total.View.BaseView,
                    accumulate: Math.Min(i, 1));
                context.Synchronize();
            }

            Assert.That(total.GetAsArray1D().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} "
                + $"{typeof(T).Name} {length}");
        }
    }

    private static void CheckScale<T>(GpuContext context, int length)
        where T : unmanaged, INumber<T>
    {
        double[] source = Rounded(length, 1);
        double[] expected = ElementwiseReference.WeightedSum((source, -1.5));
        foreach (Variant<IElementwise<T, T>, ElementwiseShape> variant
            in ElementwiseVariants<T, T>.Table.Supported(context, default))
        {
            using MemoryBuffer1D<T, Stride1D.Dense> from = context.ToDevice<T>(source);
            using MemoryBuffer1D<T, Stride1D.Dense> to = context.ToDevice<T>([.. Enumerable.Repeat(double.NaN, length)]);
            context.Launcher(ElementwiseVariants<T, T>.Table, variant).Scale(
                context.Stream, from.View.BaseView, T.CreateChecked(-1.5), to.View.BaseView);
            context.Synchronize();

            Assert.That(to.GetAsArray1D().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} "
                + $"{typeof(T).Name} {length}");
        }
    }
}
