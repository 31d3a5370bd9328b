using System.Text.RegularExpressions;
using MeanShiftGpu.Device.Sass;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>
/// The tensor-core kernels against the plan that stands beside them: instructions counted in their PTX,
/// registers as ptxas assigns them, shared memory as their launchers ask for it.
/// </summary>
public sealed partial class TensorCorePtxTests
{
    // Of an A100 and of the consumer cards from compute capability 8.6 on.
    private const int SharedOfA100 = 163 << 10;
    private const int SharedOfConsumerCard = 99 << 10;

    private static readonly string[] Precisions = ["Tf32", "Bf16", "StoredBf16"];
    private static readonly int[] Widths = [16, 32, 48, 64];

    [Test]
    public void Convolve_EveryTile_KeepsToItsPlan(
        [Values("sm_80", "sm_90")] string architecture,
        [ValueSource(nameof(Precisions))] string precision,
        [ValueSource(nameof(Widths))] int columns)
        => KeepsToPlan(
            architecture,
            $"Conv3dTensorCore.Convolve.{precision}.Columns{columns}",
            registers: columns switch { 16 => 112, 32 => 152, 48 => 184, _ => 224 },
            new Dictionary<string, int>
            {
                ["mma.sync"] = 3 * columns / 2, // three taps a step
                ["ldmatrix.sync"] = 12,
                // weights, and a piece to round or mask, with its mask
                ["ld.shared.v4"] = 3 * columns / 16 + (precision == "Bf16" ? 4 : 2),
                ["st.shared.v4"] = 1,
                ["cp.async.cg"] = precision == "Bf16" ? 11 : 7, // two pieces of voxels with their masks, three rows of weights
                ["st.global.v4"] = columns / 2, // StoredBf16: the sums of splits
                ["st.global.v2"] = precision == "StoredBf16" ? columns / 2 : 0,
            });

    [Test]
    public void Gradient_EveryTile_KeepsToItsPlan(
        [Values("sm_80", "sm_90")] string architecture,
        [ValueSource(nameof(Precisions))] string precision,
        [ValueSource(nameof(Widths))] int columns)
        => KeepsToPlan(
            architecture,
            $"Conv3dTensorCore.Gradient.{precision}.TapSums{columns}",
            registers: columns switch { 16 => 112, 48 => 200, _ => 128 }, // 128: two groups of 8 warps on a multiprocessor
            new Dictionary<string, int>
            {
                // 9 taps of 4 rows of voxels, or of 8 with 32 and 64 columns
                ["mma.sync"] = precision == "Tf32" ? 9 * columns / 4 : 9 * columns / 8,
                // voxels, then gradOutput
                ["ldmatrix.sync"] = precision == "Tf32" ? 0 : columns switch { 16 => 11, 32 => 22, 48 => 15, _ => 26 },
                // one reads the biases
                ["ld.shared.b32"] = precision != "Tf32" ? 1 : columns switch { 16 => 53, 32 => 105, 48 => 85, _ => 137 },
                // gradOutput and mask; input, to round it; biases twice
                ["ld.shared.v4"] = (precision == "StoredBf16" ? 2 : 6) + 4 + Exchange(columns),
                // biases three times
                ["st.shared.v4"] = (precision switch { "Tf32" => 4, "Bf16" => 2, _ => 1 }) + 6 + Exchange(columns),
                // input, gradOutput and mask of the first and of the next tile
                ["cp.async.cg"] = precision == "StoredBf16" ? 6 : 12,
            });

    // Sums that one half's warps hand the other's.
    private static int Exchange(int columns) => columns is 16 or 48 ? 9 * columns / 16 : 0;

    [Test]
    public void TransposedMultiply_EveryTile_KeepsToItsPlan(
        [Values("sm_80", "sm_90")] string architecture,
        [ValueSource(nameof(Precisions))] string precision,
        [ValueSource(nameof(Widths))] int columns)
        => KeepsToPlan(
            architecture,
            $"ConvTranspose3dTensorCore.Multiply.{precision}.Columns{columns}",
            registers: columns switch { 16 => 80, 32 => 112, 48 => 144, _ => 184 },
            new Dictionary<string, int>
            {
                ["mma.sync"] = columns / 2,
                ["ldmatrix.sync"] = 4,
                ["ld.shared.v4"] = columns / 16 + (precision == "StoredBf16" ? 0 : 2), // weights, and a piece to round
                ["st.shared.v4"] = precision switch { "Tf32" => 2, "Bf16" => 1, _ => 0 },
                ["cp.async.cg"] = precision == "StoredBf16" ? 6 : 9, // three stages of voxels and weights
                ["st.global.v4"] = precision == "StoredBf16" ? 0 : columns / 2,
                ["st.global.v2"] = precision == "StoredBf16" ? columns / 2 : 0,
            });

    [Test]
    public void TransposedGradient_KeepsToItsPlan(
        [Values("sm_80", "sm_90")] string architecture, [ValueSource(nameof(Precisions))] string precision)
        => KeepsToPlan(
            architecture,
            $"ConvTranspose3dTensorCore.Gradient.{precision}",
            registers: 72,
            new Dictionary<string, int>
            {
                ["mma.sync"] = 8,
                ["ldmatrix.sync"] = precision == "Tf32" ? 0 : 5,
                ["ld.shared.b32"] = precision == "Tf32" ? 21 : 1, // one reads the biases
                ["ld.shared.v4"] = precision == "StoredBf16" ? 1 : 4, // gradOutput; input, to round it
                ["st.shared.v4"] = precision switch { "Tf32" => 6, "Bf16" => 4, _ => 2 }, // StoredBf16: the biases alone
                ["cp.async.cg"] = precision == "StoredBf16" ? 4 : 8, // input and gradOutput of the first and of the next tile
            });

    [Test]
    public void SharedMemory_EveryTile_FitsItsDevice()
    {
        foreach (int columns in Widths)
        {
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<Tf32Operand>.ConvolveWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfA100 / 2),
                "two groups");
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<Bf16Operand>.ConvolveWords(columns, masked: 0),
                Is.LessThanOrEqualTo(SharedOfA100 / 2),
                "two groups");
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<Bf16Operand>.ConvolveWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfA100));
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<Tf32Operand>.GradientWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfA100));
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<Bf16Operand>.GradientWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfA100));
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<StoredBf16Operand>.ConvolveWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfA100 / 2),
                "two groups");
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<StoredBf16Operand>.ConvolveWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfConsumerCard));
            Assert.That(
                sizeof(uint) * Conv3dTensorCoreKernels<StoredBf16Operand>.GradientWords(columns, masked: 1),
                Is.LessThanOrEqualTo(SharedOfConsumerCard));
        }

        // Every pass has a width for a consumer card.
        Assert.That(
            sizeof(uint) * ConvTranspose3dTensorCoreKernels<Tf32Operand>.MultiplyWords(64), Is.LessThanOrEqualTo(48 << 10));
        Assert.That(
            sizeof(uint) * ConvTranspose3dTensorCoreKernels<Bf16Operand>.MultiplyWords(64),
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * ConvTranspose3dTensorCoreKernels<StoredBf16Operand>.MultiplyWords(64), Is.LessThanOrEqualTo(48 << 10));
        Assert.That(
            sizeof(uint) * 2 * ConvTranspose3dTensorCoreKernels<StoredBf16Operand>.GradientWords, Is.LessThanOrEqualTo(48 << 10));
        Assert.That(
            sizeof(uint) * 2 * ConvTranspose3dTensorCoreKernels<Tf32Operand>.GradientWords,
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * 2 * ConvTranspose3dTensorCoreKernels<Bf16Operand>.GradientWords,
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * Conv3dTensorCoreKernels<Tf32Operand>.ConvolveWords(64, masked: 1),
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * Conv3dTensorCoreKernels<Bf16Operand>.ConvolveWords(16, masked: 1),
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * Conv3dTensorCoreKernels<Tf32Operand>.GradientWords(32, masked: 1),
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
        Assert.That(
            sizeof(uint) * Conv3dTensorCoreKernels<Bf16Operand>.GradientWords(32, masked: 1),
            Is.LessThanOrEqualTo(SharedOfConsumerCard));
    }

    private static void KeepsToPlan(
        string architecture, string name, int registers, Dictionary<string, int> plan, int staticSharedBytes = 0)
    {
        string ptx = PtxTests.Ptx(architecture, name);

        // Behind the entry point; before it stand the intrinsics as functions that nobody calls.
        string entry = ptx[ptx.IndexOf(".visible .entry", StringComparison.Ordinal)..];
        entry = entry[..entry.IndexOf("\n}", StringComparison.Ordinal)];
        string[] instructions = [.. Instruction().Matches(entry).Select(match => match.Groups[1].Value)];
        Assert.That(
            plan.Select(p => (p.Key, instructions.Count(i => i.StartsWith(p.Key, StringComparison.Ordinal)))),
            Is.EqualTo(plan.Select(p => (p.Key, p.Value))));
        Assert.That(
            instructions.Where(
                i => i.StartsWith("call", StringComparison.Ordinal) || i.StartsWith("cvta.shared", StringComparison.Ordinal)
                    || LocalOrGeneric().IsMatch(i)),
            Is.Empty,
            "calls, local memory or generic addresses");

        if (Ptxas.Find() is not { } ptxas)
        {
            Assert.Ignore($"ptxas was not found (looked at {Ptxas.Places}).");
            return;
        }

        PtxasReport report = PtxTests.Assemble(ptxas, architecture, name);
        Assert.That(report.StaysInRegisters, Is.True, report.ToString());
        Assert.That(report.Registers, Is.LessThanOrEqualTo(registers));
        Assert.That(report.SharedBytes, Is.EqualTo(staticSharedBytes));
    }

    [GeneratedRegex(@"^\s*(?:@!?%\w+\s+)?([a-z][\w.]*)", RegexOptions.Multiline)]
    private static partial Regex Instruction();

    // ld.local, or ld.f32 without a space.
    [GeneratedRegex(@"^(ld|st)\.(local|[bfsu]\d+|v\d)")]
    private static partial Regex LocalOrGeneric();
}
