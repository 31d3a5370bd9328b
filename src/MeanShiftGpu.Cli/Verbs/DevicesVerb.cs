using System.CommandLine;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Lists what the machine has.</summary>
internal sealed class DevicesVerb(Session session) : Verb(session)
{
    public override string Name => "devices";

    public override string Summary => "Lists the devices of this machine, and says which would be used.";

    protected override string Description => "Lists the devices of this machine, and says which would be used and why.";

    public override string Example => "meanshift-gpu devices --device auto";

    protected override IEnumerable<Symbol> Symbols => [];

    protected override IEnumerable<Symbol> Reads => [];

    protected override IEnumerable<Symbol> Writes => [];

    protected override ExitCode Run(ParseResult options)
    {
        IReadOnlyList<DeviceInfo> devices = DeviceDiscovery.List();
        Session.Table(
            ["device", "name", "memory", "automatic choice"],
            devices.Select(
                d => (string[])[d.Kind.ToString(), d.Name, d.MemoryBytes > 0 ? $"{d.MemoryBytes >> 20} MiB" : "-",
                    $"{(d.Selected ? "yes" : "no")}: {d.Reason}"]));

        using GpuContext context = GpuContext.Create(DeviceOptions(options));
        Session.Line($"used: {context.Description} ({context.Reason})");
        WriteJson(options, new
        {
            Used = new { context.Kind, context.Description, context.Reason, Threads = context.Threads.Count },
            Devices = devices,
        });
        return ExitCode.Done;
    }
}
