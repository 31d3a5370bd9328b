using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tests.Pages;

/// <summary>
/// The example of src/MeanShiftGpu.Tomography/README.md; <see cref="PagesTests"/> holds the page to it and
/// runs it.
/// </summary>
internal static class FormatsExample
{
    public static void Run()
    {
        // Two particles (z, y, x), written for Dynamo, whose first voxel is 1, and read back.
        Particle[] particles = [new(10, 20.5, 30), new(11, 40, 50.25)];
        CoordinateTables.Write("picks.tbl", particles);
        foreach (Particle particle in CoordinateTables.Read("picks.tbl"))
            Console.WriteLine($"z {particle.Z}, y {particle.Y}, x {particle.X}");
    }
}
