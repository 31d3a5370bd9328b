using System.Diagnostics;

namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// The threads of the host (CPU) variants. Work is cut into a number of chunks that the caller derives from
/// the problem's shape alone, never from the number of threads, so results have the same bits whatever that
/// number is. The calling thread works too; the others come from the thread pool, so several users share the
/// machine without oversubscribing it, and are not waited for where the pool is too busy to start them. One
/// call at a time: neither its body nor another thread may call <see cref="For"/> of the same instance
/// meanwhile.
/// </summary>
/// <remarks>
/// Calls follow each other closely and many are shorter than the 50 to 100 µs that it takes to wake a thread.
/// A helper therefore looks out for the next call for a moment before it goes back to the pool, unless
/// somebody else waits for a thread of the pool.
/// </remarks>
internal sealed class HostThreads
{
    // How long a helper looks out for the next call and a caller for the last helper before they sleep.
    private static readonly TimeSpan Patience = TimeSpan.FromMicroseconds(200);

    private readonly Worker[] workers;
    private readonly object gate = new();
    private Action<int, int> body = static (_, _) => { };
    private int chunks;
    private int next;
    private int running;
    private int inUse;
    private bool open;
    private Exception? failure;

    /// <summary>Creates a set of threads.</summary>
    /// <param name="count">How many threads work at a time, the calling one included; at least 1.</param>
    public HostThreads(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        Count = count;
        workers = [.. Enumerable.Range(1, count - 1).Select(i => new Worker(this, i))];
    }

    /// <summary>How many threads work at a time, the calling one included.</summary>
    public int Count { get; }

    /// <summary>
    /// Runs <paramref name="body"/> once for every chunk, in any order, and returns when all are done.
    /// </summary>
    /// <param name="chunks">The number of chunks of work.</param>
    /// <param name="body">Called with (chunk, worker); the worker's number, 0 to Count − 1, selects scratch
    /// memory.</param>
    /// <exception cref="InvalidOperationException">Another call is in progress.</exception>
    public void For(int chunks, Action<int, int> body)
    {
        // Workers' scratch memory, and what a pass keeps beside it, would be used twice at a time.
        if (Interlocked.Exchange(ref inUse, 1) != 0)
            throw new InvalidOperationException("HostThreads: another call is in progress, of another thread or around this "
                + "one. A GpuContext and what is created from it serve one caller at a time: give each thread a context of its "
                + "own.");
        try
        {
            Run(chunks, body);
        }
        finally
        {
            Volatile.Write(ref inUse, 0);
        }
    }

    private void Run(int chunks, Action<int, int> body)
    {
        int helpers = Math.Min(workers.Length, chunks - 1);
        if (helpers <= 0)
        {
            for (int chunk = 0; chunk < chunks; chunk++)
                body(chunk, 0);
            return;
        }

        lock (gate)
        {
            this.body = body;
            this.chunks = chunks;
            next = 0;
            failure = null;
            open = true;
        }

        for (int i = 0; i < helpers; i++)
            workers[i].Ask();
        Work(0);
        WaitForHelpers();
        if (failure is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    private void WaitForHelpers()
    {
        // A helper that the pool starts after this finds nothing to do, so nobody has to wait for it.
        lock (gate)
            open = false;
        for (long start =
            Stopwatch.GetTimestamp(); Volatile.Read(ref running) != 0 && Stopwatch.GetElapsedTime(start) < Patience;)
            Pause();
        lock (gate)
        {
            while (running != 0)
                Monitor.Wait(gate);
        }
    }

    // Whether a call has begun that has chunks left; if so the caller waits until Leave.
    private bool TryJoin()
    {
        if (!Volatile.Read(ref open) || Volatile.Read(ref next) >= chunks)
            return false;
        lock (gate)
        {
            if (open)
                running++;
            return open;
        }
    }

    private void Leave()
    {
        lock (gate)
        {
            if (--running == 0)
                Monitor.Pulse(gate);
        }
    }

    // About a microsecond; lets other threads have the processor.
    private static void Pause()
    {
        Thread.SpinWait(20);
        Thread.Yield();
    }

    private void Work(int worker)
    {
        try
        {
            for (int chunk = Interlocked.Increment(ref next) - 1; chunk < chunks; chunk = Interlocked.Increment(ref next) - 1)
                body(chunk, worker);
        }
        // Whatever fails on a pool thread must reach the caller of For, not end the process.
#pragma warning disable CA1031
        catch (Exception e)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref failure, e, null);
            Volatile.Write(ref next, chunks);
        }
    }

    private sealed class Worker(HostThreads owner, int index) : IThreadPoolWorkItem
    {
        // From being asked until the work is done.
        private bool isAsked;

        // One that still waits in the pool's queue since an earlier call serves this one, and so does one
        // that came late and is at work on this call already: never two of one number, which stands for one
        // scratch memory.
        public void Ask()
        {
            lock (owner.gate)
            {
                if (isAsked)
                    return;
                isAsked = true;
            }

            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        public void Execute()
        {
            bool isPatient = owner.Count <= Environment.ProcessorCount;
            long idleSince = Stopwatch.GetTimestamp();
            while (true)
            {
                if (owner.TryJoin())
                {
                    owner.Work(index);
                    owner.Leave();
                    idleSince = Stopwatch.GetTimestamp();
                }
                else if (isPatient && Stopwatch.GetElapsedTime(idleSince) < Patience && ThreadPool.PendingWorkItemCount == 0)
                {
                    Pause();
                }
                else if (TryGo())
                {
                    return;
                }
            }
        }

        // Not while there is work: a call that has begun counts on this helper.
        private bool TryGo()
        {
            lock (owner.gate)
            {
                bool isNeeded = owner.open && Volatile.Read(ref owner.next) < owner.chunks;
                isAsked = isNeeded;
                return !isNeeded;
            }
        }
    }
}
