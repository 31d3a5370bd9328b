using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Files;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Files;

public class StarFileTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Read_TablesQuotesAndComments_AreTakenApart()
    {
        StarFile file = StarFile.Read(folder.Write("a.star", "# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks   "
            + "1 # a list\n_name 'two words'\n\ndata_\nloop_ \n_a #1\n_b #2\n\n\"x y\" it's\n'' 3@p/q.mrcs #none\n"));
        Assert.Multiple(() =>
        {
            Assert.That(file.Tables.Select(t => t.Name), Is.EqualTo(new[] { "general", "" }));
            Assert.That(file.Tables[0].Comments, Is.EqualTo(new[] { "version 50001" }));
            Assert.That(file.Tables[0].IsLoop, Is.False);
            Assert.That(file.Tables[0].Rows[0], Is.EqualTo(new[] { "1", "two words" }));
            Assert.That(file.Tables[1].Rows[0], Is.EqualTo(new[] { "x y", "it's" }));
            Assert.That(file.Tables[1].Rows[1], Is.EqualTo(new[] { "", "3@p/q.mrcs" }));
        });
    }

    [TestCase("portal/relion_3_star.star")]
    [TestCase("portal/relion_4_star.star")]
    [TestCase("relion4/empiar10064_first_rows.star")]
    [TestCase("cylindra/test_jobs/Tomograms/job_tomo/tomograms.star")]
    [TestCase("cylindra/test_jobs/Picks/job_picks/particles.star")]
    public void Write_ReadBefore_KeepsEverything(string name)
    {
        StarFile first = StarFile.Read(TemporaryFolder.Data(name));
        first.Write(folder["b.star"]);
        AssertSame(StarFile.Read(folder["b.star"]), first);
    }

    [Test]
    public void Write_AwkwardValues_AreQuoted()
    {
        StarFile file = new();
        StarTable table = new("t", ["a", "b"]);
        foreach (string value in new[] { "", "two words", "#x", "_x", "data_x", "loop_", "it's", "'q'", "\"q", "\"q r", "plain" })
            table.Rows.Add([value, "1"]);
        file.Tables.Add(table);
        file.Write(folder["a.star"]);
        AssertSame(StarFile.Read(folder["a.star"]), file);
    }

    [TestCase("data_optics\t# from # import")]
    [TestCase("data_optics # from\t# import")]
    public void Read_ABlockWithAComment_HasItsNameAlone(string line)
        => Assert.That(
            StarFile.Read(folder.Write("a.star", $"{line}\nloop_\n_a\n1\n")).Tables.Single().Name, Is.EqualTo("optics"));

    private static void AssertSame(StarFile actual, StarFile expected)
    {
        Assert.That(actual.Tables, Has.Count.EqualTo(expected.Tables.Count));
        for (int t = 0; t < actual.Tables.Count; t++)
        {
            Assert.Multiple(() =>
            {
                Assert.That(actual.Tables[t].Name, Is.EqualTo(expected.Tables[t].Name));
                Assert.That(actual.Tables[t].IsLoop, Is.EqualTo(expected.Tables[t].IsLoop));
                Assert.That(actual.Tables[t].Comments, Is.EqualTo(expected.Tables[t].Comments));
                Assert.That(actual.Tables[t].Columns, Is.EqualTo(expected.Tables[t].Columns));
                Assert.That(actual.Tables[t].Rows, Is.EqualTo(expected.Tables[t].Rows));
            });
        }
    }

    // A copy of the row for each pair took minutes here.
    [Test]
    public void Read_ManyPairs_KeepsThemInOrder()
    {
        using TemporaryFolder folder = new();
        string path = folder["pairs.star"];
        File.WriteAllText(path, "data_pairs\n" + string.Concat(Enumerable.Range(0, 100_000).Select(i => $"_c{i} {i}\n")));
        StarTable table = StarFile.Read(path).Tables[0];
        Assert.That(table.Rows, Has.Count.EqualTo(1));
        Assert.That(table.Rows[0], Has.Length.EqualTo(100_000));
        Assert.That(table.Rows[0][^1], Is.EqualTo("99999"));
    }
}
