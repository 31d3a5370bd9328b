using MeanShiftGpu.Device;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Validation;

public class WrongGradientTests
{
    // `.ci/run long` takes 50.
    internal static readonly int Seeds =
        int.TryParse(Environment.GetEnvironmentVariable("MEANSHIFTGPU_GRADCHECK_SEEDS"), out int n) ? n : 2;

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void Open() => context = TestDevices.Open(DeviceKind.Cpu);

    [OneTimeTearDown]
    public void Close() => context.Dispose();

    private static IEnumerable<TestCaseData> Mistakes()
        => WrongGradients.All.Select(mistake => new TestCaseData(mistake).SetArgDisplayNames(mistake.Name));

    // And sees none where there is none.
    [TestCaseSource(nameof(Mistakes))]
    public void Run_OfAMistake_CatchesItWithEverySeed(object wrongGradient)
    {
        WrongGradient mistake = (WrongGradient)wrongGradient;
        using (Assert.EnterMultipleScope())
        {
            for (int seed = 1; seed <= Seeds; seed++)
            {
                int drawn = seed;
                GradCheckOptions options = new() { Seed = seed };
                GradCheckReport right = GradCheck.Run<double>(
                    context, (tape, x) => mistake.Right(tape, x, drawn), mistake.Values(seed), mistake.Shape, options);
                Assert.That(right.Passed, Is.True, () => $"seed {drawn}, without the mistake: {right}");
                GradCheckReport wrong = GradCheck.Run<double>(
                    context, (tape, x) => mistake.Wrong(tape, x, drawn), mistake.Values(seed), mistake.Shape, options);
                Assert.That(wrong.Passed, Is.False, () => $"seed {drawn}: {wrong}");
                Assert.That(wrong.Results[0].Reason, Does.StartWith("mismatch"), () => $"seed {drawn}: {wrong}");
            }
        }
    }
}
