using System.Buffers.Binary;
using System.Globalization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// A motive list in an EM file: a 512-byte header, then for each particle 20 float32 values: 1 score, 4
/// particle number, 5 tomogram, 8–10 x y z, 11–13 shift, 17–19 phi, psi and theta, 20 class. A particle's
/// centre is x y z plus the shift, and 1 is the first voxel's centre.
/// </summary>
internal static class EmMotl
{
    private const int HeaderBytes = 512;
    private const int Rows = 20;
    private const int ParticleBytes = 4 * Rows;
    private const byte PersonalComputer = 6;
    private const byte Float32 = 5;
    private const string Expected = "a motive list (an EM file of 20 float32 rows)";

    public static TableFormat Format { get; } = new(CoordinateFormat.Motl, ".em")
    {
        NeedsScores = true,
        Read = static (path, context) => new(CoordinateFormat.Motl, Read(path, context)),
        Write = Write,
    };

    private static List<Particle> Read(string path, CoordinateContext context)
    {
        IReadOnlyDictionary<int, string> names = TomogramNumbers.ReadNames(path);
        byte[] bytes = InputFile.ReadAllBytes(path, 1 << 30, Expected);
        if (bytes.Length < HeaderBytes)
            throw new InputException($"{path}: has {Counted.Of(bytes.Length, "byte")}, less than the {HeaderBytes} of an EM "
                + $"header; expected {Expected}.");
        // The machine's code in byte 0 is often wrong; 20 rows tell the byte order for sure.
        bool bigEndian = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(4)) != Rows;
        int Header(int offset) => bigEndian ? BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(offset))
            : BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(offset));
        if (Header(4) != Rows)
            throw new InputException($"{path}: has {BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(4))} rows; expected "
                + $"{Expected}.");
        if (bytes[3] != Float32)
            throw new InputException($"{path}: data type {bytes[3]}; expected {Expected}, type {Float32}.");
        // A list is a matrix, so it has one section; some programs write the particles there and one column.
        long count = Math.Max(0L, Header(8)) * Math.Max(0L, Header(12));
        long promised = HeaderBytes + ((Int128)count * ParticleBytes) is var all && all <= bytes.Length ? (long)all : -1;
        if (promised < 0)
            throw new InputException($"{path}: has {bytes.Length} bytes, but its header promises {Header(8)} × {Header(12)} "
                + $"particles of {ParticleBytes} bytes. The file is truncated or its header damaged.");

        PixelGrid grid = context.Grid(0);
        List<Particle> particles = new((int)count);
        for (int i = 0; i < count; i++)
        {
            double Value(int row)
            {
                ReadOnlySpan<byte> at = bytes.AsSpan(HeaderBytes + (i * ParticleBytes) + (4 * (row - 1)));
                float value = bigEndian ? BinaryPrimitives.ReadSingleBigEndian(at) : BinaryPrimitives.ReadSingleLittleEndian(at);
                return float.IsFinite(value) ? value : throw new InputException($"{path}: particle {i + 1}: row {row} is not "
                    + "finite; expected a number.");
            }

            int Whole(int row) => Value(row) is var value && value == Math.Floor(value) && Math.Abs(value) < 1 << 30
                ? (int)value
                : throw new InputException($"{path}: particle {i + 1}: row {row} is {Value(row)}; expected a whole number.");
            double Voxel(int axis) => grid.ToVoxel(Value(8 + axis) + Value(11 + axis) - 1);
            int tomogram = Whole(5);
            particles.Add(new Particle(Voxel(2), Voxel(1), Voxel(0))
            {
                Pixels = grid,
                Id = Whole(4),
                Score = Value(1),
                Class = Whole(20),
                Tomogram = names.GetValueOrDefault(tomogram, tomogram.ToString(CultureInfo.InvariantCulture)),
                Angles = ParticleAngles.FromZxz(Value(17), Value(19), Value(18)),
            });
        }

        return particles;
    }

    private static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        TomogramNumbers tomograms = new(particles, options.TomogramName);
        Func<Particle, int?> classes = ParticleNames.ClassNumbers(particles);
        AtomicFile.Write(path, stream =>
        {
            byte[] header = new byte[HeaderBytes];
            header[0] = PersonalComputer;
            header[3] = Float32;
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), Rows);
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), particles.Count);
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), 1);
            stream.Write(header);
            byte[] column = new byte[ParticleBytes];
            for (int i = 0; i < particles.Count; i++)
            {
                Particle p = particles[i];
                PixelGrid grid = options.GridOf(path, p);
                (double phi, double theta, double psi) = (p.Orientation ?? default).ToZxz();
                Array.Clear(column);
                void Set(int row, double value)
                    => BinaryPrimitives.WriteSingleLittleEndian(column.AsSpan(4 * (row - 1)), (float)value);
                Set(1, p.Score ?? 0);
                Set(4, i + 1);
                Set(5, tomograms.Of(p));
                Set(8, grid.ToPixel(p.X) + 1);
                Set(9, grid.ToPixel(p.Y) + 1);
                Set(10, grid.ToPixel(p.Z) + 1);
                Set(17, phi);
                Set(18, psi);
                Set(19, theta);
                Set(20, classes(p) ?? 1);
                stream.Write(column);
            }
        });
        tomograms.WriteNames(path);
    }
}
