using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Tomography.Demo;

/// <summary>The losses by their words and colours.</summary>
internal static class DemoLosses
{
    /// <summary>The words for a loss, at the beginning of a line or alone.</summary>
    public static string Title(DemoLoss loss) => loss switch
    {
        DemoLoss.Dice => "Dice",
        DemoLoss.MeanShift => "Mean shift",
        DemoLoss.Both => "Both",
        _ => throw UnknownValue.Of(loss),
    };

    /// <summary>The words within a sentence.</summary>
    public static string Words(DemoLoss loss) => loss == DemoLoss.Dice ? Title(loss) : Title(loss).ToLowerInvariant();

    /// <summary>The colour of the paper's figures.</summary>
    public static ReportColor Color(DemoLoss loss) => loss switch
    {
        DemoLoss.Dice => ReportColor.Red,
        DemoLoss.MeanShift => ReportColor.Blue,
        DemoLoss.Both => ReportColor.Green,
        _ => throw UnknownValue.Of(loss),
    };
}
