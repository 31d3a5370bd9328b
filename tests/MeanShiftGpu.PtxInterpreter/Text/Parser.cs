using System.Globalization;
using System.Text.RegularExpressions;
using MeanShiftGpu.PtxInterpreter.Machine;

namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>Reads the text of a module with one entry point. What it does not know it refuses.</summary>
internal sealed partial class Parser
{
    private const int LanePlane = Lanes.Count * sizeof(uint);

    private readonly List<Instruction> code = [];
    private readonly List<(Instruction Branch, string Label)> branches = [];
    private readonly Dictionary<string, int> labels = [];
    private readonly Dictionary<string, (char Kind, int First, int Count)> registers = [];
    private readonly Dictionary<(ulong Value, bool IsWide), int> constants = [];
    private readonly Dictionary<string, int> special = [];
    private readonly Dictionary<string, ulong> symbols = [];
    private readonly List<Parameter> parameters = [];
    private string name = "";
    private string? dynamicShared;
    private int dynamicAlignment;
    private int maxThreads;
    private int sharedBytes;
    private int registerBytes;
    private int extraBytes;
    private int predicates;
    private int line;
    private string text = "";
    private int elementBytes;
    private bool isEnded;

    private Parser()
    {
    }

    /// <summary>The text's version and target: "7.0", "sm_80".</summary>
    public static (string Version, string Target) Header(string module)
    {
        Match version = VersionLine().Match(module), target = TargetLine().Match(module);
        return version.Success && target.Success ? (version.Groups[1].Value,
            target.Groups[1].Value) : throw new PtxFaultException(FaultKind.Text, "the text has no .version or no .target");
    }

    /// <exception cref="PtxFaultException">The text holds what this interpreter does not know.</exception>
    public static Kernel Parse(string module)
    {
        Parser parser = new();
        _ = Header(module);
        foreach (string each in module.Split('\n'))
        {
            parser.line++;
            int comment = each.IndexOf("//", StringComparison.Ordinal);
            parser.text = (comment < 0 ? each : each[..comment]).Trim();
            parser.elementBytes = ElementComment().Match(each) is { Success: true } elements ? Number(
                elements.Groups[1].Value) : 0;
            if (parser.text.Length > 0)
                parser.ReadLine();
        }

        return parser.Finish();
    }

    private void ReadLine()
    {
        if (isEnded)
            throw Refused("stands behind the entry point");
        if (text.EndsWith(':'))
            labels.Add(text[..^1], code.Count);
        else if (text == "}")
            isEnded = true;
        else if (text is "{" or ")")
            return;
        else if (text[0] == '.')
            ReadDirective();
        else
            ReadInstruction();
    }

    private void ReadDirective()
    {
        // How many groups ptxas is to leave room for changes nothing here.
        if (VersionLine().IsMatch(text) || MinGroupsLine().IsMatch(text) || TargetLine().IsMatch(text)
            || text == ".address_size 64")
            return;
        if (EntryLine().Match(text) is { Success: true } entry && name.Length == 0)
        {
            name = entry.Groups[1].Value;
        }
        else if (ParameterLine().Match(text) is { Success: true } parameter)
        {
            int size = parameter.Groups["type"].Value switch { "b8" => 1, "b16" => 2, "b64" or "f64" => 8, _ => 4 };
            int bytes = size * (parameter.Groups["count"].Success ? Number(parameter.Groups["count"].Value) : 1);
            int alignment = parameter.Groups["align"].Success ? Number(parameter.Groups["align"].Value) : size;
            int end = parameters.Count == 0 ? 0 : parameters[^1].Offset + parameters[^1].Bytes;
            parameters.Add(new Parameter(parameter.Groups["name"].Value, Aligned(end, alignment), bytes, elementBytes));
        }
        else if (MaxThreadsLine().Match(text) is { Success: true } most)
        {
            maxThreads = Number(most.Groups[1].Value) * Number(most.Groups[2].Value) * Number(most.Groups[3].Value);
        }
        else if (RegisterLine().Match(text) is { Success: true } register)
        {
            Declare(register.Groups[1].Value, register.Groups[2].Value, Number(register.Groups[3].Value));
        }
        else if (SharedLine().Match(text) is { Success: true } shared)
        {
            // No further aligned than the text demands: what counts on more is to be found.
            int alignment = Number(shared.Groups[1].Value);
            int at = Aligned(sharedBytes, alignment);
            if (at % (2 * alignment) == 0)
                at += alignment;
            symbols.Add(shared.Groups[2].Value, (ulong)(SharedMemory.Start + at));
            sharedBytes = at + Number(shared.Groups[3].Value);
        }
        else if (DynamicSharedLine().Match(text) is { Success: true } dynamic && dynamicShared is null)
        {
            (dynamicAlignment, dynamicShared) = (Number(dynamic.Groups[1].Value), dynamic.Groups[2].Value);
        }
        else
        {
            throw Refused("is a directive that is not known");
        }
    }

    private void Declare(string type, string prefix, int count)
    {
        char kind = type switch
        {
            "pred" => 'p',
            "b16" => 'h',
            "b32" or "f32" => 'r',
            "b64" or "f64" => 'l',
            _ => throw Refused("declares registers of an unknown type")
        };
        if (kind == 'p')
        {
            registers.Add(prefix, (kind, predicates, count));
            predicates += count;
            return;
        }

        registers.Add(prefix, (kind, registerBytes, count));
        registerBytes += count * (kind == 'l' ? 2 * LanePlane : LanePlane);
    }

    private void ReadInstruction()
    {
        if (InstructionLine().Match(text) is not { Success: true } match)
            throw Refused("is no instruction");
        Form form = Forms.Find(match.Groups["form"].Value) ?? throw Refused("has a form that is not known");
        List<string> operands = Operands(match.Groups["operands"].Value);
        List<int> places = [];
        Instruction instruction = new()
        {
            Text = text,
            Line = line,
            Form = form,
            Operands = new int[Expected(form)],
            Flow = form.Flow
        };
        int next = 0;
        for (int k = 0; k < form.Operands.Length; k++)
        {
            int count = char.IsDigit(form.Operands[k]) ? form.Operands[k++] - '0' : 1;
            for (int each = 0; each < count; each++)
            {
                if (next == operands.Count)
                    throw Refused("has too few operands");
                places.Add(Operand(instruction, form.Operands[k], operands[next++]));
            }
        }

        if (next != operands.Count)
            throw Refused("has too many operands");
        places.CopyTo(instruction.Operands);
        unsafe
        {
            instruction.Run = form.Run;
        }

        (instruction.D, instruction.A, instruction.B, instruction.C) = (places.ElementAtOrDefault(0),
            places.ElementAtOrDefault(1), places.ElementAtOrDefault(2), places.ElementAtOrDefault(3));
        if (match.Groups["guard"].Success)
        {
            if (form.Flow is not (Flow.Branch or Flow.Return))
                throw Refused("has a predicate, which is known of branches and returns alone");
            instruction.Guard = Register(match.Groups["guard"].Value, 'p');
            instruction.GuardNegated = match.Groups["not"].Success;
        }

        code.Add(instruction);
    }

    // Groups in braces are opened: what they hold is told from the form.
    private static List<string> Operands(string list)
        => [.. list.Split([',', '{', '}'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)];

    private static int Expected(Form form)
    {
        int count = 0;
        for (int k = 0; k < form.Operands.Length; k++)
            count += char.IsDigit(form.Operands[k]) ? form.Operands[k++] - '0' : 1;
        return count;
    }

    private int Operand(Instruction instruction, char kind, string operand)
    {
        switch (kind)
        {
            case 'p':
                return Register(operand, 'p');
            case 'c':
                return operand switch { "0" => -1, "1" => -2, _ => Register(operand, 'p') };
            case 'g':
                return Address(instruction, operand, "l");
            case 's':
                return Address(instruction, operand, "lr");
            case 'm':
                (string symbol, int offset) = Place(operand);
                Parameter parameter = parameters.Find(parameter => parameter.Name == symbol);
                if (parameter.Name is null || offset < 0 || offset + instruction.Form.Size > parameter.Bytes
                    || (parameter.Offset + offset) % instruction.Form.Size != 0)
                    throw Refused($"reads no place of a parameter: {operand}");
                instruction.Number = parameter.Offset + offset;
                return 0;
            case 'b':
                branches.Add((instruction, operand));
                return 0;
            case 'n':
                int number = Number(operand);
                if (instruction.Form.Size != 0 && number != instruction.Form.Size)
                    throw Refused($"copies {number} bytes, which this form does not");
                if (instruction.Form.Size == 0)
                    instruction.Number = number;
                if (instruction.Flow == Flow.Barrier && number != 0)
                    throw Refused("uses another barrier than 0");
                return number;
            default:
                return operand[0] == '%' ? Register(operand, kind, instruction) : Constant(instruction.Form, kind, operand);
        }
    }

    private int Register(string operand, char kind, Instruction? instruction = null)
    {
        if (RegisterName().Match(operand) is { Success: true } match && registers.TryGetValue(match.Groups[1].Value,
            out (char Kind, int First, int Count) bank))
        {
            int number = Number(match.Groups[2].Value);
            if (bank.Kind != kind || number >= bank.Count)
                throw Refused($"has the operand {operand}, which is not declared or of another width");
            return bank.First + number * (kind switch { 'p' => 1, 'l' => 2 * LanePlane, _ => LanePlane });
        }

        // Special registers stand as the source of mov.b32 alone.
        if (instruction?.Form.Name != "mov.b32")
            throw Refused($"has the operand {operand}, which is not known");
        if (!special.TryGetValue(operand, out int place))
            special.Add(operand, place = special.Count);
        return ~place;
    }

    private int Constant(Form form, char kind, string operand)
    {
        ulong value;
        bool isBits = kind == 'l' ? operand.StartsWith("0d", StringComparison.OrdinalIgnoreCase) : operand.StartsWith("0f",
            StringComparison.OrdinalIgnoreCase);
        if (isBits && operand.Length == (kind == 'l' ? 18 : 10))
            value = ulong.Parse(operand.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        else if (form.IsFloat)
            throw Refused($"has the constant {operand}, expected the bits of a floating-point number");
        else if (kind == 'l' && ulong.TryParse(operand, NumberStyles.None, CultureInfo.InvariantCulture, out ulong wide))
            value = wide;
        else if (long.TryParse(operand, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number))
            value = kind == 'l' ? (ulong)number : number is >= int.MinValue and <= uint.MaxValue ? (
                uint)number : throw Refused($"has the constant {operand}, which 32 bits do not hold");
        else if (kind == 'l' && form.Name == "mov.b64")
            value = symbols.TryGetValue(operand,
                out ulong address) ? address : operand == dynamicShared ? ulong.MaxValue - 1 : throw Refused(
                    $"names {operand}, which is not declared");
        else
            throw Refused($"has the operand {operand}, which is no constant");
        bool isWide = kind == 'l';
        if (!constants.TryGetValue((value, isWide), out int place))
        {
            constants.Add((value, isWide), place = extraBytes);
            extraBytes += isWide ? 2 * LanePlane : LanePlane;
        }

        // Constants come behind the registers, all of which are declared by now.
        return registerBytes + place;
    }

    private int Address(Instruction instruction, string operand, string kinds)
    {
        (string register, int offset) = Place(operand);
        Match match = RegisterName().Match(register);
        char kind = match.Success && registers.TryGetValue(match.Groups[1].Value, out (char Kind, int First,
            int Count) bank) ? bank.Kind : '?';
        if (!kinds.Contains(kind))
            throw Refused($"has the address {operand}, whose register is not known or of another width");
        if (kinds.Length > 1)
            instruction.HasWideSharedAddress = kind == 'l';
        // A copy has two addresses, and one number for what is added: the target's.
        if (kind == 'l' && kinds.Length == 1 && instruction.Form.Operands.Contains('n'))
        {
            if (offset != 0)
                throw Refused("adds to the address that it copies from, which no kernel does");
        }
        else
        {
            instruction.Number = offset;
        }

        return Register(register, kind);
    }

    private (string Name, int Offset) Place(string operand)
    {
        if (AddressText().Match(operand) is not { Success: true } match)
            throw Refused($"has the operand {operand}, expected an address");
        return (match.Groups[1].Value, match.Groups[2].Success ? Number(match.Groups[2].Value) : 0);
    }

    private Kernel Finish()
    {
        if (!isEnded || name.Length == 0)
            throw new PtxFaultException(FaultKind.Text, "the text has no entry point");
        int specialAt = registerBytes + extraBytes;
        foreach (Instruction instruction in code)
        {
            // A special register, and a predicate that is constant, lie behind all that was counted
            // meanwhile.
            if (instruction.Form.Name == "mov.b32" && instruction.A < 0)
                instruction.A = instruction.Operands[1] = specialAt + ~instruction.A * LanePlane;
            else if (instruction.Form.Name == "mov.pred" && instruction.A < 0)
                instruction.A = instruction.Operands[1] = predicates - 1 - instruction.A;
        }

        foreach ((Instruction branch, string label) in branches)
            branch.Target = labels.TryGetValue(label, out int target) ? target : throw new PtxFaultException(FaultKind.Text,
                $"{branch}: the label is not declared");
        if (code.Count == 0 || code[^1] is not { Flow: Flow.Return or Flow.Branch, Guard: < 0 })
            throw new PtxFaultException(FaultKind.Text, $"{name}: the last instruction goes on behind the end");
        int dynamicAt = dynamicShared is null ? -1 : Aligned(sharedBytes, dynamicAlignment);
        Instruction[] instructions = [.. code];
        ControlFlow.FindReconvergence(instructions);
        Kernel kernel = new()
        {
            Name = name,
            Parameters = parameters,
            Code = instructions,
            MaxThreads = maxThreads,
            StaticSharedBytes = sharedBytes,
            DynamicSharedAt = dynamicAt,
            PlaneBytes = specialAt + special.Count * LanePlane,
            RegisterBytes = registerBytes,
            Predicates = predicates,
            Constants =
                [.. constants.Select(
                    pair => (
                        registerBytes + pair.Value, pair.Key.Value == ulong.MaxValue - 1 && dynamicAt >= 0
                            ? (ulong)(SharedMemory.Start + dynamicAt) : pair.Key.Value, pair.Key.IsWide))],
            Special = special.ToDictionary(pair => pair.Key, pair => specialAt + pair.Value * LanePlane),
        };
        Views.Find(kernel);
        return kernel;
    }

    private PtxFaultException Refused(string why) => new(FaultKind.Text, $"line {line}: '{text}' {why}");

    private static int Number(string digits) => int.Parse(digits, CultureInfo.InvariantCulture);

    private static int Aligned(int value, int alignment) => (value + alignment - 1) / alignment * alignment;

    [GeneratedRegex(@"^\s*\.version\s+(\d+\.\d+)\s*$", RegexOptions.Multiline)]
    private static partial Regex VersionLine();

    [GeneratedRegex(@"^\s*\.target\s+(sm_\d+\w?)\s*$", RegexOptions.Multiline)]
    private static partial Regex TargetLine();

    [GeneratedRegex(@"^\.visible \.entry (\w+)\($")]
    private static partial Regex EntryLine();

    [GeneratedRegex(
        @"^\.param(?: \.align (?<align>\d+))? \.(?<type>b8|b16|b32|f32|b64|f64) (?<name>\w+)(?:\[(?<count>\d+)\])?,?$")]
    private static partial Regex ParameterLine();

    [GeneratedRegex(@"// elements of (\d+) bytes$")]
    private static partial Regex ElementComment();

    [GeneratedRegex(@"^\.maxntid (\d+), (\d+), (\d+)$")]
    private static partial Regex MaxThreadsLine();

    [GeneratedRegex(@"^\.minnctapersm \d+$")]
    private static partial Regex MinGroupsLine();

    [GeneratedRegex(@"^\.reg \.(\w+)\s+(%[a-z]+)<(\d+)>;$")]
    private static partial Regex RegisterLine();

    [GeneratedRegex(@"^\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];$")]
    private static partial Regex SharedLine();

    [GeneratedRegex(@"^\.extern \.shared \.align (\d+) \.b8 (\w+)\[\];$")]
    private static partial Regex DynamicSharedLine();

    [GeneratedRegex(@"^(?:@(?<not>!)?(?<guard>%\w+)\s+)?(?<form>[a-z][\w.]*)\s*(?<operands>[^;]*);$")]
    private static partial Regex InstructionLine();

    [GeneratedRegex(@"^(%[a-z]+)(\d+)$")]
    private static partial Regex RegisterName();

    [GeneratedRegex(@"^\[([%\w]+)(?:\+(-?\d+))?\]$")]
    private static partial Regex AddressText();
}
