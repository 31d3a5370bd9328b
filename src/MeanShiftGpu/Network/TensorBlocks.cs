using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Network;

/// <summary>Boxes of channels-last tensors in the host's memory.</summary>
internal static class TensorBlocks
{
    /// <summary>Whole planes of a box, counted from its first.</summary>
    public static Box Planes(Box box, int begin, int end)
        => new((box.Origin.Z + begin, box.Origin.Y, box.Origin.X), box.Size with { Depth = end - begin });

    /// <summary>A box as it lies within another that holds it.</summary>
    public static Box Within(Box box, Box outer)
        => box with { Origin = (box.Origin.Z - outer.Origin.Z, box.Origin.Y - outer.Origin.Y, box.Origin.X - outer.Origin.X) };

    /// <summary>Copies a box from one tensor [D, H, W, channels] to a place in another.</summary>
    public static void Copy<T>(ReadOnlySpan<T> source, Extent sourceSize, Box box, Span<T> target, Extent targetSize,
        (int Z, int Y, int X) to, int channels)
    {
        int row = box.Size.Width * channels;
        for (int z = 0; z < box.Size.Depth; z++)
        {
            for (int y = 0; y < box.Size.Height; y++)
            {
                int from =
                    (((box.Origin.Z + z) * sourceSize.Height + box.Origin.Y + y) * sourceSize.Width + box.Origin.X) * channels;
                int into = (((to.Z + z) * targetSize.Height + to.Y + y) * targetSize.Width + to.X) * channels;
                source.Slice(from, row).CopyTo(target[into..]);
            }
        }
    }
}
