using System.Text;
using System.Text.Json;
using MeanShiftGpu.Tomography.Viewing;

namespace MeanShiftGpu.Cli.Viewing;

/// <summary>What the server says to a request.</summary>
/// <param name="Status">The status of HTTP.</param>
/// <param name="Type">The content's type.</param>
/// <param name="Content">The content.</param>
internal sealed record Answer(int Status, string Type, ReadOnlyMemory<byte> Content)
{
    /// <summary>One header more, by its name; null for none.</summary>
    public (string Name, string Value)? Header { get; init; }

    /// <summary>A line of text.</summary>
    public static Answer Text(int status, string text) => new(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text));

    /// <summary>Bytes.</summary>
    public static Answer Bytes(ReadOnlyMemory<byte> content) => new(200, "application/octet-stream", content);

    /// <summary>A value as JSON.</summary>
    public static Answer Json<T>(T value) =>
        new(200, "application/json", JsonSerializer.SerializeToUtf8Bytes(value, ViewPage.Json));

    /// <summary>What is asked for is not there.</summary>
    public static Answer NotFound { get; } = Text(404, "there is nothing of this name");

    /// <summary>What is asked for is being prepared, so much of it is there.</summary>
    public static Answer NotYet(double share) => Text(202, FormattableString.Invariant($"{share:0.###}"));

    /// <summary>The request makes no sense.</summary>
    public static Answer Wrong(string reason) => Text(400, reason);
}
