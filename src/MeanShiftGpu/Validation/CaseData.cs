using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// What the cases of several operations share: their random numbers, a layer's parameters, the names of
/// variants.
/// </summary>
internal static class CaseData
{
    /// <summary>A table's variants that run a shape on a context, as names to force.</summary>
    public static IEnumerable<string> Names<TLauncher, TShape>(
        this VariantTable<TLauncher, TShape> table, GpuContext context, TShape shape)
        where TLauncher : class, IDisposable
        => table.Supported(context, shape).Select(v => v.Name);

    /// <summary>
    /// Random numbers that float32 holds exactly, so that the function is the same in both types.
    /// </summary>
    public static double[] Numbers(long count, int seed, double low = -1, double high = 1)
    {
        Random random = new(seed);
        double[] values = new double[count];
        for (long i = 0; i < count; i++)
            values[i] = (float)(low + (high - low) * random.NextDouble());
        return values;
    }

    /// <summary>A tensor of random numbers.</summary>
    public static GradCheckInput Input(string name, TensorShape shape, int seed, double low = -1, double high = 1)
        => new(name, shape, Numbers(shape.Length, seed, low, high));

    /// <summary>1 where a random number is above a threshold, 0 elsewhere.</summary>
    public static double[] Mask(long count, int seed, double threshold)
        => Array.ConvertAll(Numbers(count, seed), v => v > threshold ? 1.0 : 0.0);

    /// <summary>The numbers in another real type.</summary>
    public static T[] Convert<T>(double[] values)
        where T : INumber<T>
        => Array.ConvertAll(values, T.CreateChecked);

    /// <summary>A weight and its bias with random numbers on the device.</summary>
    public static (ParameterSet<T> Set, Parameter<T> Weight, Parameter<T> Bias) Weights<T>(
        GpuContext context, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels)
        where T : unmanaged, INumber<T>
    {
        ParameterSet<T> set = new();
        Parameter<T> weight = set.Add("weight", layout, kernelSize, inputChannels, outputChannels);
        Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputChannels);
        set.Allocate(context);
        weight.Upload(context, Convert<T>(Numbers(weight.Length, 11, -0.5, 0.5)));
        bias.Upload(context, Convert<T>(Numbers(bias.Length, 12, -0.5, 0.5)));
        return (set, weight, bias);
    }
}
