using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// IMOD's binary model, by its published specification (bio3d.colorado.edu/imod/doc/binspec.html): big-endian
/// chunks, a header, objects (OBJT) of contours (CONT)
/// of points, and the end (IEOF). Points count in pixels of the volume; the middle of the first voxel is 0.5
/// along x and y, and 0 along z.
/// Each kind of particles is an object of scattered points.
/// </summary>
internal static class ImodModel
{
    private const string Expected = "an IMOD model (IMODV1.2)";
    private const int IdBytes = 8;
    private const int HeaderBytes = 232;
    private const int ObjectBytes = 176;
    private const int ContourBytes = 16;
    private const int MeshBytes = 16;
    private const int PointBytes = 12;
    private const int ObjectNameBytes = 64;

    // Within the header.
    private const int SizeAt = 128;
    private const int FlagsAt = 144;
    private const int PixelSizeAt = 208;
    private const int UnitsAt = 212;

    // Z begins at -0.5; 3dmod has not written the model yet; the origin is in MINX.
    private const uint FromMinusHalf = 1 << 10;
    private const uint NotFrom3dmod = 1 << 11;
    private const uint OriginsInMinx = 1 << 14;

    // The points' y and z are exchanged.
    private const uint FlippedYz = 1 << 16;

    // Contours are open; points are scattered.
    private const uint OpenPoints = (1 << 3) | (1 << 9);

    // A pixel's size is in 10 to this many metres; 0 stands for pixels.
    private const int Nanometres = -9;
    private const float RadiusPixels = 5;

    private static readonly byte[] Id = "IMODV1.2"u8.ToArray();

    public static TableFormat Format { get; } = new(CoordinateFormat.Imod, ".mod")
    {
        HoldsSeveralTomograms = false,
        HoldsBlanks = true,
        HoldsScores = false,
        HoldsAngles = false,
        PixelSizes = PixelSizes.OneInTable,
        Read = static (path, context) => new(CoordinateFormat.Imod, Read(path, context)),
        Write = Write,
    };

    private static List<Particle> Read(string path, CoordinateContext context)
    {
        byte[] bytes = InputFile.ReadAllBytes(path, 1 << 30, Expected);
        if (bytes.Length < IdBytes + HeaderBytes || !bytes.AsSpan(0, IdBytes).SequenceEqual(Id))
            throw new InputException($"{path}: does not begin with IMODV1.2 and a header of {HeaderBytes} bytes; expected "
                + $"{Expected}.");
        int Whole(int at) => BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at));
        float Real(int at) => BinaryPrimitives.ReadSingleBigEndian(bytes.AsSpan(at));
        uint flags = (uint)Whole(IdBytes + FlagsAt);
        if ((flags & FlippedYz) != 0)
            throw new InputException($"{path}: its header says that y and z are flipped (flag bit 16); expected points as the "
                + "volume lies in its file. Open it with the volume in 3dmod, without flipping, and save it again.");
        PixelGrid grid = context.TomogramGrid(path, PixelAngstrom(Real(IdBytes + PixelSizeAt), Whole(IdBytes + UnitsAt)));
        List<Particle> particles = [];
        int objects = 0;
        string? name = null;
        for (int at = IdBytes + HeaderBytes; ;)
        {
            // What a chunk takes is looked at before it is read.
            void Need(long count)
            {
                if (count < 0 || at + count > bytes.Length)
                    throw new InputException($"{path}: ends within a chunk at byte {at}. The file is truncated or damaged; "
                        + $"expected {Expected}.");
            }

            Need(4);
            string chunk = Encoding.Latin1.GetString(bytes, at, 4);
            at += 4;
            switch (chunk)
            {
                case "IEOF":
                    return particles;
                case "OBJT":
                    Need(ObjectBytes);
                    objects++;
                    name = Encoding.UTF8.GetString(bytes, at, ObjectNameBytes).Split('\0')[0];
                    at += ObjectBytes;
                    break;
                case "CONT":
                    Need(ContourBytes);
                    int points = Whole(at);
                    at += ContourBytes;
                    Need(points < 0 ? -1 : (long)points * PointBytes);
                    for (int i = 0; i < points; i++, at += PointBytes)
                    {
                        (float x, float y, float z) = (Real(at), Real(at + 4), Real(at + 8));
                        if (!float.IsFinite(x + y + z))
                            throw new InputException($"{path}: a point of object {objects} is not finite; expected numbers.");
                        (string? kind, int? number) = KindOf(name, objects);
                        particles.Add(new Particle(grid.ToVoxel(z), grid.ToVoxel(y - 0.5), grid.ToVoxel(x - 0.5))
                        {
                            Pixels = grid,
                            Name = kind,
                            Class = number,
                        });
                    }

                    break;
                case "MESH":
                    Need(MeshBytes);
                    (int vertices, int indices) = (Whole(at), Whole(at + 4));
                    at += MeshBytes;
                    long mesh = vertices < 0 || indices < 0 ? -1 : ((long)vertices * PointBytes) + ((long)indices * 4);
                    Need(mesh);
                    at += (int)mesh;
                    break;
                default:
                    Need(4);
                    int length = Whole(at);
                    at += 4;
                    Need(length);
                    if (chunk == "MINX" && length >= 72 && (flags & OriginsInMinx) != 0)
                        RefusePart(path, [.. Enumerable.Range(0, 18).Select(i => Real(at + (4 * i)))]);
                    at += length;
                    break;
            }
        }
    }

    // The specification: old scale, translation and rotation, then the current ones; three numbers each. A
    // point of the whole volume is (old less current translation)/scale further.
    private static void RefusePart(string path, float[] minx)
    {
        const double noShift = 0.01;
        for (int axis = 0; axis < 3; axis++)
        {
            double scale = minx[9 + axis] == 0 ? 1 : minx[9 + axis];
            double shift = (minx[3 + axis] - minx[12 + axis]) / scale;
            if (!(Math.Abs(shift) < noShift))
                throw new InputException(string.Create(CultureInfo.InvariantCulture,
                    $"{path}: was drawn on a part of a volume, {shift:0.##} pixels along {"xyz"[axis]} from its corner. "
                    + $"Open it with the whole volume in 3dmod and save it again."));
        }
    }

    private static double PixelAngstrom(float size, int units)
        => units < 0 && units >= -10 && float.IsFinite(size) && size > 0 ? size * Math.Pow(10, units + 10) : 0;

    // Objects without a name have a number.
    private static (string? Name, int? Class) KindOf(string? name, int number)
        => string.IsNullOrWhiteSpace(name) ? (null, number)
            : ParticleNames.ClassOf(name) is { } known ? (null, known) : name == ParticleNames.Unknown ? (null, null)
                : (name, null);

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        IGrouping<string, Particle>[] kinds = [.. particles.GroupBy(ParticleNames.NameOf)];
        if (kinds.FirstOrDefault(k => Encoding.UTF8.GetByteCount(k.Key) >= ObjectNameBytes
            || k.Key.Contains('\0', StringComparison.Ordinal)) is { } tooLong)
            throw new InputException($"{path}: cannot be written: the name {InputFile.Quote(tooLong.Key)} does not go into "
                + $"{ObjectNameBytes - 1} bytes. Rename it.");
        PixelGrid grid = options.GridOf(path, particles.Count > 0 ? particles[0] : new Particle(0, 0, 0));
        Extent size = SizeOf(particles, options, grid);
        AtomicFile.Write(path, stream =>
        {
            void Whole(params ReadOnlySpan<int> values)
            {
                Span<byte> four = stackalloc byte[4];
                foreach (int value in values)
                {
                    BinaryPrimitives.WriteInt32BigEndian(four, value);
                    stream.Write(four);
                }
            }

            void Real(params ReadOnlySpan<double> values)
            {
                Span<byte> four = stackalloc byte[4];
                foreach (double value in values)
                {
                    BinaryPrimitives.WriteSingleBigEndian(four, (float)value);
                    stream.Write(four);
                }
            }

            void Text(string text, int bytes)
            {
                byte[] padded = new byte[bytes];
                Encoding.UTF8.GetBytes(text, padded);
                stream.Write(padded);
            }

            stream.Write(Id);
            Text("picks", SizeAt);
            Whole(size.Width, size.Height, size.Depth, kinds.Length, (int)(FromMinusHalf | NotFrom3dmod));
            // Drawn; model mode; black and white levels; no offsets; scales; the first object; resolution and
            // threshold.
            Whole(1, 1, 0, 255);
            Real(0, 0, 0, 1, 1, 1);
            Whole(0, -1, -1, 3, 128);
            Real(grid.SizeAngstrom / 10);
            Whole(grid.SizeAngstrom > 0 ? Nanometres : 0, 0);
            Real(0, 0, 0);
            (double, double, double)[] colours = [(1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 1, 0), (1, 0.5, 0)];
            for (int k = 0; k < kinds.Length; k++)
            {
                (double red, double green, double blue) = colours[k % colours.Length];
                Particle[] points = [.. kinds[k]];
                stream.Write("OBJT"u8);
                Text(kinds[k].Key, ObjectNameBytes);
                Text("", 64);
                Whole(points.Length > 0 ? 1 : 0, (int)OpenPoints, 0, 1);
                Real(red, green, blue);
                Whole((int)RadiusPixels);
                // No symbol; its size; line widths; line style, flags, padding and transparency.
                stream.Write([1, 3, 1, 1, 0, 0, 0, 0]);
                Whole(0, 0);
                stream.Write("CONT"u8);
                Whole(points.Length, 0, 0, 0);
                foreach (Particle p in points)
                    Real(grid.ToPixel(p.X) + 0.5, grid.ToPixel(p.Y) + 0.5, grid.ToPixel(p.Z));
            }

            stream.Write("IEOF"u8);
        });
    }

    // That of the volume where it is known; else the points' own.
    private static Extent SizeOf(IReadOnlyList<Particle> particles, CoordinateWriteOptions options, PixelGrid grid)
    {
        int Pixels(Func<Particle, double> of, Func<Extent, int> known) => options.Context.Shape is { } shape
            ? (int)Math.Min(int.MaxValue, Math.Round(known(shape) * grid.PerVoxel))
            : (int)Math.Clamp(particles.Select(p => Math.Ceiling(grid.ToPixel(of(p)) + 1)).DefaultIfEmpty(1).Max(), 1,
                int.MaxValue);
        return new Extent(Pixels(p => p.Z, s => s.Depth), Pixels(p => p.Y, s => s.Height), Pixels(p => p.X, s => s.Width));
    }
}
