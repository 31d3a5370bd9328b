using System.Globalization;

namespace MeanShiftGpu.Storage;

/// <summary>
/// Numbers with a decimal point as long as this lives, whatever language the program around the library
/// speaks: files are read by other programs, and a comma in a table or a drawing is another number.
/// </summary>
internal readonly struct InvariantText : IDisposable
{
    private readonly CultureInfo before;

    private InvariantText(CultureInfo before) => this.before = before;

    /// <summary>Begins.</summary>
    public static InvariantText Begin()
    {
        InvariantText scope = new(CultureInfo.CurrentCulture);
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        return scope;
    }

    /// <summary>Gives the program its language back.</summary>
    public void Dispose() => CultureInfo.CurrentCulture = before;
}
