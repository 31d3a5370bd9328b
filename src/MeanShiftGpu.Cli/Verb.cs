using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli;

/// <summary>
/// A verb of the command line: its options, and what it does with them. The logic belongs to the library; a
/// verb reads options, calls it, and prints what it returns.
/// </summary>
internal abstract class Verb(Session session)
{
    /// <summary>How a data set says what its volumes' headers do not.</summary>
    internal const string VoxelSizeInManifest = "\"voxelSizeAngstrom\" in the manifest";

    /// <summary>How a data set says how many pixels of a table make a voxel.</summary>
    internal const string BinningInManifest = "\"binning\" in the manifest";

    private readonly Option<string?> json = Parse.Text("--json", "FILE", "Write the result to this file as JSON.");
    private readonly Option<bool> verbose = new("--verbose")
    {
        Description = "Print the stack trace of an error, and details of a training.",
    };
    private readonly Option<DeviceChoice?> device = Parse.Device(
        "--device", "Device: auto, cuda (cuda:1 for the second GPU of the driver), opencl or cpu; simulated is a GPU "
            + "simulated on the CPU, slow, for checks. Default: MEANSHIFTGPU_DEVICE, or else auto, the first of cuda, opencl "
            + "and cpu that works.");
    private readonly Option<int?> threads = Parse.Integer("--threads", "Threads of the CPU device; results do not depend on "
        + "it. Default: one for each processor.", 1, 4096);
    private readonly Option<string?> variant = Parse.Text(
        "--variant", "NAME", "Force kernel variants, for all operations (Direct) or by operation "
        + "(conv3d=Direct,dice=HostSimd). Default: MEANSHIFTGPU_VARIANT, or else the fastest.");

    private readonly Option<Precision?> precision = Parse.Choice<Precision>(
        "--precision",
        "What tensor cores (NVIDIA, from compute capability 8.0) may round the operands of convolutions to: float32 (not at "
        + "all), tf32 or bf16; bf16 stores the network's activations so too, bf16-operands does not. Default: "
        + "MEANSHIFTGPU_PRECISION, or else float32.");

    /// <summary>The verb.</summary>
    public abstract string Name { get; }

    /// <summary>What it does, in one line among other verbs.</summary>
    public abstract string Summary { get; }

    /// <summary>Whether it is for those who work on the program, not for those who pick particles.</summary>
    public virtual bool IsForDevelopers => false;

    /// <summary>What it does, in a sentence or two.</summary>
    protected abstract string Description { get; }

    /// <summary>Fills in what only the help says and takes a while to find out. The help of the whole program
    /// asks nobody for it.</summary>
    public virtual void CompleteHelp()
    {
    }

    /// <summary>A command line that a person can copy.</summary>
    public abstract string Example { get; }

    /// <summary>Whether it computes on a device.</summary>
    protected virtual bool UsesDevice => true;

    /// <summary>Whether kernel variants can be forced; where not, the help does not name the
    /// option.</summary>
    protected virtual bool TakesVariant => true;

    /// <summary>
    /// Whether it takes words that are none of its options, as the command line of another verb.
    /// </summary>
    protected virtual bool TakesOtherWords => false;

    /// <summary>The verb's own arguments and options, in the order of the help.</summary>
    protected virtual IEnumerable<Symbol> Symbols => Groups.SelectMany(g => g.Symbols).Except(DeviceSymbols);

    /// <summary>
    /// The groups of options in the help, where there are many; what is in none of them stands in the last.
    /// </summary>
    public virtual IReadOnlyList<OptionGroup> Groups => [];

    /// <summary>The options of every verb that computes on a device.</summary>
    protected IEnumerable<Symbol> DeviceSymbols => [device, threads, variant, precision];

    /// <summary>Its arguments and options that name files which are read, or folders of such.</summary>
    protected abstract IEnumerable<Symbol> Reads { get; }

    /// <summary>Its options that name files which are written, or folders of such.</summary>
    protected abstract IEnumerable<Symbol> Writes { get; }

    /// <summary>
    /// What is read and written: the files that <see cref="Reads"/> and <see cref="Writes"/> name are known
    /// before it runs; it adds those that it finds or makes in folders, as soon as it knows them.
    /// </summary>
    protected FileUses Files { get; } = new(CoordinateTables.FilesOf);

    /// <summary>Where results and progress go.</summary>
    protected Session Session { get; } = session;

    /// <summary>Ctrl-C.</summary>
    protected CancellationToken Cancellation => Session.Cancellation;

    /// <summary>Builds the command with its own and the common options.</summary>
    public Command CreateCommand()
    {
        Command command = new(Name, Description) { TreatUnmatchedTokensAsErrors = !TakesOtherWords };
        variant.Hidden = !TakesVariant;
        Symbol[] common = UsesDevice ? [.. DeviceSymbols, json, verbose] : [json, verbose];
        foreach (Symbol symbol in Symbols.Concat(common))
        {
            if (symbol is Argument argument)
                command.Arguments.Add(argument);
            else
                command.Options.Add((Option)symbol);
        }

        command.SetAction(parsed =>
        {
            // A result that cannot be written must not be found out after an hour.
            if (parsed.GetValue(json) is { } path)
                OutputFolder.CheckFile(path);
            Files.Read(Reads.SelectMany(symbol => Named(parsed, symbol)).Where(File.Exists));
            // Of a folder the verb knows the files, and several results may lie in one.
            foreach (Option option in Writes.Append(json).OfType<Option>().Where(o => o.HelpName?.Contains("DIR") != true))
                Files.Write(option.Name, Named(parsed, option).Where(name => !Directory.Exists(name)));
            using IDisposable running = Files.Begin();
            try
            {
                return (int)Run(parsed);
            }
            catch (InputException e) when (Explained(parsed, e) is var explained && explained != e)
            {
                throw explained;
            }
        });
        return command;
    }

    /// <summary>The arguments and options that name files.</summary>
    public (IReadOnlyList<Symbol> Read, IReadOnlyList<Symbol> Written) NamesOfFiles => ([.. Reads], [.. Writes, json]);

    private static IEnumerable<string> Named(ParseResult parsed, Symbol symbol)
        => parsed.GetResult(symbol) is { } given ? given.Tokens.Select(token => token.Value) : [];

    /// <summary>
    /// Refuses to replace what an earlier run has left in a folder, unless that is asked for.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <param name="overwrite">Whether it was asked for.</param>
    /// <param name="names">The files that show that there was one.</param>
    internal static void RefuseReplacing(string folder, bool overwrite, params string[] names)
    {
        if (!overwrite && names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists) is { } earlier)
            throw new InputException($"{earlier}: is there from an earlier run. Choose another folder, or replace it with "
                + "--overwrite.");
    }

    /// <summary>A refusal with the option that mends it, where there is one.</summary>
    protected InputException Explained(ParseResult options, InputException refusal)
        => refusal.Missing is { } fact && OptionFor(options, fact) is { } option
            ? new InputException($"{refusal.Message.TrimEnd('.')} ({option}).", refusal)
            : refusal;

    /// <summary>How this verb is told a fact that the library misses; null where it cannot be.</summary>
    protected virtual string? OptionFor(ParseResult options, MissingFact fact) => null;

    /// <summary>Does the work.</summary>
    protected abstract ExitCode Run(ParseResult options);

    /// <summary>Opens the device that the options ask for, and says which it is.</summary>
    protected GpuContext OpenDevice(ParseResult options)
    {
        GpuContext context = GpuContext.Create(DeviceOptions(options));
        opened = context.Description;
        Session.Line($"device: {context.Description} ({context.Reason})");
        if (context.PrecisionRefusal is { } reason)
            Session.Warn($"convolutions compute in float32: rounding needs tensor cores; {reason}");
        return context;
    }

    /// <summary>What the options say about the device.</summary>
    protected GpuContextOptions DeviceOptions(ParseResult options) => new()
    {
        Device = options.GetValue(device)?.Kind ?? DeviceKind.Auto,
        DeviceIndex = options.GetValue(device)?.Index,
        ProcessOnMachine = Session.Ranked.Mpi?.RankOnMachine,
        Threads = options.GetValue(threads) ?? Session.Ranked.Mpi?.Processors ?? 0,
        Variant = options.GetValue(variant),
        Precision = options.GetValue(precision),
    };

    /// <summary>The record of what this command makes.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="inputs">The files that it is made from.</param>
    protected Provenance Made(ParseResult options, IEnumerable<string> inputs)
    {
        string[] read = [.. inputs.Distinct()];
        Files.Read(read);
        return new Provenance { Command = CommandOf(options), Device = opened ?? "", Inputs = [.. read.Select(Records.Of)] };
    }

    /// <summary>Whether details are asked for.</summary>
    protected bool IsVerbose(ParseResult options) => options.GetValue(verbose);

    /// <summary>The files that the command has read.</summary>
    protected InputRecords Records { get; } = new();

    /// <summary>
    /// Writes the machine-readable result where one was asked for, with a record of how it was made: within
    /// it, or beside it where it is a list.
    /// </summary>
    /// <param name="options">The command line.</param>
    /// <param name="result">The result.</param>
    /// <param name="inputs">The files that it was made from.</param>
    protected void WriteJson<T>(ParseResult options, T result, params IEnumerable<string> inputs)
    {
        if (options.GetValue(json) is not { } path)
            return;
        JsonNode? node = JsonSerializer.SerializeToNode(result, JsonOutput.Options);
        Provenance made = Made(options, inputs);
        if (node is JsonObject content)
        {
            content["made"] = JsonSerializer.SerializeToNode(
                new { made.Version, made.Command, made.Device, made.Inputs }, JsonOutput.Options);
        }
        else
        {
            made.Write(path);
        }

        JsonOutput.Write(path, node);
    }

    // The device that was opened, for the record; null where none was.
    private string? opened;

    /// <summary>The command line, for records of how something was made.</summary>
    protected static string CommandOf(ParseResult options)
        => string.Join(
            ' ', ((string[])["meanshift-gpu", .. options.Tokens.Select(t => t.Value)]).Select(
                t => t.Contains(' ', StringComparison.Ordinal) ? $"\"{t}\"" : t));
}
