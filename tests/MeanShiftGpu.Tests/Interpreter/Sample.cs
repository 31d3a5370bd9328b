using System.Runtime.InteropServices;
using MeanShiftGpu.PtxInterpreter.Machine;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>
/// A kernel of a few instructions whose one parameter is a view of words, with declared registers, run in
/// this process.
/// </summary>
internal static class Sample
{
    /// <summary>Registers as ILGPU declares them, and a shared array of 1024 bytes.</summary>
    public static string Text(string body, string directives = "") => $"""
        .version 7.0
        .target sm_80
        .address_size 64

        .visible .entry Sample(
        .param .align 8 .b8 _words_0[16] // elements of 4 bytes
        )
        {directives}
        {"{"}
        .reg .pred %p<8>;
        .reg .b16 %rs<4>;
        .reg .b32 %r<40>;
        .reg .b64 %rd<12>;
        .reg .f32 %f<12>;
        .reg .f64 %fd<8>;
        .shared .align 16 .b8 shared[1024];
        ld.param.b64 %rd1, [_words_0];
        cvta.to.global.u64 %rd0, %rd1;
        mov.b32 %r0, %tid.x;
        mul.wide.u32 %rd2, %r0, 4;
        add.s64 %rd3, %rd0, %rd2;
        mov.b64 %rd4, shared;
        cvt.u32.u64 %r1, %rd4;
        mov.b32 %r39, 4;
        mad.lo.s32 %r2, %r0, %r39, %r1;
        {Lines(body)}
        ret;
        {"}"}
        """;

    // One instruction or label a line.
    private static string Lines(string body) => string.Concat(body.Replace(":", ":;", StringComparison.Ordinal)
        .Split([';', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
        .Select(line => line.EndsWith(':') ? $"{line}\n" : $"{line};\n"));

    /// <summary>
    /// Runs it; word t of the view belongs to thread t. Words beyond those given are unwritten.
    /// </summary>
    public static unsafe uint[] Run(
        string body,
        uint[] words,
        int threads = 32,
        int length = 0,
        string directives = "",
        LaunchOptions options = default,
        int groups = 1,
        int shared = 0)
    {
        Kernel kernel = Parser.Parse(Text(body, directives));
        using DeviceMemory memory = new();
        length = Math.Max(length, Math.Max(words.Length, threads));
        // The view ends before its allocation does.
        Allocation allocation = memory.Allocate(4 * (length + 64));
        Span<uint> there = new((void*)allocation.Start, length);
        words.CopyTo(there);
        allocation.MarkRange(allocation.Start, 4 * words.Length);
        ulong* parameters = stackalloc ulong[] { allocation.Start, (ulong)length };
        new Launch
        {
            Kernel = kernel,
            Memory = memory,
            Groups = new Dim3(groups),
            Threads = new Dim3(threads),
            Parameters =
            (byte*)parameters,
            Options = options,
            DynamicSharedBytes = shared
        }.Run();
        return there.ToArray();
    }

    /// <summary>The bits of numbers.</summary>
    public static uint[] Bits(params float[] values) => MemoryMarshal.Cast<float, uint>(values).ToArray();

    /// <summary>32 words, one for each thread.</summary>
    public static uint[] Each(Func<int, uint> word) => [.. Enumerable.Range(0, 32).Select(word)];
}
