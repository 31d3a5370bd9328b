namespace MeanShiftGpu.Storage;

/// <summary>Numbers of things in messages.</summary>
public static class Counted
{
    /// <summary>"1 pick", "2 picks", "0 picks".</summary>
    /// <param name="count">How many.</param>
    /// <param name="one">What one is called.</param>
    /// <param name="several">What several are called, where that is more than an s.</param>
    public static string Of(long count, string one, string? several = null)
        => $"{count} {(count == 1 ? one : several ?? one + "s")}";
}
