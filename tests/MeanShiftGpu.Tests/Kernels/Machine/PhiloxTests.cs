using MeanShiftGpu.Kernels.Machine.Real;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

public sealed class PhiloxTests
{
    // The known answers that the generator's authors publish for philox4x32, 10 rounds.
    [TestCase(0u, 0u, 0u, 0u, 0ul, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [TestCase(
        0xffffffffu,
        0xffffffffu,
        0xffffffffu,
        0xffffffffu,
        0xfffffffffffffffful,
        0x408f276du,
        0x41c83b0eu,
        0xa20bc7c6u,
        0x6d5451fdu)]
    [TestCase(
        0x243f6a88u,
        0x85a308d3u,
        0x13198a2eu,
        0x03707344u,
        0x299f31d0a4093822ul,
        0xd16cfe09u,
        0x94fdccebu,
        0x5001e420u,
        0x24126ea1u)]
    public void Block_KnownCounters_GivesKnownAnswers(
        uint c0, uint c1, uint c2, uint c3, ulong key, uint r0, uint r1, uint r2, uint r3)
        => Assert.That(Philox.Block(c0, c1, c2, c3, key), Is.EqualTo(new PhiloxBlock(r0, r1, r2, r3)));

    [TestCase(0u, 7, 0)]
    [TestCase(0xffffffffu, 7, 6)]
    [TestCase(0x80000000u, 10, 5)]
    public void Below_Word_StaysInRange(uint random, int range, int expected)
        => Assert.That(Philox.Below(random, range), Is.EqualTo(expected));
}
