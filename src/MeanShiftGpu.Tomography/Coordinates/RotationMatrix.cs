namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// A rotation of space as a matrix on columns (x, y, z): v' = M·v. Where it is a particle's orientation, it
/// turns the reference into the particle: a point r of the reference lies at centre + M·r in the tomogram.
/// </summary>
/// <param name="XX">Row x, column x.</param>
/// <param name="XY">Row x, column y.</param>
/// <param name="XZ">Row x, column z.</param>
/// <param name="YX">Row y, column x.</param>
/// <param name="YY">Row y, column y.</param>
/// <param name="YZ">Row y, column z.</param>
/// <param name="ZX">Row z, column x.</param>
/// <param name="ZY">Row z, column y.</param>
/// <param name="ZZ">Row z, column z.</param>
public readonly record struct RotationMatrix(
    double XX, double XY, double XZ, double YX, double YY, double YZ, double ZX, double ZY, double ZZ)
{
    /// <summary>No rotation.</summary>
    public static RotationMatrix Identity => new(1, 0, 0, 0, 1, 0, 0, 0, 1);

    /// <summary>The inverse rotation.</summary>
    public RotationMatrix Transposed => new(XX, YX, ZX, XY, YY, ZY, XZ, YZ, ZZ);

    /// <summary>The determinant: 1 for a rotation, −1 for a mirror image.</summary>
    public double Determinant => (XX * ((YY * ZZ) - (YZ * ZY))) - (XY * ((YX * ZZ) - (YZ * ZX))) + (XZ * ((YX * ZY) - (YY * ZX)));

    /// <summary>Counter-clockwise about x.</summary>
    public static RotationMatrix AboutX(double degrees)
    {
        (double s, double c) = Math.SinCos(degrees * Math.PI / 180);
        return new(1, 0, 0, 0, c, -s, 0, s, c);
    }

    /// <summary>Counter-clockwise about y.</summary>
    public static RotationMatrix AboutY(double degrees)
    {
        (double s, double c) = Math.SinCos(degrees * Math.PI / 180);
        return new(c, 0, s, 0, 1, 0, -s, 0, c);
    }

    /// <summary>Counter-clockwise about z.</summary>
    public static RotationMatrix AboutZ(double degrees)
    {
        (double s, double c) = Math.SinCos(degrees * Math.PI / 180);
        return new(c, -s, 0, s, c, 0, 0, 0, 1);
    }

    /// <summary>First <paramref name="b"/>, then <paramref name="a"/>.</summary>
    public static RotationMatrix operator *(RotationMatrix a, RotationMatrix b)
    {
        (double x, double y, double z) first = a.Apply(b.XX, b.YX, b.ZX);
        (double x, double y, double z) second = a.Apply(b.XY, b.YY, b.ZY);
        (double x, double y, double z) third = a.Apply(b.XZ, b.YZ, b.ZZ);
        return new(first.x, second.x, third.x, first.y, second.y, third.y, first.z, second.z, third.z);
    }

    /// <summary>First <paramref name="right"/>, then <paramref name="left"/>.</summary>
    public static RotationMatrix Multiply(RotationMatrix left, RotationMatrix right) => left * right;

    /// <summary>Turns a vector.</summary>
    public (double X, double Y, double Z) Apply(double x, double y, double z)
        => ((XX * x) + (XY * y) + (XZ * z), (YX * x) + (YY * y) + (YZ * z), (ZX * x) + (ZY * y) + (ZZ * z));

    /// <summary>The angle in degrees by which two rotations differ, 0 to 180.</summary>
    public double AngleTo(RotationMatrix other)
    {
        // |M − N|² = 8·sin²(θ/2) is accurate where the trace, 1 + 2·cos θ, is not.
        double squares = Square(XX - other.XX) + Square(XY - other.XY) + Square(XZ - other.XZ)
            + Square(YX - other.YX) + Square(YY - other.YY) + Square(YZ - other.YZ)
            + Square(ZX - other.ZX) + Square(ZY - other.ZY) + Square(ZZ - other.ZZ);
        return 2 * Math.Asin(Math.Min(1, Math.Sqrt(squares / 8))) * 180 / Math.PI;
    }

    private static double Square(double value) => value * value;
}
