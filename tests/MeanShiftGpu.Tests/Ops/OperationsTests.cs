using System.Reflection;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Ops;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Ops;

/// <summary>The catalogue of operations is whole.</summary>
public class OperationsTests
{
    private const BindingFlags Static = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

    // A table that no row has could be forced by no name, and nothing would check or time it.
    [Test]
    public void Catalogue_HasEveryTable()
    {
        IVariantTable[] tables =
        [
            .. from type in typeof(GpuContext).Assembly.GetTypes()
               where type.Name.Contains("Variants", StringComparison.Ordinal) && type.Namespace != typeof(GpuContext).Namespace
               from closed in Closed(type)
               from table in closed.GetFields(Static).Select(field => field.GetValue(null)).OfType<IVariantTable>()
               select table,
        ];
        Assert.That(tables, Has.Length.GreaterThan(20));
        Assert.That(Operations.All.SelectMany(operation => operation.Tables), Is.EquivalentTo(tables));
    }

    // Real types alone, or what activations hold and the real type.
    private static Type[] Closed(Type type) => type.GetGenericArguments().Length switch
    {
        0 => [type],
        1 => [type.MakeGenericType(typeof(float)), type.MakeGenericType(typeof(double))],
        _ => [type.MakeGenericType(typeof(float), typeof(float)), type.MakeGenericType(typeof(double), typeof(double)),
            type.MakeGenericType(typeof(Bf16), typeof(float))],
    };

    [Test]
    public void EveryRow_IsNamedAsItsTables()
    {
        foreach (Operation operation in Operations.All)
            Assert.That(operation.Tables.Select(table => table.Operation), Is.All.EqualTo(operation.Name));
        Assert.That(Operations.All.Select(operation => operation.Name), Is.Unique);
    }

    [Test]
    public void Names_AreThoseOfTheTables()
    {
        Assert.That(Variants.Operations, Is.EquivalentTo(Operations.All.Select(operation => operation.Name)));
        Assert.That(
            Variants.Names, Is.SupersetOf(
                new[] { Variants.Direct, Variants.HostSimd, Variants.HostWinograd, Variants.TensorCore, Variants.ImplicitGemm,
                    Variants.Grouped }));
    }
}
