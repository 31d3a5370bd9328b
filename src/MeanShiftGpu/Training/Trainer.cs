using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.GradientNorm;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Training;

/// <summary>
/// Trains a network with the mean-shift loss, Dice, binary cross-entropy or a weighted sum. A step's patches,
/// seeds and learning rate follow from the options and the step's number, so that the same options give the
/// same bits, whatever the number of threads, and a run resumed from a checkpoint ends with the bits of one
/// that was never interrupted. Several ranks share the patches of each step: the gradients are added in the
/// order of the patches, on the CPU device one for each, so that there the bits do not depend on the number
/// of ranks either. A run whose score map stops telling centres from the rest goes back to the last
/// parameters at which it did, with half the learning rate and other patches; after three times it fails with
/// the reason.
/// </summary>
public sealed class Trainer : IDisposable
{
    // Loss, gradient's length; then of each class mean shift, Dice, cross-entropy and the likelihood at
    // centres.
    private const int ReportedOfRun = 2;
    private const int ReportedOfClass = 4;

    // In the first two launchers take memory; the third shows that they have it.
    private const int StepsBeforeGraph = 3;

    // Validation always draws the same seeds, and training never draws them.
    private const uint ValidationStep = uint.MaxValue;

    private readonly UNet3d<float> network;
    private readonly TrainingOptions options;
    private readonly GpuContext context;
    private readonly TrainingLoss loss;
    private readonly PatchSampler sampler;
    private readonly IRanks ranks;
    private readonly RankShare share;
    private readonly PatchBatch batch;
    private readonly StepSum? stepSum;

    // On a device that is not the host: what a step reads, and the two steps that are under way. Null on the
    // host, where a kernel is done when its launcher returns, so that nothing is gained by preparing or
    // reading at another time.
    private readonly StepInputs? inputs;
    private readonly StepSlot[] slots = [];
    private readonly StepScope? scope;

    private readonly RepeatedWork<IReadOnlyList<ClassLosses>>? work;

    // For each class, the most centres that a patch can have.
    private readonly int[] centersOfPatch;
    private readonly PatchBatch validationBatch;
    private readonly List<(TrainingVolume Volume, (int Z, int Y, int X) Origin)> validationPatches;
    private readonly Arena arena;
    private readonly IAdam<float> adam;
    private readonly IGradientNorm<float> gradientNorm;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> firstMoments;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> secondMoments;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> bestValues;
    private readonly Snapshot healthy;
    private readonly MemoryBuffer1D<float, Stride1D.Dense> normWorkspace;
    // The factor is below 0 from a step on whose loss or gradient is not finite: no parameter is changed
    // then.
    private readonly MemoryBuffer1D<float, Stride1D.Dense> normAndFactor;

    // What a step reports, 0 where there is no such loss. Each is copied here on the device, and all are read
    // at the step's end, because every read waits for all that was queued before.
    private readonly MemoryBuffer1D<float, Stride1D.Dense> report;
    private readonly List<TrainingStep> steps = [];
    private readonly List<ValidationResult> validations = [];
    private readonly string dataIdentity;

    private readonly HealthWatch watch;
    private readonly List<Rollback> rollbacks = [];
    private int healthyPosition;
    private ValidationResult? best;

    // A step that the device has been given and whose report has not been read: the steps before it went
    // well, as far as is known. And what was read of such a step when somebody had to see the parameters.
    private QueuedStep? queued;
    private TrainingStep? settled;

    // Which slot the next step takes: they take turns.
    private int nextSlot;
    private bool disposed;

    /// <summary>Prepares a run.</summary>
    /// <param name="network">The network; the trainer changes its parameters and does not dispose it.</param>
    /// <param name="data">Volumes with centres, normalised.</param>
    /// <param name="options">All settings.</param>
    /// <param name="ranks">With whom the patches of each step are shared; each has a network, data and
    /// options like these. Null: with nobody.</param>
    /// <exception cref="InputException">The settings, the data and the network do not fit together, or there
    /// are more ranks than patches in a step.</exception>
    public Trainer(UNet3d<float> network, TrainingData data, TrainingOptions options, IRanks? ranks = null)
        : this(network, data, options, ranks, isHost: (
            network ?? throw new ArgumentNullException(nameof(network))).Context.ComputesInHostMemory)
    {
    }

    // isHost: tests treat the host as a device of its own, too.
    internal Trainer(UNet3d<float> network, TrainingData data, TrainingOptions options, IRanks? ranks, bool isHost)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        options.ValidateFor(network.Options);
        this.network = network;
        this.options = options;
        context = network.Context;
        loss = new TrainingLoss(network, options);
        sampler = new PatchSampler(data.Training, options);
        this.ranks = ranks ?? InProcessRanks.Alone;
        share = RankShare.Of(options.BatchSize, this.ranks.Rank, this.ranks.Count);
        if (options.BatchSize < this.ranks.Count)
        {
            throw new InputException($"training: a batch of {Counted.Of(options.BatchSize, "patch", "patches")} for "
                + $"{this.ranks.Count} ranks "
                + $"leaves some without work. Use batches of {this.ranks.Count} or a multiple of it, or fewer ranks.");
        }

        // A processor gains nothing from patches that are computed together, and each by itself has the same
        // gradient on any rank.
        int atOnce = isHost ? 1 : share.Count;
        watch = new HealthWatch(options, this.ranks);
        centersOfPatch = sampler.MostCenters(1);
        batch = new PatchBatch(atOnce, options);
        validationBatch = new PatchBatch(1, options);
        dataIdentity = data.Identity();
        validationPatches = [.. data.Validation.SelectMany(v => PatchGrid.Cover(v, options).Select(origin => (v, origin)))];
        WithoutValidationPatch =
            [.. data.Validation.Where(v => !validationPatches.Exists(p => p.Volume == v)).Select(v => v.Name)];
        if (data.Validation.Count > 0 && validationPatches.Count == 0)
            throw new InputException($"{data.Validation[0].Name}: no patch of {options.Patch} of it has a centre at least "
                + $"{options.CenterMarginVoxels} voxels "
                + $"inside{(data.Validation.Count == 1 ? "" : ", nor has one of the other validation volumes")}, so nothing "
                + "can be validated. Use smaller patches, another validation volume, or none.");
        arena = new Arena(context, hugePages: true);

        long count = network.Parameters.Values.Length;
        firstMoments = AllocateZeros(count);
        secondMoments = AllocateZeros(count);
        bestValues = AllocateZeros(count);
        healthy = new Snapshot(AllocateZeros(count), AllocateZeros(count), AllocateZeros(count));
        KeepAsHealthy();
        adam = context.Launcher(AdamVariants<float>.Table, new FlatShape(count));
        gradientNorm = context.Launcher(GradientNormVariants<float>.Table, new FlatShape(count));
        normWorkspace = AllocateZeros(Math.Max(1, gradientNorm.WorkspaceLength(count)));
        normAndFactor = AllocateZeros(2);
        report = AllocateZeros(ReportedOfRun + ReportedOfClass * options.ClassCount);
        int parts = isHost ? options.BatchSize : this.ranks.Count;
        stepSum = parts == 1 ? null : new StepSum(context, this.ranks, parts, count, (int)report.Length);
        if (isHost)
            return;
        scope = new StepScope(context.Accelerator);
        work = new RepeatedWork<IReadOnlyList<ClassLosses>>(context, StepsBeforeGraph, "a step", Renew)
        {
            Remark = text => Remark?.Invoke(text),
        };
        inputs = new StepInputs(context, batch, [.. centersOfPatch.Select(most => atOnce * most)]);
        int points = options.MeanShiftWeight > 0 ? atOnce * options.MeanShift.SeedCount : 0;
        slots = [.. new[] { batch, new PatchBatch(atOnce, options) }
            .Select(b => new StepSlot(context, inputs, b, report.Length, options.ClassCount, points))];
    }

    /// <summary>Validation volumes of which no patch can be used, by name: they are left out.</summary>
    public IReadOnlyList<string> WithoutValidationPatch { get; }

    /// <summary>Steps taken, those that the run went back behind included.</summary>
    public int StepsDone => steps.Count;

    /// <summary>Steps of the schedule that are done.</summary>
    public int Position => rollbacks.Count == 0 ? steps.Count : rollbacks[^1].Position + steps.Count - rollbacks[^1].Step;

    /// <summary>The best validation so far; null where there was none.</summary>
    public ValidationResult? Best => best;

    /// <summary>
    /// Picks on the validation volumes with the network as it is; null: models are compared by their loss.
    /// </summary>
    public Func<CancellationToken, PickingScore>? PickOnValidation { get; init; }

    /// <summary>Told, once, where a CUDA device computes steps in a slower way than it might, and why; null
    /// for no callback.</summary>
    public Action<string>? Remark { get; init; }

    /// <summary>The course of the run so far.</summary>
    public TrainingHistory History => new(steps, validations, watch.Windows, rollbacks);

    /// <summary>Device memory of the tensors of a step, in bytes.</summary>
    internal long ArenaBytes => arena.CapacityBytes;

    /// <summary>Time spent so far in adding gradients, on this rank and with others; waiting for slower ranks
    /// is part of it.</summary>
    public TimeSpan SumTime => stepSum?.Time ?? TimeSpan.Zero;

    /// <summary>
    /// How often device memory was taken for tensors; it does not grow after the first step and validation.
    /// </summary>
    internal int ArenaAllocations => arena.Allocations;

    /// <summary>The most bytes of it that were in use at a time.</summary>
    internal long MostArenaBytes => arena.MostBytes;

    /// <summary>
    /// Takes the network's parameters, which were changed before the first step, for those to go back to.
    /// </summary>
    /// <exception cref="InvalidOperationException">A step has been taken.</exception>
    public void KeepBeginning()
    {
        if (steps.Count > 0)
            throw new InvalidOperationException("The run has begun; its parameters are those that it has learnt.");
        using CallerGate.Pass pass = context.Enter("Trainer.KeepBeginning", in disposed);
        KeepAsHealthy();
    }

    /// <summary>Does one step; where the run has to go back for it, one from there.</summary>
    /// <exception cref="TrainingFailedException">The run went back three times and is no better, by the score
    /// map or as the loss is not finite.</exception>
    /// <exception cref="InputException">The device has too little memory; the message says what would
    /// fit.</exception>
    public TrainingStep Step()
    {
        return Next(goesAhead: false);
    }

    // The next step that went well. Going ahead, the device is given another one before the report of this
    // one is read, unless somebody looks at the parameters in between.
    private TrainingStep Next(bool goesAhead, int looksEvery = 1)
    {
        using CallerGate.Pass pass = context.Enter("Trainer.Step", in disposed);
        if (settled is { } read)
        {
            settled = null;
            return read;
        }

        try
        {
            while (true)
            {
                QueuedStep step = queued ??= Queue(before: null);
                QueuedStep? another = goesAhead && !IsLookedAt(step, looksEvery) ? Queue(step) : null;
                if (another is null)
                    BeginPreparing(step);
                queued = null;
                if (Complete(step) is not { } done)
                    continue;
                if (another is not null)
                    BeginPreparing(another);
                queued = another;
                return done;
            }
        }
        catch (Exception e) when (OutOfMemory(e) is { } explained)
        {
            throw explained;
        }
    }

    // Whether the parameters after a step are seen: by the judgement of the score maps, a validation or the
    // caller.
    private bool IsLookedAt(QueuedStep step, int looksEvery)
        => step.Number % TrainingDiagnosis.Window == 0 || step.Number % looksEvery == 0 || ranks.Count > 1
            || (step.Position + 1) % options.ValidationInterval == 0 || step.Position + 1 >= options.Steps;

    // Reads what is under way, so that the parameters are those of the history.
    private void Settle()
    {
        if (queued is not { } step)
            return;
        queued = null;
        settled = Complete(step);
    }

    // The patches of the step after one, in the slot that nobody uses.
    private void BeginPreparing(QueuedStep step)
    {
        if (slots.Length > 0 && step.Position + 1 < options.Steps)
            slots[nextSlot].BeginPreparing(sampler, step.Draw + 1, share.First);
    }

    /// <summary>
    /// What to say where memory ran out: that of the arena, or what kernels and losses take beside it. Null
    /// for other failures.
    /// </summary>
    internal InputException? OutOfMemory(Exception exception)
    {
        Exception cause = exception is InputException { InnerException: { } inner } ? inner : exception;
        if (!DeviceProblem.IsOutOfMemory(cause))
            return null;
        string happened =
            exception is InputException ? exception.Message : DeviceProblem.Explain(cause) ?? $"memory: {exception.Message}";
        return new InputException($"{happened.TrimEnd('.')}. {WhatWouldFit()}", exception);
    }

    /// <summary>Device memory that the tensors of a step with the given patches take.</summary>
    internal long PlannedBytes(Extent patch, int batchSize) => TrainingMemory.ActivationBytes(
        context, network.Options, options, patch, batchSize, [.. centersOfPatch.Select(most => batchSize * most)],
            inputs is null);

    // All at once, so that nothing is lost between blocks and what does not fit is known before the first
    // kernel. An OpenCL device may refuse so much in one piece that it would give in several.
    private void ReserveMemory()
    {
        if (arena.CapacityBytes == 0 && context.Kind != DeviceKind.OpenCL)
            arena.Reserve(PlannedBytes(options.Patch, batch.Size) + TrainingMemory.Gaps);
    }

    private string WhatWouldFit()
    {
        (int depth, int height, int width) = options.Patch;
        long available = context.AvailableBytes(arena.CapacityBytes);
        int divisor = network.Options.Divisor;
        int batchSize = Enumerable.Range(1, batch.Size - 1).TakeWhile(n => PlannedBytes(options.Patch, n)
            + TrainingMemory.Gaps <= available).LastOrDefault();
        int edge = divisor * Enumerable.Range(1, (Math.Max(depth, Math.Max(height, width)) - 1) / divisor)
            .TakeWhile(n => PlannedBytes(new Extent(n * divisor, n * divisor, n * divisor), batch.Size)
                + TrainingMemory.Gaps <= available).LastOrDefault();
        string smaller = string.Join(
            " or for ", new[] { batchSize > 0 ? $"a batch of {batchSize}" : "", edge > 0 ? $"patches of {edge}³" : "" }.Where(
                s => s.Length > 0));
        return $"A step with patches of {depth}×{height}×{width} in batches of {batch.Size} needs about "
            + $"{(PlannedBytes(options.Patch, batch.Size) >> 20) + 1} MiB; "
            + $"{available >> 20} MiB are there, {(smaller.Length > 0 ? $"enough for {smaller}" : "too few for this network")}.";
    }

    // Gives the device a step.
    private QueuedStep Queue(QueuedStep? before)
    {
        int ahead = before is null ? 0 : 1;
        int number = steps.Count + ahead + 1;
        int position = Position + ahead;
        // Every try draws other patches and seeds, that of a step without a result too.
        int draw = steps.Count + ahead + rollbacks.Count;
        ReserveMemory();
        StepSlot? slot = slots.Length > 0 ? slots[nextSlot] : null;
        QueuedStep step = new(number, position, draw, options.RateAt(position) * RateFactor,
            number % TrainingDiagnosis.MeasureInterval == 0, slot);
        if (slot is null)
            watch.Begin();
        if (slot is not null && stepSum is null)
        {
            Compute(step, slot);
            slot.KeepReport(report.View.AsContiguous());
            nextSlot = 1 - nextSlot;
            return step;
        }

        int[]? withCenters = batch.Size == options.BatchSize ? null : sampler.PatchesWithCenters(draw);
        for (int done = 0; done < share.Count; done += batch.Size)
            DoPass(step, share.First + done, withCenters);
        stepSum?.Add(network.Parameters.Gradients, report.View.AsContiguous());
        MeasureGradient();
        Update(step);
        if (slot is not null)
        {
            slot.KeepReport(report.View.AsContiguous());
            nextSlot = 1 - nextSlot;
        }

        return step;
    }

    // Reads what a step has reported. Null where its loss was not finite and the run went back.
    private TrainingStep? Complete(QueuedStep step)
    {
        step.Slot?.Wait();
        ReadOnlySpan<float> values = step.Slot is null ? report.GetAsArray1D(context.Stream) : step.Slot.Report;
        double total = values[0];
        double norm = values[1];
        if (!double.IsFinite(total) || !double.IsFinite(norm))
        {
            GoBack($"the loss is {total} and the gradient's length {norm} at step {step.Number}");
            return null;
        }

        double[] means = new double[ReportedOfClass];
        for (int loss = 0; loss < means.Length; loss++)
        {
            for (int c = 0; c < options.ClassCount; c++)
                means[loss] += values[ReportedOfRun + ReportedOfClass * c + loss];
            means[loss] /= options.ClassCount;
        }

        if (step.Measured)
        {
            if (step.Slot is not null)
                watch.Look(step.Slot, share.First);
            watch.Measure();
        }

        TrainingStep done = new(step.Number, total, means[0], means[1], means[2], norm, step.Rate, means[3]);
        steps.Add(done);
        if (steps.Count % TrainingDiagnosis.Window == 0)
        {
            (bool isHealthy, string? reason) = watch.Judge(steps.Count, rollbacks.Count == 0 ? 0 : rollbacks[^1].Step);
            if (isHealthy)
                KeepAsHealthy();
            if (reason is not null)
                GoBack(reason);
        }

        return done;
    }

    // Loss and gradient of some patches of a step that are computed together.
    private void DoPass(QueuedStep step, int firstPatch, int[]? withCenters)
    {
        PatchBatch patches = step.Slot?.Patches ?? batch;
        if (step.Slot is null)
            sampler.Fill(batch, step.Draw, firstPatch);
        else
            step.Slot.Upload(sampler, step.Draw, firstPatch, AdamOf(step));
        PassShares shares = SharesOf(patches, withCenters);
        IReadOnlyList<ClassLosses> losses = Differentiate((uint)step.Draw, firstPatch, shares);
        if (step.Measured)
            Look(step.Slot, losses, firstPatch);
        stepSum?.Keep((firstPatch - share.First) / batch.Size, network.Parameters.Gradients, report.View.AsContiguous(),
            [1, 0, .. shares.OfCenters.SelectMany(s => (double[])[s, shares.OfVoxels, shares.OfVoxels, s])]);
    }

    // A whole step, the patches of which are computed together: from the fourth on as one graph, where the
    // device has graphs. Before, launchers take memory and note what they need in every step.
    private void Compute(QueuedStep step, StepSlot slot)
    {
        slot.Upload(sampler, step.Draw, share.First, AdamOf(step));
        IReadOnlyList<ClassLosses> losses;
        if (work!.TryCapture(() => Work(step)))
        {
            losses = work.Launch();
            network.Parameters.MarkChanged();
        }
        else
        {
            losses = Work(step);
        }

        if (step.Measured)
            Look(slot, losses, share.First);
    }

    // The score maps are all that is read of a step's tensors.
    private static void Renew(IReadOnlyList<ClassLosses> losses)
    {
        foreach (ClassLosses ofClass in losses)
            ofClass.Scores.Storage.Renew();
    }

    // What the device does in a step: the same launches, copies and addresses every time.
    private IReadOnlyList<ClassLosses> Work(QueuedStep step)
    {
        IReadOnlyList<ClassLosses> losses = Differentiate((uint)step.Draw, share.First, PassShares.Whole(options.ClassCount));
        MeasureGradient();
        Update(step);
        return losses;
    }

    private IReadOnlyList<ClassLosses> Differentiate(uint draw, int firstPatch, PassShares shares)
    {
        network.Parameters.ZeroGradients(context);
        return scope is null ? Recorded() : scope.Run(context.Stream, Recorded);

        IReadOnlyList<ClassLosses> Recorded()
        {
            using Tape<float> tape = Tape<float>.Begin(arena);
            TrainingLosses losses = loss.Compute(tape,
                inputs is null ? PatchTensors.Upload(tape, batch) : PatchTensors.Of(inputs), draw, firstPatch, shares);
            tape.Backward(losses.Total);
            Report(0, losses.Total);
            for (int c = 0; c < losses.Classes.Count; c++)
            {
                int at = ReportedOfRun + ReportedOfClass * c;
                Report(at, losses.Classes[c].MeanShift?.Loss);
                Report(at + 1, losses.Classes[c].Dice);
                Report(at + 2, losses.Classes[c].CrossEntropy);
                Report(at + 3, losses.Classes[c].Centers);
            }

            // Their memory stays as it is until the next tape begins.
            return losses.Classes;
        }
    }

    // The loss of a step is the mean over its patches, that of centres over those that have some. A step
    // without counts as it would alone.
    private PassShares SharesOf(PatchBatch patches, int[]? withCenters)
    {
        double[] ofCenters = new double[options.ClassCount];
        for (int c = 0; c < ofCenters.Length; c++)
        {
            int here = patches.Centers(c).Count(centers => centers.Count > 0);
            int all = withCenters?[c] ?? here;
            ofCenters[c] = all == 0 ? (double)batch.Size / options.BatchSize : (double)here / all;
        }

        return new PassShares((double)batch.Size / options.BatchSize, ofCenters);
    }

    private double RateFactor => rollbacks.Count == 0 ? 1 : rollbacks[^1].RateFactor;

    // Looks at the maps at once, or has them brought to the host to be looked at later.
    private void Look(StepSlot? slot, IReadOnlyList<ClassLosses> losses, int firstPatch)
    {
        for (int c = 0; c < losses.Count; c++)
        {
            MeanShiftLossResult<float>? meanShift = losses[c].MeanShift;
            if (slot is null)
            {
                (long Stuck, long Seeds) counted = meanShift is null ? (0, 0) : CountStuck(meanShift, batch.Centers(c), c);
                watch.Look(batch, losses[c].Scores.ToArray(context), c, firstPatch, counted);
            }
            else if (meanShift is not null)
            {
                slot.KeepEnds(c, meanShift);
            }
        }

        slot?.KeepScores(losses[0].Scores);
    }

    private void KeepAsHealthy()
    {
        healthy.Values.View.AsContiguous().CopyFrom(context.Stream, network.Parameters.Values);
        healthy.FirstMoments.View.AsContiguous().CopyFrom(context.Stream, firstMoments.View.AsContiguous());
        healthy.SecondMoments.View.AsContiguous().CopyFrom(context.Stream, secondMoments.View.AsContiguous());
        healthyPosition = Position;
    }

    private void GoBack(string reason)
    {
        // What was queued behind belongs to steps that are given up; its patches may still be on their way.
        context.Synchronize();
        queued = null;
        normAndFactor.MemSetToZero(context.Stream);
        if (rollbacks.Count == TrainingDiagnosis.MostRollbacks)
        {
            throw new TrainingFailedException(
                $"{reason}; going back to earlier parameters with half the learning rate did not help, {rollbacks.Count} times."
                + TrainingDiagnosis.WhatToTry(options));
        }

        network.Parameters.Values.CopyFrom(context.Stream, healthy.Values.View.AsContiguous());
        network.Parameters.MarkChanged();
        firstMoments.View.AsContiguous().CopyFrom(context.Stream, healthy.FirstMoments.View.AsContiguous());
        secondMoments.View.AsContiguous().CopyFrom(context.Stream, healthy.SecondMoments.View.AsContiguous());
        watch.Measures.Clear();
        rollbacks.Add(new Rollback(steps.Count, healthyPosition, RateFactor * TrainingDiagnosis.RateFactor, reason));
    }

    private void Report(int at, Tensor<float>? scalar)
    {
        if (scalar is not null)
            report.View.AsContiguous().SubView(at, 1).CopyFrom(context.Stream, scalar.View);
    }

    /// <summary>
    /// Measures the loss on the validation volumes, picks there, and remembers the parameters if they are the
    /// best so far.
    /// </summary>
    /// <param name="cancellation">Stops the picking.</param>
    /// <returns>Null without validation volumes.</returns>
    public ValidationResult? Validate(CancellationToken cancellation = default)
    {
        using CallerGate.Pass pass = context.Enter("Trainer.Validate", in disposed);
        Settle();
        if (validationPatches.Count == 0)
            return null;
        const int kinds = 4;
        double[] found = new double[kinds * validationPatches.Count]; // [patches, 4]: loss, maximum, stuck seeds, all seeds
        RankShare mine = RankShare.Of(validationPatches.Count, ranks.Rank, ranks.Count);
        for (int i = mine.First; i < mine.First + mine.Count; i++)
        {
            (TrainingVolume volume, (int, int, int) origin) = validationPatches[i];
            validationBatch.Fill(0, volume, origin, PatchOrientation.Identity);
            using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
            TrainingLosses losses = loss.Compute(tape, PatchTensors.Upload(tape, validationBatch), ValidationStep, 0,
                PassShares.Whole(options.ClassCount));
            Span<double> ofPatch = found.AsSpan(kinds * i, kinds);
            ofPatch[0] = options.MeanShiftWeight > 0 ? Mean(losses.Classes, c => c.MeanShift?.Loss) : Read(losses.Total);
            for (int c = 0; c < losses.Classes.Count; c++)
            {
                ofPatch[1] = Math.Max(ofPatch[1], Maximum(losses.Classes[c].Scores));
                if (losses.Classes[c].MeanShift is { } result)
                {
                    (long stuckHere, long seedsHere) = CountStuck(result, validationBatch.Centers(c), c);
                    ofPatch[2] += stuckHere;
                    ofPatch[3] += seedsHere;
                }
            }
        }

        ranks.Complete<double>(found);
        (double sum, double maximum, double stuck, double seeds) = (0, 0, 0, 0);
        for (int i = 0; i < found.Length; i += kinds)
            (sum, maximum, stuck, seeds) = (sum + found[i], Math.Max(maximum, found[i + 1]), stuck + found[i + 2], seeds
                + found[i + 3]);
        double mean = sum / validationPatches.Count;
        ValidationResult validation = new(steps.Count, mean, seeds == 0 ? 0 : stuck / seeds, maximum, false,
            PickOnValidation?.Invoke(cancellation));
        if (double.IsFinite(mean) && validation.IsBetterThan(best))
        {
            best = validation = validation with { IsBest = true };
            bestValues.View.AsContiguous().CopyFrom(context.Stream, network.Parameters.Values);
        }

        validations.Add(validation);
        return validation;
    }

    /// <summary>Runs all remaining steps, validating at the interval and at the end.</summary>
    /// <param name="progress">Told after every step, when the network has that step's parameters; null for
    /// nobody.</param>
    /// <param name="cancellation">Stops between two steps, all ranks where one is told to.</param>
    /// <exception cref="InputException">Ranks have other versions, data or settings.</exception>
    public void Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
        => Run(progress, looksEvery: 1, cancellation);

    /// <summary>The same for a progress that seldom looks at parameters, so that a GPU need not wait for the
    /// host.</summary>
    /// <param name="progress">Told after every step; null for no callback.</param>
    /// <param name="looksEvery"> After steps whose number is a multiple of this, and after validations, the
    /// network has the parameters of the step that progress is told of, so that it may use them or save a
    /// checkpoint. Otherwise a GPU has been given the next step already, and <see cref="SaveCheckpoint"/>
    /// saves that one. The results are the same.
    /// </param>
    /// <param name="cancellation">Stops between two steps, all ranks where one is told to.</param>
    /// <exception cref="InputException">Ranks have other versions, data or settings.</exception>
    public void Run(Action<TrainingProgress>? progress, int looksEvery, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(looksEvery, 1);
        if (ranks.Count > 1)
            RefuseDifferentRanks();
        Stopwatch clock = Stopwatch.StartNew();
        int begun = steps.Count;
        int told = rollbacks.Count;
        while (!IsFinished)
        {
            // What the device was given already is told of before the run stops.
            bool stops = ranks.Any(cancellation.IsCancellationRequested);
            if (stops && queued is null && settled is null)
                throw new OperationCanceledException(cancellation);
            TrainingStep step = Next(goesAhead: slots.Length > 0 && !stops, looksEvery);
            // One that a saved checkpoint has brought to light counts, too.
            Rollback? rollback = rollbacks.Count > told ? rollbacks[^1] : null;
            told = rollbacks.Count;
            bool validates = rollback?.Step != steps.Count
                && (Position % options.ValidationInterval == 0 || Position == options.Steps);
            ValidationResult? validation = validates ? Validate(cancellation) : null;
            double rate = (steps.Count - begun) / clock.Elapsed.TotalSeconds;
            TimeSpan remaining = TimeSpan.FromSeconds((options.Steps - Position) / rate);
            progress?.Invoke(new TrainingProgress(step, Position, options.Steps, rate, remaining, validation, rollback));
        }
    }

    private void RefuseDifferentRanks()
    {
        float[] values = new float[network.Parameters.Values.Length];
        network.Parameters.Values.CopyToCPU(context.Stream, values);
        context.Synchronize();
        ranks.RefuseDifferent(
        [
            ("version", Provenance.OwnVersion),
            ("device", context.Kind == DeviceKind.Cpu ? $"CPU, {GpuContext.Vectors}" : context.Kind.ToString()),
            ("precision", context.Precision.ToString()),
            ("settings", JsonSerializer.Serialize(options)),
            ("network", JsonSerializer.Serialize(network.Options)),
            ("hash of the data", dataIdentity),
            ("number of steps that are done", steps.Count.ToString(CultureInfo.InvariantCulture)),
            ("hash of the parameters", Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values.AsSpan())))),
        ]);
    }

    /// <summary>
    /// Whether all steps are done, or validations have not become better for as many as the options say.
    /// </summary>
    public bool IsFinished => Position >= options.Steps
        || (options.PatienceValidations > 0 && best is not null
            && validations.Count(v => v.Step > best.Step) >= options.PatienceValidations);

    /// <summary>
    /// Gives the network the parameters of the best validation. Without validations it keeps its parameters;
    /// if its score map no longer tells centres from the rest, it gets the last ones whose map did.
    /// </summary>
    public void RestoreBest()
    {
        using CallerGate.Pass pass = context.Enter("Trainer.RestoreBest", in disposed);
        Settle();
        // The run is over, and volumes that are read from files take one caller at a time.
        foreach (StepSlot slot in slots)
            slot.Rest();
        if (best is null && (watch.Windows.Count == 0 || watch.Windows[^1].Verdict != HealthVerdict.Ill))
            return;
        ArrayView<float> values = best is null ? healthy.Values.View.AsContiguous() : bestValues.View.AsContiguous();
        network.Parameters.Values.CopyFrom(context.Stream, values);
        network.Parameters.MarkChanged();
    }

    /// <summary>
    /// Refuses a finished run whose model is of no use: its picks agree with the centres no better than
    /// chance. Runs of fewer than 100 steps, or of very small rates, teach a network nothing and are not
    /// judged.
    /// </summary>
    /// <param name="pickOnTraining">Picks on training volumes with the network as it is; asked where there is
    /// no validation, and for the reason.</param>
    /// <exception cref="TrainingFailedException">The model is of no use; the message says why and what to
    /// try.</exception>
    public void RefuseUseless(Func<PickingScore> pickOnTraining)
    {
        ArgumentNullException.ThrowIfNull(pickOnTraining);
        if (!TrainingDiagnosis.CanJudge(steps)
            || (best?.Picking is { } onValidation && !TrainingDiagnosis.IsChance(onValidation)))
            return;
        PickingScore onTraining = pickOnTraining();
        if (best?.Picking is null && !TrainingDiagnosis.IsChance(onTraining))
            return;
        throw new TrainingFailedException(TrainingDiagnosis.DescribeChance(best?.Picking, onTraining)
            + TrainingDiagnosis.WhatToTry(options));
    }

    /// <summary>
    /// Writes everything that <see cref="Resume"/> needs: parameters, moments, the best parameters and the
    /// history.
    /// </summary>
    public void SaveCheckpoint(string path)
    {
        using CallerGate.Pass pass = context.Enter("Trainer.SaveCheckpoint", in disposed);
        Settle();
        Dictionary<string, string> metadata = network.Metadata();
        metadata[CheckpointState.MetadataKey] = JsonSerializer.Serialize(new CheckpointState(options, steps, validations)
        {
            Format = CheckpointState.CurrentFormat,
            Data = dataIdentity,
            Best = best,
            Health = watch.Windows,
            Measures = watch.Measures,
            Rollbacks = rollbacks,
            HealthyPosition = healthyPosition,
        });
        SafetensorsFile.Write(
            path,
            new[]
            {
                network.ToTensors(""),
                network.ToTensors(CheckpointState.FirstMomentPrefix, firstMoments.View.AsContiguous()),
                network.ToTensors(CheckpointState.SecondMomentPrefix, secondMoments.View.AsContiguous()),
                network.ToTensors(CheckpointState.BestPrefix, bestValues.View.AsContiguous()),
                network.ToTensors(CheckpointState.HealthyPrefix, healthy.Values.View.AsContiguous()),
                network.ToTensors(CheckpointState.HealthyFirstPrefix, healthy.FirstMoments.View.AsContiguous()),
                network.ToTensors(CheckpointState.HealthySecondPrefix, healthy.SecondMoments.View.AsContiguous()),
            }.SelectMany(tensors => tensors).ToDictionary(),
            metadata);
    }

    /// <summary>
    /// The network and the settings that a checkpoint was written with, for a run that is to go on with the
    /// same.
    /// </summary>
    /// <exception cref="InputException">Not a checkpoint.</exception>
    public static (UNet3dOptions Network, TrainingOptions Training) ReadSettings(string path)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        UNet3dOptions network = UNet3d<float>.ReadOptions(file, path);
        CheckpointState state = CheckpointState.Read(file, path);
        foreach (string prefix in (string[])["", .. state.TensorPrefixes])
            UNet3d<float>.RefuseOtherTensors(file, path, prefix, network);
        return (network, state.Options);
    }

    /// <summary>How far the run of a checkpoint had come.</summary>
    /// <exception cref="InputException">Not a checkpoint.</exception>
    public static (int Done, int Steps) ReadProgress(string path)
    {
        CheckpointState state = CheckpointState.Read(SafetensorsFile.Read(path), path);
        return (state.Position, state.Options.Steps);
    }

    /// <summary>Goes on where a checkpoint was written.</summary>
    /// <exception cref="InputException">Not a checkpoint, or one of another network or of other
    /// settings.</exception>
    public void Resume(string path)
    {
        using CallerGate.Pass pass = context.Enter("Trainer.Resume", in disposed);
        SafetensorsFile file = SafetensorsFile.Read(path);
        CheckpointState state = CheckpointState.Read(file, path);
        // Another end changes no step that is done; the others follow the schedule of the new number of
        // steps.
        TrainingOptions before = state.Options with { Steps = options.Steps, PatienceValidations = options.PatienceValidations };
        if (state.Position > options.Steps)
            throw new InputException($"{path}: {Counted.Of(state.Position, "step")} are done; expected {options.Steps} or "
                + $"fewer. Give a larger number of steps.");
        if (CheckpointState.FirstDifference(before, options) is { } difference)
            throw new InputException($"{path}: the checkpoint was written with other settings ({difference}), so going on "
                + "would give neither run's result. Resume with the settings it began with.");
        if (state.Data is { } data && data != dataIdentity)
            throw new InputException($"{path}: the checkpoint was written with other data (volumes, centres or their order), "
                + "so going on would give neither run's result. Resume with the data set it began with.");
        Settle();
        settled = null;
        network.SetParameters(file, path, "");
        network.ReadTensors(file, path, CheckpointState.FirstMomentPrefix, firstMoments.View.AsContiguous());
        network.ReadTensors(file, path, CheckpointState.SecondMomentPrefix, secondMoments.View.AsContiguous());
        network.ReadTensors(file, path, CheckpointState.BestPrefix, bestValues.View.AsContiguous());
        steps.Clear();
        steps.AddRange(state.Steps);
        validations.Clear();
        validations.AddRange(state.Validations);
        watch.Windows.Clear();
        watch.Windows.AddRange(state.Health);
        watch.Measures.Clear();
        watch.Measures.AddRange(state.Measures);
        rollbacks.Clear();
        rollbacks.AddRange(state.Rollbacks);
        best = state.Best;
        if (state.Format < 2)
        {
            KeepAsHealthy();
            return;
        }

        network.ReadTensors(file, path, CheckpointState.HealthyPrefix, healthy.Values.View.AsContiguous());
        network.ReadTensors(file, path, CheckpointState.HealthyFirstPrefix, healthy.FirstMoments.View.AsContiguous());
        network.ReadTensors(file, path, CheckpointState.HealthySecondPrefix, healthy.SecondMoments.View.AsContiguous());
        healthyPosition = state.HealthyPosition;
    }

    /// <summary>
    /// Frees the memory. Waits for a call that another thread has in progress, a step for example; those that
    /// come later are refused.
    /// </summary>
    public void Dispose()
    {
        using CallerGate.Pass pass = context.EnterToDispose();
        if (disposed)
            return;
        disposed = true;
        Abandon();
        foreach (StepSlot slot in slots)
            slot.Dispose();
        work?.Dispose();
        inputs?.Dispose();
        scope?.Dispose();
        arena.Dispose();
        firstMoments.Dispose();
        secondMoments.Dispose();
        bestValues.Dispose();
        healthy.Dispose();
        normWorkspace.Dispose();
        normAndFactor.Dispose();
        report.Dispose();
        stepSum?.Dispose();
    }

    // The device may still copy into memory that is freed now, where an exception has ended the run.
    private void Abandon()
    {
        if (slots.Length == 0 || context.Accelerator.IsDisposed)
            return;
        try
        {
            context.Synchronize();
        }
        catch (Exception e) when (DeviceProblem.Explain(e) is not null)
        {
            // The device is lost, which whoever ended the run has been told.
        }
    }

    // Reports the gradient's length, and finds the factor that clips it, or that stops the run.
    private void MeasureGradient()
    {
        ArrayView<float> norm = normAndFactor.View.AsContiguous().SubView(0, 1);
        ArrayView<float> factor = normAndFactor.View.AsContiguous().SubView(1, 1);
        gradientNorm.ClipFactorOrStop(
            context.Stream, network.Parameters.Gradients, normWorkspace.View.AsContiguous(),
            report.View.AsContiguous().SubView(0, 1), norm, factor, options.ClipNorm);
        report.View.AsContiguous().SubView(1, 1).CopyFrom(context.Stream, norm);
    }

    // An Adam step along the clipped gradient; none along what is not a number, which would leave no
    // parameter that is one.
    private void Update(QueuedStep step)
    {
        ParameterSet<float> of = network.Parameters;
        ArrayView<float> factor = normAndFactor.View.AsContiguous().SubView(1, 1);
        (ArrayView<float> first, ArrayView<float> second) = (firstMoments.View.AsContiguous(), secondMoments.View.AsContiguous());
        if (inputs is null)
            adam.Step(context.Stream, of.Gradients, factor, of.Values, first, second, AdamOf(step));
        else
            adam.Step(context.Stream, of.Gradients, factor, inputs.Settings, of.Values, first, second);
        of.MarkChanged();
    }

    private AdamParameters AdamOf(QueuedStep step)
        => AdamParameters.ForStep(step.Position + 1, step.Rate, beta2: options.Beta2, weightDecay: options.WeightDecay);

    private (long Stuck, long Seeds) CountStuck(
        MeanShiftLossResult<float> result, IReadOnlyList<IReadOnlyList<Position>> centers, int classIndex)
    {
        float[] positions = new float[result.Positions.Length];
        int[] nearest = new int[result.NearestCenter.Length];
        result.Positions.CopyToCPU(context.Stream, positions);
        result.NearestCenter.CopyToCPU(context.Stream, nearest);
        context.Synchronize();
        return watch.CountStuck(positions, nearest, centers, classIndex);
    }

    private double Read(Tensor<float>? scalar) => scalar is null ? 0 : Read(scalar.View);

    private double Read(ArrayView<float> scalar)
    {
        float[] value = new float[1];
        scalar.CopyToCPU(context.Stream, value);
        context.Synchronize();
        return value[0];
    }

    private double Mean(IReadOnlyList<ClassLosses> classes, Func<ClassLosses, Tensor<float>?> loss)
        => classes.Average(c => Read(loss(c)));

    private float Maximum(Tensor<float> scores) => scores.ToArray(context).Max();

    private MemoryBuffer1D<float, Stride1D.Dense> AllocateZeros(long count)
    {
        MemoryBuffer1D<float, Stride1D.Dense> buffer = context.Accelerator.Allocate1D<float>(count);
        buffer.MemSetToZero(context.Stream);
        return buffer;
    }

    /// <summary>A step that the device has been given.</summary>
    /// <param name="Number">From 1.</param>
    /// <param name="Position">Steps of the schedule before it.</param>
    /// <param name="Draw">The number that its patches and seeds are drawn from.</param>
    /// <param name="Rate">The learning rate.</param>
    /// <param name="Measured">Whether its score maps are looked at.</param>
    /// <param name="Slot">Where its patches are and its report arrives; null on the host.</param>
    private sealed record QueuedStep(int Number, int Position, int Draw, double Rate, bool Measured, StepSlot? Slot);

    /// <summary>Parameters with the optimiser's moments.</summary>
    private sealed record Snapshot(
        MemoryBuffer1D<float, Stride1D.Dense> Values,
        MemoryBuffer1D<float, Stride1D.Dense> FirstMoments,
        MemoryBuffer1D<float, Stride1D.Dense> SecondMoments) : IDisposable
    {
        public void Dispose()
        {
            Values.Dispose();
            FirstMoments.Dispose();
            SecondMoments.Dispose();
        }
    }

}
