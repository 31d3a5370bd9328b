using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>What a simulated tomogram looks like, and how it is taken.</summary>
public sealed record TomogramOptions
{
    /// <summary>Particles per million voxels where their number is not given.</summary>
    public const double ParticlesPerMillionVoxels = 50;

    /// <summary>Voxels along z, the beam's direction at tilt 0.</summary>
    public int Depth { get; init; } = 64;

    /// <summary>Voxels along y, the tilt axis.</summary>
    public int Height { get; init; } = 200;

    /// <summary>Voxels along x.</summary>
    public int Width { get; init; } = 200;

    /// <summary>The edge of a voxel in Å.</summary>
    public double VoxelSizeAngstrom { get; init; } = 10;

    /// <summary>The kinds of particles; equally many of each, class n is the n-th.</summary>
    public IReadOnlyList<ParticleShape> Shapes { get; init; } = [];

    /// <summary>
    /// Fewest particles; the number is drawn uniformly. Null: <see cref="ParticlesPerMillionVoxels"/>.
    /// </summary>
    public int? MinimumParticles { get; init; }

    /// <summary>Most particles. Null: <see cref="ParticlesPerMillionVoxels"/>.</summary>
    public int? MaximumParticles { get; init; }

    /// <summary>The masks of two particles are farther apart than this, in voxels.</summary>
    public double GapVoxels { get; init; } = 1;

    /// <summary>The first tilt in degrees.</summary>
    public double FirstTiltDegrees { get; init; } = -60;

    /// <summary>No tilt is above this, in degrees.</summary>
    public double LastTiltDegrees { get; init; } = 60;

    /// <summary>Degrees between two tilts.</summary>
    public double TiltStepDegrees { get; init; } = 3;

    /// <summary>The microscope.</summary>
    public MicroscopeOptions Microscope { get; init; } = new();

    /// <summary>
    /// Variance of the projections (after the contrast transfer, over the field of view, averaged over the
    /// tilts) divided by that of the white noise in them; infinity for none.
    /// </summary>
    public double SignalToNoise { get; init; } = 0.1;

    /// <summary>
    /// Whether particles are brighter than their surroundings; in a micrograph they are darker.
    /// </summary>
    public bool BrightParticles { get; init; }

    /// <summary>
    /// Seed of the data set. A tomogram is a function of the options, the seed and its index.
    /// </summary>
    public long Seed { get; init; } = 1;

    /// <summary>The size in voxels.</summary>
    public Extent Extent => new(Depth, Height, Width);

    /// <summary>The number of particles where it is not given.</summary>
    internal int ParticlesByDensity => (int)Math.Round(Extent.Voxels * 1e-6 * ParticlesPerMillionVoxels);

    /// <summary>The tilts in degrees.</summary>
    public IReadOnlyList<double> TiltsDegrees
        => [.. Enumerable.Range(0, (int)Math.Floor((LastTiltDegrees - FirstTiltDegrees) / TiltStepDegrees + 1e-9) + 1).Select(
            i => FirstTiltDegrees + i * TiltStepDegrees)];

    /// <summary>Refuses options that make no sense.</summary>
    /// <exception cref="InputException">An option is out of range; the line says which.</exception>
    public void Validate()
    {
        Require(
            Depth >= 8 && Height >= 8 && Width >= 8 && Math.Max(Depth, Math.Max(Height, Width)) <= 8192,
            $"a volume of {Extent} voxels; expected 8 to 8192 along each axis");
        Require(VoxelSizeAngstrom is > 0 and < 1000, $"a voxel size of {VoxelSizeAngstrom} Å; expected above 0 and below 1000");
        Require(Shapes.Count is >= 1 and <= 1000, $"{Shapes.Count} kinds of particles; expected 1 to 1000");
        Require(
            MinimumParticles is null or (>= 0 and <= 1_000_000) && MaximumParticles is null or (>= 0 and <= 1_000_000)
                && (MinimumParticles ?? 0) <= (MaximumParticles ?? int.MaxValue),
            $"{MinimumParticles} to {MaximumParticles} particles; expected 0 ≤ fewest ≤ most ≤ 1000000");
        Require(MinimumParticles is not null || MaximumParticles is not null || ParticlesByDensity > 0,
            $"a volume of {Extent} voxels would have no particle at {ParticlesPerMillionVoxels} for a million voxels; expected "
            + "a larger one, or a number of particles");
        Require(GapVoxels is >= 0 and <= 64, $"a gap of {GapVoxels} voxels; expected 0 to 64");
        Require(
            FirstTiltDegrees is >= -89 and <= 89 && LastTiltDegrees is >= -89 and <= 89 && FirstTiltDegrees <= LastTiltDegrees
                && TiltStepDegrees is >= 0.1 and <= 90,
            $"tilts from {FirstTiltDegrees} to {LastTiltDegrees} in steps of {TiltStepDegrees} degrees; expected −89 ≤ first ≤ "
            + "last ≤ 89 and a step of 0.1 to 90");
        Require(SignalToNoise > 0, $"a signal-to-noise ratio of {SignalToNoise}; expected above 0");
        Microscope.Validate();
    }

    private static void Require(bool condition, string problem)
    {
        if (!condition)
            throw new InputException($"simulation: {problem}.");
    }
}

/// <summary>How the microscope turns a projection into an image.</summary>
public sealed record MicroscopeOptions
{
    /// <summary>Acceleration voltage in kV.</summary>
    public double VoltageKilovolts { get; init; } = 300;

    /// <summary>Spherical aberration in mm.</summary>
    public double SphericalAberrationMillimeters { get; init; } = 2.7;

    /// <summary>The part of the contrast that is there without defocus.</summary>
    public double AmplitudeContrast { get; init; } = 0.1;

    /// <summary>Least underfocus in µm; a tomogram's is drawn uniformly.</summary>
    public double MinimumDefocusMicrometers { get; init; } = 2.5;

    /// <summary>Most underfocus in µm.</summary>
    public double MaximumDefocusMicrometers { get; init; } = 4;

    /// <summary>
    /// Whether phases are corrected by phase flipping, as most programs do before they reconstruct.
    /// </summary>
    public bool FlipPhases { get; init; } = true;

    /// <summary>The wavelength of the electrons in Å, relativistic.</summary>
    public double WavelengthAngstrom
    {
        get
        {
            // h/√(2meU(1 + eU/2mc²)) with U in volts: 12.2643 Å·√V and e/2mc² = 0.97848e-6/V.
            double volts = VoltageKilovolts * 1000;
            return 12.2643 / Math.Sqrt(volts * (1 + 0.97848e-6 * volts));
        }
    }

    /// <summary>
    /// The contrast transfer at a spatial frequency: −sin(π·λ·Δf·s² − π/2·Cs·λ³·s⁴ + arcsin A), negative at
    /// low frequencies, so that particles are dark (R. H. Wade, Ultramicroscopy 46 (1992), with the signs of
    /// the usual programs).
    /// </summary>
    /// <param name="squaredFrequency">s² in 1/Å².</param>
    /// <param name="defocusMicrometers">Δf, underfocus in µm.</param>
    public double Transfer(double squaredFrequency, double defocusMicrometers)
    {
        double wavelength = WavelengthAngstrom;
        double phase = Math.PI * wavelength * squaredFrequency
            * (defocusMicrometers * 1e4
                - 0.5 * SphericalAberrationMillimeters * 1e7 * wavelength * wavelength * squaredFrequency);
        double transfer = Math.Sin(phase + Math.Asin(AmplitudeContrast));
        return FlipPhases ? -Math.Abs(transfer) : -transfer;
    }

    internal void Validate()
    {
        if (VoltageKilovolts is not (>= 20 and <= 1500) || SphericalAberrationMillimeters is not (>= 0 and <= 100)
            || AmplitudeContrast is not (>= 0 and <= 1))
            throw new InputException($"simulation: {VoltageKilovolts} kV, spherical aberration "
                + $"{SphericalAberrationMillimeters} mm, amplitude contrast {AmplitudeContrast}; expected 20 to 1500 kV, 0 to "
                + "100 mm, 0 to 1.");
        if (!(MinimumDefocusMicrometers >= 0 && MaximumDefocusMicrometers >= MinimumDefocusMicrometers
            && MaximumDefocusMicrometers <= 50))
            throw new InputException($"simulation: underfocus from {MinimumDefocusMicrometers} to {MaximumDefocusMicrometers} "
                + "µm; expected 0 ≤ least ≤ most ≤ 50.");
    }
}
