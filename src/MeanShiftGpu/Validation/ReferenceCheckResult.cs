namespace MeanShiftGpu.Validation;

/// <summary>The comparison of one array of a reference file with what this library computes.</summary>
/// <param name="Case">The file's name.</param>
/// <param name="Tensor">The array's name in the file.</param>
/// <param name="Variant">The kernel variant.</param>
/// <param name="RealType">float32 or float64.</param>
/// <param name="RelativeError">‖computed − reference‖ / ‖reference‖.</param>
/// <param name="Tolerance">The bound on it.</param>
/// <param name="Passed">Within the bound.</param>
/// <param name="WorstIndex">The element (in the file's order) that differs most.</param>
/// <param name="Computed">The computed value there.</param>
/// <param name="Reference">The reference value there.</param>
public sealed record ReferenceCheckResult(
    string Case,
    string Tensor,
    string Variant,
    string RealType,
    double RelativeError,
    double Tolerance,
    bool Passed,
    long WorstIndex,
    double Computed,
    double Reference)
{
    /// <inheritdoc/>
    public override string ToString()
        => $"{(Passed ? "ok  " : "FAIL")} {Case} / {Tensor} ({RealType}, {Variant}): relative error {RelativeError:g3}, "
            + $"tolerance {Tolerance:g3}, " +
           $"worst at element {WorstIndex}: computed {Computed:g9}, reference {Reference:g9}";
}
