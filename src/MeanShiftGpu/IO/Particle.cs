namespace MeanShiftGpu.IO;

/// <summary>A particle's orientation as RELION writes it: rotations about z, y, z in degrees.</summary>
/// <param name="Rot">rlnAngleRot.</param>
/// <param name="Tilt">rlnAngleTilt.</param>
/// <param name="Psi">rlnAnglePsi.</param>
public readonly record struct ParticleAngles(double Rot, double Tilt, double Psi);

/// <summary>A particle in a volume: its centre in voxels (0 is the centre of the first voxel), and what a table may say about it.</summary>
/// <param name="Z">Centre along z in voxels.</param>
/// <param name="Y">Centre along y in voxels.</param>
/// <param name="X">Centre along x in voxels.</param>
public sealed record Particle(double Z, double Y, double X)
{
    /// <summary>How sure the picker was; null where the table does not say.</summary>
    public double? Score { get; init; }

    /// <summary>The class number; null where the table does not say.</summary>
    public int? Class { get; init; }

    /// <summary>The tomogram's name (rlnTomoName, rlnMicrographName); null where the table does not say.</summary>
    public string? Tomogram { get; init; }

    /// <summary>The orientation; null where the table does not say.</summary>
    public ParticleAngles? Angles { get; init; }

    /// <summary>Columns of a STAR table that mean nothing here, name and text, kept so that they can be written again.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> OtherColumns { get; init; } = [];
}
