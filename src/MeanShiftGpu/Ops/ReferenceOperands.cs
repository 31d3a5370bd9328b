namespace MeanShiftGpu.Ops;

/// <summary>What the references in float64 ask of the arrays that they are given.</summary>
/// <param name="operation">The reference, for messages.</param>
internal readonly struct ReferenceOperands(string operation)
{
    /// <summary>Refuses an array of another length.</summary>
    /// <exception cref="ArgumentException">It holds more or fewer numbers.</exception>
    public void Require(double[] values, long length, string name)
    {
        ArgumentNullException.ThrowIfNull(values, name);
        if (values.Length != length)
            throw new ArgumentException($"{operation}: {name} holds {values.Length} numbers, expected {length}.", name);
    }

    /// <summary>
    /// Refuses an array that does not reach to the last channel of the last voxel; what follows is not
    /// looked at.
    /// </summary>
    /// <exception cref="ArgumentException">It is too short.</exception>
    public void RequireVoxels(double[] values, long voxels, int channels, int pitch, string name)
    {
        ArgumentNullException.ThrowIfNull(values, name);
        long length = voxels > 0 ? (voxels - 1) * pitch + channels : 0;
        if (values.Length < length)
            throw new ArgumentException(
                $"{operation}: {name} holds {values.Length} numbers, expected {length} or more for this shape.", name);
    }

    /// <summary>Refuses an array that is no list of items of equal size.</summary>
    /// <exception cref="ArgumentException">Its length is no multiple of the size.</exception>
    public void RequireMultiple(double[] values, int size, string name)
    {
        ArgumentNullException.ThrowIfNull(values, name);
        if (size < 1 || values.Length % size != 0)
            throw new ArgumentException(
                $"{operation}: {name} holds {values.Length} numbers, expected a multiple of {size}.", name);
    }
}
