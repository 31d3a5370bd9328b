using System.Text.Json;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>Timings that an earlier run has written with --json.</summary>
internal static class BenchFile
{
    private const long MostBytes = 64 << 20;
    private const string Expected = "timings as bench --json writes them";

    /// <summary>Reads a file of timings.</summary>
    /// <param name="path">The file.</param>
    /// <param name="withSpread">Whether quartiles are needed, which files of earlier versions lack.</param>
    /// <exception cref="InputException">It holds something else.</exception>
    public static IReadOnlyList<BenchResult> Read(string path, bool withSpread)
    {
        byte[] bytes = InputFile.ReadAllBytes(path, MostBytes, Expected);
        BenchResult?[]? read;
        try
        {
            read = JsonSerializer.Deserialize<BenchResult?[]>(bytes, JsonOutput.Options);
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: {InputFile.JsonProblem(e)} Expected {Expected}.", e);
        }

        if (read is not { Length: > 0 })
            throw new InputException($"{path}: holds no timing. Expected {Expected}.");
        if (HoldsRatios(bytes))
            throw new InputException($"{path}: holds ratios of --against. Give the file of a plain --json.");
        for (int i = 0; i < read.Length; i++)
        {
            if (read[i] is not { Name: not null, Size: not null, Variant: not null, Precision: not null, MedianMs: > 0 } result)
            {
                throw new InputException(
                    $"{path}: timing {i + 1} lacks a name, size, variant, precision or median. Expected {Expected}.");
            }

            bool saysSpread = result.LowerQuartileMs > 0 && result.UpperQuartileMs >= result.LowerQuartileMs
                && result.Repeats > 0;
            if (withSpread && !saysSpread)
            {
                throw new InputException($"{path}: timing {i + 1} ({result.Name}) does not say how its runs spread, "
                    + "as files of earlier versions do not. Time that build again, or run both in turns with --against.");
            }
        }

        return read!;
    }

    // Of two builds in turns there are ratios and no runs: see TurnResult.
    private static bool HoldsRatios(byte[] bytes)
        => JsonSerializer.Deserialize<JsonElement[]>(bytes, JsonOutput.Options) is [{ ValueKind: JsonValueKind.Object } first, ..]
            && first.TryGetProperty("ratios", out _);
}
