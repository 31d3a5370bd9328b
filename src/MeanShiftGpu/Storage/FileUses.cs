namespace MeanShiftGpu.Storage;

/// <summary>
/// The files that a command reads and those that it writes: no result replaces an input, what lies beside an
/// input and belongs to it, or another result. Links are followed; pipes and devices do not count as files.
/// While a command runs (<see cref="Begin"/>) no file at all is written in the place of an input, whether it
/// was named here before or not.
/// </summary>
/// <param name="filesOf">A file and all that lie beside it and belong to it.</param>
internal sealed class FileUses(Func<string, IReadOnlyList<string>> filesOf)
{
    private static readonly AsyncLocal<FileUses?> Running = new();

    // By what tells places apart: the name that was given, and of a result also whose it is.
    private readonly Dictionary<string, string> inputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string Owner, string Path)> results = new(StringComparer.Ordinal);

    // Names that an input and a result have in common beside them: who writes such files adds to them.
    private readonly HashSet<string> shared = new(StringComparer.Ordinal);

    /// <summary>Those of the command that runs; null where none does.</summary>
    public static FileUses? Current => Running.Value;

    /// <summary>The command runs until what is returned is disposed of.</summary>
    public IDisposable Begin()
    {
        FileUses? outer = Running.Value;
        Running.Value = this;
        return new Ending(outer);
    }

    /// <summary>These files are read.</summary>
    /// <exception cref="InputException">One of them is where a result is to be written.</exception>
    public void Read(params IEnumerable<string> paths)
    {
        foreach (string path in paths.Where(p => p.Length > 0))
        {
            foreach (string key in filesOf(path).SelectMany(KeysOf))
            {
                inputs.TryAdd(key, path);
                if (!shared.Contains(key) && results.TryGetValue(key, out (string Owner, string Path) result))
                    throw InTheWay(result.Path, path);
            }
        }
    }

    /// <summary>These files are written, with what lies beside them.</summary>
    /// <param name="owner">What they are the results of, as the option that names them; its own may be named
    /// again.</param>
    /// <param name="paths">The files.</param>
    /// <exception cref="InputException">One of them is where an input, or another result, is.</exception>
    public void Write(string owner, params IEnumerable<string> paths)
    {
        foreach (string path in paths.Where(p => p.Length > 0))
        {
            RefuseInputs(path);
            foreach (string file in filesOf(path))
            {
                foreach (string key in KeysOf(file))
                {
                    if (!results.TryAdd(key, (owner, file)) && results[key].Owner is var other && other != owner)
                        throw new InputException($"{file}: is the name of two results ({other} and {owner}). Choose another "
                            + "name for one of them.");
                }
            }
        }
    }

    /// <summary>Refuses to write a file, and what lies beside it, where an input is.</summary>
    /// <exception cref="InputException">One is there.</exception>
    public void RefuseInputs(string path)
    {
        foreach (string file in filesOf(path))
        {
            foreach (string key in file == path ? [] : KeysOf(file))
            {
                if (inputs.TryGetValue(key, out string? input) && !KeysOf(input).Contains(key))
                    shared.Add(key);
            }

            RefuseInput(file);
        }
    }

    /// <summary>Refuses to write one file where an input is.</summary>
    /// <exception cref="InputException">One is there.</exception>
    public void RefuseInput(string path)
    {
        foreach (string key in KeysOf(path))
        {
            if (!shared.Contains(key) && inputs.TryGetValue(key, out string? input))
                throw InTheWay(path, input);
        }
    }

    private static InputException InTheWay(string result, string input)
    {
        string what = KeysOf(result).Intersect(KeysOf(input)).Any() ? "is an input" : $"belongs to the input {input}";
        return new InputException($"{result}: {what}, and would be replaced by a result. Choose another name for the result.");
    }

    private static IEnumerable<string> KeysOf(string path) => FilePlace.Of(path).Keys;

    private sealed class Ending(FileUses? outer) : IDisposable
    {
        public void Dispose() => Running.Value = outer;
    }
}
