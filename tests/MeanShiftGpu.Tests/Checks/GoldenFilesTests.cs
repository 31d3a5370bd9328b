using MeanShiftGpu.Checks;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Checks;

/// <summary>
/// The results of libtorch in Data/golden, recomputed with every variant in float64 and float32.
/// </summary>
public class GoldenFilesTests
{
    private static string Golden => Path.Combine(TestContext.CurrentContext.TestDirectory, "Data", "golden");

    [Test]
    public void Cpu_AgreesWithLibtorch()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        IReadOnlyList<ReferenceCheckResult> results = ReferenceCheck.Run(context, Golden);
        Assert.That(results.Select(r => r.Case).Distinct().Count(), Is.EqualTo(18));
        Assert.That(results.Where(r => !r.Passed), Is.Empty);
        Assert.That(results.Select(r => r.RealType).Distinct(), Is.EquivalentTo(new[] { "float32", "float64" }));
        foreach (string variant in results.Select(r => r.Variant).Distinct())
            TestContext.Out.WriteLine($"{variant}: worst {results.Where(r => r.Variant == variant).MaxBy(r => r.RelativeError)}");
    }
}
