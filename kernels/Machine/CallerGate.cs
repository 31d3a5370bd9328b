namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// Lets one thread at a time into what works on a stream: launchers keep workspace between their kernels, and
/// operations between their launches, which a second caller would overwrite without a word. The thread that
/// is in may come in again, as an operation does with each of its launches.
/// </summary>
internal sealed class CallerGate
{
    private static readonly ConditionalWeakTable<AcceleratorStream, CallerGate> Gates = [];

    private int owner;
    private int depth;
    private int closers;

    /// <summary>Comes in; the caller disposes the result on the same thread.</summary>
    /// <param name="stream">The stream to work on.</param>
    /// <param name="operation">What comes in, for messages.</param>
    /// <exception cref="InvalidOperationException">Another thread is in.</exception>
    /// <exception cref="ObjectDisposedException">The stream or its device was disposed.</exception>
    public static Pass Enter(AcceleratorStream stream, string operation)
    {
        ArgumentNullException.ThrowIfNull(stream);
        CallerGate gate = Gates.GetValue(stream, static _ => new CallerGate());
        if (!gate.TryEnter(Environment.CurrentManagedThreadId, isCloser: false))
            throw new InvalidOperationException($"{operation}: another call is in progress, of another thread. A GpuContext "
                + "and what is created from it serve one caller at a time: give each thread a context of its own.");
        Pass pass = new(gate);
        // Looked at from within: nobody disposes it now.
        if (!stream.IsDisposed && !stream.Accelerator.IsDisposed)
            return pass;
        pass.Dispose();
        throw new ObjectDisposedException(operation, $"{operation}: the stream or its device was disposed, expected one in use. "
            + "Create a new GpuContext and what is created from it.");
    }

    /// <summary>
    /// Comes in to dispose of something, once the call that another thread has in progress is over: memory is
    /// not taken from under a kernel. Others are refused from then on. The caller disposes the result on the
    /// same thread.
    /// </summary>
    /// <param name="stream">The stream that was worked on; one that was disposed has no calls.</param>
    public static Pass EnterToDispose(AcceleratorStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.IsDisposed || stream.Accelerator.IsDisposed)
            return default;
        CallerGate gate = Gates.GetValue(stream, static _ => new CallerGate());
        Interlocked.Increment(ref gate.closers);
        try
        {
            SpinWait wait = default;
            while (!gate.TryEnter(Environment.CurrentManagedThreadId, isCloser: true))
                wait.SpinOnce();
            return new Pass(gate);
        }
        finally
        {
            Interlocked.Decrement(ref gate.closers);
        }
    }

    private bool TryEnter(int caller, bool isCloser)
    {
        bool isIn = Volatile.Read(ref owner) == caller
            || ((isCloser || Volatile.Read(ref closers) == 0) && Interlocked.CompareExchange(ref owner, caller, 0) == 0);
        if (isIn)
            depth++;
        return isIn;
    }

    /// <summary>A caller that is in.</summary>
    public readonly ref struct Pass
    {
        private readonly CallerGate? gate;

        internal Pass(CallerGate gate) => this.gate = gate;

        /// <summary>Leaves.</summary>
        public void Dispose()
        {
            if (gate is not null && --gate.depth == 0)
                Volatile.Write(ref gate.owner, 0);
        }
    }
}
