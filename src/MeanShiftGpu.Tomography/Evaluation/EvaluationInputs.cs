using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>Brings picks and truth together, from tables or from a data set.</summary>
public static class EvaluationInputs
{
    /// <summary>The volumes of tables of picks and of true centres, in their order.</summary>
    /// <param name="pickFiles">Tables of picks.</param>
    /// <param name="truthFiles">Tables of true centres, as many.</param>
    /// <param name="context">How the tables are read.</param>
    /// <param name="truthBinning">The binning of the true centres, where it is another.</param>
    /// <param name="names">The names of the picks' classes 1, 2, …; may be empty.</param>
    /// <param name="path">The volume's file, for pictures; null for none.</param>
    /// <exception cref="InputException">A table cannot be read, or they do not fit each other.</exception>
    public static IReadOnlyList<EvaluatedVolume> FromTables(
        IReadOnlyList<string> pickFiles, IReadOnlyList<string> truthFiles, CoordinateContext context, double? truthBinning,
            IReadOnlyList<string> names, string? path)
    {
        CoordinateContext truthContext = context with { Binning = truthBinning ?? context.Binning };
        if (pickFiles.Count != truthFiles.Count)
            throw new InputException($"evaluate: {Counted.Of(pickFiles.Count, "table")} of picks and {truthFiles.Count} of "
                + "true centres; expected as many of one as of the other, in the same order.");
        RefuseOtherOrder(pickFiles, truthFiles);
        List<EvaluatedVolume> volumes = [];
        for (int i = 0; i < pickFiles.Count; i++)
        {
            IReadOnlyList<VolumePoints> WithShape(IReadOnlyList<Particle> particles)
                => [.. EvaluationTables.Group(particles).Select(v => v with
            {
                Shape = context.Shape,
            })];
            IReadOnlyList<Particle> found = CoordinateTables.Read(pickFiles[i], context);
            IReadOnlyList<Particle> centres = CoordinateTables.Read(truthFiles[i], truthContext);
            RefuseOtherVoxels(pickFiles[i], found, truthFiles[i], centres);
            if (path is not null)
            {
                CoordinateTables.RefuseOtherVolume(pickFiles[i], found, path);
                CoordinateTables.RefuseOtherVolume(truthFiles[i], centres, path);
            }

            volumes.AddRange(
                EvaluationTables.Join(
                    pickFiles[i], WithShape(Named(found, names)), truthFiles[i], WithShape(centres))
                    .Select(v => new EvaluatedVolume(v.Name, v.Volume, null)));
        }

        // --volume is one volume's; several have no pictures.
        return volumes.Count == 1 ? [volumes[0] with { Path = path }] : volumes;
    }

    /// <summary>
    /// Refuses tables that are paired by their order where their files' names pair them otherwise.
    /// </summary>
    private static void RefuseOtherOrder(IReadOnlyList<string> pickFiles, IReadOnlyList<string> truthFiles)
    {
        TomogramName[] picks = [.. pickFiles.Select(f => new TomogramName(CoordinateFolder.TomogramOf(f)))];
        for (int i = 0; i < picks.Length; i++)
        {
            TomogramName truth = new(CoordinateFolder.TomogramOf(truthFiles[i]));
            if (truth != picks[i] && Array.IndexOf(picks, truth) is >= 0 and int at)
                throw new InputException($"evaluate: {truthFiles[i]} stands in the place of {pickFiles[i]}, and is called like "
                    + $"{pickFiles[at]}; expected the tables of true centres in the order of the picks. Give both in one order.");
        }
    }

    // Distances are in voxels, which must be the same ones on both sides.
    private static void RefuseOtherVoxels(
        string pickFile, IReadOnlyList<Particle> picks, string truthFile, IReadOnlyList<Particle> truth)
    {
        static (string? Tomogram, double Size)[] Sizes(IReadOnlyList<Particle> particles)
            => [.. particles.Where(p => p.Pixels.SizeAngstrom > 0).Select(p => (p.Tomogram, p.Pixels.VoxelSizeAngstrom))
                .Distinct()];
        (string? Tomogram, double Size)[] theirs = Sizes(truth);
        foreach ((string? tomogram, double size) in Sizes(picks))
        {
            foreach ((string? other, double otherSize) in theirs)
            {
                if (Math.Abs(size - otherSize) > 0.01 * otherSize
                    && (tomogram is null || other is null || TomogramNames.AreSame(tomogram, other)))
                    throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{pickFile}: counts in voxels of "
                        + $"{size:0.####} Å, and {truthFile} in voxels of {otherSize:0.####} Å; expected the same. Convert one "
                        + $"of them to the other's voxels, or say the volume's voxel size or the tables' binning."));
            }
        }
    }

    /// <summary>The volumes of a data set, with their picks in one table or a folder of tables.</summary>
    /// <param name="pickFiles">The table or the folder.</param>
    /// <param name="manifestPath">The data set's manifest.</param>
    /// <param name="split">Which of its volumes.</param>
    /// <param name="context">How the picks are read; their volumes give voxel sizes and sizes.</param>
    /// <param name="names">The names of the picks' classes 1, 2, …; may be empty.</param>
    /// <exception cref="InputException">A table cannot be read, or picks and data set do not fit each
    /// other.</exception>
    public static IReadOnlyList<EvaluatedVolume> FromManifest(
        IReadOnlyList<string> pickFiles, string manifestPath, DatasetSplit split, CoordinateContext context,
            IReadOnlyList<string> names)
    {
        DatasetVolume[] entries = [.. DatasetManifest.Read(manifestPath).Of(split)];
        if (entries.Length == 0)
            throw new InputException($"{manifestPath}: has no volume with the split {split.ToString().ToLowerInvariant()}. "
                + "Choose another with --split, or set \"split\" in the manifest.");
        if (pickFiles.Count != 1)
            throw new InputException($"evaluate: {Counted.Of(pickFiles.Count, "table")} of picks; with a data set expected one "
                + "table with the volumes' names, or a folder.");

        string source = pickFiles[0];
        bool folder = Directory.Exists(source);
        Func<string, string?> tableOf = CoordinateFolder.Finder(source);
        List<(string Name, EvaluationVolume Volume)> volumes = [];
        List<VolumePoints> truth = [];
        List<CoordinateVolume> shapes = [];
        foreach (DatasetVolume entry in entries)
        {
            MrcHeader header = MrcFile.ReadHeader(entry.Volume);
            // Picks are in voxels of the volume, whatever the truth counts in.
            VoxelSize voxels = entry.VoxelSizeAngstrom > 0 ? new VoxelSize(entry.VoxelSizeAngstrom) : header.VoxelSize;
            shapes.Add(new CoordinateVolume(TomogramNames.Of(entry.Volume), header.Shape, voxels));
            VolumePoints points = VolumePoints.Of(
                TomogramNames.Of(entry.Volume), entry.ReadParticles(header.Shape, header.VoxelSize), header.Shape);
            if (!folder)
            {
                truth.Add(points);
                continue;
            }

            CoordinateContext own = context.WithVolume(entry.Volume, header.Shape, voxels);
            IReadOnlyList<Particle> found =
                tableOf(TomogramNames.Of(entry.Volume)) is { } table ? CoordinateTables.Read(table, own) : [];
            volumes.AddRange(
                EvaluationTables.Join(source, [VolumePoints.Of(points.Volume, Named(found, names))], manifestPath, [points]));
        }

        if (folder && !Array.Exists(entries, e => tableOf(TomogramNames.Of(e.Volume)) is not null))
            throw new InputException($"{source}: has no table for any of {Counted.Of(entries.Length, "volume")} of "
                + $"{manifestPath}, for example {TomogramNames.Of(entries[0].Volume)}.star. Give the folder that 'pick' wrote.");
        if (!folder)
        {
            CoordinateContext all = shapes is [var one] ? context.WithVolume(entries[0].Volume, one.Shape, one.VoxelSize)
                : context with { Volumes = shapes };
            volumes.AddRange(
                EvaluationTables.Join(
                    source, EvaluationTables.Group(Named(CoordinateTables.Read(source, all), names)), manifestPath, truth));
        }

        return [.. volumes.Select(
            (v, i) => new EvaluatedVolume(v.Name, InRegion(v.Volume, entries[i].Region, shapes[i].Shape), entries[i].Volume))];
    }

    // Of a part of a volume the truth is that of the part, and so must be the picks.
    private static EvaluationVolume InRegion(EvaluationVolume volume, DatasetRegion? region, Extent shape)
    {
        if (region is null)
            return volume;
        int[] inside =
            [.. Enumerable.Range(0, volume.Predictions.Count).Where(
                i => volume.Predictions[i] is var p && region.Holds(p.Z, p.Y, p.X, shape))];
        return volume with
        {
            Predictions = [.. inside.Select(i => volume.Predictions[i])],
            PredictionClasses = volume.PredictionClasses is { } classes ? [.. inside.Select(i => classes[i])] : null,
            PredictionScores = volume.PredictionScores is { } scores ? [.. inside.Select(i => scores[i])] : null,
        };
    }

    // Picks of class n are of the n-th name, unless their table names them, or the name is a number: then
    // 'pick' wrote that number.
    private static Particle[] Named(IReadOnlyList<Particle> picks, IReadOnlyList<string> names)
        => [.. picks.Select(
            p => p.Name is null && p.Class is { } n && n >= 1 && n <= names.Count && !names.Any(IsNumber)
                ? p with { Name = names[n - 1] } : p)];

    private static bool IsNumber(string name) => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    /// <summary>Refuses names that no true particle has, and picks that do not say their class.</summary>
    /// <param name="volumes">The volumes.</param>
    /// <param name="names">The names of the picks' classes.</param>
    /// <exception cref="InputException">A name is unknown, or a class is missing.</exception>
    public static void RefuseOtherClasses(IReadOnlyList<EvaluatedVolume> volumes, IReadOnlyList<string> names)
    {
        HashSet<string> known = new(
            volumes.SelectMany(v => v.Points.TruthClasses ?? []).OfType<string>(), StringComparer.OrdinalIgnoreCase);
        if (names.FirstOrDefault(n => !known.Contains(n)) is { } unknown)
            throw new InputException($"evaluate: no true particle is of class '{unknown}'; "
                + $"{(known.Count == 0 ? "the truth says no classes" : $"there are {string.Join(", ", known)}")}.");
        if (volumes.FirstOrDefault(v => v.Points.Predictions.Count > 0
            && v.Points.PredictionClasses?.All(c => c is not null) != true) is { } mute)
            throw new InputException($"evaluate: the table of picks in {mute.Name} does not say the class of each; expected one "
                + "for every pick. Pick with a model that was trained with classes, in a format that keeps classes.");
    }

    private static bool NumbersOccupancy(string table) => CoordinateFormats.NumbersOccupancy(CoordinateFormats.Identify(table));

    /// <summary>SHREC's scores where there are its masks; null otherwise.</summary>
    /// <param name="path">The mask of the one table of true centres; null for those of the data set.</param>
    /// <param name="volumes">The volumes.</param>
    /// <param name="manifest">The data set's manifest; null where there are tables.</param>
    /// <param name="truthFiles">The tables of true centres.</param>
    /// <param name="split">Which volumes of the data set.</param>
    /// <exception cref="InputException">A mask cannot be read, or it does not number the table's
    /// rows.</exception>
    public static OccupancyScore? Occupancy(
        string? path,
        IReadOnlyList<EvaluatedVolume> volumes, string? manifest, IReadOnlyList<string> truthFiles,
        DatasetSplit split)
    {
        (string Truth, string Mask)[] masks = [];
        DatasetVolume[] entries = path is null && manifest is not null ? [.. DatasetManifest.Read(manifest).Of(split)] : [];
        if (path is not null)
            masks = [(truthFiles[0], path)];
        else if (Array.TrueForAll(entries, e => e.Mask is not null && NumbersOccupancy(e.Coordinates)))
            masks = [.. entries.Select(e => (e.Coordinates, e.Mask!))];
        if (masks.Length == 0)
            return null;
        OccupancyEvaluation evaluation = new();
        for (int i = 0; i < masks.Length; i++)
        {
            if (!NumbersOccupancy(masks[i].Truth))
            {
                string words = string.Join(" or ", CoordinateFormats.Table.Where(t => t.NumbersOccupancy).Select(t => t.Word));
                throw new InputException($"{masks[i].Truth}: its rows are not those that an occupancy mask numbers; expected a "
                    + $"table of the format {words}.");
            }

            using Volume mask = MrcFile.Read(masks[i].Mask);
            evaluation.Add(volumes[i].Points.Predictions, CoordinateTables.Read(masks[i].Truth), mask);
        }

        return evaluation.Score;
    }
}
