using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>The repository that the tests were built from.</summary>
internal static class Sources
{
    /// <summary>Its folder; the test is skipped where the sources are not at hand.</summary>
    public static string Root()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "MeanShiftGpu.sln")))
                return directory.FullName;
        }

        Assert.Ignore("the sources are not at hand");
        return "";
    }
}
