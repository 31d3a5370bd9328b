using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>
/// A volume in tiles gives what the whole volume gives, and a map in windows what the whole map gives.
/// </summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public class TiledPickingTests(DeviceKind device)
{
    private static readonly PickOptions Options = new();

    // Edges that are no multiple of anything, and several tiles along the axes named. The plain kernels on
    // the simulated threads of the CPU accelerator compute a thousand times slower, hence the small case with
    // tiles along x.
    [TestCase("HostSimd", "4,6,8", 13, 135, 151, 128, "yx")]
    [TestCase("HostSimd", "3,5", 59, 61, 75, 56, "zyx")]
    [TestCase("conv3d=HostWinograd", "16,16,16", 21, 23, 307, 160, "x")]
    [TestCase("conv3d=HostWinograd", "16,16,16", 135, 13, 131, 128, "zx")]
    [TestCase("conv3d=HostWinograd", "16,16", 59, 61, 75, 56, "zyx")]
    [TestCase("conv3d=HostWinograd", "16", 23, 25, 99, 20, "zyx")]
    [TestCase("conv3d=HostWinograd", "3,4,5,6", 13, 17, 301, 256, "x")]
    [TestCase("Direct", "2,3", 5, 7, 75, 56, "x")]
    public void Predict_InTiles_EqualsTheWhole(
        string variant, string widths, int depth, int height, int width, int longestEdge, string severalAlong)
    {
        using GpuContext context = Open(variant);
        UNet3dOptions structure = new() { Widths = [.. widths.Split(',').Select(int.Parse)] };
        using UNet3d<float> network = new(context, structure, seed: 3);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options);
        Extent size = new(depth, height, width);
        // A network that has not been trained damps its input, so this is a strong one.
        using Volume image = RandomVolume(size, 5, 200);
        float[] whole = picker.PredictScores(image.AsSpan(), size);
        PickPlan plan = PickPlan.Create(
            network,
            size,
            Options,
            long.MaxValue,
            1,
            mapsInMemory: true,
            p => Math.Max(p.LargestTile.Depth, Math.Max(p.LargestTile.Height, p.LargestTile.Width)) <= longestEdge);
        foreach (char axis in severalAlong)
            Assert.That(
                plan.Tiles.Select(t => axis == 'z' ? t.CoreOrigin.Z : axis == 'y' ? t.CoreOrigin.Y : t.CoreOrigin.X).Distinct()
                    .Count(), Is.GreaterThan(1), $"{axis}: {plan}");

        using Volume map = new(depth, height, width);
        PredictionSummary summary = picker.Predict(plan, image, null, [new ScoreMap(0, map)]);
        float[] tiled = map.AsSpan().ToArray();
        double largest = whole.Zip(tiled, (a, b) => Math.Abs(a - b)).Max();
        TestContext.Out.WriteLine($"{plan.Tiles.Count} tiles, largest difference {largest:g2}, scores {whole.Min():0.000} to "
            + $"{whole.Max():0.000}");
        // Bit for bit on the processor.
        Assert.That(largest, Is.LessThanOrEqualTo(device == DeviceKind.Cpu ? 0 : 1e-6));
        Assert.That(whole.Max() - whole.Min(), Is.GreaterThan(0.1), "the scores depend on the voxels");
        Assert.That(summary.Maximum, Is.EqualTo(tiled.Max()));
        Assert.That(summary.TilesComputed, Is.EqualTo(plan.Tiles.Count));
    }

    [Test]
    public void Predict_TilesOneStepTooSmallAHalo_WouldDiffer()
    {
        // The halo is what is needed, not more: a voxel at its rim changes a score at the core's edge.
        using GpuContext context = Open("");
        UNet3dOptions structure = new() { Widths = [3, 5] };
        using UNet3d<float> network = new(context, structure, seed: 3);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options);
        Extent size = new(4, 4, 64);
        float[] image = new float[size.Voxels];
        float[] unchanged = picker.PredictScores(image, size);
        // Voxels of the core 32 … 33, one step of the divisor, that a change at this distance from it
        // changes.
        int Changed(bool before, int distance)
        {
            float[] changed = [.. image];
            for (int row = 0; row < 16; row++)
                changed[row * 64 + (before ? 32 - distance : 33 + distance)] = 1000;
            float[] after = picker.PredictScores(changed, size);
            return Enumerable.Range(0, 16).Count(
                row => after[row * 64 + 32] != unchanged[row * 64 + 32] || after[row * 64 + 33] != unchanged[row * 64 + 33]);
        }

        Assert.That(
            Math.Max(Changed(true, structure.ReceptiveRadius), Changed(false, structure.ReceptiveRadius)), Is.GreaterThan(0));
        for (int distance = structure.ReceptiveRadius + 1; distance < 31; distance++)
            Assert.That((Changed(true, distance), Changed(false, distance)), Is.EqualTo((0, 0)), $"{distance} voxels");
    }

    // Steps of fewer planes than the tile has, of all, and of so few that the coarsest resolution waits for
    // several; depths that leave an odd plane.
    [TestCase("16,16,16", 76, 44, 40, 4)]
    [TestCase("16,16,16", 76, 44, 40, 13)]
    [TestCase("16,16,16", 20, 24, 28, 20)]
    [TestCase("16,16,16,16,16", 80, 16, 32, 4)]
    [TestCase("3,4", 66, 20, 30, 4)]
    [TestCase("5", 9, 10, 11, 4)]
    [TestCase("16", 3, 10, 11, 4)]
    public void PredictByPlanes_EqualsTheForwardPass(string widths, int depth, int height, int width, int slab)
    {
        if (device != DeviceKind.Cpu)
            Assert.Ignore("other devices compute whole tensors");
        using GpuContext context = Open("");
        UNet3dOptions structure = new() { Widths = [.. widths.Split(',').Select(int.Parse)], Outputs = 2 };
        using UNet3d<float> network = new(context, structure, seed: 3);
        Extent tile = new(depth, height, width);
        using Volume image = RandomVolume(tile, 7, 100);
        using Arena whole = new(context);
        float[] expected;
        using (Tape<float> tape = Tape<float>.Begin(whole, inference: true))
            expected = network.Forward(tape, tape.Upload(image.AsSpan(), new TensorShape(1, depth, height, width, 1))).ToArray(
                context);

        Box core = structure.Divisor == 1 ? Box.Whole(tile) : new Box((4, 4, 8), new Extent(depth - 6, height - 8, width - 8));
        float[] scores = new float[2 * core.Size.Voxels];
        using Arena arena = new(context);
        network.PredictByPlanes(
            arena, Box.Whole(tile), core, slab, image.Read, (box, values) => TensorBlocks.Copy(
                values, box.Size, Box.Whole(box.Size), scores, core.Size, TensorBlocks.Within(box, core).Origin, 2));
        float[] wanted = new float[2 * core.Size.Voxels];
        TensorBlocks.Copy(expected, tile, core, wanted, core.Size, (0, 0, 0), 2);
        TestContext.Out.WriteLine($"{arena.CapacityBytes >> 10} KiB instead of {whole.CapacityBytes >> 10}");
        Assert.That(scores, Is.EqualTo(wanted));
        Assert.That(wanted.Max() - wanted.Min(), Is.GreaterThan(0.1), "the scores depend on the voxels");
        Assert.That(arena.Allocations, Is.EqualTo(1), "what was planned was enough");
        Assert.That(
            arena.CapacityBytes, Is.LessThanOrEqualTo(new PlaneSchedule(structure.Graph, depth, slab).Bytes(tile) + 4096));
    }

    [Test]
    public void Predict_WithAMask_ComputesOnlyTheTilesThatMeetIt()
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [3, 5] }, seed: 3);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options);
        Extent size = new(16, 18, 150);
        using Volume image = RandomVolume(size, 6, 1);
        using Volume mask = new(16, 18, 150);
        mask[8, 9, 70] = 1;
        mask[8, 9, 71] = 2;
        PickPlan plan = PickPlan.Create(
            network,
            size,
            Options,
            long.MaxValue,
            1,
            true,
            p => p.LargestTile.Width <= 48 || (p.NetworkOnHost && p.LargestTile.Width <= 72));
        using Volume all = new(16, 18, 150);
        using Volume map = new(16, 18, 150);
        picker.Predict(plan, image, null, [new ScoreMap(0, all)]);
        PredictionSummary summary = picker.Predict(plan, image, null, [new ScoreMap(0, map)], mask);
        Assert.That((summary.TilesComputed, plan.Tiles.Count > 3), Is.EqualTo((1, true)));
        Assert.That(map.AsSpan().ToArray().Count(v => v != 0), Is.EqualTo(2));
        Assert.That((map[8, 9, 70], map[8, 9, 71]), Is.EqualTo((all[8, 9, 70], all[8, 9, 71])));
    }

    [Test]
    public void Predict_SeveralMaps_EqualsOneAfterTheOther()
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [3, 5], Outputs = 3 }, seed: 3);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options);
        Extent size = new(13, 17, 75);
        using Volume image = RandomVolume(size, 6, 100);
        using Volume first = new(13, 17, 75);
        using Volume third = new(13, 17, 75);
        PickPlan Plan(int maps)
            => PickPlan.Create(network, size, Options, long.MaxValue, maps, true, p => p.LargestTile.Width <= 56);
        PredictionSummary together = picker.Predict(Plan(2), image, null, [new ScoreMap(2, third), new ScoreMap(0, first)]);
        Assert.That(first.AsSpan().ToArray(), Is.Not.EqualTo(third.AsSpan().ToArray()));
        foreach (
            (int output, Volume map, float maximum) in (
                (int, Volume, float)[])[(2, third, together.Maxima[0]), (0, first, together.Maxima[1])])
        {
            using Volume alone = new(13, 17, 75);
            picker.Predict(Plan(1), image, null, [new ScoreMap(output, alone)]);
            Assert.That(map.AsSpan().ToArray(), Is.EqualTo(alone.AsSpan().ToArray()));
            Assert.That(maximum, Is.EqualTo(alone.AsSpan().ToArray().Max()));
        }

        Assert.That(
            () => picker.Predict(Plan(1), image, null, [new ScoreMap(2, third), new ScoreMap(0, first)]),
            Throws.ArgumentException.With.Message.Contains("1 score maps, not 2"));
    }

    [Test]
    public void Cluster_InWindows_EqualsTheWholeMap()
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [2] }, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options);
        // Two windows along each axis; particles on the window's border among them.
        Extent size = new(140, 150, 145);
        List<Position> centers = [new(128, 128, 128), new(127.5f, 60, 60), new(60, 127.6f, 128.2f), new(20, 20, 127.4f)];
        Random random = new(4);
        while (centers.Count < 60)
        {
            Position center = new(8 + 124 * random.NextSingle(), 8 + 134 * random.NextSingle(), 8 + 129 * random.NextSingle());
            if (centers.TrueForAll(c => c.DistanceTo(center) > 11))
                centers.Add(center);
        }

        float[] map = Blobs(size, centers, radius: 4.5f);
        IReadOnlyList<Pick> picks = picker.Cluster(map, size);

        StartVoxels starts = StartVoxels.Above(map, size.Depth, size.Height, size.Width, Options);
        IReadOnlyList<Pick> whole = Clustering.Cluster(Converge(context, map, size, starts), starts.Scores, Options);
        Assert.That(picks, Has.Count.EqualTo(60));
        Assert.That(whole, Has.Count.EqualTo(60));
        Assert.That(picks.Sum(p => p.Voxels), Is.EqualTo(starts.Count), "every start ends in a pick");
        foreach (Pick pick in whole)
        {
            Pick same = picks.MinBy(p => p.Position.DistanceTo(pick.Position))!;
            // Positions count from the window's corner, so they differ by rounding; 2e-4 voxels were seen.
            Assert.That(same.Position.DistanceTo(pick.Position), Is.LessThan(2e-3));
            Assert.That(same.Voxels, Is.EqualTo(pick.Voxels));
            Assert.That(same.Score, Is.EqualTo(pick.Score).Within(1e-5));
        }
    }

    [Test]
    public void Cluster_EveryMethod_FindsTheBlobs([Values] PickMethod method)
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [2] }, seed: 1);
        PickOptions options = Options with { Method = method };
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, options);
        Extent size = new(40, 44, 48);
        Position[] centers = [new(2, 20.3f, 20), new(20, 10, 30.4f), new(30.25f, 35, 10), new(20, 30, 30)];
        float[] map = Blobs(size, centers, radius: 4);
        IReadOnlyList<Pick> picks = picker.Cluster(map, size);
        Assert.That(picks, Has.Count.EqualTo(4));
        foreach (Position center in centers)
        {
            Pick pick = picks.MinBy(p => p.Position.DistanceTo(center))!;
            // A blob cut by the border is pulled inwards; the others are symmetric up to sampling. Seen: 0.12
            // and 0.5.
            Assert.That(pick.Position.DistanceTo(center), Is.LessThan(center.Z < 4 ? 1 : 0.3));
            Assert.That(pick.AtBorder, Is.EqualTo(center.Z < 4));
            if (method == PickMethod.MeanShift)
                Assert.That(pick.Moved, Is.InRange(1, 3), "a ball's voxels lie three quarters of a radius from its centre, "
                    + "less where scores count");
        }
    }

    [Test]
    public void Cluster_MinimumDistance_KeepsTheHigherScore([Values] PickMethod method)
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [2] }, seed: 1);
        Extent size = new(24, 24, 48);
        float[] map = Blobs(size, [new(12, 12, 12)], radius: 4);
        float[] lower = Blobs(size, [new(12, 12, 24)], radius: 4);
        for (int i = 0; i < map.Length; i++)
            map[i] += 0.8f * lower[i];
        PickOptions near = Options with { Method = method, MinimumSupportFraction = 0 };
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, near);
        Assert.That(picker.Cluster(map, size), Has.Count.EqualTo(2));
        using TomogramPicker apart = new(network, MeanShiftOptions.Compact, near with { MinimumDistanceVoxels = 12.5f });
        Assert.That(apart.Cluster(map, size).Single().X, Is.EqualTo(12).Within(0.1));
    }

    [Test]
    public void Cluster_Components_JoinsAcrossSlices()
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [2] }, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, Options with
        {
            Method = PickMethod.Components,
            MinimumSupportFraction = 0,
        });
        Extent size = new(5, 5, 5);
        float[] map = new float[125];
        // Two columns that a bridge in the last slice joins, and a voxel that touches the bridge by a corner;
        // another lies apart.
        foreach (
            (int z, int y, int x) in (
                (int, int, int)[])[(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 2), (1, 0, 2), (2, 0, 2), (3, 0, 1), (4, 1, 2), (
                    1, 4, 4)])
            map[(z * 5 + y) * 5 + x] = 1;
        IReadOnlyList<Pick> picks = picker.Cluster(map, size);
        Assert.That(picks.Select(p => p.Voxels), Is.EquivalentTo((int[])[8, 1]));
        Assert.That(picks.Single(p => p.Voxels == 1).Position, Is.EqualTo(new Position(1, 4, 4)));
    }

    [Test]
    public void Plan_LessMemory_GivesMoreTilesWithinIt()
    {
        using GpuContext context = Open("");
        using UNet3d<float> network = new(context, new UNet3dOptions(), seed: 1);
        Extent size = new(256, 512, 512);
        double last = 0;
        foreach (int memory in (int[])[100_000, 4096, 2048, 1024])
        {
            PickPlan plan = PickPlan.Create(network, size, Options, (long)memory << 20, 1, mapsInMemory: false);
            Assert.That(plan.TotalBytes, Is.LessThanOrEqualTo((long)memory << 20));
            Assert.That(plan.Overlap, Is.GreaterThanOrEqualTo(last));
            last = plan.Overlap;
            Assert.That(plan.Tiles.Sum(t => t.CoreSize.Voxels), Is.EqualTo(size.Voxels));
        }

        // The tensors' memory stays for the next volume where clustering has room beside it.
        PickPlan roomy = PickPlan.Create(network, size, Options, 100_000L << 20, 1, mapsInMemory: false);
        PickPlan tight = PickPlan.Create(
            network, size, Options, roomy.ProcessBytes + roomy.BufferBytes + roomy.NetworkBytes, 1, mapsInMemory: false);
        Assert.That(
            (roomy.KeepsNetwork, tight.KeepsNetwork, tight.NetworkBytes),
            Is.EqualTo((device == DeviceKind.Cpu, false, roomy.NetworkBytes)));
        InputException e =
            Assert.Throws<InputException>(() => PickPlan.Create(network, size, Options, 64 << 20, 1, mapsInMemory: false))!;
        Assert.That(e.Message, Does.Contain("Raise the limit"));
    }

    private GpuContext Open(string variant)
    {
        if (device != DeviceKind.Cpu && variant.Contains("Host", StringComparison.Ordinal))
            Assert.Ignore("host variants run on the CPU device only");
        return TestDevices.Open(device, variant: variant);
    }

    private static Volume RandomVolume(Extent size, int seed, float amplitude)
    {
        Volume volume = new(size.Depth, size.Height, size.Width);
        Random random = new(seed);
        foreach (ref float value in volume.AsSpan())
            value = 2 * amplitude * (random.NextSingle() + random.NextSingle() - 1);
        return volume;
    }

    private static float[] Blobs(Extent size, IReadOnlyList<Position> centers, float radius)
    {
        float[] map = new float[size.Voxels];
        foreach (Position center in centers)
        {
            for (int z = Math.Max(0, (int)(center.Z - radius)); z < Math.Min(size.Depth, center.Z + radius); z++)
            {
                for (int y = Math.Max(0, (int)(center.Y - radius)); y < Math.Min(size.Height, center.Y + radius); y++)
                {
                    for (int x = Math.Max(0, (int)(center.X - radius)); x < Math.Min(size.Width, center.X + radius); x++)
                    {
                        double share = center.SquaredDistanceTo(new Position(z, y, x)) / (radius * radius);
                        if (share < 1)
                            map[(z * size.Height + y) * size.Width + x] = (float)(1 - share);
                    }
                }
            }
        }

        return map;
    }

    private static float[] Converge(GpuContext context, float[] map, Extent size, StartVoxels starts)
    {
        using Arena arena = new(context);
        MeanShiftShape shape = new(1, size.Depth, size.Height, size.Width, 1, Options.MaximumIterations, ScorePitch: 1);
        MeanShiftParameters parameters = new(
            Options.BandwidthVoxels, MeanShiftOptions.Compact.ScoreFloor, MeanShiftOptions.Compact.Weighting);
        IMeanShift<float> kernels = context.Launcher(MeanShiftVariants<float>.Table, shape);
        ILGPU.ArrayView<float> scores = arena.Allocate<float>(map.Length);
        ILGPU.ArrayView<float> positions = arena.Allocate<float>(starts.Positions.Length);
        ILGPU.ArrayView<byte> workspace = arena.Allocate<byte>(
            Math.Max(1, kernels.WorkspaceBytes(shape, parameters, centers: 0)));
        ILGPU.Runtime.ArrayViewExtensions.CopyFromCPU(scores, context.Stream, map);
        ILGPU.Runtime.ArrayViewExtensions.CopyFromCPU(positions, context.Stream, starts.Positions);
        kernels.Converge(
            context.Stream,
            scores,
            positions,
            positions,
            arena.Allocate<int>(starts.Count), arena.Allocate<float>(starts.Count),
            workspace,
            shape,
            parameters,
            Options.ConvergenceVoxels);
        float[] converged = new float[starts.Positions.Length];
        ILGPU.Runtime.ArrayViewExtensions.CopyToCPU(positions, context.Stream, converged);
        context.Synchronize();
        return converged;
    }
}
