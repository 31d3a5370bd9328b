namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>A plane through a volume, by the axes that lie in it; the first runs to the right.</summary>
internal enum SlicePlane
{
    /// <summary>At a z.</summary>
    XY,

    /// <summary>At a y.</summary>
    XZ,

    /// <summary>At an x; z runs to the right, so that it stands beside the first plane.</summary>
    ZY,
}
