namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// What a group of <see cref="Conv3dImplicitGemm{T}"/> computes at once, as a type parameter: Depth × Height
/// rows of eight voxels along x, times Channels. A thread takes one row and eight channels, so the group has
/// Depth·Height·Channels/8 threads.
/// </summary>
internal interface IConv3dTile
{
    static abstract int Depth { get; }

    static abstract int Height { get; }

    static abstract int Channels { get; }
}

/// <summary>32 threads: narrow layers.</summary>
internal readonly struct Channels16Conv3dTile : IConv3dTile
{
    public static int Depth => 4;

    public static int Height => 4;

    public static int Channels => 16;
}

/// <summary>64 threads.</summary>
internal readonly struct Channels32Conv3dTile : IConv3dTile
{
    public static int Depth => 4;

    public static int Height => 4;

    public static int Channels => 32;
}

/// <summary>96 threads.</summary>
internal readonly struct Channels48Conv3dTile : IConv3dTile
{
    public static int Depth => 4;

    public static int Height => 4;

    public static int Channels => 48;
}

/// <summary>
/// 64 threads: wide layers lie deep in the network, where volumes are small, so the tile is thinner.
/// </summary>
internal readonly struct Channels64Conv3dTile : IConv3dTile
{
    public static int Depth => 2;

    public static int Height => 4;

    public static int Channels => 64;
}

/// <summary>
/// The output channels that a group of a weight gradient takes, as a type parameter. A thread takes one tap
/// along z and y, its three taps along x, four input and four output channels, so the group has 9·Channels/4
/// threads.
/// </summary>
internal interface IConv3dGradientTile
{
    static abstract int Channels { get; }
}

/// <summary>36 threads: narrow layers.</summary>
internal readonly struct Channels16Conv3dGradientTile : IConv3dGradientTile
{
    public static int Channels => 16;
}

/// <summary>72 threads.</summary>
internal readonly struct Channels32Conv3dGradientTile : IConv3dGradientTile
{
    public static int Channels => 32;
}
