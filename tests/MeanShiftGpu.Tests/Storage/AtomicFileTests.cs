using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Storage;

public class AtomicFileTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Write_NewAndOld_LeavesOnlyTheFile()
    {
        AtomicFile.Write(folder["a"], s => s.Write("first"u8));
        AtomicFile.Write(folder["a"], s => s.Write("second"u8));
        Assert.That(File.ReadAllText(folder["a"]), Is.EqualTo("second"));
        Assert.That(folder.Files(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public void Write_FailsHalfway_KeepsTheOldFile()
    {
        AtomicFile.Write(folder["a"], s => s.Write("old"u8));
        Assert.Throws<OperationCanceledException>(() => AtomicFile.Write(folder["a"], s =>
        {
            s.Write("half"u8);
            throw new OperationCanceledException();
        }));
        Assert.That(
            TemporaryFolder
                .Refused(() => AtomicFile.Write(folder["a"], _ => throw new IOException("No space left on device")), "a"),
                Does.Contain("No space"));
        Assert.That(File.ReadAllText(folder["a"]), Is.EqualTo("old"));
        Assert.That(folder.Files(), Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public void Write_AfterAKilledProcess_DeletesItsTemporaryFileAndNoOther()
    {
        string stale = folder.Write($".a.{Guid.NewGuid():N}.tmp", "half");
        string other = folder.Write($".b.{Guid.NewGuid():N}.tmp", "of another file");
        string mine = folder.Write(".a.notes.tmp", "of the user");
        using (new FileStream(
            folder.Write($".a.{Guid.NewGuid():N}.tmp", ""), FileMode.Open, FileAccess.ReadWrite, FileShare.None))
        {
            AtomicFile.Write(folder["a"], s => s.Write("new"u8));
            Assert.That(folder.Files().Count(), Is.EqualTo(4), "what somebody still writes stays");
        }

        Assert.That(File.Exists(stale), Is.False);
        Assert.That(File.Exists(other) && File.Exists(mine));
    }

    [Test]
    public void Write_NoFolder_IsRefused()
    {
        TemporaryFolder.Refused(() => AtomicFile.Write(folder["no/a"], _ => { }), "a");
        Assert.Throws<InputException>(() => AtomicFile.Write(folder["."], _ => { }));
        Assert.Throws<InputException>(() => AtomicFile.Write("/", _ => { }));
        Assert.Throws<InputException>(() => AtomicFile.Write("", _ => { }));
        Assert.Throws<InputException>(() => AtomicFile.Write("a\0b", _ => { }));
    }

    [Test]
    public void Write_FullDisk_IsRefused()
    {
        // A device that takes no byte stands for a full disk; only Linux has it.
        if (!File.Exists("/dev/full"))
            Assert.Ignore("no /dev/full on this system");
        TemporaryFolder.Refused(
            () => AtomicFile.Write(folder["a"], _ =>
            {
                using FileStream full = new("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 1);
                full.Write(new byte[4096]);
                full.Flush();
            }),
            "a");
        Assert.That(folder.Files(), Is.Empty);
    }

    [Test]
    public void Write_ReadOnlyFolder_IsRefused()
    {
        if (OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess)
        {
            Assert.Ignore("a privileged user may write everywhere");
            return;
        }

        string locked = Directory.CreateDirectory(folder["locked"]).FullName;
        File.SetUnixFileMode(locked, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        try
        {
            TemporaryFolder.Refused(() => AtomicFile.Write(Path.Combine(locked, "a"), _ => { }), "a");
        }
        finally
        {
            File.SetUnixFileMode(locked, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }
}
