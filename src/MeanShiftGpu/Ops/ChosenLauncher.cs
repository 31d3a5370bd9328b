using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Ops;

/// <summary>The variants that compute a shape, by name.</summary>
internal interface INamedVariants<TShape>
{
    /// <summary>The name of the variant that computes a shape.</summary>
    string NameFor(TShape shape);

    /// <summary>The names of all variants that can compute a shape on this device, best first.</summary>
    IReadOnlyList<string> NamesFor(TShape shape);
}

/// <summary>
/// An operation's launchers for one owner: the automatic choice of the context, or a named variant. The
/// choice for the last shape is remembered, so that a call of the same shape allocates nothing.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="table">The operation's variants.</param>
/// <param name="variant">The name of one; null for the context's choice.</param>
internal sealed class ChosenLauncher<TLauncher, TShape>(
    GpuContext context, VariantTable<TLauncher, TShape> table, string? variant) : INamedVariants<TShape>
    where TLauncher : class, IDisposable
    where TShape : struct, IEquatable<TShape>
{
    private readonly VariantChoice? forced = variant is null
        ? null
        : VariantChoice.One(table.Operation, variant, [.. table.Names]);
    private TLauncher? last;
    private TShape lastShape;

    /// <summary>
    /// The launchers for a shape. To be called by one thread at a time, within
    /// <see cref="GpuContext.Enter(string)"/>.
    /// </summary>
    /// <exception cref="InputException">The named variant does not support this device, type or
    /// shape.</exception>
    public TLauncher For(TShape shape)
    {
        if (last is null || !shape.Equals(lastShape))
        {
            last = context.Launcher(table, context.Choose(table, shape, forced));
            lastShape = shape;
        }

        return last;
    }

    /// <inheritdoc/>
    public string NameFor(TShape shape) => context.Choose(table, shape, forced).Name;

    /// <inheritdoc/>
    public IReadOnlyList<string> NamesFor(TShape shape) => [.. table.Supported(context, shape).Select(v => v.Name)];
}
