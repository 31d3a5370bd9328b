using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>Ranks that are processes under MPI, on one machine or several.</summary>
/// <remarks>
/// Sums are exchanged in slices: each rank adds its slice of all arrays, in their order, and hands the result
/// to the others, so that every rank sends and receives about two arrays, however many ranks there are. While
/// it waits a rank looks whether those of its machine are alive, which MPI does not notice where they share
/// memory.
/// </remarks>
public sealed unsafe class MpiRanks : IRanks
{
    // Waiting threads let others run after this, and sleep after some more.
    private static readonly TimeSpan Spinning = TimeSpan.FromMilliseconds(0.2);
    private static readonly TimeSpan Yielding = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(0.5);

    private readonly MpiLibrary library;
    private readonly Place[] places;
    private byte[] slices = [];

    internal MpiRanks(MpiLibrary library, Launcher launcher)
    {
        this.library = library;
        library.Initialise();
        (Rank, Count) = library.World();
        if (Count != launcher.Count)
        {
            throw new InputException($"ranks: {launcher.Name} started {launcher.Count} processes, of which {library.Name} finds "
                + $"{Count}. It belongs to another MPI than the launcher: start with the mpiexec that it was installed with.");
        }

        places = [Place.Here()];
        places = [.. this.Gather(JsonSerializer.SerializeToUtf8Bytes(places[0])).Select(json
            => JsonSerializer.Deserialize<Place>(json)!)];
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Count { get; }

    /// <summary>The library in a few words.</summary>
    public string Description => library.Version();

    /// <summary>Which this is of the ranks of its machine, from 0.</summary>
    public int RankOnMachine => places.Take(Rank).Count(p => p.Machine == places[Rank].Machine);

    /// <summary>How many machines the ranks are on.</summary>
    public int Machines => places.Select(p => p.Machine).Distinct().Count();

    /// <summary>
    /// The processors that this rank should use: those that it may run on, shared with the ranks of its
    /// machine that may run on the same.
    /// </summary>
    public int Processors => Math.Max(1, Environment.ProcessorCount
        / places.Count(p => p.Machine == places[Rank].Machine && p.Processors == places[Rank].Processors));

    /// <inheritdoc/>
    public void SumInOrder<T>(ReadOnlySpan<T> parts, int allParts, Span<T> total)
        where T : unmanaged, INumber<T>
    {
        int length = total.Length;
        if (parts.Length != (long)RankShare.Of(allParts, Rank, Count).Count * length)
            throw new ArgumentException($"SumInOrder: rank {Rank} of {Count} gives {parts.Length} numbers, expected "
                + $"{RankShare.Of(allParts, Rank, Count).Count} of {allParts} arrays of {length}.", nameof(parts));
        int size = Unsafe.SizeOf<T>();
        RankShare slice = RankShare.Of(length, Rank, Count);
        long needed = (long)allParts * slice.Count * size;
        if (needed > Array.MaxLength)
            throw new ArgumentException($"SumInOrder: {allParts} arrays of {length} numbers; expected at most "
                + $"{Array.MaxLength} bytes in a rank's share of them.", nameof(parts));
        if (slices.Length < needed)
            slices = new byte[needed];
        RankShare mine = RankShare.Of(allParts, Rank, Count);
        Span<T> gathered = MemoryMarshal.Cast<byte, T>(slices.AsSpan(0, (int)needed));
        for (int part = 0; part < mine.Count; part++)
            parts.Slice(part * length + slice.First, slice.Count).CopyTo(gathered.Slice((mine.First + part) * slice.Count,
                slice.Count));

        fixed (T* given = parts, sums = total)
        fixed (byte* received = slices)
        {
            using (Exchange exchange = new(library, (Count - 1) * (allParts + mine.Count)))
            {
                for (int other = 0; other < Count; other++)
                {
                    if (other == Rank)
                        continue;
                    RankShare theirs = RankShare.Of(allParts, other, Count);
                    RankShare wanted = RankShare.Of(length, other, Count);
                    for (int part = 0; part < theirs.Count; part++)
                        exchange.Receive(received + (long)(theirs.First + part) * slice.Count * size,
                            (long)slice.Count * size, other);
                    for (int part = 0; part < mine.Count; part++)
                        exchange.Send((byte*)(given + (long)part * length + wanted.First), (long)wanted.Count * size, other);
                }

                Wait(exchange);
            }

            OrderedSum.Of(gathered, total.Slice(slice.First, slice.Count), isFirst: true);
            using (Exchange exchange = new(library, 2 * (Count - 1)))
            {
                for (int other = 0; other < Count; other++)
                {
                    if (other == Rank)
                        continue;
                    RankShare theirs = RankShare.Of(length, other, Count);
                    exchange.Receive((byte*)(sums + theirs.First), (long)theirs.Count * size, other);
                    exchange.Send((byte*)(sums + slice.First), (long)slice.Count * size, other);
                }

                Wait(exchange);
            }
        }
    }

    /// <inheritdoc/>
    public void Broadcast(Span<byte> data, int from)
    {
        fixed (byte* address = data)
        {
            using Exchange exchange = new(library, Count);
            if (from != Rank)
                exchange.Receive(address, data.Length, from);
            for (int other = 0; from == Rank && other < Count; other++)
            {
                if (other != Rank)
                    exchange.Send(address, data.Length, other);
            }

            Wait(exchange);
        }
    }

    /// <inheritdoc/>
    public void Barrier()
    {
        Span<int> here = [0];
        SumInOrder<int>([1], Count, here);
    }

    /// <summary>
    /// Leaves MPI in good order; all ranks must come here, and nothing can be exchanged afterwards.
    /// </summary>
    public void Leave() => library.End();

    /// <summary>Ends all ranks at once, this one too.</summary>
    /// <param name="code">The exit code.</param>
    public void Abort(int code) => library.Abort(code);

    private void Wait(Exchange exchange)
    {
        if (exchange.IsDone)
            return;
        long begun = Stopwatch.GetTimestamp();
        TimeSpan nextLook = BetweenLooks;
        while (!exchange.IsDone)
        {
            TimeSpan waited = Stopwatch.GetElapsedTime(begun);
            if (waited < Spinning)
                Thread.SpinWait(20);
            else if (waited < Yielding)
                Thread.Yield();
            else
                Thread.Sleep(1);
            if (waited < nextLook)
                continue;
            nextLook = waited + BetweenLooks;
            int gone = Array.FindIndex(places, place => place.HasEnded(places[Rank]));
            if (gone >= 0 && !exchange.IsDone)
                throw new RankLostException($"ranks: rank {gone} (process {places[gone].Process}) has ended without a word, "
                    + "so all end. "
                    + "What it said before stands above, or in the log of Slurm. The last checkpoint is whole: go on with "
                        + "--resume.");
        }
    }

    /// <summary>Where a rank runs.</summary>
    private sealed record Place(string Machine, string Namespace, int Process, string Started, string Processors)
    {
        private const int StateField = 0;
        private const int StartField = 19;

        public static Place Here()
        {
            const string bootId = "/proc/sys/kernel/random/boot_id";
            string machine = File.Exists(bootId) ? File.ReadAllText(bootId).Trim() : Environment.MachineName;
            string processors = File.Exists("/proc/self/status")
                ? File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("Cpus_allowed_list:",
                    StringComparison.Ordinal)) ?? "" : "";
            string names = new FileInfo("/proc/self/ns/pid").LinkTarget ?? "";
            int process = Environment.ProcessId;
            return new Place(machine, names, process, Status(process) is { } status ? status[StartField] : "", processors);
        }

        /// <summary>Whether it was seen from a place on the same machine, and is no longer there.</summary>
        public bool HasEnded(Place from)
            => Machine == from.Machine && Namespace == from.Namespace && Started.Length > 0
                && (Status(Process) is not { } status || status[StartField] != Started || status[StateField] is "Z" or "X");

        // The fields behind the program's name, which may hold anything: state first, start time 19 further.
        private static string[]? Status(int process)
        {
            try
            {
                string text = File.ReadAllText($"/proc/{process}/stat", Encoding.UTF8);
                string[] fields = text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                return fields.Length > StartField ? fields : null;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }
    }

    /// <summary>Messages that are under way together.</summary>
    private ref struct Exchange(MpiLibrary library, int most)
    {
        private readonly byte* requests = (byte*)NativeMemory.Alloc((nuint)(most * library.RequestBytes + 1));
        private int count;

        public bool IsDone => library.AreDone(requests, count);

        public void Send(byte* data, long bytes, int to) => library.Send(data, checked((int)bytes), to, Next());

        public void Receive(byte* data, long bytes, int from) => library.Receive(data, checked((int)bytes), from, Next());

        public void Dispose() => NativeMemory.Free(requests);

        private byte* Next() => requests + count++ * library.RequestBytes;
    }
}

/// <summary>Another rank is gone.</summary>
public sealed class RankLostException : IOException
{
    /// <summary>Says which, and what to do.</summary>
    public RankLostException(string message)
        : base(message)
    {
    }
}
