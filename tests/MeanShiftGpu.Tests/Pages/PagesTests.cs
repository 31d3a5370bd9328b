using System.Text.RegularExpressions;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Pages;

/// <summary>
/// What the pages show is what runs. Commands marked sh are run, those marked console are held to the real
/// command line, a program (csharp) is the text of one that is built and run, and links lead somewhere.
/// </summary>
public partial class PagesTests
{
    private static readonly string[] Words = ["sh", "console", "csharp", "python", "json", "text"];

    public static IEnumerable<string> Pages()
    {
        string root = Sources.Root();
        return from path in Directory.EnumerateFiles(root, "*.md", SearchOption.AllDirectories)
               let page = Path.GetRelativePath(root, path).Replace(Path.DirectorySeparatorChar, '/')
               where !page.Split('/')[..^1].Any(folder => folder is "artifacts" or "BenchmarkDotNet.Artifacts" or "bin" or "obj")
               orderby page
               select page;
    }

    [TestCaseSource(nameof(Pages))]
    public void Blocks_SayWhatTheyAre(string page)
    {
        foreach (PageBlock block in Blocks(page))
            Assert.That(Words, Does.Contain(block.Word), $"{page}:{block.Line}: the word behind ``` is '{block.Word}'");
    }

    [TestCaseSource(nameof(Pages))]
    public void Commands_AreUnderstood(string page)
    {
        foreach (PageBlock block in Blocks(page).Where(b => b.Word is "sh" or "console"))
        {
            foreach (string[] arguments in block.Commands())
                Assert.That(CommandLine.FindProblem(arguments), Is.Null, $"{page}:{block.Line}: {string.Join(' ', arguments)}");
        }
    }

    [TestCaseSource(nameof(Pages))]
    public void Commands_MarkedSh_Run(string page)
    {
        PageBlock[] blocks = [.. Blocks(page).Where(b => b.Word == "sh")];
        InFolder(() =>
        {
            foreach (PageBlock block in blocks)
            {
                string[][] commands = [.. block.Commands()];
                int lines = block.Text.Split('\n').Count(line => line.Trim().Length > 0);
                Assert.That(commands, Has.Length.EqualTo(lines), $"{page}:{block.Line}: only lines of the tool can be run; "
                    + "mark others console");
                foreach (string[] arguments in commands)
                {
                    // The same command with a training of a few steps: whether it runs, not how well it
                    // learns.
                    int steps = Array.IndexOf(arguments, "--steps");
                    if (steps >= 0)
                        arguments[steps + 1] = "3";
                    using StringWriter output = new();
                    using StringWriter error = new();
                    int code = CommandLine.Run(arguments, output, error);
                    Assert.That(code, Is.Zero, $"{page}:{block.Line}: {string.Join(' ', arguments)}\n{output}\n{error}");
                }
            }
        });
    }

    [TestCaseSource(nameof(Pages))]
    public void Programs_AreBuilt(string page)
    {
        string tests = Path.Combine(Sources.Root(), "tests");
        string[] programs =
        [
            .. Directory.GetFiles(Path.Combine(tests, "MeanShiftGpu.Tests", "Pages"), "*Example.cs")
                .Concat(Directory.GetFiles(Path.Combine(tests, "consumer"), "*.cs"))
                .Select(path => Unindented(File.ReadAllText(path))),
        ];
        foreach (PageBlock block in Blocks(page).Where(b => b.Word == "csharp"))
            Assert.That(
                programs.Any(p => p.Contains(Unindented(block.Text), StringComparison.Ordinal)),
                Is.True,
                $"{page}:{block.Line} is part of no program");
    }

    [Test]
    public void Program_OfFormats_Runs() => InFolder(FormatsExample.Run);

    [Test]
    public void Walkthrough_IsThere()
        => Assert.That(
            Blocks("src/MeanShiftGpu.Cli/README.md").Where(b => b.Word == "sh").Sum(b => b.Commands().Count()),
            Is.GreaterThanOrEqualTo(4));

    [Test]
    public void Readme_IsADoor() => Assert.That(Read("README.md").TrimEnd().Split('\n'), Has.Length.LessThanOrEqualTo(150));

    [TestCaseSource(nameof(Pages))]
    public void Links_LeadSomewhere(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Sources.Root(), page))!;
        foreach (Match link in LinkPattern().Matches(Read(page)))
        {
            string target = link.Groups[1].Value.Length == 0 ? Path.Combine(Sources.Root(), page) : Path.GetFullPath(
                Path.Combine(folder, link.Groups[1].Value));
            Assert.That(Path.Exists(target), Is.True, $"{page}: {link.Value}");
            if (link.Groups[2].Value is { Length: > 0 } heading)
                Assert.That(Headings(File.ReadAllText(target)), Does.Contain(heading), $"{page}: {link.Value}");
        }
    }

    [Test]
    public void AMisspelledOption_IsFound()
    {
        PageBlock block = PageBlock.Read("```console\nfor p in tf32 bf16; do\n  cli/meanshift-gpu bench unet-step \\\n    "
            + "--precison $p > x # why\ndone\n```").Single();
        string[] arguments = block.Commands().Single();
        Assert.That(arguments, Is.EqualTo(new[] { "bench", "unet-step", "--precison", "tf32" }));
        Assert.That(CommandLine.FindProblem(arguments), Does.Contain("--precision"));
    }

    private static List<PageBlock> Blocks(string page) => PageBlock.Read(Read(page));

    private static string Read(string page) => File.ReadAllText(Path.Combine(Sources.Root(), page)).ReplaceLineEndings("\n");

    private static string Unindented(string text)
        => string.Join('\n', text.ReplaceLineEndings("\n").Trim().Split('\n').Select(line => line.Trim()));

    // As the forge makes anchors of headings.
    private static IEnumerable<string> Headings(string page) => HeadingPattern().Matches(page)
        .Select(m => NoAnchorPattern().Replace(m.Groups[1].Value.Trim().ToLowerInvariant(), "").Replace(' ', '-'));

    private static void InFolder(Action run)
    {
        string before = Environment.CurrentDirectory;
        string folder = Directory.CreateTempSubdirectory("page").FullName;
        try
        {
            Environment.CurrentDirectory = folder;
            // What the tutorial has its reader copy.
            Directory.CreateDirectory("microtubules");
            foreach (string file in Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Data", "microtubules")))
                File.Copy(file, Path.Combine("microtubules", Path.GetFileName(file)));
            run();
        }
        finally
        {
            Environment.CurrentDirectory = before;
            Directory.Delete(folder, recursive: true);
        }
    }

    [GeneratedRegex(@"\]\((?!http)([^)#]*)#?([^)]*)\)")]
    private static partial Regex LinkPattern();

    [GeneratedRegex("(?m)^#+ (.*)$")]
    private static partial Regex HeadingPattern();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NoAnchorPattern();
}
