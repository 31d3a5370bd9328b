namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>A data set of the paper's Table 1.</summary>
public enum PaperDataset
{
    /// <summary>Simulated pairs of balls in noise.</summary>
    Sandclock,

    /// <summary>Thirteen proteins of different size, all as one class.</summary>
    Shrec,

    /// <summary>Ribosomes of one tomogram, with balls of radius 4 voxels as masks.</summary>
    Ribo,

    /// <summary>
    /// The same with a single annotated ribosome in each patch for training and validation.
    /// </summary>
    RiboSparse,
}
