using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// A channels-last tensor that is a slice of the channels of a wider one on a device. What lies beside the
/// slice holds a mark, which <see cref="Read"/> checks: no kernel may touch it.
/// </summary>
public sealed class SlicedTensor<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private static readonly T Mark = T.CreateChecked(-7.25);
    private readonly MemoryBuffer1D<T, Stride1D.Dense> buffer;
    private readonly int channels;
    private readonly int pitch;
    private readonly int offset;

    /// <summary>
    /// Copies dense values, [voxels, channels], to channels offset … offset + channels − 1 of a tensor with
    /// <paramref name="pitch"/> channels.
    /// </summary>
    public SlicedTensor(GpuContext context, double[] values, int channels, int pitch, int offset = 0)
    {
        (this.channels, this.pitch, this.offset) = (channels, pitch, offset);
        T[] wide = new T[values.Length / channels * pitch];
        Array.Fill(wide, Mark);
        for (int i = 0; i < values.Length; i++)
            wide[Index(i)] = T.CreateChecked(values[i]);
        buffer = context.Accelerator.Allocate1D(wide);
    }

    /// <summary>From the first voxel's first channel of the slice to the last voxel's last.</summary>
    public ArrayView<T> View => buffer.View.BaseView.SubView(offset, buffer.Length - pitch + channels);

    /// <summary>
    /// From the first voxel's first channel of the slice to the end of the wider tensor, for kernels that may
    /// read a voxel's padding.
    /// </summary>
    public ArrayView<T> WithPadding => buffer.View.BaseView.SubView(offset, buffer.Length - offset);

    /// <summary>The slice, dense; fails where a neighbour changed.</summary>
    public T[] Read()
    {
        T[] wide = buffer.GetAsArray1D();
        T[] dense = new T[wide.Length / pitch * channels];
        for (int i = 0; i < dense.Length; i++)
        {
            dense[i] = wide[Index(i)];
            wide[Index(i)] = Mark;
        }

        Assert.That(Array.FindIndex(wide, value => value != Mark), Is.EqualTo(-1), "a neighbouring channel was written");
        return dense;
    }

    public void Dispose() => buffer.Dispose();

    private int Index(int dense) => dense / channels * pitch + offset + dense % channels;
}
