using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reproduction;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Demo;

/// <summary>Size and settings of the Sandclock demo.</summary>
public sealed record SandclockDemoOptions
{
    /// <summary>Seeds of the runs: each trains every loss from the same start.</summary>
    public IReadOnlyList<int> Seeds { get; init; } = [1];

    /// <summary>Seed of the simulated data.</summary>
    public int DataSeed { get; init; } = 2026;

    /// <summary>Optimiser steps of each training.</summary>
    public int Steps { get; init; } = 1200;

    /// <summary>Simulated volumes for training.</summary>
    public int TrainingVolumes { get; init; } = 100;

    /// <summary>Simulated volumes that choose the best model.</summary>
    public int ValidationVolumes { get; init; } = 10;

    /// <summary>Simulated volumes that the result is measured on.</summary>
    public int TestVolumes { get; init; } = 40;

    /// <summary>The network.</summary>
    public UNet3dOptions Network { get; init; } = new() { Widths = [16, 16, 16] };

    /// <summary>Volumes, particles and noise.</summary>
    public SandclockOptions Simulation { get; init; } = SandclockOptions.Demo;

    /// <summary>Hit radii in voxels at which F1 is measured.</summary>
    public IReadOnlyList<double> Radii { get; init; } = PaperExperiment.Radii;

    /// <summary>How particles are picked, the same for every loss. Sandclocks are all alike.</summary>
    public PickOptions Picking { get; init; } = new() { MinimumSupportFraction = 0.2f };

    /// <summary>Weighting and floor of the clustering, the same for every loss.</summary>
    public MeanShiftOptions PickingMeanShift { get; init; } = MeanShiftOptions.Combined;

    /// <summary>The settings of a training.</summary>
    public TrainingOptions TrainingFor(PaperLoss loss, int seed)
    {
        TrainingOptions common = TrainingOptions.Combined with
        {
            Steps = Steps,
            Seed = seed,
            Patch = new Extent(Simulation.Depth, Simulation.Height, Simulation.Width),
            ValidationInterval = Math.Max(1, Steps / 10),
            // Sandclocks have no missing wedge: all axes are alike.
            Augmentation = Augmentation.FlipsAndSwaps,
        };
        return PaperLosses.Weigh(common, loss, common.DiceWeight);
    }
}
