using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using Microsoft.Win32.SafeHandles;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>
/// Reads boxes of an MRC file without holding the volume: files larger than 2 GB, volumes of more than 2³¹
/// voxels, any mode and axis order. A compressed file is unpacked once into a file in the folder for
/// temporary files (TMPDIR), which has no name where the system allows that, so that it is gone even after a
/// crash.
/// </summary>
public sealed class MrcReader : IVoxelSource, IDisposable
{
    private const int MostBytesAtOnce = 1 << 20;

    private readonly string path;
    private readonly MrcSource source;
    private readonly FileStream? unpacked;
    private readonly SafeFileHandle handle;
    private readonly long dataOffset;
    private byte[] bytes = [];
    private float[] row = [];

    private MrcReader(string path, MrcSource source, FileStream? unpacked)
    {
        this.path = path;
        this.source = source;
        this.unpacked = unpacked;
        handle = unpacked?.SafeFileHandle ?? source.Handle;
        dataOffset = unpacked is null ? source.Header.DataOffset : 0;
        Extent shape = source.Header.Shape;
        Size = shape;
    }

    /// <summary>The header.</summary>
    public MrcHeader Header => source.Header;

    /// <inheritdoc/>
    public Extent Size { get; }

    /// <inheritdoc/>
    public VoxelSize VoxelSize => Header.VoxelSize;

    /// <summary>Opens a file; a compressed one is unpacked.</summary>
    /// <param name="path">An MRC file of one volume.</param>
    /// <param name="cancellation">Stops the unpacking.</param>
    /// <exception cref="InputException">The file is missing, truncated, no MRC file or holds several volumes;
    /// or there is no room to unpack it.</exception>
    public static MrcReader Open(string path, CancellationToken cancellation = default)
    {
        MrcSource source = MrcSource.Open(path);
        try
        {
            source.RefuseSeveralVolumes();
            return new MrcReader(path, source, source.IsCompressed ? Unpack(path, source, cancellation) : null);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        if (!box.IsInside(Size))
            throw new ArgumentOutOfRangeException(nameof(box), $"{path}: a box of {box} is not inside a volume of {Size}.");
        if (destination.Length < box.Size.Voxels)
            throw new ArgumentException($"{destination.Length} values do not hold a box of {box.Size}.", nameof(destination));
        if (box.Size.Voxels == 0)
            return;

        // Along x, y, z: where the box begins, how long it is, and how far apart neighbours lie in the
        // destination.
        int[] starts = [box.Origin.X, box.Origin.Y, box.Origin.Z];
        int[] counts = [box.Size.Width, box.Size.Height, box.Size.Depth];
        long[] strides = [1, box.Size.Width, (long)box.Size.Height * box.Size.Width];
        (int column, int line, int section) = (Header.Axes.Column - 1, Header.Axes.Row - 1, Header.Axes.Section - 1);
        bool wholeRows = counts[column] == Header.Columns;
        int rowsAtOnce = wholeRows ? (int)Math.Clamp(MostBytesAtOnce / Header.RowBytes, 1, counts[line]) : 1;
        for (int s = 0; s < counts[section]; s++)
        {
            for (int first = 0; first < counts[line]; first += rowsAtOnce)
            {
                int rows = Math.Min(rowsAtOnce, counts[line] - first);
                long fileRow = (long)(starts[section] + s) * Header.Rows + starts[line] + first;
                Span<byte> stored = ReadRows(fileRow, rows, starts[column], counts[column], out int skipped, out int rowBytes);
                for (int i = 0; i < rows; i++)
                {
                    long to = s * strides[section] + (first + i) * strides[line];
                    Place(stored.Slice(i * rowBytes, rowBytes), skipped, counts[column], strides[column], destination[(int)to..]);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        unpacked?.Dispose();
        source.Dispose();
    }

    // Decodes a part of a row; where x is not the file's fastest axis its voxels lie apart in the
    // destination.
    private void Place(Span<byte> stored, int skipped, int count, long stride, Span<float> destination)
    {
        if (stride == 1 && skipped == 0)
        {
            MrcFile.Decode(Header, stored, destination[..count]);
            return;
        }

        if (row.Length < skipped + count)
            row = new float[skipped + count];
        MrcFile.Decode(Header, stored, row.AsSpan(0, skipped + count));
        for (int i = 0; i < count; i++)
            destination[(int)(i * stride)] = row[skipped + i];
    }

    // Bytes of columns of some rows. Packed 4-bit voxels begin at even columns, so that one voxel before may
    // have to be skipped.
    private Span<byte> ReadRows(long fileRow, int rows, int firstColumn, int columns, out int skipped, out int rowBytes)
    {
        long offset;
        skipped = 0;
        switch (Header.Mode)
        {
            case MrcMode.Packed4Bit:
                skipped = firstColumn & 1;
                offset = firstColumn / 2;
                rowBytes = (skipped + columns + 1) / 2;
                break;
            default:
                int voxelBytes = Header.Mode switch { MrcMode.Int8 => 1, MrcMode.Float32 => 4, _ => 2 };
                offset = (long)firstColumn * voxelBytes;
                rowBytes = columns * voxelBytes;
                break;
        }

        int length = rows * rowBytes;
        if (bytes.Length < length)
            bytes = new byte[Math.Max(length, 1 << 12)];
        Span<byte> read = bytes.AsSpan(0, length);
        ReadExactly(dataOffset + fileRow * Header.RowBytes + offset, read);
        return read;
    }

    private void ReadExactly(long position, Span<byte> destination)
    {
        try
        {
            while (destination.Length > 0)
            {
                int read = RandomAccess.Read(handle, destination, position);
                if (read == 0)
                    throw new InputException($"{path}: ends after {position} bytes, but its header promises "
                        + $"{dataOffset + Header.DataBytes}. The file was cut while it was read; copy it again.");
                destination = destination[read..];
                position += read;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read: {InputFile.OneLine(e.Message)}", e);
        }
    }

    private static FileStream Unpack(string path, MrcSource source, CancellationToken cancellation)
    {
        ScratchFile.RefuseWithoutRoom(path, Path.GetTempPath(), source.Header.DataBytes);
        FileStream scratch = ScratchFile.Create(Path.GetTempPath());
        try
        {
            byte[] buffer = new byte[MostBytesAtOnce];
            for (Int128 left = source.Header.DataBytes; left > 0;)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = (int)Int128.Min(left, buffer.Length);
                source.ReadExactly(buffer.AsSpan(0, count));
                ScratchFile.Guard(path, scratch.Name, () => scratch.Write(buffer, 0, count));
                left -= count;
            }

            ScratchFile.Guard(path, scratch.Name, scratch.Flush);
            return scratch;
        }
        catch
        {
            scratch.Dispose();
            throw;
        }
    }
}
