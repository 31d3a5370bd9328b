using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>What a network is trained with.</summary>
public enum PaperLoss
{
    /// <summary>Dice alone, against the particles' masks.</summary>
    Dice,

    /// <summary>The mean-shift loss alone, against the centres.</summary>
    MeanShift,

    /// <summary>The mean-shift loss and half a Dice loss.</summary>
    Both,
}

/// <summary>The losses by their words and colours.</summary>
internal static class PaperLosses
{
    /// <summary>The words for a loss, at the beginning of a line or alone.</summary>
    public static string Title(PaperLoss loss) => loss switch
    {
        PaperLoss.Dice => "Dice",
        PaperLoss.MeanShift => "Mean shift",
        PaperLoss.Both => "Both",
        _ => throw UnknownValue.Of(loss),
    };

    /// <summary>The words within a sentence.</summary>
    public static string Words(PaperLoss loss) => loss == PaperLoss.Dice ? Title(loss) : Title(loss).ToLowerInvariant();

    /// <summary>The name in files.</summary>
    public static string JsonName(PaperLoss loss) => loss switch
    {
        PaperLoss.Dice => "dice",
        PaperLoss.MeanShift => "meanShift",
        PaperLoss.Both => "both",
        _ => throw UnknownValue.Of(loss),
    };

    /// <summary>The settings of a training with the weights of a loss; all else stays.</summary>
    /// <param name="common">What all losses have in common.</param>
    /// <param name="loss">The loss.</param>
    /// <param name="diceInBoth">The weight of Dice beside a mean shift of weight 1.</param>
    public static TrainingOptions Weigh(TrainingOptions common, PaperLoss loss, double diceInBoth) => loss switch
    {
        PaperLoss.Dice => common with { MeanShiftWeight = 0, DiceWeight = 1 },
        PaperLoss.MeanShift => common with { MeanShiftWeight = 1, DiceWeight = 0 },
        PaperLoss.Both => common with { MeanShiftWeight = 1, DiceWeight = diceInBoth },
        _ => throw UnknownValue.Of(loss),
    };

    /// <summary>The colour of the paper's figures.</summary>
    public static ReportColor Color(PaperLoss loss) => loss switch
    {
        PaperLoss.Dice => ReportColor.Red,
        PaperLoss.MeanShift => ReportColor.Blue,
        PaperLoss.Both => ReportColor.Green,
        _ => throw UnknownValue.Of(loss),
    };
}
