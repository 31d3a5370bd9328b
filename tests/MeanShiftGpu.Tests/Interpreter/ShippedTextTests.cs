using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.PtxInterpreter;
using MeanShiftGpu.PtxInterpreter.Text;
using MeanShiftGpu.Tests.Device;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>The text of every kernel as drivers get it.</summary>
public sealed partial class ShippedTextTests
{
    private const string Architecture = "sm_80";

    [Test]
    public void Parse_EveryKernel_HasKnownFormsAndAViewBehindEveryGlobalAccess()
    {
        SortedDictionary<string, int> forms = new(StringComparer.Ordinal);
        int accesses = 0;
        foreach (KernelEntry entry in KernelCatalog.All)
        {
            Kernel kernel = Parser.Parse(PtxTests.Ptx(Architecture, entry.Name));
            foreach ((string form, int count) in kernel.Forms)
                forms[form] = forms.GetValueOrDefault(form) + count;
            foreach (Instruction access in kernel.Code.Where(i => i.Form.Operands.Contains('g')))
            {
                Assert.That(access.View, Is.Not.Negative, $"{entry.Name}, {access}");
                accesses++;
            }
        }

        TestContext.Out.WriteLine(
            $"{KernelCatalog.All.Count} kernels, {forms.Count} forms, {accesses} accesses of global memory");
        TestContext.Out.WriteLine(string.Join(Environment.NewLine, forms.Select(form => $"{form.Value,6} {form.Key}")));
        Assert.That(accesses, Is.Positive);
    }

    [Test]
    public void Text_ConditionalBranches_AreNotMarkedUniform()
    {
        string[] marked =
            [.. KernelCatalog.All.Where(kernel => MarkedBranch().IsMatch(PtxTests.Ptx(Architecture, kernel.Name))).Select(
                kernel => kernel.Name)];
        Assert.That(marked, Is.Empty);

        // What ILGPU wrote has marks, or this test would hold of anything.
        using Context context = GpuContext.CreateIlgpuContext(ILGPU.Runtime.CPU.CPUDeviceKind.Nvidia);
        using PTXBackend backend = new(context, new CudaArchitecture(8, 0), CudaInstructionSet.ISA_70, nvvmAPI: null!);
        KernelEntry gather = KernelCatalog.All.First(kernel => kernel.Name == "MeanShiftDirect.Gather.Cone.float32");
        string written = ((PTXCompiledKernel)backend.Compile(EntryPointDescription.FromImplicitlyGroupedKernel(gather.Method),
            gather.Specialization)).PTXAssembly;
        Assert.That(MarkedBranch().Count(written), Is.Positive);
    }

    [Test]
    public void Text_DependsOnKernelAndArchitectureAlone()
    {
        PtxCompiler compiler = new("sm_90");
        foreach (KernelEntry kernel in KernelCatalog.All.Where((_, i) => i % 10 == 0).Reverse())
            Assert.That(compiler.Compile(kernel), Is.EqualTo(PtxTests.Ptx(Architecture, kernel.Name)), kernel.Name);
    }

    [TestCase(7, 5, "6.3", "sm_75")]
    [TestCase(8, 0, "7.0", "sm_80")]
    [TestCase(9, 0, "7.0", "sm_80")]
    [TestCase(12, 1, "7.0", "sm_80")]
    public void Header_OfADevice_IsDecidedInOnePlace(int major, int minor, string version, string target)
    {
        KernelEntry kernel = KernelCatalog.All.First(kernel => kernel.Name == "AdamDirect.Step.float32");
        string text = KernelText.Compile(kernel.Method, kernel.Specialization, new CudaArchitecture(major, minor)).PTXAssembly;
        Assert.That(Parser.Header(text), Is.EqualTo((version, target)));
        Assert.That(Parser.Parse(text).Code, Is.Not.Empty);
    }

    // A launcher that loaded a kernel by ILGPU's own calls would hand ILGPU's own text to the driver.
    [Test]
    public void Kernels_AreLoadedByKernelLoaderAlone()
    {
        foreach (System.Reflection.Assembly assembly in (System.Reflection.Assembly[])[typeof(KernelAttribute).Assembly,
            typeof(GpuContext).Assembly])
        {
            using PEReader file = new(File.OpenRead(assembly.Location));
            MetadataReader reader = file.GetMetadataReader();
            string[] used = [.. reader.TypeReferences.Select(handle => reader.GetString(reader.GetTypeReference(handle).Name))];
            Assert.That(used, Has.None.EqualTo("KernelLoaders"), assembly.GetName().Name);
            int loads = reader.MemberReferences.Count(
                handle => LoadCall().IsMatch(reader.GetString(reader.GetMemberReference(handle).Name)));
            // Those of KernelLoader: two for compiled kernels, two for other devices.
            Assert.That(loads, Is.EqualTo(assembly == typeof(KernelAttribute).Assembly ? 4 : 0), assembly.GetName().Name);
        }
    }

    // The fault is found when it is put back: the index's bound differs within the last warp.
    [Test]
    public void Run_MarksThatIlgpuWrites_AreFoundToDiverge()
    {
        const string body = "setp.ge.s32 %p0, %r0, 20; @%p0 bra.uni L; st.global.b32 [%rd3], %r0; L:";
        PtxFaultException fault = Assert.Throws<PtxFaultException>(() => Sample.Run(body, []))!;
        Assert.That(fault.Kind, Is.EqualTo(FaultKind.Divergence));
    }

    [GeneratedRegex(@"@!?%\w+ (bra|ret)\.uni")]
    private static partial Regex MarkedBranch();

    [GeneratedRegex(@"^Load\w*Kernel$")]
    private static partial Regex LoadCall();
}
