using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>Another way to read a table, and how the grey values at the centres then differ from those elsewhere.</summary>
/// <param name="Words">What would have been wrong, for people.</param>
/// <param name="Contrast">
/// Mean grey value in balls at the centres less that at random places of the same heights z, in standard errors
/// of the mean: within ±3 for places that have nothing to do with the particles.
/// </param>
public sealed record CenterReading(string Words, double Contrast);

/// <summary>
/// Whether centres belong to their volume: particles are darker or brighter than their surroundings, so the
/// grey values at the centres differ from those at random places. If they differ more where the axes are
/// exchanged, mirrored, scaled or moved, the table was read wrongly, and that is named.
/// </summary>
public sealed record CenterCheck
{
    /// <summary>With fewer centres chance looks like a pattern.</summary>
    public const int FewestCenters = 5;

    // Among some forty readings of noise the best one reaches about 3; the right reading of hand picks is far above.
    private const double Clear = 5;

    // Readings that are nearly right stand out as well; a better one must be better by more than that.
    private const double Better = 1.5;
    private const double Absent = 3;

    private const int MostCenters = 200;
    private const int RandomPlaces = 400;

    /// <summary>The reading that was given.</summary>
    public required CenterReading Given { get; init; }

    /// <summary>The reading in which the centres stand out most.</summary>
    public required CenterReading Best { get; init; }

    /// <summary>Centres outside the volume.</summary>
    public required int Outside { get; init; }

    /// <summary>The shortest distance between two centres in voxels; null of one alone.</summary>
    public required double? ShortestDistance { get; init; }

    /// <summary>The median distance of a centre from its nearest neighbour; null of one alone.</summary>
    public required double? MedianDistance { get; init; }

    /// <summary>What is wrong, in a sentence; null where nothing was found.</summary>
    public required string? Problem { get; init; }

    /// <summary>Looks at a volume.</summary>
    /// <param name="volume">The volume, normalised.</param>
    /// <param name="diameterVoxels">The particles' diameter.</param>
    public static CenterCheck Of(TrainingVolume volume, double diameterVoxels)
    {
        ArgumentNullException.ThrowIfNull(volume);
        Position[] centers = [.. volume.Centers.Take(MostCenters)];
        BallMeans balls = new(volume.Image, ParticleSize.MaskRadiusPerDiameter * diameterVoxels);
        CenterReading given = new("as it is", balls.Contrast(centers));
        CenterReading[] others = [.. Readings(volume.Size, diameterVoxels).Select(r => new CenterReading(r.Words,
            balls.Contrast([.. centers.Select(r.Map)])))];
        CenterReading best = others.Prepend(given).MaxBy(r => Math.Abs(r.Contrast))!;
        double[] nearest =
        [
            .. volume.Centers
                .Select((c, i) => volume.Centers.Where((_, j) => j != i).Select(c.DistanceTo).DefaultIfEmpty(double.NaN).Min())
                .Order(),
        ];
        bool several = nearest.Length > 1;
        return new CenterCheck
        {
            Given = given,
            Best = best,
            Outside = volume.Centers.Count(c => !CoordinateTables.IsInside(c.Z, c.Y, c.X, volume.Size)),
            ShortestDistance = several ? nearest[0] : null,
            MedianDistance = several ? nearest[nearest.Length / 2] : null,
            Problem = ProblemOf(given, best, centers.Length),
        };
    }

    private static string? ProblemOf(CenterReading given, CenterReading best, int centers)
    {
        if (centers < FewestCenters)
            return null;
        if (Math.Abs(best.Contrast) >= Clear && Math.Abs(best.Contrast) >= Better * Math.Abs(given.Contrast))
            return FormattableString.Invariant($"the centres stand out far more {best.Words}: by {best.Contrast:0.0} standard errors, as the table is read now by {given.Contrast:0.0}");
        return Math.Abs(given.Contrast) >= Absent ? null : FormattableString.Invariant(
            $"grey values at the centres are those of any place (they differ by {given.Contrast:0.0} standard errors). Does the table belong to this volume?");
    }

    private static IEnumerable<(string Words, Func<Position, Position> Map)> Readings(Extent size, double diameter)
    {
        yield return ("with x and y exchanged", p => new Position(p.Z, p.X, p.Y));
        yield return ("with x and z exchanged", p => new Position(p.X, p.Y, p.Z));
        yield return ("with y and z exchanged", p => new Position(p.Y, p.Z, p.X));
        yield return ("with z, y, x taken as y, x, z", p => new Position(p.Y, p.X, p.Z));
        yield return ("with z, y, x taken as x, z, y", p => new Position(p.X, p.Z, p.Y));
        yield return ("mirrored along z", p => new Position(size.Depth - 1 - p.Z, p.Y, p.X));
        yield return ("mirrored along y", p => new Position(p.Z, size.Height - 1 - p.Y, p.X));
        yield return ("mirrored along x", p => new Position(p.Z, p.Y, size.Width - 1 - p.X));
        foreach (double factor in (double[])[0.25, 0.5, 2, 4])
        {
            double At(double place) => ((place + 0.5) * factor) - 0.5;
            string reading = FormattableString.Invariant($"with coordinates times {factor} (binning or voxel size)");
            yield return (reading, p => new Position(At(p.Z), At(p.Y), At(p.X)));
        }

        // A box's corner instead of its centre: boxes are 1 to 3 diameters wide.
        for (double share = 0.375; share <= 1.5; share += 0.125)
        {
            foreach (double shift in (double[])[share * diameter, -share * diameter])
            {
                string reading = FormattableString.Invariant($"moved by {shift:0.#} voxels along every axis (half a box?)");
                yield return (reading, p => new Position(p.Z + shift, p.Y + shift, p.X + shift));
            }
        }
    }

    // Mean grey values of balls, at places and at random ones of the same heights.
    private sealed class BallMeans
    {
        private readonly IVoxelSource image;
        private readonly int reach;
        private readonly float[] values;
        private readonly int[] inside;

        public BallMeans(IVoxelSource image, double radius)
        {
            this.image = image;
            reach = (int)Math.Floor(radius);
            int edge = (2 * reach) + 1;
            values = new float[edge * edge * edge];
            inside =
            [
                .. Enumerable.Range(0, values.Length).Where(i =>
                {
                    (int dz, int dy, int dx) = ((i / edge / edge) - reach, (i / edge % edge) - reach, (i % edge) - reach);
                    return (dz * dz) + (dy * dy) + (dx * dx) <= radius * radius;
                }),
            ];
        }

        /// <summary>See <see cref="CenterReading"/>; 0 where a third of the places or more are no places of the volume.</summary>
        public double Contrast(Position[] places)
        {
            double[] at = [.. places.Select(Mean).OfType<double>()];
            if (at.Length == 0 || 3 * at.Length <= 2 * places.Length)
                return 0;
            List<double> elsewhere = [];
            for (int i = 0; i < RandomPlaces; i++)
            {
                PhiloxBlock random = Philox.Block((uint)i, 0, 0, 0x706c6163, 1);
                Position place = new(
                    places[i % places.Length].Z, Philox.Below(random.X, image.Size.Height), Philox.Below(random.Y,
                        image.Size.Width));
                if (Mean(place) is { } mean)
                    elsewhere.Add(mean);
            }

            if (elsewhere.Count < 2)
                return 0;
            double average = elsewhere.Average();
            double deviation = Math.Sqrt(elsewhere.Average(v => (v - average) * (v - average)));
            return deviation > 0 ? (at.Average() - average) / (deviation / Math.Sqrt(at.Length)) : 0;
        }

        private double? Mean(Position place)
        {
            (int z, int y, int x) = ((int)Math.Round(place.Z), (int)Math.Round(place.Y), (int)Math.Round(place.X));
            int edge = (2 * reach) + 1;
            Box box = new((z - reach, y - reach, x - reach), new Extent(edge, edge, edge));
            if (!box.IsInside(image.Size))
                return null;
            image.Read(box, values);
            return inside.Average(i => (double)values[i]);
        }
    }
}
