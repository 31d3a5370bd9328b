using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;
using ICSharpCode.SharpZipLib.BZip2;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>What <see cref="MrcFile.Write"/> writes beyond the voxels.</summary>
public sealed record MrcWriteOptions
{
    /// <summary>
    /// How voxels are stored. Integer modes round to the nearest integer and refuse what does not fit.
    /// </summary>
    public MrcMode Mode { get; init; } = MrcMode.Float32;

    /// <summary>Where the volume lies; that of another volume with the same voxels, to lie on it.</summary>
    public MrcPlace Place { get; init; }

    /// <summary>
    /// The file's label: what made it, at most 80 characters. Default: this program with its version and
    /// commit.
    /// </summary>
    public string Label { get; init; } = $"MeanShiftGpu {Provenance.OwnVersion}";
}

/// <summary>
/// Reads and writes volumes in the MRC2014 format (.mrc, .map, .rec, .mrcs), also compressed by gzip or
/// bzip2. Read from the format's public description: a header of 1024 bytes, an extended header, then the
/// voxels, x fastest.
/// </summary>
public static class MrcFile
{
    private const int BlockBytes = 1 << 20;

    /// <summary>Reads the header alone.</summary>
    /// <exception cref="InputException">The file is missing, too short, or no MRC file; or its mode is not
    /// supported.</exception>
    public static MrcHeader ReadHeader(string path)
    {
        using MrcSource source = MrcSource.Open(path);
        return source.Header;
    }

    /// <summary>
    /// Reads a volume. A two-dimensional image is a volume of depth 1; axes stored in another order are put
    /// in order.
    /// </summary>
    /// <param name="path">The file; whether it is compressed is seen from its first bytes.</param>
    /// <param name="allowNonFinite">Accept NaN and infinite voxels; they are refused otherwise.</param>
    /// <exception cref="InputException">
    /// The file cannot be read as <see cref="ReadHeader"/> says, is shorter than its header promises, holds
    /// several volumes, or has voxels that are not finite.
    /// </exception>
    public static Volume Read(string path, bool allowNonFinite = false)
    {
        using MrcSource source = MrcSource.Open(path);
        MrcHeader header = source.Header;
        source.RefuseSeveralVolumes();
        if ((long)header.Shape.Height * header.Shape.Width > Array.MaxLength)
            throw new InputException($"{path}: a slice of {header.Shape.Height} × {header.Shape.Width} voxels is too large; at "
                + $"most {Array.MaxLength} are supported.");

        try
        {
            Volume volume = new(header.Shape, header.VoxelSize, allocate: !source.IsCompressed);
            ReadVoxels(source, volume);
            if (!allowNonFinite)
                RefuseNonFinite(path, volume);
            return volume;
        }
        catch (OutOfMemoryException e)
        {
            throw new InputException($"{path}: a volume of {header.Shape} voxels does not fit into memory "
                + $"({header.Shape.Voxels * 4 / (1 << 20)} MiB). Bin or crop it.", e);
        }
    }

    /// <summary>Counts the voxels that are NaN or infinite.</summary>
    /// <returns>How many, and (z, y, x) of the first in memory order; (−1, −1, −1) when there is
    /// none.</returns>
    public static (long Count, (int Z, int Y, int X) First) CountNonFinite(Volume volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        long count = 0;
        (int Z, int Y, int X) first = (-1, -1, -1);
        for (int z = 0; z < volume.Depth; z++)
        {
            ReadOnlySpan<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
            {
                if (float.IsFinite(slice[i]))
                    continue;
                if (count++ == 0)
                    first = (z, i / volume.Width, i % volume.Width);
            }
        }

        return (count, first);
    }

    /// <summary>
    /// Writes a volume as MRC2014, little-endian, with voxel size, statistics and axis order, so that other
    /// programs open it. A name that ends in .gz or .bz2 is compressed.
    /// </summary>
    /// <exception cref="InputException">The file cannot be written, a voxel is not finite, or a value does
    /// not fit the mode.</exception>
    public static void Write(string path, Volume volume, MrcWriteOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(volume);
        options ??= new MrcWriteOptions();
        if (options.Mode is not (MrcMode.Int8 or MrcMode.Int16 or MrcMode.Float32 or MrcMode.UInt16 or MrcMode.Float16))
            throw new InputException($"{path}: MRC mode {(int)options.Mode} cannot be written; expected 0, 1, 2, 6 or 12.");
        byte[] header = CreateHeader(volume.Size, volume.VoxelSize, options, Statistics(path, volume, options.Mode));
        AtomicFile.Write(path, stream => Packed(path, stream, packed => WriteVoxels(packed, header, volume, options.Mode)));
    }

    /// <summary>Writes through a compressor where the file's name asks for one.</summary>
    internal static void Packed(string path, Stream stream, Action<Stream> write)
    {
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            using GZipStream gzip = new(stream, CompressionLevel.Optimal, leaveOpen: true);
            write(gzip);
        }
        else if (path.EndsWith(".bz2", StringComparison.OrdinalIgnoreCase))
        {
            using BZip2OutputStream bzip2 = new(stream) { IsStreamOwner = false };
            write(bzip2);
        }
        else
        {
            write(stream);
        }
    }

    private static void ReadVoxels(MrcSource source, Volume volume)
    {
        MrcHeader header = source.Header;
        int rowBytes = (int)header.RowBytes;
        int rowsAtOnce = Math.Clamp(BlockBytes / rowBytes, 1, header.Rows);
        byte[] bytes = new byte[rowsAtOnce * rowBytes];
        float[] row = new float[header.Columns];
        // Strides of the volume along x, y, z; a file in another axis order is scattered.
        long[] strides = [1, volume.Width, volume.SliceLength];
        (long Column, long Row, long Section) stride = (
            strides[header.Axes.Column - 1], strides[header.Axes.Row - 1], strides[header.Axes.Section - 1]);
        bool ordered = header.Axes == (1, 2, 3);

        for (int section = 0; section < header.Sections; section++)
        {
            for (int firstRow = 0; firstRow < header.Rows; firstRow += rowsAtOnce)
            {
                int count = Math.Min(rowsAtOnce, header.Rows - firstRow);
                source.ReadExactly(bytes.AsSpan(0, count * rowBytes));
                for (int i = 0; i < count; i++)
                {
                    Span<byte> stored = bytes.AsSpan(i * rowBytes, rowBytes);
                    if (ordered)
                    {
                        Decode(header, stored, volume.Row(section, firstRow + i));
                        continue;
                    }

                    Decode(header, stored, row);
                    long start = (section * stride.Section) + ((firstRow + i) * stride.Row);
                    for (int column = 0; column < row.Length; column++)
                    {
                        (long z, long inSlice) = Math.DivRem(start + (column * stride.Column), volume.SliceLength);
                        volume.Slice((int)z)[(int)inSlice] = row[column];
                    }
                }
            }
        }
    }

    /// <summary>
    /// Converts a row; swaps <paramref name="stored"/> in place where the byte order differs from the
    /// machine's.
    /// </summary>
    internal static void Decode(MrcHeader header, Span<byte> stored, Span<float> values)
    {
        bool swap = header.BigEndian == BitConverter.IsLittleEndian;
        switch (header.Mode)
        {
            case MrcMode.Int8 when header.UnsignedBytes:
                for (int i = 0; i < values.Length; i++)
                    values[i] = stored[i];
                break;
            case MrcMode.Int8:
                for (int i = 0; i < values.Length; i++)
                    values[i] = (sbyte)stored[i];
                break;
            case MrcMode.Packed4Bit:
                for (int i = 0; i < values.Length; i++)
                    values[i] = (i & 1) == 0 ? stored[i / 2] & 15 : stored[i / 2] >> 4;
                break;
            case MrcMode.Int16:
                Span<short> shorts = Cast<short>(stored, swap);
                for (int i = 0; i < values.Length; i++)
                    values[i] = shorts[i];
                break;
            case MrcMode.UInt16:
                Span<ushort> words = Cast<ushort>(stored, swap);
                for (int i = 0; i < values.Length; i++)
                    values[i] = words[i];
                break;
            case MrcMode.Float16:
                Span<Half> halves = Cast<Half>(stored, swap);
                for (int i = 0; i < values.Length; i++)
                    values[i] = (float)halves[i];
                break;
            default:
                Cast<float>(stored, swap).CopyTo(values);
                break;
        }
    }

    private static Span<T> Cast<T>(Span<byte> stored, bool swap)
        where T : unmanaged
    {
        if (swap && Marshal.SizeOf<T>() == 2)
            BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, short>(stored), MemoryMarshal.Cast<byte, short>(stored));
        else if (swap)
            BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, int>(stored), MemoryMarshal.Cast<byte, int>(stored));
        return MemoryMarshal.Cast<byte, T>(stored);
    }

    private static void RefuseNonFinite(string path, Volume volume)
    {
        (long count, (int Z, int Y, int X) first) = CountNonFinite(volume);
        if (count > 0)
            throw new InputException($"{path}: {count} of {volume.Length} voxels {(count == 1 ? "is" : "are")} NaN or "
                + $"infinite, the first at (z, y, x) = ({first.Z}, {first.Y}, {first.X}). Replace them, for instance by the "
                + "mean.");
    }

    /// <summary>
    /// The header of a volume that this library writes; the range, mean and deviation are those of the values
    /// as they are stored.
    /// </summary>
    internal static byte[] CreateHeader(
        Extent shape,
        VoxelSize voxelSize,
        MrcWriteOptions options,
        (float Minimum, float Maximum, float Mean, float Deviation) values)
    {
        byte[] header = new byte[MrcHeader.Length];
        void Int(int offset, int value) => BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(offset), value);
        void Real(int offset, double value) => BinaryPrimitives.WriteSingleLittleEndian(header.AsSpan(offset), (float)value);

        int[] size = [shape.Width, shape.Height, shape.Depth];
        double[] edges = [voxelSize.X, voxelSize.Y, voxelSize.Z];
        MrcPlace place = options.Place;
        int[] starts = [place.Start.X, place.Start.Y, place.Start.Z];
        double[] origins = [place.Origin.X, place.Origin.Y, place.Origin.Z];
        for (int axis = 0; axis < 3; axis++)
        {
            Int(4 * axis, size[axis]);
            Int(16 + (4 * axis), starts[axis]);
            Int(28 + (4 * axis), size[axis]);
            Real(40 + (4 * axis), size[axis] * edges[axis]);
            Real(52 + (4 * axis), 90);
            Int(64 + (4 * axis), axis + 1);
            Real(196 + (4 * axis), origins[axis]);
        }

        Int(12, (int)options.Mode);
        Real(76, values.Minimum);
        Real(80, values.Maximum);
        Real(84, values.Mean);
        Int(88, 1);
        Int(108, 20141);
        "MAP "u8.CopyTo(header.AsSpan(208));
        header[212] = 0x44;
        header[213] = 0x44;
        Real(216, values.Deviation);
        Int(220, 1);
        byte[] label = Encoding.ASCII.GetBytes(options.Label);
        label.AsSpan(0, Math.Min(80, label.Length)).CopyTo(header.AsSpan(224));
        // A label is padded by blanks: some programs print its 80 characters as they are.
        header.AsSpan(224 + Math.Min(80, label.Length), 80 - Math.Min(80, label.Length)).Fill((byte)' ');
        return header;
    }

    /// <summary>Minimum, maximum, mean and standard deviation of the values as they are stored.</summary>
    private static (float Minimum, float Maximum, float Mean, float Deviation) Statistics(
        string path, Volume volume, MrcMode mode)
    {
        float minimum = float.PositiveInfinity, maximum = float.NegativeInfinity;
        double sum = 0;
        ForEachStored(path, volume, mode, value =>
        {
            minimum = Math.Min(minimum, value);
            maximum = Math.Max(maximum, value);
            sum += value;
        });
        double mean = sum / volume.Length;
        double squares = 0;
        ForEachStored(path, volume, mode, value => squares += (value - mean) * (value - mean));
        return (minimum, maximum, (float)mean, (float)Math.Sqrt(squares / volume.Length));
    }

    private static void ForEachStored(string path, Volume volume, MrcMode mode, Action<float> action)
    {
        (float low, float high) = Range(mode);
        for (int z = 0; z < volume.Depth; z++)
        {
            ReadOnlySpan<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
            {
                float stored = Stored(slice[i], mode);
                // Written so that NaN fails too.
                if (!(stored >= low && stored <= high))
                    throw new InputException($"{path}: cannot be written: voxel (z, y, x) = ({z}, {i / volume.Width}, "
                        + $"{i % volume.Width}) is {slice[i].ToString(CultureInfo.InvariantCulture)}; mode {(int)mode} holds "
                        + $"{low.ToString(CultureInfo.InvariantCulture)} to {high.ToString(CultureInfo.InvariantCulture)}.");
                action(stored);
            }
        }
    }

    private static (float Low, float High) Range(MrcMode mode) => mode switch
    {
        MrcMode.Int8 => (sbyte.MinValue, sbyte.MaxValue),
        MrcMode.Int16 => (short.MinValue, short.MaxValue),
        MrcMode.UInt16 => (ushort.MinValue, ushort.MaxValue),
        MrcMode.Float16 => ((float)Half.MinValue, (float)Half.MaxValue),
        MrcMode.Float32 => (float.MinValue, float.MaxValue),
        _ => throw UnknownValue.Of(mode),
    };

    private static float Stored(float value, MrcMode mode) => mode switch
    {
        MrcMode.Float32 => value,
        MrcMode.Float16 => (float)(Half)value,
        MrcMode.Int8 or MrcMode.Int16 or MrcMode.UInt16 => MathF.Round(value),
        _ => throw UnknownValue.Of(mode),
    };

    private static void WriteVoxels(Stream stream, byte[] header, Volume volume, MrcMode mode)
    {
        stream.Write(header);
        int bytesPerVoxel = mode switch { MrcMode.Int8 => 1, MrcMode.Float32 => 4, _ => 2 };
        byte[] bytes = new byte[volume.Width * bytesPerVoxel];
        for (int z = 0; z < volume.Depth; z++)
        {
            for (int y = 0; y < volume.Height; y++)
            {
                ReadOnlySpan<float> row = volume.Row(z, y);
                for (int x = 0; x < row.Length; x++)
                    Encode(Stored(row[x], mode), bytes.AsSpan(x * bytesPerVoxel), mode);
                stream.Write(bytes);
            }
        }
    }

    private static void Encode(float value, Span<byte> destination, MrcMode mode)
    {
        switch (mode)
        {
            case MrcMode.Int8:
                destination[0] = (byte)(sbyte)value;
                break;
            case MrcMode.Int16:
                BinaryPrimitives.WriteInt16LittleEndian(destination, (short)value);
                break;
            case MrcMode.UInt16:
                BinaryPrimitives.WriteUInt16LittleEndian(destination, (ushort)value);
                break;
            case MrcMode.Float16:
                BinaryPrimitives.WriteHalfLittleEndian(destination, (Half)value);
                break;
            default:
                BinaryPrimitives.WriteSingleLittleEndian(destination, value);
                break;
        }
    }
}
