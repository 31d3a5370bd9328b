using System.Collections.Specialized;
using System.Globalization;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Viewing;

namespace MeanShiftGpu.Cli.Viewing;

/// <summary>
/// What a page may ask for: its own files, slices, thumbnails, the picks, and that its changes be kept or
/// saved.
/// </summary>
internal sealed class ViewSession
{
    // The most that a page asks for, with some room: means of slices, and thumbnails at once.
    private const int MostReach = 50;
    private const int MostThumbnails = 256;

    private readonly Lock saving = new();
    private PickChanges? changes;
    private bool saved = true;

    /// <summary>The tomogram.</summary>
    public required VolumeSlices Volume { get; init; }

    /// <summary>The score map; null for none.</summary>
    public VolumeSlices? Scores { get; init; }

    /// <summary>The picks.</summary>
    public required PickCorrection Correction { get; init; }

    /// <summary>The tomogram's name.</summary>
    public required string Name { get; init; }

    /// <summary>Edge of a voxel in Å; 0 for unknown.</summary>
    public required double VoxelAngstrom { get; init; }

    /// <summary>The diameter of each kind of particle in voxels.</summary>
    public required IReadOnlyList<double> Diameters { get; init; }

    /// <summary>
    /// Writes the corrected picks and returns how many were kept; null where no file was named for them.
    /// </summary>
    public Func<PickChanges, int>? Save { get; init; }

    /// <summary>
    /// The name, without its folder, of the table that <see cref="Save"/> writes: a page says what it saved,
    /// and no path.
    /// </summary>
    public string SavedTable { get; init; } = "";

    /// <summary>Told why something failed, with names of files that a page does not get.</summary>
    public required Action<string> Failed { get; init; }

    /// <summary>How often the picks were saved.</summary>
    public int Saves { get; private set; }

    /// <summary>The last changes that a page sent; none at first.</summary>
    public PickChanges Changes => changes ?? new PickChanges();

    /// <summary>Whether changes were made that have not been saved.</summary>
    public bool HasUnsaved => !saved;

    /// <summary>Answers a request.</summary>
    public Answer Reply(LocalRequest request)
    {
        try
        {
            return (request.Method, request.Name) switch
            {
                ("GET", "") => File(ViewPage.Index),
                ("GET", "session") =>
                    Answer.Json(new { Volume = Describe(), CanSave = Save is not null, Changes = changes }),
                ("GET", "slice") => Slice(request.Query),
                ("GET", "thumbnails") => Thumbnails(request.Query),
                ("GET", "supports") => Supports(),
                ("GET", _) => File(request.Name),
                ("POST", "changes") => Keep(request.Body, save: false),
                ("POST", "save") => Keep(request.Body, save: true),
                _ => Answer.NotFound,
            };
        }
        catch (InputException e)
        {
            Failed(e.Message);
            return Answer.Text(500, "the program could not do it; its terminal says why");
        }
    }

    /// <summary>Computes the supports of the picks from the score map, while the page is used.</summary>
    public void ComputeSupports(CancellationToken cancellation)
    {
        if (Scores is null)
            return;
        double[] supports = new double[Correction.Picks.Count];
        for (int i = 0; i < supports.Length && !cancellation.IsCancellationRequested; i++)
        {
            Position center = new(Correction.Picks[i].Z, Correction.Picks[i].Y, Correction.Picks[i].X);
            supports[i] = Scores.SumInBall(center, Diameters[KindOf(i)] / 2);
        }

        Correction.Supports = supports;
    }

    private int KindOf(int pick) => KindNumbers[PickCorrection.KindOf(Correction.Picks[pick])];

    private Dictionary<string, int> KindNumbers => field ??= Correction.Kinds.Index().ToDictionary(k => k.Item, k => k.Index);

    private static Answer File(string name)
        => ViewPage.Files.TryGetValue(name, out PageFile? file) ? new Answer(200, file.Type, file.Content)
            : Answer.NotFound;

    private ViewedVolume Describe() => new()
    {
        Name = Name,
        Shape = [Volume.Size.Depth, Volume.Size.Height, Volume.Size.Width],
        VoxelAngstrom = VoxelAngstrom,
        Kinds = [.. Correction.Kinds.Zip(Diameters, (name, diameter) => new ViewedKind(name, diameter))],
        HasScoreMap = Scores is not null,
        ThumbnailEdge = ThumbnailEdge,
        Points = new ViewedPoints
        {
            Z = [.. Correction.Picks.Select(p => p.Z)],
            Y = [.. Correction.Picks.Select(p => p.Y)],
            X = [.. Correction.Picks.Select(p => p.X)],
            Score = Correction.Picks.Any(p => p.Score is not null) ? [.. Correction.Picks.Select(p => p.Score)] : null,
            Kind = [.. Enumerable.Range(0, Correction.Picks.Count).Select(KindOf)],
        },
    };

    private int ThumbnailEdge => ViewedVolume.EdgeFor(Diameters.Max());

    private Answer Slice(NameValueCollection query)
    {
        bool isScores = query["layer"] == "scores";
        VolumeSlices? source = isScores ? Scores : Volume;
        if (source is null || !Enum.TryParse(query["plane"], ignoreCase: true, out SlicePlane plane) || !Enum.IsDefined(plane)
            || !int.TryParse(query["at"], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int at)
                || Reach(query) is not { } reach)
        {
            return Answer.Wrong("expected plane, at, reach and layer");
        }

        (int height, int width) = source.ShapeOf(plane);
        byte[] pixels = new byte[height * width];
        int bin = plane == SlicePlane.XY ? 1 : source.Cache.Bin;
        if (source.TryRead(plane, at, reach, pixels))
            return Answer.Bytes(
                pixels) with
            { Header = ("X-Slice", FormattableString.Invariant($"{height},{width},{bin}")) };
        return source.Problem is { } problem ? throw new InputException(problem) : Answer.NotYet(source.Cache.Progress);
    }

    private Answer Thumbnails(NameValueCollection query)
    {
        string[] places = (query["at"] ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries);
        double[][] numbers = [.. places.Select(p => p.Split(',').Select(Number).ToArray())];
        if (places.Length > MostThumbnails || Reach(query) is not { } reach
            || !Array.TrueForAll(numbers, n => n.Length == 3 && Array.TrueForAll(n, v => Math.Abs(v) < 1 << 24)))
            return Answer.Wrong("expected reach, and at most 256 places of three numbers");
        int edge = ThumbnailEdge;
        byte[] pixels = new byte[places.Length * edge * edge];
        for (int i = 0; i < places.Length; i++)
            Volume.ReadThumbnail(new Position(numbers[i][0], numbers[i][1], numbers[i][2]), edge, reach,
                pixels.AsSpan(i * edge * edge));
        return Answer.Bytes(pixels);
    }

    private Answer Supports()
        => Correction.Supports is { } known ? Answer.Json(known) : Scores is null ? Answer.NotFound : Answer.NotYet(0);

    private Answer Keep(byte[] body, bool save)
    {
        PickChanges? sent;
        try
        {
            sent = JsonSerializer.Deserialize<PickChanges>(body, ViewPage.Json);
        }
        catch (JsonException)
        {
            return Answer.Wrong("expected changes");
        }

        if (sent is null || Correction.ProblemOf(sent) is not null)
            return Answer.Wrong(sent is null ? "expected changes" : Correction.ProblemOf(sent)!);
        lock (saving)
        {
            changes = sent;
            saved = false;
            if (!save)
                return Answer.Json(new { });
            if (Save is null)
                return Answer.Wrong("the program was not told where to save");
            int kept = Save(sent);
            saved = true;
            Saves++;
            string removedTable = PickCorrection.RemovedTable(SavedTable);
            return Answer.Json(new
            {
                Kept = kept,
                Removed = sent.Removed.Count,
                Table = SavedTable,
                RemovedTable = removedTable,
            });
        }
    }

    private static int? Reach(NameValueCollection query)
        => int.TryParse(query["reach"], NumberStyles.None, CultureInfo.InvariantCulture, out int reach) && reach <= MostReach
            ? reach : null;

    private static double Number(string text)
        => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value : double.NaN;
}
