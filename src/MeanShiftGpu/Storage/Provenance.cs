using System.Reflection;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MeanShiftGpu.Storage;

/// <summary>A file that something was computed from.</summary>
/// <param name="File">Its name as it was given.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="ModifiedUtc">When it was last written.</param>
/// <param name="Sha256">The hash of its content, in hexadecimal digits.</param>
public sealed record InputRecord(string File, long Bytes, DateTime ModifiedUtc, string Sha256)
{
    /// <summary>Reads a file and records it.</summary>
    /// <exception cref="InputException">It cannot be read.</exception>
    public static InputRecord Of(string path)
    {
        using FileStream stream = InputFile.Open(path);
        return new InputRecord(
            path, stream.Length, System.IO.File.GetLastWriteTimeUtc(path), Convert.ToHexStringLower(SHA256.HashData(stream)));
    }

    /// <summary>
    /// Whether a file has this content. The same file with the same length and time is not read again.
    /// Another file is: volumes of one size that were unpacked together have the same time, too.
    /// </summary>
    /// <exception cref="InputException">It cannot be read.</exception>
    public bool IsOf(string path)
    {
        FileInfo info = new(path);
        return info.Exists && info.Length == Bytes
            && ((info.LastWriteTimeUtc == ModifiedUtc && info.FullName == Path.GetFullPath(File)) || Of(path).Sha256 == Sha256);
    }
}

/// <summary>Records of the files that a program reads, each of which is hashed once.</summary>
public sealed class InputRecords
{
    private readonly Dictionary<string, InputRecord> known = new(StringComparer.Ordinal);

    /// <summary>The record of a file, read when it is first asked for.</summary>
    /// <exception cref="InputException">It cannot be read.</exception>
    public InputRecord Of(string path)
        => known.TryGetValue(path, out InputRecord? record) ? record : known[path] = InputRecord.Of(path);
}

/// <summary>
/// What was computed, from what and how: written beside an output, so that a later run knows whether it would
/// make the same.
/// </summary>
public sealed record Provenance
{
    /// <summary>What is put behind an output's name.</summary>
    public const string Ending = ".made";

    private const long MostBytes = 64 << 20;

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        RespectNullableAnnotations = true,
    };

    /// <summary>The program's version with its commit.</summary>
    public string Version { get; init; } = OwnVersion;

    /// <summary>The command line.</summary>
    public string Command { get; init; } = "";

    /// <summary>
    /// The settings that decide about the result, as text; equal settings have equal texts.
    /// </summary>
    public string Settings { get; init; } = "";

    /// <summary>The device, with its vector width where it is a processor.</summary>
    public string Device { get; init; } = "";

    /// <summary>The files that it was computed from.</summary>
    public IReadOnlyList<InputRecord> Inputs { get; init; } = [];

    /// <summary>The version of this program, with its commit.</summary>
    public static string OwnVersion { get; } =
        typeof(Provenance).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    /// <summary>Writes the record of an output beside it; nothing lies beside a pipe or a device.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string output)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (!FilePlace.Of(output).IsStream)
            AtomicFile.Write(output + Ending, stream => JsonSerializer.Serialize(stream, this, Json));
    }

    /// <summary>The record beside an output; null where there is none that can be read.</summary>
    public static Provenance? Read(string output)
    {
        string path = output + Ending;
        if (!File.Exists(path))
            return null;
        try
        {
            byte[] bytes = InputFile.ReadAllBytes(path, MostBytes, "a record of how a file was made");
            Provenance? read = JsonSerializer.Deserialize<Provenance>(bytes, Json);
            return read?.Inputs.All(i => i is { File: not null, Sha256: not null }) == true ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>
    /// What differs between this record and what would be computed now; null where nothing does.
    /// </summary>
    /// <param name="settings">The settings now.</param>
    /// <param name="inputs">The input files now.</param>
    public string? DifferenceFrom(string settings, IReadOnlyList<string> inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        if (Settings != settings)
            return $"with other settings ({(Settings.Length == 0 ? "the defaults" : Settings)})";
        if (Inputs.Count != inputs.Count)
            return $"from {Counted.Of(Inputs.Count, "other file")}";
        for (int i = 0; i < inputs.Count; i++)
        {
            if (!Inputs[i].IsOf(inputs[i]))
            {
                (string then, string now) = (Path.GetFileName(Inputs[i].File), Path.GetFileName(inputs[i]));
                return then == now ? $"from another {now}" : $"from {then}, not from {now}";
            }
        }

        return null;
    }
}
