using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Viewing;
using MeanShiftGpu.Tomography.Volumes;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Viewing;

public sealed class PickCorrectionTests : IDisposable
{
    private static readonly Extent Size = new(40, 60, 80);

    private static readonly Particle[] Picks =
        [.. Enumerable.Range(0, 5)
            .Select(i => new Particle(10 + i, 20 + i, 30 + i) { Score = i / 4.0, Class = 1, Tomogram = "TS_01" })];

    private static readonly PickChanges Changes = new()
    {
        Removed = [4],
        Accepted = [0],
        Moved = [new MovedPick(2, 1, 2, 3)],
        Added = [new AddedPick(5, 6, 7, 0)],
        LeastScore = 0.6,
    };

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Test]
    public void Apply_WhatAPersonDecided_CountsMoreThanTheSlider()
    {
        (IReadOnlyList<Particle> kept, IReadOnlyList<Particle> removed) = new PickCorrection(Picks, Size).Apply(Changes);
        using (Assert.EnterMultipleScope())
        {
            // Pick 0 was accepted and pick 2 moved, both below the slider; pick 1 is below it; pick 3 above;
            // pick 4 was removed.
            Assert.That(kept.Select(p => p.Z), Is.EqualTo([10, 1, 13, 5]));
            Assert.That(kept[^1].Tomogram, Is.EqualTo("TS_01"));
            Assert.That(kept[^1].Class, Is.EqualTo(1));
            Assert.That(kept[^1].Score, Is.Null);
            Assert.That(removed, Is.EqualTo([Picks[4]]));
        }
    }

    public static IEnumerable<CoordinateFormat> Formats => Enum.GetValues<CoordinateFormat>();

    [TestCaseSource(nameof(Formats))]
    public void Save_InEachFormat_KeepsAndRemoves(CoordinateFormat format)
    {
        string table = folder["picks" + CoordinateFormats.Ending(format)];
        CoordinateContext context = new() { Shape = Size, VoxelSizeAngstrom = 10 };
        PickCorrection correction = new(Picks, Size);
        int kept = correction.Save(table, Changes,
            new CoordinateWriteOptions { Format = format, Context = context, TomogramName = "TS_01", ObjectName = "ribosome" },
            new Provenance());
        Assert.That(kept, Is.EqualTo(4));
        IReadOnlyList<Particle> Read(string path) => CoordinateTables.Read(path, context with { Format = format });
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Read(table).Select(p => Math.Round(p.Z, 3)), Is.EqualTo([10, 1, 13, 5]).Within(0.51));
            Assert.That(Read(PickCorrection.RemovedTable(table)).Select(p => p.X), Is.EqualTo([34]).Within(0.51));
            Assert.That(Provenance.Read(table)!.Settings, Is.EqualTo(Changes.Said));
            Assert.That(File.ReadAllText(table + PickCorrection.ChangesEnding), Does.Contain("\"removed\""));
        }

        correction.Save(table, Changes with { Removed = [] },
            new CoordinateWriteOptions { Format = format, Context = context, TomogramName = "TS_01", ObjectName = "ribosome" },
            new Provenance());
        Assert.That(File.Exists(PickCorrection.RemovedTable(table)), Is.False, "nothing is removed any more");
    }

    [Test]
    public void Save_FromAStarTable_KeepsItsOtherColumns()
    {
        string source = folder.Write("in.star",
            "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnTomoTiltSeriesPixelSize\n1 10\n\n"
            + "data_particles\n\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
            + "_rlnOpticsGroup\n_rlnRandomSubset\n"
            + "TS_01 10 20 30 1 2\nTS_01 11 21 31 1 1\n");
        CoordinateTable read = CoordinateTables.ReadTable(source, new CoordinateContext { Shape = Size, VoxelSizeAngstrom = 10 });
        PickCorrection correction = new(read.Particles, Size);
        correction.Save(folder["out.star"], new PickChanges { Removed = [0], Added = [new AddedPick(5, 6, 7, 0)] },
            new CoordinateWriteOptions
            {
                Format = read.Format,
                TomogramName = "TS_01",
                Context = new CoordinateContext { Shape = Size, VoxelSizeAngstrom = 10 },
                Template = PickCorrection.TemplateOf(source, read.Format, read.Format),
            }, new Provenance());
        string text = File.ReadAllText(folder["out.star"]);
        Assert.That(text, Does.Contain("data_optics").And.Contain("_rlnRandomSubset"));
        Assert.That(CoordinateTables.Read(folder["out.star"], new CoordinateContext { Shape = Size, VoxelSizeAngstrom = 10 })
            .Select(p => Math.Round(p.X)), Is.EqualTo([11, 7]));
    }

    [Test]
    public void RemovedTable_InAFolderOfTables_IsNotOneOfPicks()
    {
        using Volume volume = new(Size.Depth, Size.Height, Size.Width, new VoxelSize(10));
        MrcFile.Write(folder["TS_01.mrc"], volume);
        new PickCorrection(Picks, Size).Save(folder["TS_01.csv"], Changes,
            new CoordinateWriteOptions { Format = CoordinateFormat.Csv }, new Provenance());
        Assert.That(folder.Files(), Does.Contain("TS_01_removed.csv"));
        DatasetFiles matched =
            DatasetFiles.Match([folder["TS_01.mrc"]], [Path.GetDirectoryName(folder["x"])!], new CoordinateContext(),
            AnnotationChoice.All);
        Assert.That(matched.Annotated.Single().Centers, Has.Count.EqualTo(4));
        Assert.That(CoordinateFolder.Find(Path.GetDirectoryName(folder["x"])!, "TS_01"), Is.EqualTo(folder["TS_01.csv"]));
    }
}
