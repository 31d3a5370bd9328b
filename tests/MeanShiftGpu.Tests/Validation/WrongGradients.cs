using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;

namespace MeanShiftGpu.Tests.Validation;

/// <summary>
/// A function with a backward pass that is wrong in one way, and the same function with the right one.
/// </summary>
/// <param name="Name">What is wrong.</param>
/// <param name="Shape">The input's extents.</param>
/// <param name="Low">The smallest number of the input; the largest is 1.</param>
/// <param name="Right">The function.</param>
/// <param name="Wrong">The function with the wrong gradient.</param>
internal sealed record WrongGradient(
    string Name,
    TensorShape Shape,
    double Low,
    Func<Tape<double>, Tensor<double>, int, Tensor<double>> Right,
    Func<Tape<double>, Tensor<double>, int, Tensor<double>> Wrong)
{
    /// <summary>The input that a seed gives.</summary>
    public double[] Values(int seed)
        => Array.ConvertAll(TestData.Uniform(Shape.Length, seed), v => Low + (1 - Low) * (v + 1) / 2);

    public override string ToString() => Name;
}

/// <summary>Mistakes that backward passes really have.</summary>
internal static class WrongGradients
{
    // Far more elements than are probed one by one.
    private static readonly TensorShape Many = new(2, 9, 8, 8, 3);
    private static readonly TensorShape Some = new(2, 4, 5, 6, 1);
    private static readonly TensorShape Map = new(2, 7, 8, 8, 1);
    private static readonly Position[][] Centers = [[new(2.5f, 3, 4), new(4.25f, 4.5f, 5)], [new(3.5f, 4, 3)]];
    private static readonly MeanShiftOptions MeanShiftOptions = new() { BandwidthVoxels = 2.5, Iterations = 3 };

    public static IReadOnlyList<WrongGradient> All { get; } =
    [
        OfGradient("sign", MeanShift, Map, (g, _) => [.. g.Select(v => -v)]),
        OfGradient("sign of every second element", Curved, Many, (g, _) => [.. g.Select((v, i) => i % 2 == 0 ? v : -v)]),
        OfGradient("factor 2", MeanShift, Map, (g, _) => [.. g.Select(v => 2 * v)]),
        OfGradient("factor 1.00001", Curved, Many, (g, _) => [.. g.Select(v => 1.00001 * v)]),
        OfGradient("one element is 0", Curved, Many, (g, seed) => [.. g.Select((v, i) => i == seed * 31 % g.Length ? 0 : v)]),
        OfGradient("sign of one element", Dice, Some, (g, seed) => [.. g.Select((v, i) => i == seed * 47 % g.Length ? -v : v)]),
        OfGradient(
            "one element off by a thousandth",
            Dice,
            Some,
            (g, seed) => [.. g.Select((v, i) => i == seed * 59 % g.Length ? 1.001 * v : v)]),
        OfGradient(
            "two elements swapped", Curved, Many, (g, seed) => Moved(g, i => i == seed ? seed + 1 : i == seed + 1 ? seed : i)),
        OfGradient("one channel is missing", Curved, Many, (g, _) => [.. g.Select((v, i) => i % Many.Channels == 1 ? 0 : v)]),
        OfGradient(
            "channels in the other order",
            Curved,
            Many,
            (g, _) => Moved(g, i => i - i % Many.Channels + (Many.Channels - 1 - i % Many.Channels))),
        OfGradient("height and width transposed", MeanShift, Map, (g, _) => Moved(g, i => i / 64 * 64 + i % 8 * 8 + i / 8 % 8)),
        OfGradient("one voxel to the right", MeanShift, Map, (g, _) => Moved(g, i => (i + 1) % g.Length)),
        OfGradient("the last item is missing", Curved, Many, (g, _) => [.. g.Select((v, i) => i >= g.Length / 2 ? 0 : v)]),
        OfGradient("not divided by the number of elements", Dice, Some, (g, _) => [.. g.Select(v => v * g.Length)]),
        OfGradient(
            "noise of 1e-4",
            Curved,
            Many,
            (g, seed) => [.. g.Zip(TestData.Uniform(g.Length, seed), (v, noise) => v * (1 + 1e-4 * noise))]),
        OfGradient("a small constant added", MeanShift, Map, (g, _) => [.. g.Select(v => v + 1e-4 * g.Max(Math.Abs))]),
        OfMeanShift("the chain through earlier iterations is missing", LastIterationAlone),
        OfMeanShift("ball larger by half a voxel", (tape, x, seed) => MeanShift(tape, x, seed, MeanShiftOptions with
        {
            BandwidthVoxels = 3,
        })),
        OfMeanShift("ball smaller by half a voxel", (tape, x, seed) => MeanShift(tape, x, seed, MeanShiftOptions with
        {
            BandwidthVoxels = 2,
        })),
        OfMeanShift("floor forgotten", (tape, x, seed) => MeanShift(tape, x, seed, MeanShiftOptions with { ScoreFloor = 0 })),
        OfMeanShift("another distance's", (tape, x, seed) => MeanShift(tape, x, seed, MeanShiftOptions with
        {
            Distance = CenterDistance.Squared,
        })),
        OfMeanShift("another weighting's", (tape, x, seed) => MeanShift(tape, x, seed, MeanShiftOptions with
        {
            Weighting = Weighting.Cone,
        })),
        OfFunction("used twice, counted once", -1, v => v * v, (v, g) => 2 * v * g, (v, g) => v * g),
        OfFunction("ReLU's mask forgotten", -1, v => Math.Max(0, v), (v, g) => v > 0 ? g : 0, (_, g) => g),
        OfFunction("ReLU's mask inverted", -1, v => Math.Max(0, v), (v, g) => v > 0 ? g : 0, (v, g) => v > 0 ? 0 : g),
        OfFunction(
            "leaky where it does not leak", -1, v => Math.Max(0, v), (v, g) => v > 0 ? g : 0, (v, g) => v > 0 ? g : 0.01 * g),
        OfFunction(
            "half of the sigmoid's slope", -1, Sigmoid, (v, g) => Sigmoid(v) * (1 - Sigmoid(v)) * g, (v, g) => Sigmoid(v) * g),
        OfFunction(
            "the slope at the output instead of the input",
            -1,
            Math.Sin,
            (v, g) => Math.Cos(v) * g,
            (v, g) => Math.Cos(Math.Sin(v)) * g),
        new("pooling's gradient to the first of each window", Many with { Depth = 4 }, -1, (tape, x, _) => tape.MaxPool3d(x),
            FirstOfWindow),
    ];

    /// <summary>y = f(x) element by element, with a backward pass of one's own.</summary>
    public static Tensor<double> Apply(
        Tape<double> tape, Tensor<double> x, Func<double, double> function, Func<double, double, double> backward)
    {
        double[] input = x.ToArray(tape.Context);
        Tensor<double> y = tape.Upload(Array.ConvertAll(input, v => function(v)), x.Shape);
        tape.Record("Apply", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
            gradient.CopyFromCPU(tape.Context.Stream, [.. input.Zip(y.GradientToArray(tape.Context), backward)])));
        return y;
    }

    private static WrongGradient OfGradient(
        string name,
        Func<Tape<double>, Tensor<double>, int, Tensor<double>> function, TensorShape shape, Func<double[], int, double[]> change)
        => new(name, shape, 0.05, function, (tape, x, seed) =>
        {
            Tensor<double> copy = tape.Upload(x.ToArray(tape.Context), x.Shape);
            tape.Record("Changed", copy, [x], [], [], () => tape.WriteGradient(x, gradient =>
                gradient.CopyFromCPU(tape.Context.Stream, change(copy.GradientToArray(tape.Context), seed))));
            return function(tape, copy, seed);
        });

    private static WrongGradient OfFunction(
        string name,
        double low,
        Func<double, double> function, Func<double, double, double> right, Func<double, double, double> wrong)
        => new(name, Many, low, (tape, x, _) => Apply(tape, x, function, right), (tape, x, _) => Apply(tape, x, function, wrong));

    // The value of the right loss with the gradient of another one.
    private static WrongGradient OfMeanShift(string name, Func<Tape<double>, Tensor<double>, int, Tensor<double>> other)
        => new($"mean shift: {name}", Map, 0.05, MeanShift, (tape, x, seed) =>
        {
            Tensor<double> gradients = other(tape, x, seed);
            double[] value = MeanShift(tape, tape.Upload(x.ToArray(tape.Context), x.Shape), seed).ToArray(tape.Context);
            Tensor<double> loss = tape.Upload(value, TensorShape.Scalar);
            tape.Record(
                "Other",
                loss,
                [gradients],
                [],
                [],
                () => tape.WriteGradient(gradients, gradient => gradient.CopyFrom(tape.Context.Stream, tape.Gradient(loss))));
            return loss;
        });

    private static Tensor<double> Curved(Tape<double> tape, Tensor<double> x, int seed)
        => Apply(tape, x, v => Math.Exp(3 * v), (v, g) => 3 * Math.Exp(3 * v) * g);

    private static Tensor<double> Dice(Tape<double> tape, Tensor<double> x, int seed)
        => tape.DiceLoss(
            x, tape.Upload(Array.ConvertAll(TestData.Uniform(x.Shape.Length, seed + 100), v => v > 0.3 ? 1.0 : 0), x.Shape));

    private static Tensor<double> MeanShift(Tape<double> tape, Tensor<double> x, int seed)
        => MeanShift(tape, x, seed, MeanShiftOptions);

    private static Tensor<double> MeanShift(Tape<double> tape, Tensor<double> x, int seed, MeanShiftOptions options)
        => tape.MeanShiftLoss(x, tape.UploadCenters<double>(Centers), Seeds(seed), options).Loss;

    private static Tensor<double> LastIterationAlone(Tape<double> tape, Tensor<double> x, int seed)
    {
        double[] seeds = Seeds(seed);
        double[] trajectory = new double[(MeanShiftOptions.Iterations + 1) * seeds.Length];
        tape.MeanShiftLoss(
            tape.Upload(x.ToArray(tape.Context), x.Shape), tape.UploadCenters<double>(Centers), seeds,
            MeanShiftOptions).Trajectory.CopyToCPU(tape.Context.Stream, trajectory);
        tape.Context.Synchronize();
        double[] beforeLast = trajectory[^(2 * seeds.Length)..^seeds.Length];
        return tape.MeanShiftLoss(
            x, tape.UploadCenters<double>(Centers), beforeLast, MeanShiftOptions with { Iterations = 1 }).Loss;
    }

    private static double[] Seeds(int seed) => Array.ConvertAll(TestData.Uniform(2 * 5 * 3, seed + 200), v => 3.5 + 1.5 * v);

    private static Tensor<double> FirstOfWindow(Tape<double> tape, Tensor<double> x, int seed)
    {
        Tensor<double> pooled = tape.MaxPool3d(tape.Upload(x.ToArray(tape.Context), x.Shape));
        Tensor<double> y = tape.Upload(pooled.ToArray(tape.Context), pooled.Shape);
        tape.Record("First", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
        {
            double[] from = y.GradientToArray(tape.Context);
            double[] to = new double[x.Shape.Length];
            TensorShape s = y.Shape;
            for (int i = 0; i < from.Length; i++)
            {
                int c = i % s.Channels;
                int column = i / s.Channels % s.Width;
                int row = i / s.Channels / s.Width % s.Height;
                int plane = i / s.Channels / s.Width / s.Height;
                to[((plane * 2 * x.Shape.Height + row * 2) * x.Shape.Width + column * 2) * s.Channels + c] = from[i];
            }

            gradient.CopyFromCPU(tape.Context.Stream, to);
        }));
        return y;
    }

    private static double Sigmoid(double v) => 1 / (1 + Math.Exp(-v));

    private static double[] Moved(double[] gradient, Func<int, int> from) => [.. gradient.Select((_, i) => gradient[from(i)])];
}
