using System.Buffers.Binary;
using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>How an MRC file stores a voxel; the numbers are the header's.</summary>
public enum MrcMode
{
    /// <summary>One byte, signed unless the header says otherwise.</summary>
    Int8 = 0,

    /// <summary>Signed 16-bit integer.</summary>
    Int16 = 1,

    /// <summary>32-bit real.</summary>
    Float32 = 2,

    /// <summary>Unsigned 16-bit integer.</summary>
    UInt16 = 6,

    /// <summary>16-bit real.</summary>
    Float16 = 12,

    /// <summary>
    /// Unsigned 4-bit integers, two to a byte, the first in the low half; a row of odd length ends in a half
    /// byte.
    /// </summary>
    Packed4Bit = 101,
}

/// <summary>Where a volume lies among others, by the two fields of a header that say so.</summary>
/// <param name="Origin">The header's origin in Å; 0 where it is not given or makes no sense.</param>
/// <param name="Start">The indices of the first voxel (nstart); 0 likewise.</param>
public readonly record struct MrcPlace((double Z, double Y, double X) Origin, (int Z, int Y, int X) Start);

/// <summary>
/// The header of an MRC2014 (or CCP4) file: 1024 bytes, of which the fields this library uses. Sizes are
/// given twice: in the file's order (columns, rows, sections) and along the axes of the volume.
/// </summary>
public sealed record MrcHeader
{
    /// <summary>The header's length in bytes; an extended header follows.</summary>
    public const int Length = 1024;

    /// <summary>No real file has longer edges; a header that says so is damaged.</summary>
    private const int MaxEdge = 1 << 20;

    private const int ImodStamp = 1146047817;

    /// <summary>How voxels are stored.</summary>
    public required MrcMode Mode { get; init; }

    /// <summary>Whether a mode 0 file holds bytes of 0–255 instead of −128–127.</summary>
    public bool UnsignedBytes { get; init; }

    /// <summary>Whether numbers are stored most significant byte first.</summary>
    public bool BigEndian { get; init; }

    /// <summary>Voxels along the file's fastest axis.</summary>
    public required int Columns { get; init; }

    /// <summary>Voxels along the file's second axis.</summary>
    public required int Rows { get; init; }

    /// <summary>Voxels along the file's slowest axis.</summary>
    public required int Sections { get; init; }

    /// <summary>Which axis of the volume columns, rows and sections run along: 1 x, 2 y, 3 z.</summary>
    public (int Column, int Row, int Section) Axes { get; init; } = (1, 2, 3);

    /// <summary>The size along z, y, x.</summary>
    public Extent Shape => new(Size(3), Size(2), Size(1));

    /// <summary>
    /// The edges of a voxel in Å: cell divided by intervals; 0 where the header does not say.
    /// </summary>
    public VoxelSize VoxelSize { get; init; }

    /// <summary>
    /// Where the volume lies; another volume with the same voxels lies there too if it has the same.
    /// </summary>
    public MrcPlace Place { get; init; }

    /// <summary>
    /// Where the first voxel's centre is in Å, as ChimeraX takes it: the header's origin or, where that is 0
    /// or makes no sense, the indices of the first voxel (nstart) in voxels.
    /// </summary>
    public (double Z, double Y, double X) OriginAngstrom
    {
        get
        {
            if (Place.Origin != (0, 0, 0))
                return Place.Origin;
            VoxelSize voxel = Measured(VoxelSize);
            return (Place.Start.Z * voxel.Z, Place.Start.Y * voxel.Y, Place.Start.X * voxel.X);
        }
    }

    /// <summary>Space group: 0 image stack or volume, 1 volume, from 401 a stack of volumes.</summary>
    public int SpaceGroup { get; init; }

    /// <summary>How many volumes follow one another; 1 except for stacks of volumes.</summary>
    public int VolumeCount { get; init; } = 1;

    /// <summary>
    /// Whether the sections are separate images (z is then an image number, not a position).
    /// </summary>
    public bool IsImageStack { get; init; }

    /// <summary>Bytes between the header and the voxels.</summary>
    public int ExtendedHeaderBytes { get; init; }

    /// <summary>The smallest value as the header states it (not checked).</summary>
    public float Minimum { get; init; }

    /// <summary>The largest value as the header states it (not checked).</summary>
    public float Maximum { get; init; }

    /// <summary>Text that programs left behind.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>
    /// What was odd about the header and how it was taken, one line each; empty for a sound file.
    /// </summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Bytes of a row of voxels.</summary>
    public long RowBytes => Mode switch
    {
        MrcMode.Int8 => Columns,
        MrcMode.Packed4Bit => ((long)Columns + 1) / 2,
        MrcMode.Float32 => 4L * Columns,
        MrcMode.Int16 or MrcMode.UInt16 or MrcMode.Float16 => 2L * Columns,
        _ => throw UnknownValue.Of(Mode),
    };

    /// <summary>Bytes of all voxels.</summary>
    public Int128 DataBytes => (Int128)RowBytes * Rows * Sections;

    /// <summary>Where the voxels begin.</summary>
    public long DataOffset => Length + (long)ExtendedHeaderBytes;

    /// <summary>Reads a header from its 1024 bytes.</summary>
    /// <param name="bytes">The header.</param>
    /// <param name="path">The file's name, for messages.</param>
    /// <exception cref="InputException">This is no MRC file, the header is damaged, or the mode is not
    /// supported.</exception>
    internal static MrcHeader Parse(ReadOnlySpan<byte> bytes, string path)
    {
        List<string> notes = [];
        bool stampBig = bytes[212] == 0x11 && bytes[213] == 0x11;
        bool stampLittle = bytes[212] == 0x44 && bytes[213] is 0x44 or 0x41;
        bool big = stampBig;
        // Machine stamps are often wrong or missing: the byte order is the one that makes sense, the stamp
        // only breaks ties.
        if (!IsSane(bytes, big) && IsSane(bytes, !big))
        {
            big = !big;
            notes.Add($"has the machine stamp {bytes[212]:X2} {bytes[213]:X2}, which contradicts the sizes; it is read as "
                + $"{(big ? "big" : "little")}-endian");
        }
        else if (!stampBig && !stampLittle)
        {
            notes.Add($"has the unusual machine stamp {bytes[212]:X2} {bytes[213]:X2}; it is read as little-endian");
        }

        Fields fields = new(bytes, big);
        bool hasTag = bytes.Slice(208, 3).SequenceEqual("MAP"u8);
        int columns = fields.Int(0), rows = fields.Int(4), sections = fields.Int(8), mode = fields.Int(12);
        if (!IsSane(bytes, big) && !hasTag)
            throw new InputException($"{path}: is not an MRC file: no 'MAP' at byte 208, and the sizes {columns}, {rows}, "
                + $"{sections} with mode {mode} make no sense. Expected an MRC2014 volume.");
        if (columns < 1 || rows < 1 || sections < 1 || columns > MaxEdge || rows > MaxEdge || sections > MaxEdge)
            throw new InputException($"{path}: the MRC header gives the size {columns} × {rows} × {sections}; expected 1 to "
                + $"{MaxEdge} voxels per axis. The header is damaged.");
        if (!hasTag)
            notes.Add("has no 'MAP' at byte 208, as older MRC files");

        (int Column, int Row, int Section) axes = Axis(fields, path, notes);
        int extended = fields.Int(92);
        if (extended < 0)
            throw new InputException($"{path}: the MRC header gives an extended header of {extended} bytes. The header is "
                + "damaged.");

        int group = fields.Int(88);
        int intervalsZ = fields.Int(36);
        bool stack = group == 0 && intervalsZ == 1 && sections > 1;
        if (stack)
            notes.Add($"is by its header a stack of {sections} images (space group 0, one interval along z), as of a tilt "
                + "series; picks mean nothing unless it is a volume all the same");
        int volumes = 1;
        if (group is >= 401 and <= 630)
        {
            if (intervalsZ < 1 || sections % intervalsZ != 0)
                throw new InputException($"{path}: a stack of volumes (space group {group}) of {sections} sections, "
                    + $"{intervalsZ} per volume, does not divide. The header is damaged.");
            volumes = sections / intervalsZ;
        }

        double[] angles = [fields.Real(52), fields.Real(56), fields.Real(60)];
        if (Array.Exists(angles, angle => angle != 0 && !(Math.Abs(angle - 90) < 0.01)))
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"has a cell with angles of {angles[0]:0.##}, "
                + $"{angles[1]:0.##} and {angles[2]:0.##}°; its axes are taken as perpendicular"));
        float maximum = fields.Real(80);
        VoxelSize voxel = new(
            stack ? 0 : Edge(fields.Real(48), fields.Int(36), 'z', notes),
            Edge(fields.Real(44), fields.Int(32), 'y', notes),
            Edge(fields.Real(40), fields.Int(28), 'x', notes));
        if (voxel == new VoxelSize(1, 1, 1))
            notes.Add("has voxels of exactly 1 Å, which programs write that do not know the size; "
                + "give the voxel size where it is another");
        return new MrcHeader
        {
            Mode = Supported(mode, path),
            UnsignedBytes = mode == 0 && AreBytesUnsigned(fields, fields.Real(76), maximum, notes),
            BigEndian = big,
            Columns = columns,
            Rows = rows,
            Sections = sections,
            Axes = axes,
            VoxelSize = voxel,
            Place = PlaceOf(fields, hasTag, axes, voxel, Math.Max(columns, Math.Max(rows, sections))),
            SpaceGroup = group,
            VolumeCount = volumes,
            IsImageStack = stack,
            ExtendedHeaderBytes = extended,
            Minimum = fields.Real(76),
            Maximum = maximum,
            Labels = ReadLabels(bytes, fields.Int(220)),
            Notes = notes,
        };
    }

    /// <summary>The size along an axis of the volume: 1 x, 2 y, 3 z.</summary>
    private int Size(int axis) => Axes.Column == axis ? Columns : Axes.Row == axis ? Rows : Sections;

    private static bool IsSane(ReadOnlySpan<byte> bytes, bool big)
    {
        Fields fields = new(bytes, big);
        return fields.Int(0) is >= 1 and <= MaxEdge
            && fields.Int(4) is >= 1 and <= MaxEdge
            && fields.Int(8) is >= 1 and <= MaxEdge
            && fields.Int(12) is (>= 0 and <= 16) or 101;
    }

    private static MrcMode Supported(int mode, string path) => mode switch
    {
        0 or 1 or 2 or 6 or 12 or 101 => (MrcMode)mode,
        3 or 4 => throw new InputException($"{path}: MRC mode {mode} holds complex numbers (a Fourier transform); expected "
            + "real voxels, mode 0, 1, 2, 6, 12 or 101. Transform it back first."),
        _ => throw new InputException($"{path}: MRC mode {mode} is not supported; expected mode 0, 1, 2, 6, 12 or 101. Convert "
            + "the file to mode 2."),
    };

    private static (int Column, int Row, int Section) Axis(Fields fields, string path, List<string> notes)
    {
        (int Column, int Row, int Section) axes = (fields.Int(64), fields.Int(68), fields.Int(72));
        if (axes == (0, 0, 0))
        {
            notes.Add("does not give the axis order; it is taken as x, y, z");
            return (1, 2, 3);
        }

        int[] sorted = [axes.Column, axes.Row, axes.Section];
        Array.Sort(sorted);
        return sorted is [1, 2, 3]
            ? axes
            : throw new InputException($"{path}: the MRC header gives the axis order {axes.Column}, {axes.Row}, "
                + $"{axes.Section}; expected 1, 2, 3 in some order. The header is damaged.");
    }

    // ChimeraX has voxels of 1 Å where the header does not say.
    private static VoxelSize Measured(VoxelSize voxel)
        => voxel is { Z: > 0, Y: > 0, X: > 0 } ? voxel : new VoxelSize(1, 1, 1);

    private static MrcPlace PlaceOf(
        Fields fields, bool hasTag, (int Column, int Row, int Section) axes, VoxelSize voxel, int longest)
    {
        (double Z, double Y, double X) origin = (fields.Real(204), fields.Real(200), fields.Real(196));
        VoxelSize size = Measured(voxel);
        // So large a number that voxels cannot be told apart was never set.
        static bool IsPlace(double origin, double size) => double.IsFinite(origin) && (float)(origin + size) != (float)origin;
        if (!hasTag || !IsPlace(origin.Z, size.Z) || !IsPlace(origin.Y, size.Y) || !IsPlace(origin.X, size.X))
            origin = default;
        int[] starts = [fields.Int(16), fields.Int(20), fields.Int(24)];
        long limit = 10L * Math.Max(longest, Math.Max(fields.Int(28), Math.Max(fields.Int(32), fields.Int(36))));
        if (Array.Exists(starts, start => Math.Abs((long)start) > limit))
            return new MrcPlace(origin, default);
        int Along(int axis) => axes.Column == axis ? starts[0] : axes.Row == axis ? starts[1] : starts[2];
        return new MrcPlace(origin, (Along(3), Along(2), Along(1)));
    }

    /// <summary>
    /// Mode 0 is signed by the standard. IMOD marks its files and says by a flag; other files give themselves
    /// away by a maximum above 127.
    /// </summary>
    private static bool AreBytesUnsigned(Fields fields, float minimum, float maximum, List<string> notes)
    {
        if (fields.Int(152) == ImodStamp)
            return (fields.Int(156) & 1) == 0;
        if (!(maximum > 127))
        {
            // The standard's sign of missing statistics is a maximum below the minimum; many programs write
            // zeros.
            if (!(maximum > minimum))
                notes.Add("has mode 0 and no statistics that tell signed from unsigned bytes; they are taken as signed, as the "
                    + "standard says. Where bright voxels come out dark, convert it to mode 2 with the program that wrote it");
            return false;
        }

        notes.Add($"has mode 0 and a maximum of {maximum.ToString(CultureInfo.InvariantCulture)}, so its bytes are taken as "
            + "unsigned, against the standard");
        return true;
    }

    private static double Edge(float cell, int intervals, char axis, List<string> notes)
    {
        if (cell == 0 || intervals == 0)
            return 0;
        if (float.IsFinite(cell) && cell > 0 && intervals > 0)
            return (double)cell / intervals;
        notes.Add($"has a cell of {cell.ToString(CultureInfo.InvariantCulture)} Å in {intervals} intervals along {axis}, which "
            + "makes no sense; the voxel size is taken as unknown");
        return 0;
    }

    private static List<string> ReadLabels(ReadOnlySpan<byte> bytes, int count)
    {
        List<string> labels = [];
        for (int i = 0; i < Math.Clamp(count, 0, 10); i++)
        {
            string label = System.Text.Encoding.Latin1.GetString(bytes.Slice(224 + (80 * i), 80)).TrimEnd('\0', ' ');
            if (label.Length > 0)
                labels.Add(label);
        }

        return labels;
    }

    private readonly ref struct Fields(ReadOnlySpan<byte> bytes, bool big)
    {
        private readonly ReadOnlySpan<byte> bytes = bytes;

        public int Int(int offset) => big ? BinaryPrimitives.ReadInt32BigEndian(bytes[offset..])
            : BinaryPrimitives.ReadInt32LittleEndian(bytes[offset..]);

        public float Real(int offset) => BitConverter.Int32BitsToSingle(Int(offset));
    }
}
