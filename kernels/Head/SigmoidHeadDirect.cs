namespace MeanShiftGpu.Kernels.Head;

/// <summary>
/// The plain head: one thread per result, no atomics, no shared memory, any accelerator. The reference for
/// the others.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
/// <typeparam name="T">The real type.</typeparam>
/// <typeparam name="TReal">Its functions.</typeparam>
/// <typeparam name="TActivation">What the activations hold: <typeparamref name="T"/> or
/// <see cref="Bf16"/>.</typeparam>
/// <typeparam name="TStored">How that lies in memory: <see cref="Plain{T}"/> or
/// <see cref="Bf16"/>.</typeparam>
internal class SigmoidHeadDirect<T, TReal, TActivation, TStored> : ISigmoidHead<TActivation, T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TActivation : unmanaged
    where TStored : unmanaged, IStored<TStored, T>
{
    private readonly Action<
        AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int> forward;
    private readonly Action<
        AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<TStored>, SigmoidHeadShape> backwardInput;
    private readonly Action<
        AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape>
        backwardWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadDirect(Accelerator accelerator)
    {
        accelerator.Load(SigmoidHeadDirectKernels<T, TReal, TStored>.ForwardKernel, out forward);
        accelerator.Load(SigmoidHeadDirectKernels<T, TReal, TStored>.BackwardInputKernel, out backwardInput);
        accelerator.Load(SigmoidHeadDirectKernels<T, TReal, TStored>.BackwardWeightKernel, out backwardWeight);
    }

    public virtual long WorkspaceLength(SigmoidHeadShape shape) => 0;

    void ISigmoidHead<TActivation, T>.LaunchForward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> scores,
        SigmoidHeadShape shape)
        => forward(
            stream, LaunchExtent.Of(shape.Voxels * shape.Outputs), input.Cast<TStored>(), weight, bias, scores, shape,
            QuadAccess.Allowed(input, shape.InputChannels, shape.InputPitch));

    void ISigmoidHead<TActivation, T>.LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<T> gradScores, ArrayView<T> scores, ArrayView<T> weight,
        ArrayView<TActivation> gradInput, SigmoidHeadShape shape)
        => backwardInput(
            stream, LaunchExtent.Of(shape.Voxels * shape.InputChannels), gradScores, scores, weight,
            gradInput.Cast<TStored>(), shape);

    void ISigmoidHead<TActivation, T>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> gradScores, ArrayView<T> scores,
        ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
        => AddToParameters(stream, input, gradScores, scores, workspace, gradWeight, gradBias, shape);

    /// <summary>Queues the pass that adds to the gradients of the parameters.</summary>
    private protected virtual void AddToParameters(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> gradScores, ArrayView<T> scores,
        ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
        => backwardWeight(
            stream, shape.ParameterLength, input.Cast<TStored>(), gradScores, scores, gradWeight, gradBias, shape);

    public void Dispose() => GC.SuppressFinalize(this);
}

/// <summary>The kernels of <see cref="SigmoidHeadDirect{T, TReal, TActivation, TStored}"/>.</summary>
internal static class SigmoidHeadDirectKernels<T, TReal, TStored>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TStored : unmanaged, IStored<TStored, T>
{
    // p[v,o] = 1 / (1 + exp(-(b[o] + sum over i of x[v,i] w[i,o]))), but at least the floor.
    // One thread per (voxel, output), four channels a load; scores overwritten, sums in channel order. exp
    // may overflow to infinity: then p is the floor.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<TStored> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [Cin, Outputs]
        ArrayView<T> bias, // [Outputs]
        ArrayView<T> scores, // [N, D, H, W, Outputs]
        SigmoidHeadShape shape,
        int access)
    {
        int o = index.X % shape.Outputs;
        long source = (long)(index.X / shape.Outputs) * shape.InputPitch;
        T sum = bias[o];
        for (int i = 0; i < shape.InputChannels; i += 4)
        {
            int count = shape.InputChannels - i;
            Quad<T> x = QuadAccess.Load<TStored, T>(input, source + i, count, access);
            int w = i * shape.Outputs + o;
            sum += x.X * weight[w];
            if (count > 1)
                sum += x.Y * weight[w + shape.Outputs];
            if (count > 2)
                sum += x.Z * weight[w + 2 * shape.Outputs];
            if (count > 3)
                sum += x.W * weight[w + 3 * shape.Outputs];
        }

        T p = T.One / (T.One + TReal.Exp(-sum));
        T floor = TReal.From(ScoreRange.Floor);
        // Not the larger of both: NaN must stay NaN.
        scores[index] = p < floor ? floor : p;
    }

    // dx[v,i] = sum over o of dp[v,o] p(1-p) w[i,o].
    // One thread per (voxel, input channel); gradInput overwritten.
    [Kernel]
    internal static void BackwardInputKernel(
        Index1D index,
        ArrayView<T> gradScores, // [N, D, H, W, Outputs]
        ArrayView<T> scores, // [N, D, H, W, Outputs]
        ArrayView<T> weight, // [Cin, Outputs]
        ArrayView<TStored> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        SigmoidHeadShape shape)
    {
        int i = index.X % shape.InputChannels;
        long voxel = index.X / shape.InputChannels;
        T sum = T.Zero;
        for (int o = 0; o < shape.Outputs; o++)
            sum += GradLogit(gradScores, scores, voxel * shape.Outputs + o) * weight[i * shape.Outputs + o];
        gradInput[voxel * shape.InputPitch + i] = TStored.Store(sum);
    }

    // dw[i,o] = sum over voxels of x[v,i] dp[v,o] p(1-p), db[o] = sum over voxels of dp[v,o] p(1-p).
    // One thread per weight, then one per bias; both accumulate, sums in voxel order.
    [Kernel]
    internal static void BackwardWeightKernel(
        Index1D index,
        ArrayView<TStored> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradScores, // [N, D, H, W, Outputs]
        ArrayView<T> scores, // [N, D, H, W, Outputs]
        ArrayView<T> gradWeight, // [Cin, Outputs]
        ArrayView<T> gradBias, // [Outputs]
        SigmoidHeadShape shape)
    {
        int i = index.X / shape.Outputs;
        int o = index.X % shape.Outputs;
        T sum = T.Zero;
        for (long voxel = 0; voxel < shape.Voxels; voxel++)
        {
            T gradient = GradLogit(gradScores, scores, voxel * shape.Outputs + o);
            if (i < shape.InputChannels)
                gradient *= TStored.Load(input[voxel * shape.InputPitch + i]);
            sum += gradient;
        }

        if (i < shape.InputChannels)
            gradWeight[index] += sum;
        else
            gradBias[o] += sum;
    }

    internal static T GradLogit(ArrayView<T> gradScores, ArrayView<T> scores, long element)
        => gradScores[element] * scores[element] * (T.One - scores[element]);
}
