using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>One simulated tomogram with its truth.</summary>
/// <param name="Reconstruction">What the microscope and the back-projection make of the model.</param>
/// <param name="Model">The density: 1 is the mean within a particle, 0 the surroundings.</param>
/// <param name="Occupancy">
/// The number of the particle, counted from 1, that a voxel belongs to; 0 outside. To a particle belong its
/// mask and what is free within half its radius of its centre, so that a pick at the centre of a hollow one
/// finds it.
/// </param>
/// <param name="Particles">The particles; number n is the n-th.</param>
/// <param name="DefocusMicrometers">The underfocus that was drawn, in µm.</param>
/// <param name="SignalVariance">Variance of the images before noise, see
/// <see cref="TomogramOptions.SignalToNoise"/>.</param>
/// <param name="NoiseDeviation">SD of the noise that was added to the images.</param>
public sealed record SimulatedTomogram(
    Volume Reconstruction,
    Volume Model,
    Volume Occupancy,
    IReadOnlyList<SimulatedParticle> Particles,
    double DefocusMicrometers,
    double SignalVariance,
    double NoiseDeviation) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Reconstruction.Dispose();
        Model.Dispose();
        Occupancy.Dispose();
    }
}

/// <summary>
/// Simulates tomograms as a microscope takes them: particles of given densities, turned at random and without
/// overlaps; projections at several tilts; the contrast transfer; noise; weighted back-projection. What no
/// tilt shows is missing from the result (the missing wedge).
/// </summary>
public static class TomogramSimulator
{
    // Streams of random numbers: places and rotations, the microscope, and one for each tilt's noise.
    private const int PlacementStream = 0;
    private const int MicroscopeStream = 1;
    private const int FirstNoiseStream = 2;

    /// <summary>
    /// Simulates one tomogram. The same options (with their seed) and index give the same bits, whatever the
    /// number of threads. The memory it takes is about 13 bytes for each voxel.
    /// </summary>
    /// <param name="options">The sample, the microscope and the seed of the data set.</param>
    /// <param name="index">The tomogram's number in the data set, 0 or more.</param>
    /// <param name="threads">How many threads work; 0 for all processors.</param>
    /// <exception cref="InputException">An option is out of range, or so many particles do not
    /// fit.</exception>
    public static SimulatedTomogram Create(TomogramOptions options, int index, int threads = 0)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        options.Validate();
        int workers = threads > 0 ? threads : -1;
        Volume Empty() => new(options.Depth, options.Height, options.Width, new VoxelSize(options.VoxelSizeAngstrom));

        Volume model = Empty();
        Volume occupancy = Empty();
        IReadOnlyList<SimulatedParticle> particles = ParticlePlacement.Fill(
            options, new SplitMix64(options.Seed, index, PlacementStream), model, occupancy);

        MicroscopeOptions microscope = options.Microscope;
        double defocus = microscope.MinimumDefocusMicrometers
            + (microscope.MaximumDefocusMicrometers - microscope.MinimumDefocusMicrometers) * new SplitMix64(
                options.Seed, index, MicroscopeStream).NextDouble();
        TiltSeries series = TiltSeries.Project(model, options, defocus, workers);
        // A ratio to nothing says nothing: an empty volume gets noise of SD 1.
        double deviation = series.SignalVariance > 0 ? Math.Sqrt(series.SignalVariance / options.SignalToNoise) : 1;
        if (deviation > 0)
            series.AddNoise(deviation, options.Seed, index, FirstNoiseStream);

        Volume reconstruction = Empty();
        series.BackProject(reconstruction);
        return new SimulatedTomogram(reconstruction, model, occupancy, particles, defocus, series.SignalVariance, deviation);
    }
}
