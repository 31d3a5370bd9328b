using System.CommandLine;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The models and the volumes of 'pick'.</summary>
internal sealed class PickModels
{
    private const string ModelEnding = ".safetensors";

    /// <summary>The tomograms.</summary>
    public Argument<string[]> Volumes { get; } = Parse.Files("VOLUMES", $"Tomograms ({VolumeFiles.EndingsText}): files, "
        + "folders and patterns.", ArgumentArity.ZeroOrMore);

    /// <summary>The models, and volumes that are typed behind them.</summary>
    public Option<string[]> Model { get; } = Parse.Texts("--model", "FILE",
        $"The model that 'train' wrote. Of several models the mean score is taken, and tables with a column for it get its "
        + $"standard deviation. After the first, a name that does not end in {ModelEnding} is a volume.", required: true);

    /// <summary>How many mirror images.</summary>
    public Option<int> Mirror { get; } = Parse.Integer("--mirror", "How many mirror images of the volume (1, 2, 4 or 8) are "
        + "predicted; the mean score is taken. They keep the missing wedge. N images take N times as long.", 1, 1, 8);

    /// <summary>The models: 'pick --model a.safetensors b.safetensors' and 'pick --model a.safetensors
    /// volume.mrc' are both what people type.</summary>
    public string[] ModelsOf(ParseResult options)
        => [.. options.GetValue(Model)!.Where((m, i) => i == 0 || m.EndsWith(ModelEnding, StringComparison.OrdinalIgnoreCase))];

    /// <summary>The volumes, folders and patterns.</summary>
    public string[] VolumesOf(ParseResult options)
        => [.. options.GetValue(Volumes) ?? [], .. options.GetValue(Model)!.Except(ModelsOf(options))];

    /// <summary>The models in a line.</summary>
    public string NameOf(ParseResult options) => string.Join(", ", ModelsOf(options));

    /// <summary>Opens the models for picking.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="session">Where remarks are said.</param>
    /// <param name="context">The device.</param>
    /// <param name="settings">How it picks.</param>
    /// <param name="memoryMiB">Memory for the whole process.</param>
    /// <exception cref="InputException">A model cannot be read, or they do not fit together.</exception>
    public TomogramPicker Open(
        ParseResult options, Session session, GpuContext context, PickSettings settings, int memoryMiB)
    {
        string[] paths = ModelsOf(options);
        int mirrors = options.GetValue(Mirror);
        if (mirrors is not (1 or 2 or 4 or 8))
            throw new InputException($"--mirror: {mirrors} mirror images; expected 1, 2, 4 or 8.");
        TomogramPicker picker = TomogramPicker.OpenSeveral(
            context, paths, meanShift => settings.Of(options, meanShift), options.GetValue(settings.OnlyClass));
        picker.Mirrors = mirrors;
        picker.MemoryLimitBytes = (long)memoryMiB << 20;
        picker.Remark = session.Line;
        if (picker.Description is null)
            session.Warn($"{paths[0]}: weights without a description of their training; the bandwidth and weighting are the "
                + $"defaults. Give the model that 'train' wrote, not its checkpoint.");
        return picker;
    }
}
