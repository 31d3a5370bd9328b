using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>
/// A folder for the files of a fixture, with a tiny data set and the smallest training on it.
/// </summary>
public sealed class ToolFolder : IDisposable
{
    private static readonly string[] Network =
        ["--widths", "4,4", "--patch", "16", "--seeds", "24", "--iterations", "3", "--center-margin", "2", "--device", "cpu"];

    /// <summary>Creates an empty folder.</summary>
    public ToolFolder()
    {
        Path = System.IO.Path.Combine(TestContext.CurrentContext.WorkDirectory, $"cli-{Guid.NewGuid():N}");
        Directory.CreateDirectory(Path);
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>The manifest of <see cref="Simulate"/>.</summary>
    public string Manifest => At("data", "manifest.json");

    /// <summary>A name in the folder.</summary>
    public string At(params string[] names) => System.IO.Path.Combine([Path, .. names]);

    /// <summary>
    /// Simulates three training volumes, one for validation and one for testing; the edges are no multiples
    /// of 4.
    /// </summary>
    public ToolRun Simulate(params string[] more) => ToolRun.Succeeds(
        ["simulate", "--out", At("data"), "--size", "18,21,19", "--particles", "2,2", "--train", "3", "--validation", "1",
            "--test", "1", .. more]);

    /// <summary>The arguments of a training with a tiny network.</summary>
    public string[] Train(string run, int steps, params string[] more)
        => ["train", "--data", Manifest, "--out", At(run), "--steps", $"{steps}", .. Network, .. more];

    /// <summary>Writes a volume of a ramp.</summary>
    public string WriteVolume(string name, int depth = 12, int height = 16, int width = 20, VoxelSize? voxelSize = null)
    {
        string path = At(name);
        using Volume volume = new(depth, height, width, voxelSize ?? new VoxelSize(10));
        for (int z = 0; z < depth; z++)
        {
            Span<float> slice = volume.Slice(z);
            for (int i = 0; i < slice.Length; i++)
                slice[i] = (z * 31 + i * 7) % 17;
        }

        MrcFile.Write(path, volume);
        return path;
    }

    /// <summary>Writes a manifest of one training volume.</summary>
    public string WriteManifest(string name, string volume, string coordinates)
    {
        new DatasetManifest
        {
            Volumes =
            [new DatasetVolume { Volume = volume, Coordinates = coordinates, Split = DatasetSplit.Train }]
        }.Write(At(name));
        return At(name);
    }

    /// <summary>Writes a text file.</summary>
    public string WriteText(string name, string text)
    {
        File.WriteAllText(At(name), text);
        return At(name);
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);
}
