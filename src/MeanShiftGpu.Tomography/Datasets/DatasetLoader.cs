using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>Which annotations of a data set are used.</summary>
/// <param name="Classes">The names or numbers of the classes, in the order of the network's outputs; empty
/// makes all particles one class.</param>
/// <param name="CentersPerVolume">Use only so many centres of each training volume, chosen at random; 0 for
/// all.</param>
/// <param name="Seed">Decides which.</param>
public sealed record AnnotationChoice(IReadOnlyList<string> Classes, int CentersPerVolume, int Seed)
{
    /// <summary>Everything, as one class.</summary>
    public static AnnotationChoice All { get; } = new([], 0, 0);

    /// <summary>Whether masks are read; where no loss needs them they are left alone.</summary>
    public bool Masks { get; init; } = true;

    /// <summary>
    /// Whether centres outside their volume are kept, for whoever looks for the reason; they are refused
    /// otherwise.
    /// </summary>
    public bool Outside { get; init; }

    /// <summary>What the settings of a training ask for.</summary>
    public static AnnotationChoice Of(TrainingOptions options)
        => new([.. options.Classes.Select(c => c.Name)], options.CentersPerVolume, options.Seed) { Masks = options.NeedsMasks };
}

/// <summary>
/// Opens the volumes of a data set's manifest as training needs them. As many as a limit of memory allows are
/// read whole, in the manifest's order; of the others patches are read from the files. Both give the same
/// bits.
/// </summary>
public static class DatasetLoader
{
    /// <summary>
    /// Opens the training and validation volumes of a manifest. Each is read once, for its mean and standard
    /// deviation.
    /// </summary>
    /// <param name="manifest">The data set.</param>
    /// <param name="choice">Which annotations are used; of validation volumes all of the classes are.</param>
    /// <param name="memoryBytes">The most that voxels may take in memory.</param>
    /// <param name="progress">Told (volumes read, volumes to read); null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    /// <exception cref="InputException">
    /// No volume is marked for training, a file cannot be read or has voxels that are not finite, a centre
    /// lies outside its volume, a mask has another size than its volume or does not say which particle it
    /// shows where that matters, or no training volume has a particle of a class.
    /// </exception>
    public static TrainingData Load(
        DatasetManifest manifest,
        AnnotationChoice choice,
        long memoryBytes = long.MaxValue,
        Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(choice);
        DatasetVolume[] training = [.. manifest.Of(DatasetSplit.Train)];
        DatasetVolume[] validation = [.. manifest.Of(DatasetSplit.Validation)];
        if (training.Length == 0)
            throw new InputException("data set: no volume has \"split\": \"train\"; expected at least one. Set it for the "
                + "volumes to train on.");

        List<TrainingVolume> opened = [];
        TrainingData data = new(opened, []);
        try
        {
            foreach (DatasetVolume entry in training.Concat(validation))
            {
                cancellation.ThrowIfCancellationRequested();
                bool trained = opened.Count < training.Length;
                int index = trained ? opened.Count : opened.Count - training.Length;
                opened.Add(
                    Open(entry, trained ? choice : choice with { CentersPerVolume = 0 }, index, ref memoryBytes, cancellation));
                progress?.Invoke(opened.Count, training.Length + validation.Length);
            }

            data = new TrainingData(opened[..training.Length], opened[training.Length..]);
            for (int c = 0; c < choice.Classes.Count; c++)
            {
                if (!data.Training.Any(v => Enumerable.Range(0, v.Centers.Count).Any(i => v.ClassOf(i) == c)))
                    throw new InputException($"data set: no training volume has a particle of class '{choice.Classes[c]}'; the "
                        + $"first table is {training[0].Coordinates}.");
            }

            return data;
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Reads one volume into memory: the image normalised to mean 0 and standard deviation 1 (unless it was
    /// before), the centres in voxels, the mask as classes counted from 1.
    /// </summary>
    /// <param name="entry">Its files.</param>
    /// <param name="choice">Which annotations are used; null for all, as one class.</param>
    /// <param name="index">The volume's number, by which the random choice of centres differs between
    /// volumes.</param>
    /// <exception cref="InputException">See <see cref="Load"/>.</exception>
    public static TrainingVolume LoadVolume(DatasetVolume entry, AnnotationChoice? choice = null, int index = 0)
    {
        ArgumentNullException.ThrowIfNull(entry);
        long memory = long.MaxValue;
        return Open(entry, choice ?? AnnotationChoice.All, index, ref memory, default);
    }

    private static TrainingVolume Open(
        DatasetVolume entry, AnnotationChoice choice, int index, ref long memory, CancellationToken cancellation)
    {
        MrcHeader header = MrcFile.ReadHeader(entry.Volume);
        if (entry.Region is { } part && !part.Box.IsInside(header.Shape))
            throw new InputException($"{entry.Volume}: the region {part} is not inside the volume of {header.Shape} voxels. "
                + "Correct \"region\" in the manifest.");
        IReadOnlyList<Particle> particles = entry.ReadParticles(header.Shape, header.VoxelSize);
        if (!choice.Outside)
            CoordinateTables.CheckInside(entry.Coordinates, particles, header.Shape);
        List<(Particle Particle, int Class)> chosen = Choose(particles, choice, index);
        MappedVoxels.Change? labels =
            choice.Masks && entry.Mask is not null ? Labels(entry, entry.Mask, header.Shape, choice, chosen) : null;

        float? outlier = null;
        bool constant = false;
        MappedVoxels.Change Normalization(VoxelStatistics statistics)
        {
            outlier = statistics.Outlier;
            constant = statistics.Deviation == 0;
            return entry.Normalize ? statistics.Normalize : static _ => { };
        }

        IVoxelSource image = Open(entry.Volume, header, Normalization, ref memory, cancellation);
        try
        {
            return new TrainingVolume(
                entry.Region is { } region ? $"{entry.Volume} ({region})" : entry.Volume,
                Part(image, entry.Region, ref memory),
                labels is null ? null : Part(
                    Open(entry.Mask!, header, _ => labels, ref memory, cancellation), entry.Region, ref memory),
                [.. chosen.Select(
                    p => entry.Region?.FromVolume(p.Particle) ?? new Position(p.Particle.Z, p.Particle.Y, p.Particle.X))])
            {
                CenterClasses = choice.Classes.Count == 0 ? null : [.. chosen.Select(p => p.Class)],
                Background =
                    [.. entry.ReadBackground(header.Shape, header.VoxelSize)
                    .Select(p => entry.Region?.FromVolume(p) ?? new Position(p.Z, p.Y, p.X))],
                Outlier = outlier,
                IsConstant = constant,
                VoxelSize = entry.VoxelSizeAngstrom > 0 ? new VoxelSize(entry.VoxelSizeAngstrom) : header.VoxelSize,
            };
        }
        catch
        {
            (image as IDisposable)?.Dispose();
            throw;
        }
    }

    // In memory where there is room, else in the file. Either way all voxels are read once, and refused where
    // they are not finite.
    private static IVoxelSource Open(
        string path,
        MrcHeader header,
        Func<VoxelStatistics, MappedVoxels.Change> change,
        ref long memory,
        CancellationToken cancellation)
    {
        Int128 bytes = (Int128)header.Shape.Voxels * sizeof(float);
        if (bytes <= memory)
        {
            memory -= (long)bytes;
            Volume volume = MrcFile.Read(path, allowNonFinite: true);
            MappedVoxels.Change map = change(VoxelStatistics.Measure(volume, path, cancellation));
            for (int z = 0; z < volume.Depth;)
            {
                Span<float> slab = volume.Slab(z, volume.Depth - z);
                map(slab);
                z += slab.Length / volume.SliceLength;
            }

            return volume;
        }

        MrcReader reader = MrcReader.Open(path, cancellation);
        try
        {
            return new MappedVoxels(reader, change(VoxelStatistics.Measure(reader, path, cancellation)));
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    // Of what is in memory the part alone stays there.
    private static IVoxelSource Part(IVoxelSource whole, DatasetRegion? region, ref long memory)
    {
        if (region is null)
            return whole;
        if (whole is not Volume inMemory)
            return new VoxelsOfRegion(whole, region.Box);
        ((int firstZ, int firstY, int firstX), Extent size) = (region.Box.Origin, region.Box.Size);
        Volume part = new(size, whole.VoxelSize);
        for (int z = 0; z < size.Depth; z++)
        {
            for (int y = 0; y < size.Height; y++)
                inMemory.Row(firstZ + z, firstY + y).Slice(firstX, size.Width).CopyTo(part.Row(z, y));
        }

        memory += (long)((Int128)(inMemory.Length - part.Length) * sizeof(float));
        inMemory.Dispose();
        return part;
    }

    private static List<(Particle Particle, int Class)> Choose(
        IReadOnlyList<Particle> particles, AnnotationChoice choice, int index)
    {
        List<(Particle Particle, int Class)> chosen =
            [.. particles.Select(p => (p, ClassOf(p, choice))).Where(p => p.Item2 >= 0)];
        if (choice.CentersPerVolume == 0 || chosen.Count <= choice.CentersPerVolume)
            return chosen;
        // The first of a random order (Fisher–Yates), a function of the seed and the volume's number.
        for (int i = 0; i < choice.CentersPerVolume; i++)
        {
            int j = i + Philox.Below(Philox.Block((uint)i, (uint)index, 0, 0x63656e74, (ulong)choice.Seed).X, chosen.Count - i);
            (chosen[i], chosen[j]) = (chosen[j], chosen[i]);
        }

        return chosen[..choice.CentersPerVolume];
    }

    // A class is meant by its name or its number.
    internal static int ClassOf(Particle particle, AnnotationChoice choice)
    {
        if (choice.Classes.Count == 0)
            return 0;
        for (int c = 0; c < choice.Classes.Count; c++)
        {
            if (choice.Classes[c].Equals(particle.Name, StringComparison.OrdinalIgnoreCase)
                || (particle.Class is { } number && choice.Classes[c] == number.ToString(CultureInfo.InvariantCulture)))
                return c;
        }

        return -1;
    }

    // What makes classes of a mask's numbers.
    private static MappedVoxels.Change Labels(
        DatasetVolume entry, string path, Extent shape, AnnotationChoice choice, List<(Particle Particle, int Class)> chosen)
    {
        if (MrcFile.ReadHeader(path).Shape is var own && own != shape)
            throw new InputException($"{path}: the mask has {own} voxels, its volume {shape}; expected the same size. "
                + "Give a mask of that volume.");
        if (choice is { Classes.Count: 0, CentersPerVolume: 0 })
        {
            // Label volumes number their particles, after what is none; any higher number is inside.
            return values =>
            {
                foreach (ref float value in values)
                    value = value > entry.MaskAbove ? 1 : 0;
            };
        }

        // Of some particles only, or of several classes: the mask must say whose a voxel is.
        if (chosen.Any(p => p.Particle.Id is null))
            throw new InputException($"{path}: with some of the centres or several classes a mask must number its particles as "
                + $"their table does (SHREC, Dynamo, DeepFinder, copick), and {entry.Coordinates} gives no numbers. Leave the "
                + "mask out of the manifest; balls are used then.");
        Dictionary<int, int> labels = [];
        foreach ((Particle particle, int classIndex) in chosen)
        {
            int id = particle.Id!.Value;
            if (id < 1 || !labels.TryAdd(id, classIndex + 1))
                throw new InputException($"{path}: the mask must number its particles as their table does, and in "
                    + $"{entry.Coordinates} "
                    + $"{(id < 1 ? $"a particle has the number {id}" : $"two particles have the number {id}")}; expected "
                    + "different numbers from 1, 0 being what is no particle. Leave the mask out of the manifest; balls are "
                    + "used then.");
        }

        return values =>
        {
            foreach (ref float value in values)
                value = labels.GetValueOrDefault((int)value);
        };
    }
}
