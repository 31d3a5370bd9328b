using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Training;
using MeanShiftGpu.Validation;
using TorchSharp;
using static TorchSharp.torch;

namespace MeanShiftGpu.Peers;

/// <summary>Numbers that every contender gets.</summary>
internal static class Numbers
{
    /// <summary>Values in [−scale, scale).</summary>
    public static float[] Uniform(long count, int seed, float scale = 1)
    {
        Random random = new(seed);
        float[] values = new float[count];
        foreach (ref float value in values.AsSpan())
            value = scale * (2 * random.NextSingle() - 1);
        return values;
    }

    /// <summary>[C, D, H, W] from [D, H, W, C].</summary>
    public static float[] ChannelsFirst(float[] values, int channels)
    {
        int voxels = values.Length / channels;
        float[] result = new float[values.Length];
        for (int v = 0; v < voxels; v++)
        {
            for (int c = 0; c < channels; c++)
                result[c * voxels + v] = values[v * channels + c];
        }

        return result;
    }

    /// <summary>[D, H, W, C] from [C, D, H, W].</summary>
    public static float[] ChannelsLast(float[] values, int channels) => ChannelsFirst(values, values.Length / channels);
}

/// <summary>The forward pass of the published network on a volume.</summary>
internal sealed class NetworkForward(Contenders contenders, int edge)
{
    public void Run(Contest contest)
    {
        UNet3dOptions structure = new();
        Extent size = Volumes.Cube(edge, structure);
        using UNet3d<float> network = new(contenders.Context, structure, seed: 1);
        float[] image = Numbers.Uniform(size.Voxels, 2);
        List<IDisposable> owned = [];
        try
        {
            List<Entry> entries = [];
            foreach (string name in Contenders.Names)
                entries.AddRange(Entries(name, network, image, size, owned));
            contest.Run(
                "forward pass", $"{size}, widths {string.Join('-', structure.Widths)}",
                structure.ForwardOperations(size), entries);
        }
        finally
        {
            owned.ForEach(o => o.Dispose());
        }
    }

    /// <summary>A contender's ways to do it; none where it takes no part.</summary>
    public IEnumerable<Entry> Entries(string name, UNet3d<float> network, float[] image, Extent size, List<IDisposable> owned)
    {
        long[] shape = [1, 1, size.Depth, size.Height, size.Width];
        float[] scores = new float[size.Voxels];
        switch (name)
        {
            case Contenders.Ours:
                Arena whole = Owned(new Arena(contenders.Context));
                TensorShape volume = new(1, size.Depth, size.Height, size.Width, 1);
                yield return new Entry(name, () =>
                {
                    using Tape<float> tape = Tape<float>.Begin(whole, inference: true);
                    scores = network.Forward(tape, tape.Upload(image, volume)).ToArray(contenders.Context);
                }, () => scores);
                break;
            case Contenders.OurPlanes:
                Arena planes = Owned(new Arena(contenders.Context));
                TensorShape same = new(1, size.Depth, size.Height, size.Width, 1);
                yield return new Entry(name, () => network.Predict(planes, image, same, scores), () => scores);
                break;
            case Contenders.OnnxRuntime when contenders.Takes(name):
                string path = Path.Combine(Path.GetTempPath(), $"meanshift-gpu-peers-{Environment.ProcessId}.onnx");
                network.SaveOnnx(path);
                OnnxModel model = Owned(new OnnxModel(File.ReadAllBytes(path), contenders.OnnxOptions()));
                File.Delete(path);
                yield return new Entry(name, () => model.Run(image, shape, shape), () => model.Output);
                break;
            case Contenders.ChannelsLast or Contenders.Contiguous when contenders.Takes(name):
                bool channelsLast = name == Contenders.ChannelsLast;
                TorchNetwork torchNetwork = Owned(new TorchNetwork(contenders.Context, network, channelsLast));
                Tensor input = Owned(Torch.Of(image, shape, channelsLast));
                yield return new Entry(name, () =>
                {
                    using DisposeScope scope = NewDisposeScope();
                    using IDisposable inference = inference_mode(true);
                    scores = Torch.Values(torchNetwork.Forward(input));
                }, () => scores);
                break;
            case Contenders.OneDnnName when contenders.OneDnn is { } library:
                OneDnnNetwork graph = Owned(new OneDnnNetwork(library, contenders.Context, network, size));
                yield return new Entry(name, () => graph.Run(image, scores), () => scores);
                break;
        }

        T Owned<T>(T item)
            where T : IDisposable
        {
            owned.Add(item);
            return item;
        }
    }
}

/// <summary>A training step of the published network with the Dice loss and Adam; what is compared is the
/// gradient.</summary>
internal sealed class NetworkStep(Contenders contenders, int edge)
{
    private const string Compared = "enc0.conv0.weight";

    // A rounding turns a ReLU over whose input is near 0, in each library and variant another one. Beside a
    // gradient in double, at 32³, ours had 2e-6 to 1.3e-3 by the variant, libtorch's 9e-5.
    private const double TurnedOver = 3e-3;

    public void Run(Contest contest)
    {
        UNet3dOptions structure = new();
        Extent size = Volumes.Cube(edge, structure);
        float[] image = Numbers.Uniform(size.Voxels, 2);
        float[] mask = Array.ConvertAll(Numbers.Uniform(size.Voxels, 3), v => v > 0.8f ? 1f : 0);
        using UNet3d<float> network = new(contenders.Context, structure, seed: 1);
        List<Entry> entries = [];
        List<IDisposable> owned = [];
        // Before our own steps change the weights.
        foreach ((string name, bool channelsLast) in contenders.Layouts())
        {
            TorchNetwork torchNetwork = new(contenders.Context, network, channelsLast);
            owned.Add(torchNetwork);
            long[] shape = [1, 1, size.Depth, size.Height, size.Width];
            Tensor input = Torch.Of(image, shape, channelsLast);
            Tensor target = Torch.Of(mask, shape, channelsLast);
            optim.Optimizer optimizer = optim.Adam(torchNetwork.Parameters, lr: 1e-3);
            owned.AddRange([input, target, optimizer]);
            float[]? gradient = null;
            entries.Add(new Entry(name, () =>
            {
                using DisposeScope scope = NewDisposeScope();
                optimizer.zero_grad();
                Tensor p = torchNetwork.Forward(input);
                Tensor loss = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1);
                loss.backward();
                gradient ??= torchNetwork.Gradient(Compared);
                optimizer.step();
            }, () => gradient!));
        }

        TensorShape volume = new(1, size.Depth, size.Height, size.Width, 1);
        float[] expected = GradientOfTheDirectAlgorithm(structure, image, mask, volume);
        using Adam<float> adam = new(contenders.Context, network.Parameters);
        using Arena arena = new(contenders.Context);
        entries.Insert(0, new Entry(Contenders.Ours, () =>
        {
            Backward(network, arena, image, mask, volume);
            adam.Step(1e-3);
            contenders.Context.Synchronize();
        }, () => expected));
        contest.Run(
            "training step: Dice and Adam", $"{size}, widths {string.Join('-', structure.Widths)}",
            3 * structure.ForwardOperations(size), entries, TurnedOver);
        owned.ForEach(o => o.Dispose());
    }

    // Theirs are compared with ours of the algorithm that they have too.
    private static float[] GradientOfTheDirectAlgorithm(UNet3dOptions structure, float[] image, float[] mask, TensorShape volume)
    {
        using GpuContext context = GpuContext.Create(
            new GpuContextOptions { Device = DeviceKind.Cpu, Variant = "conv3d=HostSimd" });
        using UNet3d<float> network = new(context, structure, seed: 1);
        using Arena arena = new(context);
        Backward(network, arena, image, mask, volume);
        Parameter<float> first = network.Parameters.Parameters.Single(p => p.Name == Compared);
        float[] gradient = new float[first.Length];
        first.Gradient.CopyToCPU(context.Stream, gradient);
        context.Synchronize();
        return first.ToFileOrder<float>(gradient);
    }

    private static void Backward(UNet3d<float> network, Arena arena, float[] image, float[] mask, TensorShape volume)
    {
        network.Parameters.ZeroGradients(network.Context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        tape.Backward(tape.DiceLoss(network.Forward(tape, tape.Upload(image, volume)), tape.Upload(mask, volume)));
    }
}

/// <summary>Volumes of a cube's size.</summary>
internal static class Volumes
{
    public static Extent Cube(int edge, UNet3dOptions network)
    {
        int fitting = Math.Max(1, edge / network.Divisor) * network.Divisor;
        return new Extent(fitting, fitting, fitting);
    }
}

/// <summary>The 3³ layers of the published network on its patches of 56³.</summary>
internal static class Layers
{
    /// <summary>All of them, or those with the edges that are asked for; of other edges one of 32
    /// channels.</summary>
    public static IEnumerable<BenchmarkLayer> Of(Settings settings)
    {
        IReadOnlyList<BenchmarkLayer> all = BenchmarkedNetwork.Sizes(new UNet3dOptions()).Convolutions;
        return settings.Edges.Length == 0
            ? all
            : settings.Edges.SelectMany(
                edge => all.Where(l => l.Edge == edge).DefaultIfEmpty(new BenchmarkLayer(edge, 32, 32)));
    }
}

/// <summary>One 3³ layer with ReLU, pass by pass. A pass backward is asked of autograd alone, from a graph
/// that is kept.</summary>
internal sealed class Layer(Contenders contenders, int edge, int from, int to)
{
    public void Run(Contest contest)
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (edge, edge, edge), from, to, 3, Activation.Relu);
        long voxels = shape.Voxels;
        float[] image = Numbers.Uniform(voxels * from, 1);
        float[] weight = Numbers.Uniform(27L * from * to, 2, MathF.Sqrt(1f / (27 * from)));
        float[] bias = Numbers.Uniform(to, 3, 0.1f);
        float[] upstream = Numbers.Uniform(voxels * to, 4);
        string size = $"{edge}³ {from}→{to}";
        double operations = 2.0 * voxels * 27 * from * to;
        List<IDisposable> owned = [];

        using Arena arena = new(contenders.Context);
        using Conv3d<float> convolution = new(contenders.Context);
        ArrayView<float> x = Upload(Numbers.ChannelsLast(image, from));
        ArrayView<float> w = Upload(shape.WeightFromPyTorch<float>(weight));
        ArrayView<float> b = Upload(bias);
        ArrayView<float> y = Upload(new float[voxels * to]);
        ArrayView<float> gradY = Upload(Numbers.ChannelsLast(upstream, to));
        ArrayView<float> gradX = Upload(new float[voxels * from]);
        ArrayView<float> gradW = Upload(new float[weight.Length]);
        ArrayView<float> gradB = Upload(new float[to]);
        List<Entry> forward =
        [
            new(Contenders.Ours, () => Then(() => convolution.Forward(x, w, b, y, shape)),
                () => Numbers.ChannelsFirst(Download(y), to)),
        ];
        List<Entry> backwardInput =
        [
            new(Contenders.Ours, () => Then(() => convolution.BackwardInput(gradY, y, w, gradX, shape)),
                () => Numbers.ChannelsFirst(Download(gradX), from)),
        ];
        List<Entry> backwardWeight =
        [
            new(Contenders.Ours, () => Then(() =>
                {
                    // Ours adds to what is there.
                    gradW.MemSetToZero(contenders.Context.Stream);
                    gradB.MemSetToZero(contenders.Context.Stream);
                    convolution.BackwardWeight(x, gradY, y, gradW, gradB, shape);
                }),
                () => shape.WeightToPyTorch<float>(Download(gradW))),
        ];

        if (contenders.Takes(Contenders.OnnxRuntime))
        {
            byte[] bytes = OnnxFile.Convolution(weight, bias, from, to);
            OnnxModel model = new(bytes, contenders.OnnxOptions());
            owned.Add(model);
            forward.Add(new Entry(
                Contenders.OnnxRuntime,
                () => model.Run(image, [1, from, edge, edge, edge], [1, to, edge, edge, edge]),
                () => model.Output));
        }

        foreach ((string name, bool channelsLast) in contenders.Layouts())
        {
            Tensor input = Torch.Of(image, [1, from, edge, edge, edge], channelsLast);
            Tensor kernel = Torch.Of(weight, [to, from, 3, 3, 3], channelsLast);
            Tensor offset = tensor(bias);
            Tensor gradient = Torch.Of(upstream, [1, to, edge, edge, edge], channelsLast);
            Tensor output = zeros(0);
            Tensor trainedInput = input.detach().requires_grad_();
            Tensor trainedKernel = kernel.detach().requires_grad_();
            Tensor trainedOffset = offset.detach().requires_grad_();
            Tensor fromInput = Convolve(trainedInput, kernel, offset);
            Tensor fromKernel = Convolve(input, trainedKernel, trainedOffset);
            owned.AddRange([input, kernel, offset, gradient, trainedInput, trainedKernel, trainedOffset, fromInput, fromKernel]);
            forward.Add(new Entry(name, () => Keep(() =>
            {
                using IDisposable inference = inference_mode(true);
                return Convolve(input, kernel, offset);
            }), () => Torch.Values(output)));
            backwardInput.Add(new Entry(
                name, () => Keep(() => autograd.grad([fromInput], [trainedInput], [gradient], retain_graph: true)[0]),
                () => Torch.Values(output)));
            backwardWeight.Add(new Entry(
                name,
                () => Keep(() => autograd.grad([fromKernel], [trainedKernel, trainedOffset], [gradient], retain_graph: true)[0]),
                () => Torch.Values(output)));

            void Keep(Func<Tensor> run)
            {
                using DisposeScope scope = NewDisposeScope();
                output.Dispose();
                output = run().MoveToOuterDisposeScope();
            }
        }

        if (contenders.OneDnn is { } library)
        {
            OneDnnLayer layer = new(library, weight, bias, new Extent(edge, edge, edge), from, to);
            owned.Add(layer);
            float[] result = new float[voxels * to];
            layer.Load(image);
            forward.Add(new Entry(Contenders.OneDnnName, layer.Run, () => layer.Read(result)));
        }

        contest.Run("conv3d Forward", size, operations, forward);
        contest.Run("conv3d BackwardInput", size, operations, backwardInput);
        contest.Run("conv3d BackwardWeight", size, operations, backwardWeight);
        owned.ForEach(o => o.Dispose());

        void Then(Action queue)
        {
            queue();
            contenders.Context.Synchronize();
        }

        ArrayView<float> Upload(float[] values)
        {
            ArrayView<float> view = arena.Allocate<float>(values.Length);
            view.CopyFromCPU(contenders.Context.Stream, values);
            return view;
        }

        float[] Download(ArrayView<float> view)
        {
            float[] values = new float[view.Length];
            view.CopyToCPU(contenders.Context.Stream, values);
            contenders.Context.Synchronize();
            return values;
        }
    }

    private static Tensor Convolve(Tensor x, Tensor weight, Tensor bias)
        => nn.functional.conv3d(x, weight, bias, padding: [1, 1, 1]).relu_();
}

/// <summary>The mean-shift loss as one writes it with autograd, every seed against every voxel, beside the
/// kernel's.</summary>
internal static class NaiveMeanShift
{
    private const int Edge = 56;
    private const int Iterations = 2;
    private const int Seeds = 256;

    public static void Run(Contenders contenders, Contest contest)
    {
        foreach (Weighting weighting in (Weighting[])[Weighting.Flat, Weighting.Epanechnikov])
        {
            MeanShiftOptions options = new()
            {
                Weighting = weighting,
                Iterations = Iterations,
                SeedCount = Seeds,
            };
            using MeanShiftLoss<float> loss = new(contenders.Context, options);
            float[] scores = Array.ConvertAll(Numbers.Uniform((long)Edge * Edge * Edge, 1), v => 0.5f + 0.5f * v);
            float[] centers = Array.ConvertAll(Numbers.Uniform(30, 2), v => Edge * (0.5f + 0.32f * v));
            float[] gradient = new float[scores.Length];
            List<Entry> entries =
            [
                new(Contenders.Ours, () => loss.Evaluate(scores, Edge, Edge, Edge, centers, gradient, seed: 1, step: 0), null),
            ];
            List<Tensor> owned = [];
            if (contenders.Takes(Contenders.Contiguous))
            {
                double bandwidth = options.BandwidthVoxels;
                double floor = options.ScoreFloor;
                Tensor axis = arange(Edge, dtype: float32);
                Tensor grid = stack(meshgrid([axis, axis, axis], "ij"), -1).reshape(-1, 3);
                Tensor fixedCenters = tensor(centers, [10, 3]);
                Tensor starts = fixedCenters[arange(Seeds) % 10] + (rand(Seeds, 3) * 2 - 1) * bandwidth;
                Tensor map = tensor(scores).requires_grad_();
                owned.AddRange([axis, grid, fixedCenters, starts, map]);
                entries.Add(new Entry("libtorch, naive", () =>
                {
                    using DisposeScope scope = NewDisposeScope();
                    Tensor points = starts;
                    for (int i = 0; i < Iterations; i++)
                    {
                        Tensor squared = cdist(points, grid).square() / (bandwidth * bandwidth);
                        Tensor weight = where(
                            squared < 1, weighting == Weighting.Flat ? ones_like(squared) : 1 - squared, zeros_like(squared));
                        Tensor mass = weight * (map + floor);
                        points = mass.matmul(grid) / mass.sum(1, keepdim: true).clamp_min(1e-12);
                    }

                    Tensor distances = cdist(fixedCenters, points);
                    Tensor value = distances.min(1).values.mean() + distances.min(0).values.mean();
                    autograd.grad([value], [map]);
                }, null));
            }

            // Seeds are drawn otherwise, so that the values are not the same.
            contest.Run(
                "mean-shift loss, forward and backward",
                $"{Edge}³, {Seeds} seeds, {Iterations} iterations, {weighting}", 0, entries);
            owned.ForEach(t => t.Dispose());
        }
    }
}
