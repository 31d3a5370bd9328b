namespace MeanShiftGpu.Validation;

/// <summary>What differences say of a gradient along a direction.</summary>
internal enum ProbeOutcome
{
    /// <summary>They agree.</summary>
    Agrees,

    /// <summary>
    /// The function has a kink or a jump here, and the gradient is a slope of one of its sides or lies
    /// between them.
    /// </summary>
    Kink,

    /// <summary>They do not agree.</summary>
    Differs,

    /// <summary>The function's rounding errors do not let differences decide.</summary>
    Imprecise,
}

/// <summary>A gradient along a direction, judged.</summary>
/// <param name="Move">The direction.</param>
/// <param name="Outcome">What was found.</param>
/// <param name="Error">|gradient − difference|, relative.</param>
/// <param name="Gradient">The gradient.</param>
/// <param name="Difference">The difference that it was compared with.</param>
/// <param name="Uncertainty">The difference's own error.</param>
/// <param name="Slopes">The limits of the slopes on both sides, where they were looked at.</param>
internal sealed record ProbeResult(
    Move Move,
    ProbeOutcome Outcome,
    double Error,
    double Gradient,
    double Difference,
    double Uncertainty,
    (double Below, double Above)? Slopes = null);

/// <summary>
/// Judges a gradient along a direction. A central difference that agrees settles it. Otherwise differences of
/// nine steps, each a quarter of the one before, are extrapolated to step 0, each extrapolation with an
/// estimate of its error; the one with the smallest counts. So a step that is too long (truncation, a kink or
/// jump nearby) or too short (rounding) is not chosen. Where that does not agree, two neighbouring short
/// steps may: see <see cref="AgreesWithShort"/>.
/// </summary>
/// <param name="at">The slopes of a step.</param>
/// <param name="noise">A bound on the rounding error of the function's value.</param>
/// <param name="tolerance">The largest relative error.</param>
internal sealed class Probe(Func<Move, double, Slopes> at, double noise, double tolerance)
{
    // A probe's denominator is at least this share of the largest gradient: below it, relative error is
    // rounding.
    private const double RelativeFloor = 1e-3;

    private const double Ratio = 4;

    // Steps are first · Ratio^k, tried in this order until a wide enough range settles the question.
    private static readonly int[][] Widening = [[0, 1, 2], [-1, -2], [3, 4], [-3, -4]];

    // The steps that are shorter than the first.
    private static readonly int[] Short = [-4, -3, -2, -1];

    /// <summary>Compares a gradient with differences.</summary>
    /// <param name="move">The direction.</param>
    /// <param name="gradient">The gradient along it.</param>
    /// <param name="largest">The size of gradients to which errors are relative where this one is far
    /// smaller.</param>
    /// <param name="first">The first step.</param>
    public ProbeResult Judge(Move move, double gradient, double largest, double first)
    {
        Estimate central = new(at(move, first).Central, noise / first);
        if ((gradient == 0 && central.Value == 0) || (Close(gradient, central, largest) && Precise(central, largest)))
            return Agrees(central);

        SortedDictionary<int, Slopes> seen = [];
        (Estimate best, Estimate above, Estimate below) = (default, default, default);
        foreach (int[] steps in Widening)
        {
            foreach (int k in steps)
                seen[k] = at(move, first * Math.Pow(Ratio, k));
            best = Extrapolate(seen, first, slopes => slopes.Central, evenPowers: true);
            if (Close(gradient, best, largest) && Precise(best, largest))
                return Agrees(best);
            above = Extrapolate(seen, first, slopes => slopes.Forward, evenPowers: false);
            below = Extrapolate(seen, first, slopes => slopes.Backward, evenPowers: false);
            // Both sides have the one slope that the gradient is not: more steps would say the same.
            if (Precise(best, largest) && Precise(above, largest) && Precise(below, largest) && !Differ(above, below, largest))
                break;
        }

        foreach (int k in Short.Where(k => !seen.ContainsKey(k)))
            seen[k] = at(move, first * Math.Pow(Ratio, k));
        if (AgreesWithShort(seen, best, gradient, largest, first) is { } shortest)
            return Agrees(shortest);

        (double, double) sides = (below.Value, above.Value);
        if (IsKink(gradient, above, below, best, largest))
            return new ProbeResult(move, ProbeOutcome.Kink, 0, gradient, best.Value, best.Error, sides);

        // Only differences that are themselves known far better than they differ from the gradient call it
        // wrong.
        double off = Math.Abs(gradient - best.Value);
        bool known = Precise(best, largest) || off > 4 * best.Error || double.IsNaN(off);
        return new ProbeResult(
            move,
            known ? ProbeOutcome.Differs : ProbeOutcome.Imprecise,
            off / Scale(gradient, best.Value, largest),
            gradient,
            best.Value,
            best.Error,
            sides);

        ProbeResult Agrees(Estimate with)
            => new(move, ProbeOutcome.Agrees, Error(gradient, with, largest), gradient, with.Value, with.Error);
    }

    // Where bends lie densely beside the point (a mean shift's, of many seeds over several iterations), as
    // many of them fall on longer steps, extrapolation may settle on what is no slope at all. The shortest
    // steps lie between two bends: where the two shortest that rounding leaves precise both have the
    // gradient, and what parts their two sides shrinks with the step, as it does not at a kink in
    // the point itself, the gradient is right.
    private Estimate? AgreesWithShort(
        SortedDictionary<int, Slopes> seen, Estimate extrapolated, double gradient, double largest, double first)
    {
        foreach (int k in Short)
        {
            (Slopes fine, Slopes coarse) = (seen[k], seen[k + 1]);
            Estimate shorter = new(fine.Central, noise / (first * Math.Pow(Ratio, k)));
            if (!Precise(shorter, largest))
                continue;
            Estimate longer = new(coarse.Central, shorter.Error / Ratio);
            double sides = Math.Abs(fine.Forward - fine.Backward);
            double bound = Math.Abs(coarse.Forward - coarse.Backward) / 2 + 4 * shorter.Error
                + tolerance * Scale(gradient, fine.Central, largest);
            // Longer steps may have bends on them, so that this pair alone is asked. What rounding cannot
            // tell from the extrapolation does not contradict it.
            bool contradicts = Math.Abs(shorter.Value - extrapolated.Value) > 2 * (shorter.Error + extrapolated.Error);
            return contradicts && Close(gradient, shorter, largest) && Close(gradient, longer, largest) && sides <= bound
                ? shorter
                : null;
        }

        return null;
    }

    // Where a function is smooth both sides have one slope. A kink is what has two, each of which its
    // differences settle on: there every gradient between them is right. At a jump one side's slope has no
    // limit, and the gradient must be the other's.
    private bool IsKink(double gradient, Estimate above, Estimate below, Estimate central, double largest)
    {
        bool aboveSettles = Precise(above, largest);
        bool belowSettles = Precise(below, largest);
        if (aboveSettles && belowSettles)
        {
            if (!Differ(above, below, largest))
                return false;
            double slack = tolerance * Scale(gradient, central.Value, largest) + above.Error + below.Error;
            double nearest = Math.Clamp(gradient, Math.Min(above.Value, below.Value), Math.Max(above.Value, below.Value));
            return Math.Abs(gradient - nearest) <= slack;
        }

        return !Precise(central, largest)
            && ((aboveSettles && Close(gradient, above, largest)) || (belowSettles && Close(gradient, below, largest)));
    }

    private bool Differ(Estimate above, Estimate below, double largest)
        => Math.Abs(above.Value - below.Value)
            > 4 * (above.Error + below.Error) + tolerance * Scale(above.Value, below.Value, largest);

    private bool Close(double gradient, Estimate estimate, double largest)
        => Math.Abs(gradient - estimate.Value) <= tolerance * Scale(gradient, estimate.Value, largest) + estimate.Error;

    // Relative to the input's largest gradient, not to this one: of a gradient that is nearly 0 no more can
    // be known.
    private bool Precise(Estimate estimate, double largest)
        => estimate.Error <= tolerance * Math.Max(largest, Math.Abs(estimate.Value));

    private static double Error(double gradient, Estimate estimate, double largest)
    {
        double off = Math.Abs(gradient - estimate.Value);
        return off == 0 ? 0 : off / Scale(gradient, estimate.Value, largest);
    }

    private static double Scale(double a, double b, double largest)
        => Math.Max(Math.Max(Math.Abs(a), Math.Abs(b)), RelativeFloor * largest);

    // Richardson's extrapolation of three neighbouring steps, for every three; the one with the smallest
    // error wins.
    private Estimate Extrapolate(SortedDictionary<int, Slopes> seen, double first, Func<Slopes, double> slope, bool evenPowers)
    {
        double order1 = evenPowers ? Ratio * Ratio : Ratio;
        double order2 = evenPowers ? order1 * order1 : order1 * Ratio;
        Estimate best = new(double.NaN, double.PositiveInfinity);
        foreach (int k in seen.Keys)
        {
            if (!seen.TryGetValue(k + 1, out Slopes middle) || !seen.TryGetValue(k + 2, out Slopes coarse))
                continue;
            double fine = slope(seen[k]);
            double linear = fine + (fine - slope(middle)) / (order1 - 1);
            double linearBefore = slope(middle) + (slope(middle) - slope(coarse)) / (order1 - 1);
            double quadratic = linear + (linear - linearBefore) / (order2 - 1);
            // The last correction, a share of the one before (which by chance may be the larger), and the
            // rounding of the smallest step.
            double rounding = (evenPowers ? 1 : 2) * noise / (first * Math.Pow(Ratio, k));
            double error = Math.Abs(quadratic - linear) + Math.Abs(linear - fine) / (4 * order1) + rounding;
            if (error < best.Error)
                best = new Estimate(quadratic, error);
        }

        return best;
    }

    private readonly record struct Estimate(double Value, double Error);
}
