using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Layers;

/// <content>
/// Inference in blocks. At each resolution the convolutions reach only a few voxels, and what takes the memory is the wide tensors between them. So
/// they are computed in blocks with a small halo: once down to the pooled tensor, then, when the coarser resolutions are done, a second time
/// together with the way up. Whole tensors are kept only where a resolution hands over to the next, which is a tenth of a forward pass's memory.
/// </content>
public sealed partial class UNet3d<T>
{
    // Two convolutions down, one after the upsampling and two up reach four voxels in a row; even, so that pooling's pairs stay whole.
    private const int BlockHalo = 4;

    /// <summary>Predicts the scores of a part of a tile, block by block, on a device whose memory is the host's.</summary>
    /// <param name="arena">The memory.</param>
    /// <param name="image">[D, H, W, InputChannels] of the tile.</param>
    /// <param name="tile">Its extents, multiples of <see cref="UNet3dOptions.Divisor"/>.</param>
    /// <param name="core">The part of the tile whose scores are wanted; it begins and ends at multiples of the divisor.</param>
    /// <param name="output">[D, H, W, Outputs] of the core.</param>
    internal void PredictInBlocks(Arena arena, ReadOnlySpan<T> image, Extent tile, Box core, Span<T> output)
    {
        arena.Reserve(Options.BlockedInferenceBytes(tile));
        using Tape<T> tape = Tape<T>.Begin(arena, inference: true);
        Tensor<T> input = tape.Upload(image, new TensorShape(1, tile.Depth, tile.Height, tile.Width, Options.InputChannels));
        if (Options.Widths.Count == 1)
        {
            Tensor<T> bottom = tape.Allocate(input.Shape with { Channels = Options.Widths[0] });
            Bottom(tape, input, bottom);
            Tensor<T> scores = tape.SigmoidHead(bottom, head.Weight, head.Bias);
            TensorBlocks.Copy(scores.View.AsHostSpan(), tile, core, output, core.Size, (0, 0, 0), Options.Outputs);
            return;
        }

        Tensor<T> below = Coarser(tape, 0, input);
        foreach (Box block in TensorBlocks.Cut(core, UNet3dOptions.BlockEdge(0)))
        {
            (int, long) mark = arena.Mark();
            Box seen = TensorBlocks.Grown(block, BlockHalo, tile);
            Tensor<T> scores = tape.SigmoidHead(Up(tape, 0, input, below, seen), head.Weight, head.Bias);
            (int, int, int) to = (block.Origin.Z - core.Origin.Z, block.Origin.Y - core.Origin.Y, block.Origin.X - core.Origin.X);
            TensorBlocks.Copy(scores.View.AsHostSpan(), seen.Size, TensorBlocks.Within(block, seen), output, core.Size, to, Options.Outputs);
            arena.Rewind(mark);
        }
    }

    // What the resolutions from a level on give to the one above. Overwrites output, [1, D, H, W, Widths[level]] for an input of that level.
    private void LevelInBlocks(Tape<T> tape, int level, Tensor<T> input, Tensor<T> output)
    {
        if (level == encoder.Length)
        {
            Bottom(tape, input, output);
            return;
        }

        Extent size = SizeOf(input);
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> below = Coarser(tape, level, input);
        foreach (Box block in TensorBlocks.Cut(Box.Whole(size), UNet3dOptions.BlockEdge(level)))
        {
            (int, long) blockMark = tape.Arena.Mark();
            Box seen = TensorBlocks.Grown(block, BlockHalo, size);
            Tensor<T> decoded = Up(tape, level, input, below, seen);
            TensorBlocks.Copy(decoded.View.AsHostSpan(), seen.Size, TensorBlocks.Within(block, seen), output.View.AsHostSpan(), size, block.Origin, Options.Widths[level]);
            tape.Arena.Rewind(blockMark);
        }

        tape.Arena.Rewind(mark);
    }

    // The way down of a level in blocks, pooled, and what the coarser resolutions make of it: [1, D/2, H/2, W/2, Widths[level + 1]].
    private Tensor<T> Coarser(Tape<T> tape, int level, Tensor<T> input)
    {
        Extent size = SizeOf(input);
        int width = Options.Widths[level];
        TensorShape half = input.Shape with { Depth = size.Depth / 2, Height = size.Height / 2, Width = size.Width / 2, Channels = width };
        Tensor<T> below = tape.Allocate(half with { Channels = Options.Widths[level + 1] });
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> pooled = tape.Allocate(half);
        foreach (Box block in TensorBlocks.Cut(Box.Whole(size), UNet3dOptions.BlockEdge(level)))
        {
            (int, long) blockMark = tape.Arena.Mark();
            Box seen = TensorBlocks.Grown(block, BlockHalo, size);
            Tensor<T> x = Apply(tape, encoder[level][0], Gather(tape, input, seen), Activation.Relu);
            x = tape.MaxPool3d(Apply(tape, encoder[level][1], x, Activation.Relu));
            Box from = TensorBlocks.Halved(TensorBlocks.Within(block, seen));
            TensorBlocks.Copy(x.View.AsHostSpan(), TensorBlocks.Halved(seen).Size, from, pooled.View.AsHostSpan(), SizeOf(pooled), TensorBlocks.Halved(block).Origin, width);
            tape.Arena.Rewind(blockMark);
        }

        LevelInBlocks(tape, level + 1, pooled, below);
        tape.Arena.Rewind(mark);
        return below;
    }

    // The decoder of a level in one block: [1, block, Widths[level]], right at BlockHalo voxels from the block's faces inside the volume.
    private Tensor<T> Up(Tape<T> tape, int level, Tensor<T> input, Tensor<T> below, Box block)
    {
        int width = Options.Widths[level];
        TensorShape shape = new(1, block.Size.Depth, block.Size.Height, block.Size.Width, width + Options.Widths[level + 1]);
        Tensor<T> decoded = tape.Allocate(shape with { Channels = width });
        Tensor<T> joined = tape.Allocate(shape);
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> x = Apply(tape, encoder[level][0], Gather(tape, input, block), Activation.Relu);
        Apply(tape, encoder[level][1], x, Activation.Relu, joined.Channels(0, width));
        tape.Arena.Rewind(mark);
        x = tape.ConvTranspose3d(Gather(tape, below, TensorBlocks.Halved(block)), up[level].Transpose.Weight, up[level].Transpose.Bias);
        Apply(tape, up[level].Conv, x, Activation.None, joined.Channels(width, Options.Widths[level + 1]));
        tape.Arena.Rewind(mark);
        x = Apply(tape, decoder[level][0], joined, Activation.Relu);
        return Apply(tape, decoder[level][1], x, Activation.Relu, decoded);
    }

    // The convolutions at the coarsest resolution, to and fro between two tensors; their number is even, so that the last writes the output.
    private void Bottom(Tape<T> tape, Tensor<T> input, Tensor<T> output)
    {
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> other = tape.Allocate(output.Shape);
        Tensor<T> x = input;
        for (int i = 0; i < middle.Length; i++)
            x = Apply(tape, middle[i], x, Activation.Relu, i % 2 == 0 ? other : output);
        tape.Arena.Rewind(mark);
    }

    private static Tensor<T> Gather(Tape<T> tape, Tensor<T> source, Box box)
    {
        Tensor<T> block = tape.Allocate(source.Shape with { Depth = box.Size.Depth, Height = box.Size.Height, Width = box.Size.Width });
        TensorBlocks.Copy(source.View.AsHostSpan(), SizeOf(source), box, block.View.AsHostSpan(), box.Size, (0, 0, 0), source.Shape.Channels);
        return block;
    }

    private static Extent SizeOf(Tensor<T> tensor) => new(tensor.Shape.Depth, tensor.Shape.Height, tensor.Shape.Width);
}
