using System.Reflection;
using System.Xml.Linq;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Volumes;
using NetArchTest.Rules;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Architecture;

/// <summary>
/// Dependencies go one way. What a namespace uses is read from the compiled types (signatures, fields and
/// method bodies), so that neither a fully qualified name nor an unused <c>using</c> can mislead. Every
/// namespace is listed with all that it may use of ours.
/// </summary>
public class DependencyTests
{
    // Families of kernels know the machine and nothing of each other; the head and the transposed convolution
    // are products of matrices, as the convolution is.
    private static readonly Dictionary<string, string[]> Kernels = new()
    {
        ["Machine"] = [],
        ["Convolution"] = ["Machine"],
        ["Elementwise"] = ["Machine"],
        ["Head"] = ["Machine"],
        ["Loss"] = ["Machine"],
        ["MeanShift"] = ["Machine"],
        ["Optimizer"] = ["Machine"],
        ["Pooling"] = ["Machine"],
    };

    private static readonly Dictionary<string, string[]> Core = new()
    {
        ["Geometry"] = ["Storage"],
        ["Storage"] = [],
        ["Device"] = ["Storage", "Geometry"],
        ["Tensors"] = ["Device", "Storage", "Geometry"],
        ["Autograd"] = ["Tensors", "Device", "Storage", "Geometry"],
        // The engine of checks lies below the operations, which bring their cases.
        ["Validation"] = ["Autograd", "Tensors", "Device", "Storage", "Geometry"],
        ["Ops"] = ["Validation", "Autograd", "Tensors", "Device", "Storage", "Geometry"],
        ["Network"] = ["Ops", "Validation", "Autograd", "Tensors", "Device", "Storage", "Geometry"],
        ["Training"] = ["Network", "Ops", "Autograd", "Tensors", "Device", "Storage", "Geometry"],
        ["Checks"] = ["Network", "Ops", "Validation", "Autograd", "Tensors", "Device", "Storage", "Geometry"],
    };

    private static readonly Dictionary<string, string[]> Tomography = new()
    {
        ["Files"] = [],
        ["Volumes"] = ["Files"],
        ["Coordinates"] = ["Volumes", "Files"],
        ["Datasets"] = ["Coordinates", "Volumes", "Files"],
        ["Reporting"] = ["Files"],
        ["Simulation"] = ["Datasets", "Coordinates", "Volumes", "Files"],
        ["Picking"] = ["Datasets", "Coordinates", "Volumes", "Files"],
        ["Viewing"] = ["Reporting", "Coordinates", "Volumes", "Files"],
        ["Evaluation"] = ["Picking", "Viewing", "Reporting", "Datasets", "Coordinates", "Volumes", "Files"],
        ["Training"] = ["Evaluation", "Picking", "Reporting", "Datasets", "Coordinates", "Volumes", "Files"],
        ["Reproduction"] = ["Evaluation", "Picking", "Simulation", "Reporting", "Datasets", "Coordinates", "Volumes", "Files"],
        ["Demo"] =
            ["Reproduction", "Evaluation", "Picking", "Simulation", "Reporting", "Datasets", "Coordinates", "Volumes", "Files"],
    };

    private static readonly (string Prefix, Assembly Assembly, Dictionary<string, string[]> Allowed)[] Houses =
    [
        ("MeanShiftGpu.Kernels", typeof(KernelAttribute).Assembly, Kernels),
        ("MeanShiftGpu", typeof(GpuContext).Assembly, Core),
        ("MeanShiftGpu.Tomography", typeof(MrcFile).Assembly, Tomography),
    ];

    public static IEnumerable<TestCaseData> Namespaces
        => from house in Houses
           from name in house.Allowed.Keys
           select new TestCaseData(house.Prefix, name).SetArgDisplayNames($"{house.Prefix}.{name}");

    [TestCaseSource(nameof(Namespaces))]
    public void Namespace_UsesOnlyWhatItMay(string prefix, string name)
    {
        (_, Assembly assembly, Dictionary<string, string[]> allowed) = Houses.Single(h => h.Prefix == prefix);
        string[] forbidden =
            [.. allowed.Keys.Where(other => other != name && !allowed[name].Contains(other)).Select(
                other => $"{prefix}.{other}")];
        if (forbidden.Length == 0)
            return;
        TestResult result = Types.InAssembly(assembly).That().ResideInNamespace($"{prefix}.{name}").ShouldNot()
            .HaveDependencyOnAny(forbidden).GetResult();
        Assert.That(
            (result.FailingTypes ?? []).Select(type => $"{type.FullName}: {type.Explanation}"),
            Is.Empty,
            $"{prefix}.{name} may use {string.Join(", ", allowed[name])}");
    }

    // Operations are alike and know nothing of each other, but for the elementwise ones, which add gradients
    // for all.
    [Test]
    public void Operation_UsesNoOtherOperation()
    {
        string[] operations = [.. OperationNamespaces()];
        Assert.That(operations, Has.Length.GreaterThan(5));
        foreach (string operation in operations)
        {
            TestResult result = Types.InAssembly(typeof(GpuContext).Assembly).That().ResideInNamespace(operation)
                .ShouldNot().HaveDependencyOnAny([.. operations.Where(other => other != operation)]).GetResult();
            Assert.That((result.FailingTypes ?? []).Select(type => $"{type.FullName}: {type.Explanation}"), Is.Empty, operation);
        }
    }

    [Test]
    public void EveryType_LiesInAListedNamespace()
    {
        foreach ((string prefix, Assembly assembly, Dictionary<string, string[]> allowed) in Houses)
        {
            IEnumerable<string> unlisted = assembly.GetTypes()
                .Where(type => type is { IsNested: false, Namespace: not null } && type.Namespace.StartsWith(
                    "MeanShiftGpu", StringComparison.Ordinal))
                .Select(type => type.FullName!)
                .Where(type => !allowed.Keys.Any(name => type.StartsWith($"{prefix}.{name}.", StringComparison.Ordinal)));
            Assert.That(unlisted, Is.Empty, "a new folder must say what it may use");
        }
    }

    [Test]
    public void Allowed_HasNoCycle()
    {
        foreach ((string prefix, _, Dictionary<string, string[]> allowed) in Houses)
        {
            List<string> remaining = [.. allowed.Keys];
            while (remaining.Count > 0)
            {
                string? free = remaining.Find(name => !allowed[name].Any(remaining.Contains));
                Assert.That(free, Is.Not.Null, $"{prefix}: a cycle among {string.Join(", ", remaining)}");
                remaining.Remove(free!);
            }
        }
    }

    // A folder is a namespace. The sources say it; where they are not at hand the test is skipped.
    [TestCase("kernels", "MeanShiftGpu.Kernels")]
    [TestCase("src/MeanShiftGpu", "MeanShiftGpu")]
    [TestCase("src/MeanShiftGpu.Tomography", "MeanShiftGpu.Tomography")]
    [TestCase("src/MeanShiftGpu.Cli", "MeanShiftGpu.Cli")]
    [TestCase("tests/MeanShiftGpu.Tests", "MeanShiftGpu.Tests")]
    public void Folder_IsNamespace(string project, string prefix)
    {
        string root = Path.Combine(Root(), project);
        List<string> wrong = [];
        foreach (string file in Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories))
        {
            string folder = Path.GetRelativePath(root, Path.GetDirectoryName(file)!);
            string expected = folder == "." ? prefix : $"{prefix}.{folder.Replace(Path.DirectorySeparatorChar, '.')}";
            string? declared = File.ReadLines(file).FirstOrDefault(
                line => line.StartsWith("namespace ", StringComparison.Ordinal));
            if (declared is not null && declared != $"namespace {expected};")
                wrong.Add($"{Path.GetRelativePath(root, file)} declares '{declared}', expected {expected}");
        }

        Assert.That(wrong, Is.Empty);
    }

    [TestCase("kernels/MeanShiftGpu.Kernels.csproj", new string[0], new[] { "ILGPU", "ILGPU.Algorithms" })]
    [TestCase(
        "src/MeanShiftGpu/MeanShiftGpu.csproj", new[] { "MeanShiftGpu.Kernels.csproj" }, new[] { "ILGPU", "ILGPU.Algorithms" })]
    [TestCase(
        "src/MeanShiftGpu.Tomography/MeanShiftGpu.Tomography.csproj",
        new[] { "MeanShiftGpu.csproj", "MeanShiftGpu.Kernels.csproj" },
        null)]
    [TestCase(
        "src/MeanShiftGpu.Cli/MeanShiftGpu.Cli.csproj",
        new[] { "MeanShiftGpu.Tomography.csproj", "MeanShiftGpu.Kernels.csproj" },
        null)]
    public void Project_ReferencesOnlyWhatItMay(string project, string[] projects, string[]? packages)
    {
        XDocument document = XDocument.Load(Path.Combine(Root(), project));
        Assert.That(Includes(document, "ProjectReference").Select(Path.GetFileName), Is.EquivalentTo(projects));
        if (packages is not null)
            Assert.That(Includes(document, "PackageReference"), Is.EquivalentTo(packages));
    }

    [Test]
    public void Products_DependOnNoDeepLearningFramework()
    {
        string[] projects =
        [
            .. from folder in new[] { "kernels", "src" }
               from path in Directory.GetFiles(Path.Combine(Root(), folder), "*.csproj", SearchOption.AllDirectories)
               select path,
        ];
        Assert.That(projects, Is.Not.Empty);
        foreach (string project in projects)
            Assert.That(File.ReadAllText(project), Does.Not.Match("(?i)torch|tensorflow|onnx|ml\\.net|cudnn"));
    }

    private static IEnumerable<string> OperationNamespaces() => typeof(GpuContext).Assembly.GetTypes()
        .Select(type => type.Namespace)
        .OfType<string>()
        .Where(name => name.StartsWith("MeanShiftGpu.Ops.", StringComparison.Ordinal))
        .Distinct();

    private static IEnumerable<string> Includes(XDocument document, string element)
        => document.Descendants(element).Select(e => e.Attribute("Include")!.Value);

    private static string Root() => Sources.Root();
}
