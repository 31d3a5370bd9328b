using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>
/// Another way to read a table, and how the grey values at the centres then differ from those elsewhere.
/// </summary>
/// <param name="Words">What would have been wrong, for people.</param>
/// <param name="Contrast">
/// How far grey values around the centres differ from those around random places of the same heights z, in
/// standard errors: within ±3 for places that have nothing to do with the particles, negative where particles
/// are darker.
/// </param>
public sealed record CenterReading(string Words, double Contrast);

/// <summary>
/// Whether centres belong to their volumes: particles are darker or brighter than their surroundings, so the
/// grey values around the centres differ from those around random places. If they differ more where the axes
/// are exchanged, mirrored, scaled or moved, the table was read wrongly, and that is named. Shells around the
/// centres are compared rather than their middles alone, as particles may be hollow.
/// </summary>
public sealed record CenterCheck
{
    /// <summary>With fewer centres chance looks like a pattern.</summary>
    public const int FewestCenters = 5;

    /// <summary>
    /// From so many standard errors on centres stand out clearly: among some forty readings of noise the best
    /// one reaches about 3; the right reading of hand picks is far above.
    /// </summary>
    public const double ClearErrors = 5;

    // Readings that are nearly right stand out as well; a better one must be better by more than that.
    private const double Better = 1.5;
    private const double Absent = 3;

    // A volume whose centres should stand out by this, as those of the other volumes do, would not be below
    // Absent by chance.
    private const double Expected = 6;

    // The square of three shells' contrast that is as rare as 3 standard errors of one number is 14.16
    // (chi-squared).
    private const double ShellsSquare = 14.16 - 9;

    // The root mean square distance of a particle's density from its centre is 0.39 diameters for a ball,
    // 0.37 for a ring and 0.29 for a thin rod. On simulated tomograms 0.17 (rods in noise) to 0.49 (two
    // balls) of right diameters were measured, so that a factor of two cannot be told from a particle's
    // shape; one of four is beyond these limits.
    private const double LeastExtent = 0.1;
    private const double MostExtent = 0.56;
    private const double ExtentOfMost = 0.35;
    private const double ProfileReach = 1.5;
    private const double ParticleReach = 0.6;

    private const int MostCenters = 200;
    private const int RandomPlaces = 400;
    private const int FewestRandomPlaces = 30;
    private const long ProfileVoxels = 100_000_000;

    private static readonly double[] Shells = [0.25, 0.42, 0.6];

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

    /// <summary>
    /// How far from the centres that lies on average, in voxels, which stands out there (root mean square):
    /// about a third of a particle's diameter. Null where the centres do not stand out clearly.
    /// </summary>
    public required double? ExtentVoxels { get; init; }

    /// <summary>What is wrong, in a sentence; null where nothing was found.</summary>
    public required string? Problem { get; init; }

    /// <summary>Looks at the volumes of a data set, and compares them with each other.</summary>
    /// <param name="volumes">The volumes, normalised.</param>
    /// <param name="diameterVoxels">The particles' diameter.</param>
    /// <param name="diameterIsGiven">Whether it was given for these particles, so that they are held against
    /// it.</param>
    /// <param name="progress">Told (volumes done, volumes); null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    public static IReadOnlyList<CenterCheck> Of(
        IReadOnlyList<TrainingVolume> volumes, double diameterVoxels, bool diameterIsGiven,
        Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        Measured[] all = new Measured[volumes.Count];
        for (int i = 0; i < all.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            all[i] = Measure(volumes[i], diameterVoxels);
            progress?.Invoke(i + 1, all.Length);
        }

        return [.. all.Select((m, i) => m.Check with
        {
            Problem = m.Judged ? ProblemOf(all, i, diameterIsGiven ? diameterVoxels : null) : null,
        })];
    }

    private static Measured Measure(TrainingVolume volume, double diameter)
    {
        Position[] whole = [.. volume.Centers.Take(MostCenters)];
        Position[] centers = Apart(whole, diameter);
        Places places = new(new ShellMeans(volume.Image, [.. Shells.Select(s => s * diameter)]), volume.Size);
        double[][] elsewhere = places.Elsewhere(centers);
        double[]? shells = places.Differences(centers, elsewhere);
        CenterReading given = new("as it is", places.Contrast(centers, elsewhere));
        CenterReading best = given;
        foreach ((string words, Func<Position, Position> map) in Readings(volume.Size, diameter))
        {
            Position[] mapped = Apart([.. whole.Select(map)], diameter);
            if (mapped.Length < FewestCenters)
                continue;
            double contrast = places.Contrast(mapped, elsewhere);
            // Grey values vary with the height; what seems to stand out is compared with places of its own
            // heights.
            if (Math.Abs(contrast) >= Absent)
                contrast = places.Contrast(mapped, places.Elsewhere(mapped));
            if (Math.Abs(contrast) > Math.Abs(best.Contrast))
                best = new CenterReading(words, contrast);
        }

        double[] nearest =
        [
            .. volume.Centers
                .Select((c, i) => volume.Centers.Where((_, j) => j != i).Select(c.DistanceTo).DefaultIfEmpty(double.NaN).Min())
                .Order(),
        ];
        bool several = nearest.Length > 1;
        CenterCheck check = new()
        {
            Given = given,
            Best = best,
            Outside = volume.Centers.Count(c => !CoordinateTables.IsInside(c.Z, c.Y, c.X, volume.Size)),
            ShortestDistance = several ? nearest[0] : null,
            MedianDistance = several ? nearest[nearest.Length / 2] : null,
            ExtentVoxels = Math.Abs(given.Contrast) >= ClearErrors ? ExtentOf(volume, centers, diameter) : null,
            Problem = null,
        };
        return new Measured(Path.GetFileName(volume.Name), check, shells, centers.Length)
        {
            // A voxel that makes up the standard deviation alone leaves nothing to compare; that is said
            // elsewhere.
            Judged = centers.Length >= FewestCenters && volume.Outlier is null && !volume.IsConstant,
        };
    }

    // Places whose shells overlap much are not independent: of those that a wrong scale heaps up few count.
    private static Position[] Apart(Position[] places, double diameter)
    {
        List<Position> apart = [];
        foreach (Position place in places)
        {
            if (apart.TrueForAll(p => p.DistanceTo(place) >= Shells[^1] * diameter))
                apart.Add(place);
        }

        return [.. apart];
    }

    private static string? ProblemOf(Measured[] all, int index, double? diameter)
    {
        (CenterReading given, CenterReading best) = (all[index].Check.Given, all[index].Check.Best);
        if (Math.Abs(best.Contrast) >= ClearErrors && Math.Abs(best.Contrast) >= Better * Math.Abs(given.Contrast))
            return string.Create(CultureInfo.InvariantCulture, $"the centres stand out far more {best.Words}: by "
                + $"{best.Contrast:0.0} standard errors, as the table is read now by {given.Contrast:0.0}");
        if (Math.Abs(given.Contrast) < Absent)
            return ShouldStandOut(all, index) ? string.Create(CultureInfo.InvariantCulture,
                $"grey values at the centres are those of any place (they differ by {given.Contrast:0.0} standard errors). "
                    + $"Does the table belong to this volume? Are voxel size and diameter right?") : null;
        if (Opposite(all, index) is { } other)
            return $"particles are {all[index].Tone} than their surroundings, and {other.Tone} in {other.Name}. Is the "
                + $"contrast of one of them inverted?";
        if (diameter is not { } voxels || all[index].Check.ExtentVoxels is not { } extent)
            return null;
        // Particles side by side, as in a filament, are one wide thing.
        bool touch = all[index].Check.MedianDistance < extent / ExtentOfMost;
        return (extent > MostExtent * voxels && !touch) || extent < LeastExtent * voxels
            ? string.Create(CultureInfo.InvariantCulture, $"what lies at the centres is about {extent / ExtentOfMost:0} "
                + $"voxels wide on "
                + $"average, the particle's diameter was given as {voxels:0.#} voxels. Are the voxel size and the diameter in "
                    + $"Å right?")
            : null;
    }

    // Where other volumes stand out so little that this one would be lost in its noise, or all of them do,
    // nothing can be said of one.
    private static bool ShouldStandOut(Measured[] all, int index)
    {
        Measured[] others = [.. all.Where((m, i) => i != index && m.Judged)];
        double Pooled(IEnumerable<Measured> of)
            => Math.Sqrt(of.Average(m => m.Check.Given.Contrast * m.Check.Given.Contrast / m.Centers));
        if (others.Length == 0 || !others.Any(m => Math.Abs(m.Check.Given.Contrast) >= Absent))
            return true;
        return Pooled(others) * Math.Sqrt(all[index].Centers) >= Expected;
    }

    // A volume with the opposite contrast, where more of the volumes have that, or as many and one of them
    // comes first.
    private static Measured? Opposite(Measured[] all, int index)
    {
        int[] clear = [.. Enumerable.Range(0, all.Length).Where(i => all[i].IsClear)];
        if (!clear.Contains(index))
            return null;
        int[] opposite = [.. clear.Where(i => Cosine(all[i].Shells!, all[index].Shells!) < -0.5)];
        bool isMinority = 2 * opposite.Length > clear.Length || (2 * opposite.Length == clear.Length && opposite.First() < index);
        return opposite.Length > 0 && isMinority ? all[opposite[0]] : null;
    }

    private static double Cosine(double[] a, double[] b)
    {
        double Product(double[] u, double[] v) => u.Zip(v, (p, q) => p * q).Sum();
        return Product(a, b) / Math.Sqrt(Product(a, a) * Product(b, b));
    }

    // Of the mean of the subvolumes: the shells around the strongest one that are as dark, or as bright, as
    // that.
    private static double? ExtentOf(TrainingVolume volume, Position[] centers, double diameter)
    {
        double step = Math.Max(1, diameter / 20);
        double reach = Math.Min(ProfileReach * diameter, Math.Min(volume.Size.Height, volume.Size.Width) / 2.0);
        double[] radii = [.. Enumerable.Range(1, Math.Max(1, (int)Math.Floor(reach / step))).Select(i => i * step)];
        ShellMeans means = new(volume.Image, radii);
        int most = (int)Math.Clamp(ProfileVoxels / means.Voxels, 2 * FewestRandomPlaces, RandomPlaces);
        Places places = new(means, volume.Size);
        Position[] some = [.. centers.Take(most)];
        double[][] elsewhere = places.Elsewhere(some, most);
        if (places.Differences(some, elsewhere) is not { } errors || places.Levels(some, elsewhere) is not { } levels)
            return null;
        int inside = Array.FindLastIndex(radii, r => r <= ParticleReach * diameter);
        int peak = Enumerable.Range(0, Math.Max(1, inside + 1)).MaxBy(i => Math.Abs(errors[i]));
        if (Math.Abs(errors[peak]) < ClearErrors)
            return null;
        bool Alike(int i) => errors[i] * errors[peak] > 0;
        (int first, int last) = (peak, peak);
        while (first > 0 && Alike(first - 1))
            first--;
        while (last + 1 < radii.Length && Alike(last + 1) && Math.Abs(errors[last + 1]) >= Absent)
            last++;
        // What is not significant may be noise, and may be the rest of a particle that is hardly seen: it
        // counts as long as the particle may reach there.
        double mass = 0, moment = 0;
        for (int i = first; i <= Math.Max(last, inside); i++)
        {
            double radius = radii[i] - (step / 2);
            double here = Alike(i) ? Math.Abs(levels[i]) * radius * radius : 0;
            (mass, moment) = (mass + here, moment + (here * radius * radius));
        }

        return Math.Sqrt(moment / mass);
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
            string reading = string.Create(CultureInfo.InvariantCulture,
                $"with coordinates times {factor} (binning or voxel size)");
            yield return (reading, p => new Position(At(p.Z), At(p.Y), At(p.X)));
        }

        // A box's corner instead of its centre: boxes are 1 to 3 diameters wide.
        for (double share = 0.375; share <= 1.5; share += 0.125)
        {
            foreach (double shift in (double[])[share * diameter, -share * diameter])
            {
                string reading = string.Create(CultureInfo.InvariantCulture,
                    $"moved by {shift:0.#} voxels along every axis (half a box?)");
                yield return (reading, p => new Position(p.Z + shift, p.Y + shift, p.X + shift));
            }
        }
    }

    // What was measured of a volume alone; the contrast of each shell in standard errors, null where it
    // cannot be said.
    private sealed record Measured(string Name, CenterCheck Check, double[]? Shells, int Centers)
    {
        public required bool Judged { get; init; }

        public bool IsClear => Judged && Shells is not null && Math.Abs(Check.Given.Contrast) >= ClearErrors;

        public string Tone => Check.Given.Contrast < 0 ? "darker" : "brighter";
    }

    // Places of a volume, seen through shells.
    private sealed class Places(ShellMeans means, Extent size)
    {
        /// <summary>The shells around random places of the same heights.</summary>
        public double[][] Elsewhere(Position[] places, int count = RandomPlaces)
        {
            List<double[]> elsewhere = [];
            for (int i = 0; i < count && places.Length > 0; i++)
            {
                PhiloxBlock random = Philox.Block((uint)i, 0, 0, 0x706c6163, 1);
                Position place = new(
                    places[i % places.Length].Z, Philox.Below(random.X, size.Height), Philox.Below(random.Y, size.Width));
                if (means.At(place) is { } at)
                    elsewhere.Add(at);
            }

            return [.. elsewhere];
        }

        /// <summary>
        /// Mean of the places less mean elsewhere, of each shell; null where too few of either can be seen.
        /// </summary>
        public double[]? Levels(Position[] places, double[][] elsewhere)
        {
            double[][] at = [.. places.Select(means.At).OfType<double[]>()];
            // A reading that puts a third of the centres outside is none.
            if (at.Length == 0 || 3 * at.Length <= 2 * places.Length || elsewhere.Length < FewestRandomPlaces)
                return null;
            return [.. Enumerable.Range(0, at[0].Length).Select(s => at.Average(v => v[s]) - elsewhere.Average(v => v[s]))];
        }

        /// <summary><see cref="Levels"/> in standard errors, each shell by itself.</summary>
        public double[]? Differences(Position[] places, double[][] elsewhere)
        {
            if (Levels(places, elsewhere) is not { } levels)
                return null;
            double[,] covariance = Covariance(elsewhere);
            return [.. levels.Select((l, s) => covariance[s, s] > 0 ? l * Math.Sqrt(places.Length / covariance[s, s]) : 0)];
        }

        /// <summary>
        /// See <see cref="CenterReading"/>: Hotelling's T of the shells, less what chance adds.
        /// </summary>
        public double Contrast(Position[] places, double[][] elsewhere)
        {
            if (Levels(places, elsewhere) is not { } levels || Differences(places, elsewhere) is not { } errors)
                return 0;
            double[,] covariance = Covariance(elsewhere);
            if (Quadratic(covariance, levels) is not { } square)
                return 0;
            double strongest = errors.MaxBy(Math.Abs);
            return Math.Sign(strongest) * Math.Sqrt(Math.Max(0, (places.Length * square) - ShellsSquare));
        }

        private static double[,] Covariance(double[][] values)
        {
            int shells = values[0].Length;
            double[] mean = [.. Enumerable.Range(0, shells).Select(s => values.Average(v => v[s]))];
            double[,] covariance = new double[shells, shells];
            for (int a = 0; a < shells; a++)
            {
                for (int b = 0; b < shells; b++)
                    covariance[a, b] = values.Average(v => (v[a] - mean[a]) * (v[b] - mean[b]));
            }

            return covariance;
        }

        // vᵀ C⁻¹ v by Cholesky's factors: |L⁻¹ v|². Null where C has no inverse, as in a constant volume.
        private static double? Quadratic(double[,] c, double[] v)
        {
            int n = v.Length;
            double[,] l = new double[n, n];
            double[] solved = new double[n];
            for (int i = 0; i < n; i++)
            {
                for (int j = 0; j <= i; j++)
                {
                    double sum = c[i, j];
                    for (int k = 0; k < j; k++)
                        sum -= l[i, k] * l[j, k];
                    if (i == j && !(sum > 1e-9 * c[i, i]))
                        return null;
                    l[i, j] = i == j ? Math.Sqrt(sum) : sum / l[j, j];
                }

                double rest = v[i];
                for (int k = 0; k < i; k++)
                    rest -= l[i, k] * solved[k];
                solved[i] = rest / l[i, i];
            }

            return solved.Sum(s => s * s);
        }
    }
}
