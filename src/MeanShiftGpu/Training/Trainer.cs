using System.Diagnostics;
using System.Text.Json;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Training;

/// <summary>
/// Trains a network with the mean-shift loss, Dice, binary cross-entropy or a weighted sum. A step's patches, seeds and
/// learning rate follow from the options and the step's number, so that the same options give the same bits, whatever the
/// number of threads, and a run resumed from a checkpoint ends with the bits of one that was never interrupted.
/// </summary>
public sealed class Trainer : IDisposable
{
    private const string MetadataKey = "meanshift_gpu.training";

    // Raised when a checkpoint of a later version could be misread by this one.
    private const int CheckpointFormat = 1;
    private const string FirstMomentPrefix = "adam.first.";
    private const string SecondMomentPrefix = "adam.second.";
    private const string BestPrefix = "best.";

    // A map whose maximum stays below this after so many steps has collapsed; it never recovers (sigmoid is saturated).
    private const double CollapsedMaximum = 0.01;
    private const int CollapseCheckAfter = 40;
    private const int CollapseCheckInterval = 20;

    // Buffers begin at multiples of 256 bytes, and the losses have a few small ones.
    private const long Gaps = 1 << 16;

    // The seeds of validation are the same every time, and none of training's.
    private const uint ValidationStep = uint.MaxValue;

    private readonly UNet3d<float> network;
    private readonly TrainingOptions options;
    private readonly GpuContext context;
    private readonly PatchSampler sampler;
    private readonly PatchBatch batch;
    private readonly PatchBatch validationBatch;
    private readonly List<(TrainingVolume Volume, (int Z, int Y, int X) Origin)> validationPatches;
    private readonly Arena arena;
    private readonly IAdam<float> adam;
    private readonly IGradientNorm<float> gradientNorm;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> firstMoments;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> secondMoments;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> bestValues;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> normWorkspace;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> normAndFactor;

    // What a step reports: loss, gradient's length, then mean shift, Dice and cross-entropy of each class, 0 where there is none. Each is copied here on the
    // device, and all are read at the step's end, because every read waits for all that was queued before.
    private readonly MemoryBuffer1D<float, Stride1D.Dense> report;
    private readonly List<TrainingStep> steps = [];
    private readonly List<ValidationResult> validations = [];
    private readonly string dataIdentity;
    private double bestLoss = double.PositiveInfinity;

    /// <summary>Prepares a run.</summary>
    /// <param name="network">The network; the trainer changes its parameters and does not dispose it.</param>
    /// <param name="data">Volumes with centres, normalised.</param>
    /// <param name="options">All settings.</param>
    /// <exception cref="InputException">The settings, the data and the network do not fit together.</exception>
    public Trainer(UNet3d<float> network, TrainingData data, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        options.ValidateFor(network.Options);
        this.network = network;
        this.options = options;
        context = network.Context;
        sampler = new PatchSampler(data.Training, options);
        batch = new PatchBatch(options.BatchSize, options);
        validationBatch = new PatchBatch(1, options);
        dataIdentity = data.Identity();
        validationPatches = [.. data.Validation.SelectMany(v => PatchGrid.Cover(v, options).Select(origin => (v, origin)))];
        WithoutValidationPatch = [.. data.Validation.Where(v => !validationPatches.Exists(p => p.Volume == v)).Select(v => v.Name)];
        if (data.Validation.Count > 0 && validationPatches.Count == 0)
            throw new InputException($"{data.Validation[0].Name}: no patch of {options.Patch} of it has a centre at least {options.CenterMarginVoxels} voxels inside{(data.Validation.Count == 1 ? "" : ", nor has one of the other validation volumes")}, so nothing can be validated. Use smaller patches, another validation volume, or none.");
        arena = new Arena(context, hugePages: true);

        long count = network.Parameters.Values.Length;
        firstMoments = AllocateZeros(count);
        secondMoments = AllocateZeros(count);
        bestValues = AllocateZeros(count);
        adam = context.Launcher(AdamVariants<float>.Table, new FlatShape(count));
        gradientNorm = context.Launcher(GradientNormVariants<float>.Table, new FlatShape(count));
        normWorkspace = AllocateZeros(Math.Max(1, gradientNorm.WorkspaceLength(count)));
        normAndFactor = AllocateZeros(2);
        report = AllocateZeros(2 + 3 * options.ClassCount);
    }

    /// <summary>Validation volumes of which no patch can be used, by name: they are left out.</summary>
    public IReadOnlyList<string> WithoutValidationPatch { get; }

    /// <summary>Steps done.</summary>
    public int StepsDone => steps.Count;

    /// <summary>The course of the run so far.</summary>
    public TrainingHistory History => new(steps, validations);

    /// <summary>Device memory of the tensors of a step, in bytes.</summary>
    public long ArenaBytes => arena.CapacityBytes;

    /// <summary>How often device memory was taken for tensors; it does not grow after the first step and validation.</summary>
    public int ArenaAllocations => arena.Allocations;

    /// <summary>The most bytes of it that were in use at a time.</summary>
    internal long MostArenaBytes => arena.MostBytes;

    /// <summary>Does one step.</summary>
    /// <exception cref="TrainingFailedException">The loss is no longer finite, or the score map collapsed to zeros.</exception>
    /// <exception cref="InputException">The device has too little memory; the message says what would fit.</exception>
    public TrainingStep Step()
    {
        using CallerGate.Pass pass = context.Enter("Trainer.Step");
        try
        {
            return DoStep();
        }
        catch (Exception e) when (OutOfMemory(e) is { } explained)
        {
            throw explained;
        }
    }

    /// <summary>What to say where memory ran out: that of the arena, or what kernels and losses take beside it. Null for other failures.</summary>
    internal InputException? OutOfMemory(Exception exception)
    {
        Exception cause = exception is InputException { InnerException: { } inner } ? inner : exception;
        if (!DeviceProblem.IsOutOfMemory(cause))
            return null;
        string happened = exception is InputException ? exception.Message : DeviceProblem.Explain(cause) ?? $"memory: {exception.Message}";
        return new InputException($"{happened.TrimEnd('.')}. {WhatWouldFit()}", exception);
    }

    /// <summary>Device memory that the tensors of a step with the given patches take.</summary>
    internal long PlannedBytes(Extent patch, int batchSize)
    {
        // Beside the network's tensors: a target for each class; the map of annotated voxels, and the masked scores with their gradients; and where a score map
        // gets a second gradient, it is written aside and added.
        int targets = batch.Masks?.Count ?? 0;
        int masked = batch.Labelled is null ? 0 : 1 + 2 * options.ClassCount;
        double bytes = (network.TrainingBytesPerVoxel + sizeof(float) * (targets + masked + options.ClassCount)) * patch.Voxels * batchSize;
        for (int c = 0; options.MeanShiftWeight > 0 && c < options.ClassCount; c++)
        {
            MeanShiftOptions meanShift = options.MeanShiftOf(c);
            MeanShiftShape shape = meanShift.Shape(batchSize, patch.Depth, patch.Height, patch.Width, options.ClassCount);
            bytes += context.Launcher(MeanShiftVariants<float>.Table, shape).WorkspaceBytes(shape, meanShift.Parameters, centers: 0) + sizeof(float) * (shape.TrajectoryLength + 4 * shape.Points);
        }

        return (long)bytes;
    }

    // All at once, so that nothing is lost between blocks and what does not fit is known before the first kernel. An OpenCL device may refuse so much in one
    // piece that it would give in several.
    private void ReserveMemory()
    {
        if (arena.CapacityBytes == 0 && context.Kind != DeviceKind.OpenCL)
            arena.Reserve(PlannedBytes(options.Patch, options.BatchSize) + Gaps);
    }

    private string WhatWouldFit()
    {
        (int depth, int height, int width) = options.Patch;
        long available = context.AvailableBytes(arena.CapacityBytes);
        int divisor = network.Options.Divisor;
        int batchSize = Enumerable.Range(1, options.BatchSize - 1).TakeWhile(n => PlannedBytes(options.Patch, n) + Gaps <= available).LastOrDefault();
        int edge = divisor * Enumerable.Range(1, (Math.Max(depth, Math.Max(height, width)) - 1) / divisor)
            .TakeWhile(n => PlannedBytes(new Extent(n * divisor, n * divisor, n * divisor), options.BatchSize) + Gaps <= available).LastOrDefault();
        string smaller = string.Join(" or for ", new[] { batchSize > 0 ? $"a batch of {batchSize}" : "", edge > 0 ? $"patches of {edge}³" : "" }.Where(s => s.Length > 0));
        return $"A step with patches of {depth}×{height}×{width} in batches of {options.BatchSize} needs about {(PlannedBytes(options.Patch, options.BatchSize) >> 20) + 1} MiB; "
            + $"{available >> 20} MiB are there, {(smaller.Length > 0 ? $"enough for {smaller}" : "too few for this network")}.";
    }

    private TrainingStep DoStep()
    {
        int step = steps.Count;
        sampler.Fill(batch, step);
        double rate = options.RateAt(step);

        ReserveMemory();
        network.Parameters.ZeroGradients(context);
        using (Tape<float> tape = Tape<float>.Begin(arena))
        {
            Losses losses = ComputeLosses(tape, batch, (uint)step);
            tape.Backward(losses.Total);
            Report(0, losses.Total);
            for (int c = 0; c < losses.Classes.Count; c++)
            {
                Report(2 + 3 * c, losses.Classes[c].MeanShift?.Loss);
                Report(3 + 3 * c, losses.Classes[c].Dice);
                Report(4 + 3 * c, losses.Classes[c].CrossEntropy);
            }

            if (step >= CollapseCheckAfter && step % CollapseCheckInterval == 0)
                RefuseCollapse(losses.Classes, step);
        }

        MeasureGradient();
        float[] values = report.GetAsArray1D(context.Stream);
        double total = values[0];
        double norm = values[1];
        if (!double.IsFinite(total) || !double.IsFinite(norm))
            throw new TrainingFailedException($"the loss is {total} and the gradient's length {norm} at step {step + 1}. Start again with a lower learning rate{(options.ClipNorm > 0 ? $", a clip norm below {options.ClipNorm}" : ", with gradient clipping")}{(options.WarmUpSteps > step ? "" : " or a longer warm-up")}.");

        // Only now: a step along what is not a number would leave no parameter that is one.
        Update(rate, step);
        TrainingStep done = new(step + 1, total, MeanOf(0), MeanOf(1), MeanOf(2), norm, rate);
        steps.Add(done);
        return done;

        double MeanOf(int loss) => Enumerable.Range(0, options.ClassCount).Average(c => (double)values[2 + 3 * c + loss]);
    }

    private void Report(int at, Tensor<float>? scalar)
    {
        if (scalar is not null)
            report.View.AsContiguous().SubView(at, 1).CopyFrom(context.Stream, scalar.View);
    }

    /// <summary>Measures the loss on the validation volumes and remembers the parameters if it is the lowest so far.</summary>
    /// <returns>Null without validation volumes.</returns>
    public ValidationResult? Validate()
    {
        using CallerGate.Pass pass = context.Enter("Trainer.Validate");
        if (validationPatches.Count == 0)
            return null;
        double sum = 0;
        double maximum = 0;
        long stuck = 0;
        long seeds = 0;
        foreach ((TrainingVolume volume, (int, int, int) origin) in validationPatches)
        {
            validationBatch.Fill(0, volume, origin, PatchOrientation.Identity);
            using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
            Losses losses = ComputeLosses(tape, validationBatch, ValidationStep);
            sum += options.MeanShiftWeight > 0 ? Mean(losses.Classes, c => c.MeanShift?.Loss) : Read(losses.Total);
            for (int c = 0; c < losses.Classes.Count; c++)
            {
                maximum = Math.Max(maximum, Maximum(losses.Classes[c].Scores));
                if (losses.Classes[c].MeanShift is { } result)
                {
                    (long stuckHere, long seedsHere) = CountStuck(result, validationBatch.Centers(c)[0], options.MeanShiftOf(c).BandwidthVoxels);
                    stuck += stuckHere;
                    seeds += seedsHere;
                }
            }
        }

        double loss = sum / validationPatches.Count;
        bool best = loss < bestLoss;
        if (best)
        {
            bestLoss = loss;
            bestValues.View.AsContiguous().CopyFrom(context.Stream, network.Parameters.Values);
        }

        ValidationResult validation = new(steps.Count, loss, seeds == 0 ? 0 : (double)stuck / seeds, maximum, best);
        validations.Add(validation);
        return validation;
    }

    /// <summary>Runs all remaining steps, validating at the interval and at the end.</summary>
    /// <param name="progress">Told after every step; null for nobody.</param>
    /// <param name="cancellation">Stops between two steps.</param>
    public void Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        Stopwatch clock = Stopwatch.StartNew();
        int begun = steps.Count;
        while (steps.Count < options.Steps)
        {
            cancellation.ThrowIfCancellationRequested();
            TrainingStep step = Step();
            ValidationResult? validation = steps.Count % options.ValidationInterval == 0 || steps.Count == options.Steps ? Validate() : null;
            double rate = (steps.Count - begun) / clock.Elapsed.TotalSeconds;
            progress?.Invoke(new TrainingProgress(step, options.Steps, rate, TimeSpan.FromSeconds((options.Steps - steps.Count) / rate), validation));
        }
    }

    /// <summary>Gives the network the parameters of the best validation; without validations they stay as they are.</summary>
    public void RestoreBest()
    {
        if (double.IsPositiveInfinity(bestLoss))
            return;
        network.Parameters.Values.CopyFrom(context.Stream, bestValues.View.AsContiguous());
        network.Parameters.MarkChanged();
    }

    /// <summary>Writes everything that <see cref="Resume"/> needs: parameters, moments, the best parameters and the history.</summary>
    public void SaveCheckpoint(string path)
    {
        Dictionary<string, string> metadata = network.Metadata();
        metadata[MetadataKey] = JsonSerializer.Serialize(new CheckpointState(options, steps, validations, double.IsPositiveInfinity(bestLoss) ? null : bestLoss) { Format = CheckpointFormat, Data = dataIdentity });
        SafetensorsFile.Write(
            path,
            new[]
            {
                network.ToTensors(""),
                network.ToTensors(FirstMomentPrefix, firstMoments.View.AsContiguous()),
                network.ToTensors(SecondMomentPrefix, secondMoments.View.AsContiguous()),
                network.ToTensors(BestPrefix, bestValues.View.AsContiguous()),
            }.SelectMany(tensors => tensors).ToDictionary(),
            metadata);
    }

    /// <summary>The network and the settings that a checkpoint was written with, for a run that is to go on with the same.</summary>
    /// <exception cref="InputException">Not a checkpoint.</exception>
    public static (UNet3dOptions Network, TrainingOptions Training) ReadSettings(string path)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        UNet3dOptions network = UNet3d<float>.ReadOptions(file, path);
        TrainingOptions training = ReadState(file, path).Options;
        foreach (string prefix in (string[])["", FirstMomentPrefix, SecondMomentPrefix, BestPrefix])
            UNet3d<float>.RefuseOtherTensors(file, path, prefix, network);
        return (network, training);
    }

    /// <summary>How far the run of a checkpoint had come.</summary>
    /// <exception cref="InputException">Not a checkpoint.</exception>
    public static (int Done, int Steps) ReadProgress(string path)
    {
        CheckpointState state = ReadState(SafetensorsFile.Read(path), path);
        return (state.Steps.Count, state.Options.Steps);
    }

    /// <summary>Goes on where a checkpoint was written.</summary>
    /// <exception cref="InputException">Not a checkpoint, or one of another network or of other settings.</exception>
    public void Resume(string path)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        CheckpointState state = ReadState(file, path);
        if (FirstDifference(state.Options, options) is { } difference)
            throw new InputException($"{path}: the checkpoint was written with other settings ({difference}), so going on would give neither run's result. Resume with the settings it began with.");
        if (state.Data is { } before && before != dataIdentity)
            throw new InputException($"{path}: the checkpoint was written with other data (volumes, centres or their order), so going on would give neither run's result. Resume with the data set it began with.");
        network.SetParameters(file, path, "");
        network.ReadTensors(file, path, FirstMomentPrefix, firstMoments.View.AsContiguous());
        network.ReadTensors(file, path, SecondMomentPrefix, secondMoments.View.AsContiguous());
        network.ReadTensors(file, path, BestPrefix, bestValues.View.AsContiguous());
        steps.Clear();
        steps.AddRange(state.Steps);
        validations.Clear();
        validations.AddRange(state.Validations);
        bestLoss = state.BestLoss ?? double.PositiveInfinity;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        arena.Dispose();
        firstMoments.Dispose();
        secondMoments.Dispose();
        bestValues.Dispose();
        normWorkspace.Dispose();
        normAndFactor.Dispose();
        report.Dispose();
    }

    private static string? FirstDifference(TrainingOptions before, TrainingOptions now)
    {
        JsonElement other = JsonSerializer.SerializeToElement(now);
        foreach (JsonProperty setting in JsonSerializer.SerializeToElement(before).EnumerateObject())
        {
            string wanted = other.GetProperty(setting.Name).GetRawText();
            if (setting.Value.GetRawText() != wanted)
                return $"{setting.Name} {setting.Value.GetRawText()}, here {wanted}";
        }

        return null;
    }

    private static CheckpointState ReadState(SafetensorsFile file, string path)
    {
        if (!file.Metadata.TryGetValue(MetadataKey, out string? json))
            throw new InputException($"{path}: no training state (metadata '{MetadataKey}' is missing). A checkpoint is needed, a finished model has none.");
        return JsonMetadata.Read<CheckpointState>(path, MetadataKey, json, "a training's state", state => state.Validate());
    }

    // The sum over the losses of the mean over the classes.
    private Losses ComputeLosses(Tape<float> tape, PatchBatch patches, uint step)
    {
        TensorShape shape = new(patches.Size, patches.Patch.Depth, patches.Patch.Height, patches.Patch.Width, 1);
        Tensor<float> scores = network.Forward(tape, tape.Upload(patches.Images, shape));
        Tensor<float>? labelled = patches.Labelled is null ? null : tape.Upload(patches.Labelled, shape);

        List<(Tensor<float> Loss, double Weight)> terms = [];
        List<ClassLosses> classes = [];
        for (int c = 0; c < options.ClassCount; c++)
        {
            ClassLosses losses = ComputeLosses(tape, patches, c, options.ClassCount == 1 ? scores : scores.Channels(c, 1), labelled, step);
            classes.Add(losses);
            if (losses.MeanShift is { } meanShift)
                terms.Add((meanShift.Loss, options.MeanShiftWeight / options.ClassCount));
            if (losses.Dice is { } dice)
                terms.Add((dice, options.DiceWeight / options.ClassCount));
            if (losses.CrossEntropy is { } crossEntropy)
                terms.Add((crossEntropy, options.CrossEntropyWeight / options.ClassCount));
        }

        return new Losses(tape.WeightedSum(terms), classes);
    }

    private ClassLosses ComputeLosses(Tape<float> tape, PatchBatch patches, int classIndex, Tensor<float> scores, Tensor<float>? labelled, uint step)
    {
        // Each class draws seeds of its own.
        ulong seed = (ulong)options.Seed + ((ulong)classIndex << 32);
        MeanShiftLossResult<float>? meanShift = options.MeanShiftWeight > 0
            ? tape.MeanShiftLoss(scores, tape.UploadCenters(patches.Centers(classIndex)), options.MeanShiftOf(classIndex), seed, step)
            : null;
        if (patches.Masks is null)
            return new ClassLosses(scores, meanShift, null, null);
        Tensor<float> target = tape.Upload(patches.Masks[classIndex], scores.Shape);
        // The losses over maps take whole tensors, which the map of one class among several is not; masking it makes one.
        Tensor<float> map = labelled is null ? scores : tape.Mask(scores, labelled);
        return new ClassLosses(
            scores,
            meanShift,
            options.DiceWeight > 0 ? tape.DiceLoss(map, target) : null,
            options.CrossEntropyWeight > 0 ? tape.BinaryCrossEntropy(map, target) : null);
    }

    // Reports the gradient's length, and finds the factor that clips it.
    private void MeasureGradient()
    {
        ArrayView<float> norm = normAndFactor.View.AsContiguous().SubView(0, 1);
        ArrayView<float> factor = normAndFactor.View.AsContiguous().SubView(1, 1);
        gradientNorm.ClipFactor(context.Stream, network.Parameters.Gradients, normWorkspace.View.AsContiguous(), norm, factor, options.ClipNorm);
        report.View.AsContiguous().SubView(1, 1).CopyFrom(context.Stream, norm);
    }

    // An Adam step along the clipped gradient.
    private void Update(double rate, int step)
    {
        adam.Step(
            context.Stream,
            network.Parameters.Gradients,
            normAndFactor.View.AsContiguous().SubView(1, 1),
            network.Parameters.Values,
            firstMoments.View.AsContiguous(),
            secondMoments.View.AsContiguous(),
            AdamParameters.ForStep(step + 1, rate, beta2: options.Beta2, weightDecay: options.WeightDecay));
        network.Parameters.MarkChanged();
    }

    private (long Stuck, long Seeds) CountStuck(MeanShiftLossResult<float> result, IReadOnlyList<Position> centers, double bandwidth)
    {
        if (centers.Count == 0)
            return (0, 0);
        float[] positions = new float[result.Positions.Length];
        int[] nearest = new int[result.NearestCenter.Length];
        result.Positions.CopyToCPU(context.Stream, positions);
        result.NearestCenter.CopyToCPU(context.Stream, nearest);
        context.Synchronize();
        long stuck = 0;
        for (int i = 0; i < nearest.Length; i++)
        {
            Position end = new(positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]);
            if (end.DistanceTo(centers[nearest[i]]) > bandwidth)
                stuck++;
        }

        return (stuck, nearest.Length);
    }

    private double Read(Tensor<float>? scalar) => scalar is null ? 0 : Read(scalar.View);

    private double Read(ArrayView<float> scalar)
    {
        float[] value = new float[1];
        scalar.CopyToCPU(context.Stream, value);
        context.Synchronize();
        return value[0];
    }

    // A class that is not in the batch may well have an empty map.
    private void RefuseCollapse(IReadOnlyList<ClassLosses> classes, int step)
    {
        for (int c = 0; c < classes.Count; c++)
        {
            if (batch.Centers(c).All(item => item.Count == 0) || Maximum(classes[c].Scores) >= CollapsedMaximum)
                continue;
            string map = classes.Count == 1 ? "the score map" : $"the score map of class '{options.Classes[c].Name}'";
            throw new TrainingFailedException($"{map} collapsed to zeros (its maximum is below {CollapsedMaximum} at step {step + 1}) and will not recover. Start again with "
                + (options.OutputBias != -2 ? "an output bias of -2, or with a lower learning rate." : "a lower learning rate or a longer warm-up."));
        }
    }

    private double Mean(IReadOnlyList<ClassLosses> classes, Func<ClassLosses, Tensor<float>?> loss) => classes.Average(c => Read(loss(c)));

    private float Maximum(Tensor<float> scores) => scores.ToArray(context).Max();

    private MemoryBuffer1D<float, Stride1D.Dense> AllocateZeros(long count)
    {
        MemoryBuffer1D<float, Stride1D.Dense> buffer = context.Accelerator.Allocate1D<float>(count);
        buffer.MemSetToZero(context.Stream);
        return buffer;
    }

    private sealed record Losses(Tensor<float> Total, IReadOnlyList<ClassLosses> Classes);

    private sealed record ClassLosses(
        Tensor<float> Scores,
        MeanShiftLossResult<float>? MeanShift,
        Tensor<float>? Dice,
        Tensor<float>? CrossEntropy);

    private sealed record CheckpointState(
        TrainingOptions Options,
        List<TrainingStep> Steps,
        List<ValidationResult> Validations,
        double? BestLoss)
    {
        /// <summary>The version of what a checkpoint holds; 0 for those of version 0.1, which did not say it.</summary>
        public int Format { get; init; }

        /// <summary>The data's identity; null for those of version 0.1.</summary>
        public string? Data { get; init; }

        public void Validate()
        {
            if (Options is null || Steps is null || Validations is null)
                throw new InputException($"{nameof(Options)}, {nameof(Steps)} or {nameof(Validations)} is missing.");
            if (Format is < 0 or > CheckpointFormat)
            {
                throw new InputException(
                    $"it has format {Format}, this version knows {CheckpointFormat} at most; use the version that wrote it.");
            }

            Options.Validate();
            if (Steps.Count > Options.Steps)
                throw new InputException($"{Steps.Count} of {Options.Steps} steps are done; expected no more than there are.");
            for (int i = 0; i < Steps.Count; i++)
            {
                if (Steps[i] is not { } step || step.Step != i + 1)
                    throw new InputException($"step {i + 1} of {Steps.Count} is missing.");
            }

            if (Validations.Any(v => v is null || v.Step < 0 || v.Step > Steps.Count))
                throw new InputException($"a validation is missing, or of a step beyond the {Steps.Count} that are done.");
        }
    }
}
