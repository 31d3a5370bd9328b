using System.CommandLine;
using System.CommandLine.Parsing;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// Refuses options that would change nothing with the formats at hand: whoever gives one expects that it
/// counts.
/// </summary>
/// <param name="options">The command line.</param>
/// <param name="verb">The verb, for messages.</param>
/// <param name="formats">The formats, looked for only where an option depends on them.</param>
internal sealed class IdleOptions(ParseResult options, string verb, IEnumerable<CoordinateFormat> formats)
{
    /// <summary>Refuses an option that counts for some formats alone, where none of them is there.</summary>
    /// <param name="option">The option.</param>
    /// <param name="counts">For which formats it counts.</param>
    /// <param name="remedy">What else to do; nothing where it can only be left out.</param>
    /// <exception cref="InputException">It was given.</exception>
    public void Refuse(Option option, Func<CoordinateFormat, bool> counts, string remedy = "")
    {
        if (options.GetResult(option) is not { Implicit: false })
            return;
        CoordinateFormat[] given = [.. formats.Distinct()];
        if (Array.Exists(given, f => counts(f)))
            return;
        string needed = string.Join(", ", CoordinateFormats.Words.Where(w => counts(w.Value)).Select(w => w.Key));
        string here = given.Length == 0 ? "which none of the tables is" : $"not for {string.Join(" or ", given.Select(
            CoordinateFormats.Word))}";
        throw new InputException($"{verb}: {option.Name} is for {needed}, {here}. Leave it out{remedy}.");
    }

    /// <summary>Refuses every option, where a command takes none.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="command">The command, for the message.</param>
    /// <exception cref="InputException">One was given.</exception>
    public static void RefuseAll(ParseResult options, string command)
        => RefuseAmong(options, command, options.CommandResult.Children.OfType<OptionResult>().Select(o => o.Option));

    /// <summary>Refuses the options that have no effect in one use of a verb.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="command">The verb and its use, for the message.</param>
    /// <param name="idle">These options.</param>
    /// <exception cref="InputException">One was given.</exception>
    public static void RefuseAmong(ParseResult options, string command, IEnumerable<Symbol> idle)
    {
        if (options.CommandResult.Children.OfType<OptionResult>()
            .FirstOrDefault(o => !o.Implicit && idle.Contains(o.Option)) is { } given)
            throw new InputException($"{command}: {given.Option.Name} has no effect here. Leave it out.");
    }

    /// <summary>Whether a format counts from a tomogram's centre as RELION 5 does.</summary>
    public static bool CountsFromCentre(CoordinateFormat format) => format == CoordinateFormat.Relion5;

    /// <summary>The formats of tables, as they are told or seen; folders by their first.</summary>
    public static IEnumerable<CoordinateFormat> Of(IEnumerable<string> tables, CoordinateFormat? told = null)
        => tables.Select(t => told ?? (Directory.Exists(t) ? CoordinateFolder.FormatOf(t) : CoordinateFormats.Identify(t)));
}
