using System.Numerics;
using MathNet.Numerics.IntegralTransforms;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Simulation;

[TestFixture]
public class TomogramSimulatorTests
{
    private static readonly TomogramOptions Small = new()
    {
        Depth = 36,
        Height = 48,
        Width = 52,
        Shapes = [ParticleShape.Create("sandclock", 10), ParticleShape.Create("hook", 10)],
        MinimumParticles = 6,
        MaximumParticles = 6,
        TiltStepDegrees = 6,
        Seed = 3,
    };

    [Test]
    public void Create_WithOtherThreads_GivesTheSameBitsAndAnotherIndexOthers()
    {
        using SimulatedTomogram one = TomogramSimulator.Create(Small, 0, threads: 1);
        using SimulatedTomogram two = TomogramSimulator.Create(Small, 0, threads: 2);
        using SimulatedTomogram other = TomogramSimulator.Create(Small, 1);
        Assert.That(two.Reconstruction.AsSpan().SequenceEqual(one.Reconstruction.AsSpan()));
        Assert.That(two.Occupancy.AsSpan().SequenceEqual(one.Occupancy.AsSpan()));
        Assert.That(two.Particles, Is.EqualTo(one.Particles));
        Assert.That(other.Particles, Is.Not.EqualTo(one.Particles));
    }

    [Test]
    public void Create_Particles_DoNotTouchAndLieWhereTheyAreSaidToBe()
    {
        using SimulatedTomogram tomogram = TomogramSimulator.Create(Small with { GapVoxels = 2 }, 0);
        Assert.That(tomogram.Particles.Select(p => p.Class), Is.EqualTo(new[] { 1, 2, 1, 2, 1, 2 }));
        (double Mass, double Z, double Y, double X)[] sums = new (double, double, double, double)[tomogram.Particles.Count];
        int[] voxels = new int[sums.Length];
        for (int z = 0; z < Small.Depth; z++)
        {
            for (int y = 0; y < Small.Height; y++)
            {
                for (int x = 0; x < Small.Width; x++)
                {
                    int number = (int)tomogram.Occupancy[z, y, x];
                    if (number == 0)
                        continue;
                    double density = tomogram.Model[z, y, x];
                    ref (double Mass, double Z, double Y, double X) sum = ref sums[number - 1];
                    sum = (sum.Mass + density, sum.Z + density * z, sum.Y + density * y, sum.X + density * x);
                    // The empty centre of a hollow particle is its own, but not its mask.
                    if (density > Small.Shapes[tomogram.Particles[number - 1].Class - 1].Threshold)
                        voxels[number - 1]++;
                    foreach (
                        (int nz, int ny, int nx) in (ReadOnlySpan<(int, int, int)>)[(z + 1, y, x), (z, y + 1, x), (z, y, x + 1)])
                    {
                        if (nz < Small.Depth && ny < Small.Height && nx < Small.Width)
                            Assert.That((int)tomogram.Occupancy[nz, ny, nx], Is.EqualTo(number).Or.Zero);
                    }
                }
            }
        }

        for (int i = 0; i < sums.Length; i++)
        {
            SimulatedParticle particle = tomogram.Particles[i];
            using (Assert.EnterMultipleScope())
            {
                // Interpolation widens a turned mask; seen: up to 13 %. Centres: within 0.03 voxel (the
                // fringe below the threshold is left out).
                Assert.That(voxels[i], Is.EqualTo(Small.Shapes[particle.Class - 1].MaskVoxels).Within(20).Percent);
                Assert.That(sums[i].Z / sums[i].Mass, Is.EqualTo(particle.Z).Within(0.1));
                Assert.That(sums[i].Y / sums[i].Mass, Is.EqualTo(particle.Y).Within(0.1));
                Assert.That(sums[i].X / sums[i].Mass, Is.EqualTo(particle.X).Within(0.1));
            }
        }
    }

    [Test]
    public void Create_Occupancy_GivesAPickNearTheCentreOfAHollowParticleToIt()
    {
        TomogramOptions options =
            Small with { Shapes = [ParticleShape.Create("ring", 10)], MinimumParticles = 3, MaximumParticles = 3 };
        using SimulatedTomogram tomogram = TomogramSimulator.Create(options, 0);
        Particle[] truth = [.. tomogram.Particles.Select((p, i) => new Particle(p.Z, p.Y, p.X) { Id = i + 1 })];
        // A ball of the ring's volume has a radius of 5.1 voxels, the hole one of 3.5; half of 5.1 less what
        // rounding to a voxel may add.
        Assert.That(options.Shapes[0].RadiusVoxels / 2, Is.InRange(2.4, 3.5));
        float[] steps = [-1, 0, 1];
        foreach ((float z, float y, float x) in from z in steps from y in steps from x in steps select (z, y, x))
        {
            OccupancyEvaluation evaluation = new();
            evaluation.Add([.. truth.Select(p => new Position(p.Z + z, p.Y + y, p.X + x))], truth, tomogram.Occupancy);
            Assert.That((evaluation.Score.Found, evaluation.Score.Background), Is.EqualTo((3, 0)), $"{(z, y, x)}");
        }
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Create_Reconstruction_HasNoShiftAndTheSignOfItsContrast(bool bright)
    {
        TomogramOptions options = Small with { SignalToNoise = double.PositiveInfinity, BrightParticles = bright };
        using SimulatedTomogram tomogram = TomogramSimulator.Create(options, 0);
        double sign = bright ? 1 : -1;
        double Correlation(int dz, int dy, int dx) => sign * Correlate(tomogram.Model, tomogram.Reconstruction, dz, dy, dx);
        double here = Correlation(0, 0, 0);
        Assert.That(here, Is.Positive);
        foreach ((int z, int y, int x) in (ReadOnlySpan<(int, int, int)>)[(1, 0, 0), (0, 1, 0), (0, 0, 1)])
        {
            (double before, double after) = (Correlation(-z, -y, -x), Correlation(z, y, x));
            Assert.That(before, Is.LessThan(here));
            Assert.That(after, Is.LessThan(here));
            // The top of the parabola through three correlations; seen: up to 0.01 voxel.
            Assert.That(0.5 * (before - after) / (before - 2 * here + after), Is.Zero.Within(0.1), $"along {(z, y, x)}");
        }
    }

    [Test]
    public void Create_WhatNoTiltShows_IsMissing()
    {
        // Noise alone has power at all frequencies; the reconstruction has it where a tilt was.
        TomogramOptions options = Small with { Depth = 48, Height = 16, Width = 48, MinimumParticles = 0, MaximumParticles = 0 };
        using SimulatedTomogram tomogram = TomogramSimulator.Create(options, 0);
        double measured = 0;
        double missing = 0;
        (int measuredCount, int missingCount) = (0, 0);
        for (int y = 0; y < options.Height; y++)
        {
            Complex[] slice = SliceSpectrum(tomogram.Reconstruction, y);
            for (int kz = -24; kz < 24; kz++)
            {
                for (int kx = -24; kx < 24; kx++)
                {
                    double radius = Math.Sqrt(kz * kz + kx * kx);
                    double angle = Math.Atan2(Math.Abs(kz), Math.Abs(kx)) * 180 / Math.PI;
                    double power = slice[(kz + 48) % 48 * 48 + (kx + 48) % 48].Magnitude;
                    power *= power;
                    // The window that hides the volume's faces blurs the wedge's edge by two frequencies.
                    if (radius is < 10 or > 19)
                        continue;
                    if (angle < 50)
                        (measured, measuredCount) = (measured + power, measuredCount + 1);
                    else if (angle > 75)
                        (missing, missingCount) = (missing + power, missingCount + 1);
                }
            }
        }

        // Seen: 3e-5 of the measured power.
        Assert.That(missing / missingCount, Is.LessThan(3e-4 * measured / measuredCount));
    }

    [TestCase(0.1)]
    [TestCase(2)]
    public void Create_Noise_HasTheRatioAskedFor(double ratio)
    {
        TomogramOptions options = Small with { SignalToNoise = ratio };
        using SimulatedTomogram clean = TomogramSimulator.Create(options with { SignalToNoise = double.PositiveInfinity }, 0);
        TiltSeries series = TiltSeries.Project(clean.Model, options, clean.DefocusMicrometers, threads: -1);
        float[][] before = [.. series.Images.Select(i => (float[])i.Clone())];
        using SimulatedTomogram noisy = TomogramSimulator.Create(options, 0);
        series.AddNoise(noisy.NoiseDeviation, options.Seed, 0, 2);
        double noise = before.Zip(series.Images).Average(
            p => p.First.Zip(p.Second, (a, b) => (double)(b - a) * (b - a)).Average());
        Assert.That(series.SignalVariance / noise, Is.EqualTo(ratio).Within(1).Percent);
    }

    [Test]
    public void Microscope_ContrastTransfer_IsThatOfTheTextbook()
    {
        MicroscopeOptions microscope = new() { FlipPhases = false, AmplitudeContrast = 0, SphericalAberrationMillimeters = 0 };
        using (Assert.EnterMultipleScope())
        {
            Assert.That(microscope.WavelengthAngstrom, Is.EqualTo(0.019687).Within(1e-6), "300 kV");
            Assert.That(
                (microscope with { VoltageKilovolts = 100 }).WavelengthAngstrom, Is.EqualTo(0.037014).Within(2e-6), "100 kV");
            // Without aberration and amplitude contrast the first zero lies at s² = 1/(λ·Δf), the first
            // extremum at half of it.
            double first = 1 / (microscope.WavelengthAngstrom * 30_000);
            Assert.That(microscope.Transfer(first, 3), Is.Zero.Within(1e-9));
            Assert.That(microscope.Transfer(first / 2, 3), Is.EqualTo(-1).Within(1e-9));
            Assert.That(microscope.Transfer(1.5 * first, 3), Is.EqualTo(1).Within(1e-9));
            Assert.That((microscope with { FlipPhases = true }).Transfer(1.5 * first, 3), Is.EqualTo(-1).Within(1e-9));
            Assert.That((microscope with { AmplitudeContrast = 0.07 }).Transfer(0, 3), Is.EqualTo(-0.07).Within(1e-9));
        }
    }

    [Test]
    public void RandomRotation_Draw_IsARotationAndAllDirectionsAreAlike()
    {
        SplitMix64 random = new(1, 0, 0);
        const int count = 20_000;
        (double x, double y, double z, double zz, double xx) sum = default;
        for (int i = 0; i < count; i++)
        {
            RotationMatrix rotation = RandomRotation.Draw(random);
            (double x, double y, double z) = rotation.Apply(0, 0, 1);
            sum = (sum.x + x, sum.y + y, sum.z + z, sum.zz + z * z, sum.xx + rotation.XX * rotation.XX);
            if (i < 100)
            {
                Assert.That(rotation.Determinant, Is.EqualTo(1).Within(1e-12));
                Assert.That((rotation * rotation.Transposed).AngleTo(RotationMatrix.Identity), Is.Zero.Within(1e-6));
            }
        }

        // Of a direction that is uniform on the sphere each component has mean 0 and mean square 1/3.
        using (Assert.EnterMultipleScope())
        {
            Assert.That(sum.x / count, Is.Zero.Within(0.02));
            Assert.That(sum.y / count, Is.Zero.Within(0.02));
            Assert.That(sum.z / count, Is.Zero.Within(0.02));
            Assert.That(sum.zz / count, Is.EqualTo(1.0 / 3).Within(0.01));
            Assert.That(sum.xx / count, Is.EqualTo(1.0 / 3).Within(0.01));
        }
    }

    [Test]
    public void Create_AParticle_IsItsDensityTurnedByItsAngles()
    {
        using SimulatedTomogram tomogram = TomogramSimulator.Create(Small with { MinimumParticles = 1, MaximumParticles = 1 }, 0);
        SimulatedParticle particle = tomogram.Particles[0];
        RotationMatrix rotation = particle.Angles.ToMatrix();
        // The larger ball of a sandclock lies at +x of its own frame and reaches 8.1 voxels from the centre
        // of mass, the smaller at −x, 9.9.
        double Density(double along)
        {
            (double x, double y, double z) = rotation.Apply(along, 0, 0);
            return tomogram.Model[(int)Math.Round(particle.Z + z), (int)Math.Round(particle.Y + y), (int)Math.Round(
                particle.X + x)];
        }

        Assert.That(Density(9.5), Is.Zero.Within(0.01));
        Assert.That(Density(6), Is.GreaterThan(0.9));
        Assert.That(Density(-8.5), Is.GreaterThan(0.3));
    }

    [Test]
    public void Shape_FromDensity_IsRescaledWithoutAShift()
    {
        using TemporaryFolder folder = new();
        string path = folder["blob.mrc"];
        using (Volume volume = new(20, 22, 24, new VoxelSize(6)))
        {
            // Two Gaussians of different mass.
            for (int z = 0; z < 20; z++)
            {
                for (int y = 0; y < 22; y++)
                {
                    for (int x = 0; x < 24; x++)
                        volume[z, y, x] = (float)(Gaussian(z - 9, y - 10, x - 8) + 2 * Gaussian(z - 10, y - 10, x - 14));
                }
            }

            MrcFile.Write(path, volume);
        }

        ParticleShape same = ParticleShape.FromDensity(path, 6);
        ParticleShape coarse = ParticleShape.FromDensity(path, 12);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(same.Name, Is.EqualTo("blob"));
            // Half the voxels along each axis; seen: 6.0 times fewer.
            Assert.That((double)same.MaskVoxels / coarse.MaskVoxels, Is.InRange(5, 10));
            // The centre of mass lies two thirds of the way from the small blob to the large one.
            Assert.That(same.DensityAt(10 - 29.0 / 3, 0, 2), Is.GreaterThan(1.5 * same.DensityAt(9 - 29.0 / 3, 0, -4)));
            Assert.That(coarse.DensityAt(0, 0, 1), Is.GreaterThan(1.5 * coarse.DensityAt(0, 0, -2)));
        }

        static double Gaussian(double z, double y, double x) => Math.Exp(-(z * z + y * y + x * x) / (2 * 2.0 * 2.0));
    }

    [Test]
    public void Create_WhatDoesNotFit_IsRefused()
    {
        Assert.That(
            () => TomogramSimulator.Create(Small with { MinimumParticles = 500, MaximumParticles = 500 }, 0),
            Throws.TypeOf<InputException>().With.Message.Contains("500 particles do not fit"));
        Assert.That(
            () => TomogramSimulator.Create(Small with { Shapes = [] }, 0),
            Throws.TypeOf<InputException>().With.Message.Contains("kinds"));
        Assert.That(() => ParticleShape.Create("cube", 10), Throws.TypeOf<InputException>().With.Message.Contains("sandclock"));
    }

    private static double Correlate(Volume a, Volume b, int dz, int dy, int dx)
    {
        double sum = 0;
        for (int z = 1; z < a.Depth - 1; z++)
        {
            for (int y = 1; y < a.Height - 1; y++)
            {
                for (int x = 1; x < a.Width - 1; x++)
                    sum += (double)a[z, y, x] * b[z + dz, y + dy, x + dx];
            }
        }

        return sum;
    }

    private static Complex[] SliceSpectrum(Volume volume, int y)
    {
        (int depth, int width) = (volume.Depth, volume.Width);
        Complex[] slice = new Complex[depth * width];
        for (int z = 0; z < depth; z++)
        {
            for (int x = 0; x < width; x++)
                slice[z * width + x] = volume[z, y, x] * Window(z, depth) * Window(x, width);
        }

        Complex[] line = new Complex[width];
        for (int z = 0; z < depth; z++)
        {
            Array.Copy(slice, z * width, line, 0, width);
            Fourier.Forward(line, FourierOptions.NoScaling);
            Array.Copy(line, 0, slice, z * width, width);
        }

        line = new Complex[depth];
        for (int x = 0; x < width; x++)
        {
            for (int z = 0; z < depth; z++)
                line[z] = slice[z * width + x];
            Fourier.Forward(line, FourierOptions.NoScaling);
            for (int z = 0; z < depth; z++)
                slice[z * width + x] = line[z];
        }

        return slice;

        static double Window(int i, int n) => 0.5 - 0.5 * Math.Cos(2 * Math.PI * (i + 0.5) / n);
    }
}
