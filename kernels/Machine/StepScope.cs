namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// A training step, within which launchers do together what each would do by itself: weights, which no launch
/// of a step changes, are packed in one launch, and the parts of many gradients are added in one. Launchers
/// find the step by its stream. In the first step each notes what it needs and works alone.
/// </summary>
/// <param name="accelerator">The device.</param>
internal sealed class StepScope(Accelerator accelerator) : IDisposable
{
    private static readonly ConditionalWeakTable<AcceleratorStream, StepScope> Scopes = [];

    private readonly Dictionary<Type, IShared> shared = [];

    /// <summary>What launchers of one kind share.</summary>
    internal interface IShared : IDisposable
    {
        /// <summary>A step begins on the stream.</summary>
        void Begin(AcceleratorStream stream);

        /// <summary>A step ends: what was put off is queued.</summary>
        void End(AcceleratorStream stream);
    }

    /// <summary>The step that is under way on a stream; null for none.</summary>
    public static StepScope? Of(AcceleratorStream stream) => Scopes.TryGetValue(stream, out StepScope? scope) ? scope : null;

    /// <summary>Runs a step. Where it fails, what was put off is not done.</summary>
    /// <param name="stream">The stream of its launches. Nobody changes weights on it until the end, and
    /// gradients of weights are complete from then on.</param>
    /// <param name="work">Queues its launches.</param>
    /// <exception cref="ArgumentException">Another one is under way on the stream.</exception>
    public TResult Run<TResult>(AcceleratorStream stream, Func<TResult> work)
    {
        Scopes.Add(stream, this);
        try
        {
            foreach (IShared one in shared.Values)
                one.Begin(stream);
            TResult result = work();
            foreach (IShared one in shared.Values)
                one.End(stream);
            return result;
        }
        finally
        {
            Scopes.Remove(stream);
        }
    }

    /// <summary>What launchers of a kind share in this step and those that follow.</summary>
    public TShared Get<TShared>(Func<Accelerator, TShared> create)
        where TShared : class, IShared
    {
        if (!shared.TryGetValue(typeof(TShared), out IShared? one))
            shared.Add(typeof(TShared), one = create(accelerator));
        return (TShared)one;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IShared one in shared.Values)
            one.Dispose();
        shared.Clear();
    }
}
