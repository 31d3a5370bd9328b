using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>The forward pass of whole volumes into the caller's memory.</summary>
[TestFixture(DeviceKind.Cpu)]
[TestFixture(DeviceKind.Simulated)]
public sealed class UNet3dPredictTests(DeviceKind device)
{
    private static readonly UNet3dOptions Structure = new() { Widths = [16, 16], Outputs = 2 };

    [Test]
    public void Predict_GivesTheScoresOfForward_WithLessMemoryOnTheCpu()
    {
        using GpuContext context = TestDevices.Open(device);
        using UNet3d<float> network = new(context, Structure, seed: 3);
        bool onCpu = device == DeviceKind.Cpu;
        TensorShape shape = onCpu ? new(2, 96, 20, 24, 1) : new(2, 4, 6, 8, 1);
        float[] volume = Array.ConvertAll(TestData.Uniform(shape.Length, 7), v => (float)v);
        using Arena whole = new(context);
        float[] expected;
        using (Tape<float> tape = Tape<float>.Begin(whole, inference: true))
            expected = network.Forward(tape, tape.Upload(volume, shape)).ToArray(context);
        using Arena arena = new(context);
        float[] scores = new float[expected.Length];
        network.Predict(arena, volume, shape, scores);
        Assert.That(scores, Is.EqualTo(expected));
        Assert.That(expected.Max() - expected.Min(), Is.GreaterThan(0.01), "the scores depend on the voxels");
        TestContext.Out.WriteLine($"{arena.CapacityBytes >> 10} KiB instead of {whole.CapacityBytes >> 10}");
        if (onCpu)
            Assert.That(arena.CapacityBytes, Is.LessThan(whole.CapacityBytes / 2));
        long held = arena.CapacityBytes;
        network.Predict(arena, volume, shape, scores);
        Assert.That(arena.CapacityBytes, Is.EqualTo(held), "the memory is kept");
    }

    [Test]
    public void Predict_ANumberThatIsNotFinite_IsRefused([Values(float.NaN, float.PositiveInfinity)] float bad)
    {
        using GpuContext context = TestDevices.Open(device);
        using UNet3d<float> network = new(context, Structure, seed: 3);
        using Arena arena = new(context);
        float[] volume = new float[64];
        volume[17] = bad;
        Assert.That(
            () => network.Predict(arena, volume, new TensorShape(1, 4, 4, 4, 1), new float[128]),
            Throws.ArgumentException.With.Message.Contains("at 17. Expected finite"));
    }

    [Test]
    public void Predict_AnArenaOfAnotherDevice_IsRefused()
    {
        using GpuContext context = TestDevices.Open(device);
        using GpuContext other = TestDevices.Open(device);
        using UNet3d<float> network = new(context, Structure, seed: 3);
        using Arena arena = new(other);
        Assert.That(
            () => network.Predict(arena, new float[64], new TensorShape(1, 4, 4, 4, 1), new float[128]),
            Throws.ArgumentException.With.Message.Contains("another device"));
    }

    [Test]
    public void Predict_WhatDoesNotFit_IsRefused()
    {
        using GpuContext context = TestDevices.Open(device);
        using UNet3d<float> network = new(context, Structure, seed: 3);
        using Arena arena = new(context);
        Refuses("channels", new TensorShape(1, 4, 4, 4, 2), 128, 128);
        Refuses("multiples of 2", new TensorShape(1, 4, 5, 4, 1), 80, 160);
        Refuses("63 numbers", new TensorShape(1, 4, 4, 4, 1), 63, 128);
        Refuses("room for 64 scores. Expected 128", new TensorShape(1, 4, 4, 4, 1), 64, 64);

        void Refuses(string words, TensorShape shape, int numbers, int room)
            => Assert.That(
                () => network.Predict(arena, new float[numbers], shape, new float[room]),
                Throws.ArgumentException.With.Message.Contains(words));
    }
}
