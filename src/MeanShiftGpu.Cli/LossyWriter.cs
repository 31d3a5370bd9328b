using System.Text;

namespace MeanShiftGpu.Cli;

/// <summary>
/// Standard output that may go away: a terminal that is closed must not end a training before its checkpoint
/// is written. What cannot be written is remembered, and said at the end where the other output is still
/// there.
/// </summary>
internal sealed class LossyWriter(TextWriter inner) : TextWriter
{
    /// <summary>Why something could not be written; null where all was.</summary>
    public string? Problem { get; private set; }

    public override Encoding Encoding => inner.Encoding;

    public override void Write(char value) => Try(() => inner.Write(value));

    public override void Write(string? value) => Try(() => inner.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

    public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

    public override void Flush() => Try(inner.Flush);

    private void Try(Action write)
    {
        if (Problem is not null)
            return;
        try
        {
            write();
        }
        catch (IOException e)
        {
            Problem = e.Message;
        }
    }
}
