using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Pooling;

/// <summary>
/// The max pooling on the CPU device: vectors over the channels, one row of output voxels after the other.
/// </summary>
internal sealed unsafe class MaxPool3dHostSimd(HostThreads threads) : IMaxPool3d<float>
{
    /// <inheritdoc/>
    void IMaxPool3d<float>.LaunchForward(
        AcceleratorStream stream, ArrayView<float> input, ArrayView<float> output, MaxPool3dShape shape)
    {
        float* x = input.Pointer();
        float* y = output.Pointer();
        Rows(shape).For(threads, (_, start, end) =>
        {
            for (long row = start; row < end; row++)
                ForwardRow(x, y, row, shape);
        });
    }

    /// <inheritdoc/>
    void IMaxPool3d<float>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradInput,
        MaxPool3dShape shape)
    {
        float* x = input.Pointer();
        float* gy = gradOutput.Pointer();
        float* gx = gradInput.Pointer();
        Rows(shape).For(threads, (_, start, end) =>
        {
            for (long row = start; row < end; row++)
            {
                if (shape.Accumulate != 0)
                    BackwardRow<Add>(x, gy, gx, row, shape);
                else
                    BackwardRow<Overwrite>(x, gy, gx, row, shape);
            }
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // A row of output voxels reads four rows of input voxels.
    private static HostChunks Rows(MaxPool3dShape shape)
        => HostChunks.Of(shape.OutputVoxels / (shape.Width / 2), 4L * shape.Width * shape.Channels);

    private static long FirstInputVoxel(long row, MaxPool3dShape shape)
    {
        long plane = row / (shape.Height / 2);
        long y = row % (shape.Height / 2);
        return (plane * 2 * shape.Height + y * 2) * shape.Width;
    }

    private static void ForwardRow(float* input, float* output, long row, MaxPool3dShape shape)
    {
        Window w = new(shape);
        float* x = input + FirstInputVoxel(row, shape) * shape.InputPitch;
        float* y = output + row * (shape.Width / 2) * shape.OutputPitch;
        for (int voxel = 0; voxel < shape.Width / 2; voxel++)
        {
            int c = 0;
            for (; c <= shape.Channels - Vector<float>.Count; c += Vector<float>.Count)
                MaximumVector(x + c, w).Store(y + c);
            for (; c < shape.Channels; c++)
                y[c] = x[c + w.Offset(FirstMaximum(x + c, w))];
            x += 2 * shape.InputPitch;
            y += shape.OutputPitch;
        }
    }

    private static void BackwardRow<TWrite>(float* input, float* gradOutput, float* gradInput, long row, MaxPool3dShape shape)
        where TWrite : struct, IWrite
    {
        Window w = new(shape);
        long first = FirstInputVoxel(row, shape) * shape.InputPitch;
        float* x = input + first;
        float* gx = gradInput + first;
        float* gy = gradOutput + row * (shape.Width / 2) * shape.OutputPitch;
        for (int voxel = 0; voxel < shape.Width / 2; voxel++)
        {
            int c = 0;
            for (; c <= shape.Channels - Vector<float>.Count; c += Vector<float>.Count)
                BackwardVector<TWrite>(x + c, Vector.Load(gy + c), gx + c, w);
            for (; c < shape.Channels; c++)
            {
                int taken = FirstMaximum(x + c, w);
                for (int tap = 0; tap < 8; tap++)
                    TWrite.Scalar(gx + c + w.Offset(tap), tap == taken ? gy[c] : 0);
            }

            x += 2 * shape.InputPitch;
            gx += 2 * shape.InputPitch;
            gy += shape.OutputPitch;
        }
    }

    private static void BackwardVector<TWrite>(float* x, Vector<float> gradient, float* gx, Window w)
        where TWrite : struct, IWrite
    {
        Vector<float> best = MaximumVector(x, w);
        Vector<int> open = Vector<int>.AllBitsSet;
        for (int tap = 0; tap < 8; tap++)
        {
            // NaN equals nothing, itself included; where there is one, it is the maximum.
            Vector<float> value = Vector.Load(x + w.Offset(tap));
            Vector<int> isMaximum = Vector.Equals(value, best) | ~Vector.Equals(value, value);
            TWrite.Vector(gx + w.Offset(tap), gradient & Vector.AsVectorSingle(isMaximum & open));
            open = Vector.AndNot(open, isMaximum);
        }
    }

    private static Vector<float> MaximumVector(float* x, Window w)
        => Larger(
            Larger(Larger(Vector.Load(x), Vector.Load(x + w.X)), Larger(Vector.Load(x + w.Y), Vector.Load(x + w.Y + w.X))),
            Larger(Larger(Vector.Load(x + w.Z), Vector.Load(x + w.Z + w.X)), Larger(
                Vector.Load(x + w.Z + w.Y), Vector.Load(x + w.Z + w.Y + w.X))));

    // The first of equal values, and NaN before every number, as the direct kernel has it.
    private static Vector<float> Larger(Vector<float> first, Vector<float> second)
        => Vector.ConditionalSelect(Vector.GreaterThan(second, first) | ~Vector.Equals(second, second), second, first);

    private static int FirstMaximum(float* x, Window w)
    {
        int best = 0;
        for (int tap = 1; tap < 8; tap++)
        {
            float value = x[w.Offset(tap)];
            float bestValue = x[w.Offset(best)];
            if (value > bestValue || (float.IsNaN(value) && !float.IsNaN(bestValue)))
                best = tap;
        }

        return best;
    }

    // Elements from a window's first voxel to its neighbours along x, y and z.
    private readonly struct Window(MaxPool3dShape shape)
    {
        public readonly long X = shape.InputPitch;
        public readonly long Y = (long)shape.Width * shape.InputPitch;
        public readonly long Z = (long)shape.Height * shape.Width * shape.InputPitch;

        // Taps count in the order z, y, x.
        public long Offset(int tap) => (tap / 4 * Z) + (tap / 2 % 2 * Y) + (tap % 2 * X);
    }

    private interface IWrite
    {
        static abstract void Vector(float* target, Vector<float> value);

        static abstract void Scalar(float* target, float value);
    }

    private readonly struct Overwrite : IWrite
    {
        public static void Vector(float* target, Vector<float> value) => value.Store(target);

        public static void Scalar(float* target, float value) => *target = value;
    }

    private readonly struct Add : IWrite
    {
        public static void Vector(float* target, Vector<float> value)
            => (System.Numerics.Vector.Load(target) + value).Store(target);

        public static void Scalar(float* target, float value) => *target += value;
    }
}
