using System.CommandLine;
using System.Text;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Hands the work of a verb to Slurm, as an array of jobs.</summary>
internal sealed class SubmitVerb(Session session) : Verb(session)
{
    private static readonly string[] Submitted = ["pick", "reproduce"];

    private readonly Option<string?> partition = Parse.Text("--partition", "NAME",
        "Slurm's partition. Default: its own default.");
    private readonly Option<int?> jobs = Parse.Integer("--jobs", "How many jobs share the work.", 1, 100_000);
    private readonly Option<string[]> sbatch = Parse.Texts("--sbatch", "OPTION",
        "Another option of sbatch for all jobs, as --sbatch=--gres=gpu:1 or --sbatch=--time=4:00:00; repeat it for more.");
    private readonly Option<string?> script = Parse.Text("--script", "FILE",
        "Where the script of the jobs is written. Default: beside --out, with .sbatch behind its name.");
    private readonly Option<bool> dryRun = new("--dry-run") { Description = "Print the script, write and submit nothing." };
    private readonly Option<bool> status = new("--status")
    {
        Description = "Print what sacct knows of your jobs of this "
        + "program (squeue, where Slurm keeps no accounts)."
    };

    public override string Name => "submit";

    public override string Summary => "Submits pick or reproduce to Slurm, as an array of jobs.";

    protected override string Description =>
        "Submits 'pick' or 'reproduce' to Slurm: an array of jobs that share the work, and a job after them that puts the "
            + "results together and names what is missing. " +
        "What follows is the command line as it would be run here. All files must be where every node finds them under the "
            + "same name.";

    public override string Example => "meanshift-gpu submit pick tomograms/ --model run/model.safetensors --out picks/ "
        + "--partition gpu --jobs 8";

    protected override bool UsesDevice => false;

    protected override bool TakesOtherWords => true;

    protected override IEnumerable<Symbol> Symbols => [partition, jobs, sbatch, script, dryRun, status];

    protected override IEnumerable<Symbol> Reads => [];

    protected override IEnumerable<Symbol> Writes => [script];

    protected override ExitCode Run(ParseResult options)
    {
        string[] words = [.. options.UnmatchedTokens];
        if (options.GetValue(status))
            return words.Length == 0 ? PrintStatus() : throw new InputException("submit: --status stands alone; leave the "
                + "rest out.");
        ArrayScript made = Script(options, words);
        string program = ProgramName();
        string text = made.Text(Environment.CurrentDirectory, program);
        if (options.GetValue(dryRun))
        {
            foreach (string line in text.TrimEnd().Split('\n'))
                Session.Line(line);
            return ExitCode.Done;
        }

        OutputFolder.CheckFile(made.File);
        Files.Read(words.Where(File.Exists));
        Files.Write(script.Name, made.File);
        AtomicFile.Write(made.File, stream => stream.Write(Encoding.UTF8.GetBytes(text)));
        string array = Slurm.Submit(made.ArrayArguments);
        string last = Slurm.Submit(made.LastArguments(array));
        Session.Line($"array {array} of {Counted.Of(made.Jobs, "job")}, and {last} after it: {made.File}");
        WriteJson(options, new { Script = made.File, Array = array, Last = last, made.Jobs });
        return ExitCode.Done;
    }

    private ArrayScript Script(ParseResult options, string[] words)
    {
        if (words.Length == 0 || !Submitted.Contains(words[0]))
            throw new InputException($"submit: expected {string.Join(" or ", Submitted)} and its options, got "
                + $"{(words.Length == 0 ? "nothing" : $"'{words[0]}'")}.");
        if (CommandLine.FindProblem(words) is { } problem)
            throw new InputException($"submit: {problem}");
        int count = options.GetValue(jobs) ?? throw new InputException("submit: '--jobs' is required: how many jobs share the "
            + "work.");
        if (Value(words, "--shard") is not null)
            throw new InputException("submit: leave --shard out; each job gets its own share.");
        string output = Path.TrimEndingDirectorySeparator(Value(words, "--out") ?? (words[0] == "reproduce"
            ? ReproduceVerb.DefaultFolder : throw new InputException("submit: 'pick' needs --out, a folder for the tables.")));
        string file = options.GetValue(script) ?? output + ".sbatch";
        string[] last = words[0] == "reproduce" ? [ReproduceVerb.ReportName] : Merge(words, output);
        return new ArrayScript
        {
            Verb = words[0],
            File = file,
            Jobs = count,
            Command = words[0] == "pick" ? Without(words, PickVerb.MergeName) : words,
            Last = last,
            Sbatch = [.. options.GetValue(partition) is { } named ? (string[])[$"--partition={named}"] : [],
                .. options.GetValue(sbatch) ?? []],
        };
    }

    // The table of all volumes: its name is known to be good before an array has run for hours.
    private static string[] Merge(string[] words, string output)
    {
        if (CoordinateFormats.Endings.Contains(Path.GetExtension(output).ToLowerInvariant()))
            throw new InputException($"submit: --out: {output} is one table, which jobs cannot write together. Give a folder; "
                + $"{PickVerb.MergeName} names the table of all volumes.");
        CoordinateFormat format = Value(words, "--format") is { } word ? CoordinateFormats.Words[word.ToLowerInvariant()]
            : CoordinateFormat.Relion3;
        string table = Value(words, PickVerb.MergeName) ?? output + (CoordinateFormats.HoldsSeveralTomograms(format)
            ? CoordinateFormats.Ending(format) : ".star");
        return [PickVerb.MergeName, table];
    }

    private ExitCode PrintStatus()
    {
        string[] names = [.. Submitted.SelectMany(v => (string[])[Slurm.NamePrefix + v, $"{Slurm.NamePrefix}{v}-last"])];
        string all = string.Join(',', names);
        (int code, string known, string problem) = Slurm.Run(
            "sacct", "--allocations", "--starttime=now-30days", $"--name={all}",
                "--format=JobID%-16,JobName%-24,Partition,State,Elapsed,ExitCode,NodeList%-20");
        if (code != 0)
        {
            Session.Line($"sacct: {InputFile.OneLine(problem.Length > 0 ? problem : known)}; what squeue knows of the last "
                + "minutes:");
            (code, known, problem) = Slurm.Run("squeue", "--me", "--array", "--states=all", $"--name={all}",
                "--format=%.16i %.24j %.10P %.12T %.10M %R");
        }

        if (code != 0)
            throw new InputException($"submit: squeue failed: {InputFile.OneLine(problem)}.");
        foreach (string line in known.Split('\n'))
            Session.Line(line.TrimEnd());
        return ExitCode.Done;
    }

    // As this process was started: by its own name, or by dotnet with the library's.
    private static string ProgramName()
    {
        string path = Environment.ProcessPath ?? "meanshift-gpu";
        return Path.GetFileNameWithoutExtension(path) == "dotnet"
            ? Slurm.Line([path, Path.Combine(AppContext.BaseDirectory, "meanshift-gpu.dll")]) : Slurm.Quote(path);
    }

    private static string? Value(string[] words, string option)
    {
        int at = Array.FindIndex(words, w => w == option || w.StartsWith(option + "=", StringComparison.Ordinal));
        return at < 0 ? null : words[at] == option ? words.ElementAtOrDefault(at + 1) : words[at][(option.Length + 1)..];
    }

    private static string[] Without(string[] words, string option)
    {
        int at = Array.FindIndex(words, w => w == option || w.StartsWith(option + "=", StringComparison.Ordinal));
        return at < 0 ? words : [.. words[..at], .. words[(at + (words[at] == option ? 2 : 1))..]];
    }
}
