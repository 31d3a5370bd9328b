namespace MeanShiftGpu.Tests.Support;

/// <summary>Central differences of a function of many numbers, for the double references.</summary>
public static class NumericalGradient
{
    /// <summary>
    /// (f(x + h) − f(x − h)) / 2h for every element of x, with h relative to the element's size where that is
    /// above 1.
    /// </summary>
    public static double[] Of(Func<double[], double> function, double[] at, double step = 1e-5)
    {
        double[] x = (double[])at.Clone();
        double[] gradient = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            double h = step * Math.Max(1, Math.Abs(at[i]));
            x[i] = at[i] + h;
            double above = function(x);
            x[i] = at[i] - h;
            double below = function(x);
            x[i] = at[i];
            gradient[i] = (above - below) / (2 * h);
        }

        return gradient;
    }

    /// <summary>Σ a_i·b_i: a scalar from an output and a fixed random upstream gradient.</summary>
    public static double Dot(double[] a, double[] b) => a.Zip(b, static (x, y) => x * y).Sum();
}
