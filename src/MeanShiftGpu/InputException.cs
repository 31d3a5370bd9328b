namespace MeanShiftGpu;

/// <summary>
/// Bad input from outside: a file, an option, a data set. The message is one line that says which file and where, what was
/// expected, and what to do. The command-line tool prints it and exits with 2.
/// </summary>
public sealed class InputException : Exception
{
    /// <summary>Creates the exception.</summary>
    public InputException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public InputException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
