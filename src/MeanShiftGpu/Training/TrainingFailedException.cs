namespace MeanShiftGpu.Training;

/// <summary>A run that cannot lead anywhere any more: the score map collapsed to zeros, or numbers are no longer finite.</summary>
public sealed class TrainingFailedException : Exception
{
    /// <summary>Creates the exception.</summary>
    public TrainingFailedException(string message)
        : base(message)
    {
    }
}
