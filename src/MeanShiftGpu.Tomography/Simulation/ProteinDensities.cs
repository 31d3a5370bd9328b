using System.Reflection;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// Densities of macromolecules that come with the library, by their entries of the Protein Data Bank.
/// </summary>
public static class ProteinDensities
{
    /// <summary>A bacterial ribosome.</summary>
    public const string Ribosome = "4v4r";

    /// <summary>The proteins of the SHREC 2021 data set, from the smallest to the largest.</summary>
    public static IReadOnlyList<string> Shrec { get; } =
        ["3qm1", "1s3x", "3h84", "3gl1", "2cg9", "3d2f", "1bxn", "1u6g", "3cf3", "1qvr", "4cr2", "4v94", "5mrc"];

    /// <summary>Particles of some densities on voxels of a size.</summary>
    /// <param name="names">Entries of the Protein Data Bank.</param>
    /// <param name="voxelSizeAngstrom">Edge of a voxel in Å.</param>
    /// <param name="folder">An existing folder; the densities are written there as NAME.mrc.gz, for people to
    /// look at.</param>
    /// <exception cref="InputException">A name is not one of the densities, or a file cannot be
    /// written.</exception>
    public static IReadOnlyList<ParticleShape> Shapes(IReadOnlyList<string> names, double voxelSizeAngstrom, string folder)
    {
        ArgumentNullException.ThrowIfNull(names);
        ArgumentNullException.ThrowIfNull(folder);
        OutputFolder.Prepare(folder);
        return [.. names.Select(name => ParticleShape.FromDensity(Unpack(name, folder), voxelSizeAngstrom))];
    }

    private static string Unpack(string name, string folder)
    {
        using Stream density = Assembly.GetExecutingAssembly().GetManifestResourceStream($"densities/{name}.mrc.gz")
            ?? throw new InputException($"density '{name}': is not among those that come with the library; expected one of "
                + $"{string.Join(", ", Shrec)}, {Ribosome}.");
        string path = Path.Combine(folder, $"{name}.mrc.gz");
        AtomicFile.Write(path, density.CopyTo);
        return path;
    }
}
