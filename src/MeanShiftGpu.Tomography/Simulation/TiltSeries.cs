using System.Numerics;
using MathNet.Numerics.IntegralTransforms;
using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// Images of a model at several tilts about y, and the tomogram that is made of them by weighted
/// back-projection (R. A. Crowther, D. J. DeRosier and A. Klug, Proc. R. Soc. A 317 (1970)). A voxel (z, x),
/// counted from the volume's centre, is seen at x·cos θ + z·sin θ from the image's centre. Every tilt's and
/// every row's arithmetic is its own, so results have the same bits whatever the number of threads.
/// </summary>
internal sealed class TiltSeries
{
    // A voxel's shadow is split between two detector pixels. Pixels of half a voxel, and a cut to a voxel's
    // frequencies afterwards, keep that from blurring.
    private const int DetectorPixelsPerVoxel = 2;

    // Filtered rows are read between their samples: four samples for each voxel, so that a straight line
    // between two is exact enough.
    private const int SamplesPerVoxel = 4;

    // Highest frequencies are faded out, as reconstruction programs do: from here to half a cycle for each
    // voxel.
    private const double FadeFrom = 0.4;

    // Columns and rows of zeros beyond the image, so that the Fourier transform's ends do not meet within
    // reach of the contrast transfer.
    private const int PaddingVoxels = 24;

    private readonly double[] radians;
    private readonly Extent extent;
    private readonly float[][] images;
    private readonly ParallelOptions parallel;

    private TiltSeries(Extent extent, double[] radians, int threads)
    {
        this.extent = extent;
        this.radians = radians;
        parallel = new ParallelOptions { MaxDegreeOfParallelism = threads };
        // Wide enough for every voxel at every tilt: no particle leaves the field of view.
        double reach = radians.Max(r => (extent.Width - 1) * Math.Abs(Math.Cos(r)) + (extent.Depth - 1) * Math.Abs(Math.Sin(r)));
        Columns = (int)Math.Ceiling(reach) + 3;
        images = new float[radians.Length][];
    }

    /// <summary>Pixels of an image's row.</summary>
    public int Columns { get; }

    /// <summary>
    /// The variance of the images within the field of view of tilt 0, averaged over the tilts, before noise.
    /// </summary>
    public double SignalVariance { get; private set; }

    /// <summary>The images, each [Height, <see cref="Columns"/>].</summary>
    public IReadOnlyList<float[]> Images => images;

    private double VolumeCenterX => (extent.Width - 1) / 2.0;

    private double VolumeCenterZ => (extent.Depth - 1) / 2.0;

    private double ImageCenter => (Columns - 1) / 2.0;

    /// <summary>Projects a model and applies the contrast transfer.</summary>
    /// <param name="model">The density.</param>
    /// <param name="options">Tilts, microscope and voxel size.</param>
    /// <param name="defocusMicrometers">Underfocus in µm.</param>
    /// <param name="threads">How many threads work; −1 for all processors.</param>
    public static TiltSeries Project(Volume model, TomogramOptions options, double defocusMicrometers, int threads)
    {
        TiltSeries series = new(options.Extent, [.. options.TiltsDegrees.Select(t => t * Math.PI / 180)], threads);
        int columns = (int)BitOperations.RoundUpToPowerOf2((uint)(series.Columns + PaddingVoxels));
        int rows = (int)BitOperations.RoundUpToPowerOf2((uint)(options.Height + PaddingVoxels));
        double[] variances = new double[series.radians.Length];
        Parallel.For(0, series.radians.Length, series.parallel, tilt =>
        {
            Complex[] spectrum = series.ProjectRows(model, series.radians[tilt], rows, columns);
            ForEachColumn(spectrum, rows, columns, Fourier.Forward);
            Transfer(spectrum, rows, columns, options, defocusMicrometers);
            ForEachColumn(spectrum, rows, columns, Fourier.Inverse);
            series.images[tilt] = series.ToImage(spectrum, columns);
            variances[tilt] = series.Variance(series.images[tilt]);
        });
        series.SignalVariance = variances.Average();
        return series;
    }

    /// <summary>Adds white Gaussian noise, the same dose to every tilt.</summary>
    /// <param name="deviation">Its SD.</param>
    /// <param name="seed">The data set's seed.</param>
    /// <param name="index">The tomogram's number.</param>
    /// <param name="firstStream">The first of the random streams, one for each tilt.</param>
    public void AddNoise(double deviation, long seed, int index, int firstStream)
        => Parallel.For(0, images.Length, parallel, tilt =>
        {
            SplitMix64 random = new(seed, index, firstStream + tilt);
            float[] image = images[tilt];
            for (int i = 0; i < image.Length; i++)
                image[i] += (float)(deviation * random.NextNormal());
        });

    /// <summary>Weights the images' rows by their frequency and adds them up along their rays.</summary>
    /// <param name="target">Overwritten.</param>
    public void BackProject(Volume target)
    {
        int columns = (int)BitOperations.RoundUpToPowerOf2((uint)(Columns + PaddingVoxels));
        double[] weights = RampFilter(columns);
        // The integral over the angles becomes a sum; a single image counts for the whole half turn.
        double step = radians.Length > 1 ? (radians[^1] - radians[0]) / (radians.Length - 1) : Math.PI;
        Parallel.For(0, extent.Height, parallel, y =>
        {
            double[] sums = new double[extent.Depth * extent.Width];
            for (int tilt = 0; tilt < radians.Length; tilt++)
                BackProjectRow(FilterRow(images[tilt].AsSpan(y * Columns, Columns), weights, step), radians[tilt], sums);
            for (int z = 0; z < extent.Depth; z++)
            {
                Span<float> row = target.Row(z, y);
                for (int x = 0; x < row.Length; x++)
                    row[x] = (float)sums[z * extent.Width + x];
            }
        });
    }

    // The image's rows, transformed along the row: [rows, columns], rows beyond the volume's are 0.
    private Complex[] ProjectRows(Volume model, double angle, int rows, int columns)
    {
        (double sin, double cos) = Math.SinCos(angle);
        Complex[] spectrum = new Complex[rows * columns];
        Complex[] line = new Complex[columns * DetectorPixelsPerVoxel];
        double[] detector = new double[line.Length];
        for (int y = 0; y < extent.Height; y++)
        {
            Array.Clear(detector);
            for (int z = 0; z < extent.Depth; z++)
            {
                ReadOnlySpan<float> row = model.Row(z, y);
                double first = (ImageCenter - VolumeCenterX * cos + (z - VolumeCenterZ) * sin) * DetectorPixelsPerVoxel;
                for (int x = 0; x < row.Length; x++)
                {
                    if (row[x] == 0)
                        continue;
                    double place = first + x * cos * DetectorPixelsPerVoxel;
                    int pixel = (int)place;
                    double share = place - pixel;
                    detector[pixel] += row[x] * (1 - share);
                    detector[pixel + 1] += row[x] * share;
                }
            }

            for (int i = 0; i < line.Length; i++)
                line[i] = detector[i];
            Fourier.Forward(line, FourierOptions.NoScaling);
            // Frequencies below half a cycle for each voxel, the first half of them positive, the second
            // negative.
            Array.Copy(line, 0, spectrum, y * columns, columns / 2);
            Array.Copy(line, line.Length - columns / 2 + 1, spectrum, y * columns + columns / 2 + 1, columns / 2 - 1);
        }

        return spectrum;
    }

    private static void Transfer(Complex[] spectrum, int rows, int columns, TomogramOptions options, double defocusMicrometers)
    {
        // The column transforms are not scaled.
        double scale = (options.BrightParticles ? -1.0 : 1.0) / rows;
        for (int row = 0; row < rows; row++)
        {
            double fy = Frequency(row, rows) / options.VoxelSizeAngstrom;
            for (int column = 0; column < columns; column++)
            {
                double fx = Frequency(column, columns) / options.VoxelSizeAngstrom;
                spectrum[row * columns + column] *= scale * options.Microscope.Transfer(fx * fx + fy * fy, defocusMicrometers);
            }
        }
    }

    private float[] ToImage(Complex[] spectrum, int columns)
    {
        float[] image = new float[extent.Height * Columns];
        Complex[] line = new Complex[columns];
        for (int y = 0; y < extent.Height; y++)
        {
            Array.Copy(spectrum, y * columns, line, 0, columns);
            Fourier.Inverse(line, FourierOptions.NoScaling);
            for (int x = 0; x < Columns; x++)
                image[y * Columns + x] = (float)(line[x].Real / columns);
        }

        return image;
    }

    private double Variance(float[] image)
    {
        int border = (Columns - extent.Width) / 2;
        double sum = 0;
        double squares = 0;
        for (int y = 0; y < extent.Height; y++)
        {
            foreach (float value in image.AsSpan(y * Columns + border, extent.Width))
            {
                sum += value;
                squares += (double)value * value;
            }
        }

        double mean = sum / (extent.Height * extent.Width);
        return squares / (extent.Height * extent.Width) - mean * mean;
    }

    private static double[] RampFilter(int columns)
    {
        double[] weights = new double[columns];
        for (int i = 0; i < columns; i++)
        {
            double frequency = Math.Abs(Frequency(i, columns));
            double fade = frequency <= FadeFrom ? 1 : 0.5 * (1 + Math.Cos(Math.PI * (frequency - FadeFrom) / (0.5 - FadeFrom)));
            weights[i] = frequency * fade;
        }

        return weights;
    }

    // The row weighted and read out at SamplesPerVoxel samples for each voxel.
    private static double[] FilterRow(ReadOnlySpan<float> row, double[] weights, double scale)
    {
        Complex[] coarse = new Complex[weights.Length];
        for (int i = 0; i < row.Length; i++)
            coarse[i] = row[i];
        Fourier.Forward(coarse, FourierOptions.NoScaling);
        Complex[] fine = new Complex[coarse.Length * SamplesPerVoxel];
        int half = coarse.Length / 2;
        for (int i = 1; i < half; i++)
        {
            fine[i] = coarse[i] * weights[i];
            fine[^i] = coarse[^i] * weights[^i];
        }

        Fourier.Inverse(fine, FourierOptions.NoScaling);
        double[] samples = new double[fine.Length];
        for (int i = 0; i < samples.Length; i++)
            samples[i] = fine[i].Real * scale / coarse.Length;
        return samples;
    }

    private void BackProjectRow(double[] samples, double angle, double[] sums)
    {
        (double sin, double cos) = Math.SinCos(angle);
        for (int z = 0; z < extent.Depth; z++)
        {
            double first = (ImageCenter - VolumeCenterX * cos + (z - VolumeCenterZ) * sin) * SamplesPerVoxel;
            Span<double> target = sums.AsSpan(z * extent.Width, extent.Width);
            for (int x = 0; x < target.Length; x++)
            {
                double place = first + x * cos * SamplesPerVoxel;
                int sample = (int)place;
                double share = place - sample;
                target[x] += samples[sample] + share * (samples[sample + 1] - samples[sample]);
            }
        }
    }

    // Cycles for each voxel of a transform's element.
    private static double Frequency(int index, int length) => (double)(index <= length / 2 ? index : index - length) / length;

    private static void ForEachColumn(Complex[] spectrum, int rows, int columns, Action<Complex[], FourierOptions> transform)
    {
        Complex[] line = new Complex[rows];
        for (int column = 0; column < columns; column++)
        {
            for (int row = 0; row < rows; row++)
                line[row] = spectrum[row * columns + column];
            transform(line, FourierOptions.NoScaling);
            for (int row = 0; row < rows; row++)
                spectrum[row * columns + column] = line[row];
        }
    }
}
