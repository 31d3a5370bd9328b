using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

public class PlaneScheduleTests
{
    // What a ring holds is followed plane by plane, whatever the schedule thinks.
    [Test]
    public void Steps_ReadOnlyWhatTheRingsHold_AndComputeEveryPlaneOnce(
        [Values("7", "4,5", "3,4,5", "2,2,2,2,2")] string widths,
        [Values(1, 2, 5, 13)] int sixteenths,
        [Values(2, 4, 7, 12, 1000)] int slab)
    {
        UNet3dOptions structure = new() { Widths = [.. widths.Split(',').Select(int.Parse)] };
        PlaneSchedule schedule = new(structure.Graph, 16 * sixteenths, slab);
        Dictionary<PlaneTensor, int[]> held = schedule.Tensors.ToDictionary(t => t, t => Enumerable.Repeat(-1, t.Ring).ToArray());
        Dictionary<PlaneTensor, int> done = schedule.Tensors.ToDictionary(t => t, _ => 0);
        foreach ((PlaneTensor tensor, int begin, int end) in schedule.Steps)
        {
            Assert.That(
                (begin, begin % 2, end == tensor.Depth || end % 2 == 0), Is.EqualTo((done[tensor], 0, true)), $"{tensor.Node}");
            Assert.That(end - begin, Is.InRange(1, Math.Min(tensor.Ring, Math.Max(slab >> tensor.Node.Level, 2))));
            foreach (PlaneTensor source in tensor.Sources)
            {
                for (int plane = begin; plane < end; plane++)
                {
                    int[] read = tensor.Node.Op switch
                    {
                        NodeOp.Convolution => [plane - 1, plane, plane + 1],
                        NodeOp.Pooling => [2 * plane, 2 * plane + 1],
                        NodeOp.Transposed => [plane / 2],
                        _ => [plane],
                    };
                    // Groups of two planes are computed together, so a group reads what either of them does.
                    if (tensor.Node.Op == NodeOp.Convolution)
                        read = [plane / 2 * 2 - 1, .. read, plane / 2 * 2 + 2];
                    foreach (int z in read.Where(z => z >= 0 && z < source.Depth))
                        Assert.That(held[source][z % source.Ring], Is.EqualTo(z), $"{tensor.Node} plane {plane} reads "
                            + $"{source.Node}");
                }
            }

            for (int plane = begin; plane < end; plane++)
                held[tensor][plane % tensor.Ring] = plane;
            done[tensor] = end;
        }

        Assert.That(done.Values, Is.EqualTo(schedule.Tensors.Select(t => t.Depth)));
    }

    [Test]
    public void Bytes_OfADeeperTile_AreNotMore()
    {
        UNet3dOptions structure = new();
        Extent tile = new(128, 256, 256);
        long bytes = new PlaneSchedule(structure.Graph, 128, 4).Bytes(tile);
        Assert.That(new PlaneSchedule(structure.Graph, 4096, 4).Bytes(tile with { Depth = 4096 }), Is.EqualTo(bytes));
        Assert.That(bytes, Is.LessThan(1115L << 20).And.GreaterThan(1105L << 20));
        // A shallow tile's skip connection has no 64 planes to keep.
        Assert.That(new PlaneSchedule(structure.Graph, 16, 4).Bytes(tile with { Depth = 16 }), Is.LessThan(0.7 * bytes));
    }
}
