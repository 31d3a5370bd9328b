using System.CommandLine;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Storage;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// No file that a verb writes is one of its inputs, belongs to one, or is another of its results: under its
/// own name, through a link, and where it lies in a folder.
/// </summary>
[NonParallelizable]
public class ResultsAndInputsTests : TrainedToolTests
{
    private static readonly string[] Words = ["FILE", "DIR", "TABLE", "MAP", "OLD.json"];

    // Arguments that name no files.
    private static readonly string[] Others = ["gradcheck NAME", "import LAYOUT"];

    // What no list names would not be looked at.
    [Test]
    public void EveryOptionThatNamesAFile_SaysWhetherItIsReadOrWritten()
    {
        Session session = new(TextWriter.Null, TextWriter.Null, terminal: false, CancellationToken.None);
        List<string> unknown = [];
        foreach (Verb verb in CommandLine.VerbsOf(session))
        {
            Command command = verb.CreateCommand();
            HashSet<Symbol> known = [.. verb.NamesOfFiles.Read, .. verb.NamesOfFiles.Written];
            IEnumerable<Symbol> options = command.Options.Where(
                o => o.HelpName?.Split('|').Intersect(Words).Any() == true);
            unknown.AddRange(options.Concat(command.Arguments).Where(s => !known.Contains(s))
                .Select(s => $"{verb.Name} {s.Name}"));
            Assert.That(verb.NamesOfFiles.Read.Intersect(verb.NamesOfFiles.Written), Is.Empty, verb.Name);
        }

        // The folder of another build, whose files nothing writes to.
        Assert.That(unknown, Is.EquivalentTo(Others.Append("bench --against")));
    }

    [Test]
    public void AResultInThePlaceOfAnInput_IsRefusedByEveryVerb_AndTheInputStays()
    {
        string volume = Folder.WriteVolume("v.mrc");
        string table = Folder.WriteText("t.tbl", "1 1 1\n");
        string csv = Folder.WriteText("t.csv", "x,y,z\n5,5,5\n");
        string html = Folder.WriteText("truth.html", "x,y,z\n5,5,5\n");
        string record = Folder.WriteText("t.csv.made", "{}");
        string names = Folder.WriteText("t.tomograms.doc", "1 TS_01\n");
        string link = Folder.At("link.json");
        File.CreateSymbolicLink(link, csv);
        string reference = Folder.WriteText("reference.safetensors", "x");
        string[] pick = ["pick", volume, "--model", Model, "--device", "cpu", "--out", Folder.At("p.star")];
        string[] view = ["view", volume, "--picks", csv, "--no-browser"];
        string[] evaluate = ["evaluate", "--picks", csv, "--truth", csv];
        string[] check = ["check", volume, "--picks", csv];
        string[] convert = ["convert", csv, "--out"];
        string[][] commands =
        [
            [.. pick, "--json", Model], [.. pick, "--score-map", volume], [.. pick, "--json", volume],
            ["pick", volume, "--model", Model, "--device", "cpu", "--out", Folder.Path, "--mask", volume, "--json", volume],
            [.. evaluate, "--json", csv], [.. evaluate, "--json", link], [.. evaluate, "--json", record],
            ["evaluate", "--picks", csv, "--truth", html, "--report", html],
            [.. check, "--json", csv], [.. check, "--json", volume],
            [.. view, "--out", csv], [.. view, "--json", record], [.. view, "--json", volume],
            [.. convert, csv], [.. convert, Folder.At("c.star"), "--json", link],
            ["convert", table, "--out", Folder.At("c.star"), "--json", names],
            [.. convert, Folder.At("c.star"), "--volume", volume, "--json", volume],
            ["export", Model, "--onnx", Model], ["export", Model, "--onnx", Folder.At("m.onnx"), "--json", Model],
            ["verify", Folder.Path, "--json", reference],
            ["bench", "mean-shift", "--compare", csv, "--json", csv],
            ["simulate", "--preset", "tomogram", "--density", volume, "--out", Folder.At("s"), "--json", volume],
            [.. Folder.Train("again", 1, "--init", Model, "--json", Model)],
            [.. Folder.Train("run", 1, "--init", Model, "--overwrite")],
            [.. Folder.Train("again", 1, "--check-report", Folder.Manifest)],
        ];
        Dictionary<string, byte[]> before = Contents();
        using (Assert.EnterMultipleScope())
        {
            foreach (string[] command in commands)
                ToolRun.Refuses(["would be replaced by a result"], command);
            foreach ((string path, byte[] content) in before)
                Assert.That(File.ReadAllBytes(path), Is.EqualTo(content), path);
        }
    }

    [Test]
    public void TwoResultsInOnePlace_AreRefused()
    {
        string volume = Folder.WriteVolume("w.mrc");
        string csv = Folder.WriteText("w.csv", "x,y,z\n5,5,5\n");
        string page = Folder.At("w.html");
        string[] pick = ["pick", volume, "--model", Model, "--device", "cpu", "--out", Folder.At("w.star")];
        string[] demo = ["demo", "--out", Folder.At("demo")];
        Directory.CreateDirectory(Folder.At("demo"));
        Directory.CreateDirectory(Folder.At("ptx"));
        string[][] commands =
        [
            [.. pick, "--json", Folder.At("w.star")], [.. pick, "--json", Folder.At("w.star.made")],
            [.. pick, "--report", page, "--json", page],
            ["evaluate", "--picks", csv, "--truth", csv, "--report", page, "--json", page],
            ["convert", csv, "--out", Folder.At("w.tbl"), "--json", Folder.At("w.tomograms.doc")],
            ["export", Model, "--onnx", Folder.At("w.onnx"), "--json", Folder.At("w.onnx")],
            [.. demo, "--json", Folder.At("demo", "report.html")],
            ["view", volume, "--picks", csv, "--no-browser", "--out", Folder.At("y.csv"), "--json", Folder.At("y_removed.csv")],
            [.. Folder.Train("run", 1, "--overwrite", "--json", Folder.At("run", "checkpoint.safetensors"))],
        ];
        using (Assert.EnterMultipleScope())
        {
            foreach (string[] command in commands)
                ToolRun.Refuses(["is the name of two results", "--json"], command);
        }
    }

    // A file that no list of results named: nothing is written in the place of an input all the same.
    [Test]
    public void AFileThatWasNotNamedBefore_IsNotWrittenInThePlaceOfAnInput()
    {
        string input = Folder.WriteText("input.txt", "precious");
        string beside = Folder.WriteText("input.txt.made", "precious");
        FileUses uses = new(path => [path, path + ".made"]);
        uses.Read(input);
        using (uses.Begin())
        {
            foreach (string path in (string[])[input, beside])
                Assert.Throws<InputException>(() => AtomicFile.Write(path, stream => stream.WriteByte(1)));
        }

        Assert.That(File.ReadAllText(input), Is.EqualTo("precious"));
        AtomicFile.Write(input, stream => stream.WriteByte(1));
    }

    private Dictionary<string, byte[]> Contents()
        => Directory.EnumerateFiles(Folder.Path, "*", SearchOption.AllDirectories).ToDictionary(f => f, File.ReadAllBytes);
}
