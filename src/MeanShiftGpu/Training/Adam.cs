using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Training;

/// <summary>Settings of <see cref="Adam{T}"/>.</summary>
public sealed record AdamOptions
{
    /// <summary>β₁, the decay of the first moments, from 0 to below 1.</summary>
    public double Beta1 { get; init => field = InRange(value, 0, below: 1, nameof(Beta1)); } = 0.9;

    /// <summary>β₂, the decay of the second moments, from 0 to below 1.</summary>
    public double Beta2 { get; init => field = InRange(value, 0, below: 1, nameof(Beta2)); } = 0.999;

    /// <summary>ε, added to the root of the second moment, above 0.</summary>
    public double Epsilon
    {
        get; init => field =
        InRange(value, double.Epsilon, below: double.PositiveInfinity, nameof(Epsilon));
    } = 1e-8;

    /// <summary>λ, decoupled from the gradient (AdamW); 0 is plain Adam.</summary>
    public double WeightDecay { get; init => field = InRange(value, 0, below: double.PositiveInfinity, nameof(WeightDecay)); }

    /// <summary>
    /// Gradients whose Euclidean norm over all parameters is larger are scaled down to it; 0 leaves them as
    /// they are.
    /// </summary>
    public double ClipNorm { get; init => field = InRange(value, 0, below: double.PositiveInfinity, nameof(ClipNorm)); }

    private static double InRange(double value, double least, double below, string name) => value >= least && value < below
        ? value
        : throw new ArgumentOutOfRangeException(name, value, $"Adam: {name} is {value}, expected {least} to below {below}.");
}

/// <summary>
/// The optimiser Adam (Kingma and Ba 2015), with decoupled weight decay (Loshchilov and Hutter 2019), over
/// the parameters of a network of one's own. A step is queued and not waited for.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class Adam<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly GpuContext context;
    private readonly ParameterSet<T> parameters;
    private readonly IAdam<T> adam;
    private readonly IGradientNorm<T> gradientNorm;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> firstMoments;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> secondMoments;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> workspace;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> norm;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> factor;

    /// <summary>Begins with moments of 0.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="parameters">What is trained, allocated on this device.</param>
    /// <param name="options">Null for the defaults.</param>
    public Adam(GpuContext context, ParameterSet<T> parameters, AdamOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(parameters);
        this.context = context;
        this.parameters = parameters;
        Options = options ?? new AdamOptions();
        long count = parameters.Values.Length;
        adam = context.Launcher(AdamVariants<T>.Table, new FlatShape(count));
        gradientNorm = context.Launcher(GradientNormVariants<T>.Table, new FlatShape(count));
        firstMoments = Zeros(count);
        secondMoments = Zeros(count);
        workspace = Zeros(Math.Max(1, gradientNorm.WorkspaceLength(count)));
        norm = Zeros(1);
        factor = Zeros(1);
    }

    /// <summary>The settings.</summary>
    public AdamOptions Options { get; }

    /// <summary>Steps done.</summary>
    public long Steps { get; private set; }

    /// <summary>
    /// One step along the parameters' gradients, which stay as they are:
    /// <see cref="ParameterSet{T}.ZeroGradients"/> before the next backward pass. Queues on the context's
    /// stream and does not wait. A gradient that is not finite makes every parameter NaN.
    /// </summary>
    /// <param name="learningRate">α, 0 or more.</param>
    public void Step(double learningRate)
    {
        if (!(learningRate >= 0 && double.IsFinite(learningRate)))
            throw new ArgumentOutOfRangeException(
                nameof(learningRate), learningRate, $"Adam: the learning rate is {learningRate}, expected 0 or more.");
        using CallerGate.Pass pass = context.Enter("Adam.Step");
        gradientNorm.ClipFactor(context.Stream, parameters.Gradients, workspace.View, norm.View, factor.View, Options.ClipNorm);
        adam.Step(
            context.Stream,
            parameters.Gradients,
            factor.View,
            parameters.Values,
            firstMoments.View,
            secondMoments.View,
            AdamParameters.ForStep(Steps + 1, learningRate, Options.Beta1, Options.Beta2, Options.Epsilon, Options.WeightDecay));
        Steps++;
        parameters.MarkChanged();
    }

    /// <summary>Frees the memory. Waits for a call that another thread has in progress.</summary>
    public void Dispose()
    {
        using CallerGate.Pass pass = context.EnterToDispose();
        firstMoments.Dispose();
        secondMoments.Dispose();
        workspace.Dispose();
        norm.Dispose();
        factor.Dispose();
    }

    private MemoryBuffer1D<T, Stride1D.Dense> Zeros(long count)
    {
        MemoryBuffer1D<T, Stride1D.Dense> buffer = context.Accelerator.Allocate1D<T>(count);
        buffer.MemSetToZero(context.Stream);
        return buffer;
    }
}
