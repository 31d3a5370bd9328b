using System.Text.Json;
using System.Text.Json.Serialization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training;

/// <summary>What a trained network was trained as, so that picking can do the same.</summary>
public sealed record ModelDescription
{
    /// <summary>
    /// All settings of the training; picking takes the weighting, the score floor and the bandwidth from its
    /// mean shift.
    /// </summary>
    public TrainingOptions Training { get; init; } = new();

    /// <summary>
    /// How images were prepared: every volume to mean 0 and standard deviation 1 over its voxels.
    /// </summary>
    public string Normalization { get; init; } = ModelFile.KnownNormalization;

    /// <summary>The mean voxel size of the training volumes in Å; 0 when unknown.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>Optimiser steps behind these weights.</summary>
    public int Steps { get; init; }

    /// <summary>The validation loss of these weights; null where there was no validation.</summary>
    public double? ValidationLoss { get; init; }

    /// <summary>
    /// How its picks on the validation volumes agreed with their centres; null where there was no validation.
    /// </summary>
    public PickingScore? Picking { get; init; }

    /// <summary>Where its training went back to earlier parameters.</summary>
    public IReadOnlyList<Rollback> Rollbacks { get; init; } = [];

    /// <summary>
    /// What the volumes looked like, by which picks of others are judged; null where the training did not
    /// come to its end.
    /// </summary>
    public VolumeLooks? Looks { get; init; }
}

/// <summary>
/// A network's weights together with its <see cref="ModelDescription"/>, in one safetensors file.
/// </summary>
public static class ModelFile
{
    private const string MetadataKey = "meanshift_gpu.model";

    internal const string KnownNormalization = "volume-mean-0-sd-1";

    private static readonly JsonSerializerOptions Json = new() { Converters = { new JsonStringEnumConverter() } };

    /// <summary>Writes a model.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Save(string path, UNet3d<float> network, ModelDescription description)
    {
        ArgumentNullException.ThrowIfNull(network);
        Dictionary<string, string> metadata = network.Metadata();
        metadata[MetadataKey] = JsonSerializer.Serialize(description, Json);
        SafetensorsFile.Write(path, network.ToTensors(""), metadata);
    }

    /// <summary>Reads a model.</summary>
    /// <param name="context">The device.</param>
    /// <param name="path">A file that <see cref="Save"/> wrote, or weights alone.</param>
    /// <returns>The network, which the caller disposes, and its description; null where the file has weights
    /// alone.</returns>
    /// <exception cref="InputException">Not a model, or the weights are those of another network.</exception>
    public static (UNet3d<float> Network, ModelDescription? Description) Load(GpuContext context, string path)
    {
        ModelDescription? description = ReadDescription(path);
        return (UNet3d<float>.Load(context, path), description);
    }

    /// <summary>
    /// The mean-shift settings that picking needs: those of the training, or the defaults where the file does
    /// not say.
    /// </summary>
    public static MeanShiftOptions MeanShiftOf(ModelDescription? description)
        => description?.Training.MeanShift ?? MeanShiftOptions.Compact;

    /// <summary>What a model file says of its training; null where it holds weights alone.</summary>
    /// <exception cref="InputException">Not a weight file, or its description makes no sense.</exception>
    public static ModelDescription? ReadDescription(string path)
    {
        if (!SafetensorsFile.Read(path).Metadata.TryGetValue(MetadataKey, out string? json))
            return null;
        return JsonMetadata.Read<ModelDescription>(path, MetadataKey, json, "the description of a model", description =>
        {
            description.Training.Validate();
            description.Looks?.Validate();
            if (description.Normalization != KnownNormalization)
            {
                string other = InputFile.Quote(description.Normalization);
                throw new InputException($"volumes were prepared by {other}; this version knows {KnownNormalization}.");
            }

            double voxels = description.VoxelSizeAngstrom;
            if (!(voxels >= 0) || !double.IsFinite(voxels) || description.Steps < 0)
                throw new InputException($"voxels of {voxels} Å and {description.Steps} steps; expected neither below 0.");
        });
    }
}
