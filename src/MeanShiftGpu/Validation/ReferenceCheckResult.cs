namespace MeanShiftGpu.Validation;

/// <summary>The comparison of one array of a reference file with what this library computes.</summary>
public sealed record ReferenceCheckResult
{
    /// <summary>The file's name.</summary>
    public required string Case { get; init; }

    /// <summary>The array's name in the file.</summary>
    public required string Tensor { get; init; }

    /// <summary>The kernel variant.</summary>
    public required string Variant { get; init; }

    /// <summary>float32 or float64.</summary>
    public required string RealType { get; init; }

    /// <summary>‖computed − reference‖ / ‖reference‖.</summary>
    public required double RelativeError { get; init; }

    /// <summary>The bound on it.</summary>
    public required double Tolerance { get; init; }

    /// <summary>Within the bound.</summary>
    public required bool Passed { get; init; }

    /// <summary>The element (in the file's order) that differs most.</summary>
    public required long WorstIndex { get; init; }

    /// <summary>The computed value there.</summary>
    public required double Computed { get; init; }

    /// <summary>The reference value there.</summary>
    public required double Reference { get; init; }

    /// <inheritdoc/>
    public override string ToString()
        => $"{(Passed ? "ok  " : "FAIL")} {Case} / {Tensor} ({RealType}, {Variant}): relative error {RelativeError:g3}, "
            + $"tolerance {Tolerance:g3}, " +
           $"worst at element {WorstIndex}: computed {Computed:g9}, reference {Reference:g9}";
}
