using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>
/// Mistakes put into the texts that ship. Each is caught by one small case, by a check of the interpreter or
/// by a wrong result.
/// </summary>
public sealed class MutationTests
{
    private const string Wrong = "wrong result";

    // What a fragment of four and one of two registers look like.
    private const string Four = @"\{(%r\d+), (%r\d+), (%r\d+), (%r\d+)\}";
    private const string Sums = @"\{(%f\d+), (%f\d+), (%f\d+), (%f\d+)\};";

    [TestCase("a weaker wait", "Convolve", "wait_group\t1", "wait_group\t2", "conv3d_k3_wide", "tf32", "Copy")]
    [TestCase("a lost wait", "Gradient", "cp.async.wait_group\t1;", "", "conv3d_k3_wide", "tf32", "Copy")]
    [TestCase(
        "a lost wait of the transposed convolution",
        "Multiply",
        "cp.async.wait_group\t\\d;",
        "",
        "conv_transpose3d_k2s2",
        "tf32",
        "Copy")]
    [TestCase("a lost commit", "Convolve", "cp.async.commit_group;", "", "conv3d_k3_wide", "tf32", "Copy")]
    [TestCase("a lost barrier behind the wait", "Convolve", "bar.sync\t0;", "", "conv3d_k3_wide", "tf32", "Race")]
    [TestCase(
        "a lost barrier before memory is used again",
        "Convolve",
        "((bar.sync\t0;[\\s\\S]*?){2})bar.sync\t0;",
        "$1",
        "conv3d_k3_wide",
        "tf32",
        "Race")]
    [TestCase(
        "a lost barrier before operands are rounded again",
        "Convolve",
        "(bar.sync\t0;[\\s\\S]*?)bar.sync\t0;",
        "$1",
        "conv3d_k3_wide",
        "bf16-operands",
        "Race")]
    [TestCase(
        "a lost barrier of the weights' gradient", "Gradient", "bar.sync\t0;", "", "conv3d_k3_wide", "bf16-operands", "Race")]
    [TestCase("a lost barrier of the tile", "Forward", "bar.sync\t0;", "", "conv3d_k3", "float32", "Race")]
    [TestCase("a lost barrier of the sum over parts", "Add", "bar.sync\t0;", "", "conv3d_k3", "tf32", "Race")]
    [TestCase("a lost barrier of the mean shift", "Chain", "bar.sync\t0;", "", "mean_shift_cone_euclidean", "float32", "Race")]
    [TestCase(
        "a transposed fragment",
        "Convolve",
        Four + ", \\{(%r\\d+), (%r\\d+)\\}",
        "{$1, $3, $2, $4}, {$5, $6}",
        "conv3d_k3_wide",
        "tf32",
        Wrong)]
    [TestCase(
        "swapped weights of a fragment",
        "Multiply",
        Four + ", \\{(%r\\d+), (%r\\d+)\\}",
        "{$1, $2, $3, $4}, {$6, $5}",
        "conv_transpose3d_k2s2",
        "tf32",
        Wrong)]
    [TestCase("swapped sums", "Gradient", Sums, "{$1, $3, $2, $4};", "conv3d_k3_wide", "tf32", Wrong)]
    [TestCase("a transposed load", "Convolve", "m8n8.x4.shared", "m8n8.x4.trans.shared", "conv3d_k3_wide", "tf32", Wrong)]
    [TestCase(
        "a load that is not transposed",
        "Gradient",
        "m8n8.x4.trans.shared",
        "m8n8.x4.shared",
        "conv3d_k3_wide",
        "bf16-operands",
        Wrong)]
    [TestCase("a wrong stride in shared memory", "Convolve", "(ldmatrix.*)\\+640\\]", "$1+656]", "conv3d_k3_wide", "tf32", Wrong)]
    [TestCase(
        "a wrong stride in global memory",
        "BackwardWeight",
        "(mad.lo.u64\t%rd\\d+, %rd\\d+), 4,",
        "$1, 8,",
        "conv3d_k3",
        "float32",
        "Bounds")]
    [TestCase(
        "a misaligned vector",
        "Forward",
        "(ld.shared.v4.f32\t\\{[^}]*\\}, \\[%rd\\d+)\\]",
        "$1+4]",
        "conv3d_k3",
        "float32",
        "Alignment")]
    [TestCase(
        "halves of a pair of BF16 swapped",
        "Pack",
        "(cvt.rn.bf16x2.f32\t%r\\d+), (%f\\d+), (%f\\d+);",
        "$1, $3, $2;",
        "conv3d_k3_wide",
        "bf16-operands",
        Wrong)]
    [TestCase("copies longer than what exists", "Convolve", "(cp.async.cg.shared.global\t\\[%r\\d+\\], \\[%rd\\d+\\], 16), "
        + "%r\\d+;", "$1, 16;", "conv3d_k3_wide", "tf32", "Bounds")]
    [TestCase("a swapped operand", "Step", "(sub.f32\t%f\\d+), (%f\\d+), (%f\\d+);", "$1, $3, $2;", "adam", "float32", Wrong)]
    [TestCase("a thread too many", "Step", "setp.ge.s32", "setp.gt.s32", "adam", "float32", "Bounds")]
    [TestCase("the least instead of the greatest", "Forward", "setp.leu.f32", "setp.geu.f32", "max_pool3d_k2", "float32", Wrong)]
    [TestCase("a store that is lost", "Partial", "st.global.f32\t.*;", "", "dice", "float32", "Unwritten")]
    [TestCase(
        "branches marked uniform again",
        "Gather",
        "(@!?%p\\d+) bra\t",
        "$1 bra.uni\t",
        "mean_shift_cone_euclidean",
        "float32",
        "Divergence")]
    [TestCase(
        "branches marked uniform again, of a direct kernel",
        "Chain",
        "(@!?%p\\d+) bra\t",
        "$1 bra.uni\t",
        "mean_shift_flat_squared",
        "float32",
        "Divergence")]
    public void Verify_OfAMistake_Fails(
        string mistake, string kernel, string pattern, string replacement, string golden, string precision, string expected)
    {
        using TemporaryFolder work = new();
        File.Copy(TemporaryFolder.Data($"golden/{golden}.safetensors"), work[$"{golden}.safetensors"]);
        string file = work.Write(
            "mutation.txt", $"Kernel_{kernel}Kernel\n{pattern.Replace("\t", "\\t", StringComparison.Ordinal)}\n{replacement}");
        string only = Path.Combine(Path.GetDirectoryName(file)!, "golden");
        Directory.CreateDirectory(only);
        File.Move(work[$"{golden}.safetensors"], Path.Combine(only, $"{golden}.safetensors"));
        FakeRun run = FakeDriver.Run(["verify", only, "--device", "cuda", "--precision", precision], $"MUTATION={file}");
        Assert.That(run.Calls("mutate"), Is.Not.Empty, $"{mistake}: no text has the pattern");
        if (expected == Wrong)
        {
            Assert.That(run.Code, Is.EqualTo(1), $"{mistake}: {run.Output}");
            Assert.That(run.Output, Does.Contain("FAIL"));
        }
        else
        {
            Assert.That(run.Code, Is.Not.Zero, $"{mistake}: {run.Output}");
            Assert.That(run.Calls("fault").Select(call => call[1]), Is.EqualTo([expected]), run.Output);
        }

        TestContext.Out.WriteLine(
            run.Calls("fault").FirstOrDefault() is { } fault ? fault[2] : run.Output.Split('\n').First(
                line => line.Contains("FAIL", StringComparison.Ordinal)));
    }
}
