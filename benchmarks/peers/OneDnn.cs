using System.Runtime.InteropServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;

namespace MeanShiftGpu.Peers;

/// <summary>oneDNN 3 through its C interface (dnnl.h): an engine and a stream on the CPU.</summary>
internal sealed unsafe class OneDnn : IDisposable
{
    private const int Success = 0;
    private const int CpuEngine = 1;
    private const int InOrder = 1;
    private const int Float32 = 3;
    private const int AnyLayout = 1;
    private const int FirstPlainLayout = 2;
    private const int ForwardInference = 96;
    private const int DirectConvolution = 1;
    private const int DirectDeconvolution = 0xa;
    private const int MaxPooling = 0x1ff;

    private readonly nint library;
    private readonly nint engine;

    private OneDnn(nint library)
    {
        this.library = library;
        nint handle;
        Check(((delegate* unmanaged<nint*, int, nuint, int>)Of("dnnl_engine_create"))(&handle, CpuEngine, 0), "engine");
        engine = handle;
        Check(((delegate* unmanaged<nint*, nint, uint, int>)Of("dnnl_stream_create"))(&handle, engine, InOrder), "stream");
        Stream = handle;
    }

    public nint Stream { get; }

    /// <summary>What follows a convolution.</summary>
    public enum After
    {
        Nothing = 0,
        Relu = 0x20,
        Sigmoid = 0x29,
    }

    /// <summary>The library that was named, or else one that is installed; null where there is none, with the
    /// reason.</summary>
    public static OneDnn? Find(Settings settings, out string problem)
    {
        string name = settings.OneDnn.Length > 0 ? settings.OneDnn
            : OperatingSystem.IsWindows() ? "dnnl.dll"
            : OperatingSystem.IsMacOS() ? "libdnnl.3.dylib"
            : "libdnnl.so.3";
        problem = "";
        try
        {
            nint library = NativeLibrary.Load(name);
            int major = *(int*)((delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "dnnl_version"))();
            if (major == 3)
            {
                // Its threads are those of the compiler's library, which it brings along.
                if (NativeLibrary.TryLoad("libgomp.so.1", out nint gomp)
                    && NativeLibrary.TryGetExport(gomp, "omp_set_num_threads", out nint set))
                    ((delegate* unmanaged<int, void>)set)(settings.Threads);
                return new OneDnn(library);
            }

            problem = $"{name} is version {major}, and 3 is needed";
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            // The last line is the loader's own.
            problem = e.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];
        }

        return null;
    }

    /// <summary>Its version.</summary>
    public string Version()
    {
        int* version = ((delegate* unmanaged<int*>)Of("dnnl_version"))();
        return $"oneDNN {version[0]}.{version[1]}.{version[2]}";
    }

    /// <summary>A list of primitives on tensors.</summary>
    public OneDnnGraph Begin() => new(this);

    public void Dispose()
    {
        ((delegate* unmanaged<nint, int>)Of("dnnl_stream_destroy"))(Stream);
        ((delegate* unmanaged<nint, int>)Of("dnnl_engine_destroy"))(engine);
    }

    /// <summary>A layout that the primitive chooses.</summary>
    internal nint Any(params long[] extents) => Described(extents, AnyLayout);

    /// <summary>The layout in which the last axis is the fastest.</summary>
    internal nint Plain(params long[] extents) => Described(extents, FirstPlainLayout + extents.Length - 1);

    internal nint Strided(long[] extents, long[] strides)
    {
        nint layout;
        fixed (long* e = Padded(extents), s = Padded(strides))
        {
            Check(((delegate* unmanaged<nint*, int, long*, int, long*, int>)Of("dnnl_memory_desc_create_with_strides"))(
                &layout, extents.Length, e, Float32, s), "layout");
        }

        return layout;
    }

    internal nint Allocate(nint layout)
    {
        nint memory;
        Check(((delegate* unmanaged<nint*, nint, nint, nint, int>)Of("dnnl_memory_create"))(
            &memory, layout, engine, -1), "memory");
        return memory;
    }

    internal Span<float> Data(nint memory, long count)
    {
        nint data;
        Check(((delegate* unmanaged<nint, nint*, int>)Of("dnnl_memory_get_data_handle"))(memory, &data), "data");
        return new Span<float>((void*)data, checked((int)count));
    }

    internal bool AreEqual(nint layout, nint other)
        => ((delegate* unmanaged<nint, nint, int>)Of("dnnl_memory_desc_equal"))(layout, other) != 0;

    internal void FreeMemory(nint memory) => ((delegate* unmanaged<nint, int>)Of("dnnl_memory_destroy"))(memory);

    internal void FreePrimitive(nint primitive) => ((delegate* unmanaged<nint, int>)Of("dnnl_primitive_destroy"))(primitive);

    /// <summary>Source, weights and destination of a primitive's choice.</summary>
    internal (nint Source, nint Weights, nint Destination) Layouts(nint described)
    {
        var query = (delegate* unmanaged<nint, int, int, nint>)Of("dnnl_primitive_desc_query_md");
        return (query(described, 129, 0), query(described, 131, 0), query(described, 133, 0));
    }

    internal nint Convolution(nint source, nint weights, nint bias, nint destination, int padding, After after)
    {
        nint attributes = 0;
        if (after != After.Nothing)
        {
            nint operations;
            Check(((delegate* unmanaged<nint*, int>)Of("dnnl_primitive_attr_create"))(&attributes), "attributes");
            Check(((delegate* unmanaged<nint*, int>)Of("dnnl_post_ops_create"))(&operations), "post-ops");
            Check(((delegate* unmanaged<nint, int, float, float, int>)Of("dnnl_post_ops_append_eltwise"))(
                operations, (int)after, 0, 0), "activation");
            Check(((delegate* unmanaged<nint, nint, int>)Of("dnnl_primitive_attr_set_post_ops"))(
                attributes, operations), "post-ops");
        }

        return Filter(
            "dnnl_convolution_forward_primitive_desc_create", DirectConvolution, source, weights, bias, destination, 1, padding,
            attributes);
    }

    internal nint Deconvolution(nint source, nint weights, nint bias, nint destination)
        => Filter(
            "dnnl_deconvolution_forward_primitive_desc_create", DirectDeconvolution, source, weights, bias, destination, 2, 0, 0);

    internal nint Pooling(nint source, nint destination)
    {
        nint described;
        fixed (long* two = Padded([2, 2, 2]), zero = Padded([0, 0, 0]))
        {
            Check(((delegate* unmanaged<nint*, nint, int, int, nint, nint, long*, long*, long*, long*, long*, nint, int>)Of(
                "dnnl_pooling_forward_primitive_desc_create"))(
                &described, engine, ForwardInference, MaxPooling, source, destination, two, two, zero, zero, zero, 0), "pooling");
        }

        return described;
    }

    internal nint Concatenation(nint first, nint second)
    {
        nint described;
        nint* sources = stackalloc nint[2] { first, second };
        Check(((delegate* unmanaged<nint*, nint, nint, int, int, nint*, nint, int>)Of("dnnl_concat_primitive_desc_create"))(
            &described, engine, 0, 2, 1, sources, 0), "concatenation");
        return described;
    }

    internal nint Reorder(nint from, nint to)
    {
        nint described;
        Check(((delegate* unmanaged<nint*, nint, nint, nint, nint, nint, int>)Of("dnnl_reorder_primitive_desc_create"))(
            &described, from, engine, to, engine, 0), "reorder");
        return described;
    }

    internal nint Primitive(nint described)
    {
        nint primitive;
        Check(((delegate* unmanaged<nint*, nint, int>)Of("dnnl_primitive_create"))(&primitive, described), "primitive");
        return primitive;
    }

    internal void Execute(nint primitive, ReadOnlySpan<Argument> arguments)
    {
        fixed (Argument* pointer = arguments)
        {
            Check(((delegate* unmanaged<nint, nint, int, Argument*, int>)Of("dnnl_primitive_execute"))(
                primitive, Stream, arguments.Length, pointer), "execution");
        }
    }

    internal void Wait() => Check(((delegate* unmanaged<nint, int>)Of("dnnl_stream_wait"))(Stream), "wait");

    /// <summary>dnnl_exec_arg_t.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly record struct Argument(int Role, nint Memory)
    {
        public const int Source = 1;
        public const int Destination = 17;
        public const int Weights = 33;
        public const int Bias = 41;
        public const int SeveralSources = 1024;
    }

    private nint Filter(
        string create, int algorithm, nint source, nint weights, nint bias, nint destination, int stride, int padding,
        nint attributes)
    {
        nint described;
        fixed (long* strides = Padded([stride, stride, stride]), zero = Padded([0, 0, 0]),
            rim = Padded([padding, padding, padding]))
        {
            var call = (delegate* unmanaged<
                nint*, nint, int, int, nint, nint, nint, nint, long*, long*, long*, long*, nint, int>)Of(create);
            int status = call(
                &described, engine, ForwardInference, algorithm, source, weights, bias, destination, strides, zero, rim, rim,
                attributes);
            Check(status, create);
        }

        return described;
    }

    private nint Described(long[] extents, int layout)
    {
        nint described;
        fixed (long* e = Padded(extents))
        {
            Check(((delegate* unmanaged<nint*, int, long*, int, int, int>)Of("dnnl_memory_desc_create_with_tag"))(
                &described, extents.Length, e, Float32, layout), "layout");
        }

        return described;
    }

    // dnnl_dims_t has twelve numbers.
    private static long[] Padded(long[] values) => [.. values, .. new long[12 - values.Length]];

    private nint Of(string name) => NativeLibrary.GetExport(library, name);

    private static void Check(int status, string what)
    {
        if (status != Success)
            throw new InvalidOperationException($"oneDNN: {what}: status {status}");
    }
}

/// <summary>A tensor of oneDNN.</summary>
internal sealed record OneDnnTensor(nint Layout, nint Memory, long[] Extents)
{
    public long Length => Extents.Aggregate(1L, (a, b) => a * b);
}

/// <summary>Primitives one after the other, each on memory of its own, in the layouts that they
/// choose.</summary>
internal sealed class OneDnnGraph(OneDnn library) : IDisposable
{
    private readonly List<(nint Primitive, OneDnn.Argument[] Arguments)> steps = [];
    private readonly List<nint> memories = [];

    /// <summary>A tensor in PyTorch's order.</summary>
    public OneDnnTensor Plain(params long[] extents) => Allocate(library.Plain(extents), extents);

    /// <summary>Fills a tensor that is in PyTorch's order.</summary>
    public void Load(OneDnnTensor tensor, ReadOnlySpan<float> values)
        => values.CopyTo(library.Data(tensor.Memory, tensor.Length));

    /// <summary>What a tensor in PyTorch's order holds.</summary>
    public void Read(OneDnnTensor tensor, Span<float> values) => library.Data(tensor.Memory, tensor.Length).CopyTo(values);

    /// <summary>A convolution of the same extents, weights [Cout, Cin, k, k, k].</summary>
    public OneDnnTensor Convolution(OneDnnTensor source, float[] weight, float[] bias, int kernel, OneDnn.After after)
    {
        long[] shape = [bias.Length, source.Extents[1], kernel, kernel, kernel];
        long[] extents = [source.Extents[0], bias.Length, .. source.Extents[2..]];
        nint described = library.Convolution(
            library.Any(source.Extents), library.Any(shape), library.Plain(bias.Length), library.Any(extents), kernel / 2, after);
        return Filter(described, source, Loaded(library.Plain(shape), shape, weight), bias, extents);
    }

    /// <summary>A transposed convolution to twice the extents, weights [Cin, Cout, 2, 2, 2].</summary>
    public OneDnnTensor Deconvolution(OneDnnTensor source, float[] weight, float[] bias)
    {
        long[] shape = [bias.Length, source.Extents[1], 2, 2, 2];
        long[] extents = [source.Extents[0], bias.Length, 2 * source.Extents[2], 2 * source.Extents[3], 2 * source.Extents[4]];
        nint described = library.Deconvolution(
            library.Any(source.Extents), library.Any(shape), library.Plain(bias.Length), library.Any(extents));
        nint asPyTorch = library.Strided(shape, [8, 8L * bias.Length, 4, 2, 1]);
        return Filter(described, source, Loaded(asPyTorch, shape, weight), bias, extents);
    }

    /// <summary>Max pooling over 2³ voxels.</summary>
    public OneDnnTensor Pooling(OneDnnTensor source)
    {
        long[] extents = [.. source.Extents[..2], .. source.Extents[2..].Select(e => e / 2)];
        nint described = library.Pooling(source.Layout, library.Any(extents));
        OneDnnTensor result = Allocate(library.Layouts(described).Destination, extents);
        Add(described, new(OneDnn.Argument.Source, source.Memory), new(OneDnn.Argument.Destination, result.Memory));
        return result;
    }

    /// <summary>Two tensors joined along the channels.</summary>
    public OneDnnTensor Concatenation(OneDnnTensor first, OneDnnTensor second)
    {
        long[] extents = [first.Extents[0], first.Extents[1] + second.Extents[1], .. first.Extents[2..]];
        nint described = library.Concatenation(first.Layout, second.Layout);
        OneDnnTensor result = Allocate(library.Layouts(described).Destination, extents);
        Add(
            described,
            new(OneDnn.Argument.SeveralSources, first.Memory),
            new(OneDnn.Argument.SeveralSources + 1, second.Memory),
            new(OneDnn.Argument.Destination, result.Memory));
        return result;
    }

    /// <summary>The same tensor in a layout: itself where it has it.</summary>
    public OneDnnTensor In(nint layout, OneDnnTensor tensor)
    {
        if (library.AreEqual(layout, tensor.Layout))
            return tensor;
        OneDnnTensor result = Allocate(layout, tensor.Extents);
        Add(
            library.Reorder(tensor.Layout, layout),
            new(OneDnn.Argument.Source, tensor.Memory),
            new(OneDnn.Argument.Destination, result.Memory));
        return result;
    }

    /// <summary>The same tensor in PyTorch's order.</summary>
    public OneDnnTensor InPlain(OneDnnTensor tensor) => In(library.Plain(tensor.Extents), tensor);

    /// <summary>Runs all primitives.</summary>
    public void Run()
    {
        foreach ((nint primitive, OneDnn.Argument[] arguments) in steps)
            library.Execute(primitive, arguments);
        library.Wait();
    }

    public void Dispose()
    {
        foreach ((nint primitive, _) in steps)
            library.FreePrimitive(primitive);
        memories.ForEach(library.FreeMemory);
    }

    private OneDnnTensor Filter(nint described, OneDnnTensor source, OneDnnTensor weight, float[] bias, long[] extents)
    {
        (nint from, nint weights, nint to) = library.Layouts(described);
        OneDnnTensor input = In(from, source);
        OneDnnTensor packed = Packed(weights, weight);
        OneDnnTensor offset = Loaded(library.Plain(bias.Length), [bias.Length], bias);
        OneDnnTensor result = Allocate(to, extents);
        Add(
            described,
            new(OneDnn.Argument.Source, input.Memory),
            new(OneDnn.Argument.Weights, packed.Memory),
            new(OneDnn.Argument.Bias, offset.Memory),
            new(OneDnn.Argument.Destination, result.Memory));
        return result;
    }

    // Weights are brought into the chosen layout once, which is not timed.
    private OneDnnTensor Packed(nint layout, OneDnnTensor weight)
    {
        OneDnnTensor packed = Allocate(layout, weight.Extents);
        nint reorder = library.Primitive(library.Reorder(weight.Layout, layout));
        library.Execute(
            reorder, [new(OneDnn.Argument.Source, weight.Memory), new(OneDnn.Argument.Destination, packed.Memory)]);
        library.Wait();
        library.FreePrimitive(reorder);
        return packed;
    }

    private OneDnnTensor Loaded(nint layout, long[] extents, float[] values)
    {
        OneDnnTensor tensor = Allocate(layout, extents);
        Load(tensor, values);
        return tensor;
    }

    private OneDnnTensor Allocate(nint layout, long[] extents)
    {
        nint memory = library.Allocate(layout);
        memories.Add(memory);
        return new OneDnnTensor(layout, memory, extents);
    }

    private void Add(nint described, params OneDnn.Argument[] arguments) => steps.Add((library.Primitive(described), arguments));
}

/// <summary>One 3³ convolution with ReLU in oneDNN; its input stays in the layout that the layer before would
/// give it.</summary>
internal sealed class OneDnnLayer : IDisposable
{
    private readonly OneDnnGraph before;
    private readonly OneDnnGraph layer;
    private readonly OneDnnGraph after;
    private readonly OneDnnTensor input;
    private readonly OneDnnTensor output;

    public OneDnnLayer(OneDnn library, float[] weight, float[] bias, Extent size, int from, int to)
    {
        before = library.Begin();
        layer = library.Begin();
        after = library.Begin();
        input = before.Plain(1, from, size.Depth, size.Height, size.Width);
        nint described = library.Convolution(
            library.Any(input.Extents), library.Any(to, from, 3, 3, 3), library.Plain(to),
            library.Any(1, to, size.Depth, size.Height, size.Width), 1, OneDnn.After.Relu);
        OneDnnTensor chosen = before.In(library.Layouts(described).Source, input);
        output = after.InPlain(layer.Convolution(chosen, weight, bias, 3, OneDnn.After.Relu));
    }

    public void Load(float[] image)
    {
        before.Load(input, image);
        before.Run();
    }

    public void Run() => layer.Run();

    public float[] Read(float[] result)
    {
        after.Run();
        after.Read(output, result);
        return result;
    }

    public void Dispose()
    {
        before.Dispose();
        layer.Dispose();
        after.Dispose();
    }
}

/// <summary>The network in oneDNN, with the same weights.</summary>
internal sealed class OneDnnNetwork : IDisposable
{
    private readonly OneDnnGraph graph;
    private readonly OneDnnTensor input;
    private readonly OneDnnTensor output;

    public OneDnnNetwork(OneDnn library, GpuContext context, UNet3d<float> network, Extent size)
    {
        Dictionary<string, float[]> values = network.Parameters.Parameters.ToDictionary(
            p => p.Name, p => p.ToFileOrder<float>(p.Download(context)));
        graph = library.Begin();
        input = graph.Plain(1, 1, size.Depth, size.Height, size.Width);
        OneDnnTensor x = input;
        int bottom = network.Options.Widths.Count - 1;
        OneDnnTensor[] skips = new OneDnnTensor[bottom];
        for (int level = 0; level < bottom; level++)
        {
            x = skips[level] = Pair($"enc{level}", x);
            x = graph.Pooling(x);
        }

        for (int i = 0; i < 4; i++)
            x = Convolution($"mid.conv{i}", x, 3, OneDnn.After.Relu);
        for (int level = bottom - 1; level >= 0; level--)
        {
            x = graph.Deconvolution(x, values[$"up{level}.transpose.weight"], values[$"up{level}.transpose.bias"]);
            x = Convolution($"up{level}.conv", x, 3, OneDnn.After.Nothing);
            x = Pair($"dec{level}", graph.Concatenation(skips[level], x));
        }

        output = graph.InPlain(Convolution("head", x, 1, OneDnn.After.Sigmoid));

        OneDnnTensor Pair(string name, OneDnnTensor from)
            => Convolution($"{name}.conv1", Convolution($"{name}.conv0", from, 3, OneDnn.After.Relu), 3, OneDnn.After.Relu);

        OneDnnTensor Convolution(string name, OneDnnTensor from, int kernel, OneDnn.After after)
            => graph.Convolution(from, values[$"{name}.weight"], values[$"{name}.bias"], kernel, after);
    }

    public void Run(float[] image, float[] scores)
    {
        graph.Load(input, image);
        graph.Run();
        graph.Read(output, scores);
    }

    public void Dispose() => graph.Dispose();
}
