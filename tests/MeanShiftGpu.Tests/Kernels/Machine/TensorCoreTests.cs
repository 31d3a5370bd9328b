using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

/// <summary>
/// The warp-wide instructions one by one. Expected values follow from the layouts that NVIDIA documents, so
/// that where a GPU is present the same tests compare the simulation's idea of an instruction with the
/// instruction.
/// </summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))]
public class TensorCoreTests(string device)
{
    private GpuContext context = null!;

    [OneTimeSetUp]
    public void Open() => context = TestDevices.OpenTensorCores(device);

    [OneTimeTearDown]
    public void Close() => context?.Dispose();

    // Every element of A alone, then every element of B alone: each problem's result is one row or one column
    // of the other matrix, and C everywhere else.
    [Test]
    public void MultiplyTf32_EveryElementAlone_GivesItsRowOrColumn()
        => EveryElementAlone(
            8, MultiplyTf32Kernel, (matrix, row, column, _) => BitConverter.SingleToUInt32Bits(matrix[row, column]), PlaceTf32);

    [Test]
    public void MultiplyBf16_EveryElementAlone_GivesItsRowOrColumn()
        => EveryElementAlone(
            16,
            MultiplyBf16Kernel,
            (matrix, row, column, inRow)
                => Bf16(matrix[row, column]) | Bf16(inRow ? matrix[row, column + 1] : matrix[row + 1, column]) << 16,
            PlaceBf16);

    [Test]
    public void LoadMatrices_EveryWord_GoesToItsLane()
    {
        uint[] words = Run(LoadMatricesKernel, Counting(128), 128);
        for (int lane = 0; lane < 32; lane++)
        {
            for (int matrix = 0; matrix < 4; matrix++)
                Assert.That(
                    words[4 * lane + matrix],
                    Is.EqualTo(4 * (8 * matrix + lane / 4) + lane % 4),
                    $"lane {lane}, matrix {matrix}");
        }
    }

    [Test]
    public void LoadMatricesTransposed_EveryHalfWord_GoesToItsLane()
    {
        // Matrix m's element (row, column) holds 1000·m + 10·row + column.
        uint[] rows =
            [.. Enumerable.Range(0, 128).Select(
                i => (uint)(Element(i / 32, i / 4 % 8, i % 4 * 2) | Element(i / 32, i / 4 % 8, i % 4 * 2 + 1) << 16))];
        uint[] words = Run(LoadMatricesTransposedKernel, rows, 128);
        for (int lane = 0; lane < 32; lane++)
        {
            for (int matrix = 0; matrix < 4; matrix++)
            {
                int expected = Element(matrix, lane % 4 * 2, lane / 4) | Element(matrix, lane % 4 * 2 + 1, lane / 4) << 16;
                Assert.That(words[4 * lane + matrix], Is.EqualTo(expected), $"lane {lane}, matrix {matrix}");
            }
        }

        static int Element(int matrix, int row, int column) => 1000 * matrix + 10 * row + column;
    }

    [Test]
    public void RoundToTf32_AnyValue_IsNearestWithTiesAway()
    {
        float[] values = RoundingCases(0x1000);
        uint[] rounded = Run(RoundToTf32Kernel, [.. values.Select(BitConverter.SingleToUInt32Bits)], values.Length);
        for (int i = 0; i < values.Length; i++)
            AssertRounded(
                values[i], BitConverter.UInt32BitsToSingle(rounded[i]), fractionBits: 10, MidpointRounding.AwayFromZero);
    }

    [Test]
    public void RoundToBf16_AnyPair_IsNearestWithTiesToEven()
    {
        float[] values = RoundingCases(0x8000);
        uint[] rounded = Run(RoundToBf16Kernel, [.. values.Select(BitConverter.SingleToUInt32Bits)], values.Length / 2);
        for (int i = 0; i < values.Length; i++)
            AssertRounded(
                values[i],
                BitConverter.UInt32BitsToSingle((i % 2 == 0 ? rounded[i / 2] : rounded[i / 2] >> 16) << 16),
                fractionBits: 7,
                MidpointRounding.ToEven);
    }

    [Test]
    public void CopyAsync_AnyNumberOfBytes_FillsTheRestWithZeros()
    {
        uint[] copied = Run(CopyAsyncKernel, Enumerable.Repeat(0xFFFFFFFF, 32 * 4), 32 * 8);
        for (int lane = 0; lane < 32; lane++)
        {
            byte[] bytes = [.. copied.AsSpan(8 * lane, 4).ToArray().SelectMany(BitConverter.GetBytes)];
            int read = lane % 17;
            Assert.That(bytes, Is.EqualTo(Enumerable.Range(0, 16).Select(b => (byte)(b < read ? 0xFF : 0))), $"{read} bytes");
            Assert.That(
                copied.AsSpan(8 * lane + 4, 4).ToArray(),
                Is.EqualTo(Enumerable.Range(0, 4).Select(w => (lane + w) % 2 == 0 ? 0xFFFFFFFF : 0)),
                "single words");
        }
    }

    [Test]
    public void WaitForCopies_OnePending_KeepsTheOrderOfStages()
        => Assert.That(
            Run(StagesKernel, Counting(32 * 8), 32 * 4),
            Is.EqualTo(Enumerable.Range(0, 32 * 4).Select(i => (uint)(i / 4 * 8 + i % 4))));

    [Test]
    public void Shared_SixteenBytes_ComeBack()
        => Assert.That(Run(SharedKernel, Counting(128), 128), Is.EqualTo(Enumerable.Range(0, 128).Select(i => (uint)(i ^ 4))));

    private static float[] RoundingCases(uint half)
    {
        List<float> values =
            [0, -0f, 1, -1, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.MinValue,
                float.Epsilon, 1e-40f, -3e-39f];
        Random random = new(1);
        foreach (uint start in (uint[])[0x3F800000, 0x3F800000 + half * 2, 0xC2480000, 0x00000000, 0x7F000000])
        {
            // Around both halves: just below, at and just above the tie.
            values.AddRange(
                new uint[] { 0, 1, half - 1, half, half + 1, 2 * half - 1, 3 * half }.Select(
                    offset => BitConverter.UInt32BitsToSingle(start + offset)));
        }

        while (values.Count < 256)
            values.Add(BitConverter.UInt32BitsToSingle((uint)random.NextInt64(0x7F000000) | (uint)random.Next(2) << 31));
        return [.. values];
    }

    // In double: scale so that the last kept bit of the fraction is a unit, round, scale back.
    private static void AssertRounded(float value, float rounded, int fractionBits, MidpointRounding ties)
    {
        if (!float.IsFinite(value))
        {
            Assert.That(rounded, Is.EqualTo(value));
            return;
        }

        int exponent = value == 0 ? -126 : Math.Max(-126, Math.ILogB(value));
        double expected = Math.ScaleB(Math.Round(Math.ScaleB(value, fractionBits - exponent), ties), exponent - fractionBits);
        Assert.That(rounded, Is.EqualTo((float)expected), $"{value:r}, bits {BitConverter.SingleToUInt32Bits(value):x8}");
    }

    private static uint Bf16(float value) => BitConverter.SingleToUInt32Bits(value) >> 16;

    // Where a lane's word of A and of B lies, as the PTX manual draws it.
    private static (int Row, int Column) PlaceTf32(int lane, int word) => word < 4
        ? (lane / 4 + word % 2 * 8, lane % 4 + word / 2 * 4)
        : (lane % 4 + (word - 4) * 4, lane / 4);

    private static (int Row, int Column) PlaceBf16(int lane, int word) => word < 4
        ? (lane / 4 + word % 2 * 8, lane % 4 * 2 + word / 2 * 8)
        : (lane % 4 * 2 + (word - 4) * 8, lane / 4);

    private void EveryElementAlone(
        int depth,
        Action<ArrayView<uint>, ArrayView<float>, int> kernel,
        Func<float[,], int, int, bool, uint> pack,
        Func<int, int, (int Row, int Column)> place)
    {
        List<(float[,] A, float[,] B)> problems = [];
        for (int element = 0; element < 24 * depth; element++)
        {
            // Numbers that both formats hold exactly, no two alike in the matrix that is full.
            float[,] a = new float[16, depth];
            float[,] b = new float[depth, 8];
            if (element < 16 * depth)
            {
                a[element / depth, element % depth] = 2;
                for (int i = 0; i < 8 * depth; i++)
                    b[i / 8, i % 8] = i < 128 ? 1 + i : 0;
            }
            else
            {
                b[(element - 16 * depth) / 8, element % 8] = 2;
                for (int i = 0; i < 16 * depth; i++)
                    a[i / depth, i % depth] = i < 128 ? 1 + i : -(i - 127);
            }

            problems.Add((a, b));
        }

        uint[] operands = [.. problems.SelectMany(problem => Enumerable.Range(0, 32 * 6).Select(i =>
        {
            (int row, int column) = place(i / 6, i % 6);
            return pack(i % 6 < 4 ? problem.A : problem.B, row, column, i % 6 < 4);
        }))];
        using MemoryBuffer1D<uint, Stride1D.Dense> input = context.Accelerator.Allocate1D(operands);
        using MemoryBuffer1D<float, Stride1D.Dense> output = context.Accelerator.Allocate1D<float>(problems.Count * 128);
        context.Accelerator.Load(
            kernel, default, out Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<float>, int> launch);
        launch(context.Stream, new KernelConfig(1, 32), input.View, output.View, problems.Count);
        context.Accelerator.Synchronize();
        float[] results = output.GetAsArray1D();
        for (int p = 0; p < problems.Count; p++)
        {
            (float[,] a, float[,] b) = problems[p];
            for (int i = 0; i < 128; i++)
            {
                (int lane, int word) = (i / 4, i % 4);
                (int row, int column) = (lane / 4 + word / 2 * 8, lane % 4 * 2 + word % 2);
                double expected = 0.5 * i + Enumerable.Range(0, depth).Sum(k => (double)a[row, k] * b[k, column]);
                if (results[128 * p + i] != expected)
                    Assert.Fail($"problem {p}, row {row}, column {column}: {results[128 * p + i]}, expected {expected}");
            }
        }
    }

    private static uint[] Counting(int count) => [.. Enumerable.Range(0, count).Select(i => (uint)i)];

    private uint[] Run(Action<ArrayView<uint>, ArrayView<uint>> kernel, IEnumerable<uint> input, int outputs)
    {
        using MemoryBuffer1D<uint, Stride1D.Dense> from = context.Accelerator.Allocate1D(input.ToArray());
        using MemoryBuffer1D<uint, Stride1D.Dense> to = context.Accelerator.Allocate1D(new uint[outputs]);
        context.Accelerator.Load(
            kernel, default, out Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>> launch);
        launch(context.Stream, new KernelConfig(1, 32), from.View, to.View);
        context.Accelerator.Synchronize();
        return to.GetAsArray1D();
    }

    private static void MultiplyTf32Kernel(ArrayView<uint> operands, ArrayView<float> results, int problems)
    {
        for (int p = 0; p < problems; p++)
        {
            int o = (32 * p + Group.IdxX) * 6;
            Accumulators d = TensorCores.MultiplyTf32(
                operands[o], operands[o + 1], operands[o + 2], operands[o + 3], operands[o + 4], operands[o + 5], Ramp());
            Store(results, p, d);
        }
    }

    private static void MultiplyBf16Kernel(ArrayView<uint> operands, ArrayView<float> results, int problems)
    {
        for (int p = 0; p < problems; p++)
        {
            int o = (32 * p + Group.IdxX) * 6;
            Accumulators d = TensorCores.MultiplyBf16(
                operands[o], operands[o + 1], operands[o + 2], operands[o + 3], operands[o + 4], operands[o + 5], Ramp());
            Store(results, p, d);
        }
    }

    private static Accumulators Ramp()
        => new() { X = 2f * Group.IdxX, Y = 2f * Group.IdxX + 0.5f, Z = 2f * Group.IdxX + 1, W = 2f * Group.IdxX + 1.5f };

    private static void Store(ArrayView<float> results, int problem, Accumulators d)
    {
        int r = (32 * problem + Group.IdxX) * 4;
        results[r] = d.X;
        results[r + 1] = d.Y;
        results[r + 2] = d.Z;
        results[r + 3] = d.W;
    }

    private static void LoadMatricesKernel(ArrayView<uint> rows, ArrayView<uint> results)
    {
        ArrayView<uint> shared = ToShared(rows);
        Store(results, TensorCores.LoadMatrices(ref shared[4 * (Group.IdxX - Group.IdxX % 2)], 4 * (Group.IdxX % 2)));
    }

    private static void LoadMatricesTransposedKernel(ArrayView<uint> rows, ArrayView<uint> results)
    {
        ArrayView<uint> shared = ToShared(rows);
        Store(results, TensorCores.LoadMatricesTransposed(ref shared[4 * Group.IdxX], 0));
    }

    private static ArrayView<uint> ToShared(ArrayView<uint> rows)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<Words>(32).Cast<uint>();
        for (int i = Group.IdxX; i < 128; i += 32)
            shared[i] = rows[i];
        Group.Barrier();
        return shared;
    }

    private static void Store(ArrayView<uint> results, Words words)
    {
        int r = 4 * Group.IdxX;
        results[r] = words.X;
        results[r + 1] = words.Y;
        results[r + 2] = words.Z;
        results[r + 3] = words.W;
    }

    private static void RoundToTf32Kernel(ArrayView<uint> values, ArrayView<uint> results)
    {
        for (int i = Group.IdxX; i < results.IntLength; i += 32)
            results[i] = TensorCores.RoundToTf32(Interop.IntAsFloat(values[i]));
    }

    private static void RoundToBf16Kernel(ArrayView<uint> values, ArrayView<uint> results)
    {
        for (int i = Group.IdxX; i < results.IntLength; i += 32)
            results[i] = TensorCores.RoundToBf16(Interop.IntAsFloat(values[2 * i]), Interop.IntAsFloat(values[2 * i + 1]));
    }

    private static void CopyAsyncKernel(ArrayView<uint> source, ArrayView<uint> results)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<Words>(64).Cast<uint>();
        int lane = Group.IdxX;
        TensorCores.CopyAsync16(ref shared[8 * lane], 0, ref source[4 * lane], 0, lane % 17);
        for (int w = 0; w < 4; w++)
            TensorCores.CopyAsync4(ref shared[8 * lane + 4 + w], 0, ref source[4 * lane + w], 0, (lane + w) % 2 == 0 ? 4 : 0);
        TensorCores.CommitCopies();
        TensorCores.WaitForCopies(0);
        for (int w = 0; w < 8; w++)
            results[8 * lane + w] = shared[8 * lane + w];
    }

    // The first stage has arrived when one is pending, and the second only after the last wait.
    private static void StagesKernel(ArrayView<uint> source, ArrayView<uint> results)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<Words>(64).Cast<uint>();
        int lane = Group.IdxX;
        TensorCores.CopyAsync16(ref shared[8 * lane], 0, ref source[8 * lane], 0, 16);
        TensorCores.CommitCopies();
        TensorCores.CopyAsync16(ref shared[8 * lane + 4], 0, ref source[8 * lane + 4], 0, 16);
        TensorCores.CommitCopies();
        TensorCores.WaitForCopies(1);
        for (int w = 0; w < 4; w++)
            results[4 * lane + w] = shared[8 * lane + w];
        TensorCores.WaitForCopies(0);
    }

    private static void SharedKernel(ArrayView<uint> source, ArrayView<uint> results)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<Words>(32).Cast<uint>();
        int at = 4 * Group.IdxX;
        TensorCores.StoreShared(ref shared[at], 0, new Words
        {
            X = source[at],
            Y = source[at + 1],
            Z = source[at + 2],
            W = source[at + 3],
        });
        Group.Barrier();
        Words words = TensorCores.LoadShared(ref shared[at], at % 8 == 0 ? 4 : -4);
        words.W = TensorCores.LoadWord(ref shared[at ^ 4], 3);
        Store(results, words);
    }
}

/// <summary>
/// What only the simulation can tell: mistakes that a GPU answers with wrong numbers now and then.
/// </summary>
public class TensorCoreSimulationTests
{
    [Test]
    public void CopyAsync_ReadBeforeTheWait_IsNotThere()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        using MemoryBuffer1D<uint, Stride1D.Dense> buffer = context.Accelerator.Allocate1D(new uint[32 * 4]);
        context.Accelerator.LoadStreamKernel<ArrayView<uint>>(TooEarlyKernel)(new KernelConfig(1, 32), buffer.View);
        context.Accelerator.Synchronize();
        Assert.That(buffer.GetAsArray1D().Select(BitConverter.UInt32BitsToSingle), Has.All.NaN);
    }

    // A context that was not told of the instructions must not take kernels that use them.
    [Test]
    public void HasTensorCores_ForeignContext_IsFalse()
    {
        using Context foreign = Context.Create(builder => builder.CPU(CPUDeviceKind.Nvidia));
        using Context enabled = Context.Create(
            builder => builder.CPU(CPUDeviceKind.Nvidia).EnableTensorCores().EnableTensorCores());
        Assert.That(foreign.HasTensorCores(), Is.False);
        Assert.That(enabled.HasTensorCores(), Is.True);
    }

    private static void TooEarlyKernel(ArrayView<uint> values)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<Words>(32).Cast<uint>();
        int at = 4 * Group.IdxX;
        TensorCores.CopyAsync16(ref shared[at], 0, ref values[at], 0, 16);
        TensorCores.CommitCopies();
        for (int w = 0; w < 4; w++)
            values[at + w] = shared[at + w];
        TensorCores.WaitForCopies(0);
    }
}
