using System.Buffers.Binary;
using System.IO.Compression;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Volumes;

public class MrcFileTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [TestCase(1, 1)]
    [TestCase(1.01, 0)]
    [TestCase(10, 0)]
    public void ReadHeader_VoxelsOfExactlyOneAngstrom_AreRemarkedOn(double edge, int notes)
    {
        using TemporaryFolder folder = new();
        using Volume volume = new(new Extent(2, 3, 4), new VoxelSize(edge, edge, edge));
        MrcFile.Write(folder["voxels.mrc"], volume);
        IReadOnlyList<string> found = MrcFile.ReadHeader(folder["voxels.mrc"]).Notes;
        Assert.That(found.Count(n => n.Contains("exactly 1 Å", StringComparison.Ordinal)), Is.EqualTo(notes));
    }

    [Test]
    public void ReadHeader_OfACellThatIsNotRectangular_SaysSo()
    {
        byte[] bytes = File.ReadAllBytes(TemporaryFolder.Data("cases/tables/02-dotted-tomogram-names/data/TS_1.5.mrc"));
        BitConverter.GetBytes(120f).CopyTo(bytes, 60);
        Assert.That(
            MrcFile.ReadHeader(folder.Write("hexagonal.mrc", bytes)).Notes.Single(),
            Does.Contain("90, 90 and 120°").And.Contain("perpendicular"));
    }

    [Test]
    public void Read_AxesInAnotherOrderPackedByBzip2_ArePutInOrder()
    {
        using Volume volume = MrcFile.Read(TemporaryFolder.Data("mrcfile/EMD-3001.map.bz2"));
        MrcHeader header = MrcFile.ReadHeader(TemporaryFolder.Data("mrcfile/EMD-3001.map.bz2"));
        Assert.Multiple(() =>
        {
            Assert.That(header.Axes, Is.EqualTo((3, 1, 2)));
            Assert.That(header.ExtendedHeaderBytes, Is.EqualTo(160));
            Assert.That(volume.Size, Is.EqualTo(new Extent(73, 25, 43)));
            Assert.That(volume.VoxelSize.X, Is.EqualTo(17.93 / 40).Within(1e-6));
            Assert.That(volume.VoxelSize.Z, Is.EqualTo(33.03 / 72).Within(1e-6));
            Assert.That(volume.VoxelSize.IsCube, Is.False);
        });
        AssertStatistics(volume, header);
    }

    [TestCase("mrcfile/EMD-3197.map", 20, 20, 20, 11.4)]
    [TestCase("mrcfile/emd_3197.map.gz", 20, 20, 20, 11.4)]
    [TestCase("portal/TS_run1.rec", 10, 8, 6, 13.48)]
    [TestCase("portal/run1.rec", 4, 4, 4, 14.08)]
    [TestCase("portal/semantic_mask.mrc", 4, 4, 4, 0)]
    [TestCase("portal/signed_ints.mrc", 4, 4, 4, 14.08)]
    public void Read_FileOfAnotherProgram_HasItsSizeAndStatistics(string name, int depth, int height, int width, double voxelSize)
    {
        using Volume volume = MrcFile.Read(TemporaryFolder.Data(name));
        Assert.Multiple(() =>
        {
            Assert.That(volume.Size, Is.EqualTo(new Extent(depth, height, width)));
            Assert.That(volume.VoxelSizeAngstrom, Is.EqualTo(voxelSize).Within(1e-6));
        });
        AssertStatistics(volume, MrcFile.ReadHeader(TemporaryFolder.Data(name)));
    }

    // The headers of these two describe another image than the one stored; the numbers were computed by a
    // Python script.
    [TestCase("mrcfile/float16.mrc", 1, 64, 3.5953123, -4.33984375, 3.8203125, 0.041134231723845)]
    [TestCase("MRCFile.jl/emd_3197_proj.mrcs", 10, 20, 11.4, -60.21748733520508, 97.41138458251953, 18.92471495921281)]
    public void Read_FileWithAWrongHeaderSummary_HasItsVoxels(
        string name, int depth, int edge, double voxelSize, double minimum, double maximum, double mean)
    {
        using Volume volume = MrcFile.Read(TemporaryFolder.Data(name));
        float[] values = volume.AsSpan().ToArray();
        Assert.Multiple(() =>
        {
            Assert.That(volume.Size, Is.EqualTo(new Extent(depth, edge, edge)));
            Assert.That(volume.VoxelSizeAngstrom, Is.EqualTo(voxelSize).Within(1e-6));
            Assert.That(values.Min(), Is.EqualTo(minimum));
            Assert.That(values.Max(), Is.EqualTo(maximum));
            // Sums of 4096 doubles in the same order differ by rounding of the last place at most.
            Assert.That(values.Select(v => (double)v).Average(), Is.EqualTo(mean).Within(1e-12));
        });
    }

    [Test]
    public void Read_PackedAndPlain_AreTheSame()
    {
        using Volume plain = MrcFile.Read(TemporaryFolder.Data("mrcfile/EMD-3197.map"));
        using Volume packed = MrcFile.Read(TemporaryFolder.Data("mrcfile/emd_3197.map.gz"));
        Assert.That(packed.AsSpan().ToArray(), Is.EqualTo(plain.AsSpan().ToArray()));
    }

    [Test]
    public void Read_BytesWithMaximumAbove127_AreUnsigned()
    {
        // The two files differ in the header only: maximum 127 against 255.
        using Volume signed = MrcFile.Read(TemporaryFolder.Data("portal/signed_ints.mrc"));
        using Volume unsigned = MrcFile.Read(TemporaryFolder.Data("portal/unsigned_ints.mrc"));
        Assert.Multiple(() =>
        {
            Assert.That(signed[0, 0, 0], Is.EqualTo(-128));
            Assert.That(unsigned[0, 0, 0], Is.EqualTo(128));
            Assert.That(signed[0, 2, 0], Is.EqualTo(-1));
            Assert.That(unsigned[0, 2, 0], Is.EqualTo(255));
            Assert.That(
                MrcFile.ReadHeader(TemporaryFolder.Data("portal/unsigned_ints.mrc")).Notes.Single(), Does.Contain("unsigned"));
        });
    }

    [TestCase(0, 200)]
    [TestCase(1, -56)]
    public void Read_ImodFlag_SaysWhetherBytesAreSigned(int flags, float expected)
    {
        byte[] file = Header(1, 1, 1, mode: 0, data: [200]);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(152), 1146047817);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(156), flags);
        using Volume volume = MrcFile.Read(folder.Write("imod.mrc", file));
        Assert.That(volume[0, 0, 0], Is.EqualTo(expected));
    }

    [Test]
    public void Read_ImageStack_SaysSo()
    {
        MrcHeader header = MrcFile.ReadHeader(TemporaryFolder.Data("MRCFile.jl/emd_3197_proj.mrcs"));
        Assert.Multiple(() =>
        {
            Assert.That(header.IsImageStack);
            Assert.That(header.VoxelSize.Z, Is.Zero);
            Assert.That(header.Notes.Single(), Does.Contain("image"));
        });
    }

    [Test]
    public void Read_EveryModeAndByteOrder_GivesTheValues(
        [Values(0, 1, 2, 6, 12)] int mode,
        [Values] bool big,
        [Values(1, 4, 7)] int width)
    {
        float[] values = [.. Enumerable.Range(0, 2 * 3 * width).Select(i => (float)(i % 100))];
        using Volume volume = MrcFile.Read(folder.Write("v.mrc", Header(width, 3, 2, mode, Encode(values, mode, big), big)));
        Assert.That(volume.AsSpan().ToArray(), Is.EqualTo(values));
    }

    [Test]
    public void Read_PackedNibbles_LowHalfFirst()
    {
        // Rows of 3 voxels take 2 bytes.
        using Volume volume = MrcFile.Read(folder.Write("v.mrc", Header(3, 2, 1, 101, [0x21, 0x03, 0x54, 0x0f])));
        Assert.That(volume.AsSpan().ToArray(), Is.EqualTo(new float[] { 1, 2, 3, 4, 5, 15 }));
    }

    [TestCase(0x44, 0x44)]
    [TestCase(0x44, 0x41)]
    [TestCase(0x44, 0x20)]
    [TestCase(0x11, 0x11)]
    [TestCase(0, 0)]
    public void Read_OddMachineStamp_SizesDecide(byte first, byte second)
    {
        foreach (bool big in new[] { false, true })
        {
            byte[] file = Header(3, 2, 1, 2, Encode([1, 2, 3, 4, 5, 6], 2, big), big);
            (file[212], file[213]) = (first, second);
            using Volume volume = MrcFile.Read(folder.Write("v.mrc", file));
            Assert.That(volume[0, 1, 2], Is.EqualTo(6), $"big endian: {big}");
        }
    }

    [TestCase(1, 2, 3)]
    [TestCase(1, 3, 2)]
    [TestCase(2, 1, 3)]
    [TestCase(2, 3, 1)]
    [TestCase(3, 1, 2)]
    [TestCase(3, 2, 1)]
    public void Read_AxisOrder_IsUndone(int column, int row, int section)
    {
        // Voxel (z, y, x) of a 4 × 3 × 2 volume holds 100 z + 10 y + x; the file stores it in another order.
        int[] size = [2, 3, 4];
        int[] n = [size[column - 1], size[row - 1], size[section - 1]];
        List<float> values = [];
        int[] position = new int[3];
        for (int s = 0; s < n[2]; s++)
        {
            for (int r = 0; r < n[1]; r++)
            {
                for (int c = 0; c < n[0]; c++)
                {
                    (position[column - 1], position[row - 1], position[section - 1]) = (c, r, s);
                    values.Add((100 * position[2]) + (10 * position[1]) + position[0]);
                }
            }
        }

        byte[] file = Header(n[0], n[1], n[2], 2, Encode([.. values], 2, big: false));
        (file[64], file[68], file[72]) = ((byte)column, (byte)row, (byte)section);
        using Volume volume = MrcFile.Read(folder.Write("v.mrc", file));
        Assert.That(volume.Size, Is.EqualTo(new Extent(4, 3, 2)));
        for (int z = 0; z < 4; z++)
        {
            for (int y = 0; y < 3; y++)
            {
                for (int x = 0; x < 2; x++)
                    Assert.That(volume[z, y, x], Is.EqualTo((100 * z) + (10 * y) + x));
            }
        }
    }

    [Test]
    public void Read_ExtendedHeader_IsSkipped()
    {
        byte[] plain = Header(2, 1, 1, 2, []);
        BinaryPrimitives.WriteInt32LittleEndian(plain.AsSpan(92), 13);
        using Volume volume = MrcFile.Read(folder.Write("v.mrc", [.. plain, .. new byte[13], .. Encode([7, 8], 2, false)]));
        Assert.That(volume.AsSpan().ToArray(), Is.EqualTo(new float[] { 7, 8 }));
    }

    [Test]
    public void Read_BytesAfterTheVoxels_AreNoted()
    {
        string path = folder.Write("v.mrc", [.. Header(2, 1, 1, 2, Encode([7, 8], 2, false)), 1, 2, 3]);
        using Volume volume = MrcFile.Read(path);
        Assert.That(MrcFile.ReadHeader(path).Notes.Single(), Does.Contain("3 bytes"));
    }

    [Test]
    public void Read_SeveralPackedStreams_AreOneFile()
    {
        byte[] file = Header(2, 1, 1, 2, Encode([7, 8], 2, false));
        using MemoryStream packed = new();
        foreach (byte[] part in new[] { file[..1000], file[1000..] })
        {
            using ICSharpCode.SharpZipLib.BZip2.BZip2OutputStream bzip2 = new(packed) { IsStreamOwner = false };
            bzip2.Write(part);
        }

        using Volume volume = MrcFile.Read(folder.Write("v.mrc.bz2", packed.ToArray()));
        Assert.That(volume.AsSpan().ToArray(), Is.EqualTo(new float[] { 7, 8 }));
    }

    [TestCase(3)]
    [TestCase(4)]
    public void Read_ComplexMode_IsRefused(int mode)
        => AssertRefused(Header(2, 2, 2, mode, new byte[64]), "complex");

    [Test]
    public void Read_BadFiles_AreRefusedWithOneLine()
    {
        byte[] good = Header(4, 4, 4, 2, new byte[256]);
        byte[] Changed(int offset, int value)
        {
            byte[] copy = [.. good];
            BinaryPrimitives.WriteInt32LittleEndian(copy.AsSpan(offset), value);
            return copy;
        }

        Assert.Multiple(() =>
        {
            AssertRefused([], "empty");
            AssertRefused(good[..100], "100 bytes");
            AssertRefused(good[..^1], "truncated");
            AssertRefused(good[..1024], "truncated");
            AssertRefused(Changed(92, 1 << 20), "extended header");
            AssertRefused(Changed(92, -5), "extended header");
            AssertRefused(Changed(0, 0), "0 × 4 × 4");
            AssertRefused(Changed(0, -4), "-4 × 4 × 4");
            AssertRefused(Changed(4, int.MaxValue), "2147483647");
            AssertRefused(Changed(8, 1 << 20), "truncated");
            AssertRefused(Changed(12, 9), "mode 9");
            AssertRefused(Changed(64, 2), "axis order");
            AssertRefused(new byte[2000], "not an MRC file");
            AssertRefused([.. Enumerable.Repeat((byte)'x', 5000)], "not an MRC file");
            AssertRefused(Changed(88, 401)[..], "does not divide", intervalsZ: 3);
            AssertRefused(Changed(88, 401)[..], "2 volumes", intervalsZ: 2);
        });
    }

    [Test]
    public void Read_DamagedPackedFiles_AreRefusedWithOneLine()
    {
        byte[] gz = File.ReadAllBytes(TemporaryFolder.Data("mrcfile/emd_3197.map.gz"));
        byte[] bz2 = File.ReadAllBytes(TemporaryFolder.Data("mrcfile/EMD-3001.map.bz2"));
        AssertRefused(gz[..(gz.Length / 2)], "damaged|truncated");
        AssertRefused(bz2[..(bz2.Length / 2)], "damaged|truncated");
        bz2[5000] ^= 255;
        AssertRefused(bz2, "damaged|not an MRC");

        // A small file whose header promises 4 TiB must be refused before memory is taken.
        using MemoryStream packed = new();
        using (GZipStream gzip = new(packed, CompressionMode.Compress, leaveOpen: true))
            gzip.Write(Header(1 << 14, 1 << 14, 1 << 12, 2, []));
        AssertRefused(packed.ToArray(), "cannot hold");
    }

    [Test]
    public void Read_MissingFileOrFolder_IsRefused()
    {
        TemporaryFolder.Refused(() => MrcFile.Read(folder["missing.mrc"]), "missing.mrc");
        TemporaryFolder.Refused(() => MrcFile.Read(folder["no/such.mrc"]), "such.mrc");
        Assert.Throws<InputException>(() => MrcFile.Read(folder["."]));
        Assert.Throws<InputException>(() => MrcFile.Read(""));
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void Read_NonFiniteVoxels_AreCountedAndLocated(float bad)
    {
        float[] values = new float[24];
        (values[5], values[23]) = (bad, float.NaN);
        string path = folder.Write("v.mrc", Header(4, 3, 2, 2, Encode(values, 2, false)));
        Assert.That(TemporaryFolder.Refused(() => MrcFile.Read(path), path), Does.Contain("2 of 24").And.Contain("(0, 1, 1)"));
        using Volume volume = MrcFile.Read(path, allowNonFinite: true);
        Assert.That(MrcFile.CountNonFinite(volume), Is.EqualTo((2L, (0, 1, 1))));
    }

    [Test]
    public void Write_ThenRead_GivesTheSame(
        [Values(MrcMode.Int8, MrcMode.Int16, MrcMode.Float32, MrcMode.UInt16, MrcMode.Float16)] MrcMode mode,
        [Values("v.mrc", "v.mrc.gz", "v.mrc.bz2")] string name)
    {
        using Volume volume = new(3, 5, 7, new VoxelSize(10, 11, 12));
        for (int i = 0; i < volume.Length; i++)
            volume.AsSpan()[i] = i;
        MrcFile.Write(folder[name], volume, new MrcWriteOptions { Mode = mode });
        using Volume read = MrcFile.Read(folder[name]);
        Assert.Multiple(() =>
        {
            Assert.That(read.AsSpan().ToArray(), Is.EqualTo(volume.AsSpan().ToArray()));
            // Cells are stored as float32.
            Assert.That(read.VoxelSize.Z, Is.EqualTo(10).Within(1e-6));
            Assert.That(read.VoxelSize.X, Is.EqualTo(12).Within(1e-6));
            Assert.That(MrcFile.ReadHeader(folder[name]).Notes, Is.Empty);
        });
    }

    [Test]
    public void Write_Header_HasWhatOtherProgramsCheck()
    {
        using Volume volume = new(2, 1, 2, new VoxelSize(10));
        new float[] { 1, 2, 3, 6 }.CopyTo(volume.AsSpan());
        MrcFile.Write(folder["v.mrc"], volume, new MrcWriteOptions { Label = "MeanShiftGpu score map" });
        byte[] bytes = File.ReadAllBytes(folder["v.mrc"]);
        int Int(int offset) => BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(offset));
        float Real(int offset) => BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(offset));
        Assert.Multiple(() =>
        {
            Assert.That(bytes, Has.Length.EqualTo(1024 + 16));
            Assert.That(new[] { Int(0), Int(4), Int(8), Int(12) }, Is.EqualTo(new[] { 2, 1, 2, 2 }));
            Assert.That(new[] { Int(28), Int(32), Int(36) }, Is.EqualTo(new[] { 2, 1, 2 }));
            Assert.That(new[] { Real(40), Real(44), Real(48), Real(52) }, Is.EqualTo(new float[] { 20, 10, 20, 90 }));
            Assert.That(new[] { Int(64), Int(68), Int(72) }, Is.EqualTo(new[] { 1, 2, 3 }));
            // The deviation of 1, 2, 3, 6 from their mean 3 is √3.5.
            Assert.That(new[] { Real(76), Real(80), Real(84), Real(216) }, Is.EqualTo(new[] { 1, 6, 3, MathF.Sqrt(3.5f) }));
            Assert.That(new[] { Int(88), Int(92), Int(108), Int(220) }, Is.EqualTo(new[] { 1, 0, 20141, 1 }));
            Assert.That(bytes[208..216], Is.EqualTo("MAP DD\0\0"u8.ToArray()));
            Assert.That(MrcFile.ReadHeader(folder["v.mrc"]).Labels, Is.EqualTo(new[] { "MeanShiftGpu score map" }));
        });
    }

    [Test]
    public void Write_ValuesThatDoNotFit_AreRefusedAndNothingIsLeft()
    {
        using Volume volume = new(1, 1, 2);
        volume[0, 0, 1] = 300;
        Assert.That(
            TemporaryFolder
                .Refused(() => MrcFile.Write(folder["v.mrc"], volume, new MrcWriteOptions { Mode = MrcMode.Int8 }), "v.mrc"),
                Does.Contain("(0, 0, 1)"));
        volume[0, 0, 0] = float.NaN;
        TemporaryFolder.Refused(() => MrcFile.Write(folder["v.mrc"], volume), "v.mrc");
        TemporaryFolder.Refused(
            () => MrcFile.Write(folder["v.mrc"], volume, new MrcWriteOptions { Mode = MrcMode.Packed4Bit }), "v.mrc");
        Assert.That(folder.Files(), Is.Empty);
    }

    /// <summary>A file with a plain header: voxels of 10 Å, axes in order.</summary>
    internal static byte[] Header(int columns, int rows, int sections, int mode, byte[] data, bool big = false)
    {
        byte[] file = new byte[1024 + data.Length];
        void Int(int offset, int value)
        {
            if (big)
                BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(offset), value);
            else
                BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(offset), value);
        }

        int[] size = [columns, rows, sections];
        for (int axis = 0; axis < 3; axis++)
        {
            Int(4 * axis, size[axis]);
            Int(28 + (4 * axis), size[axis]);
            Int(40 + (4 * axis), BitConverter.SingleToInt32Bits(10f * size[axis]));
            Int(64 + (4 * axis), axis + 1);
        }

        Int(12, mode);
        Int(88, 1);
        "MAP "u8.CopyTo(file.AsSpan(208));
        file[212] = file[213] = big ? (byte)0x11 : (byte)0x44;
        data.CopyTo(file, 1024);
        return file;
    }

    private static byte[] Encode(float[] values, int mode, bool big)
    {
        IEnumerable<byte> Bytes(float value)
        {
            byte[] little = mode switch
            {
                0 => [(byte)(sbyte)value],
                1 => BitConverter.GetBytes((short)value),
                6 => BitConverter.GetBytes((ushort)value),
                12 => BitConverter.GetBytes((Half)value),
                _ => BitConverter.GetBytes(value),
            };
            return big ? little.Reverse() : little;
        }

        return [.. values.SelectMany(Bytes)];
    }

    private static void AssertStatistics(Volume volume, MrcHeader header)
    {
        float[] values = volume.AsSpan().ToArray();
        Assert.Multiple(() =>
        {
            // The header's numbers are float32, computed by another program in its own order of summation.
            Assert.That(values.Min(), Is.EqualTo(header.Minimum).Within(1e-5));
            Assert.That(values.Max(), Is.EqualTo(header.Maximum).Within(1e-5));
        });
    }

    private void AssertRefused(byte[] bytes, string pattern, int intervalsZ = 4)
    {
        if (bytes.Length >= 1024)
            bytes[36] = (byte)(intervalsZ == 4 ? bytes[36] : intervalsZ);
        string path = folder.Write("bad.mrc", bytes);
        Assert.That(TemporaryFolder.Refused(() => MrcFile.Read(path), path), Does.Match(pattern));
    }
}
