using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>Which particles of a table are kept.</summary>
public class ParticleFilterTests
{
    private static readonly Particle[] Particles =
    [
        new(1, 1, 1) { Score = 0.2, Class = 1, Tomogram = "TS_01" },
        new(1, 1, 3) { Score = 0.9, Class = 2, Tomogram = "TS_01" },
        new(4, 4, 4) { Score = 0.5, Name = "ribosome", Tomogram = "TS_01" },
        new(1, 1, 1) { Score = 0.1, Class = 1, Tomogram = "TS_02" },
    ];

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Apply_ScoreClassDistanceAndNumber_KeepWhatTheySay() => Assert.Multiple(() =>
    {
        Keeps(new ParticleFilter(), 0, 1, 2, 3);
        Keeps(new ParticleFilter { MinimumScore = 0.2 }, 0, 1, 2);
        Keeps(new ParticleFilter { Top = 1 }, 1, 3);
        Keeps(new ParticleFilter { Classes = ["1"] }, 0, 3);
        Keeps(new ParticleFilter { Classes = ["Ribosome", "2"] }, 1, 2);
        // Of the first two the second has the higher score; the last is in another tomogram.
        Keeps(new ParticleFilter { MinimumDistanceVoxels = 2.5 }, 1, 2, 3);
        Keeps(new ParticleFilter { MinimumDistanceVoxels = 2 }, 0, 1, 2, 3);
        Keeps(new ParticleFilter { MinimumDistanceVoxels = 2.5, Top = 2, Classes = ["1", "2"] }, 1, 3);
    });

    [Test]
    public void Apply_WithoutWhatItChoosesBy_IsRefused()
    {
        Particle[] without = [new(1, 2, 3)];
        TemporaryFolder.Refused(() => new ParticleFilter { Top = 1 }.Apply("a.csv", without, null), "a.csv");
        TemporaryFolder.Refused(() => new ParticleFilter { MinimumScore = 1 }.Apply("a.csv", without, null), "a.csv");
        Assert.That(TemporaryFolder.Refused(()
            => new ParticleFilter { Classes = ["9"] }.Apply("a.csv", Particles, null), "a.csv"), Does.Contain("class_1"));
    }

    [Test]
    public void Apply_Masks_OneOrAFolder()
    {
        string one = Mask("one.mrc", (1, 1, 1));
        Particle[] first = Particles[..3];
        Assert.That(new ParticleFilter { Inside = one }.Apply("a.csv", first, null), Is.EqualTo(first[..1]));
        TemporaryFolder.Refused(() => new ParticleFilter { Inside = one }.Apply("a.csv", Particles, null), "a.csv");
        Directory.CreateDirectory(folder["masks"]);
        string masks = folder["masks"];
        Mask("masks/TS_01_mask.mrc", (4, 4, 4));
        Assert.That(TemporaryFolder.Refused(()
            => new ParticleFilter { Inside = masks }.Apply("a.csv", Particles, null), masks), Does.Contain("TS_02"));
        Mask("masks/TS_02.mrc", (1, 1, 1));
        Keeps(new ParticleFilter { Inside = masks }, 2, 3);
        Assert.That(MaskFiles.Of(masks).Find("tomograms/rec_TS_01.mrc", ""), Does.EndWith("TS_01_mask.mrc"));
    }

    [Test]
    public void Apply_SeveralMasksOfATomogram_AreRefused()
    {
        Directory.CreateDirectory(folder["masks"]);
        Mask("masks/TS_01_mask.mrc", (4, 4, 4));
        Particle[] two = [new(4, 4, 4) { Tomogram = "s1/TS_01" }, new(4, 4, 4) { Tomogram = "s2/TS_01" }];
        ParticleFilter filter = new() { Inside = folder["masks"] };
        Assert.That(TemporaryFolder.Refused(() => filter.Apply("a.csv", two, null), "a.csv"),
            Does.Contain("s1/TS_01").And.Contain("s2/TS_01"));
        Mask("masks/TS_01.mrc", (1, 1, 1));
        Assert.That(TemporaryFolder.Refused(() => filter.Apply("a.csv", Particles[..3], null), "TS_01_mask.mrc"),
            Does.Contain("TS_01.mrc").And.Contain("one file of a tomogram"));
    }

    [Test]
    public void Convert_WithAFilter_WritesWhatIsKept()
    {
        CoordinateTables.Write(folder["a.csv"], Particles);
        ConversionResult result = CoordinateConversion.Convert(folder["a.csv"], folder["b.csv"],
            new ConversionOptions { Filter = new ParticleFilter { MinimumScore = 0.4 } });
        Assert.That((result.LeftOut, CoordinateTables.Read(folder["b.csv"]).Count), Is.EqualTo((2, 2)));
    }

    private static void Keeps(ParticleFilter filter, params int[] expected)
        => Assert.That(filter.Apply("a.csv", Particles, null), Is.EqualTo(expected.Select(i => Particles[i])), filter.ToString());

    private string Mask(string name, (int Z, int Y, int X) place)
    {
        using Volume mask = new(new Extent(6, 6, 6), new VoxelSize(10));
        mask[place.Z, place.Y, place.X] = 1;
        MrcFile.Write(folder[name], mask);
        return folder[name];
    }
}
