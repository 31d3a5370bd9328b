namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// What an Adam step needs of its settings, worked out in double and rounded once to the kernel's real type: a float32
/// kernel then holds no double, which many OpenCL devices lack and consumer GPUs compute slowly.
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
