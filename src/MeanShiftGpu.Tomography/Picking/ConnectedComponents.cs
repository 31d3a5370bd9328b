using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>Picks the connected components of a score map above a threshold.</summary>
internal static class ConnectedComponents
{
    /// <summary>
    /// Voxels above the threshold that touch by a face, an edge or a corner are one component. The map is
    /// read once, slice by slice; memory holds two slices of labels and one record for each component.
    /// </summary>
    /// <param name="scores">The map.</param>
    /// <param name="threshold">Scores must be above this.</param>
    /// <param name="cancellation">Stops between two slices.</param>
    /// <returns>A group for each component: its score-weighted mean place, its mass and its voxels; and the
    /// number of voxels above the threshold.</returns>
    public static (List<PointGroup> Components, long Above) Find(
        IVoxelSource scores, float threshold, CancellationToken cancellation)
    {
        Extent size = scores.Size;
        int slice = size.Height * size.Width;
        float[] values = new float[slice];
        // Label 0 is background, label n is components[n − 1].
        int[] before = new int[slice];
        int[] labels = new int[slice];
        DisjointGroups components = new();
        long above = 0;
        for (int z = 0; z < size.Depth; z++)
        {
            cancellation.ThrowIfCancellationRequested();
            scores.Read(Box.Slices(size, z, 1), values);
            for (int i = 0; i < slice; i++)
            {
                labels[i] = 0;
                if (!(values[i] > threshold))
                    continue;
                above++;
                (int y, int x) = (i / size.Width, i % size.Width);
                int label = 0;
                for (int dy = -1; dy <= 1; dy++)
                {
                    for (int dx = -1; dx <= 1; dx++)
                    {
                        if (y + dy < 0 || y + dy >= size.Height || x + dx < 0 || x + dx >= size.Width)
                            continue;
                        int neighbour = i + dy * size.Width + dx;
                        label = components.Join(label, before[neighbour]);
                        if (neighbour < i)
                            label = components.Join(label, labels[neighbour]);
                    }
                }

                labels[i] = components.Add(label, PointGroup.Of(new ClusterPoint(z, y, x, values[i], 0)));
            }

            (before, labels) = (labels, before);
        }

        return (components.Roots(), above);
    }

    /// <summary>Union-find with a group of points for each set.</summary>
    private sealed class DisjointGroups
    {
        private readonly List<int> parents = [];
        private readonly List<PointGroup> groups = [];

        /// <summary>The common label of two, either of which may be 0.</summary>
        public int Join(int a, int b)
        {
            if (a == 0 || b == 0 || a == b)
                return Math.Max(a, b);
            (a, b) = (Root(a), Root(b));
            if (a == b)
                return a;
            // The older label stays, so that the result does not depend on how the sets grew.
            (int older, int newer) = a < b ? (a, b) : (b, a);
            parents[newer - 1] = older;
            groups[older - 1] = groups[older - 1].With(groups[newer - 1]);
            return older;
        }

        /// <summary>Adds a point to a set, or to a new one where the label is 0.</summary>
        public int Add(int label, PointGroup point)
        {
            if (label == 0)
            {
                parents.Add(parents.Count + 1);
                groups.Add(point);
                return parents.Count;
            }

            int root = Root(label);
            groups[root - 1] = groups[root - 1].With(point);
            return root;
        }

        public List<PointGroup> Roots() => [.. groups.Where((_, i) => parents[i] == i + 1)];

        private int Root(int label)
        {
            while (parents[label - 1] != label)
            {
                parents[label - 1] = parents[parents[label - 1] - 1];
                label = parents[label - 1];
            }

            return label;
        }
    }
}
