namespace MeanShiftGpu.Kernels.Pooling;

/// <summary>The window of a thread that pools one output voxel's channel.</summary>
internal static class MaxPool3dWindow
{
    /// <summary>Voxels of a window; they count in the order z, y, x.</summary>
    public const int Taps = 8;

    /// <summary>The element of the window's first voxel, for a thread's (output voxel, channel).</summary>
    public static long Corner(int index, MaxPool3dShape shape)
    {
        int width = shape.Width / 2;
        int height = shape.Height / 2;
        int voxel = index / shape.Channels;
        int x = voxel % width;
        int y = voxel / width % height;
        long plane = voxel / (width * height); // n·(D/2) + z: D is even, so 2·plane counts the input's planes
        return ((plane * 2 * shape.Height + y * 2) * shape.Width + x * 2) * shape.InputPitch + index % shape.Channels;
    }

    /// <summary>The thread's element of the output.</summary>
    public static long OutputElement(int index, MaxPool3dShape shape)
        => (long)(index / shape.Channels) * shape.OutputPitch + index % shape.Channels;

    /// <summary>Elements from the window's first voxel to a tap.</summary>
    public static long TapOffset(int tap, MaxPool3dShape shape)
        => (((long)(tap / 4) * shape.Height + tap / 2 % 2) * shape.Width + tap % 2) * shape.InputPitch;

    /// <summary>Strictly larger, so that the first of equal values stays; the first NaN stays too.</summary>
    public static bool IsAbove<T>(T value, T best)
        where T : unmanaged, INumber<T>
        => value > best || (T.IsNaN(value) && !T.IsNaN(best));
}
