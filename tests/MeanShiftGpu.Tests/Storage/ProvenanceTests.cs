using MeanShiftGpu.Storage;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Storage;

/// <summary>The record of what an output was made from says what is different now.</summary>
[TestFixture]
public class ProvenanceTests
{
    [Test]
    public void DifferenceFrom_NamesTheFile_ThenAndNow()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string first = Write(folder, "first.mrc", "one");
            string second = Write(folder, "second.mrc", "two");
            // As in an archive: of one length, and of one time.
            File.SetLastWriteTimeUtc(second, File.GetLastWriteTimeUtc(first));
            Provenance made = new() { Settings = "--threshold 0.5", Inputs = [InputRecord.Of(first)] };
            Assert.Multiple(() =>
            {
                Assert.That(made.DifferenceFrom("--threshold 0.5", [first]), Is.Null);
                Assert.That(made.DifferenceFrom("", [first]), Is.EqualTo("with other settings (--threshold 0.5)"));
                Assert.That(made.DifferenceFrom("--threshold 0.5", [first, second]), Is.EqualTo("from 1 other file"));
                Assert.That(made.DifferenceFrom("--threshold 0.5", [second]), Is.EqualTo("from first.mrc, not from second.mrc"));
            });

            Write(folder, "first.mrc", "other");
            Assert.That(made.DifferenceFrom("--threshold 0.5", [first]), Is.EqualTo("from another first.mrc"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Write(string folder, string name, string content)
    {
        string path = Path.Combine(folder, name);
        File.WriteAllText(path, content);
        return path;
    }
}
