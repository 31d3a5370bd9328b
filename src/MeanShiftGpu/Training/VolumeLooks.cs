using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training;

/// <summary>
/// What the volumes looked like that a model was validated on, or trained on where there was no validation:
/// what the model sees in volumes that it knows. Scores of another volume mean something beside these numbers
/// only.
/// </summary>
public sealed record VolumeLooks
{
    /// <summary>How many volumes were looked at.</summary>
    public int Volumes { get; init; }

    /// <summary>Of each of the network's outputs.</summary>
    public IReadOnlyList<ClassLooks> Classes { get; init; } = [];

    /// <summary>
    /// The correlation of grey values of neighbouring voxels, the mean of the volumes: it changes with the
    /// voxel size and with filters.
    /// </summary>
    public double NeighbourCorrelation { get; init; }

    /// <summary>The largest difference of a volume's correlation from that mean.</summary>
    public double NeighbourCorrelationSpread { get; init; }

    /// <summary>Checks the values.</summary>
    /// <exception cref="InputException">A value is out of range.</exception>
    internal void Validate()
    {
        bool spread = NeighbourCorrelationSpread >= 0 && double.IsFinite(NeighbourCorrelationSpread);
        if (Volumes < 0 || !double.IsFinite(NeighbourCorrelation) || !spread)
            throw new InputException("the statistics of the training's volumes have a number below 0 or one that is not finite.");
        if (Classes is null
            || Classes.Any(
                c => c is not { ScoreScale: >= 0 and <= 1, ShareAbove: >= 0 and <= 1 } || !double.IsFinite(c.Contrast)))
            throw new InputException("the statistics of a class are missing, or its scores and shares are not from 0 to 1.");
    }
}

/// <summary>What a class looked like.</summary>
/// <param name="ScoreScale">The largest score of a volume, the median of the volumes.</param>
/// <param name="ShareAbove">The share of voxels with a score above 0.3 of that, 0 to 1; the mean of the
/// volumes.</param>
/// <param name="Contrast">Grey value at the centres, the mean of a ball of half the bandwidth, in standard
/// deviations above the volume's mean.</param>
public sealed record ClassLooks(double ScoreScale, double ShareAbove, double Contrast);
