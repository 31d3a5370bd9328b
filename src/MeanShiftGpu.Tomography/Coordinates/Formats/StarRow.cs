using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>A row of a STAR table, whose values are refused with their line and column.</summary>
internal readonly struct StarRow(string path, StarTable table, int row)
{
    /// <summary>The file.</summary>
    public string Path => path;

    /// <summary>The line in the file.</summary>
    public int Line => table.RowLines[row];

    /// <summary>Whether the table has a column.</summary>
    public bool Has(string column) => table.Has(column);

    /// <summary>A value as it stands.</summary>
    public string Text(string column) => table.Rows[row][table.IndexOf(column)];

    /// <summary>A finite number.</summary>
    public double Number(string column)
    {
        string text = Text(column);
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value)
            ? value
            : throw new InputException($"{path}: line {Line}: {column} is {InputFile.Quote(text)}; expected a number.");
    }

    /// <summary>A whole number.</summary>
    public int WholeNumber(string column)
    {
        double value = Number(column);
        return value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue
            ? (int)value
            : throw new InputException($"{path}: line {Line}: {column} is {InputFile.Quote(Text(column))}; expected a whole "
                + "number.");
    }
}
