namespace MeanShiftGpu.Validation;

/// <summary>A layer whose passes are timed.</summary>
/// <param name="Edge">Edge of its input in voxels.</param>
/// <param name="Inputs">Channels of its input.</param>
/// <param name="Outputs">Channels of its output.</param>
internal readonly record struct BenchmarkLayer(int Edge, int Inputs, int Outputs)
{
    /// <summary>The layer, in words.</summary>
    /// <param name="sizes">Whose layer it is.</param>
    public string Words(BenchmarkSizes sizes) => $"{sizes.Items}{Edge}³ {Inputs}→{Outputs}";
}

/// <summary>At which sizes operations are timed: those that a training of a network meets.</summary>
internal sealed record BenchmarkSizes
{
    /// <summary>Items of a batch.</summary>
    public required int Batch { get; init; }

    /// <summary>Edge of a patch in voxels.</summary>
    public required int Edge { get; init; }

    /// <summary>Channels of the finest resolution.</summary>
    public required int Channels { get; init; }

    /// <summary>Weights and biases of the network.</summary>
    public required long Parameters { get; init; }

    /// <summary>3³ convolutions, each once.</summary>
    public required IReadOnlyList<BenchmarkLayer> Convolutions { get; init; }

    /// <summary>Transposed convolutions.</summary>
    public required IReadOnlyList<BenchmarkLayer> Transposed { get; init; }

    /// <summary>Poolings.</summary>
    public required IReadOnlyList<BenchmarkLayer> Pooled { get; init; }

    /// <summary>The batch's items, in words before a size.</summary>
    public string Items => Batch == 1 ? "" : $"{Batch}×";

    /// <summary>The batch of patches, in words.</summary>
    public string Patch => $"{Items}{Edge}³";

    /// <summary>Voxels of the batch.</summary>
    public long Voxels => (long)Batch * Edge * Edge * Edge;
}
