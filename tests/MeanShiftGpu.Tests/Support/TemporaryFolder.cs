using MeanShiftGpu.Storage;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>A folder of its own for a test's files, deleted at the end; and the files of Data.</summary>
public sealed class TemporaryFolder : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("msg-test-").FullName;

    public string this[string name] => Path.Combine(folder, name);

    /// <summary>A file that other programs wrote, from tests/…/Data.</summary>
    public static string Data(string name) => Path.Combine(AppContext.BaseDirectory, "Data", name);

    public string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(this[name], bytes);
        return this[name];
    }

    public string Write(string name, string text)
    {
        File.WriteAllText(this[name], text);
        return this[name];
    }

    public IEnumerable<string> Files() => Directory.EnumerateFiles(folder).Select(f => Path.GetFileName(f)!);

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>
    /// Runs an action that must be refused with one line which names the file, and returns the line.
    /// </summary>
    public static string Refused(Action action, string path)
    {
        InputException e = Assert.Throws<InputException>(() => action())!;
        Assert.That(e.Message, Does.Contain(Path.GetFileName(path)).And.Not.Contain("\n"));
        return e.Message;
    }
}
