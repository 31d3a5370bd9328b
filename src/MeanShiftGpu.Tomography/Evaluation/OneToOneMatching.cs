using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>
/// Pairs of predictions and truths such that none is used twice: as many pairs as there can be within a
/// radius, and of those sets the one with the least sum of squared distances. Exact: pairs are added one by
/// one along the cheapest augmenting path (successive shortest paths), which gives the least sum for each
/// number of pairs (Jewell, 1962). Connected groups are solved one after the other, so time grows with the
/// crowding, not with the square of the number of points.
/// </summary>
internal static class OneToOneMatching
{
    /// <summary>Finds the pairs.</summary>
    /// <returns>Indices of predictions and truths, by prediction.</returns>
    public static List<(int Prediction, int Truth)> Match(
        IReadOnlyList<Position> predictions, IReadOnlyList<Position> truth, double radius)
    {
        List<(int Truth, double Cost)>[] near = Near(predictions, truth, radius);
        int[] truthOf = new int[predictions.Count];
        int[] predictionOf = new int[truth.Count];
        Array.Fill(truthOf, -1);
        Array.Fill(predictionOf, -1);
        foreach (List<int> group in Groups(near, truth.Count))
        {
            // One augmentation for each prediction that can be added; which one starts the cheapest path
            // changes from one to the next.
            while (Augment(group, near, truthOf, predictionOf))
            {
            }
        }

        return [.. Enumerable.Range(0, predictions.Count).Where(p => truthOf[p] >= 0).Select(p => (p, truthOf[p]))];
    }

    /// <summary>Truths within the radius of each prediction, by cells as wide as the radius.</summary>
    private static List<(int Truth, double Cost)>[] Near(
        IReadOnlyList<Position> predictions, IReadOnlyList<Position> truth, double radius)
    {
        double width = Math.Max(radius, 1e-3);
        (long, long, long) Cell(Position p)
            => ((long)Math.Floor(p.Z / width), (long)Math.Floor(p.Y / width), (long)Math.Floor(p.X / width));
        Dictionary<(long Z, long Y, long X), List<int>> cells = [];
        for (int g = 0; g < truth.Count; g++)
        {
            if (!cells.TryGetValue(Cell(truth[g]), out List<int>? members))
                cells[Cell(truth[g])] = members = [];
            members.Add(g);
        }

        List<(int Truth, double Cost)>[] near = new List<(int, double)>[predictions.Count];
        for (int p = 0; p < predictions.Count; p++)
        {
            near[p] = [];
            (long z, long y, long x) = Cell(predictions[p]);
            for (int i = 0; i < 27; i++)
            {
                if (!cells.TryGetValue((z + (i / 9) - 1, y + (i / 3 % 3) - 1, x + (i % 3) - 1), out List<int>? members))
                    continue;
                foreach (int g in members)
                {
                    if (predictions[p].DistanceTo(truth[g]) <= radius)
                        near[p].Add((g, predictions[p].SquaredDistanceTo(truth[g])));
                }
            }

            // Cells come in an order of their own; equal costs must not depend on it.
            near[p].Sort();
        }

        return near;
    }

    /// <summary>The predictions of each connected group that has any pair.</summary>
    private static IEnumerable<List<int>> Groups(List<(int Truth, double Cost)>[] near, int truths)
    {
        List<int>[] back = new List<int>[truths];
        for (int p = 0; p < near.Length; p++)
        {
            foreach ((int g, _) in near[p])
                (back[g] ??= []).Add(p);
        }

        bool[] seen = new bool[near.Length];
        for (int start = 0; start < near.Length; start++)
        {
            if (seen[start] || near[start].Count == 0)
                continue;
            List<int> group = [start];
            seen[start] = true;
            for (int i = 0; i < group.Count; i++)
            {
                foreach ((int g, _) in near[group[i]])
                {
                    foreach (int p in back[g].Where(p => !seen[p]))
                    {
                        seen[p] = true;
                        group.Add(p);
                    }

                    back[g] = [];
                }
            }

            yield return group;
        }
    }

    /// <summary>
    /// Adds a pair along the cheapest path from a free prediction to a free truth; false when there is none.
    /// </summary>
    private static bool Augment(List<int> group, List<(int Truth, double Cost)>[] near, int[] truthOf, int[] predictionOf)
    {
        // Bellman–Ford with a queue: taking a pair apart gives its cost back, so edges are negative.
        Dictionary<int, double> cost = [];
        Dictionary<int, int> reachedFrom = [];
        Dictionary<int, double> costOfPrediction = [];
        Queue<int> queue = [];
        foreach (int p in group.Where(p => truthOf[p] < 0))
        {
            costOfPrediction[p] = 0;
            queue.Enqueue(p);
        }

        while (queue.TryDequeue(out int p))
        {
            double here = costOfPrediction[p];
            foreach ((int g, double edge) in near[p])
            {
                double next = here + edge;
                // Less by more than rounding, or the loop would go round for ever.
                if (truthOf[p] == g || (cost.TryGetValue(g, out double known) && next >= known - 1e-9))
                    continue;
                cost[g] = next;
                reachedFrom[g] = p;
                int owner = predictionOf[g];
                if (owner < 0)
                    continue;
                double back = next - near[owner].Find(n => n.Truth == g).Cost;
                if (costOfPrediction.TryGetValue(owner, out double before) && back >= before - 1e-9)
                    continue;
                costOfPrediction[owner] = back;
                queue.Enqueue(owner);
            }
        }

        int end = -1;
        foreach ((int g, double total) in cost)
        {
            if (predictionOf[g] < 0 && (end < 0 || total < cost[end] || (total == cost[end] && g < end)))
                end = g;
        }

        if (end < 0)
            return false;
        // Every prediction on the path takes the truth it reached, and leaves its old one to the prediction
        // before it.
        while (end >= 0)
        {
            int p = reachedFrom[end];
            int left = truthOf[p];
            predictionOf[end] = p;
            truthOf[p] = end;
            end = left;
        }

        return true;
    }
}
