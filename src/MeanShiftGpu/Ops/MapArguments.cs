using System.Numerics;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>What the losses over a map ask of their arguments.</summary>
internal static class MapArguments
{
    public static void Check<T>(string operation, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(scores);
        ArgumentNullException.ThrowIfNull(target);
        if (scores.Shape != target.Shape)
            throw new ArgumentException(
                $"{operation}: the scores are {scores.Shape}, the target {target.Shape}; expected the same.", nameof(target));
        if (!scores.IsWhole || !target.IsWhole)
            throw new ArgumentException($"{operation}: expects whole tensors, not slices of channels.", nameof(scores));
    }
}
