using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// A function that exists in every real type, for comparing its gradients with finite differences.
/// </summary>
public abstract class GradCheckCase
{
    /// <summary>The operation's name in reports.</summary>
    public abstract string Name { get; }

    /// <summary>Elements probed of each input.</summary>
    public virtual int Samples => 24;

    /// <summary>
    /// Elements of each input that may lie at a kink; see <see cref="GradCheckOptions.AllowedKinks"/>.
    /// </summary>
    public virtual int AllowedKinks => 0;

    /// <summary>
    /// Whether it has several layers, between which a variant that rounds operands rounds what float64 does
    /// not.
    /// </summary>
    public virtual bool HasLayers => false;

    /// <summary>The same operation in a shape that every precision takes.</summary>
    public virtual GradCheckCase ForRounding => this;

    /// <summary>The function with its inputs in one type; the caller disposes the parameters.</summary>
    public abstract GradCheckFunction<T> Create<T>(GpuContext context)
        where T : unmanaged, INumber<T>;

    /// <summary>
    /// What to write to <see cref="GpuContextOptions.Variant"/> for each variant that can run on a context.
    /// </summary>
    public abstract IEnumerable<string> Variants<T>(GpuContext context)
        where T : unmanaged, INumber<T>;
}

/// <summary>A loss of a map of scores against a mask of 0 and 1.</summary>
internal abstract class LossGradCheckCase(string name) : GradCheckCase
{
    private static readonly TensorShape Shape = new(2, 3, 4, 5, 1);

    public override string Name => name;

    public override GradCheckFunction<T> Create<T>(GpuContext context)
        => new([CaseData.Input("scores", Shape, 1, 0.05, 0.95)], null, (tape, x) =>
            Loss(tape, x[0], tape.Upload(CaseData.Convert<T>(CaseData.Mask(Shape.Length, 2, 0.3)), Shape)));

    protected abstract Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>;
}
