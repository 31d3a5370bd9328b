using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MeanShiftGpu.Peers;

/// <summary>Tensors of libtorch.</summary>
internal static class Torch
{
    /// <summary>The same numbers, laid out as asked: TorchSharp has no memory formats, but libtorch goes by
    /// the strides, which a permutation sets.</summary>
    public static Tensor InLayout(Tensor tensor, bool channelsLast)
        => channelsLast && tensor.dim() == 5
            ? tensor.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
            : tensor.contiguous();

    /// <summary>A tensor of these numbers in PyTorch's order.</summary>
    public static Tensor Of(float[] values, long[] shape, bool channelsLast) => InLayout(tensor(values, shape), channelsLast);

    /// <summary>Its numbers in PyTorch's order.</summary>
    public static float[] Values(Tensor tensor) => tensor.detach().contiguous().data<float>().ToArray();
}

/// <summary>A network of this library's kind in libtorch, with the same weights.</summary>
internal sealed class TorchNetwork : IDisposable
{
    private readonly int levels;
    private readonly Dictionary<string, Parameter> parameters = [];

    public TorchNetwork(GpuContext context, UNet3d<float> network, bool channelsLast)
    {
        levels = network.Options.Widths.Count;
        using IDisposable none = no_grad();
        foreach (Tensors.Parameter<float> parameter in network.Parameters.Parameters)
        {
            float[] values = parameter.ToFileOrder<float>(parameter.Download(context));
            Parameter copy = new(Torch.Of(values, parameter.FileShape, channelsLast));
            copy.DetachFromDisposeScope();
            parameters.Add(parameter.Name, copy);
        }
    }

    public IEnumerable<Parameter> Parameters => parameters.Values;

    /// <summary>The gradient of a parameter, in PyTorch's order.</summary>
    public float[] Gradient(string name) => Torch.Values(parameters[name].grad!);

    public Tensor Forward(Tensor x)
    {
        List<Tensor> skips = [];
        for (int level = 0; level < levels - 1; level++)
        {
            x = Convolution($"enc{level}.conv0", x).relu_();
            x = Convolution($"enc{level}.conv1", x).relu_();
            skips.Add(x);
            x = nn.functional.max_pool3d(x, [2, 2, 2]);
        }

        for (int i = 0; i < 4; i++)
            x = Convolution($"mid.conv{i}", x).relu_();
        for (int level = levels - 2; level >= 0; level--)
        {
            x = nn.functional.conv_transpose3d(
                x, parameters[$"up{level}.transpose.weight"], parameters[$"up{level}.transpose.bias"], strides: [2, 2, 2]);
            x = Convolution($"up{level}.conv", x);
            x = cat([skips[level], x], 1);
            x = Convolution($"dec{level}.conv0", x).relu_();
            x = Convolution($"dec{level}.conv1", x).relu_();
        }

        return Convolution("head", x).sigmoid();
    }

    public void Dispose()
    {
        foreach (Parameter parameter in parameters.Values)
            parameter.Dispose();
    }

    private Tensor Convolution(string name, Tensor x)
    {
        Parameter weight = parameters[$"{name}.weight"];
        long padding = weight.shape[2] / 2;
        return nn.functional.conv3d(x, weight, parameters[$"{name}.bias"], padding: [padding, padding, padding]);
    }
}
