using System.Reflection;
using System.Text;
using System.Text.Json;

namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>A file of the page.</summary>
/// <param name="Type">Its content type.</param>
/// <param name="Content">Its bytes.</param>
internal sealed record PageFile(string Type, byte[] Content);

/// <summary>
/// The page on which picks are looked at (the files of Page/, which are in this assembly as they are): served
/// file by file by the program, or written as one piece into a report.
/// </summary>
internal static class ViewPage
{
    /// <summary>The page itself among <see cref="Files"/>.</summary>
    public const string Index = "index.html";

    private const string Folder = "page/";

    // The modules that a report needs too, each after those that it uses.
    private static readonly string[] Modules =
        ["elements.js", "grey.js", "marks.js", "picks.js", "sources.js", "plane.js", "histogram.js", "gallery.js", "viewer.js"];

    /// <summary>The page's files by their names.</summary>
    public static IReadOnlyDictionary<string, PageFile> Files { get; } = Load();

    /// <summary>How the page and the program write JSON to each other.</summary>
    public static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web) { RespectNullableAnnotations = true };

    /// <summary>The style sheet.</summary>
    public static string Style => Text("view.css");

    /// <summary>
    /// All modules as one, which a page that lies in a file can run: a browser loads none from beside it.
    /// </summary>
    public static string Script
    {
        get
        {
            StringBuilder all = new();
            foreach (string line in Modules.SelectMany(name => Text(name).Split('\n')))
            {
                if (!line.StartsWith("import ", StringComparison.Ordinal))
                    all.Append(line.StartsWith("export ", StringComparison.Ordinal) ? line["export ".Length..]
                        : line).Append('\n');
            }

            return all.ToString();
        }
    }

    private static string Text(string name) => Encoding.UTF8.GetString(Files[name].Content);

    private static Dictionary<string, PageFile> Load()
    {
        Assembly assembly = typeof(ViewPage).Assembly;
        Dictionary<string, PageFile> files = new(StringComparer.Ordinal);
        foreach (string resource in assembly.GetManifestResourceNames()
            .Where(n => n.StartsWith(Folder, StringComparison.Ordinal)))
        {
            using Stream stream = assembly.GetManifestResourceStream(resource)!;
            byte[] content = new byte[stream.Length];
            stream.ReadExactly(content);
            files[resource[Folder.Length..]] = new PageFile(TypeOf(resource), content);
        }

        return files;
    }

    private static string TypeOf(string name) => Path.GetExtension(name) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        string other => throw new InvalidOperationException($"The page has a file of the unknown kind {other}."),
    };
}
