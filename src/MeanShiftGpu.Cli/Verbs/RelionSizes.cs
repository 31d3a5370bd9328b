using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Where 'pick' has the sizes from that RELION 5 coordinates count from.</summary>
internal static class RelionSizes
{
    /// <summary>The tomograms.star to use, given or found; null where there is none.</summary>
    /// <param name="session">Says what was found.</param>
    /// <param name="format">The format that was asked for.</param>
    /// <param name="given">The tomograms.star that was given.</param>
    /// <param name="places">Files and folders beside which one may lie.</param>
    public static string? Find(Session session, CoordinateFormat? format, string? given, IEnumerable<string> places)
    {
        if (given is not null || !Asks(format) || DatasetFiles.TomogramsBeside(places) is not { } beside)
            return given;
        session.Line($"found {beside}; --tomograms names another one");
        return beside;
    }

    /// <summary>Says that the pixels are taken to be as large as voxels, where nothing says how large they
    /// are.</summary>
    public static void SayAssumed(Session session, CoordinateFormat? format, CoordinateContext told)
    {
        if (Asks(format) && told is { TomogramsStar: null, Binning: 0 })
            session.Warn("RELION 5 counts from the tomogram's centre in pixels of the tilt series. Without --tomograms and "
                + "--binning, these are taken to be as large as the tomogram's voxels. If the tomogram is binned, give one of "
                + "the two: otherwise all coordinates are off by up to half a voxel.");
    }

    private static bool Asks(CoordinateFormat? format)
        => format is { } written && CoordinateFormats.UsesTomogramsStar(written);
}
