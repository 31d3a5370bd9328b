using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tomography.Picking;

using GpuContext context = GpuContext.Create();

// With a model that a training wrote: using TomogramPicker picker = TomogramPicker.Open(context,
// "model.safetensors");
using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 16] }, seed: 1);
using TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions { BandwidthVoxels = 4 });

// A volume in memory, of any grey values: Pick normalises it.
Extent size = new(32, 40, 48);
float[] voxels = new float[size.Voxels];
for (int i = 0; i < voxels.Length; i++)
    voxels[i] = 100 + 20 * MathF.Sin(0.1f * i * i);
using Volume volume = Volume.Of(voxels, size);
using CancellationTokenSource stop = new(TimeSpan.FromMinutes(10));
PickResult result = picker.Pick(volume, new PickRequest { Name = "volume" }, stop.Token);
foreach (PickWarning warning in result.Warnings)
    Console.WriteLine($"{warning.Kind}: {warning.Fact} {warning.Remedy}");

// The parts of it, with a map of your own: two particles, found to a fraction of a voxel.
float[] map = new float[size.Voxels];
Position[] particles = [new(10, 12.5f, 14), new(20.25f, 30, 33)];
for (int z = 0; z < size.Depth; z++)
{
    for (int y = 0; y < size.Height; y++)
    {
        for (int x = 0; x < size.Width; x++)
        {
            foreach (Position p in particles)
                map[(z * size.Height + y) * size.Width + x] += MathF.Exp(
                    -0.1f * (Square(z - p.Z) + Square(y - p.Y) + Square(x - p.X)));
        }
    }
}

IReadOnlyList<Pick> picks = picker.Cluster(map, size, stop.Token);
foreach (Pick pick in picks)
    Console.WriteLine($"z {pick.Z:0.00}, y {pick.Y:0.00}, x {pick.X:0.00}, score {pick.Score:0.000}");
bool found = particles.All(p => picks.Any(k => Square(k.Z - p.Z) + Square(k.Y - p.Y) + Square(k.X - p.X) < 0.25));
return picks.Count == 2 && found ? 0 : 1;

static float Square(double value) => (float)(value * value);
