using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>Three extents or a place among them; x runs fastest.</summary>
public readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    public long Count => (long)X * Y * Z;

    public override string ToString() => $"({X}, {Y}, {Z})";

    internal Dim3 At(long number) => new((int)(number % X), (int)(number / X % Y), (int)(number / X / Y));
}

/// <summary>A launch's group of threads, used for one group after the other.</summary>
internal sealed unsafe class Group : IDisposable
{
    private readonly Launch launch;
    private readonly Warp[] warps;

    public Group(Launch launch)
    {
        this.launch = launch;
        int threads = (int)launch.Threads.Count;
        Shared = new SharedMemory(launch.SharedBytes);
        Copies = new PendingCopies((threads + Lanes.Count - 1) / Lanes.Count * Lanes.Count);
        int count = (threads + Lanes.Count - 1) / Lanes.Count;
        warps = [.. Enumerable.Range(0, count).Select(w => new Warp(this, w, threads - w * Lanes.Count))];
    }

    public Kernel Kernel => launch.Kernel;

    public DeviceMemory Memory => launch.Memory;

    public byte* Parameters => launch.Parameters;

    public bool CopiesArriveEarly => launch.Options.CopiesArriveEarly;

    public SharedMemory Shared { get; }

    public PendingCopies Copies { get; }

    public Dim3 Place { get; private set; }

    public long Executed => warps.Sum(warp => warp.Executed);

    /// <summary>Runs a group. Each warp runs until it waits or ends; when all wait, they go on.</summary>
    public void Run(long number)
    {
        Place = launch.Groups.At(number);
        Shared.Clear();
        Copies.Clear();
        foreach (Warp warp in warps)
            warp.Start();
        while (true)
        {
            for (int w = 0; w < warps.Length; w++)
                warps[launch.Options.Reversed ? warps.Length - 1 - w : w].Run();
            int ended = warps.Count(warp => warp.HasEnded);
            if (ended == warps.Length)
                return;
            if (ended > 0)
                throw new PtxFaultException(FaultKind.Barrier,
                    $"{Kernel.Name}: warp {warps.First(warp => warp.HasEnded).Index} of group {Place} has ended while warp "
                    + $"{warps.First(warp => !warp.HasEnded).Index} waits at a barrier");
            Shared.Barrier();
        }
    }

    public (ulong Start, ulong End, Allocation? Allocation)[] Views => launch.Views;

    /// <summary>What a special register holds.</summary>
    public uint Special(string name, int thread) => (uint)(name switch
    {
        "%tid.x" => launch.Threads.At(thread).X,
        "%tid.y" => launch.Threads.At(thread).Y,
        "%tid.z" => launch.Threads.At(thread).Z,
        "%ntid.x" => launch.Threads.X,
        "%ctaid.x" => Place.X,
        "%ctaid.y" => Place.Y,
        "%ctaid.z" => Place.Z,
        "%nctaid.x" => launch.Groups.X,
        "%dynamic_smem_size" => launch.DynamicSharedBytes,
        _ => throw new PtxFaultException(FaultKind.Text, $"{Kernel.Name}: the special register {name} is not known"),
    });

    public void Dispose()
    {
        Shared.Dispose();
        foreach (Warp warp in warps)
            warp.Dispose();
    }
}
