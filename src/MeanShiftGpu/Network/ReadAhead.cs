using System.Diagnostics;
using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Network;

/// <summary>Reads a box of a volume.</summary>
/// <param name="box">The box, in voxels of the volume; it may reach beyond it.</param>
/// <param name="destination">[D, H, W, channels] of the box.</param>
internal delegate void BoxReader<T>(Box box, Span<T> destination);

/// <summary>Writes a box of a volume.</summary>
/// <param name="box">The box, in voxels of the volume; it may reach beyond it.</param>
/// <param name="values">[D, H, W, channels] of the box.</param>
internal delegate void BoxWriter<T>(Box box, ReadOnlySpan<T> values);

/// <summary>Boxes in a given order, of which the next is read while one is worked on.</summary>
internal sealed class ReadAhead<T> : IDisposable
{
    private readonly IReadOnlyList<Box> boxes;
    private readonly int channels;
    private readonly BoxReader<T> read;
    private readonly T[][] buffers;
    private Task reading = Task.CompletedTask;
    private int next;

    /// <summary>Begins to read the first box.</summary>
    /// <param name="boxes">The boxes in order.</param>
    /// <param name="channels">Numbers for each voxel.</param>
    /// <param name="read">Reads; one call at a time, on other threads.</param>
    public ReadAhead(IReadOnlyList<Box> boxes, int channels, BoxReader<T> read)
    {
        this.boxes = boxes;
        this.channels = channels;
        this.read = read;
        long length = boxes.Count == 0 ? 0 : boxes.Max(b => b.Size.Voxels) * channels;
        buffers = [new T[length], boxes.Count > 1 ? new T[length] : []];
        Begin();
    }

    /// <summary>How long the caller waited in all.</summary>
    public double WaitedSeconds { get; private set; }

    /// <summary>The next box, [D, H, W, channels]; valid until the next call.</summary>
    public ReadOnlySpan<T> Next()
    {
        long start = Stopwatch.GetTimestamp();
        reading.GetAwaiter().GetResult();
        WaitedSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        int current = next++;
        Begin();
        return buffers[current % 2].AsSpan(0, (int)boxes[current].Size.Voxels * channels);
    }

    /// <summary>
    /// Waits for what is being read: nobody may touch the caller's memory or files afterwards, whatever
    /// happened.
    /// </summary>
    public void Dispose() => reading.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();

    private void Begin()
    {
        if (next == boxes.Count)
            return;
        (Box box, T[] buffer) = (boxes[next], buffers[next % 2]);
        reading = Task.Run(() => read(box, buffer.AsSpan(0, (int)box.Size.Voxels * channels)));
    }
}
