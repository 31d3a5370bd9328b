using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Viewing;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Viewing;

public sealed class VolumeSlicesTests : IDisposable
{
    private static readonly Extent Size = new(13, 17, 23);
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [TestCase(0)]
    [TestCase(2)]
    public void TryRead_EachPlane_IsTheMeanOfTheSlices(int reach)
    {
        using Volume volume = Ramp();
        MrcFile.Write(folder["v.mrc"], volume);
        using VolumeSlices slices = VolumeSlices.Open(folder["v.mrc"], 1 << 20);
        Fill(slices);
        Assert.That(slices.Cache.Bin, Is.EqualTo(1));
        GreyRange range = slices.RangeOf(reach);
        // The cache holds bytes of its own range, so that a slice from it is right to a step of that range
        // and its own rounding.
        GreyRange cached = slices.RangeOf(0);
        double step = 255 * ((cached.High - cached.Low) / 255 / 2 / (range.High - range.Low)) + 1;
        foreach ((SlicePlane plane, int at) in ((SlicePlane, int)[])[(SlicePlane.XY, 6), (SlicePlane.XZ, 8),
            (SlicePlane.ZY, 11), (SlicePlane.XY, 0), (SlicePlane.XZ, 16), (SlicePlane.ZY, 22)])
        {
            (int height, int width) = slices.ShapeOf(plane);
            byte[] bytes = new byte[height * width];
            Assert.That(slices.TryRead(plane, at, reach, bytes), Is.True);
            for (int row = 0; row < height; row++)
            {
                for (int column = 0; column < width; column++)
                {
                    float mean = Mean(volume, plane, at, reach, row, column);
                    // A value that the cache has cut off says no more than that it is beyond.
                    if (mean > cached.Low && mean < cached.High)
                        Assert.That((double)bytes[row * width + column],
                            Is.EqualTo((double)range.Of(mean)).Within(plane == SlicePlane.XY ? 1 : step),
                            $"{plane} {at}: {row}, {column}");
                }
            }
        }
    }

    [Test]
    public void Cache_ThatIsTooLarge_HoldsMeansOfCubes()
    {
        using Volume volume = Ramp();
        MrcFile.Write(folder["v.mrc"], volume);
        using VolumeSlices slices = VolumeSlices.Open(folder["v.mrc"], Size.Voxels / 8);
        Fill(slices);
        Assert.That(slices.Cache.Bin, Is.EqualTo(3));
        Assert.That(slices.Cache.Size, Is.EqualTo(new Extent(5, 6, 8)));
        (int height, int width) = slices.ShapeOf(SlicePlane.XZ);
        byte[] bytes = new byte[height * width];
        Assert.That(slices.TryRead(SlicePlane.XZ, 4, 0, bytes), Is.True);
        double sum = 0;
        for (int i = 0; i < 27; i++)
            sum += volume[3 + i / 9, 3 + i / 3 % 3, 6 + i % 3];
        Assert.That(bytes[width + 2], Is.EqualTo(slices.RangeOf(0).Of((float)(sum / 27))).Within(1));
    }

    [Test]
    public void ReadThumbnail_AtTheBorder_IsBlackOutside()
    {
        using Volume volume = Ramp();
        MrcFile.Write(folder["v.mrc"], volume);
        using VolumeSlices slices = VolumeSlices.Open(folder["v.mrc"], 0);
        byte[] bytes = new byte[64];
        Array.Fill(bytes, (byte)9);
        slices.ReadThumbnail(new Position(6, 0, 22), 8, 0, bytes);
        GreyRange range = slices.RangeOf(0);
        for (int i = 0; i < bytes.Length; i++)
        {
            (int y, int x) = (i / 8 - 4, 22 + i % 8 - 4);
            Assert.That(bytes[i], Is.EqualTo(y >= 0 && x < Size.Width ? range.Of(volume[6, y, x]) : 0), $"{y}, {x}");
        }

        slices.ReadThumbnail(new Position(-500, 1e6, 3), 8, 2, bytes);
        Assert.That(bytes, Is.All.Zero);
    }

    [Test]
    public void SumInBall_OfOnes_IsTheNumberOfVoxels()
    {
        using Volume volume = new(9, 9, 9);
        for (int z = 0; z < 9; z++)
            volume.Slice(z).Fill(1);
        MrcFile.Write(folder["s.mrc"], volume);
        using VolumeSlices scores = VolumeSlices.OpenScoreMap(folder["s.mrc"], 0);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(scores.SumInBall(new Position(4, 4, 4), 1), Is.EqualTo(7), "the middle and six neighbours");
            Assert.That(scores.SumInBall(new Position(0, 0, 0), 1), Is.EqualTo(4));
            Assert.That(scores.RangeOf(0), Is.EqualTo(new GreyRange(0, 1)));
        }
    }

    [Test]
    public void GreyRange_OfOddValues_IsARange()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(GreyRange.Of([float.NaN, float.PositiveInfinity]), Is.EqualTo(new GreyRange(0, 1)));
            Assert.That(GreyRange.Of([3, 3, 3]).Of(3), Is.EqualTo(128).Within(1));
            Assert.That(GreyRange.Of([0, 0, 0]).Of(0), Is.EqualTo(128).Within(1));
            byte[] bytes = new byte[5];
            new GreyRange(0, 10).Encode([float.NaN, -1, 5, 11, float.PositiveInfinity], 1, bytes);
            Assert.That(bytes, Is.EqualTo(new byte[] { 0, 0, 128, 255, 255 }));
        }
    }

    private static void Fill(VolumeSlices slices)
    {
        slices.FillCache();
        Assert.That(() => slices.Cache.IsReady, Is.True.After(10_000, 10));
    }

    private static Volume Ramp()
    {
        Volume volume = new(Size.Depth, Size.Height, Size.Width, new VoxelSize(10));
        Random random = new(3);
        for (int z = 0; z < Size.Depth; z++)
        {
            Span<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
                slice[i] = z + (float)random.NextDouble() * 10;
        }

        return volume;
    }

    private static float Mean(Volume volume, SlicePlane plane, int at, int reach, int row, int column)
    {
        int length = plane switch { SlicePlane.XY => Size.Depth, SlicePlane.XZ => Size.Height, _ => Size.Width };
        int first = Math.Max(0, at - reach), last = Math.Min(length - 1, at + reach);
        float sum = 0;
        for (int i = first; i <= last; i++)
            sum += plane switch
            {
                SlicePlane.XY => volume[i, row, column],
                SlicePlane.XZ => volume[row, i, column],
                _ => volume[column, row, i],
            };
        return sum / (last - first + 1);
    }
}
