using System.Globalization;
using System.Text;

namespace MeanShiftGpu.Storage;

/// <summary>
/// Text from files as a person may see it. Control characters would let a table move a terminal's cursor, set
/// its title or hide what stands before them, and no XML may hold them: each is shown as its code, \u001b for
/// the escape character.
/// </summary>
internal static class Shown
{
    /// <summary>A text of one line.</summary>
    public static string Text(string text) => Of(text, keepLines: false);

    /// <summary>A text of several lines, such as a stack trace.</summary>
    public static string Lines(string text) => Of(text, keepLines: true);

    private static string Of(string text, bool keepLines)
    {
        ArgumentNullException.ThrowIfNull(text);
        StringBuilder? shown = null;
        for (int i = 0; i < text.Length; i++)
        {
            bool pair = char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
            bool plain = pair || text[i] == '\t' || (text[i] == '\n' && keepLines) || !IsHidden(text[i]);
            if (!plain)
                shown ??= new StringBuilder(text, 0, i, text.Length + 16);
            if (plain)
                shown?.Append(text, i, pair ? 2 : 1);
            else if (text[i] is '\n')
                shown!.Append("\\n");
            else if (text[i] is not '\r' || !keepLines)
                shown!.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[i]:x4}");
            if (pair)
                i++;
        }

        return shown?.ToString() ?? text;
    }

    // Control characters; half surrogate pairs, which are no text; marks that turn the direction of writing
    // or end a line; what is no character.
    private static bool IsHidden(char c)
        => char.IsControl(c) || char.IsSurrogate(c)
            || c is >= '\u202a' and <= '\u202e' or >= '\u2066' and <= '\u2069' or '\u2028' or '\u2029'
            or '\u200e' or '\u200f' or '\ufeff' or >= '\ufffe';
}
