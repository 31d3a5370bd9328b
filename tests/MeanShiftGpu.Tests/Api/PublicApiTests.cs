using System.Reflection;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;
using PublicApiGenerator;

namespace MeanShiftGpu.Tests.Api;

/// <summary>
/// The public API of each package is the committed text beside this file: no change of it goes unseen. The
/// kernels' assembly travels inside the package of the core.
/// </summary>
public class PublicApiTests
{
    private const string Rewrite = "MEANSHIFTGPU_REWRITE_API";

    private static readonly Assembly[] Packages =
        [typeof(Conv3dShape).Assembly, typeof(GpuContext).Assembly, typeof(MrcFile).Assembly];

    public static IEnumerable<TestCaseData> Assemblies
        => Packages.Select(a => new TestCaseData(a).SetArgDisplayNames(a.GetName().Name!));

    [TestCaseSource(nameof(Assemblies))]
    public void Api_IsTheCommittedOne(Assembly assembly)
    {
        string file = Path.Combine(Sources.Root(), "tests", "MeanShiftGpu.Tests", "Api", $"{assembly.GetName().Name}.txt");
        string api = assembly.GeneratePublicApi(new ApiGeneratorOptions { IncludeAssemblyAttributes = false })
            .ReplaceLineEndings("\n").TrimEnd() + "\n";
        if (Environment.GetEnvironmentVariable(Rewrite) == "1")
            File.WriteAllText(file, api);
        string[] committed = File.Exists(file) ? File.ReadAllText(file).ReplaceLineEndings("\n").Split('\n') : [];
        string[] actual = api.Split('\n');
        int line = 0;
        while (line < committed.Length && line < actual.Length && committed[line] == actual[line])
            line++;
        Assert.That(
            committed.SequenceEqual(actual), Is.True,
            $"{file}, line {line + 1}: committed '{committed.ElementAtOrDefault(line)}', built "
            + $"'{actual.ElementAtOrDefault(line)}'. " +
            $"Where the change is meant, run this test with {Rewrite}=1 and commit the file.");
    }
}
