namespace MeanShiftGpu.Storage;

/// <summary>What a file does not hold or a setting forbids, and whoever calls can give.</summary>
public enum MissingFact
{
    /// <summary>The volume's voxel size in Å.</summary>
    VoxelSize,

    /// <summary>The volume's size in voxels.</summary>
    VolumeSize,

    /// <summary>How many of a table's pixels make a voxel of the volume.</summary>
    Binning,

    /// <summary>The tomogram's name.</summary>
    TomogramName,

    /// <summary>The format of a table that is written.</summary>
    Format,

    /// <summary>The threshold of picking as a score.</summary>
    Threshold,

    /// <summary>A higher limit of memory.</summary>
    Memory,
}

/// <summary>
/// Bad input from outside: a file, an option, a data set. The message is one line that says which file and
/// where, what was expected, and what to do. The command-line tool prints it and exits with 2.
/// </summary>
public sealed class InputException : Exception
{
    /// <summary>Creates the exception.</summary>
    public InputException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public InputException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>
    /// What would help, where that is something to give; whoever asks a person knows by which name it is
    /// given.
    /// </summary>
    public MissingFact? Missing { get; init; }
}
