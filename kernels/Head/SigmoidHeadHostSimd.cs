using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Head;

/// <summary>
/// The head on the CPU device: vectors over the input channels, the sigmoid with vectors over the voxels.
/// </summary>
internal sealed unsafe class SigmoidHeadHostSimd(HostThreads threads) : ISigmoidHead<float, float>
{
    private readonly HostScratch scratch = new();

    public long WorkspaceLength(SigmoidHeadShape shape) => (long)Voxels(shape).Count * shape.ParameterLength;

    void ISigmoidHead<float, float>.LaunchForward(
        AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias,
        ArrayView<float> scores, SigmoidHeadShape shape)
    {
        float* x = input.Pointer();
        float* w = Transpose(weight.Pointer(), shape);
        float* b = bias.Pointer();
        float* p = scores.Pointer();
        Voxels(shape).For(threads, (_, start, end) =>
        {
            for (long v = start; v < end; v++)
            {
                for (int o = 0; o < shape.Outputs; o++)
                    p[v * shape.Outputs + o] =
                        b[o] + HostRuns.Dot(x + v * shape.InputPitch, w + (long)o * shape.InputChannels, shape.InputChannels);
            }

            Sigmoid(p + start * shape.Outputs, (end - start) * shape.Outputs);
        });
    }

    void ISigmoidHead<float, float>.LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<float> gradScores, ArrayView<float> scores, ArrayView<float> weight,
        ArrayView<float> gradInput, SigmoidHeadShape shape)
    {
        float* gp = gradScores.Pointer();
        float* p = scores.Pointer();
        float* w = Transpose(weight.Pointer(), shape);
        float* gx = gradInput.Pointer();
        Voxels(shape).For(threads, (_, start, end) =>
        {
            for (long v = start; v < end; v++)
            {
                long map = v * shape.Outputs;
                HostRuns.Scale(w, GradLogit(gp[map], p[map]), gx + v * shape.InputPitch, shape.InputChannels);
                for (int o = 1; o < shape.Outputs; o++)
                    HostRuns.AddScaled(w + (long)o * shape.InputChannels, GradLogit(gp[map + o], p[map + o]),
                        gx + v * shape.InputPitch, shape.InputChannels);
            }
        });
    }

    void ISigmoidHead<float, float>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradScores, ArrayView<float> scores,
        ArrayView<float> workspace, ArrayView<float> gradWeight, ArrayView<float> gradBias, SigmoidHeadShape shape)
    {
        float* x = input.Pointer();
        float* gp = gradScores.Pointer();
        float* p = scores.Pointer();
        float* partials = workspace.Pointer();
        int sums = shape.ParameterLength;
        HostChunks chunks = Voxels(shape);
        chunks.For(threads, (chunk, start, end) =>
        {
            // [Outputs, Cin], then the biases.
            float* partial = partials + (long)chunk * sums;
            new Span<float>(partial, sums).Clear();
            for (long v = start; v < end; v++)
            {
                for (int o = 0; o < shape.Outputs; o++)
                {
                    float gradient = GradLogit(gp[v * shape.Outputs + o], p[v * shape.Outputs + o]);
                    HostRuns.AddScaled(
                        x + v * shape.InputPitch, gradient, partial + (long)o * shape.InputChannels, shape.InputChannels);
                    partial[shape.WeightLength + o] += gradient;
                }
            }
        });

        float* gw = gradWeight.Pointer();
        float* gb = gradBias.Pointer();
        for (int o = 0; o < shape.Outputs; o++)
        {
            for (int i = 0; i < shape.InputChannels; i++)
                gw[i * shape.Outputs + o] += Total(partials + (long)o * shape.InputChannels + i, chunks.Count, sums);
            gb[o] += Total(partials + shape.WeightLength + o, chunks.Count, sums);
        }
    }

    public void Dispose() => scratch.Dispose();

    private static HostChunks Voxels(SigmoidHeadShape shape) => HostChunks.Of(shape.Voxels, shape.InputChannels);

    // [Cin, Outputs] to [Outputs, Cin], so that vectors run over the input channels.
    private float* Transpose(float* weight, SigmoidHeadShape shape)
    {
        float* transposed = scratch.Require<float>(shape.WeightLength);
        for (int i = 0; i < shape.InputChannels; i++)
        {
            for (int o = 0; o < shape.Outputs; o++)
                transposed[o * shape.InputChannels + i] = weight[i * shape.Outputs + o];
        }

        return transposed;
    }

    private static float GradLogit(float gradScores, float scores) => gradScores * scores * (1 - scores);

    // The last few, too, go through a vector: the scalar exponential rounds otherwise, and a score must not
    // depend on where its chunk ends.
    private static void Sigmoid(float* values, long count)
    {
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            Sigmoid(Vector.Load(values + i)).Store(values + i);
        if (i == count)
            return;
        Span<float> rest = new(values + i, (int)(count - i));
        Span<float> padded = stackalloc float[Vector<float>.Count];
        padded.Clear();
        rest.CopyTo(padded);
        Sigmoid(new Vector<float>(padded)).CopyTo(padded);
        padded[..rest.Length].CopyTo(rest);
    }

    // Not the larger of both: NaN must stay NaN.
    private static Vector<float> Sigmoid(Vector<float> logits)
    {
        Vector<float> p = Vector<float>.One / (Vector<float>.One + Vector.Exp(-logits));
        Vector<float> floor = new((float)ScoreRange.Floor);
        return Vector.ConditionalSelect(Vector.LessThan(p, floor), floor, p);
    }

    private static float Total(float* partials, int chunks, int stride)
    {
        double total = 0;
        for (int chunk = 0; chunk < chunks; chunk++)
            total += partials[(long)chunk * stride];
        return (float)total;
    }
}
