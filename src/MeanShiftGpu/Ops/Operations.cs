using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops;

/// <summary>An operation.</summary>
/// <param name="Name">As in --variant and MEANSHIFTGPU_VARIANT.</param>
/// <param name="Tables">Its variants in float32, in float64 and on BF16 activations.</param>
internal sealed record Operation(string Name, params IReadOnlyList<IVariantTable> Tables)
{
    /// <summary>What `gradcheck` compares.</summary>
    public IReadOnlyList<GradCheckCase> GradChecks { get; init; } = [];

    /// <summary>What `verify` recomputes.</summary>
    public IReadOnlyList<ReferenceCase> References { get; init; } = [];

    /// <summary>What `bench` and BenchmarkDotNet time, at the sizes of a network's layers.</summary>
    public Func<BenchmarkSizes, IEnumerable<BenchmarkCase>> Benchmarks { get; init; } = static _ => [];
}

/// <summary>
/// The catalogue of operations. `gradcheck`, `verify`, the benchmarks and the names that --variant takes all
/// walk it, so that a new operation is its folder of kernels, its folder here and a row.
/// </summary>
internal static class Operations
{
    /// <summary>One row an operation.</summary>
    public static IReadOnlyList<Operation> All { get; } =
    [
        new("conv3d", Conv3dVariants<float, float>.Table,
            Conv3dVariants<double, double>.Table, Conv3dVariants<Bf16, float>.Table)
        {
            GradChecks = Conv3dCases.GradChecks,
            References = Conv3dCases.References,
            Benchmarks = Conv3dCases.Benchmarks,
        },
        new("conv-transpose3d", ConvTranspose3dVariants<float, float>.Table,
            ConvTranspose3dVariants<double, double>.Table, ConvTranspose3dVariants<Bf16, float>.Table)
        {
            GradChecks = ConvTranspose3dCases.GradChecks,
            References = ConvTranspose3dCases.References,
            Benchmarks = ConvTranspose3dCases.Benchmarks,
        },
        new("max-pool3d", MaxPool3dVariants<float, float>.Table,
            MaxPool3dVariants<double, double>.Table, MaxPool3dVariants<Bf16, float>.Table)
        {
            GradChecks = CompositeCases.MaxPool3d,
            References = MaxPool3dCases.References,
            Benchmarks = MaxPool3dCases.Benchmarks,
        },
        new("sigmoid-head", SigmoidHeadVariants<float, float>.Table,
            SigmoidHeadVariants<double, double>.Table, SigmoidHeadVariants<Bf16, float>.Table)
        {
            GradChecks = SigmoidHeadCases.GradChecks,
            Benchmarks = SigmoidHeadCases.Benchmarks,
        },
        new("dice", DiceVariants<float>.Table, DiceVariants<double>.Table)
        {
            GradChecks = DiceCases.GradChecks,
            References = DiceCases.References,
            Benchmarks = DiceCases.Benchmarks,
        },
        new("binary-cross-entropy", BinaryCrossEntropyVariants<float>.Table, BinaryCrossEntropyVariants<double>.Table)
        {
            GradChecks = BinaryCrossEntropyCases.GradChecks,
            Benchmarks = BinaryCrossEntropyCases.Benchmarks,
        },
        new("elementwise", ElementwiseVariants<float, float>.Table,
            ElementwiseVariants<double, double>.Table, ElementwiseVariants<Bf16, float>.Table)
        {
            GradChecks = CompositeCases.Elementwise,
            Benchmarks = ElementwiseCases.Benchmarks,
        },
        new("sum", SumVariants<float>.Table, SumVariants<double>.Table)
        {
            GradChecks = CompositeCases.Sum,
            Benchmarks = SumCases.Benchmarks,
        },
        new("mean-shift", MeanShiftVariants<float>.Table, MeanShiftVariants<double>.Table)
        {
            GradChecks = MeanShiftCases.GradChecks,
            References = MeanShiftCases.References,
            Benchmarks = MeanShiftCases.Benchmarks,
        },
        new("center-likelihood", CenterLikelihoodVariants<float>.Table, CenterLikelihoodVariants<double>.Table)
        {
            GradChecks = CenterLikelihoodCases.GradChecks,
            Benchmarks = CenterLikelihoodCases.Benchmarks,
        },
        new("adam", AdamVariants<float>.Table, AdamVariants<double>.Table)
        {
            References = AdamCases.References,
            Benchmarks = AdamCases.Benchmarks,
        },
        new("gradient-norm", GradientNormVariants<float>.Table, GradientNormVariants<double>.Table)
        {
            Benchmarks = GradientNormCases.Benchmarks,
        },
    ];

    // The names that can be forced are asked for below the operations, before any of them is used.
    [ModuleInitializer]
    [SuppressMessage(
        "Usage",
        "CA2255:The 'ModuleInitializer' attribute should not be used in libraries",
        Justification = "Forced names are checked before an operation is used.")]
    internal static void Register()
        => Variants.Tables = new Lazy<IReadOnlyList<IVariantTable>>(() => [.. All.SelectMany(operation => operation.Tables)]);
}
