namespace MeanShiftGpu.Layers;

/// <summary>Boxes of channels-last tensors in the host's memory.</summary>
internal static class TensorBlocks
{
    /// <summary>Cuts a box into blocks of at most the given edge, x fastest.</summary>
    public static IEnumerable<Box> Cut(Box box, int edge)
    {
        for (int z = 0; z < box.Size.Depth; z += edge)
        {
            for (int y = 0; y < box.Size.Height; y += edge)
            {
                for (int x = 0; x < box.Size.Width; x += edge)
                {
                    yield return new Box(
                        (box.Origin.Z + z, box.Origin.Y + y, box.Origin.X + x),
                        new Extent(Math.Min(edge, box.Size.Depth - z), Math.Min(edge, box.Size.Height - y), Math.Min(edge, box.Size.Width - x)));
                }
            }
        }
    }

    /// <summary>A box with a halo, as far as the volume reaches.</summary>
    public static Box Grown(Box box, int halo, Extent volume) => new Box(
        (box.Origin.Z - halo, box.Origin.Y - halo, box.Origin.X - halo),
        new Extent(box.Size.Depth + 2 * halo, box.Size.Height + 2 * halo, box.Size.Width + 2 * halo)).ClippedTo(volume);

    /// <summary>A box as it lies within another that holds it.</summary>
    public static Box Within(Box box, Box outer)
        => box with { Origin = (box.Origin.Z - outer.Origin.Z, box.Origin.Y - outer.Origin.Y, box.Origin.X - outer.Origin.X) };

    /// <summary>A box of even edges at half the resolution.</summary>
    public static Box Halved(Box box)
        => new((box.Origin.Z / 2, box.Origin.Y / 2, box.Origin.X / 2), new Extent(box.Size.Depth / 2, box.Size.Height / 2, box.Size.Width / 2));

    /// <summary>Copies a box from one tensor [D, H, W, channels] to a place in another.</summary>
    public static void Copy<T>(ReadOnlySpan<T> source, Extent sourceSize, Box box, Span<T> target, Extent targetSize, (int Z, int Y, int X) to, int channels)
    {
        int row = box.Size.Width * channels;
        for (int z = 0; z < box.Size.Depth; z++)
        {
            for (int y = 0; y < box.Size.Height; y++)
            {
                int from = (((box.Origin.Z + z) * sourceSize.Height + box.Origin.Y + y) * sourceSize.Width + box.Origin.X) * channels;
                int into = (((to.Z + z) * targetSize.Height + to.Y + y) * targetSize.Width + to.X) * channels;
                source.Slice(from, row).CopyTo(target[into..]);
            }
        }
    }
}
