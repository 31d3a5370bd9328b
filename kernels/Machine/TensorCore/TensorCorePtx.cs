using System.Reflection;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Types;
using ILGPU.Runtime.Cuda;
using Compound = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.CompoundRegister;
using Constant = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.ConstantRegister;
using Hardware = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.HardwareRegister;
using Primitive = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.PrimitiveRegister;

namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>Teaches an ILGPU context the PTX of <see cref="TensorCores"/>.</summary>
public static class TensorCorePtx
{
    private static readonly CudaArchitecture Least = new(8, 0);
    private static readonly ConditionalWeakTable<IntrinsicImplementationManager, object> Taught = [];

    /// <summary>
    /// Lets kernels with tensor-core instructions compile on the context's CUDA accelerators. Must be called
    /// before an accelerator is created, because ILGPU copies what it knows of intrinsics into each
    /// accelerator's compiler.
    /// </summary>
    /// <param name="builder">The builder of the context.</param>
    /// <returns>The builder.</returns>
    public static Context.Builder EnableTensorCores(this Context.Builder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        IntrinsicImplementationManager manager = builder.GetIntrinsicManager();
        lock (Taught)
        {
            if (!Taught.TryGetValue(manager, out _))
            {
                Taught.Add(manager, Taught);
                Register(manager, nameof(TensorCores.MultiplyTf32), nameof(MultiplyTf32));
                Register(manager, nameof(TensorCores.MultiplyBf16), nameof(MultiplyBf16));
                Register(manager, nameof(TensorCores.RoundToTf32), nameof(RoundToTf32));
                Register(manager, nameof(TensorCores.RoundToBf16), nameof(RoundToBf16));
                Register(manager, nameof(TensorCores.LoadMatrices), nameof(LoadMatrices));
                Register(manager, nameof(TensorCores.LoadMatricesTransposed), nameof(LoadMatricesTransposed));
                Register(manager, nameof(TensorCores.LoadWord), nameof(LoadWord));
                Register(manager, nameof(TensorCores.LoadShared), nameof(LoadShared));
                Register(manager, nameof(TensorCores.StoreShared), nameof(StoreShared));
                Register(manager, nameof(TensorCores.CopyAsync16), nameof(CopyAsync16));
                Register(manager, nameof(TensorCores.CopyAsync4), nameof(CopyAsync4));
                Register(manager, nameof(TensorCores.CommitCopies), nameof(CommitCopies));
                Register(manager, nameof(TensorCores.WaitForCopies), nameof(WaitForCopies));
            }
        }

        return builder;
    }

    /// <summary>Whether a context was built with <see cref="EnableTensorCores"/>.</summary>
    /// <param name="context">The context.</param>
    internal static bool HasTensorCores(this Context context) => Taught.TryGetValue(context.GetIntrinsicManager(), out _);

    private static void Register(IntrinsicImplementationManager manager, string intrinsic, string handler)
        => manager.RegisterMethod(
            typeof(TensorCores).GetMethod(intrinsic, BindingFlags.Public | BindingFlags.Static)!,
            new PTXIntrinsic(typeof(TensorCorePtx), handler, IntrinsicImplementationMode.GenerateCode, Least));

    private static void MultiplyTf32(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => Multiply(generator, value, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");

    private static void MultiplyBf16(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => Multiply(generator, value, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");

    private static void Multiply(PTXCodeGenerator generator, Value value, string instruction)
    {
        Primitive[] a = [.. Enumerable.Range(0, 4).Select(i => Operand(generator, value[i]))];
        Primitive[] b = [.. Enumerable.Range(4, 2).Select(i => Operand(generator, value[i]))];
        Primitive[] c =
            [.. ((Compound)generator.Load(value[6])).Children.Select(
                child => (Primitive)generator.EnsureHardwareRegister((Primitive)child))];
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand(instruction);
        command.AppendVectorArgument(Result(generator, value));
        command.AppendVectorArgument(a);
        command.AppendVectorArgument(b);
        command.AppendVectorArgument(c);
    }

    private static void RoundToTf32(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        Primitive source = Operand(generator, value[0]);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("cvt.rna.tf32.f32");
        command.AppendArgument(generator.AllocateHardware(value));
        command.AppendArgument(source);
    }

    // The instruction takes the upper half first.
    private static void RoundToBf16(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        Primitive lower = Operand(generator, value[0]);
        Primitive upper = Operand(generator, value[1]);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("cvt.rn.bf16x2.f32");
        command.AppendArgument(generator.AllocateHardware(value));
        command.AppendArgument(upper);
        command.AppendArgument(lower);
    }

    private static void LoadMatrices(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => Load(generator, value, "ldmatrix.sync.aligned.m8n8.x4.shared.b16");

    private static void LoadMatricesTransposed(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => Load(generator, value, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16");

    private static void LoadShared(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => Load(generator, value, "ld.shared.v4.b32");

    private static void LoadWord(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        (Hardware address, int bytes) = SharedAddress(generator, value[0], value[1]);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("ld.shared.b32");
        command.AppendArgument(generator.AllocateHardware(value));
        command.AppendArgumentValue(address, bytes);
    }

    private static void Load(PTXCodeGenerator generator, Value value, string instruction)
    {
        (Hardware address, int bytes) = SharedAddress(generator, value[0], value[1]);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand(instruction);
        command.AppendVectorArgument(Result(generator, value));
        command.AppendArgumentValue(address, bytes);
    }

    private static void StoreShared(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        (Hardware address, int bytes) = SharedAddress(generator, value[0], value[1]);
        Primitive[] words =
            [.. ((Compound)generator.Load(value[2])).Children.Select(
                child => (Primitive)generator.EnsureHardwareRegister((Primitive)child))];
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("st.shared.v4.b32");
        command.AppendArgumentValue(address, bytes);
        command.AppendVectorArgument(words);
    }

    // Past the first-level cache: every byte of a tile is read once.
    private static void CopyAsync16(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => CopyAsync(generator, value, "cp.async.cg.shared.global", 16);

    private static void CopyAsync4(PTXBackend backend, PTXCodeGenerator generator, Value value)
        => CopyAsync(generator, value, "cp.async.ca.shared.global", 4);

    private static void CopyAsync(PTXCodeGenerator generator, Value value, string instruction, int length)
    {
        (Hardware target, int targetBytes) = SharedAddress(generator, value[0], value[1]);
        (Hardware source, int sourceBytes) = GlobalAddress(generator, value[2], value[3]);
        Primitive bytes = Operand(generator, value[4]);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand(instruction);
        command.AppendArgumentValue(target, targetBytes);
        command.AppendArgumentValue(source, sourceBytes);
        command.AppendConstant(length);
        command.AppendArgument(bytes);
    }

    private static void CommitCopies(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("cp.async.commit_group");
    }

    private static void WaitForCopies(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("cp.async.wait_group");
        command.AppendArgument(generator.LoadPrimitive(value[0]));
    }

    // Braces take registers only, not constants.
    private static Primitive Operand(PTXCodeGenerator generator, Value value)
        => generator.EnsureHardwareRegister(generator.LoadPrimitive(value));

    private static Primitive[] Result(PTXCodeGenerator generator, Value value)
        => [.. ((Compound)generator.Allocate(value)).Children.Select(child => (Primitive)child)];

    // A pointer that ILGPU knows to be shared is an offset in the shared window, in 64 bits; any other is
    // converted first.
    private static Hardware SharedAddress(PTXCodeGenerator generator, Value pointer)
    {
        Primitive address = Operand(generator, pointer);
        MemoryAddressSpace space = ((AddressSpaceType)pointer.Type).AddressSpace;
        if (space != MemoryAddressSpace.Shared)
            address = Convert(generator, address, "cvta.to.shared.u64", address.Description);
        Hardware offset = generator.AllocateInt32Register();
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("cvt.u32.u64");
        command.AppendArgument(offset);
        command.AppendArgument(address);
        return offset;
    }

    // An address and the bytes beyond it that an instruction adds itself.
    private static (Hardware Address, int Bytes) SharedAddress(PTXCodeGenerator generator, Value pointer, Value offset)
    {
        Hardware origin = SharedAddress(generator, pointer);
        Primitive words = generator.LoadPrimitive(offset);
        if (words is Constant { Value.Int32Value: >= 0 } constant)
            return (origin, sizeof(uint) * constant.Value.Int32Value);
        Hardware address = generator.AllocateInt32Register();
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("mad.lo.s32");
        command.AppendArgument(address);
        command.AppendArgument(words);
        command.AppendConstant(sizeof(uint));
        command.AppendArgument(origin);
        return (address, 0);
    }

    private static Hardware GlobalAddress(PTXCodeGenerator generator, Value pointer)
    {
        Primitive address = Operand(generator, pointer);
        return ((AddressSpaceType)pointer.Type).AddressSpace == MemoryAddressSpace.Global
            ? (Hardware)address
            : Convert(generator, address, "cvta.to.global.u64", address.Description);
    }

    // An address and the bytes beyond it that an instruction adds itself.
    private static (Hardware Address, int Bytes) GlobalAddress(PTXCodeGenerator generator, Value pointer, Value offset)
    {
        Hardware origin = GlobalAddress(generator, pointer);
        Primitive words = generator.LoadPrimitive(offset);
        if (words is Constant { Value.Int32Value: >= 0 } constant)
            return (origin, sizeof(uint) * constant.Value.Int32Value);
        Hardware distance = generator.AllocateRegister(origin.Description);
        using (PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("mul.wide.u32"))
        {
            command.AppendArgument(distance);
            command.AppendArgument(words);
            command.AppendConstant(sizeof(uint));
        }

        Hardware address = generator.AllocateRegister(origin.Description);
        using (PTXCodeGenerator.CommandEmitter command = generator.BeginCommand("add.u64"))
        {
            command.AppendArgument(address);
            command.AppendArgument(distance);
            command.AppendArgument(origin);
        }

        return (address, 0);
    }

    private static Hardware Convert(
        PTXCodeGenerator generator,
        Primitive source,
        string instruction,
        ILGPU.Backends.RegisterAllocator<PTXRegisterKind>.RegisterDescription description)
    {
        Hardware target = generator.AllocateRegister(description);
        using PTXCodeGenerator.CommandEmitter command = generator.BeginCommand(instruction);
        command.AppendArgument(target);
        command.AppendArgument(source);
        return target;
    }
}
