namespace MeanShiftGpu.IO;

/// <summary>What a written table must say beyond the particles.</summary>
public sealed record CoordinateWriteOptions
{
    /// <summary>The volume's voxel size, binning and size, as the format needs them.</summary>
    public CoordinateContext Context { get; init; } = new();

    /// <summary>Which RELION a STAR file is for.</summary>
    public RelionVersion Version { get; init; }

    /// <summary>The tomogram's name, for particles that do not have one.</summary>
    public string? TomogramName { get; init; }

    /// <summary>A STAR file whose other tables (optics, general) are written again.</summary>
    public StarFile? Template { get; init; }
}

/// <summary>
/// The front door to tables of particle coordinates: .star (RELION 3, 4, 5 and Warp), .csv, .tsv, .txt (plain columns, or SHREC 2021's) and .coords. In memory a coordinate is
/// (z, y, x) in voxels of the volume, 0 at the centre of the first voxel; files give x first, and their pixels may be finer (see
/// <see cref="CoordinateContext"/>).
/// </summary>
public static class Coordinates
{
    /// <summary>Reads a table. One with a heading but no rows gives an empty list.</summary>
    /// <exception cref="InputException">
    /// The file is missing, empty, or of an unknown format; a column is unknown or missing; a value is no number (with its line); the
    /// tomogram asked for is not there; the context lacks what the format needs.
    /// </exception>
    public static IReadOnlyList<Particle> Read(string path, CoordinateContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        context ??= new CoordinateContext();
        context.Validate();
        List<Particle> particles = Format(path) switch
        {
            TableFormat.Star => RelionStar.Read(path, context),
            TableFormat.Text when IsShrec(path) => ShrecLocations.ReadParticles(path, context),
            _ => DelimitedTable.Read(path, context),
        };

        if (context.Tomogram is { } wanted && particles.Count > 0)
        {
            List<Particle> kept = particles.FindAll(p => p.Tomogram is null || p.Tomogram == wanted);
            if (kept.Count == 0)
                throw NoSuchTomogram(path, wanted, particles.Select(p => p.Tomogram!));
            return kept;
        }

        return particles;
    }

    /// <summary>Writes a table in the format that the name's ending says: .star, .csv, .tsv, .txt or .coords.</summary>
    /// <exception cref="InputException">The ending is unknown, the options lack what the format needs, or the file cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(particles);
        options ??= new CoordinateWriteOptions();
        options.Context.Validate();
        for (int i = 0; i < particles.Count; i++)
        {
            if (!double.IsFinite(particles[i].Z + particles[i].Y + particles[i].X))
                throw new InputException($"{path}: cannot be written: particle {i + 1} has a coordinate that is not finite.");
        }

        if (Format(path) == TableFormat.Star)
            RelionStar.Write(path, particles, options);
        else
            DelimitedTable.Write(path, particles, options);
    }

    /// <summary>Refuses particles whose centre lies outside a volume, that is, beyond the outer faces of its voxels.</summary>
    /// <param name="path">The table's name, for the message.</param>
    /// <param name="particles">Coordinates in voxels of the volume.</param>
    /// <param name="shape">The volume's size.</param>
    /// <exception cref="InputException">One lies outside; the message names the first and says how many.</exception>
    public static void CheckInside(string path, IReadOnlyList<Particle> particles, VolumeShape shape)
    {
        ArgumentNullException.ThrowIfNull(particles);
        int outside = particles.Count(p => !IsInside(p, shape));
        if (outside == 0)
            return;
        Particle first = particles.First(p => !IsInside(p, shape));
        throw new InputException(FormattableString.Invariant(
            $"{path}: {outside} of {particles.Count} centres lie outside the volume of {shape} voxels, the first at (z, y, x) = ({first.Z:0.##}, {first.Y:0.##}, {first.X:0.##}). Check the binning, the voxel size and the axis order."));
    }

    /// <summary>Whether a particle's centre lies in a volume, that is, in −0.5 to size − 0.5 along every axis.</summary>
    public static bool IsInside(Particle particle, VolumeShape shape)
    {
        ArgumentNullException.ThrowIfNull(particle);
        return IsWithin(particle.Z, shape.Depth) && IsWithin(particle.Y, shape.Height) && IsWithin(particle.X, shape.Width);
    }

    internal static InputException NoSuchTomogram(string path, string wanted, IEnumerable<string> names)
        => new($"{path}: has no particles of tomogram {InputFile.Quote(wanted)}; it names {string.Join(", ", names.Distinct().Take(5).Select(InputFile.Quote))}.");

    private static bool IsWithin(double coordinate, int size) => coordinate >= -0.5 && coordinate <= size - 0.5;

    private static TableFormat Format(string path) => Path.GetExtension(path).ToUpperInvariant() switch
    {
        ".STAR" => TableFormat.Star,
        ".TXT" => TableFormat.Text,
        ".CSV" or ".TSV" or ".COORDS" => TableFormat.Delimited,
        string other => throw new InputException($"{path}: {(other.Length == 0 ? "a name without ending" : InputFile.Quote(other.ToLowerInvariant()))} is no supported table of coordinates; expected .star, .csv, .tsv, .txt or .coords."),
    };

    private static bool IsShrec(string path)
        => InputFile.ReadLines(path, "a table of coordinates").FirstOrDefault(l => !string.IsNullOrWhiteSpace(l.Text)).Text is { } line && ShrecLocations.IsRow(line);

    private enum TableFormat
    {
        Star,
        Text,
        Delimited,
    }
}
