using System.Globalization;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>A score map of the network, what its picks are called, and how they are picked.</summary>
/// <param name="Output">Which of the network's score maps, counted from 0.</param>
/// <param name="Number">The number of the class; null where the network knows one class only.</param>
/// <param name="Name">Its name; null where it has a number only.</param>
/// <param name="Options">How its map is clustered.</param>
public sealed record PickedClass(int Output, int? Number, string? Name, PickOptions Options)
{
    /// <summary>Its name or number; empty where the network knows one class only.</summary>
    public string Label => Name ?? Number?.ToString(CultureInfo.InvariantCulture) ?? "";

    /// <summary>
    /// Whether a particle is of this class: a class is meant by its name or its number, as in training.
    /// </summary>
    public bool IsOne(Particle particle)
    {
        ArgumentNullException.ThrowIfNull(particle);
        return Number is null || (
            Name is null ? particle.Class == Number : Name.Equals(particle.Name, StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>
    /// The classes of a network of which nothing else is known: numbers from 1, if there are several.
    /// </summary>
    internal static PickedClass[] Unnamed(UNet3dOptions network, PickOptions options) => network.Outputs == 1
        ? [new PickedClass(0, null, null, options)]
        : [.. Enumerable.Range(0, network.Outputs).Select(output => new PickedClass(output, output + 1, null, options))];

    /// <summary>The classes of a model.</summary>
    /// <param name="path">The model's file, for messages.</param>
    /// <param name="network">Its network.</param>
    /// <param name="description">How it was trained; null where the file does not say.</param>
    /// <param name="options">How a class is picked that was trained with a mean shift.</param>
    /// <param name="only">The name of the one class that is wanted; null for all.</param>
    /// <exception cref="InputException">The description does not fit the network, or the model does not know
    /// the class.</exception>
    internal static PickedClass[] Of(
        string path,
        UNet3dOptions network,
        ModelDescription? description,
        Func<MeanShiftOptions, PickOptions> options,
        string? only)
    {
        IReadOnlyList<ClassOptions> known = description?.Training.Classes ?? [];
        if (description is not null && known.Count != (network.Outputs == 1 ? known.Count : network.Outputs))
            throw new InputException($"{path}: the network has {Counted.Of(network.Outputs, "output")}, its description "
                + $"{Counted.Of(known.Count, "class", "classes")}. Use a model that 'train' wrote.");
        PickedClass[] all = known.Count == 0
            ? Unnamed(network, Scaled(options(ModelFile.MeanShiftOf(description)), description, 0))
            : [.. known.Select((c, i) => Of(c.Name, i, Scaled(options(description!.Training.MeanShiftOf(i)), description, i)))];
        if (only is null)
            return all;
        return all.Where(c => c.Label.Equals(only, StringComparison.OrdinalIgnoreCase)).ToArray() is { Length: > 0 } wanted
            ? wanted
            : throw new InputException($"{path}: the model knows no class "
                + $"'{only}'; "
                + (all.Length == 1 && all[0].Label == ""
                    ? "it was trained without classes"
                    : $"expected one of {string.Join(", ", all.Select(c => c.Label))}")
                + ".");
    }

    private static PickOptions Scaled(PickOptions options, ModelDescription? description, int output)
        => description?.Looks?.Classes is { } looks && output < looks.Count && looks[output].ScoreScale > 0
            ? options with { ScoreScale = (float)looks[output].ScoreScale } : options;

    private static PickedClass Of(string name, int output, PickOptions options)
        => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? new PickedClass(output, number, null, options)
            : new PickedClass(output, output + 1, name, options);
}
