using System.Buffers.Binary;
using System.Runtime.InteropServices;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>
/// Writes a float32 MRC volume box by box, in any order, without holding it; what has been written can be
/// read again until it is completed. The file has its name only then.
/// </summary>
public sealed class MrcWriter : IVoxelSource, IVoxelSink, IDisposable
{
    private readonly string? path;
    private readonly PendingFile? pending;
    private readonly FileStream file;
    private readonly MrcPlace place;
    private readonly VoxelStatistics statistics = new();

    private MrcWriter(string? path, PendingFile? pending, FileStream file, Extent size, VoxelSize voxelSize,
        MrcPlace place = default)
    {
        this.place = place;
        this.path = path;
        this.pending = pending;
        this.file = file;
        Size = size;
        VoxelSize = voxelSize;
    }

    /// <inheritdoc cref="IVoxelSource.Size"/>
    public Extent Size { get; }

    /// <inheritdoc/>
    public VoxelSize VoxelSize { get; }

    private string Name => path ?? "score map";

    /// <summary>Begins a file.</summary>
    /// <param name="path">Its name; one that ends in .gz or .bz2 is compressed as it is completed.</param>
    /// <param name="size">Its extents.</param>
    /// <param name="voxelSize">The edges of a voxel in Å.</param>
    /// <param name="place">Where it lies.</param>
    /// <exception cref="InputException">The folder cannot be written to.</exception>
    public static MrcWriter Create(string path, Extent size, VoxelSize voxelSize, MrcPlace place = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".bz2", StringComparison.OrdinalIgnoreCase))
            return Extended(new MrcWriter(path, null, ScratchFile.Create(AtomicFile.FolderOf(path)), size, voxelSize, place));
        PendingFile pending = PendingFile.Create(path);
        return Extended(new MrcWriter(path, pending, pending.Stream, size, voxelSize, place));
    }

    /// <summary>Begins a volume that is never more than a temporary file.</summary>
    /// <param name="folder">Where it lies.</param>
    /// <param name="size">Its extents.</param>
    /// <exception cref="InputException">The folder cannot be written to.</exception>
    public static MrcWriter CreateScratch(string folder, Extent size)
        => Extended(new MrcWriter(null, null, ScratchFile.Create(folder), size, default));

    /// <inheritdoc/>
    /// <remarks>Each voxel is written at most once: the header's statistics count what is written.</remarks>
    public void Write(Box box, ReadOnlySpan<float> values)
    {
        BoxRows rows = new(box, Size, values.Length);
        if (rows.Count == 0)
            return;
        statistics.Add(values[..(int)box.Size.Voxels]);
        // Neighbouring rows lie in one piece where the box is as wide as the volume.
        bool whole = box.Size.Width == Size.Width;
        int rowsAtOnce = whole ? box.Size.Height : 1;
        for (int i = 0; i < rows.Count; i += rowsAtOnce)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(values.Slice(i * box.Size.Width, rowsAtOnce * box.Size.Width));
            try
            {
                RandomAccess.Write(file.SafeFileHandle, LittleEndian(bytes), MrcHeader.Length + sizeof(float) * rows.Start(i));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new InputException($"{Name}: cannot be written: {InputFile.OneLine(e.Message)} Check the free space.", e);
            }
        }
    }

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        BoxRows rows = new(box, Size, destination.Length);
        int rowsAtOnce = box.Size.Width == Size.Width ? box.Size.Height : 1;
        for (int i = 0; i < rows.Count; i += rowsAtOnce)
        {
            Span<float> values = destination.Slice(i * box.Size.Width, rowsAtOnce * box.Size.Width);
            ReadExactly(MrcHeader.Length + sizeof(float) * rows.Start(i), MemoryMarshal.AsBytes(values));
            if (!BitConverter.IsLittleEndian)
                BinaryPrimitives.ReverseEndianness(
                    MemoryMarshal.Cast<float, int>(values), MemoryMarshal.Cast<float, int>(values));
        }
    }

    /// <summary>
    /// Writes the header and gives the file its name. Nothing is written or read afterwards.
    /// </summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public void Complete()
    {
        if (path is null)
            throw new InvalidOperationException("a temporary volume has no name to be completed under");
        statistics.AddZeros(Size.Voxels - statistics.Count - statistics.NonFiniteCount);
        byte[] header = MrcFile.CreateHeader(
            Size, VoxelSize, new MrcWriteOptions { Place = place },
            (statistics.Minimum, statistics.Maximum, (float)statistics.Mean, (float)statistics.Deviation));
        PendingFile.Guard(path, () => RandomAccess.Write(file.SafeFileHandle, header, 0));
        if (pending is not null)
        {
            pending.Commit();
            return;
        }

        AtomicFile.Write(path, stream => MrcFile.Packed(path, stream, packed =>
        {
            file.Position = 0;
            file.CopyTo(packed, 1 << 20);
        }));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (pending is null)
            file.Dispose();
        else
            pending.Dispose();
    }

    // Room for the whole file at once: what is not written reads as 0, and a full disk is found out early
    // where the system can tell.
    private static MrcWriter Extended(MrcWriter writer)
    {
        try
        {
            string folder = writer.path is { } path ? AtomicFile.FolderOf(path) : Path.GetDirectoryName(writer.file.Name)!;
            ScratchFile.RefuseWithoutRoom(writer.Name, folder, MrcHeader.Length + sizeof(float) * writer.Size.Voxels);
            writer.file.SetLength(MrcHeader.Length + sizeof(float) * writer.Size.Voxels);
            return writer;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            writer.Dispose();
            throw new InputException($"{writer.Name}: cannot be written: {InputFile.OneLine(e.Message)} It takes "
                + $"{(sizeof(float) * writer.Size.Voxels) >> 20} MiB; check the free space.", e);
        }
        catch (InputException)
        {
            writer.Dispose();
            throw;
        }
    }

    private void ReadExactly(long position, Span<byte> destination)
    {
        try
        {
            while (destination.Length > 0)
            {
                int read = RandomAccess.Read(file.SafeFileHandle, destination, position);
                if (read == 0)
                    throw new InputException($"{Name}: ends after {position} bytes while it is written. Another program "
                        + "changed it.");
                destination = destination[read..];
                position += read;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{Name}: cannot be read back: {InputFile.OneLine(e.Message)}", e);
        }
    }

    private static ReadOnlySpan<byte> LittleEndian(ReadOnlySpan<byte> bytes)
    {
        if (BitConverter.IsLittleEndian)
            return bytes;
        int[] swapped = new int[bytes.Length / sizeof(int)];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, int>(bytes), swapped);
        return MemoryMarshal.AsBytes(swapped.AsSpan());
    }
}
