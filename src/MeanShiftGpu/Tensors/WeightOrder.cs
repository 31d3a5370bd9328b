namespace MeanShiftGpu.Tensors;

/// <summary>Where each number of a parameter stands in files, whose order is PyTorch's.</summary>
internal readonly record struct WeightOrder(ParameterLayout Layout, int KernelSize, int InputChannels, int OutputChannels)
{
    /// <summary>Numbers in a file's order, put into this library's order.</summary>
    public T[] From<T>(ReadOnlySpan<T> values)
    {
        T[] result = new T[values.Length];
        for (int i = 0; i < result.Length; i++)
            result[i] = values[FileIndex(i)];
        return result;
    }

    /// <summary>Numbers in this library's order, put into a file's order.</summary>
    public T[] To<T>(ReadOnlySpan<T> values)
    {
        T[] result = new T[values.Length];
        To(values, result);
        return result;
    }

    /// <summary>The same into memory of the caller's.</summary>
    public void To<T>(ReadOnlySpan<T> values, Span<T> result)
    {
        for (int i = 0; i < values.Length; i++)
            result[FileIndex(i)] = values[i];
    }

    private int FileIndex(int index)
    {
        if (Layout == ParameterLayout.Bias)
            return index;
        int o = index % OutputChannels;
        int i = index / OutputChannels % InputChannels;
        int tap = index / (OutputChannels * InputChannels);
        int taps = KernelSize * KernelSize * KernelSize;
        return Layout == ParameterLayout.ConvolutionWeight
            ? (o * InputChannels + i) * taps + tap
            : (i * OutputChannels + o) * taps + tap;
    }
}
