using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

/// <summary>
/// A tomogram's name is no file's path: only known endings are taken off, and a name that is spelled exactly
/// so comes first.
/// </summary>
public class TomogramNameTests
{
    [TestCase("TS_1", "TS_1.tomostar")]
    [TestCase("TS_1", "folder/TS_1.mrc.gz")]
    [TestCase("TS_01", "rec_TS_01.mrc")]
    [TestCase("TS_01", "TS_01_10.00Apx.mrc")]
    [TestCase("A_ts_005", "A_ts_005.mrc.tomostar")]
    public void Names_OfOneTomogram_AreEqual(string one, string other)
    {
        Assert.That(new TomogramName(one), Is.EqualTo(new TomogramName(other)));
        Assert.That(new TomogramName(one).GetHashCode(), Is.EqualTo(new TomogramName(other).GetHashCode()));
    }

    [TestCase("TS_1.5", "TS_1.6")]
    [TestCase("2024.01.12_TS_01", "2024.01.12_TS_02")]
    [TestCase("2024.01.12_TS_01", "2024.01.13_TS_01")]
    [TestCase("TS_1", "ts_1")]
    [TestCase("TS_1", "T\u0405_1")]
    [TestCase("TS_1", "TS_1.")]
    public void Names_OfTwoTomograms_Differ(string one, string other)
        => Assert.That(new TomogramName(one), Is.Not.EqualTo(new TomogramName(other)));

    [Test]
    public void Among_NameSpelledSo_IsTakenAlone()
    {
        string[] names = ["TS_1", "TS_1.tomostar", "TS_2"];
        Assert.That(names.Where(TomogramName.Among(names, "TS_1", "a.star")), Is.EqualTo(new[] { "TS_1" }));
        Assert.That(names.Where(TomogramName.Among(names, "TS_2.mrc", "a.star")), Is.EqualTo(new[] { "TS_2" }));
        Assert.That(names.Where(TomogramName.Among(names, "TS_3", "a.star")), Is.Empty);
    }

    // Five names with dots: each finds its own particle, and Warp's table has five names.
    [Test]
    public void Convert_NamesWithDots_KeepTheirParticles()
    {
        using TemporaryFolder folder = new();
        string input = folder["dots.star"];
        (string Name, int X)[] rows =
            [("2024.01.12_TS_01", 10), ("2024.01.12_TS_02", 11), ("2024.01.13_TS_01", 12), ("TS_1.5", 1), ("TS_1.6", 2)];
        File.WriteAllText(
            input,
            "data_particles\n\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
            + string.Concat(rows.Select(r => $"{r.Name} {r.X} {r.X} {r.X}\n")));
        foreach ((string name, int x) in rows)
            Assert.That(
                CoordinateTables.Read(input, new CoordinateContext { Tomogram = name }).Select(p => p.X),
                Is.EqualTo(new double[] { x }),
                name);

        string warp = folder["warp.star"];
        CoordinateConversion.Convert(input, warp, new ConversionOptions { To = CoordinateFormat.Warp });
        string text = File.ReadAllText(warp);
        foreach ((string name, _) in rows)
            Assert.That(text, Does.Contain($"{name}.tomostar"));
    }
}
