using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace MeanShiftGpu.Storage;

/// <summary>Opening and reading files, with every failure as one line.</summary>
internal static partial class InputFile
{
    /// <summary>
    /// Longer lines than this do not occur in tables; they mean that the file is something else.
    /// </summary>
    private const int MaxLineLength = 1 << 20;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Opens a file for reading.</summary>
    public static FileStream Open(string path)
    {
        if (string.IsNullOrWhiteSpace(path))
            throw new InputException("No name was given for an input file.");
        try
        {
            if (Directory.Exists(path))
                throw new InputException($"{path}: is a folder. Give a file.");
            if (FilePlace.Of(path).Kind is FileKind.Pipe or FileKind.Device or FileKind.Other)
            {
                throw new InputException(
                    $"{path}: is a pipe or a device, which can be read only once, and input files are read several times. Save "
                    + "it to a file first.");
            }

            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"{path}: file not found. Check the name and the current folder.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InputException($"{path.Replace('\0', '?')}: cannot be opened: {OneLine(e.Message)}", e);
        }
    }

    /// <summary>Reads a small file whole.</summary>
    public static byte[] ReadAllBytes(string path, long limit, string expected)
    {
        using FileStream stream = Open(path);
        if (stream.Length > limit)
            throw new InputException($"{path}: has {stream.Length} bytes, more than {limit}; expected {expected}.");
        byte[] bytes = Allocate(path, stream.Length);
        int read = Guard(path, () => stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false));
        return read == bytes.Length ? bytes : bytes[..read];
    }

    /// <summary>Memory for a part of a file.</summary>
    /// <exception cref="InputException">There is too little.</exception>
    public static byte[] Allocate(string path, long bytes)
    {
        try
        {
            return new byte[bytes];
        }
        catch (OutOfMemoryException e)
        {
            throw new InputException(
                $"{path}: {bytes >> 20} MiB of it do not fit into memory. Close other programs, or use a machine with more "
                + "memory.", e);
        }
    }

    /// <summary>The lines of a text file with their numbers from 1; LF, CRLF and CR end a line.</summary>
    public static IEnumerable<(int Number, string Text)> ReadLines(string path, string expected)
    {
        using FileStream stream = Open(path);
        using StreamReader reader = new(stream, StrictUtf8);
        char[] buffer = new char[1 << 15];
        StringBuilder line = new();
        int number = 1;
        bool afterReturn = false;
        for (int count = Read(path, reader, buffer, expected); count > 0; count = Read(path, reader, buffer, expected))
        {
            for (int i = 0; i < count; i++)
            {
                char c = buffer[i];
                bool secondOfPair = c == '\n' && afterReturn;
                afterReturn = c == '\r';
                if (secondOfPair)
                    continue;
                if (c is '\n' or '\r')
                {
                    yield return (number++, line.ToString());
                    line.Clear();
                    continue;
                }

                if (c == '\0' || line.Length >= MaxLineLength)
                    throw new InputException($"{path}: line {number}: this is no text file; expected {expected}.");
                line.Append(c);
            }
        }

        if (line.Length > 0)
            yield return (number, line.ToString());
    }

    /// <summary>Runs a read, turning the failures of files and disks into one line.</summary>
    public static T Guard<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read: {OneLine(e.Message)}", e);
        }
    }

    /// <summary>
    /// What is wrong with JSON and in which line, from 1; the parser's own words end with places counted from
    /// 0.
    /// </summary>
    public static string JsonProblem(JsonException exception)
        => $"line {(exception.LineNumber ?? 0) + 1}: {OneLine(PlacePattern().Replace(exception.Message, ""))}";

    [GeneratedRegex(@" (Path: .*? \| )?LineNumber: \d+ \| BytePositionInLine: \d+\.")]
    private static partial Regex PlacePattern();

    /// <summary>The first line of another component's message.</summary>
    public static string OneLine(string message) => message.ReplaceLineEndings(" ").Trim();

    /// <summary>Text from a file as it can stand in a message: short, no control characters.</summary>
    public static string Quote(string text)
    {
        string clean = new([.. text.Take(60).Select(c => char.IsControl(c) ? '?' : c)]);
        return text.Length > 60 ? $"'{clean}…'" : $"'{clean}'";
    }

    private static int Read(string path, StreamReader reader, char[] buffer, string expected)
    {
        try
        {
            return reader.Read(buffer, 0, buffer.Length);
        }
        catch (DecoderFallbackException e)
        {
            throw new InputException($"{path}: is not UTF-8 text; expected {expected}.", e);
        }
        catch (IOException e)
        {
            throw new InputException($"{path}: cannot be read: {OneLine(e.Message)}", e);
        }
    }
}
