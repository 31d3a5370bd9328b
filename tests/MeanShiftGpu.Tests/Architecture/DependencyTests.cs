using System.Text.RegularExpressions;
using System.Xml.Linq;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Architecture;

/// <summary>Dependencies go one way. The sources say what a folder uses; where they are not at hand the tests are skipped.</summary>
public partial class DependencyTests
{
    // A folder of the host library is a namespace; each may use those listed here and the root namespace (devices).
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Device"] = [],
        ["IO"] = [],
        ["Reporting"] = [],
        ["Simulation"] = ["IO"],
        ["Tensors"] = [],
        ["Autograd"] = ["Tensors"],
        ["Ops"] = ["Autograd", "Tensors"],
        ["Layers"] = ["Ops", "Autograd", "Tensors", "IO"],
        ["Training"] = ["Layers", "Ops", "Autograd", "Tensors", "IO"],
        ["Picking"] = ["Layers", "Ops", "Autograd", "Tensors", "IO", "Reporting"],
        ["Validation"] = ["Layers", "Ops", "Autograd", "Tensors", "IO"],
        ["Benchmarking"] = ["Training", "Picking", "Simulation", "Layers", "Ops", "Autograd", "Tensors", "IO"],
        ["Demo"] = ["Training", "Picking", "Simulation", "Reporting", "Layers", "Ops", "Autograd", "Tensors", "IO"],
    };

    [Test]
    public void HostLibrary_EveryFolder_UsesOnlyWhatItMay()
    {
        string library = Path.Combine(Root(), "src", "MeanShiftGpu");
        List<string> violations = [];
        foreach (string folder in Directory.GetDirectories(library))
        {
            string name = Path.GetFileName(folder);
            Assert.That(Allowed.Keys, Does.Contain(name), "a new folder must say what it may use");
            foreach (string file in Directory.GetFiles(folder, "*.cs", SearchOption.AllDirectories))
            {
                foreach (Match match in NamespacePattern().Matches(File.ReadAllText(file)))
                {
                    string used = match.Groups[1].Value;
                    if (used != name && Allowed.ContainsKey(used) && !Allowed[name].Contains(used))
                        violations.Add($"{Path.GetRelativePath(library, file)} uses {used}");
                }
            }
        }

        Assert.That(violations, Is.Empty);
    }

    [Test]
    public void Allowed_HasNoCycle()
    {
        List<string> remaining = [.. Allowed.Keys];
        while (remaining.Count > 0)
        {
            string? free = remaining.Find(name => !Allowed[name].Any(remaining.Contains));
            Assert.That(free, Is.Not.Null, $"a cycle among {string.Join(", ", remaining)}");
            remaining.Remove(free!);
        }
    }

    [TestCase("kernels/MeanShiftGpu.Kernels.csproj", new string[0], new[] { "ILGPU", "ILGPU.Algorithms" })]
    [TestCase("src/MeanShiftGpu/MeanShiftGpu.csproj", new[] { "MeanShiftGpu.Kernels.csproj" }, null)]
    [TestCase("src/MeanShiftGpu.Cli/MeanShiftGpu.Cli.csproj", new[] { "MeanShiftGpu.csproj" }, null)]
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
        string[] projects = Directory.GetFiles(Root(), "*.csproj", SearchOption.AllDirectories);
        Assert.That(projects, Is.Not.Empty);
        foreach (string project in projects)
            Assert.That(File.ReadAllText(project), Does.Not.Match("(?i)torch|tensorflow|onnx|ml\\.net|cudnn"));
    }

    private static IEnumerable<string> Includes(XDocument document, string element)
        => document.Descendants(element).Select(e => e.Attribute("Include")!.Value);

    private static string Root()
    {
        for (DirectoryInfo? directory = new(TestContext.CurrentContext.TestDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "MeanShiftGpu.sln")))
                return directory.FullName;
        }

        Assert.Ignore("the sources are not at hand");
        return "";
    }

    [GeneratedRegex(@"MeanShiftGpu\.([A-Z][A-Za-z]+)\b")]
    private static partial Regex NamespacePattern();
}
