namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>The elementwise arithmetic in float64, slow and obvious. Dense arrays.</summary>
public static class ElementwiseReference
{
    /// <summary>target + source.</summary>
    public static double[] Add(double[] source, double[] target) => [.. source.Zip(target, static (s, t) => t + s)];

    /// <summary>
    /// source[v,c]·weight[v], channels fastest; masking is its own backward pass, so this is that too.
    /// </summary>
    public static double[] Mask(double[] source, double[] weight, int channels)
        => [.. source.Select((s, i) => s * weight[i / channels])];

    /// <summary>Σ weight·term over terms of the same length.</summary>
    public static double[] WeightedSum(params (double[] Term, double Weight)[] terms)
    {
        ArgumentNullException.ThrowIfNull(terms);
        double[] total = new double[terms[0].Term.Length];
        foreach ((double[] term, double weight) in terms)
        {
            for (int i = 0; i < total.Length; i++)
                total[i] += weight * term[i];
        }

        return total;
    }
}
