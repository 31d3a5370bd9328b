using System.Collections.Concurrent;
using MeanShiftGpu.Device;
using MeanShiftGpu.Device.Sass;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>
/// What is counted in machine code, and that no kernel has more of it than the committed table says.
/// </summary>
public sealed class SassTests
{
    // A loop that turns three times and multiplies once a turn; before it two ways, of which one copies by 4
    // bytes; then a way that nothing decides.
    private const string Listing =
        """
                /*0000*/                   S2R R0, SR_TID.X ;
                /*0010*/                   MOV R5, 0x8 ;
        .L_x_1:
                /*0020*/                   ISETP.NE.AND P1, PT, R9, RZ, PT ;
                /*0030*/              @!P1 BRA `(.L_x_2) ;
                /*0040*/                   LDGSTS.E.ZFILL [R2], desc[UR4][R6.64], P2 ;
                /*0050*/                   NOP ;
                /*0060*/                   NOP ;
                /*0070*/                   BRA `(.L_x_3) ;
        .L_x_2:
                /*0080*/                   LDGSTS.E.BYPASS.128 [R2], desc[UR4][R6.64] ;
        .L_x_3:
                /*0090*/                   IMAD.MOV.U32 R4, RZ, RZ, R0 ;
        .L_x_4:
                /*00a0*/                   HMMA.1688.F32.TF32 R8, R8, R12, R8 ;
                /*00b0*/                   IADD3 R4, R4, 0x4, RZ ;
                /*00c0*/                   ISETP.GT.AND P0, PT, R4, R5, PT ;
                /*00d0*/              @!P0 BRA `(.L_x_4) ;
                /*00e0*/               @P3 BRA `(.L_x_5) ;
                /*00f0*/                   NOP ;
        .L_x_5:
                /*0100*/              @!P5 BRA `(.L_x_1) ;
                /*0110*/                   EXIT ;
        """;

    [Test]
    public void Loops_OfAListing_TurnAsItsConstantsSay()
    {
        SassListing listing = new(Listing);
        Assert.That(listing.Instructions, Has.Count.EqualTo(18));

        // Test and branch, the wide copy, the beginning, three turns of four, the way with the NOP, and the
        // branch back.
        Assert.That(new SassLoops(listing).Main(), Is.EqualTo(new SassCount(2 + 1 + 1 + 3 * 4 + 2 + 1, 3)));
    }

    [Test]
    public void Loops_WhoseTurnsNothingDecides_AreRefused()
    {
        string text = Listing.Replace(
            "ISETP.GT.AND P0, PT, R4, R5, PT", "ISETP.GT.AND P0, PT, R4, R6, PT", StringComparison.Ordinal);
        Assert.That(
            () => new SassLoops(new(text)).Main(), Throws.InvalidOperationException.With.Message.Contains("does not follow"));
    }

    [Test]
    public void Loops_WithoutMatrices_AreTheLongestAlone()
    {
        string text = Listing.Replace("HMMA.1688.F32.TF32 R8, R8, R12, R8", "NOP", StringComparison.Ordinal);
        Assert.That(new SassLoops(new(text)).Main(), Is.EqualTo(new SassCount(4, 0)));
    }

    // By hand, from the limits of compute capability 9.0.
    [TestCase(256, 32, 0, 8)] // warps
    [TestCase(32, 16, 0, 32)] // groups
    [TestCase(128, 188, 0, 2)] // registers: 24 · 256 a warp, 10 warps
    [TestCase(256, 128, 0, 2)]
    [TestCase(256, 129, 0, 1)]
    [TestCase(128, 32, 113 << 10, 2)] // shared memory: 114 KiB each with the driver's
    [TestCase(128, 32, (113 << 10) + 1, 1)]
    public void Occupancy_OfAGroup_IsThatOfItsScarcestResource(int threads, int registers, int sharedBytes, int expected)
        => Assert.That(Occupancy.GroupsPerMultiprocessor(threads, registers, sharedBytes), Is.EqualTo(expected));

    // Looked at without ptxas, too: who adds a kernel sees it before CI does.
    [Test]
    public void Table_HasTheKernelsThatThereAre()
    {
        string[] committed = [.. SassTable.Read(
            File.ReadAllText(Path.Combine(Sources.Root(), "benchmarks", "results", "sass.md"))).Kernels.Keys];
        string[] kernels = [.. KernelCatalog.All.Select(kernel => kernel.Name)];
        Assert.That(
            kernels.Except(committed).Concat(committed.Except(kernels)), Is.Empty,
            "rows of benchmarks/results/sass.md that are missing or too many; with ptxas of the table's version "
            + "'meanshift-gpu kernels --sass DIR --only NAME' writes those of some kernels");
    }

    [Test]
    public void Table_EveryKernel_HasNoMoreInstructionsThanCommitted()
    {
        var (assembler, committed) = SassTable.Read(
            File.ReadAllText(Path.Combine(Sources.Root(), "benchmarks", "results", "sass.md")));
        if (Ptxas.Find() is not { } ptxas || Ptxas.FindDisassembler(ptxas) is not { } nvdisasm)
        {
            Skip($"ptxas and nvdisasm were not found (looked at {Ptxas.Places}).");
            return;
        }

        string version = Ptxas.Version(ptxas);
        if (version != assembler)
        {
            Skip($"the table was made by ptxas {assembler}; here is {version}, which may write other code.");
            return;
        }

        // All of them take ptxas four minutes; in an ordinary run those with matrix instructions are counted.
        IEnumerable<KernelEntry> counted = KernelCatalog.All
            .Where(kernel => LongRun.IsAskedFor || committed[kernel.Name].Loop.MatrixMultiplies > 0);
        ConcurrentBag<string> failures = [];
        Parallel.ForEach(counted, new ParallelOptions { MaxDegreeOfParallelism = 2 }, kernel =>
        {
            try
            {
                SassRow row = SassTable.Count(ptxas, nvdisasm, kernel, PtxTests.Ptx("sm_90", kernel.Name), "sm_90").Row;
                (SassCount then, int spilledBytes, int groups) = committed[kernel.Name];
                SassCount now = row.Loop ?? default;
                if (row.Loop is null != (then.Instructions == 0))
                    failures.Add($"{kernel.Name}: has {(row.Loop is null ? "no" : "a")} main loop, unlike the committed table");
                if (row.SpilledBytes > spilledBytes || (row.Groups ?? 0) < groups)
                    failures.Add($"{kernel.Name}: spills {row.SpilledBytes} bytes and has {row.Groups ?? 0} groups on a "
                        + $"multiprocessor, committed {spilledBytes} and {groups}");
                if (now.Instructions > then.Instructions || now.MatrixMultiplies != then.MatrixMultiplies)
                    failures.Add($"{kernel.Name}: {now.Instructions} instructions and {now.MatrixMultiplies} HMMA, committed "
                        + $"{then.Instructions} and {then.MatrixMultiplies}");
            }
            catch (InvalidOperationException e)
            {
                failures.Add(e.Message);
            }
        });
        Assert.That(failures.Order(StringComparer.Ordinal), Is.Empty, "meanshift-gpu kernels --sass DIR writes the table anew");
    }

    private static void Skip(string reason)
    {
        if (Environment.GetEnvironmentVariable("CI") == "true")
            Assert.Fail(reason);
        Assert.Ignore(reason);
    }
}
