using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>
/// One device with its stream, its compiled kernels and its host threads. Everything else is created from it,
/// and is of no use after it was disposed. An instance serves one caller at a time.
/// </summary>
public sealed class GpuContext : IDisposable
{
    private const int SimulatedWarpSize = 32;
    private const string CompilesKernels = "Kernels are compiled from their IL when they are first used, and found by " +
        "reflection: do not publish ahead of time or trimmed.";

    private readonly Context? ownedContext;
    private readonly Dictionary<(Type Interface, string Operation, string Variant), IDisposable> launchers = [];
    private readonly VariantChoice variantChoice;
    private readonly AcceleratorStream stream;
    private readonly bool ownsStream;
    private readonly List<GpuContext> shares = []; // locked, and closing with it
    private GpuContext? sharedFrom;
    private bool closing;
    private bool disposed;

    private GpuContext(
        Context? ownedContext,
        Accelerator accelerator,
        AcceleratorStream? stream,
        string reason,
        GpuContextOptions options,
        bool ownsStream = false)
    {
        this.ownedContext = ownedContext;
        this.ownsStream = ownsStream;
        Accelerator = accelerator;
        this.stream = stream ?? accelerator.DefaultStream;
        Reason = reason;
        if (options.Threads < 0)
            throw new InputException($"threads: {options.Threads} is no number of threads. Expected 1 or more, or 0 for one for "
                + "each processor.");
        Threads = new HostThreads(options.Threads > 0 ? options.Threads : Environment.ProcessorCount);
        Precision wanted = WantedPrecision(options);
        PrecisionRefusal = wanted == Precision.Float32 ? null : Variants.TensorCoreRefusal(this);
        Precision = PrecisionRefusal is null ? wanted : Precision.Float32;
        MemoryLimitBytes = Kind == DeviceKind.Cpu ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes : accelerator.MemorySize;
        variantChoice = options.Variant is { } variant
            ? VariantChoice.Parse(variant, "variant")
            : VariantChoice.Parse(Environment.GetEnvironmentVariable("MEANSHIFTGPU_VARIANT") ?? "", "MEANSHIFTGPU_VARIANT");
    }

    /// <summary>The ILGPU accelerator.</summary>
    public Accelerator Accelerator { get; }

    /// <summary>The stream on which this library's kernels run.</summary>
    /// <exception cref="ObjectDisposedException">The context was disposed.</exception>
    public AcceleratorStream Stream
    {
        get
        {
            ThrowIfDisposed("Stream");
            return stream;
        }
    }

    /// <summary>The threads of the host variants.</summary>
    internal HostThreads Threads { get; }

    /// <summary>
    /// The kind of device in use: <see cref="DeviceKind.Cuda"/>, <see cref="DeviceKind.OpenCL"/> or
    /// <see cref="DeviceKind.Cpu"/>.
    /// </summary>
    public DeviceKind Kind => Accelerator.AcceleratorType switch
    {
        AcceleratorType.Cuda => DeviceKind.Cuda,
        AcceleratorType.OpenCL => DeviceKind.OpenCL,
        AcceleratorType.CPU => DeviceKind.Cpu,
        _ => throw UnknownValue.Of(Accelerator.AcceleratorType),
    };

    /// <summary>
    /// To what convolutions round their operands and a network its activations: what was asked for, or
    /// float32 on a device that cannot round.
    /// </summary>
    public Precision Precision { get; }

    /// <summary>Why a precision that was asked for is not used; null where it is.</summary>
    public string? PrecisionRefusal { get; }

    /// <summary>
    /// The variants that are forced, as they were written; empty where the choice is automatic throughout.
    /// </summary>
    internal string ForcedVariants => variantChoice.Text;

    /// <summary>
    /// Bytes that tensors may take: the device's memory, or what this process may use of the machine's.
    /// </summary>
    internal long MemoryLimitBytes { get; set; }

    /// <summary>
    /// Bytes that an arena could take now, those that it holds already included: other programs use a GPU's
    /// memory too.
    /// </summary>
    /// <param name="held">What it holds.</param>
    internal long AvailableBytes(long held)
        => Accelerator is CudaAccelerator cuda ? Math.Min(MemoryLimitBytes, held + cuda.GetFreeMemory()) : MemoryLimitBytes;

    /// <summary>
    /// Whether tensors take the host's memory, which the process's other needs share: on the CPU device. The
    /// simulated GPU's are planned as a GPU's.
    /// </summary>
    internal bool ComputesInHostMemory => Kind == DeviceKind.Cpu && !IsSimulatedGpu;

    /// <summary>Why this device was taken, in one sentence.</summary>
    public string Reason { get; }

    /// <summary>The device in one line, for reports.</summary>
    public string Description => Kind switch
    {
        DeviceKind.Cpu when IsSimulatedGpu => "simulated GPU, warps of 32 threads",
        DeviceKind.Cpu => $"CPU, {Counted.Of(Threads.Count, "thread")}, {Vectors}",
        _ => $"{Kind}, {Accelerator.Name}, {Accelerator.MemorySize / (1 << 20)} MiB",
    }
    + Precision switch
    {
        Precision.Float32 => "",
        Precision.Tf32 => ", TF32 operands",
        Precision.Bf16 => ", BF16 activations",
        Precision.Bf16Operands => ", BF16 operands",
        _ => throw UnknownValue.Of(Precision),
    };

    /// <summary>The width of the processor's vectors, on which the bits of results depend.</summary>
    internal static string Vectors => System.Runtime.Intrinsics.Vector512.IsHardwareAccelerated switch
    {
        true => "512-bit vectors",
        false when System.Runtime.Intrinsics.Vector256.IsHardwareAccelerated => "256-bit vectors",
        _ => "128-bit vectors",
    };

    private bool IsSimulatedGpu => Accelerator is CPUAccelerator { WarpSize: SimulatedWarpSize };

    /// <summary>Opens a device.</summary>
    /// <exception cref="InputException">The device asked for is not there or does not open; the message says
    /// why, and what was found instead.</exception>
    [RequiresDynamicCode(CompilesKernels)]
    [RequiresUnreferencedCode(CompilesKernels)]
    public static GpuContext Create(GpuContextOptions? options = null)
    {
        options ??= new GpuContextOptions();
        (DeviceKind wanted, int? index, string origin) = WantedDevice(options);
        if (wanted == DeviceKind.Simulated)
            return CreateSimulatedGpu(options);

        List<RefusedDevice> refused = [];
        Context context = CreateIlgpuContext(cpuDevice: null, refused);
        try
        {
            (ILGPU.Runtime.Device device, string reason) = DeviceDiscovery.Choose(context, refused, wanted, origin, index,
                options.ProcessOnMachine);
            return Open(context, device, reason, options);
        }
        catch (Exception e) when (e is AcceleratorException or NotSupportedException)
        {
            context.Dispose();
            throw new InputException($"{DeviceProblem.Explain(e) ?? $"device: {e.Message}"}. Another device can be asked "
                + "for.", e);
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>Opens the device with default settings, except for its kind.</summary>
    [RequiresDynamicCode(CompilesKernels)]
    [RequiresUnreferencedCode(CompilesKernels)]
    public static GpuContext Create(DeviceKind device) => Create(new GpuContextOptions { Device = device });

    /// <summary>
    /// Uses an accelerator that the caller already has, so that kernels read and write the caller's buffers
    /// without a copy. The accelerator's ILGPU context must have been created with EnableAlgorithms, and for
    /// tensor cores with <see cref="TensorCorePtx.EnableTensorCores"/>; it stays the caller's to dispose.
    /// </summary>
    /// <param name="accelerator">The caller's accelerator.</param>
    /// <param name="stream">The stream to queue on; null for the accelerator's default stream.</param>
    /// <param name="options">Variants, threads and precision; the device is not read.</param>
    /// <exception cref="ArgumentException">The stream is another accelerator's.</exception>
    /// <exception cref="ObjectDisposedException">The accelerator or the stream was disposed.</exception>
    /// <exception cref="Storage.InputException">A variant or precision, of the options or of the environment,
    /// is unknown.</exception>
    [RequiresDynamicCode(CompilesKernels)]
    [RequiresUnreferencedCode(CompilesKernels)]
    public static GpuContext Attach(Accelerator accelerator, AcceleratorStream? stream = null, GpuContextOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        ObjectDisposedException.ThrowIf(accelerator.IsDisposed, accelerator);
        if (stream is { IsDisposed: true })
            throw new ObjectDisposedException(nameof(stream), "GpuContext.Attach: the stream was disposed.");
        if (stream is not null && stream.Accelerator != accelerator)
            throw new ArgumentException("GpuContext.Attach: the stream is another accelerator's, expected one of this "
                + "accelerator.", nameof(stream));
        return new GpuContext(
            null, accelerator, stream, "attached to the caller's accelerator", options ?? new GpuContextOptions());
    }

    /// <summary>
    /// A context for another thread on the same device: with a stream, launchers and scratch memory of its
    /// own, under the same settings. The device, its compiled kernels and its threads are shared, so that
    /// this takes neither the time nor the threads of <see cref="Create(GpuContextOptions?)"/>. What was
    /// created from one context is not to be used with the other at the same time. Disposing this one
    /// disposes those that share it.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The context was disposed.</exception>
    public GpuContext Share()
    {
        ThrowIfDisposed("Share");
        GpuContextOptions options = new() { Variant = ForcedVariants, Threads = Threads.Count, Precision = Precision };
        GpuContext share = new(null, Accelerator, Accelerator.CreateStream(), Reason, options, ownsStream: true)
        {
            sharedFrom = this,
        };
        lock (shares)
        {
            if (!closing)
            {
                shares.Add(share);
                return share;
            }
        }

        share.Dispose();
        throw Disposed("Share");
    }

    /// <summary>
    /// Opens ILGPU's simulation of a GPU with warps of 32 threads, on which kernels written for such warps
    /// run without a GPU (slowly). The host variants support it too.
    /// </summary>
    [RequiresDynamicCode(CompilesKernels)]
    [RequiresUnreferencedCode(CompilesKernels)]
    public static GpuContext CreateSimulatedGpu(GpuContextOptions? options = null)
    {
        Context context = CreateIlgpuContext(CPUDeviceKind.Nvidia);
        try
        {
            return Open(
                context, context.GetCPUDevice(0), "simulated GPU with warps of 32 threads", options ?? new GpuContextOptions());
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    private static GpuContext Open(Context context, ILGPU.Runtime.Device device, string reason, GpuContextOptions options)
    {
        Accelerator accelerator = device.CreateAccelerator(context);
        try
        {
            // A CUDA graph cannot be captured on the default stream; this one and the default stream wait for
            // each other.
            AcceleratorStream? own = accelerator is CudaAccelerator cuda ? cuda.CreateStream(StreamFlags.CU_STREAM_DEFAULT)
                : null;
            return new GpuContext(context, accelerator, own, reason, options, ownsStream: own is not null);
        }
        catch
        {
            accelerator.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The same device with a forced variant, for checks of one variant after the other. Only tensor cores
    /// round, so the others get float32.
    /// </summary>
    /// <param name="variant">Its name.</param>
    /// <param name="rounding">To what tensor cores round; null for this context's precision.</param>
    internal GpuContext WithVariant(string variant, Precision? rounding = null) => Attach(
        Accelerator, Stream, new GpuContextOptions
        {
            Variant = variant,
            Threads = Threads.Count,
            Precision = variant == Variants.TensorCore ? rounding ?? Precision : Precision.Float32,
        });

    /// <summary>Waits until everything queued on <see cref="Stream"/> is done.</summary>
    /// <exception cref="ObjectDisposedException">The context was disposed.</exception>
    public void Synchronize()
    {
        ThrowIfDisposed("Synchronize");
        Stream.Synchronize();
    }

    /// <summary>
    /// A task that ends when everything queued on <see cref="Stream"/> until now is done, to be awaited
    /// instead of <see cref="Synchronize"/>. On CUDA no thread waits for it: the driver calls back. On OpenCL
    /// a thread of the pool waits; on the CPU device all is done when this returns.
    /// </summary>
    /// <returns>It fails with <see cref="CudaException"/> or <see cref="CLException"/> where what was queued
    /// failed.</returns>
    /// <exception cref="ObjectDisposedException">The context was disposed.</exception>
    public Task SynchronizeAsync()
    {
        ThrowIfDisposed("SynchronizeAsync");
        return StreamCompletion.Of(Stream);
    }

    /// <summary>
    /// Begins an operation of several launches, or on memory that calls share: one thread at a time, which
    /// may begin others within. The caller disposes the result on the same thread.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another thread's operation is in progress.</exception>
    /// <exception cref="ObjectDisposedException">The context was disposed.</exception>
    internal CallerGate.Pass Enter(string operation) => Enter(operation, in disposed);

    /// <summary>The same for an object with memory of its own.</summary>
    /// <param name="operation">What begins.</param>
    /// <param name="isDisposed">Whether the object was disposed, which another thread may have done until
    /// this one is in.</param>
    /// <exception cref="ObjectDisposedException">The object or the context was disposed.</exception>
    internal CallerGate.Pass Enter(string operation, in bool isDisposed)
    {
        ThrowIfDisposed(operation);
        CallerGate.Pass pass = CallerGate.Enter(stream, operation);
        if (!Volatile.Read(in isDisposed) && !Volatile.Read(in disposed))
            return pass;
        pass.Dispose();
        ThrowIfDisposed(operation);
        throw new ObjectDisposedException(operation, $"{operation}: the object was disposed, expected one in use. Create a new "
            + "one.");
    }

    /// <summary>Waits until no other thread's call is in progress, and refuses those that come; for
    /// disposing.</summary>
    internal CallerGate.Pass EnterToDispose() => CallerGate.EnterToDispose(stream);

    private void ThrowIfDisposed(string operation)
    {
        if (disposed)
            throw Disposed(operation);
    }

    private static ObjectDisposedException Disposed(string operation)
        => new(nameof(GpuContext), $"{operation}: the GpuContext was disposed, expected one in use. Dispose it after everything "
            + "that was created from it.");

    /// <summary>
    /// The launchers of an operation's variant: the forced one, or the first in the table that supports the
    /// case.
    /// </summary>
    /// <exception cref="InputException">The forced variant does not support this device, type or
    /// shape.</exception>
    internal TLauncher Launcher<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
    {
        ThrowIfDisposed(table.Operation);
        return Launcher(table, table.Select(this, shape, variantChoice));
    }

    /// <summary>
    /// The variant of an operation for a case: the one that is forced here or by the context, or the first in
    /// the table that supports it.
    /// </summary>
    /// <exception cref="InputException">The forced variant does not support this device, type or
    /// shape.</exception>
    internal Variant<TLauncher, TShape> Choose<TLauncher, TShape>(
        VariantTable<TLauncher, TShape> table, TShape shape, VariantChoice? forced)
        where TLauncher : class, IDisposable
    {
        ThrowIfDisposed(table.Operation);
        return table.Select(this, shape, forced ?? variantChoice);
    }

    /// <summary>
    /// The variants of an operation that can run a case here: the forced one alone, or all.
    /// </summary>
    /// <exception cref="InputException">The forced variant does not support this device, type or
    /// shape.</exception>
    internal IEnumerable<Variant<TLauncher, TShape>> Candidates<TLauncher, TShape>(
        VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
        => table.Candidates(this, shape, variantChoice);

    /// <summary>The launchers of one given variant, created at first use and kept.</summary>
    internal TLauncher Launcher<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, Variant<TLauncher, TShape> variant)
        where TLauncher : class, IDisposable
    {
        using CallerGate.Pass pass = Enter(table.Operation);
        (Type, string, string) key = (typeof(TLauncher), table.Operation, variant.Name);
        if (!launchers.TryGetValue(key, out IDisposable? launcher))
        {
            launcher = variant.Create(this);
            launchers.Add(key, launcher);
        }

        return (TLauncher)launcher;
    }

    /// <summary>
    /// Frees the device that Create opened, and what this context holds, and disposes the contexts that
    /// <see cref="Share"/> made of it. An attached accelerator and its stream stay the caller's. Waits for a
    /// call that another thread has in progress.
    /// </summary>
    public void Dispose()
    {
        GpuContext[] sharing;
        lock (shares)
        {
            closing = true;
            sharing = [.. shares];
        }

        foreach (GpuContext share in sharing)
            share.Dispose();
        if (sharedFrom is not null)
        {
            lock (sharedFrom.shares)
                sharedFrom.shares.Remove(this);
        }

        using CallerGate.Pass pass = EnterToDispose();
        disposed = true;
        foreach (IDisposable launcher in launchers.Values)
            launcher.Dispose();
        launchers.Clear();
        if (ownsStream && !stream.IsDisposed)
            stream.Dispose();
        if (ownedContext is not null)
        {
            Accelerator.Dispose();
            ownedContext.Dispose();
        }
    }

    /// <summary>An ILGPU context with the options that the kernels need.</summary>
    /// <param name="cpuDevice">The simulated device; null for all that the machine has.</param>
    /// <param name="refused">Takes the OpenCL devices that cannot be used, with the reasons; null for
    /// nobody.</param>
    internal static Context CreateIlgpuContext(CPUDeviceKind? cpuDevice, List<RefusedDevice>? refused = null)
    {
        // Of two threads that look for OpenCL devices at the same time one finds none (seen with PoCL).
        lock (LookingForDevices)
            return Context.Create(builder =>
            {
                // O1 emits generic loads and stores; O2 emits ld.global and ld.shared.
                builder.Optimize(OptimizationLevel.O2).EnableAlgorithms().EnableTensorCores();
                if (cpuDevice is { } kind)
                {
                    builder.CPU(kind);
                    return;
                }

                OpenCLLibrary.EnsureFound();
                builder.DefaultCPU();
                DeviceDiscovery.TryRegister(() => builder.Cuda());
                DeviceDiscovery.TryRegister(() => builder.OpenCL(device =>
                {
                    string? problem = DeviceDiscovery.Problem(device);
                    if (problem is not null)
                        refused?.Add(new RefusedDevice(device.Name, problem));
                    return problem is null;
                }));
            });
    }

    private static readonly Lock LookingForDevices = new();

    private static Precision WantedPrecision(GpuContextOptions options)
    {
        if (options.Precision is { } asked)
            return Enum.IsDefined(asked) ? asked : throw new InputException($"precision: {(int)asked} is no precision. Expected "
                + $"one of {string.Join(", ", Enum.GetNames<Precision>())}.");
        string? value = Environment.GetEnvironmentVariable("MEANSHIFTGPU_PRECISION");
        if (string.IsNullOrWhiteSpace(value))
            return Precision.Float32;
        return Enum.TryParse(value.Trim().Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out Precision precision)
            && Enum.IsDefined(precision)
            ? precision
            : throw new InputException($"MEANSHIFTGPU_PRECISION: '{value}' is no precision. Expected float32, tf32, bf16 or "
                + "bf16-operands.");
    }

    private static (DeviceKind Kind, int? Index, string Origin) WantedDevice(GpuContextOptions options)
    {
        if (options.Device != DeviceKind.Auto)
            return (options.Device, options.DeviceIndex, "asked for");
        if (options.DeviceIndex is { } ofNone)
            throw new InputException($"device: DeviceIndex is {ofNone}, but Device is Auto. Set Device to Cuda or OpenCL too.");
        string? value = Environment.GetEnvironmentVariable("MEANSHIFTGPU_DEVICE");
        if (string.IsNullOrWhiteSpace(value))
            return (DeviceKind.Auto, null, "");
        return TryParseDevice(value, out DeviceKind kind, out int? index)
            ? (kind, index, "asked for by MEANSHIFTGPU_DEVICE")
            : throw new InputException($"MEANSHIFTGPU_DEVICE: '{value}' is no device. Expected auto, cuda, cuda:N, opencl, "
                + "opencl:N, cpu or simulated.");
    }

    /// <summary>Reads a device as people write it: "cuda", or "cuda:1" for the second GPU.</summary>
    internal static bool TryParseDevice(string text, out DeviceKind kind, out int? index)
    {
        string[] parts = text.Trim().Split(':');
        index = null;
        bool hasIndex = parts.Length == 2 && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out _);
        if (hasIndex)
            index = int.Parse(parts[1], CultureInfo.InvariantCulture);
        return Enum.TryParse(parts[0], ignoreCase: true, out kind) && Enum.IsDefined(kind) && !int.TryParse(parts[0], out _)
            && (parts.Length == 1 || (hasIndex && kind is DeviceKind.Cuda or DeviceKind.OpenCL));
    }
}
