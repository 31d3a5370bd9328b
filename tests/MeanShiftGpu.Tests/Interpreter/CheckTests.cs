using MeanShiftGpu.PtxInterpreter;
using MeanShiftGpu.PtxInterpreter.Machine;
using MeanShiftGpu.PtxInterpreter.Text;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>Each thing that a kernel may do wrong is found, and what is right passes.</summary>
public sealed class CheckTests
{
    private const string Copy = "cp.async.ca.shared.global [%r2], [%rd3], 4, 4; cp.async.commit_group; ";
    private const string Neighbour = "add.s32 %r4, %r2, 4; setp.eq.s32 %p0, %r0, 31; selp.b32 %r4, %r1, %r4, %p0; ";

    [TestCase(FaultKind.Bounds, "ld.global.b32 %r5, [%rd0+128]", "at byte 128 of the view _words_0, which has 128")]
    [TestCase(FaultKind.Bounds, "st.global.b32 [%rd0+-4], %r0", "outside every allocation")]
    [TestCase(FaultKind.Bounds, "ld.global.b32 %r5, [%rd3+64]", "thread 16 of group (0, 0, 0) accesses 4 bytes at byte 128 of "
        + "the view")]
    [TestCase(FaultKind.Bounds, "mov.b64 %rd5, 64; st.global.b32 [%rd5], %r0", "outside every allocation")]
    [TestCase(FaultKind.Bounds, "ld.global.v4.b32 {%r5, %r6, %r7, %r8}, [%rd0+128]", "16 bytes")]
    [TestCase(FaultKind.Bounds, "st.shared.b32 [%r1+1024], %r0", "shared memory at 1040, of 1040")]
    [TestCase(FaultKind.Bounds, "cp.async.ca.shared.global [%r2], [%rd3], 4, 5", "of which it is to read 5")]
    [TestCase(FaultKind.Alignment, "ld.global.b32 %r5, [%rd3+2]", "no multiple of 4")]
    [TestCase(FaultKind.Alignment, "ld.global.v2.f32 {%f5, %f6}, [%rd3]", "8 bytes")]
    [TestCase(FaultKind.Alignment, "st.shared.v4.b32 [%r1+8], {%r0, %r0, %r0, %r0}", "no multiple of 16")]
    [TestCase(FaultKind.Unwritten, "ld.global.b32 %r5, [%rd0+64]", "which nobody wrote")]
    [TestCase(FaultKind.Unwritten, "ld.shared.b32 %r5, [%r2]", "shared memory at 16, which nobody wrote")]
    [TestCase(FaultKind.Race, "st.shared.b32 [%r1], %r0", "thread 1 of group (0, 0, 0) writes shared memory at 16, which "
        + "thread 0 wrote")]
    [TestCase(FaultKind.Race, "st.shared.b32 [%r2], %r0; " + Neighbour + "ld.shared.b32 %r5, [%r4]", "which thread 1 wrote "
        + "since the last barrier")]
    [TestCase(FaultKind.Race, "st.shared.b32 [%r2], %r0; bar.sync 0; " + Neighbour + "ld.shared.b32 %r5, [%r4]; st.shared.b32 "
        + "[%r2], %r5", "read since the last barrier")]
    [TestCase(FaultKind.Barrier, "setp.eq.s32 %p0, %r0, 3; @%p0 bra L; bar.sync 0; L:", "thread 3 of group (0, 0, 0) does not "
        + "reach the barrier")]
    [TestCase(FaultKind.Barrier, "setp.eq.s32 %p0, %r0, 3; @%p0 ret; bar.sync 0", "thread 3")]
    [TestCase(FaultKind.Divergence, "setp.eq.s32 %p0, %r0, 3; @%p0 bra.uni L; bar.sync 0; L:", "does not take a branch marked "
        + "uniform, thread 3 does")]
    [TestCase(FaultKind.Divergence, "setp.eq.s32 %p0, %r0, 3; @%p0 bra L; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r5, %r6, "
        + "%r7, %r8}, [%r1]; L:", "whole warp")]
    [TestCase(FaultKind.Copy, Copy + "ld.shared.b32 %r5, [%r2]", "to where thread 0 copies without having waited")]
    [TestCase(FaultKind.Copy, Copy + "st.shared.b32 [%r2], %r0", "writes shared memory at 16, to where thread 0 copies")]
    [TestCase(FaultKind.Copy, Copy + "cp.async.wait_group 1; ld.shared.b32 %r5, [%r2]", "without having waited")]
    [TestCase(FaultKind.Copy, Copy, "ends without having waited")]
    [TestCase(
        FaultKind.Race,
        Copy + "cp.async.wait_group 0; " + Neighbour + "ld.shared.b32 %r5, [%r4]",
        "which thread 1 wrote since the last barrier")]
    public void Run_WhatIsWrong_IsFound(FaultKind kind, string body, string words)
    {
        // Words 0 to 15 are written, 16 to 31 are not; copies need all of them.
        uint[] written =
            Sample.Each(
                t => (uint)t)[..(
                    body.Contains("cp.async", StringComparison.Ordinal) || words.Contains("thread 16", StringComparison.Ordinal)
                        ? 32 : 16)];
        PtxFaultException fault = Assert.Throws<PtxFaultException>(() => Sample.Run(body, written))!;
        Assert.That(fault.Kind, Is.EqualTo(kind), fault.Message);
        Assert.That(fault.Message, Does.Contain(words));
    }

    [TestCase("st.shared.b32 [%r2], %r0; bar.sync 0; " + Neighbour + "ld.shared.b32 %r5, [%r4]; bar.sync 0; st.shared.b32 "
        + "[%r2], %r5; st.global.b32 [%rd3], %r5")]
    [TestCase(Copy + "cp.async.wait_group 0; bar.sync 0; " + Neighbour + "ld.shared.b32 %r5, [%r4]; st.global.b32 [%rd3], %r5")]
    [TestCase(Copy + "cp.async.commit_group; cp.async.wait_group 1; bar.sync 0; " + Neighbour + "ld.shared.b32 %r5, [%r4]; "
        + "cp.async.wait_group 0; st.global.b32 [%rd3], %r5")]
    public void Run_WhatIsRight_PassesInAnyOrder(string body)
    {
        foreach (LaunchOptions options in (LaunchOptions[])[default, new(Reversed: true), new(CopiesArriveEarly: true)])
            Assert.That(Sample.Run(body, Sample.Each(t => (uint)t), options: options),
                Is.EqualTo(Sample.Each(t => (uint)(t + 1) % 32)));
    }

    // Of what all write into one word, the last stays: of warps the last or, in the other order, the first;
    // so of groups, where one runs at a time.
    [TestCase(false, 1u, 3u)]
    [TestCase(true, 0u, 0u)]
    public void Run_InEitherOrder_TakesWarpsAndGroupsInIt(bool reversed, uint lastWarp, uint lastGroup)
    {
        LaunchOptions options = new(Reversed: reversed, Cores: 1);
        uint thread = Sample.Run("st.global.b32 [%rd0], %r0", [], threads: 64, options: options)[0];
        Assert.That(thread / 32, Is.EqualTo(lastWarp));
        uint group = Sample.Run("mov.b32 %r5, %ctaid.x; st.global.b32 [%rd0], %r5", [], groups: 4, options: options)[0];
        Assert.That(group, Is.EqualTo(lastGroup));
    }

    [Test]
    public void Run_UniformBranch_PassesWhereAllThreadsAgree()
        => Assert.That(
            Sample.Run("setp.ge.s32 %p0, %r0, 0; @%p0 bra.uni L; st.global.b32 [%rd0], %r0; L: st.global.b32 [%rd3], %r0", []),
            Is.EqualTo(Sample.Each(t => (uint)t)));

    [Test]
    public void Run_VectorBeyondWhatWasWritten_GivesNaN()
    {
        uint[] result = Sample.Run("ld.global.v2.f32 {%f5, %f6}, [%rd0]; bar.sync 0; st.global.f32 [%rd3], %f6", Sample.Bits(1));
        Assert.That(result, Is.All.EqualTo(uint.MaxValue));
    }

    [Test]
    public void Run_AWarpThatEndsBeforeABarrier_IsFound()
        => Assert.That(
            () => Sample.Run("setp.ge.s32 %p0, %r0, 32; @%p0 ret; bar.sync 0", [], threads: 64),
            Throws.TypeOf<PtxFaultException>().With.Message.Contains(
                "warp 1 of group (0, 0, 0) has ended while warp 0 waits at a barrier"));

    [Test]
    public void Run_ARaceBetweenWarps_IsFoundInEitherOrder()
    {
        const string body = "setp.ge.s32 %p0, %r0, 32; @%p0 bra READ; st.shared.b32 [%r2], %r0; bra END; READ: "
            + "ld.shared.v2.f32 {%f5, %f6}, [%r1]; END:";
        foreach (bool reversed in (bool[])[false, true])
        {
            PtxFaultException fault = Assert.Throws<PtxFaultException>(() => Sample.Run(body, [], threads: 64,
                options: new LaunchOptions(Reversed: reversed)))!;
            Assert.That(fault.Kind, Is.EqualTo(FaultKind.Race), fault.Message);
        }
    }

    [TestCase(1025, 1, 0, "more than a group can have")]
    [TestCase(96, 1, 0, "more than the kernel's .maxntid 64")]
    [TestCase(32, 0, 0, "not positive")]
    [TestCase(32, 1, 16, "declares no dynamic shared memory")]
    public void Run_LaunchBeyondTheLimits_IsRefused(int threads, int groups, int shared, string words)
        => Assert.That(
            () => Sample.Run("mov.b32 %r5, 1", [], threads, directives: ".maxntid 64, 1, 1", groups: groups, shared: shared),
            Throws.TypeOf<PtxFaultException>().With.Property(nameof(PtxFaultException.Kind)).EqualTo(
                FaultKind.Launch).And.Message.Contains(words));

    [TestCase("add.u32 %r5, %r0, 1", "has a form that is not known")]
    [TestCase("add.s32.sat %r5, %r0, 1", "has a form that is not known")]
    [TestCase("@%p0 add.s32 %r5, %r0, 1", "has a predicate, which is known of branches and returns alone")]
    [TestCase("add.s32 %r5, %r0", "has too few operands")]
    [TestCase("add.s32 %r5, %r0, 1, 2", "has too many operands")]
    [TestCase("add.s32 %r5, %r40, 1", "not declared or of another width")]
    [TestCase("add.s32 %r5, %rd0, 1", "not declared or of another width")]
    [TestCase("add.f32 %f5, %f6, 1", "expected the bits of a floating-point number")]
    [TestCase("mov.b32 %r5, %laneid", "the special register %laneid is not known")]
    [TestCase("add.s32 %r5, %r0, %tid.x", "%tid.x, which is not known")]
    [TestCase("ld.param.b64 %rd5, [_words_0+12]", "reads no place of a parameter")]
    [TestCase("cp.async.cg.shared.global [%r2], [%rd3], 4, 4", "copies 4 bytes, which this form does not")]
    [TestCase("bar.sync 1", "uses another barrier than 0")]
    [TestCase("bra NOWHERE", "the label is not declared")]
    [TestCase(".local .align 4 .b8 x[4]", "is a directive that is not known")]
    public void Parse_WhatItDoesNotKnow_IsRefused(string body, string words)
        => Assert.That(
            () => Sample.Run(body, []),
            Throws.TypeOf<PtxFaultException>().With.Property(nameof(PtxFaultException.Kind)).EqualTo(
                FaultKind.Text).And.Message.Contains(words));

    [Test]
    public void Parse_TextWithoutAnEnd_IsRefused()
        => Assert.That(() => Parser.Parse(Sample.Text("mov.b32 %r5, 1").Replace("ret;", "", StringComparison.Ordinal)),
            Throws.TypeOf<PtxFaultException>().With.Message.Contains("goes on behind the end"));
}
