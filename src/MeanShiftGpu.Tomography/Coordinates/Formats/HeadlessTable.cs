namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>What tables without a heading share.</summary>
internal static class HeadlessTable
{
    /// <summary>
    /// The content of one without rows: a file without a byte is a damaged one, which readers refuse.
    /// </summary>
    public const string NoRows = "\n";
}
