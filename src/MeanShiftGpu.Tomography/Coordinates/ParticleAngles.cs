namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// A particle's orientation as RELION and Warp write it, in degrees: the coordinate system is turned by Rot
/// about z, by Tilt about its new y, by Psi about its new z. As a matrix that turns the reference into the
/// particle this is Rz(−Psi)·Ry(−Tilt)·Rz(−Rot) with counter-clockwise R. Every format's angles are converted
/// to and from this one triple:
/// <list type="bullet">
/// <item>EM motl, DeepFinder and SHREC: (phi, theta, psi) is Rz(psi)·Rx(theta)·Rz(phi), see
/// <see cref="FromZxz"/>.</item>
/// <item>Dynamo: (tdrot, tilt, narot) is the inverse of that, Rz(−tdrot)·Rx(−tilt)·Rz(−narot).</item>
/// <item>copick: the upper left 3×3 of transformation_ is the matrix itself.</item>
/// </list>
/// </summary>
/// <param name="Rot">rlnAngleRot.</param>
/// <param name="Tilt">rlnAngleTilt.</param>
/// <param name="Psi">rlnAnglePsi.</param>
public readonly record struct ParticleAngles(double Rot, double Tilt, double Psi)
{
    /// <summary>The matrix that turns the reference into the particle.</summary>
    public RotationMatrix ToMatrix() => RotationMatrix.AboutZ(-Psi) * RotationMatrix.AboutY(-Tilt) * RotationMatrix.AboutZ(-Rot);

    /// <summary>
    /// The angles of a rotation: Tilt from 0 to 180, the others from −180 to 180; Rot is 0 where only its sum
    /// with Psi counts.
    /// </summary>
    public static ParticleAngles FromMatrix(RotationMatrix matrix)
    {
        double sine = Math.Sqrt((matrix.ZX * matrix.ZX) + (matrix.ZY * matrix.ZY));
        double tilt = Degrees(sine, matrix.ZZ);
        if (sine > PoleSine)
            return new(Degrees(matrix.ZY, matrix.ZX), tilt, Degrees(matrix.YZ, -matrix.XZ));
        return matrix.ZZ > 0 ? new(0, 0, Degrees(-matrix.YX, matrix.XX)) : new(0, 180, Degrees(matrix.YX, -matrix.XX));
    }

    /// <summary>
    /// The orientation
    /// Rz(<paramref name="third"/>)·Rx(<paramref name="second"/>)·Rz(<paramref name="first"/>),
    /// counter-clockwise.
    /// </summary>
    public static ParticleAngles FromZxz(double first, double second, double third)
        => FromMatrix(RotationMatrix.AboutZ(third) * RotationMatrix.AboutX(second) * RotationMatrix.AboutZ(first));

    /// <summary>
    /// The three angles of <see cref="FromZxz"/>: the second from 0 to 180, the others from −180 to 180.
    /// </summary>
    public (double First, double Second, double Third) ToZxz() => Zxz(ToMatrix());

    /// <summary>Dynamo's angles, by which the particle is turned onto the reference.</summary>
    internal static ParticleAngles FromDynamo(double tdrot, double tilt, double narot)
        => FromMatrix((RotationMatrix.AboutZ(narot) * RotationMatrix.AboutX(tilt) * RotationMatrix.AboutZ(tdrot)).Transposed);

    /// <summary>Dynamo's tdrot, tilt and narot.</summary>
    internal (double Tdrot, double Tilt, double Narot) ToDynamo() => Zxz(ToMatrix().Transposed);

    // Nearer to a pole than this, the two outer angles cannot be told apart in double precision.
    private const double PoleSine = 1e-9;

    private static (double First, double Second, double Third) Zxz(RotationMatrix matrix)
    {
        double sine = Math.Sqrt((matrix.ZX * matrix.ZX) + (matrix.ZY * matrix.ZY));
        double second = Degrees(sine, matrix.ZZ);
        return sine > PoleSine
            ? (Degrees(matrix.ZX, matrix.ZY), second, Degrees(matrix.XZ, -matrix.YZ))
            : (0, matrix.ZZ > 0 ? 0 : 180, Degrees(matrix.YX, matrix.XX));
    }

    private static double Degrees(double sine, double cosine) => Math.Atan2(sine, cosine) * 180 / Math.PI;
}
