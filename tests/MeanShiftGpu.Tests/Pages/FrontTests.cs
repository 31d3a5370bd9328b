using System.Text.Json;
using System.Text.RegularExpressions;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Pages;

/// <summary>
/// What the pages at the front say of the sources: lengths of lines, libraries of others, unsafe code.
/// </summary>
public partial class FrontTests
{
    private const int LongestLine = 130, LongestText = 110;

    private static readonly string[] Folders = ["src", "kernels", "tests", "benchmarks"];

    // A verb parses, calls, and prints; what is longer has a class of its own in it.
    [Test]
    public void Verbs_FitAScreenOrThree()
    {
        string[] verbs = Directory.GetFiles(Path.Combine(Sources.Root(), "src", "MeanShiftGpu.Cli", "Verbs"), "*Verb.cs");
        Assert.That(verbs, Has.Length.GreaterThan(10));
        Assert.That(verbs.Where(v => File.ReadLines(v).Count() > 200).Select(Path.GetFileName), Is.Empty, "lines");
    }

    [Test]
    public void Lines_OfCode_AreNotTooLong()
    {
        List<string> wrong = [];
        foreach (string file in Files("*.cs"))
        {
            foreach ((int i, string line) in File.ReadLines(file).Index())
            {
                if (line.Length > (IsComment(line) ? LongestText : LongestLine))
                    wrong.Add($"{Named(file)}:{i + 1}: {line.Length} characters");
            }
        }

        Assert.That(wrong, Is.Empty, $"at most {LongestLine} characters, comments {LongestText}");
    }

    // Tables, commands and what has no space to break at may be longer.
    [TestCaseSource(typeof(PagesTests), nameof(PagesTests.Pages))]
    public void Lines_OfPages_AreNotTooLong(string page)
    {
        bool isBlock = false;
        List<string> wrong = [];
        foreach ((int i, string line) in File.ReadLines(Path.Combine(Sources.Root(), page)).Index())
        {
            if (line.TrimStart().StartsWith("```", StringComparison.Ordinal))
                isBlock = !isBlock;
            else if (!isBlock && line.Length > LongestText && !line.StartsWith('|') && IsBreakable(line))
                wrong.Add($"{page}:{i + 1}: {line.Length} characters");
        }

        Assert.That(wrong, Is.Empty, $"at most {LongestText} characters");
    }

    [Test]
    public void Notices_NameEveryLibraryOfTheProduct()
    {
        string notices = File.ReadAllText(Path.Combine(Sources.Root(), "src", "THIRD-PARTY-NOTICES.md"));
        HashSet<string> libraries = [];
        foreach (
            string file in Files("packages.lock.json").Where(f => Named(f).StartsWith("src/") || Named(f).StartsWith("kernels/")))
        {
            using JsonDocument locked = JsonDocument.Parse(File.ReadAllText(file));
            foreach (JsonProperty framework in locked.RootElement.GetProperty("dependencies").EnumerateObject())
            {
                foreach (JsonProperty library in framework.Value.EnumerateObject())
                {
                    if (library.Value.TryGetProperty("resolved", out JsonElement version))
                        libraries.Add($"| {library.Name} | {version} |");
                }
            }
        }

        string[] named = [.. LibraryRow().Matches(notices).Select(m => m.Value)];
        Assert.That(named, Is.EquivalentTo(libraries));
    }

    [Test]
    public void Security_ListsTheUnsafeCodeOfTheLibraries()
    {
        string page = File.ReadAllText(Path.Combine(Sources.Root(), ".github", "SECURITY.md"));
        IEnumerable<string> listed = UnsafeRow().Matches(page).Select(m => m.Groups[1].Value);
        IEnumerable<string> found = Files("*.cs").Where(
            f => Named(f).StartsWith("src/") && UnsafeWord().IsMatch(File.ReadAllText(f)));
        Assert.That(found.Select(Named), Is.EquivalentTo(listed));
    }

    private static IEnumerable<string> Files(string pattern)
        => from folder in Folders
           from file in Directory.EnumerateFiles(Path.Combine(Sources.Root(), folder), pattern, SearchOption.AllDirectories)
           where !Named(file).Split('/').Any(part => part is "bin" or "obj" or "artifacts")
           select file;

    private static string Named(string file)
        => Path.GetRelativePath(Sources.Root(), file).Replace(Path.DirectorySeparatorChar, '/');

    private static bool IsComment(string line) => line.TrimStart().StartsWith("//", StringComparison.Ordinal);

    // Within the length, and not within a command.
    private static bool IsBreakable(string line)
        => Breakable().IsMatch(Command().Replace(line, m => new string('x', m.Length))[..LongestText]);

    [GeneratedRegex("`[^`]*`")]
    private static partial Regex Command();

    // A space that is not within a link, behind at least one word.
    [GeneratedRegex(@"^\s*([-*>]|\d+\.)?\s*[^\s!\[<#]\S*\s")]
    private static partial Regex Breakable();

    [GeneratedRegex(@"^\| [A-Z][\w.]+ \| [\d.]+ \|", RegexOptions.Multiline)]
    private static partial Regex LibraryRow();

    [GeneratedRegex(@"^\| `(src/[^`]+)` \|", RegexOptions.Multiline)]
    private static partial Regex UnsafeRow();

    [GeneratedRegex(@"^\s*[^/""\n]*\bunsafe\b", RegexOptions.Multiline)]
    private static partial Regex UnsafeWord();
}
