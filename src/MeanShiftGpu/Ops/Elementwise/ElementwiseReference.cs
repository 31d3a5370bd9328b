namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>The elementwise arithmetic in float64, slow and obvious. Dense arrays.</summary>
public static class ElementwiseReference
{
    /// <summary>target + source.</summary>
    /// <exception cref="ArgumentException">Source and target are not equally many.</exception>
    public static double[] Add(double[] source, double[] target)
    {
        ArgumentNullException.ThrowIfNull(source);
        new ReferenceOperands("ElementwiseReference.Add").Require(target, source.Length, nameof(target));
        return [.. source.Zip(target, static (s, t) => t + s)];
    }

    /// <summary>
    /// source[v,c]·weight[v], channels fastest; masking is its own backward pass, so this is that too.
    /// </summary>
    /// <exception cref="ArgumentException">The source is not of whole voxels, or there is not a weight for
    /// each.</exception>
    public static double[] Mask(double[] source, double[] weight, int channels)
    {
        ReferenceOperands operands = new("ElementwiseReference.Mask");
        operands.RequireMultiple(source, channels, nameof(source));
        operands.Require(weight, source.Length / channels, nameof(weight));
        return [.. source.Select((s, i) => s * weight[i / channels])];
    }

    /// <summary>Σ weight·term over terms of the same length.</summary>
    /// <exception cref="ArgumentException">There is no term, or one of another length.</exception>
    public static double[] WeightedSum(params (double[] Term, double Weight)[] terms)
    {
        ArgumentNullException.ThrowIfNull(terms);
        if (terms.Length == 0)
            throw new ArgumentException("ElementwiseReference.WeightedSum: got no term, expected one or more.", nameof(terms));
        ArgumentNullException.ThrowIfNull(terms[0].Term, nameof(terms));
        double[] total = new double[terms[0].Term.Length];
        foreach ((double[] term, double weight) in terms)
        {
            new ReferenceOperands("ElementwiseReference.WeightedSum").Require(term, total.Length, nameof(terms));
            for (int i = 0; i < total.Length; i++)
                total[i] += weight * term[i];
        }

        return total;
    }
}
