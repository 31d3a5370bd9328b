using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MeanShiftGpu.Storage;

/// <summary>What a name leads to.</summary>
internal enum FileKind
{
    /// <summary>Nothing yet.</summary>
    Missing,

    /// <summary>A file on a disk.</summary>
    Regular,

    /// <summary>A folder.</summary>
    Folder,

    /// <summary>A pipe, with a name or without.</summary>
    Pipe,

    /// <summary>A device that takes characters, such as a terminal or /dev/null.</summary>
    Device,

    /// <summary>A disk or a socket, which no result can be written to.</summary>
    Other,
}

/// <summary>
/// Where a name leads when all links are followed, in its folders too, and what is there. Nothing is opened:
/// opening a pipe waits for its other end.
/// </summary>
internal sealed partial class FilePlace
{
    // As many as Linux follows.
    private const int MostLinks = 40;

    private static readonly char[] Separators = [System.IO.Path.DirectorySeparatorChar, System.IO.Path.AltDirectorySeparatorChar];

    private FilePlace(string name)
    {
        Name = name;
        (Path, Descriptor) = Resolve(name);
        (Kind, Identity) = Look(name);
    }

    /// <summary>The name that was given.</summary>
    public string Name { get; }

    /// <summary>The full path without links.</summary>
    public string Path { get; }

    /// <summary>
    /// The number of this process's own open file that the name stands for, as /dev/stdout and /dev/fd/3 do;
    /// null for other names.
    /// </summary>
    public int? Descriptor { get; }

    /// <summary>What is there.</summary>
    public FileKind Kind { get; }

    /// <summary>
    /// Whether it is written to as it stands: replacing a pipe or a device by a file would take it from
    /// everybody.
    /// </summary>
    public bool IsStream => Descriptor is not null || Kind is FileKind.Pipe or FileKind.Device;

    /// <summary>
    /// Device and number of what is there, which two names of one file share; null where the system does not
    /// say.
    /// </summary>
    private string? Identity { get; }

    /// <summary>Looks where a name leads.</summary>
    /// <exception cref="InputException">It is no name of a file.</exception>
    public static FilePlace Of(string name)
    {
        try
        {
            return new FilePlace(name);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException or PathTooLongException)
        {
            throw new InputException($"{name}: this is no file name.", e);
        }
    }

    /// <summary>What tells two places apart: those of one file have one of them in common.</summary>
    public IEnumerable<string> Keys => IsStream ? [] : Identity is { } identity ? [Path, identity] : [Path];

    /// <summary>Opens a pipe or a device to write to it.</summary>
    /// <exception cref="InputException">Nobody reads the pipe.</exception>
    public Stream OpenForWriting()
    {
        if (Descriptor == 1)
            return Console.OpenStandardOutput();
        if (Descriptor == 2)
            return Console.OpenStandardError();
        // Opening a pipe waits for a reader, perhaps for ever. With one held open that does not wait, the
        // next does not either.
        int probe = -1;
        if (Kind == FileKind.Pipe && OperatingSystem.IsLinux())
        {
            const int writeWithoutWaiting = 0x1 | 0x800 | 0x80000;
            probe = OpenAtOnce(System.IO.Path.GetFullPath(Name), writeWithoutWaiting);
            if (probe < 0)
            {
                throw new InputException(
                    $"{Name}: cannot be written: this is a pipe that nobody reads. Start its reader first, or give a file name.");
            }
        }

        using SafeFileHandle held = new(probe, ownsHandle: true);
        return new FileStream(Name, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
    }

    private static (string Path, int? Descriptor) Resolve(string name)
    {
        string full = System.IO.Path.GetFullPath(name);
        string real = System.IO.Path.GetPathRoot(full)!;
        string descriptors = string.Create(CultureInfo.InvariantCulture, $"/proc/{Environment.ProcessId}/fd/");
        Stack<string> left = new(Parts(full).Reverse());
        for (int links = 0; left.TryPop(out string? part);)
        {
            if (part == "..")
            {
                real = System.IO.Path.GetDirectoryName(real) ?? real;
                continue;
            }

            string next = System.IO.Path.Combine(real, part);
            bool own = left.Count == 0 && next.StartsWith(descriptors, StringComparison.Ordinal);
            if (own && int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int descriptor))
                return (next, descriptor);
            if (links < MostLinks && LinkAt(next) is { } target)
            {
                links++;
                if (System.IO.Path.IsPathRooted(target))
                    real = System.IO.Path.GetPathRoot(target)!;
                foreach (string step in Parts(target).Reverse())
                    left.Push(step);
                continue;
            }

            real = next;
        }

        return (real, null);
    }

    private static IEnumerable<string> Parts(string path)
        => path[(System.IO.Path.GetPathRoot(path)?.Length ?? 0)..]
            .Split(Separators, StringSplitOptions.RemoveEmptyEntries)
            .Where(p => p != ".");

    private static string? LinkAt(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What cannot be looked at is refused when it is opened.
            return null;
        }
    }

    private static (FileKind Kind, string? Identity) Look(string name)
    {
        if (OperatingSystem.IsLinux() && LookLinux(name) is { } seen)
            return seen;
        if (Directory.Exists(name))
            return (FileKind.Folder, null);
        string full = System.IO.Path.GetFullPath(name);
        // Elsewhere devices are told by their names.
        bool device = full.StartsWith(OperatingSystem.IsWindows() ? @"\\.\" : "/dev/", StringComparison.Ordinal);
        return (device ? FileKind.Device : File.Exists(name) ? FileKind.Regular : FileKind.Missing, null);
    }

    // The kernel's own structure, the same on every processor: the mode at byte 28, the number at 32, the
    // device's numbers at 136 and 140.
    private static unsafe (FileKind Kind, string? Identity)? LookLinux(string name)
    {
        const int currentFolder = -100;
        const uint typeAndNumber = 0x1 | 0x100;
        byte* found = stackalloc byte[256];
        try
        {
            if (StatX(currentFolder, System.IO.Path.GetFullPath(name), 0, typeAndNumber, found) != 0)
                return (FileKind.Missing, null);
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            // An old system's library does not have it.
            return null;
        }

        FileKind kind = (*(ushort*)(found + 28) & 0xF000) switch
        {
            0x8000 => FileKind.Regular,
            0x4000 => FileKind.Folder,
            0x1000 => FileKind.Pipe,
            0x2000 => FileKind.Device,
            _ => FileKind.Other,
        };
        (uint major, uint minor, ulong number) = (*(uint*)(found + 136), *(uint*)(found + 140), *(ulong*)(found + 32));
        return (kind, string.Create(CultureInfo.InvariantCulture, $"{major}:{minor}:{number}"));
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int OpenAtOnce(string path, int flags);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static unsafe partial int StatX(int folder, string path, int flags, uint mask, byte* found);
}
