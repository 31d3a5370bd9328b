using System.Buffers.Binary;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Volumes;

/// <summary>Reading and writing in boxes, without holding the volume.</summary>
public class LargeVolumeTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    // Every axis order, mode and packing that other programs wrote.
    [TestCase("mrcfile/EMD-3001.map.bz2")]
    [TestCase("mrcfile/EMD-3197.map")]
    [TestCase("mrcfile/emd_3197.map.gz")]
    [TestCase("mrcfile/float16.mrc")]
    [TestCase("portal/TS_run1.rec")]
    [TestCase("portal/signed_ints.mrc")]
    public void Read_Boxes_AreThoseOfTheWholeVolume(string name)
    {
        using Volume whole = MrcFile.Read(TemporaryFolder.Data(name));
        using MrcReader reader = MrcReader.Open(TemporaryFolder.Data(name));
        Assert.That(reader.Size, Is.EqualTo(whole.Size));
        Assert.That(reader.VoxelSize, Is.EqualTo(whole.VoxelSize));
        AssertBoxes(reader, whole);
    }

    [Test]
    public void Read_EveryModeAxisOrderAndByteOrder_Boxes(
        [Values(0, 1, 2, 6, 12, 101)] int mode,
        [Values("123", "132", "213", "231", "312", "321")] string axes,
        [Values] bool big)
    {
        byte[] header = new byte[1024];
        void Int(int offset, int value)
        {
            if (big)
                BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(offset), value);
            else
                BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(offset), value);
        }

        (int columns, int rows, int sections) = (7, 5, 4);
        int[] sizes = [columns, rows, sections];
        for (int i = 0; i < 3; i++)
        {
            Int(4 * i, sizes[i]);
            Int(64 + 4 * i, axes[i] - '0');
        }

        Int(12, mode);
        "MAP "u8.CopyTo(header.AsSpan(208));
        header[212] = header[213] = (byte)(big ? 0x11 : 0x44);
        int rowBytes = mode switch { 0 => columns, 101 => (columns + 1) / 2, 2 => 4 * columns, _ => 2 * columns };
        byte[] data = new byte[rowBytes * rows * sections];
        new Random(mode).NextBytes(data);
        // Random bytes as real numbers would be NaN now and then.
        if (mode is 2 or 12)
            data = [.. data.Select(b => (byte)(b & 0x3b))];
        string path = folder.Write("v.mrc", [.. header, .. data]);
        using Volume whole = MrcFile.Read(path);
        using MrcReader reader = MrcReader.Open(path);
        AssertBoxes(reader, whole);
    }

    [Test]
    public void Read_BeyondTwoGigabytes_FindsTheVoxels()
    {
        // A file with a hole: 2.4·10⁹ voxels that take no room on the disk.
        Extent size = new(1200, 1000, 2000);
        string path = folder["sparse.mrc"];
        byte[] header = MrcFile.CreateHeader(
            new Extent(1200, 1000, 2000), new VoxelSize(10), new MrcWriteOptions { Mode = MrcMode.Int8 }, (0, 9, 0, 0));
        using (FileStream file = new(path, FileMode.CreateNew))
        {
            file.Write(header);
            file.SetLength(1024 + size.Voxels);
            file.Position = 1024 + (1199L * 1000 + 999) * 2000 + 1998;
            file.Write([7, 9]);
        }

        using MrcReader reader = MrcReader.Open(path);
        float[] values = new float[8];
        reader.Read(new Box((1198, 998, 1998), new Extent(2, 2, 2)), values);
        Assert.That(values, Is.EqualTo(new float[] { 0, 0, 0, 0, 0, 0, 7, 9 }));
        Assert.That(
            () => reader.Read(new Box((1199, 0, 0), new Extent(2, 1, 1)), values), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Write_BeyondTwoGigabytes_CanBeReadBack()
    {
        // Never completed: completing would flush it all to the disk.
        using MrcWriter writer = MrcWriter.Create(folder["large.mrc"], new Extent(700, 1000, 1000), default);
        writer.Write(new Box((699, 999, 997), new Extent(1, 1, 3)), [1, 2, 3]);
        float[] values = new float[6];
        writer.Read(new Box((698, 999, 997), new Extent(2, 1, 3)), values);
        Assert.That(values, Is.EqualTo(new float[] { 0, 0, 0, 1, 2, 3 }));
    }

    [TestCase("map.mrc")]
    [TestCase("map.mrc.gz")]
    [TestCase("map.mrc.bz2")]
    public void Write_InBoxes_IsTheFileOfTheWholeVolume(string name)
    {
        using Volume volume = new(9, 10, 11, new VoxelSize(13.5));
        Random random = new(1);
        for (int z = 0; z < 5; z++)
        {
            foreach (ref float value in volume.Slice(z))
                value = random.NextSingle() - 0.5f;
        }

        using (MrcWriter writer = MrcWriter.Create(folder[name], volume.Size, volume.VoxelSize))
        {
            // The upper slices are never written and stay 0.
            foreach (
                Box box in (
                    Box[])[new((0, 0, 0), new Extent(5, 4, 11)), new((0, 4, 6), new Extent(5, 6, 5)), new(
                        (0, 4, 0), new Extent(5, 6, 6))])
            {
                float[] values = new float[box.Size.Voxels];
                volume.Read(box, values);
                writer.Write(box, values);
            }

            Assert.That(folder[name], Does.Not.Exist, "it has no name before it is complete");
            writer.Complete();
        }

        Assert.That(folder.Files(), Is.EqualTo(new[] { name }));
        using Volume read = MrcFile.Read(folder[name]);
        Assert.That(read.AsSpan().ToArray(), Is.EqualTo(volume.AsSpan().ToArray()));
        MrcFile.Write(folder["whole.mrc"], volume);
        MrcHeader expected = MrcFile.ReadHeader(folder["whole.mrc"]);
        MrcHeader header = MrcFile.ReadHeader(folder[name]);
        Assert.That(
            (header.Shape, header.VoxelSize, header.Minimum, header.Maximum),
            Is.EqualTo((expected.Shape, expected.VoxelSize, expected.Minimum, expected.Maximum)));
    }

    [Test]
    public void Write_NotCompleted_LeavesNothing()
    {
        using (MrcWriter writer = MrcWriter.Create(folder["map.mrc"], new Extent(3, 3, 3), default))
            writer.Write(Box.Whole(writer.Size), new float[27]);
        Assert.That(folder.Files(), Is.Empty);
    }

    [Test]
    public void Open_TruncatedPacked_IsRefusedAndLeavesNothing()
    {
        byte[] packed = File.ReadAllBytes(TemporaryFolder.Data("mrcfile/emd_3197.map.gz"));
        string path = folder.Write("cut.map.gz", packed[..(packed.Length / 2)]);
        TemporaryFolder.Refused(() => MrcReader.Open(path).Dispose(), path);
    }

    [Test]
    public void Statistics_HoweverTheVoxelsCome_HaveTheSameBits()
    {
        Random random = new(3);
        float[] values = [.. Enumerable.Range(0, 30_000).Select(_ => (float)(1e4 + random.NextDouble()))];
        VoxelStatistics whole = new();
        whole.Add(values);
        VoxelStatistics pieces = new();
        for (int i = 0; i < values.Length;)
        {
            int count = Math.Min(values.Length - i, random.Next(1, 9000));
            pieces.Add(values.AsSpan(i, count));
            i += count;
        }

        double mean = values.Average(v => (double)v);
        double deviation = Math.Sqrt(values.Average(v => (v - mean) * (v - mean)));
        using (Assert.EnterMultipleScope())
        {
            Assert.That((pieces.Mean, pieces.Deviation), Is.EqualTo((whole.Mean, whole.Deviation)));
            // Two exact means of 30 000 doubles near 10⁴; differences seen: 2e-16 and 3e-14 relative.
            Assert.That(whole.Mean, Is.EqualTo(mean).Within(1e-11));
            Assert.That(whole.Deviation, Is.EqualTo(deviation).Within(1e-11));
            Assert.That((whole.Minimum, whole.Maximum), Is.EqualTo((values.Min(), values.Max())));
        }

        float[] normalized = [.. values];
        whole.Normalize(normalized);
        Assert.That(normalized.Average(v => (double)v), Is.Zero.Within(1e-6));
        Assert.That(normalized.Average(v => (double)v * v), Is.EqualTo(1).Within(1e-5));
    }

    [Test]
    public void Statistics_ZerosAtTheEnd_CountAsVoxels()
    {
        VoxelStatistics some = new();
        some.Add([2, 4]);
        some.AddZeros(2);
        Assert.That((some.Count, some.Mean, some.Minimum, some.Maximum), Is.EqualTo((4, 1.5, 0f, 4f)));
        Assert.That(some.Deviation, Is.EqualTo(Math.Sqrt((0.25 + 6.25 + 2.25 + 2.25) / 4)).Within(1e-12));
        Assert.That((new VoxelStatistics().Mean, new VoxelStatistics().Deviation), Is.EqualTo((0d, 0d)));
    }

    [Test]
    public void Statistics_NonFiniteVoxels_AreRefusedWithTheirPlace()
    {
        using Volume volume = new(4, 5, 6);
        volume[2, 3, 1] = float.NaN;
        volume[3, 0, 0] = float.NegativeInfinity;
        InputException e = Assert.Throws<InputException>(() => VoxelStatistics.Measure(volume, "a.mrc"))!;
        Assert.That(e.Message, Does.Contain("a.mrc: 2 of 120 voxels are NaN").And.Contain("(2, 3, 1)"));
    }

    private static void AssertBoxes(MrcReader reader, Volume whole)
    {
        Random random = new(2);
        for (int i = 0; i < 12; i++)
        {
            Box box = i == 0 ? Box.Whole(whole.Size) : Draw(random, whole.Size);
            float[] expected = new float[box.Size.Voxels];
            float[] values = new float[box.Size.Voxels];
            whole.Read(box, expected);
            reader.Read(box, values);
            Assert.That(values, Is.EqualTo(expected), $"{box}");
        }
    }

    private static Box Draw(Random random, Extent size)
    {
        (int z, int depth) = Along(size.Depth);
        (int y, int height) = Along(size.Height);
        (int x, int width) = Along(size.Width);
        return new Box((z, y, x), new Extent(depth, height, width));

        (int Start, int Count) Along(int extent)
        {
            int start = random.Next(extent);
            return (start, random.Next(1, extent - start + 1));
        }
    }
}
