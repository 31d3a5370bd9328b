namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// What an Adam step needs of its settings, worked out in double and rounded once to the kernel's real type:
/// a float32 kernel then holds no double, which many OpenCL devices lack and consumer GPUs compute slowly.
/// </summary>
internal readonly struct AdamFactors<T>
    where T : unmanaged, INumber<T>
{
    // 1 − αλ
    public readonly T Keep;

    // 1 − β₁
    public readonly T Gain1;

    // β₂
    public readonly T Beta2;

    // 1 − β₂
    public readonly T Gain2;

    // α / (1 − β₁ᵗ)
    public readonly T StepSize;

    // √(1 − β₂ᵗ)
    public readonly T RootCorrection2;

    public readonly T Epsilon;

    /// <summary>How many numbers these are.</summary>
    public const int Count = 7;

    /// <summary>Reads them from memory, in the order of <see cref="CopyTo"/>.</summary>
    public AdamFactors(ArrayView<T> given)
    {
        Keep = given[0];
        Gain1 = given[1];
        Beta2 = given[2];
        Gain2 = given[3];
        StepSize = given[4];
        RootCorrection2 = given[5];
        Epsilon = given[6];
    }

    /// <summary>Writes them: [<see cref="Count"/>].</summary>
    public readonly void CopyTo(Span<T> target) => (target[0], target[1], target[2], target[3], target[4], target[5], target[6])
        = (Keep, Gain1, Beta2, Gain2, StepSize, RootCorrection2, Epsilon);

    public AdamFactors(AdamParameters p)
    {
        Keep = T.CreateChecked(1 - p.LearningRate * p.WeightDecay);
        Gain1 = T.CreateChecked(1 - p.Beta1);
        Beta2 = T.CreateChecked(p.Beta2);
        Gain2 = T.CreateChecked(1 - p.Beta2);
        StepSize = T.CreateChecked(p.LearningRate / p.BiasCorrection1);
        RootCorrection2 = T.CreateChecked(Math.Sqrt(p.BiasCorrection2));
        Epsilon = T.CreateChecked(p.Epsilon);
    }
}
