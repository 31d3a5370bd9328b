using MeanShiftGpu.IO;

namespace MeanShiftGpu.Training;

/// <summary>Reads the volumes of a data set's manifest as training and picking need them.</summary>
public static class DatasetLoader
{
    /// <summary>Reads the training and validation volumes of a manifest.</summary>
    /// <param name="manifest">The data set.</param>
    /// <param name="progress">Told (volumes read, volumes to read); null for nobody.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    /// <exception cref="InputException">
    /// No volume is marked for training, a file cannot be read or has voxels that are not finite, a centre lies outside its volume, or a mask
    /// has another size than its volume.
    /// </exception>
    public static TrainingData Load(DatasetManifest manifest, Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        DatasetVolume[] training = [.. manifest.Of(DatasetSplit.Train)];
        DatasetVolume[] validation = [.. manifest.Of(DatasetSplit.Validation)];
        if (training.Length == 0)
            throw new InputException("data set: no volume has \"split\": \"train\"; training needs at least one.");

        int done = 0;
        List<TrainingVolume> Read(DatasetVolume[] entries)
        {
            List<TrainingVolume> volumes = [];
            foreach (DatasetVolume entry in entries)
            {
                cancellation.ThrowIfCancellationRequested();
                volumes.Add(LoadVolume(entry));
                progress?.Invoke(++done, training.Length + validation.Length);
            }

            return volumes;
        }

        return new TrainingData(Read(training), Read(validation));
    }

    /// <summary>Reads one volume: the image normalised to mean 0 and standard deviation 1 (unless it was before), the centres in voxels, the mask as 0 and 1.</summary>
    /// <exception cref="InputException">See <see cref="Load"/>.</exception>
    public static TrainingVolume LoadVolume(DatasetVolume entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        using Volume volume = MrcFile.Read(entry.Volume);
        IReadOnlyList<Particle> particles = Coordinates.Read(entry.Coordinates, entry.Context(volume.Shape, volume.VoxelSizeAngstrom));
        Coordinates.CheckInside(entry.Coordinates, particles, volume.Shape);
        return new TrainingVolume(
            Path.GetFileName(entry.Volume),
            volume.Depth,
            volume.Height,
            volume.Width,
            entry.Normalize ? Normalized(entry.Volume, volume) : ToArray(entry.Volume, volume),
            entry.Mask is null ? null : LoadMask(entry.Mask, volume.Shape, entry.MaskAbove),
            [.. particles.Select(p => new Position((float)p.Z, (float)p.Y, (float)p.X))])
        {
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

    private static float[] LoadMask(string path, VolumeShape shape, double above)
    {
        using Volume mask = MrcFile.Read(path);
        if (mask.Shape != shape)
            throw new InputException($"{path}: the mask has {mask.Shape} voxels, its volume {shape}; expected the same size.");
        float[] values = ToArray(path, mask);
        // Label volumes number their particles, after what is none; any higher number is inside.
        for (int i = 0; i < values.Length; i++)
            values[i] = values[i] > above ? 1 : 0;
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
