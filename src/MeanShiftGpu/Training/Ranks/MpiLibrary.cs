using System.Runtime.InteropServices;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>
/// The functions of an MPI library that ranks need, by their addresses: no binding library, and nothing of it
/// is looked for in a process by itself.
/// </summary>
/// <remarks>
/// The standard fixes names and arguments, not what a handle is. Open MPI's are addresses of objects in the
/// library, MPICH's are 32-bit numbers; both are passed in a register, of which MPICH reads the lower half.
/// An array of requests has 8 bytes for each in the one, 4 in the other.
/// </remarks>
internal sealed unsafe class MpiLibrary
{
    // MPI_THREAD_SERIALIZED: one call at a time, from any thread.
    private const int ThreadSerialized = 2;
    private const int MostVersionBytes = 8192;

    private readonly nint handle;
    private readonly delegate* unmanaged<nint, nint, int, int*, int> initThread;
    private readonly delegate* unmanaged<int> finalize;
    private readonly delegate* unmanaged<nint, int, int> abort;
    private readonly delegate* unmanaged<nint, int*, int> commRank;
    private readonly delegate* unmanaged<nint, int*, int> commSize;
    private readonly delegate* unmanaged<byte*, int*, int> getLibraryVersion;
    private readonly delegate* unmanaged<void*, int, nint, int, int, nint, void*, int> isend;
    private readonly delegate* unmanaged<void*, int, nint, int, int, nint, void*, int> irecv;
    private readonly delegate* unmanaged<int, void*, int*, nint, int> testall;
    private readonly nint world;
    private readonly nint bytes;
    private readonly nint statusesIgnore;

    private MpiLibrary(nint handle, MpiFamily family, string name)
    {
        this.handle = handle;
        Family = family;
        Name = name;
        initThread = (delegate* unmanaged<nint, nint, int, int*, int>)Function("MPI_Init_thread");
        finalize = (delegate* unmanaged<int>)Function("MPI_Finalize");
        abort = (delegate* unmanaged<nint, int, int>)Function("MPI_Abort");
        commRank = (delegate* unmanaged<nint, int*, int>)Function("MPI_Comm_rank");
        commSize = (delegate* unmanaged<nint, int*, int>)Function("MPI_Comm_size");
        getLibraryVersion = (delegate* unmanaged<byte*, int*, int>)Function("MPI_Get_library_version");
        isend = (delegate* unmanaged<void*, int, nint, int, int, nint, void*, int>)Function("MPI_Isend");
        irecv = (delegate* unmanaged<void*, int, nint, int, int, nint, void*, int>)Function("MPI_Irecv");
        testall = (delegate* unmanaged<int, void*, int*, nint, int>)Function("MPI_Testall");
        // What the headers call MPI_COMM_WORLD, MPI_BYTE and MPI_STATUSES_IGNORE.
        (world, bytes, statusesIgnore, RequestBytes) = family == MpiFamily.OpenMpi
            ? (Function("ompi_mpi_comm_world"), Function("ompi_mpi_byte"), 0, sizeof(nint))
            : (0x44000000, 0x4c00010d, 1, sizeof(int));
    }

    /// <summary>Whose it is.</summary>
    public MpiFamily Family { get; }

    /// <summary>The file's name.</summary>
    public string Name { get; }

    /// <summary>Length of a request's handle.</summary>
    public int RequestBytes { get; }

    /// <summary>Loads the library of a family.</summary>
    /// <param name="family">Which.</param>
    /// <param name="launcher">What started the ranks, for the message.</param>
    /// <exception cref="InputException">It is not there.</exception>
    public static MpiLibrary Load(MpiFamily family, string launcher)
    {
        foreach (string name in NamesOf(family))
        {
            if (NativeLibrary.TryLoad(name, out nint handle))
                return new MpiLibrary(handle, family, name);
        }

        MpiFamily other = family == MpiFamily.OpenMpi ? MpiFamily.Mpich : MpiFamily.OpenMpi;
        string? instead = NamesOf(other).FirstOrDefault(name => NativeLibrary.TryLoad(name, out _));
        throw new InputException($"ranks: {launcher} started this process, but {NamesOf(family)[0]} of {Words(family)} cannot be "
            + $"loaded{(instead is null ? ", nor is another MPI there" : $"; {instead} of {Words(other)} is there")}. "
            + (instead is null ? $"Install {Words(family)}, or name its folder in LD_LIBRARY_PATH."
                : $"Start with the mpiexec of {Words(other)}, or install {Words(family)}."));
    }

    /// <summary>MPI_Init_thread.</summary>
    /// <exception cref="InputException">It failed.</exception>
    public void Initialise()
    {
        int provided = 0;
        Check(initThread(0, 0, ThreadSerialized, &provided), "MPI_Init_thread");
    }

    /// <summary>Which rank this is, and of how many.</summary>
    public (int Rank, int Count) World()
    {
        (int rank, int count) = (0, 0);
        Check(commRank(world, &rank), "MPI_Comm_rank");
        Check(commSize(world, &count), "MPI_Comm_size");
        return (rank, count);
    }

    /// <summary>The library's own words for its version, the first line of them.</summary>
    public string Version()
    {
        byte* text = stackalloc byte[MostVersionBytes];
        int length = 0;
        Check(getLibraryVersion(text, &length), "MPI_Get_library_version");
        string all = Marshal.PtrToStringUTF8((nint)text, Math.Clamp(length, 0, MostVersionBytes)) ?? "";
        return string.Join(' ', all.Split('\n', ',')[0].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    }

    /// <summary>MPI_Isend of bytes; the memory must stay where it is until the request is done.</summary>
    public void Send(byte* data, int count, int to, byte* request) => Check(isend(data, count, bytes, to, 0, world, request),
        "MPI_Isend");

    /// <summary>MPI_Irecv of bytes.</summary>
    public void Receive(byte* data, int count, int from, byte* request)
        => Check(irecv(data, count, bytes, from, 0, world, request), "MPI_Irecv");

    /// <summary>MPI_Testall: whether all requests are done.</summary>
    public bool AreDone(byte* requests, int count)
    {
        int done = 0;
        Check(testall(count, requests, &done, statusesIgnore), "MPI_Testall");
        return done != 0;
    }

    /// <summary>MPI_Finalize.</summary>
    public void End() => _ = finalize();

    /// <summary>MPI_Abort: ends all ranks, this one too.</summary>
    public void Abort(int code) => _ = abort(world, code);

    private static string[] NamesOf(MpiFamily family)
        => family == MpiFamily.OpenMpi ? ["libmpi.so.40"] : ["libmpich.so.12", "libmpi.so.12"];

    private static string Words(MpiFamily family) => family == MpiFamily.OpenMpi ? "Open MPI" : "MPICH";

    private nint Function(string name) => NativeLibrary.TryGetExport(handle, name, out nint address) ? address
        : throw new InputException($"ranks: {Name} has no {name}; expected an MPI of version 3. Install a newer "
            + $"{Words(Family)}.");

    // Errors end all ranks within the library, unless it was told otherwise; this is for those that come back
    // all the same.
    private void Check(int error, string function)
    {
        if (error != 0)
            throw new InputException($"ranks: {function} of {Name} failed with error {error}. Start all ranks again; --resume "
                + "goes on from the checkpoint.");
    }
}
