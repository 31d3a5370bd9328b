using System.Collections.Concurrent;
using System.Numerics;
using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Device;
using MeanShiftGpu.Device.Sass;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Storage;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>Every kernel of the catalogue, compiled for devices that this machine need not have.</summary>
public sealed partial class PtxTests
{
    private static readonly string[] Architectures = ["sm_80", "sm_90"];

    // Each kernel is compiled once per architecture; what failed keeps its message.
    private static readonly ConcurrentDictionary<string, (Dictionary<string, string> Ptx, List<string> Failures)> Compiled =
        new();
    private static readonly ConcurrentDictionary<(string Architecture, string Name), Lazy<PtxasReport>> Assembled = new();

    [TestCaseSource(nameof(Architectures))]
    public void Compile_EveryKernel_GivesPtxForTheArchitecture(string architecture)
    {
        (Dictionary<string, string> ptx, List<string> failures) = CompileAll(architecture);
        Assert.That(failures, Is.Empty);
        // One text for every device from 8.0 on, which a driver compiles further.
        Assert.That(
            ptx.Values,
            Has.All.Contains(".version 7.0\n.target sm_80\n").And.All.Contains(".visible .entry").And.None.Contains(".func"));
    }

    [TestCaseSource(nameof(Architectures))]
    public void Assemble_EveryKernel_StaysInRegisters(string architecture)
    {
        if (Ptxas.Find() is not { } ptxas)
        {
            Assert.Ignore($"ptxas was not found (looked at {Ptxas.Places}).");
            return;
        }

        ConcurrentBag<string> failures = [];
        ConcurrentBag<string> reports = [];
        Parallel.ForEach(CompileAll(architecture).Ptx, new ParallelOptions { MaxDegreeOfParallelism = 2 }, kernel =>
        {
            try
            {
                PtxasReport report = Assemble(ptxas, architecture, kernel.Key);
                reports.Add($"{kernel.Key}: {report.Registers} registers, {report.SharedBytes} bytes of shared memory");
                if (!report.StaysInRegisters)
                    failures.Add($"{kernel.Key}: {report}");
            }
            catch (InvalidOperationException e)
            {
                failures.Add($"{kernel.Key}: {e.Message}");
            }
        });
        TestContext.Out.WriteLine(string.Join(Environment.NewLine, reports.Order(StringComparer.Ordinal)));
        Assert.That(failures.Order(StringComparer.Ordinal), Is.Empty);
    }

    // What a card below compute capability 8.0 gets: a text with another header, and no kernel for tensor
    // cores (DriverTests looks at what such a card's driver is given).
    [Test]
    public void Assemble_KernelsOfAnOlderCard_StayInRegisters()
    {
        string? ptxas = Ptxas.Find();
        ConcurrentBag<string> failures = [];
        Parallel.ForEach(PtxOfOlderCard.Value, new ParallelOptions { MaxDegreeOfParallelism = 2 }, kernel =>
        {
            try
            {
                if (!kernel.Value.Contains(".version 6.3\n.target sm_75\n", StringComparison.Ordinal))
                    failures.Add($"{kernel.Key}: has another header");
                if (ptxas is not null && Ptxas.Assemble(ptxas, kernel.Value, "sm_75") is { StaysInRegisters: false } report)
                    failures.Add($"{kernel.Key}: {report}");
            }
            catch (InvalidOperationException e)
            {
                failures.Add($"{kernel.Key}: {e.Message}");
            }
        });
        Assert.That(failures.Order(StringComparer.Ordinal), Is.Empty);
        if (ptxas is null)
            Assert.Ignore($"The texts were compiled; ptxas was not found (looked at {Ptxas.Places}).");
        TestContext.Out.WriteLine($"{PtxOfOlderCard.Value.Count} kernels assembled for sm_75");
    }

    // The plan beside each kernel: registers, so that enough groups share a multiprocessor, shared memory,
    // and the loads of 16 bytes (in float32) that the inner loop consists of. ptxas 11.8 gives up to 96, 180,
    // 124 and 244 registers, the margin is for others.
    [TestCase("Conv3dImplicitGemm.Forward.Channels16.float32", 112, 9216, 9)]
    [TestCase("Conv3dImplicitGemm.Forward.Channels32.float32", 112, 11520, 9)]
    [TestCase("Conv3dImplicitGemm.Forward.Channels48.float32", 112, 13824, 9)]
    [TestCase("Conv3dImplicitGemm.Forward.Channels64.float32", 112, 13824, 9)]
    [TestCase("Conv3dImplicitGemm.BackwardInput.Channels32.float32", 112, 11520, 9)]
    [TestCase("Conv3dImplicitGemm.BackwardInput.Channels64.float32", 112, 13824, 9)]
    [TestCase("Conv3dImplicitGemm.Forward.Channels64.float64", 208, 27648, 0)]
    [TestCase("Conv3dImplicitGemmGradient.BackwardWeight.Channels16.float32", 144, 8704, 20)]
    [TestCase("Conv3dImplicitGemmGradient.BackwardWeight.Channels32.float32", 144, 12800, 20)]
    [TestCase("Conv3dImplicitGemmGradient.BackwardWeight.Channels32.float64", 255, 25600, 0)]
    [TestCase("ConvTranspose3dImplicitGemm.Forward.float32", 112, 5248, 4)]
    [TestCase("ConvTranspose3dImplicitGemm.BackwardInput.float32", 112, 5248, 4)]
    [TestCase("ConvTranspose3dImplicitGemm.BackwardWeight.float32", 72, 8192, 2)]
    [TestCase("MeanShiftGrouped.Forward.Epanechnikov.float32", 56, 3328, 4)]
    [TestCase("MeanShiftGrouped.TotalLoss.float32", 48, 3328, 4)]
    [TestCase("MeanShiftGrouped.Chain.Epanechnikov.float32", 80, 2304, 4)]
    [TestCase("MeanShiftGrouped.Gather.Epanechnikov.float32", 48, 7232, 0)]
    [TestCase("LossGrouped.Partial.Dice.float32", 40, 2304, 4)]
    [TestCase("LossGrouped.Partial.BinaryCrossEntropy.float32", 48, 2304, 4)]
    [TestCase("GradientNormGrouped.Squares.float32", 40, 2304, 4)]
    [TestCase("SigmoidHeadGrouped.PartialWeight.Plain.float32", 72, 2560, 1)]
    [TestCase("PartSums.Add.float32", 48, 512, 0)]
    public void Assemble_GroupKernels_KeepToTheirPlan(string name, int registers, int sharedBytes, int sharedQuadLoads)
    {
        foreach (string architecture in Architectures)
        {
            string ptx = CompileAll(architecture).Ptx[name];
            Assert.That(SharedQuadLoad().Count(ptx), Is.EqualTo(sharedQuadLoads), $"{architecture}: loads of 16 bytes from "
                + "shared memory");
            if (Ptxas.Find() is not { } ptxas)
                continue;
            PtxasReport report = Ptxas.Assemble(ptxas, ptx, architecture);
            Assert.That(report.Registers, Is.LessThanOrEqualTo(registers), architecture);
            Assert.That(report.SharedBytes, Is.EqualTo(sharedBytes), architecture);
        }

        if (Ptxas.Find() is null)
            Assert.Ignore($"The loads were counted; ptxas was not found (looked at {Ptxas.Places}).");
    }

    [TestCaseSource(nameof(Architectures))]
    public void Compile_PortableKernels_UseNoWarpOperationAndNoAtomic(string architecture)
    {
        Dictionary<string, string> ptx = CompileAll(architecture).Ptx;
        Assert.That(
            Portable.Where(kernel => ptx.TryGetValue(kernel.Name, out string? text) && WarpOrAtomicPtx().IsMatch(text)).Select(
                kernel => kernel.Name),
            Is.Empty);
    }

    [TestCase("float32", false)]
    [TestCase("float64", true)]
    public void CompileOpenCL_PortableKernels_NeedNoMoreThanTheLeastDevice(string real, bool float64)
    {
        using OpenCLCompiler compiler = new(float64);
        List<string> failures = [];
        foreach (KernelEntry kernel in Portable.Where(kernel => kernel.Name.EndsWith(real, StringComparison.Ordinal)))
        {
            try
            {
                string source = compiler.Compile(kernel);
                if (WarpOrAtomicOpenCL().Match(source) is { Success: true } match)
                    failures.Add($"{kernel.Name} uses {match.Value}");
            }
            catch (InvalidOperationException e)
            {
                failures.Add(e.Message);
            }
        }

        Assert.That(failures, Is.Empty);
    }

    [Test]
    public void Load_EveryKernel_LoadsOnTheSimulatedGpu()
    {
        using GpuContext gpu = GpuContext.CreateSimulatedGpu();
        List<string> failures = [];
        foreach (KernelEntry kernel in KernelCatalog.All)
        {
            try
            {
                using Kernel loaded = kernel.IsImplicitlyGrouped
                    ? gpu.Accelerator.LoadAutoGroupedKernel(kernel.Method)
                    : gpu.Accelerator.LoadKernel(kernel.Method, kernel.Specialization);
            }
            catch (Exception e) when (
                e is InternalCompilerException or NotSupportedException or InvalidOperationException or ArgumentException)
            {
                failures.Add($"{kernel.Name}: {e.Message} {e.InnerException?.Message}");
            }
        }

        Assert.That(failures, Is.Empty);
    }

    [Test]
    public void All_HoldsBothRealTypesOfEveryKernel()
    {
        string[] names = [.. KernelCatalog.All.Select(kernel => kernel.Name)];
        Assert.That(names, Does.Contain("Conv3dDirect.Forward.float32").And.Contain("Conv3dDirect.BackwardWeight.float64"));
        Assert.That(
            names,
            Does.Contain("MeanShiftDirect.Forward.Epanechnikov.float32").And.Contain("MeanShiftDirect.Gather.Gaussian.float64"));

        // What is stored as BF16 is computed in float32 alone.
        string[] stored = [.. names.Where(name => name.EndsWith(".Bf16.float32", StringComparison.Ordinal))];
        Assert.That(stored, Is.EqualTo([
            "ElementwiseDirect.Add.Bf16.float32", "ElementwiseDirect.Round.Bf16.float32", "ElementwiseDirect.Widen.Bf16.float32",
            "MaxPool3dDirect.Backward.Bf16.float32", "MaxPool3dDirect.Forward.Bf16.float32",
            "SigmoidHeadDirect.BackwardInput.Bf16.float32",
            "SigmoidHeadDirect.BackwardWeight.Bf16.float32",
            "SigmoidHeadDirect.Forward.Bf16.float32",
            "SigmoidHeadGrouped.PartialWeight.Bf16.float32",
        ]));
        Assert.That(
            names.Where(name => name.EndsWith("float32", StringComparison.Ordinal)).Except(stored).Select(
                name => name[..^2] + "64"),
            Is.EquivalentTo(names.Where(name => name.EndsWith("float64", StringComparison.Ordinal))));
    }

    [Test]
    public void EntriesOf_NestedClassesAndGenericMethods_AreClosedOverEveryStruct()
        => Assert.That(
            Entries(typeof(Samples<,>.WithTileKernels<>), typeof(Samples)).Select(
                kernel => (kernel.Name, kernel.IsImplicitlyGrouped, kernel.Specialization.MaxNumThreadsPerGroup)),
            Is.EqualTo(new (string, bool, int?)[]
            {
                ("PtxTests.Samples.Scale.Wide", true, null),
                ("PtxTests.Samples.WithTile.Grouped.Narrow.float32", false, 64),
                ("PtxTests.Samples.WithTile.Grouped.Narrow.float64", false, 64),
                ("PtxTests.Samples.WithTile.Grouped.Wide.float32", false, 64),
                ("PtxTests.Samples.WithTile.Grouped.Wide.float64", false, 64),
            }));

    [TestCase(typeof(Unclosable<>), "no struct satisfies the constraints of its type parameter TMissing")]
    [TestCase(typeof(Unconstrained<>), "no interface constrains its type parameter TAny")]
    [TestCase(typeof(HalfClosable<,>), "no struct satisfies the constraints of its type parameter TOnlyFloat after (Double)")]
    [TestCase(typeof(Overloaded), "Two kernels have the name PtxTests.Overloaded.Run")]
    [TestCase(typeof(Instance), "is no static method")]
    public void EntriesOf_BadKernel_IsAnError(Type type, string reason)
        => Assert.That(() => Entries(type), Throws.InvalidOperationException.With.Message.Contains(reason));

    [Test]
    public void Compile_AfterAKernelThatCannotBeCompiled_StillWorks()
    {
        PtxCompiler compiler = new("sm_80");
        KernelEntry[] kernels = [.. Entries(typeof(Broken))];
        Assert.That(
            () => compiler.Compile(kernels[0]), Throws.InvalidOperationException.With.Message.StartsWith(
                "The kernel PtxTests.Broken.Allocates does not compile for sm_80: "));
        Assert.That(compiler.Compile(kernels[1]), Does.Contain(".visible .entry"));
    }

    [Test]
    public void Compile_WarpAndAtomicOperations_AreFound()
    {
        PtxCompiler ptx = new("sm_90");
        using OpenCLCompiler openCL = new(float64: true);
        foreach (KernelEntry kernel in Entries(typeof(Warped)))
        {
            Assert.That(WarpOrAtomicPtx().IsMatch(ptx.Compile(kernel)), Is.True, kernel.Name);
            Assert.That(
                () => WarpOrAtomicOpenCL().IsMatch(openCL.Compile(kernel)) ? throw new InvalidOperationException("found") : 0,
                Throws.InvalidOperationException,
                kernel.Name);
        }
    }

    [Test]
    public void CompileOpenCL_DoubleWithoutFloat64_IsRefused()
    {
        using OpenCLCompiler compiler = new(float64: false);
        KernelEntry kernel = KernelCatalog.All.First(kernel => kernel.Name == "Conv3dDirect.Forward.float64");
        Assert.That(
            () => compiler.Compile(kernel), Throws.InvalidOperationException.With.Message.Contains("OpenCL without float64"));
    }

    [TestCase("sm_75")]
    [TestCase("90")]
    [TestCase("")]
    public void PtxCompiler_UnknownArchitecture_SaysWhichAreKnown(string architecture)
        => Assert.That(
            () => new PtxCompiler(architecture),
            Throws.TypeOf<InputException>().With.Message.Contains("Expected one of sm_80, "));

    [Test]
    public void Parse_AssemblerReport_AddsUpEveryFunction()
    {
        const string log = """
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'Kernel' for 'sm_80'
            ptxas info    : Function properties for Kernel
                16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
            ptxas info    : Function properties for Helper
                32 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
            ptxas info    : Used 40 registers, 1024 bytes smem, 12 bytes lmem, 416 bytes cmem[0]
            """;
        PtxasReport report = Ptxas.Parse(log);
        Assert.That(report, Is.EqualTo(new PtxasReport(40, 48, 4, 8, 12, 1024)));
        Assert.That(report.StaysInRegisters, Is.False);
    }

    // What ILGPU groups runs on every device; so must all kernels that are called direct, and those that form
    // groups for every GPU.
    private static readonly string[] PortableFamilies =
        ["Direct.", "ImplicitGemm.", "ImplicitGemmGradient.", "PartSums.", "Grouped."];

    private static IEnumerable<KernelEntry> Portable
        => KernelCatalog.All.Where(
            kernel => kernel.IsImplicitlyGrouped || PortableFamilies.Any(
                family => kernel.Name.Contains(family, StringComparison.Ordinal)));

    private static IReadOnlyList<KernelEntry> Entries(params Type[] classes)
        => KernelCatalog.EntriesOf(
            classes.SelectMany(
                type => type.GetMethods(
                    BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance)),
            [typeof(float), typeof(double), typeof(Float32), typeof(Float64), typeof(NarrowTile<>), typeof(WideTile), typeof(
                OnlyFloat)]);

    /// <summary>A kernel's PTX.</summary>
    internal static string Ptx(string architecture, string name) => CompileAll(architecture).Ptx[name];

    /// <summary>What ptxas says of a kernel; every kernel is assembled once per architecture.</summary>
    internal static PtxasReport Assemble(string ptxas, string architecture, string name)
        => Assembled
            .GetOrAdd(
                (architecture, name), key => new(
                    () => Ptxas.Assemble(ptxas, Ptx(key.Architecture, key.Name), key.Architecture))).Value;

    private static readonly string[] TensorCoreFamilies =
        ["Conv3dTensorCore.", "ConvTranspose3dTensorCore.", "TensorCoreWeights.", "PackedTogether."];

    /// <summary>The PTX of every kernel that a card of compute capability 7.5 may get, by name.</summary>
    internal static Lazy<Dictionary<string, string>> PtxOfOlderCard { get; } = new(() => KernelCatalog.All
        .Where(kernel => !TensorCoreFamilies.Any(family => kernel.Name.StartsWith(family, StringComparison.Ordinal)))
        .ToDictionary(
            kernel => kernel.Name,
            kernel => KernelText.Compile(kernel.Method, kernel.Specialization, new CudaArchitecture(7, 5)).PTXAssembly));

    // Architectures with one header have one text (ShippedTextTests).
    private static (Dictionary<string, string> Ptx, List<string> Failures) CompileAll(string architecture)
        => Compiled.GetOrAdd(
            KernelText.HeaderFor(new CudaArchitecture(architecture[3] - '0', architecture[4] - '0')).Target,
            static architecture =>
        {
            PtxCompiler compiler = new(architecture);
            Dictionary<string, string> ptx = [];
            List<string> failures = [];
            foreach (KernelEntry kernel in KernelCatalog.All)
            {
                try
                {
                    ptx.Add(kernel.Name, compiler.Compile(kernel));
                }
                catch (InvalidOperationException e)
                {
                    failures.Add(e.Message);
                }
            }

            return (ptx, failures);
        });

    // At the place of an instruction, behind its predicate if it has one.
    [GeneratedRegex(@"^\s*(@!?%\w+\s+)?(shfl|vote|match|redux|activemask|bar\.warp|atom|red)\.", RegexOptions.Multiline)]
    private static partial Regex WarpOrAtomicPtx();

    [GeneratedRegex(@"\bld\.shared\.v4\.[bf]32\b")]
    private static partial Regex SharedQuadLoad();

    [GeneratedRegex(@"\b(atomic_\w+|atom_\w+|\w*sub_group_\w+)")]
    private static partial Regex WarpOrAtomicOpenCL();

    private interface ITile<T>;

    private interface IMissing;

    private interface IOnly<T>;

    private readonly struct NarrowTile<T> : ITile<T>
        where T : unmanaged, INumber<T>;

    private readonly struct WideTile : ITile<float>, ITile<double>;

    private readonly struct OnlyFloat : IOnly<float>;

    private static class Samples
    {
        [Kernel]
        public static void ScaleKernel<TTile>(LongIndex1D index, ArrayView<float> values)
            where TTile : struct, ITile<float>
            => values[index] *= 2;
    }

    private static class Samples<T, TReal>
        where T : unmanaged, INumber<T>
        where TReal : struct, IReal<T>
    {
        public static class WithTileKernels<TTile>
            where TTile : struct, ITile<T>
        {
            [Kernel(MaxGroupSize = 64)]
            public static void GroupedKernel(ArrayView<T> values) => values[Grid.GlobalIndex.X] += T.One;
        }
    }

    private static class Unclosable<TMissing>
        where TMissing : struct, IMissing
    {
        [Kernel]
        public static void Run(Index1D index, ArrayView<float> values) => values[index] = 1;
    }

    private static class Unconstrained<TAny>
        where TAny : unmanaged
    {
        [Kernel]
        public static void Run(Index1D index, ArrayView<TAny> values) => values[index] = default;
    }

    private static class HalfClosable<T, TOnlyFloat>
        where T : unmanaged, INumber<T>
        where TOnlyFloat : struct, IOnly<T>
    {
        [Kernel]
        public static void Run(Index1D index, ArrayView<T> values) => values[index] = T.One;
    }

    private static class Overloaded
    {
        [Kernel]
        public static void Run(Index1D index, ArrayView<float> values) => values[index] = 1;

        [Kernel]
        public static void Run(Index1D index, ArrayView<double> values) => values[index] = 1;
    }

    private sealed class Instance
    {
        private readonly float value = 1;

        [Kernel]
        public void Run(Index1D index, ArrayView<float> values) => values[index] = value;
    }

    private static class Broken
    {
        [Kernel]
        public static void AllocatesKernel(Index1D index, ArrayView<float> values)
            => values[index] = values[index].ToString().Length;

        [Kernel]
        public static void WorksKernel(Index1D index, ArrayView<float> values) => values[index] += 1;
    }

    private static class Warped
    {
        [Kernel]
        public static void ShufflesKernel(ArrayView<int> values)
            => values[Grid.GlobalIndex.X] = Warp.Shuffle(values[Grid.GlobalIndex.X], 1);

        [Kernel]
        public static void AddsKernel(Index1D index, ArrayView<int> values) => Atomic.Add(ref values[0], index.X);

        [Kernel]
        public static void AddsAndReadsKernel(Index1D index, ArrayView<int> values)
            => values[index] = Atomic.Add(ref values[0], 1);
    }
}
