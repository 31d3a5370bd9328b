using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Layers;

/// <content>
/// Inference in blocks. At each resolution the convolutions reach only a few voxels, and what takes the memory is the wide tensors between them. So
/// they are computed in blocks with a small halo: once down to the pooled tensor, then, when the coarser resolutions are done, a second time
/// together with the way up. Whole tensors are kept only where a resolution hands over to the next, which is a tenth of a forward pass's memory; the
/// input is read and the scores are written block by block.
/// </content>
/// <remarks>
/// A volume's tiles give the same bits as the whole: at each resolution blocks are cut where the volume's coordinates are multiples of
/// their edge, whatever the tile, and a tile begins at a multiple of <see cref="UNet3dOptions.TileAlignment"/>, so that blocks and groups of voxels
/// are those of the whole volume. Where the tile or its core cuts a block, the halo is as wide as differences of rounding reach.
/// </remarks>
public sealed partial class UNet3d<T>
{
    // Two convolutions down, one after the upsampling and two up reach four voxels in a row; even, so that pooling's pairs stay whole.
    private const int BlockHalo = 4;

    // As far as the same convolutions carry differences of rounding, in groups of four voxels.
    private const int CutBlockHalo = 8;

    // Shares of a tile's work, for reports of progress: a block on the way up takes some three times one on the way down.
    private const int WorkDown = 1;
    private const int WorkUp = 3;

    /// <summary>Predicts the scores of a part of a volume, block by block, on a device whose memory is the host's.</summary>
    /// <param name="arena">The memory.</param>
    /// <param name="tile">
    /// What is read, in voxels of the volume: from multiples of <see cref="UNet3dOptions.TileAlignment"/>, its edges multiples of <see cref="UNet3dOptions.Divisor"/>.
    /// </param>
    /// <param name="core">The part of it whose scores are wanted; <see cref="UNet3dOptions.TileHalo"/> from the tile's faces inside the volume.</param>
    /// <param name="read">Reads boxes of the tile, [D, H, W, InputChannels]; each of them is read up to three times.</param>
    /// <param name="write">Takes the scores of boxes that together are the core, [D, H, W, Outputs].</param>
    /// <param name="progress">Told the share that is done after each block.</param>
    /// <returns>The seconds that it waited for input.</returns>
    internal double PredictInBlocks(Arena arena, Box tile, Box core, BoxReader<T> read, BoxWriter<T> write, Action<double>? progress = null)
    {
        arena.Reserve(Options.BlockedInferenceBytes(tile.Size));
        using Tape<T> tape = Tape<T>.Begin(arena, inference: true);
        int edge = UNet3dOptions.BlockEdge(0);
        bool cutsDown = encoder.Length > 0;
        (Box Block, Box Seen)[] down = cutsDown ? Blocks(0, tile) : [];
        (Box Block, Box Seen)[] up = [.. TensorBlocks.Cut(core, edge).Select(b => (b, TensorBlocks.Grown(b, Halo(b.Origin, core.Origin), Halo(End(b), End(core)), tile)))];
        double work = WorkDown * down.Length + WorkUp * up.Length;
        double done = 0;
        double waited = 0;

        Tensor<T>? below = null;
        if (cutsDown)
        {
            using ReadAhead<T> input = new([.. down.Select(b => b.Seen)], Options.InputChannels, read);
            below = Coarser(tape, 0, tile, down, seen => Upload(tape, input, seen), () => progress?.Invoke((done += WorkDown) / work));
            waited += input.WaitedSeconds;
        }

        T[] scores = new T[up.Max(b => b.Block.Size.Voxels) * Options.Outputs];
        using ReadAhead<T> again = new([.. up.Select(b => b.Seen)], Options.InputChannels, read);
        foreach ((Box block, Box seen) in up)
        {
            (int, long) mark = arena.Mark();
            Tensor<T> decoded = below is null ? Bottom(tape, Upload(tape, again, seen)) : Up(tape, 0, tile, () => Upload(tape, again, seen), below, seen);
            Tensor<T> probability = tape.SigmoidHead(decoded, head.Weight, head.Bias);
            TensorBlocks.Copy(probability.View.AsHostSpan(), seen.Size, TensorBlocks.Within(block, seen), scores, block.Size, (0, 0, 0), Options.Outputs);
            write(block, scores.AsSpan(0, (int)block.Size.Voxels * Options.Outputs));
            arena.Rewind(mark);
            progress?.Invoke((done += WorkUp) / work);
        }

        return waited + again.WaitedSeconds;

        // A block that the core cuts has another halo here than in the whole volume, so this one must be wide enough to make no difference.
        (int Z, int Y, int X) Halo((int Z, int Y, int X) face, (int Z, int Y, int X) coreFace) => (Along(face.Z, coreFace.Z), Along(face.Y, coreFace.Y), Along(face.X, coreFace.X));
        int Along(int face, int coreFace) => face == coreFace && face % edge != 0 ? CutBlockHalo : BlockHalo;
        static (int Z, int Y, int X) End(Box box) => (box.Origin.Z + box.Size.Depth, box.Origin.Y + box.Size.Height, box.Origin.X + box.Size.Width);
    }

    // What the resolutions from a level on give to the one above: [1, D, H, W, Widths[level]] into output, for a tile of that level and its input.
    private void LevelInBlocks(Tape<T> tape, int level, Box tile, Tensor<T> input, Tensor<T> output)
    {
        if (level == encoder.Length)
        {
            Bottom(tape, input, output);
            return;
        }

        (int, long) mark = tape.Arena.Mark();
        (Box Block, Box Seen)[] blocks = Blocks(level, tile);
        Tensor<T> below = Coarser(tape, level, tile, blocks, seen => Gather(tape, input, TensorBlocks.Within(seen, tile)), blockDone: null);
        foreach ((Box block, Box seen) in blocks)
        {
            (int, long) blockMark = tape.Arena.Mark();
            Tensor<T> decoded = Up(tape, level, tile, () => Gather(tape, input, TensorBlocks.Within(seen, tile)), below, seen);
            TensorBlocks.Copy(
                decoded.View.AsHostSpan(), seen.Size, TensorBlocks.Within(block, seen), output.View.AsHostSpan(), tile.Size, TensorBlocks.Within(block, tile).Origin, Options.Widths[level]);
            tape.Arena.Rewind(blockMark);
        }

        tape.Arena.Rewind(mark);
    }

    // The way down of a level in blocks, pooled, and what the coarser resolutions make of it: [1, D/2, H/2, W/2, Widths[level + 1]].
    private Tensor<T> Coarser(Tape<T> tape, int level, Box tile, (Box Block, Box Seen)[] blocks, Func<Box, Tensor<T>> gather, Action? blockDone)
    {
        int width = Options.Widths[level];
        Box half = TensorBlocks.Halved(tile);
        TensorShape shape = new(1, half.Size.Depth, half.Size.Height, half.Size.Width, width);
        Tensor<T> below = tape.Allocate(shape with { Channels = Options.Widths[level + 1] });
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> pooled = tape.Allocate(shape);
        foreach ((Box block, Box seen) in blocks)
        {
            (int, long) blockMark = tape.Arena.Mark();
            Tensor<T> x = Apply(tape, encoder[level][0], gather(seen), Activation.Relu);
            x = tape.MaxPool3d(Apply(tape, encoder[level][1], x, Activation.Relu));
            Box from = TensorBlocks.Halved(TensorBlocks.Within(block, seen));
            (int, int, int) to = TensorBlocks.Within(TensorBlocks.Halved(block), half).Origin;
            TensorBlocks.Copy(x.View.AsHostSpan(), TensorBlocks.Halved(seen).Size, from, pooled.View.AsHostSpan(), half.Size, to, width);
            tape.Arena.Rewind(blockMark);
            blockDone?.Invoke();
        }

        LevelInBlocks(tape, level + 1, half, pooled, below);
        tape.Arena.Rewind(mark);
        return below;
    }

    // The decoder of a level in one block: [1, block, Widths[level]], right at BlockHalo voxels from the block's faces inside the volume.
    private Tensor<T> Up(Tape<T> tape, int level, Box tile, Func<Tensor<T>> gather, Tensor<T> below, Box block)
    {
        int width = Options.Widths[level];
        TensorShape shape = new(1, block.Size.Depth, block.Size.Height, block.Size.Width, width + Options.Widths[level + 1]);
        Tensor<T> decoded = tape.Allocate(shape with { Channels = width });
        Tensor<T> joined = tape.Allocate(shape);
        (int, long) mark = tape.Arena.Mark();
        Tensor<T> x = Apply(tape, encoder[level][0], gather(), Activation.Relu);
        Apply(tape, encoder[level][1], x, Activation.Relu, joined.Channels(0, width));
        tape.Arena.Rewind(mark);
        x = tape.ConvTranspose3d(
            Gather(tape, below, TensorBlocks.Within(TensorBlocks.Halved(block), TensorBlocks.Halved(tile))), up[level].Transpose.Weight, up[level].Transpose.Bias);
        Apply(tape, up[level].Conv, x, Activation.None, joined.Channels(width, Options.Widths[level + 1]));
        tape.Arena.Rewind(mark);
        x = Apply(tape, decoder[level][0], joined, Activation.Relu);
        return Apply(tape, decoder[level][1], x, Activation.Relu, decoded);
    }

    private Tensor<T> Bottom(Tape<T> tape, Tensor<T> input)
    {
        Tensor<T> output = tape.Allocate(input.Shape with { Channels = Options.Widths[^1] });
        Bottom(tape, input, output);
        return output;
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

    private static (Box Block, Box Seen)[] Blocks(int level, Box tile)
        => [.. TensorBlocks.Cut(tile, UNet3dOptions.BlockEdge(level)).Select(b => (b, TensorBlocks.Grown(b, BlockHalo, tile)))];

    private Tensor<T> Upload(Tape<T> tape, ReadAhead<T> boxes, Box box)
        => tape.Upload(boxes.Next(), new TensorShape(1, box.Size.Depth, box.Size.Height, box.Size.Width, Options.InputChannels));

    private static Tensor<T> Gather(Tape<T> tape, Tensor<T> source, Box box)
    {
        Tensor<T> block = tape.Allocate(source.Shape with { Depth = box.Size.Depth, Height = box.Size.Height, Width = box.Size.Width });
        TensorBlocks.Copy(source.View.AsHostSpan(), SizeOf(source), box, block.View.AsHostSpan(), box.Size, (0, 0, 0), source.Shape.Channels);
        return block;
    }

    private static Extent SizeOf(Tensor<T> tensor) => new(tensor.Shape.Depth, tensor.Shape.Height, tensor.Shape.Width);
}
