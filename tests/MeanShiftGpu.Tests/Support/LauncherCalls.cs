using System.Numerics;
using System.Runtime.CompilerServices;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Tests.Support;

/// <summary>A call of a launcher.</summary>
/// <param name="Name">Operation, variant, types, pass and case.</param>
/// <param name="Run">Calls it with what is given.</param>
public sealed record LauncherCall(string Name, Action<Operands> Run);

/// <summary>
/// Every launcher of every variant that runs on a device, at odd sizes, from the same tables that choose
/// variants.
/// </summary>
public static class LauncherCalls
{
    /// <summary>All calls.</summary>
    /// <param name="context">The device.</param>
    /// <param name="everyWidth">Convolutions of 32, 48 and 64 channels, too, which have kernels of their
    /// own.</param>
    public static IEnumerable<LauncherCall> All(GpuContext context, bool everyWidth = false)
        => Of<float, float>(context, everyWidth).Concat(Of<double, double>(context, everyWidth))
            .Concat(Of<Bf16, float>(context, everyWidth))
            .Concat(OfReal<float>(context)).Concat(OfReal<double>(context)).Concat(Planes(context));

    private static IEnumerable<LauncherCall> Of<TActivation, T>(GpuContext context, bool everyWidth)
        where TActivation : unmanaged
        where T : unmanaged, INumber<T>
    {
        bool isBf16 = typeof(TActivation) == typeof(Bf16);
        int[] widths = everyWidth ? [32, 48, 64] : [];
        (int Kernel, int In, int Out, Activation Activation)[] convolutions = isBf16
            ? [(3, 8, 16, Activation.Relu)]
            : [(3, 1, 7, Activation.Relu), (3, 19, 33, Activation.Relu), (3, 16, 32, Activation.None), (
                1, 5, 3, Activation.Relu)];
        foreach ((int kernel, int cin, int cout, Activation activation) in convolutions.Concat(
            widths.Select(width => (3, width, width, Activation.Relu))))
        {
            int more = isBf16 ? 0 : 1;
            Conv3dShape Shape(Operands o)
                => new(o.N(2), o.N(3), o.N(5), o.N(9), o.N(cin), o.N(cout), o.N(kernel), (Activation)o.N((int)activation),
                    o.N(cin + more), o.N(cout + 2 * more));
            foreach (
                (string variant, IConv3d<TActivation, T> kernels) in Launchers(
                    context, Conv3dVariants<TActivation, T>.Table, Shape(new Operands(context))))
            {
                string name = $"conv3d {variant} {Types<TActivation, T>()} {kernel}³ {cin} to {cout}";
                long length = kernels.WorkspaceBytes(context.Stream, Shape(new Operands(context))) / Unsafe.SizeOf<T>();
                ArrayView<T> Workspace(Operands o) => o.View<T>("workspace", length);
                yield return new($"{name} Forward", o =>
                {
                    Conv3dShape s = Shape(o);
                    kernels.Forward(
                        o.Stream,
                        In<TActivation>(o, "input", s),
                        o.View<T>("weight", s.WeightLength),
                        o.View<T>("bias", s.OutputChannels),
                        Out<TActivation>(o, "output", s),
                        s,
                        Workspace(o));
                });
                yield return new($"{name} BackwardInput", o =>
                {
                    Conv3dShape s = Shape(o);
                    kernels.BackwardInput(
                        o.Stream,
                        Out<TActivation>(o, "gradOutput", s),
                        Gate<TActivation>(o, s), o.View<T>("weight", s.WeightLength),
                        In<TActivation>(o, "gradInput", s),
                        s,
                        Workspace(o));
                });
                yield return new($"{name} BackwardWeight", o =>
                {
                    Conv3dShape s = Shape(o);
                    kernels.BackwardWeight(
                        o.Stream,
                        In<TActivation>(o, "input", s),
                        Out<TActivation>(o, "gradOutput", s),
                        Gate<TActivation>(o, s), o.View<T>("gradWeight", s.WeightLength),
                        o.View<T>("gradBias", s.OutputChannels),
                        s,
                        Workspace(o));
                });
            }
        }

        foreach ((int cin, int cout) in (isBf16 ? [(8, 16)] : new[] { (5, 3), (17, 33) }).Concat(
            widths.Select(width => (width, width))))
        {
            int more = isBf16 ? 0 : 1;
            ConvTranspose3dShape Shape(Operands o)
                => new(o.N(2), o.N(3), o.N(1), o.N(5), o.N(cin), o.N(cout), o.N(cin + more), o.N(cout + 2 * more));
            foreach (
                (string variant, IConvTranspose3d<TActivation, T> kernels) in Launchers(
                    context, ConvTranspose3dVariants<TActivation, T>.Table, Shape(new Operands(context))))
            {
                string name = $"conv-transpose3d {variant} {Types<TActivation, T>()} {cin} to {cout}";
                ArrayView<TActivation> From(Operands o, string operand, ConvTranspose3dShape s)
                    => o.View<TActivation>(operand, Pitched(s.InputVoxels, s.InputChannels, s.InputPitch));
                ArrayView<TActivation> To(Operands o, string operand, ConvTranspose3dShape s)
                    => o.View<TActivation>(operand, Pitched(s.OutputVoxels, s.OutputChannels, s.OutputPitch));
                long length = kernels.WorkspaceBytes(context.Stream, Shape(new Operands(context))) / Unsafe.SizeOf<T>();
                ArrayView<T> Workspace(Operands o) => o.View<T>("workspace", length);
                yield return new($"{name} Forward", o =>
                {
                    ConvTranspose3dShape s = Shape(o);
                    kernels.Forward(
                        o.Stream,
                        From(o, "input", s),
                        o.View<T>("weight", s.WeightLength),
                        o.View<T>("bias", s.OutputChannels),
                        To(o, "output", s),
                        s,
                        Workspace(o));
                });
                yield return new($"{name} BackwardInput", o =>
                {
                    ConvTranspose3dShape s = Shape(o);
                    kernels.BackwardInput(
                        o.Stream, To(o, "gradOutput", s), o.View<T>("weight", s.WeightLength), From(o, "gradInput", s), s,
                        Workspace(o));
                });
                yield return new($"{name} BackwardWeight", o =>
                {
                    ConvTranspose3dShape s = Shape(o);
                    kernels.BackwardWeight(
                        o.Stream,
                        From(o, "input", s),
                        To(o, "gradOutput", s),
                        o.View<T>("gradWeight", s.WeightLength),
                        o.View<T>("gradBias", s.OutputChannels),
                        s,
                        Workspace(o));
                });
            }
        }

        foreach ((int channels, int outputs) in new[] { (5, 1), (33, 3) })
        {
            SigmoidHeadShape Shape(Operands o) => new(o.N(131), o.N(channels), o.N(outputs), o.N(channels + 3));
            foreach (
                (string variant, ISigmoidHead<TActivation, T> kernels) in Launchers(
                    context, SigmoidHeadVariants<TActivation, T>.Table, Shape(new Operands(context))))
            {
                string name = $"sigmoid-head {variant} {Types<TActivation, T>()} {channels} to {outputs}";
                ArrayView<TActivation> X(Operands o, string operand, SigmoidHeadShape s)
                    => o.View<TActivation>(operand, Pitched(s.Voxels, s.InputChannels, s.InputPitch));
                ArrayView<T> Map(Operands o, string operand, SigmoidHeadShape s) => o.View<T>(operand, s.Voxels * s.Outputs);
                yield return new($"{name} Forward", o =>
                {
                    SigmoidHeadShape s = Shape(o);
                    kernels.Forward(
                        o.Stream,
                        X(o, "input", s),
                        o.View<T>("weight", s.WeightLength),
                        o.View<T>("bias", s.Outputs),
                        Map(o, "scores", s),
                        s);
                });
                yield return new($"{name} BackwardInput", o =>
                {
                    SigmoidHeadShape s = Shape(o);
                    kernels.BackwardInput(
                        o.Stream,
                        Map(o, "gradScores", s),
                        Map(o, "scores", s),
                        o.View<T>("weight", s.WeightLength),
                        X(o, "gradInput", s),
                        s);
                });
                yield return new($"{name} BackwardWeight", o =>
                {
                    SigmoidHeadShape s = Shape(o);
                    kernels.BackwardWeight(
                        o.Stream,
                        X(o, "input", s),
                        Map(o, "gradScores", s),
                        Map(o, "scores", s),
                        o.View<T>("workspace", kernels.WorkspaceLength(s)),
                        o.View<T>("gradWeight", s.WeightLength), o.View<T>("gradBias", s.Outputs), s);
                });
            }
        }

        foreach (int channels in new[] { 1, 19 })
        {
            MaxPool3dShape Shape(Operands o)
                => new(o.N(2), o.N(2), o.N(4), o.N(6), o.N(channels), o.N(channels + 1), o.N(channels + 2), o.N(0));
            foreach (
                (string variant, IMaxPool3d<TActivation> kernels) in Launchers(
                    context, MaxPool3dVariants<TActivation, T>.Table, Shape(new Operands(context))))
            {
                string name = $"max-pool3d {variant} {Types<TActivation, T>()} {channels}";
                yield return new($"{name} Forward", o =>
                {
                    MaxPool3dShape s = Shape(o);
                    kernels.Forward(
                        o.Stream,
                        o.View<TActivation>("input", Pitched(s.InputVoxels, s.Channels, s.InputPitch)),
                        o.View<TActivation>("output", Pitched(s.OutputVoxels, s.Channels, s.OutputPitch)),
                        s);
                });
                yield return new($"{name} Backward", o =>
                {
                    MaxPool3dShape s = Shape(o) with { Accumulate = o.N(1) };
                    kernels.Backward(
                        o.Stream,
                        o.View<TActivation>("input", Pitched(s.InputVoxels, s.Channels, s.InputPitch)),
                        o.View<TActivation>("gradOutput", Pitched(s.OutputVoxels, s.Channels, s.OutputPitch)),
                        o.View<TActivation>("gradInput", Pitched(s.InputVoxels, s.Channels, s.InputPitch)), s);
                });
            }
        }

        ElementwiseShape Elements(Operands o) => new(o.N(37), o.N(5), o.N(6), o.N(8));
        foreach (
            (string variant, IElementwise<TActivation, T> kernels) in Launchers(
                context, ElementwiseVariants<TActivation, T>.Table, Elements(new Operands(context))))
        {
            string name = $"elementwise {variant} {Types<TActivation, T>()}";
            ArrayView<TElement> Source<TElement>(Operands o, ElementwiseShape s)
                where TElement : unmanaged
                => o.View<TElement>("source", Pitched(s.Voxels, s.Channels, s.SourcePitch));
            ArrayView<TElement> Target<TElement>(Operands o, ElementwiseShape s)
                where TElement : unmanaged
                => o.View<TElement>("target", Pitched(s.Voxels, s.Channels, s.TargetPitch));
            yield return new($"{name} Add", o =>
            {
                ElementwiseShape s = Elements(o);
                kernels.Add(o.Stream, Source<TActivation>(o, s), Target<TActivation>(o, s), s);
            });
            yield return new($"{name} Round", o =>
            {
                ElementwiseShape s = Elements(o);
                kernels.Round(o.Stream, Source<T>(o, s), Target<TActivation>(o, s), s);
            });
            yield return new($"{name} Widen", o =>
            {
                ElementwiseShape s = Elements(o);
                kernels.Widen(o.Stream, Source<TActivation>(o, s), Target<T>(o, s), s);
            });
            yield return new($"{name} Mask", o =>
            {
                ElementwiseShape s = Elements(o);
                kernels.Mask(o.Stream, Source<T>(o, s), o.View<T>("weight", s.Voxels), Target<T>(o, s), s);
            });
            yield return new(
                $"{name} WeightedAdd",
                o => kernels.WeightedAdd(o.Stream, o.View<T>("term", o.N(37)), T.One, o.View<T>("total", o.N(37)), o.N(1)));
            yield return new($"{name} WeightedSum", o => kernels.WeightedSum(
                o.Stream, [o.View<T>("terms", 1)], [T.One], o.View<T>("total", 1)));
            yield return new($"{name} Spread", o => kernels.Spread(
                o.Stream, o.View<T>("source", 1), [T.One], [o.View<T>("targets", 1)]));
        }
    }

    private static IEnumerable<LauncherCall> OfReal<T>(GpuContext context)
        where T : unmanaged, INumber<T>
    {
        foreach (int count in new[] { 1, 1031 })
        {
            foreach ((string variant, IDice<T> kernels) in Launchers(context, DiceVariants<T>.Table, new FlatShape(count)))
            {
                string name = $"dice {variant} {typeof(T).Name} {count}";
                yield return new($"{name} Forward", o =>
                {
                    FlatShape s = new(o.N(count));
                    kernels.Forward(
                        o.Stream,
                        o.View<T>("scores", s.Count),
                        o.View<T>("target", s.Count),
                        o.View<T>("workspace", kernels.WorkspaceLength(s)),
                        o.View<T>("sums", 2),
                        o.View<T>("loss", 1),
                        s);
                });
                yield return new($"{name} Backward", o =>
                {
                    FlatShape s = new(o.N(count));
                    kernels.Backward(
                        o.Stream,
                        o.View<T>("target", s.Count),
                        o.View<T>("sums", 2),
                        o.View<T>("gradLoss", 1),
                        o.View<T>("gradScores", s.Count),
                        s);
                });
            }

            foreach (
                (string variant, IBinaryCrossEntropy<T> kernels) in Launchers(
                    context, BinaryCrossEntropyVariants<T>.Table, new FlatShape(count)))
            {
                string name = $"binary-cross-entropy {variant} {typeof(T).Name} {count}";
                yield return new($"{name} Forward", o =>
                {
                    FlatShape s = new(o.N(count));
                    kernels.Forward(
                        o.Stream,
                        o.View<T>("scores", s.Count),
                        o.View<T>("target", s.Count),
                        o.View<T>("workspace", kernels.WorkspaceLength(s)),
                        o.View<T>("loss", 1),
                        s);
                });
                yield return new($"{name} Backward", o =>
                {
                    FlatShape s = new(o.N(count));
                    kernels.Backward(
                        o.Stream,
                        o.View<T>("scores", s.Count),
                        o.View<T>("target", s.Count),
                        o.View<T>("gradLoss", 1),
                        o.View<T>("gradScores", s.Count),
                        s);
                });
            }

            foreach (
                (string variant, IGradientNorm<T> kernels) in Launchers(context, GradientNormVariants<T>.Table, new FlatShape(
                    count)))
            {
                yield return new($"gradient-norm {variant} {typeof(T).Name} {count}", o =>
                {
                    ArrayView<T> gradients = o.View<T>("gradients", o.N(count));
                    kernels.ClipFactor(
                        o.Stream,
                        gradients,
                        o.View<T>("workspace", kernels.WorkspaceLength(gradients.Length)),
                        o.View<T>("norm", 1),
                        o.View<T>("factor", 1),
                        o.X(1));
                });
                yield return new($"gradient-norm {variant} {typeof(T).Name} {count} or stop", o =>
                {
                    ArrayView<T> gradients = o.View<T>("gradients", o.N(count));
                    kernels.ClipFactorOrStop(o.Stream, gradients,
                        o.View<T>("workspace", kernels.WorkspaceLength(gradients.Length)), o.View<T>("loss", 1),
                        o.View<T>("norm", 1), o.View<T>("factor", 1), o.X(1));
                });
            }

            foreach ((string variant, ISum<T> kernels) in Launchers(context, SumVariants<T>.Table, new FlatShape(count)))
            {
                yield return new($"sum {variant} {typeof(T).Name} {count} Sum", o =>
                {
                    ArrayView<T> source = o.View<T>("source", o.N(count));
                    kernels.Sum(
                        o.Stream, source, o.View<T>("workspace", kernels.WorkspaceLength(source.Length)), o.View<T>("total", 1),
                        T.One);
                });
                yield return new(
                    $"sum {variant} {typeof(T).Name} {count} Spread",
                    o => kernels.Spread(o.Stream, o.View<T>("value", 1), T.One, o.View<T>("target", o.N(count))));
            }

            foreach ((string variant, IAdam<T> kernels) in Launchers(context, AdamVariants<T>.Table, new FlatShape(count)))
            {
                yield return new($"adam {variant} {typeof(T).Name} {count}", o => kernels.Step(
                    o.Stream,
                    o.View<T>("gradients", count),
                    o.View<T>("factor", 1),
                    o.View<T>("values", count),
                    o.View<T>("firstMoments", count),
                    o.View<T>("secondMoments", count),
                    AdamParameters.ForStep(o.N(1), o.X(1e-3))));
            }
        }

        MeanShiftShape Shape(Operands o) => new(o.N(2), o.N(5), o.N(7), o.N(9), o.N(3), o.N(2), o.N(2));
        foreach (
            (string variant, IMeanShift<T> kernels) in Launchers(context, MeanShiftVariants<T>.Table, Shape(
                new Operands(context))))
        {
            foreach (Weighting weighting in Enum.GetValues<Weighting>())
            {
                foreach (
                    LauncherCall call in MeanShift(
                        $"mean-shift {variant} {typeof(T).Name} {weighting}",
                        kernels,
                        Shape,
                        o => new(o.X(2.5), o.X(0.05), (Weighting)o.N((int)weighting))))
                    yield return call;
            }
        }

        CenterLikelihoodShape Maps(Operands o) => new(o.N(2), o.N(5), o.N(7), o.N(9), o.N(2));
        foreach ((string variant, ICenterLikelihood<T> kernels) in Launchers(context, CenterLikelihoodVariants<T>.Table,
            Maps(new Operands(context))))
        {
            const int rows = 5;
            CenterViews<T> Centers(Operands o) => new(o.View<T>("Positions", rows * 3), o.Integers("Offsets", 0, 2, rows));
            string name = $"center-likelihood {variant} {typeof(T).Name}";
            yield return new($"{name} Forward", o =>
            {
                CenterLikelihoodShape s = Maps(o);
                kernels.Forward(o.Stream, o.View<T>("scores", s.ScoreLength), Centers(o), o.View<T>("centerScores", rows),
                    o.View<T>("loss", 1), s, o.X(0.05));
            });
            yield return new($"{name} Backward", o =>
            {
                CenterLikelihoodShape s = Maps(o);
                kernels.Backward(o.Stream, o.View<T>("gradLoss", 1), Centers(o), o.View<T>("centerScores", rows),
                    o.View<T>("gradScores", s.ScoreLength), s, o.X(0.05));
            });
            yield return new($"{name} BackwardAdd", o =>
            {
                CenterLikelihoodShape s = Maps(o);
                kernels.BackwardAdd(o.Stream, o.View<T>("gradLoss", 1), Centers(o), o.View<T>("centerScores", rows),
                    o.View<T>("gradScores", s.ScoreLength), s, o.X(0.05));
            });
        }
    }

    private static IEnumerable<LauncherCall> MeanShift<T>(
        string name, IMeanShift<T> kernels, Func<Operands, MeanShiftShape> shape, Func<Operands, MeanShiftParameters> parameters)
        where T : unmanaged, INumber<T>
    {
        const int rows = 5;
        CenterViews<T> Centers(Operands o) => new(o.View<T>("Positions", rows * 3), o.Integers("Offsets", 0, 2, rows));
        NearestPairs Nearest(Operands o) => new(o.Integers("Centers", 0, 1, 0, 2, 3, 4), o.Integers("Points", 0, 1, 2, 0, 1));
        ArrayView<T> Scores(Operands o, string operand, MeanShiftShape s) => o.View<T>(operand, s.ScoreLength);
        ArrayView<T> Points(Operands o, string operand, MeanShiftShape s) => o.View<T>(operand, s.Points * 3);
        ArrayView<T> Trajectory(Operands o, MeanShiftShape s) => o.View<T>("trajectory", s.TrajectoryLength);
        ArrayView<byte> Workspace(Operands o, MeanShiftShape s, MeanShiftParameters p, long centers = 0) => o.View<byte>(
            "workspace", WorkspaceBytes(kernels, s, p, centers));
        yield return new($"{name} SampleSeeds", o =>
        {
            MeanShiftShape s = shape(o);
            kernels.SampleSeeds(o.Stream, Centers(o), Points(o, "seeds", s), s, new SeedSampling(1, 2, o.X(3), o.X(1)));
        });
        yield return new($"{name} Forward", o =>
        {
            (MeanShiftShape s, MeanShiftParameters p) = (shape(o), parameters(o));
            kernels.Forward(o.Stream, Scores(o, "scores", s), Points(o, "seeds", s), Trajectory(o, s), Workspace(o, s, p), s, p);
        });
        yield return new($"{name} CenterLossForward", o =>
        {
            MeanShiftShape s = shape(o);
            kernels.CenterLossForward(
                o.Stream, Points(o, "positions", s), Centers(o), Nearest(o), o.View<T>("loss", 1), s, (CenterDistance)o.N(0));
        });
        yield return new($"{name} CenterLossBackward", o =>
        {
            MeanShiftShape s = shape(o);
            kernels.CenterLossBackward(
                o.Stream,
                o.View<T>("gradLoss", 1),
                Points(o, "positions", s),
                Centers(o),
                Nearest(o),
                Points(o, "gradPositions", s),
                s,
                (CenterDistance)o.N(0));
        });
        yield return new($"{name} Backward", o =>
        {
            (MeanShiftShape s, MeanShiftParameters p) = (shape(o), parameters(o));
            kernels.Backward(
                o.Stream,
                Scores(o, "scores", s),
                Trajectory(o, s),
                Points(o, "gradPositions", s),
                Scores(o, "gradScores", s),
                Workspace(o, s, p),
                s,
                p);
        });
        yield return new($"{name} LossForward", o =>
        {
            (MeanShiftShape s, MeanShiftParameters p) = (shape(o), parameters(o));
            kernels.LossForward(
                o.Stream,
                Scores(o, "scores", s),
                Points(o, "seeds", s),
                Trajectory(o, s),
                Centers(o),
                Nearest(o),
                o.View<T>("loss", 1),
                Workspace(o, s, p, rows),
                s,
                p,
                (CenterDistance)o.N(1));
        });
        yield return new($"{name} LossBackward", o =>
        {
            (MeanShiftShape s, MeanShiftParameters p) = (shape(o), parameters(o));
            kernels.LossBackward(
                o.Stream, o.View<T>("gradLoss", 1), Scores(o, "scores", s), Trajectory(o, s), Centers(o), Nearest(o), Points(
                    o, "gradPositions", s), Scores(o, "gradScores", s), Workspace(o, s, p, rows), s, p, (CenterDistance)o.N(1));
        });
        yield return new($"{name} Converge", o =>
        {
            (MeanShiftShape s, MeanShiftParameters p) = (shape(o) with { Batch = o.N(1) }, parameters(o));
            kernels.Converge(
                o.Stream,
                Scores(o, "scores", s),
                o.View<T>("positions", rows * 3),
                o.View<T>("converged", rows * 3),
                o.View<int>("iterations", rows),
                o.View<T>("support", rows),
                Workspace(o, s with { SeedsPerItem = 0 }, p),
                s,
                p,
                o.X(1e-3));
        });
    }

    // For nonsense there is no right length.
    private static long WorkspaceBytes<T>(
        IMeanShift<T> kernels, MeanShiftShape shape, MeanShiftParameters parameters, long centers)
        where T : unmanaged
    {
        try
        {
            return kernels.WorkspaceBytes(shape, parameters, centers);
        }
        catch (Exception e) when (e is ArithmeticException or ArgumentException)
        {
            return 64;
        }
    }

    private static IEnumerable<LauncherCall> Planes(GpuContext context)
    {
        Conv3dShape Shape(Operands o) => new(1, o.N(11), o.N(5), o.N(9), o.N(19), o.N(17), 3, Activation.Relu, o.N(19), o.N(18));
        foreach (
            (string variant, IConv3d<float, float> kernels) in Launchers(context, Conv3dVariants<float, float>.Table, Shape(
                new Operands(context))))
        {
            if (kernels is not IConv3dByPlanes<float> byPlanes)
                continue;
            yield return new($"conv3d {variant} ForwardPlanes", o =>
            {
                Conv3dShape s = Shape(o);
                PlaneRange range = new(o.N(4), o.N(8), o.N(4));
                long voxels = (long)s.Height * s.Width;
                (int first, int second, int ring) = (o.N(7), o.N(12), o.N(6));
                byPlanes.ForwardPlanes(
                    o.Stream,
                    [new(o.View<float>("inputs", Pitched(ring * voxels, first, 8)), first, 8, ring), new(
                        o.View<float>("inputs", Pitched(ring * voxels, second, 12)), second, 12, ring)],
                    o.View<float>("weight", s.WeightLength),
                    o.View<float>("bias", s.OutputChannels),
                    o.View<float>("output", Pitched(range.OutputRing * voxels, s.OutputChannels, s.OutputPitch)),
                    s,
                    range);
            });
        }
    }

    private static IEnumerable<(string Variant, TLauncher Kernels)> Launchers<TLauncher, TShape>(
        GpuContext context, VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
        => table.Supported(context, shape).Select(variant => (variant.Name, context.Launcher(table, variant)));

    private static string Types<TActivation, T>()
        => typeof(TActivation) == typeof(T) ? typeof(T).Name : $"{typeof(TActivation).Name} {typeof(T).Name}";

    private static long Pitched(long voxels, int channels, int pitch) => voxels == 0 ? 0 : (voxels - 1) * pitch + channels;

    private static ArrayView<TActivation> In<TActivation>(Operands o, string name, Conv3dShape s)
        where TActivation : unmanaged
        => o.View<TActivation>(name, Pitched(s.Voxels, s.InputChannels, s.InputPitch));

    private static ArrayView<TActivation> Out<TActivation>(Operands o, string name, Conv3dShape s)
        where TActivation : unmanaged
        => o.View<TActivation>(name, Pitched(s.Voxels, s.OutputChannels, s.OutputPitch));

    // Without an activation nothing is read of the output.
    private static ArrayView<TActivation> Gate<TActivation>(Operands o, Conv3dShape s)
        where TActivation : unmanaged
        => s.Activation == Activation.None ? default : Out<TActivation>(o, "output", s);
}
