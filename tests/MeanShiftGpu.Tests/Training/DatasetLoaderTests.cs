using MeanShiftGpu.IO;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

[TestFixture]
public class DatasetLoaderTests
{
    private readonly TemporaryFolder folder = new();

    [OneTimeTearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void Load_OfTwoClasses_GivesTheirCentresAndTheirPartsOfTheMask()
    {
        DatasetManifest manifest = Write();
        TrainingVolume volume = DatasetLoader.Load(manifest, new AnnotationChoice(["B", "a"], 0, 1)).Training[0];
        Assert.That(volume.Centers, Is.EqualTo(new[] { new Position(0, 0, 1), new Position(0, 0, 2), new Position(0, 0, 4) }));
        Assert.That(volume.CenterClasses, Is.EqualTo(new[] { 1, 0, 1 }), "classes have the order that was asked for, whatever their case");
        // The third particle, c, is of no class.
        Assert.That(volume.Mask!.Take(6), Is.EqualTo(new float[] { 0, 2, 1, 0, 2, 0 }));
    }

    [Test]
    public void Load_OfSomeCentres_ChoosesThemByTheSeedAndKeepsOnlyTheirMasks()
    {
        DatasetManifest manifest = Write();
        TrainingVolume Of(int seed) => DatasetLoader.Load(manifest, new AnnotationChoice([], 2, seed)).Training[0];
        HashSet<string> seen = [];
        for (int seed = 0; seed < 20; seed++)
        {
            TrainingVolume volume = Of(seed);
            Assert.That(volume.Centers, Has.Count.EqualTo(2).And.Unique);
            Assert.That(Of(seed).Centers, Is.EqualTo(volume.Centers));
            foreach (int x in Enumerable.Range(1, 4))
                Assert.That(volume.Mask![x], Is.EqualTo(volume.Centers.Contains(new Position(0, 0, x)) ? 1 : 0));
            seen.Add(string.Join(' ', volume.Centers.OrderBy(c => c.X)));
        }

        Assert.That(seen, Has.Count.EqualTo(6), "two of four");
    }

    [Test]
    public void Load_WhatTheTablesDoNotSay_IsRefused()
    {
        DatasetManifest manifest = Write();
        Assert.That(
            () => DatasetLoader.Load(manifest, new AnnotationChoice(["a", "ribosome"], 0, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains("'ribosome'"));
        folder.Write("plain.csv", "x,y,z\n1,0,0\n2,0,0\n");
        DatasetManifest unnumbered = new() { Volumes = [manifest.Volumes[0] with { Coordinates = folder["plain.csv"] }] };
        Assert.That(
            () => DatasetLoader.Load(unnumbered, new AnnotationChoice([], 1, 1)),
            Throws.TypeOf<InputException>().With.Message.Contains("must number its particles"));
    }

    private DatasetManifest Write()
    {
        using Volume volume = new(4, 5, 6, new VoxelSize(10));
        for (int i = 0; i < 5; i++)
            volume.AsSpan()[i] = i;
        MrcFile.Write(folder["volume.mrc"], volume);
        ShrecLocations.Write(folder["particles.txt"], [new("a", 0, 0, 1), new("b", 0, 0, 2), new("c", 0, 0, 3), new("a", 0, 0, 4)]);
        return new DatasetManifest
        {
            Volumes = [new DatasetVolume { Volume = folder["volume.mrc"], Coordinates = folder["particles.txt"], Mask = folder["volume.mrc"], Split = DatasetSplit.Train }],
        };
    }
}
