using System.Reflection;
using ILGPU.Backends.EntryPoints;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Device;

/// <summary>
/// Every GPU kernel there is, found by its attribute [Kernel] and closed over every set of type
/// arguments that its constraints admit. What compiles, assembles, lists or tests "all kernels" enumerates
/// this.
/// </summary>
public static class KernelCatalog
{
    private static readonly Lazy<IReadOnlyList<KernelEntry>> Entries = new(() => EntriesOf(typeof(KernelAttribute).Assembly));

    /// <summary>The kernels, ordered by name; names are unique.</summary>
    public static IReadOnlyList<KernelEntry> All => Entries.Value;

    /// <summary>
    /// The kernels of an assembly; its structs, float and double are what type parameters may stand for.
    /// </summary>
    /// <exception cref="InvalidOperationException">A kernel is no static method, cannot be closed, or shares
    /// its name with another.</exception>
    internal static IReadOnlyList<KernelEntry> EntriesOf(Assembly assembly)
    {
        const BindingFlags everyMethod =
            BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic
                | BindingFlags.DeclaredOnly;
        return EntriesOf(
            assembly.GetTypes().SelectMany(type => type.GetMethods(everyMethod)),
            [typeof(float), typeof(double), .. assembly.GetTypes()]);
    }

    /// <summary>The kernels among some methods.</summary>
    internal static IReadOnlyList<KernelEntry> EntriesOf(IEnumerable<MethodInfo> methods, IReadOnlyList<Type> universe)
    {
        List<Type> structs = [.. universe.Where(type => type is { IsValueType: true, IsEnum: false, IsByRefLike: false })];
        List<KernelEntry> entries =
        [
            .. methods
                .Where(method => method.IsDefined(typeof(KernelAttribute)))
                .SelectMany(method => Close(method, structs))
                .OrderBy(entry => entry.Name, StringComparer.Ordinal),
        ];
        for (int i = 1; i < entries.Count; i++)
        {
            if (entries[i].Name == entries[i - 1].Name)
                throw new InvalidOperationException($"Two kernels have the name {entries[i].Name}; rename one.");
        }

        return entries;
    }

    private static IEnumerable<KernelEntry> Close(MethodInfo method, List<Type> structs)
    {
        string origin = $"{method.DeclaringType!.FullName}.{method.Name}";
        if (!method.IsStatic)
            throw new InvalidOperationException($"The kernel {origin} is no static method.");

        Type[] classParameters = method.DeclaringType.GetGenericArguments();
        Type[] parameters = [.. classParameters, .. method.GetGenericArguments()];
        foreach (Type[] arguments in Closures(parameters, structs, origin))
            yield return new KernelEntry(Name(method, arguments), Close(method, classParameters.Length, arguments));
    }

    private static MethodInfo Close(MethodInfo method, int classParameters, Type[] arguments)
    {
        MethodInfo closed = method;
        if (classParameters > 0)
        {
            Type type = method.DeclaringType!.MakeGenericType(arguments[..classParameters]);
            closed = (MethodInfo)MethodBase.GetMethodFromHandle(method.MethodHandle, type.TypeHandle)!;
        }

        return arguments.Length > classParameters ? closed.MakeGenericMethod(arguments[classParameters..]) : closed;
    }

    // Every way to fill the parameters, from the first to the last. Each choice must leave a choice for the
    // parameters after it: were a dead end dropped, a kernel could lose its float64 form without a word.
    private static List<Type[]> Closures(Type[] parameters, List<Type> structs, string origin)
    {
        List<Type[]> partial = [[]];
        foreach (Type parameter in parameters)
        {
            if (!parameter.GetGenericParameterConstraints().Any(constraint => constraint.IsInterface))
                throw new InvalidOperationException($"The kernel {origin} cannot be closed: no interface constrains its type "
                    + $"parameter {parameter.Name}, so nothing says which structs it stands for.");

            List<Type[]> longer = [];
            foreach (Type[] chosen in partial)
            {
                Type[] candidates = [.. Candidates(parameter, parameters, chosen, structs)];
                if (candidates.Length == 0)
                    throw new InvalidOperationException($"The kernel {origin} cannot be closed: no struct satisfies the "
                        + $"constraints of its type parameter {parameter.Name} after "
                        + $"({string.Join(", ", chosen.Select(type => type.Name))}).");
                longer.AddRange(candidates.Select(candidate => (Type[])[.. chosen, candidate]));
            }

            partial = longer;
        }

        return partial;
    }

    private static IEnumerable<Type> Candidates(Type parameter, Type[] parameters, Type[] chosen, IEnumerable<Type> structs)
        => structs
            .SelectMany(candidate => candidate.IsGenericTypeDefinition ? ClosedWith(candidate, chosen) : [candidate])
            .Where(candidate => Satisfies(candidate, parameter, parameters, chosen));

    // A generic struct takes its own arguments from those that the kernel already has: FlatWeighting<T,
    // TReal> from (float, Float32).
    private static IEnumerable<Type> ClosedWith(Type definition, Type[] chosen)
    {
        Type[] parameters = definition.GetGenericArguments();
        IEnumerable<Type[]> partial = [[]];
        foreach (Type parameter in parameters)
            partial = partial.SelectMany(
                own => Candidates(parameter, parameters, own, chosen).Select(candidate => (Type[])[.. own, candidate])).ToList();
        return partial.Select(arguments => definition.MakeGenericType(arguments));
    }

    private static bool Satisfies(Type candidate, Type parameter, Type[] parameters, Type[] chosen)
    {
        Type[] arguments = [.. chosen, candidate];
        Type[] interfaces = candidate.GetInterfaces();
        return parameter.GetGenericParameterConstraints()
            .Where(constraint => constraint.IsInterface)
            .All(constraint => interfaces.Any(type => Matches(type, constraint, parameters, arguments)));
    }

    // Compared part by part, because a constraint closed over a type that violates it cannot be constructed.
    private static bool Matches(Type type, Type pattern, Type[] parameters, Type[] arguments)
    {
        if (pattern.IsGenericParameter)
        {
            int position = Array.IndexOf(parameters, pattern);
            return position >= 0 && position < arguments.Length && arguments[position] == type;
        }

        if (!pattern.IsGenericType)
            return type == pattern;
        return type.IsGenericType
            && type.GetGenericTypeDefinition() == pattern.GetGenericTypeDefinition()
            && type.GetGenericArguments().Zip(pattern.GetGenericArguments()).All(
                pair => Matches(pair.First, pair.Second, parameters, arguments));
    }

    // Class, method, type arguments other than the real type, real type:
    // MeanShiftDirect.Forward.Epanechnikov.float32.
    private static string Name(MethodInfo method, Type[] arguments)
    {
        List<string> parts = [Without(method.Name, "Kernel")];
        for (Type? type = method.DeclaringType; type is not null; type = type.DeclaringType)
            parts.Insert(0, Without(Plain(type), "Kernels"));
        parts.AddRange(arguments.Where(type => !IsNumber(type) && !IsReal(type)).Select(ArgumentName));
        parts.AddRange(
            arguments.Where(IsNumber).Select(
                type => type == typeof(float) ? "float32" : type == typeof(double) ? "float64" : Plain(type)));
        return string.Join('.', parts);
    }

    // EpanechnikovWeighting implements IWeighting: Epanechnikov says it.
    private static string ArgumentName(Type argument)
        => argument.GetInterfaces().Aggregate(Plain(argument), (name, type) => Without(name, Plain(type)[1..]));

    private static bool IsNumber(Type type)
        => type.GetInterfaces().Any(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(System.Numerics.INumber<>));

    private static bool IsReal(Type type)
        => type.GetInterfaces().Any(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(IReal<>));

    private static string Plain(Type type) => type.Name.Split('`')[0];

    private static string Without(string name, string ending)
        => name.Length > ending.Length && name.EndsWith(ending, StringComparison.Ordinal) ? name[..^ending.Length] : name;
}

/// <summary>One kernel, ready to compile.</summary>
public sealed class KernelEntry
{
    internal KernelEntry(string name, MethodInfo method)
    {
        Name = name;
        Method = method;
        IsImplicitlyGrouped = KernelText.IsImplicitlyGrouped(method);
        KernelAttribute mark = method.GetCustomAttribute<KernelAttribute>()!;
        int groups = mark.MinGroupsOf is { } groupsSays ? Say(method, groupsSays) : mark.MinGroups;
        Specialization = mark.MaxGroupSize > 0 ? new KernelSpecialization(mark.MaxGroupSize, groups > 0 ? groups : null)
            : KernelSpecialization.Empty;
        DynamicSharedBytes = mark.SharedBytes is { } bytesSays ? Say(method, bytesSays) : 0;
    }

    /// <summary>Class, method, type arguments: Conv3dDirect.Forward.float32.</summary>
    public string Name { get; }

    /// <summary>The entry point, without open type parameters.</summary>
    public MethodInfo Method { get; }

    /// <summary>
    /// True where the first parameter is the thread's index: ILGPU forms the groups and the kernel can know
    /// nothing of its group, so it runs on every device. False for kernels that form groups themselves.
    /// </summary>
    public bool IsImplicitlyGrouped { get; }

    /// <summary>The bound on the group, from the attribute [Kernel].</summary>
    public KernelSpecialization Specialization { get; }

    /// <summary>
    /// The most dynamic shared memory that the kernel's launcher asks for, from the attribute [Kernel].
    /// </summary>
    internal int DynamicSharedBytes { get; }

    /// <summary>The name, for lists and test reports.</summary>
    public override string ToString() => Name;

    private static int Say(MethodInfo kernel, string says)
    {
        MethodInfo method = kernel.DeclaringType!.GetMethod(
            says, BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public)
            ?? throw new InvalidOperationException($"The kernel {kernel.Name} names the method {says}, which its class does "
                + "not have.");
        return (int)(kernel.IsGenericMethod ? method.MakeGenericMethod(kernel.GetGenericArguments()) : method)
            .Invoke(null, null)!;
    }

    internal EntryPointDescription Describe() => IsImplicitlyGrouped
        ? EntryPointDescription.FromImplicitlyGroupedKernel(Method)
        : EntryPointDescription.FromExplicitlyGroupedKernel(Method);
}
