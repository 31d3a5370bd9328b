using System.IO.Compression;
using ICSharpCode.SharpZipLib.BZip2;
using MeanShiftGpu.Storage;
using Microsoft.Win32.SafeHandles;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>An open file whose header has been read and checked, positioned at the voxels.</summary>
internal sealed class MrcSource : IDisposable
{
    /// <summary>
    /// Deflate cannot shrink data by more than a factor of 1032; a header that promises more is wrong.
    /// </summary>
    private const int MaxGzipRatio = 1032;

    private readonly string path;
    private readonly FileStream file;
    private readonly Stream stream;
    private long position;

    private MrcSource(string path, FileStream file, Stream stream, bool isCompressed)
    {
        this.path = path;
        this.file = file;
        this.stream = stream;
        IsCompressed = isCompressed;
    }

    public MrcHeader Header { get; private set; } = null!;

    public bool IsCompressed { get; }

    /// <summary>
    /// The file as it lies on the disk, for reading at any place where it is not compressed.
    /// </summary>
    public SafeFileHandle Handle => file.SafeFileHandle;

    public static MrcSource Open(string path)
    {
        FileStream file = InputFile.Open(path);
        try
        {
            Span<byte> magic = stackalloc byte[4];
            int read = file.ReadAtLeast(magic, 4, throwOnEndOfStream: false);
            if (read == 0)
                throw new InputException($"{path}: is empty. Expected an MRC file; copy it again.");
            file.Position = 0;
            bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
            bool bzip2 = magic[..3].SequenceEqual("BZh"u8) && magic[3] is >= (byte)'1' and <= (byte)'9';
            Stream stream =
                gzip ? new GZipStream(file, CompressionMode.Decompress) : bzip2 ? new ConcatenatedBZip2Stream(file) : file;
            MrcSource source = new(path, file, stream, gzip || bzip2);
            source.ReadHeader(gzip);
            return source;
        }
        catch (IOException e)
        {
            file.Dispose();
            throw new InputException($"{path}: cannot be read: {InputFile.OneLine(e.Message)}", e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Refuses a stack of volumes.</summary>
    public void RefuseSeveralVolumes()
    {
        if (Header.VolumeCount > 1)
            throw new InputException($"{path}: holds {Header.VolumeCount} volumes (space group {Header.SpaceGroup}); expected "
                + "one. Extract the one to use.");
    }

    public void ReadExactly(Span<byte> destination)
    {
        int read = ReadSome(destination);
        position += read;
        if (read < destination.Length)
            throw new InputException($"{path}: ends after {position} bytes{(IsCompressed ? " (unpacked)" : "")}, but its "
                + $"header promises {Header.DataOffset + Header.DataBytes}. The file is truncated; copy it again.");
    }

    public void Dispose()
    {
        stream.Dispose();
        file.Dispose();
    }

    private void ReadHeader(bool gzip)
    {
        byte[] bytes = new byte[MrcHeader.Length];
        int read = ReadSome(bytes);
        if (read < bytes.Length)
            throw new InputException($"{path}: has {read} bytes, less than the {MrcHeader.Length} of an MRC header. The file "
                + "is truncated or no MRC file.");
        position = read;
        Header = MrcHeader.Parse(bytes, path);

        Int128 promised = Header.DataOffset + Header.DataBytes;
        if (!IsCompressed && Header.ExtendedHeaderBytes > 0 && file.Length == MrcHeader.Length + (Int128)Header.DataBytes)
            throw new InputException($"{path}: the extended header of {Header.ExtendedHeaderBytes} bytes that its header "
                + "promises (nsymbt) is not there: the file is as long as header and voxels alone. Set nsymbt to 0, or save "
                + "the volume again with the program that wrote it.");
        if (!IsCompressed && Header.DataOffset > file.Length)
            throw new InputException($"{path}: has {file.Length} bytes, but its extended header alone reaches to "
                + $"{Header.DataOffset}. The file is truncated or its header damaged.");
        if (!IsCompressed && promised > file.Length)
            throw new InputException($"{path}: has {file.Length} bytes, but its header promises {promised} ({Header.Columns} × "
                + $"{Header.Rows} × {Header.Sections}, mode {(int)Header.Mode}). The file is truncated; copy it again.");
        if (gzip && promised > (Int128)file.Length * MaxGzipRatio)
            throw new InputException($"{path}: {file.Length} packed bytes cannot hold the {promised} that its header promises. "
                + "The file is truncated or its header damaged.");
        if (!IsCompressed && promised < file.Length)
            Header = Header with
            {
                Notes = [.. Header.Notes, $"has {file.Length - promised} bytes more than its header says. "
                + "They are taken to lie behind the voxels; if they are an extended header that is not announced (nsymbt 0), "
                + "the voxels are read from the wrong place: save the volume again with the program that wrote it"]
            };
        SkipTo(Header.DataOffset);
    }

    private void SkipTo(long offset)
    {
        if (!IsCompressed)
        {
            file.Position = offset;
            position = offset;
            return;
        }

        byte[] skipped = new byte[Math.Min(offset - position, 1 << 16)];
        while (position < offset)
            ReadExactly(skipped.AsSpan(0, (int)Math.Min(offset - position, skipped.Length)));
    }

    private int ReadSome(Span<byte> destination)
    {
        try
        {
            return stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        }
        // The bzip2 decoder walks off its tables on damaged input instead of checking.
        catch (Exception e) when (
            e is InvalidDataException or IOException or ICSharpCode.SharpZipLib.SharpZipBaseException
                or IndexOutOfRangeException or ArgumentException)
        {
            throw new InputException(
                $"{path}: cannot be unpacked: {InputFile.OneLine(e.Message)} The file is damaged; copy it again.", e);
        }
    }
}

/// <summary>
/// Several bzip2 streams in a row are one file, as the format allows and parallel packers write.
/// </summary>
file sealed class ConcatenatedBZip2Stream(FileStream file) : Stream
{
    // The decoder reads from its file as it is created, so the first one waits for the first read.
    private BZip2InputStream? current;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count)
    {
        int read = current?.Read(buffer, offset, count) ?? 0;
        while (read <= 0 && count > 0 && file.Position < file.Length)
        {
            current?.Dispose();
            current = new BZip2InputStream(file) { IsStreamOwner = false };
            read = current.Read(buffer, offset, count);
        }

        return Math.Max(read, 0);
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            current?.Dispose();
        base.Dispose(disposing);
    }
}
