namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// A particle in a volume: its centre in voxels (0 is the centre of the first voxel), and what a table may
/// say about it.
/// </summary>
/// <param name="Z">Centre along z in voxels.</param>
/// <param name="Y">Centre along y in voxels.</param>
/// <param name="X">Centre along x in voxels.</param>
public sealed record Particle(double Z, double Y, double X)
{
    /// <summary>How sure the picker was; null where the table does not say.</summary>
    public double? Score { get; init; }

    /// <summary>
    /// The standard deviation of the scores that several models, or mirror images, gave it; null where there
    /// was one, or the table does not say.
    /// </summary>
    public double? ScoreDeviation { get; init; }

    /// <summary>The class number; null where the table does not say.</summary>
    public int? Class { get; init; }

    /// <summary>
    /// What it is, as SHREC, copick and EMAN2 name it (1BXN, ribosome); null where the table does not say.
    /// </summary>
    public string? Name { get; init; }

    /// <summary>
    /// The particle's number in its table (SHREC's occupancy id, Dynamo's tag, DeepFinder's obj_id, copick's
    /// instance_id); null where the table does not say.
    /// </summary>
    public int? Id { get; init; }

    /// <summary>
    /// The tomogram's name (rlnTomoName, rlnMicrographName); null where the table does not say.
    /// </summary>
    public string? Tomogram { get; init; }

    /// <summary>
    /// The pixels that its table counts in; those of a particle that comes from no table are the volume's
    /// voxels, of unknown size.
    /// </summary>
    public PixelGrid Pixels { get; init; } = PixelGrid.Voxels;

    /// <summary>
    /// The orientation, in its box where there are <see cref="BoxAngles"/>; null where the table does not
    /// say.
    /// </summary>
    public ParticleAngles? Angles { get; init; }

    /// <summary>
    /// The orientation of the box that the particle was extracted in (rlnTomoSubtomogramRot, Tilt, Psi); null
    /// where it is not turned.
    /// </summary>
    public ParticleAngles? BoxAngles { get; init; }

    /// <summary>
    /// The orientation in the tomogram: that in the box, then that of the box, as RELION composes them.
    /// </summary>
    public ParticleAngles? Orientation => BoxAngles is { } box
        ? ParticleAngles.FromMatrix(box.ToMatrix() * (Angles ?? default).ToMatrix())
        : Angles;

    /// <summary>
    /// Columns that mean nothing here, name and text, kept so that RELION tables can be written with them
    /// again; of DeepFinder's the cluster size is.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, string>> OtherColumns { get; init; } = [];
}
