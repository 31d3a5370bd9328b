using System.Text.RegularExpressions;
using MeanShiftGpu.Cli;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Pages;

/// <summary>What the README shows is what runs: its program is the one that CI builds against the packages, its commands are run here.</summary>
public partial class ReadmeTests
{
    [Test]
    public void Program_IsTheOneThatIsBuiltAgainstThePackages()
    {
        string program = File.ReadAllText(Path.Combine(Root(), "tests", "consumer", "Program.cs"));
        Assert.That(Blocks("csharp").Single().Trim(), Is.EqualTo(program.Trim()));
    }

    [Test]
    public void Commands_OfTheWalkthrough_Run()
    {
        string[] commands = [.. Blocks("sh").SelectMany(b => b.Split('\n')).Select(l => l.Trim()).Where(l => l.StartsWith("meanshift-gpu ", StringComparison.Ordinal))];
        Assert.That(commands, Has.Length.GreaterThanOrEqualTo(4));
        string before = Environment.CurrentDirectory;
        string folder = Directory.CreateTempSubdirectory("readme").FullName;
        try
        {
            Environment.CurrentDirectory = folder;
            foreach (string command in commands)
            {
                // The same command with a training of a few steps: whether it runs, not how well it learns.
                string shortened = StepsPattern().Replace(command, "--steps 3");
                using StringWriter output = new();
                using StringWriter error = new();
                int code = CommandLine.Run(shortened.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..], output, error);
                Assert.That(code, Is.Zero, $"{shortened}\n{output}\n{error}");
            }
        }
        finally
        {
            Environment.CurrentDirectory = before;
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void LinksToFiles_LeadSomewhere()
    {
        foreach (Match link in LinkPattern().Matches(Readme()))
            Assert.That(Path.Exists(Path.Combine(Root(), link.Groups[1].Value)), Is.True, link.Value);
    }

    private static List<string> Blocks(string language)
        => [.. Regex.Matches(Readme(), $"```{language}\n(.*?)```", RegexOptions.Singleline).Select(m => m.Groups[1].Value)];

    private static string Readme() => File.ReadAllText(Path.Combine(Root(), "README.md")).ReplaceLineEndings("\n");

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

    [GeneratedRegex(@"--steps \d+")]
    private static partial Regex StepsPattern();

    [GeneratedRegex(@"\]\((?!http)([^)#]+)\)")]
    private static partial Regex LinkPattern();
}
