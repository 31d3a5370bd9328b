using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>Picks of one volume, as they are written to a table.</summary>
/// <param name="Tomogram">The volume's name in the table.</param>
/// <param name="Picks">Its picks, the highest score first.</param>
public sealed record VolumePicks(string Tomogram, IReadOnlyList<Pick> Picks);

/// <summary>Writes picks as tables of coordinates.</summary>
public static class PickTable
{
    /// <summary>
    /// Writes the picks of one or several volumes in any of the formats (see <see cref="CoordinateFormat"/>).
    /// </summary>
    /// <param name="path">The table.</param>
    /// <param name="volumes">The picks; tables without a column for the tomogram's name hold one
    /// volume.</param>
    /// <param name="options">The format, voxel size and binning.</param>
    /// <exception cref="InputException">The format cannot hold several volumes, or the file cannot be
    /// written.</exception>
    public static void Write(string path, IReadOnlyList<VolumePicks> volumes, CoordinateWriteOptions options)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(volumes);
        CoordinateTables.Write(path, [.. volumes.SelectMany(ToParticles)], options);
    }

    /// <summary>Picks as particles.</summary>
    public static IEnumerable<Particle> ToParticles(VolumePicks volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        return volume.Picks.Select(p => new Particle(p.Z, p.Y, p.X)
        {
            Score = p.Score,
            ScoreDeviation = p.ScoreDeviation,
            Class = p.Class,
            Name = p.ClassName,
            Tomogram = volume.Tomogram,
            // STAR tables have room for columns that others do not know.
            OtherColumns = p.ScoreDeviation is { } deviation
                ? [KeyValuePair.Create("meanshiftScoreDeviation", deviation.ToString("R", CultureInfo.InvariantCulture))] : [],
        });
    }
}
