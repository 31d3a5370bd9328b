namespace MeanShiftGpu.Training;

/// <summary>
/// A run that cannot lead anywhere, or led nowhere: the score map is stuck, numbers are no longer finite, or
/// picks are chance. The message says what to try.
/// </summary>
public sealed class TrainingFailedException : Exception
{
    /// <summary>Creates the exception.</summary>
    public TrainingFailedException(string message)
        : base(message)
    {
    }
}
