using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tests.Support;

internal static class VoxelSources
{
    /// <summary>All voxels: [D, H, W].</summary>
    public static float[] ToArray(this IVoxelSource source)
    {
        float[] values = new float[source.Size.Voxels];
        source.Read(Box.Whole(source.Size), values);
        return values;
    }
}
