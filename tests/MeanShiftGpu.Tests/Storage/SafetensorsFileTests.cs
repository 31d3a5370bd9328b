using System.Buffers.Binary;
using System.Text;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Storage;

public class SafetensorsFileTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void Write_ThenRead_GivesTheSame()
    {
        Dictionary<string, SafetensorsTensor> tensors = new()
        {
            ["single"] = SafetensorsTensor.FromFloats([3], [1.5f, float.NaN, -2]),
            ["double"] = SafetensorsTensor.FromDoubles([2, 1, 3], [1, 2, 3, 4, 5, 1e-300]),
            ["scalar"] = SafetensorsTensor.FromInt64s([], [long.MinValue]),
            ["empty"] = SafetensorsTensor.FromFloats([0, 4], []),
        };
        SafetensorsFile.Write(folder["a.safetensors"], tensors, [new("step", "7"), new("ünïcode \"", "ja")]);
        SafetensorsFile read = SafetensorsFile.Read(folder["a.safetensors"]);
        Assert.Multiple(() =>
        {
            Assert.That(read.Tensors.Keys, Is.EquivalentTo(tensors.Keys));
            Assert.That(read.Tensors["single"].ToFloats(), Is.EqualTo(new[] { 1.5f, float.NaN, -2 }));
            Assert.That(read.Tensors["double"].ToDoubles(), Is.EqualTo(new[] { 1, 2, 3, 4, 5, 1e-300 }));
            Assert.That(read.Tensors["double"].Shape, Is.EqualTo(new long[] { 2, 1, 3 }));
            Assert.That(read.Tensors["scalar"].ToInt64s(), Is.EqualTo(new[] { long.MinValue }));
            Assert.That(read.Tensors["empty"].Count, Is.Zero);
            Assert.That(read.Metadata["ünïcode \""], Is.EqualTo("ja"));
        });
        byte[] first = File.ReadAllBytes(folder["a.safetensors"]);
        SafetensorsFile.Write(folder["b.safetensors"], tensors, [new("step", "7"), new("ünïcode \"", "ja")]);
        Assert.That(File.ReadAllBytes(folder["b.safetensors"]), Is.EqualTo(first));
        Assert.That(BinaryPrimitives.ReadInt64LittleEndian(first) % 8, Is.Zero);
    }

    [TestCase("F64", new byte[] { 0, 0, 0, 0, 0, 0, 0xf8, 0x3f }, 1.5)]
    [TestCase("F32", new byte[] { 0, 0, 0xc0, 0x3f }, 1.5)]
    [TestCase("F16", new byte[] { 0x00, 0x3e }, 1.5)]
    [TestCase("BF16", new byte[] { 0xc0, 0x3f }, 1.5)]
    [TestCase("I64", new byte[] { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, -2)]
    [TestCase("U64", new byte[] { 2, 0, 0, 0, 0, 0, 0, 0 }, 2)]
    [TestCase("I32", new byte[] { 0xfe, 0xff, 0xff, 0xff }, -2)]
    [TestCase("U32", new byte[] { 2, 0, 0, 0x80 }, 2147483650)]
    [TestCase("I16", new byte[] { 0xfe, 0xff }, -2)]
    [TestCase("U16", new byte[] { 0xfe, 0xff }, 65534)]
    [TestCase("I8", new byte[] { 0xfe }, -2)]
    [TestCase("U8", new byte[] { 0xfe }, 254)]
    [TestCase("BOOL", new byte[] { 1 }, 1)]
    public void Read_EveryType_Converts(string type, byte[] bytes, double expected)
    {
        string path = folder.Write("a.safetensors", FileOf(
            $$$"""{"x":{"dtype":"{{{type}}}","shape":[1],"data_offsets":[0,{{{bytes.Length}}}]}}""", bytes));
        SafetensorsTensor tensor = SafetensorsFile.Read(path).Tensors["x"];
        Assert.That(tensor.ToDoubles(), Is.EqualTo(new[] { expected }));
        Assert.That(tensor.ToFloats(), Is.EqualTo(new[] { (float)expected }));
    }

    [TestCase("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "do not fit")]
    [TestCase("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "truncated")]
    [TestCase("""{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "4 bytes at the end")]
    [TestCase("""{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "4 bytes before")]
    [TestCase(
        """{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""",
        6,
        "'x' and 'y' overlap")]
    [TestCase("""{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "whole number")]
    [TestCase("""{"x":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}""", 4, "too large")]
    [TestCase("""{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "do not fit")]
    [TestCase("""{"x":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}""", 4, "'Q7'")]
    [TestCase("""{"x":{"dtype":"F32","shape":[1]}}""", 4, "data_offsets")]
    [TestCase("""{"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "whole number")]
    [TestCase(
        """{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""",
        4,
        "JSON")]
    [TestCase("""{"__metadata__":{"a":1}}""", 0, "'a' is no text")]
    [TestCase("""{"__metadata__":[]}""", 0, "object")]
    [TestCase("[]", 0, "no JSON object")]
    [TestCase("{", 0, "no JSON")]
    public void Read_BadHeader_IsRefusedWithOneLine(string header, int dataBytes, string pattern)
    {
        string path = folder.Write("a.safetensors", FileOf(header, new byte[dataBytes]));
        Assert.That(TemporaryFolder.Refused(() => SafetensorsFile.Read(path), path), Does.Match(pattern));
    }

    [Test]
    public void Read_BadLength_IsRefusedWithOneLine()
    {
        foreach (
            byte[] bytes in (
                byte[][])[[], [1, 2], [255, 255, 255, 255, 255, 255, 255, 255], [50, 0, 0, 0, 0, 0, 0, 0, 1],
                [255, 255, 255, 255, 0, 0, 0, 0]])
        {
            string path = folder.Write("a.safetensors", bytes);
            TemporaryFolder.Refused(() => SafetensorsFile.Read(path), path);
        }
    }

    private static IEnumerable<TestCaseData> Unwritable()
    {
        SafetensorsTensor one = SafetensorsTensor.FromFloats([1], [1]);
        yield return Case("twice", "'a': the name is given twice", new("a", one), new("b", one), new("a", one));
        yield return Case("metadata", "'__metadata__'", new KeyValuePair<string, SafetensorsTensor>("__metadata__", one));
        yield return Case("null", "'b': it is null", new("a", one), new("b", null!));
        yield return Case("no name", "its name is null", new KeyValuePair<string, SafetensorsTensor>(null!, one));

        static TestCaseData Case(string name, string pattern, params KeyValuePair<string, SafetensorsTensor>[] tensors)
            => new TestCaseData(tensors, pattern).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Unwritable))]
    public void Write_OfWhatCannotBeReadAgain_IsRefused(KeyValuePair<string, SafetensorsTensor>[] tensors, string pattern)
    {
        Assert.That(
            () => SafetensorsFile.Write(folder["a.safetensors"], tensors),
            Throws.ArgumentException.With.Message.Contains(pattern));
        Assert.That(File.Exists(folder["a.safetensors"]), Is.False);
    }

    private static IEnumerable<TestCaseData> Misshapen()
    {
        yield return Case("negative extents", "an extent of -1", () => SafetensorsTensor.FromFloats([-1, -1], [1f]));
        yield return Case("too few values", "1 values for the shape [2]", () => SafetensorsTensor.FromDoubles([2], [1]));
        yield return Case(
            "too large", "values for the shape", () => SafetensorsTensor.FromInt64s([1L << 40, 1L << 40, 1L << 40], [1]));
        yield return Case("too few bytes", "3 bytes for the shape [1] of F32", () => new("F32", [1], new byte[3]));
        yield return Case("negative extents of bytes", "an extent of -1", () => new("U8", [-1, -1], new byte[1]));
        yield return Case("unknown type", "'Q7' is not supported", () => new("Q7", [1], new byte[1]));

        static TestCaseData Case(string name, string pattern, Func<SafetensorsTensor> create)
            => new TestCaseData(create, pattern).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Misshapen))]
    public void Tensor_WhoseShapeItsValuesDoNotFit_IsRefused(Func<SafetensorsTensor> create, string pattern)
        => Assert.That(() => create(), Throws.ArgumentException.With.Message.Contains(pattern));

    private static byte[] FileOf(string header, byte[] data)
    {
        byte[] length = new byte[8];
        byte[] text = Encoding.UTF8.GetBytes(header);
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. data];
    }
}
