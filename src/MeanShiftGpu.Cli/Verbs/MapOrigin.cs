using System.CommandLine;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Says where ChimeraX's markers count from where no map is given.</summary>
internal static class MapOrigin
{
    /// <summary>Says it if markers are among the tables.</summary>
    /// <param name="session">Where it is said.</param>
    /// <param name="formats">The tables' formats.</param>
    /// <param name="volume">The option that names the map.</param>
    public static void SayAssumed(Session session, IEnumerable<CoordinateFormat> formats, Option volume)
    {
        if (formats.Contains(CoordinateFormat.ChimeraX))
            session.Line("ChimeraX counts from the origin in the map's header, which is taken as 0 unless the markers' file says "
                + $"another; {volume.Name} gives it");
    }
}
