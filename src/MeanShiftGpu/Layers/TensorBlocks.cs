namespace MeanShiftGpu.Layers;

/// <summary>Boxes of channels-last tensors in the host's memory.</summary>
internal static class TensorBlocks
{
    /// <summary>Cuts a box where coordinates are multiples of the given edge, x fastest: every box of a volume is cut at the same places.</summary>
    public static IEnumerable<Box> Cut(Box box, int edge)
    {
        (int z, int y, int x) = box.Origin;
        foreach ((int blockZ, int depth) in Pieces(z, box.Size.Depth))
        {
            foreach ((int blockY, int height) in Pieces(y, box.Size.Height))
            {
                foreach ((int blockX, int width) in Pieces(x, box.Size.Width))
                    yield return new Box((blockZ, blockY, blockX), new Extent(depth, height, width));
            }
        }

        IEnumerable<(int Origin, int Length)> Pieces(int origin, int length)
        {
            for (int at = origin, next; at < origin + length; at = next)
            {
                next = Math.Min(origin + length, (at / edge + 1) * edge);
                yield return (at, next - at);
            }
        }
    }

    /// <summary>A box with a halo, as far as another box reaches.</summary>
    public static Box Grown(Box box, int halo, Box limit) => Grown(box, (halo, halo, halo), (halo, halo, halo), limit);

    /// <summary>A box with a halo before its first and after its last voxels, as far as another box reaches.</summary>
    public static Box Grown(Box box, (int Z, int Y, int X) before, (int Z, int Y, int X) after, Box limit)
    {
        (int z, int depth) = Along(box.Origin.Z, box.Size.Depth, before.Z, after.Z, limit.Origin.Z, limit.Size.Depth);
        (int y, int height) = Along(box.Origin.Y, box.Size.Height, before.Y, after.Y, limit.Origin.Y, limit.Size.Height);
        (int x, int width) = Along(box.Origin.X, box.Size.Width, before.X, after.X, limit.Origin.X, limit.Size.Width);
        return new Box((z, y, x), new Extent(depth, height, width));

        static (int Origin, int Length) Along(int origin, int length, int before, int after, int limitOrigin, int limitLength)
        {
            int first = Math.Max(origin - before, limitOrigin);
            return (first, Math.Min(origin + length + after, limitOrigin + limitLength) - first);
        }
    }

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
