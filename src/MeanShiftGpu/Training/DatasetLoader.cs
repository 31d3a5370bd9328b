using System.Globalization;
using MeanShiftGpu.IO;
using MeanShiftGpu.Kernels;

namespace MeanShiftGpu.Training;

/// <summary>Which annotations of a data set are used.</summary>
/// <param name="Classes">The names or numbers of the classes, in the order of the network's outputs; empty makes all particles one class.</param>
/// <param name="CentersPerVolume">Use only so many centres of each training volume, chosen at random; 0 for all.</param>
/// <param name="Seed">Decides which.</param>
public sealed record AnnotationChoice(IReadOnlyList<string> Classes, int CentersPerVolume, int Seed)
{
    /// <summary>Everything, as one class.</summary>
    public static AnnotationChoice All { get; } = new([], 0, 0);

    /// <summary>What the settings of a training ask for.</summary>
    public static AnnotationChoice Of(TrainingOptions options) => new([.. options.Classes.Select(c => c.Name)], options.CentersPerVolume, options.Seed);
}

/// <summary>Reads the volumes of a data set's manifest as training and picking need them.</summary>
public static class DatasetLoader
{
    /// <summary>Reads the training and validation volumes of a manifest.</summary>
    /// <param name="manifest">The data set.</param>
    /// <param name="choice">Which annotations are used; of validation volumes all of the classes are.</param>
    /// <param name="progress">Told (volumes read, volumes to read); null for nobody.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    /// <exception cref="InputException">
    /// No volume is marked for training, a file cannot be read or has voxels that are not finite, a centre lies outside its volume, a mask
    /// has another size than its volume or does not say which particle it shows where that matters, or no training volume has a particle of a class.
    /// </exception>
    public static TrainingData Load(DatasetManifest manifest, AnnotationChoice choice, Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(choice);
        DatasetVolume[] training = [.. manifest.Of(DatasetSplit.Train)];
        DatasetVolume[] validation = [.. manifest.Of(DatasetSplit.Validation)];
        if (training.Length == 0)
            throw new InputException("data set: no volume has \"split\": \"train\"; training needs at least one.");

        int done = 0;
        List<TrainingVolume> Read(DatasetVolume[] entries, AnnotationChoice choice)
        {
            List<TrainingVolume> volumes = [];
            foreach (DatasetVolume entry in entries)
            {
                cancellation.ThrowIfCancellationRequested();
                volumes.Add(LoadVolume(entry, choice, volumes.Count));
                progress?.Invoke(++done, training.Length + validation.Length);
            }

            return volumes;
        }

        TrainingData data = new(Read(training, choice), Read(validation, choice with { CentersPerVolume = 0 }));
        for (int c = 0; c < choice.Classes.Count; c++)
        {
            if (!data.Training.Any(v => Enumerable.Range(0, v.Centers.Count).Any(i => v.ClassOf(i) == c)))
                throw new InputException($"data set: no training volume has a particle of class '{choice.Classes[c]}'; the first table is {training[0].Coordinates}.");
        }

        return data;
    }

    /// <summary>Reads one volume: the image normalised to mean 0 and standard deviation 1 (unless it was before), the centres in voxels, the mask as classes counted from 1.</summary>
    /// <param name="entry">Its files.</param>
    /// <param name="choice">Which annotations are used; null for all, as one class.</param>
    /// <param name="index">The volume's number, by which the random choice of centres differs between volumes.</param>
    /// <exception cref="InputException">See <see cref="Load"/>.</exception>
    public static TrainingVolume LoadVolume(DatasetVolume entry, AnnotationChoice? choice = null, int index = 0)
    {
        ArgumentNullException.ThrowIfNull(entry);
        choice ??= AnnotationChoice.All;
        using Volume volume = MrcFile.Read(entry.Volume);
        IReadOnlyList<Particle> particles = Coordinates.Read(entry.Coordinates, entry.Context(volume.Shape, volume.VoxelSizeAngstrom));
        Coordinates.CheckInside(entry.Coordinates, particles, volume.Shape);
        List<(Particle Particle, int Class)> chosen = Choose(particles, choice, index);
        return new TrainingVolume(
            Path.GetFileName(entry.Volume),
            volume.Depth,
            volume.Height,
            volume.Width,
            entry.Normalize ? Normalized(entry.Volume, volume) : ToArray(entry.Volume, volume),
            entry.Mask is null ? null : LoadMask(entry, entry.Mask, volume.Shape, choice, chosen),
            [.. chosen.Select(p => new Position((float)p.Particle.Z, (float)p.Particle.Y, (float)p.Particle.X))])
        {
            CenterClasses = choice.Classes.Count == 0 ? null : [.. chosen.Select(p => p.Class)],
            VoxelSizeAngstrom = entry.VoxelSizeAngstrom > 0 ? entry.VoxelSizeAngstrom : volume.VoxelSizeAngstrom,
        };
    }

    /// <summary>A volume's voxels in one array, shifted and scaled to mean 0 and standard deviation 1, as training and picking see it.</summary>
    /// <param name="path">The volume's name, for the message.</param>
    /// <param name="volume">The volume; it stays as it is.</param>
    /// <returns>[D, H, W].</returns>
    /// <exception cref="InputException">The volume has more voxels than an array can hold.</exception>
    public static float[] Normalized(string path, Volume volume)
    {
        float[] image = ToArray(path, volume);
        TrainingVolume.Normalize(image);
        return image;
    }

    private static List<(Particle Particle, int Class)> Choose(IReadOnlyList<Particle> particles, AnnotationChoice choice, int index)
    {
        List<(Particle Particle, int Class)> chosen = [.. particles.Select(p => (p, ClassOf(p, choice))).Where(p => p.Item2 >= 0)];
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
    private static int ClassOf(Particle particle, AnnotationChoice choice)
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

    private static float[] LoadMask(DatasetVolume entry, string path, VolumeShape shape, AnnotationChoice choice, List<(Particle Particle, int Class)> chosen)
    {
        using Volume mask = MrcFile.Read(path);
        if (mask.Shape != shape)
            throw new InputException($"{path}: the mask has {mask.Shape} voxels, its volume {shape}; expected the same size.");
        float[] values = ToArray(path, mask);
        if (choice is { Classes.Count: 0, CentersPerVolume: 0 })
        {
            // Label volumes number their particles, after what is none; any higher number is inside.
            for (int i = 0; i < values.Length; i++)
                values[i] = values[i] > entry.MaskAbove ? 1 : 0;
            return values;
        }

        // Of some particles only, or of several classes: the mask must say whose a voxel is.
        if (chosen.Any(p => p.Particle.Id is null))
            throw new InputException($"{path}: with some of the centres or several classes a mask must number its particles as their table does (SHREC, Dynamo, DeepFinder, copick), and {entry.Coordinates} gives no numbers. Leave the mask out of the manifest; balls are used then.");
        Dictionary<int, int> labels = chosen.ToDictionary(p => p.Particle.Id!.Value, p => p.Class + 1);
        for (int i = 0; i < values.Length; i++)
            values[i] = labels.GetValueOrDefault((int)values[i]);
        return values;
    }

    private static float[] ToArray(string path, Volume volume)
    {
        if (volume.Length > Array.MaxLength)
            throw new InputException($"{path}: {volume.Shape} voxels are more than the {Array.MaxLength} that can be worked on at once. Bin or crop the volume.");
        float[] values = new float[volume.Length];
        for (int z = 0; z < volume.Depth;)
        {
            Span<float> slab = volume.Slab(z, volume.Depth - z);
            slab.CopyTo(values.AsSpan((int)((long)z * volume.SliceLength)));
            z += slab.Length / volume.SliceLength;
        }

        return values;
    }
}
