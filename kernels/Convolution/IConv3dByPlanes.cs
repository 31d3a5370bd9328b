namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>Some planes of a volume, of whose output only a few are in memory.</summary>
/// <param name="Begin">The first plane to compute.</param>
/// <param name="End">The one after the last.</param>
/// <param name="OutputRing">Planes of the output in memory, at least End − Begin: plane z lies at z mod
/// this.</param>
internal readonly record struct PlaneRange(int Begin, int End, int OutputRing)
{
    /// <summary>How many planes are computed.</summary>
    public int Count => End - Begin;

    /// <summary>All planes of a volume that is all in memory.</summary>
    public static PlaneRange Whole(Conv3dShape shape) => new(0, shape.Depth, shape.Depth);
}

/// <summary>
/// Neighbouring channels of a convolution's input in a buffer of their own, of which only a few planes are in
/// memory.
/// </summary>
/// <typeparam name="T">The real type.</typeparam>
/// <param name="View">[N, ring, H, W, channels].</param>
/// <param name="Channels">The channels.</param>
/// <param name="Pitch">Elements from one voxel to the next.</param>
/// <param name="Ring">Planes in memory, plane z at z mod this; those before, of and after what is computed,
/// inside the volume, must be there.</param>
internal readonly record struct PlaneInput<T>(ArrayView<T> View, int Channels, int Pitch, int Ring)
    where T : unmanaged;

/// <summary>
/// A variant of the 3D convolution that can compute some planes alone, with the bits that they have in the
/// whole.
/// </summary>
/// <typeparam name="T">The real type.</typeparam>
internal interface IConv3dByPlanes<T> : IConv3d<T, T>
    where T : unmanaged
{
    /// <summary>Overwrites planes of the output.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="inputs">Where Cin's channels are, the first ones first: a skip connection and what is
    /// upsampled need not be brought together.</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, output ring, H, W, Cout].</param>
    /// <param name="shape">The whole volume's shape; of its input's pitch nothing is read.</param>
    /// <param name="planes">Which planes, and how they lie in memory.</param>
    sealed void ForwardPlanes(
        AcceleratorStream stream, ReadOnlySpan<PlaneInput<T>> inputs, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<T> output, Conv3dShape shape, PlaneRange planes)
    {
        using Launch launch = Launch.Begin(stream, "Conv3d.ForwardPlanes");
        long voxels = shape.Check(launch);
        if (planes.Begin < 0 || planes.Begin > planes.End || planes.End > shape.Depth || planes.OutputRing < planes.Count)
            throw launch.Refusal(nameof(planes), $"are {planes.Begin} to {planes.End} of {shape.Depth} in a ring of "
                + $"{planes.OutputRing}, expected planes inside the volume and a ring that holds them.");
        long planeVoxels = (long)shape.Height * shape.Width;
        int read = Math.Min(shape.Depth, planes.End + shape.KernelSize / 2) - Math.Max(0, planes.Begin - shape.KernelSize / 2);
        long channels = 0;
        foreach (PlaneInput<T> input in inputs)
        {
            if (planes.Count > 0 && input.Ring < read)
                throw launch.Refusal(nameof(inputs), $"have {input.Ring} planes in memory, expected {read} or more for planes "
                    + $"{planes.Begin} to {planes.End}.");
            long ringVoxels = launch.Product(nameof(inputs), shape.Batch, input.Ring, planeVoxels);
            launch.RequireVoxels(input.View, ringVoxels, input.Channels, input.Pitch, nameof(inputs));
            channels += input.Channels;
        }

        if (channels != shape.InputChannels)
            throw launch.Refusal(nameof(inputs), $"have {channels} channels together, expected {shape.InputChannels}.");
        long outputVoxels = launch.Product(nameof(output), shape.Batch, planes.OutputRing, planeVoxels);
        launch.RequireVoxels(output, outputVoxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.Require(bias, shape.OutputChannels, nameof(bias));
        if (voxels == 0 || planes.Count == 0)
            return;
        LaunchForwardPlanes(stream, inputs, weight, bias, output, shape, planes);
    }

    /// <summary>Queues <see cref="ForwardPlanes"/>, whose arguments are checked.</summary>
    protected void LaunchForwardPlanes(
        AcceleratorStream stream, ReadOnlySpan<PlaneInput<T>> inputs, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<T> output, Conv3dShape shape, PlaneRange planes);
}
