using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>
/// The warp-wide matrix instructions, written from NVIDIA's "Parallel Thread Execution ISA", sections "Matrix
/// Fragments for mma.m16n8k8",
/// "… for mma.m16n8k16 with floating point type" and "ldmatrix". In all of them a lane has groupID = lane / 4
/// and threadID_in_group = lane % 4.
/// </summary>
/// <remarks>
/// The ISA leaves open in which order products are added. Here each product, which float32 holds exactly, is
/// added to the float32 sum in the order of k.</remarks>
internal static unsafe class Matrix
{
    private const int Rows = 16;
    private const int Columns = 8;

    /// <summary>D = A·B + C with A[16,8], B[8,8] of TF32: the upper 19 bits of a register.</summary>
    [SkipLocalsInit]
    public static void MultiplyTf32(Warp warp, Instruction i)
    {
        warp.RequireWhole(i);
        float* a = stackalloc float[Rows * 8];
        float* b = stackalloc float[8 * Columns];
        for (int k = 0; k < 4; k++)
        {
            // a0, a2: row groupID, a1, a3: groupID + 8; a0, a1: column threadID_in_group, a2, a3:
            // threadID_in_group + 4.
            uint* words = warp.Plane<uint>(i.Operands[4 + k]);
            float* first = a + (k % 2 == 0 ? 0 : 8) * 8 + (k < 2 ? 0 : 4);
            for (int lane = 0; lane < Lanes.Count; lane++)
                first[lane / 4 * 8 + lane % 4] = Tf32(words[lane]);
        }

        for (int k = 0; k < 2; k++)
        {
            // b0: row threadID_in_group, b1: threadID_in_group + 4; column groupID.
            uint* words = warp.Plane<uint>(i.Operands[8 + k]);
            float* first = b + 4 * k * Columns;
            for (int lane = 0; lane < Lanes.Count; lane++)
                first[lane % 4 * Columns + lane / 4] = Tf32(words[lane]);
        }

        Multiply(warp, i, a, b, 8);
    }

    /// <summary>
    /// D = A·B + C with A[16,16], B[16,8] of BF16: two to a register, the lower index in the lower half.
    /// </summary>
    [SkipLocalsInit]
    public static void MultiplyBf16(Warp warp, Instruction i)
    {
        warp.RequireWhole(i);
        float* a = stackalloc float[Rows * 16];
        float* b = stackalloc float[16 * Columns];
        for (int k = 0; k < 4; k++)
        {
            // Of register k, elements 2·k and 2·k + 1. a0, a1, a4, a5: row groupID, else groupID + 8; column
            // threadID_in_group · 2 + (i & 1), from a4 on 8 more.
            uint* words = warp.Plane<uint>(i.Operands[4 + k]);
            float* first = a + (k % 2 == 0 ? 0 : 8) * 16 + (k < 2 ? 0 : 8);
            for (int lane = 0; lane < Lanes.Count; lane++)
                (first[lane / 4 * 16 + lane % 4 * 2], first[lane / 4 * 16 + lane % 4 * 2 + 1]) = (Lower(words[lane]),
                    Upper(words[lane]));
        }

        for (int k = 0; k < 2; k++)
        {
            // Row threadID_in_group · 2 + (i & 1), for b2 and b3 8 more; column groupID.
            uint* words = warp.Plane<uint>(i.Operands[8 + k]);
            float* first = b + 8 * k * Columns;
            for (int lane = 0; lane < Lanes.Count; lane++)
                (first[lane % 4 * 2 * Columns + lane / 4],
                    first[(lane % 4 * 2 + 1) * Columns + lane / 4]) = (Lower(words[lane]), Upper(words[lane]));
        }

        Multiply(warp, i, a, b, 16);
    }

    /// <summary>
    /// ldmatrix .x4 .b16: lane l has the address of row l % 8 of matrix l / 8, 8 elements of 16 bits; it
    /// gets elements 2·(l % 4) and the next of row l / 4 of each.</summary>
    public static void Load(Warp warp, Instruction i) => Load(warp, i, transposed: false);

    /// <summary>
    /// ldmatrix .trans: the same of the transposed matrices; a lane gets elements of rows 2·(l % 4) and the
    /// next, in column l / 4.</summary>
    public static void LoadTransposed(Warp warp, Instruction i) => Load(warp, i, transposed: true);

    private static void Load(Warp warp, Instruction i, bool transposed)
    {
        warp.RequireWhole(i);
        SharedMemory shared = warp.Group.Shared;
        byte** rows = stackalloc byte*[Lanes.Count];
        for (int lane = 0; lane < Lanes.Count; lane++)
            rows[lane] = shared.At(warp, i, lane, warp.SharedAddress(i, 4, lane), 16);
        for (int matrix = 0; matrix < 4; matrix++)
        {
            uint* d = warp.Plane<uint>(i.Operands[matrix]);
            byte** row = rows + 8 * matrix;
            for (int lane = 0; lane < Lanes.Count; lane++)
            {
                if (transposed)
                {
                    uint lower = Half(warp, i, lane, row[lane % 4 * 2], lane / 4);
                    d[lane] = lower | Half(warp, i, lane, row[lane % 4 * 2 + 1], lane / 4) << 16;
                }
                else
                {
                    uint* word = (uint*)row[lane / 4] + lane % 4;
                    shared.Read(warp, i, lane, (byte*)word, sizeof(uint));
                    d[lane] = *word;
                }
            }
        }
    }

    private static uint Half(Warp warp, Instruction i, int lane, byte* row, int column)
    {
        warp.Group.Shared.Read(warp, i, lane, row + column / 2 * sizeof(uint), sizeof(uint));
        return ((ushort*)row)[column];
    }

    // c0, c1: row groupID, c2, c3: groupID + 8; column threadID_in_group · 2 + (i & 1). The same for D.
    [SkipLocalsInit]
    private static void Multiply(Warp warp, Instruction i, float* a, float* b, int depth)
    {
        float* sums = stackalloc float[Rows * Columns];
        for (int k = 0; k < 4; k++)
        {
            float* words = warp.Plane<float>(i.Operands[10 + k]);
            float* first = sums + First(k);
            for (int lane = 0; lane < Lanes.Count; lane++)
                first[lane / 4 * Columns + lane % 4 * 2] = words[lane];
        }

        for (int row = 0; row < Rows; row++)
        {
            Vector256<float> sum = Vector256.Load(sums + row * Columns);
            for (int k = 0; k < depth; k++)
                sum += Vector256.Create(a[row * depth + k]) * Vector256.Load(b + k * Columns);
            sum.Store(sums + row * Columns);
        }

        for (int k = 0; k < 4; k++)
        {
            float* words = warp.Plane<float>(i.Operands[k]);
            float* first = sums + First(k);
            for (int lane = 0; lane < Lanes.Count; lane++)
                words[lane] = first[lane / 4 * Columns + lane % 4 * 2];
        }
    }

    private static int First(int k) => (k < 2 ? 0 : 8) * Columns + (k & 1);

    private static float Tf32(uint bits) => BitConverter.UInt32BitsToSingle(bits & 0xFFFFE000);

    private static float Lower(uint pair) => BitConverter.UInt32BitsToSingle(pair << 16);

    private static float Upper(uint pair) => BitConverter.UInt32BitsToSingle(pair & 0xFFFF0000);
}
