using MeanShiftGpu.Tomography.Coordinates;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Coordinates;

public class ParticleAnglesTests
{
    [Test]
    public void ToMatrix_OfRelionsAngles_IsItsEulerMatrix()
    {
        // RELION's Euler_angles2matrix at rot 90, tilt 45, psi 180, as the portal's fixtures state the same
        // particle in STAR and copick.
        double h = Math.Sqrt(0.5);
        RotationMatrix expected = new(0, -h, h, 1, 0, 0, 0, h, h);
        Assert.That(new ParticleAngles(90, 45, 180).ToMatrix().AngleTo(expected), Is.LessThan(1e-9));
    }

    [Test]
    public void FromMatrix_OfToMatrix_IsTheSameRotation()
    {
        double[] angles = [-180, -135.5, -90, -1e-3, 0, 1e-9, 17.25, 90, 180];
        foreach (double rot in angles)
        {
            foreach (double tilt in (double[])[0, 1e-6, 33, 90, 179.999, 180, -45])
            {
                foreach (double psi in angles)
                {
                    RotationMatrix matrix = new ParticleAngles(rot, tilt, psi).ToMatrix();
                    (double first, double second, double third) = ParticleAngles.FromMatrix(matrix).ToZxz();
                    (double tdrot, double tiltDynamo, double narot) = ParticleAngles.FromMatrix(matrix).ToDynamo();
                    Assert.That(
                        ParticleAngles.FromMatrix(matrix).ToMatrix().AngleTo(matrix), Is.LessThan(1e-6), $"{rot} {tilt} {psi}");
                    Assert.That(
                        ParticleAngles.FromZxz(first, second, third).ToMatrix().AngleTo(matrix),
                        Is.LessThan(1e-6),
                        $"{rot} {tilt} {psi}");
                    Assert.That(
                        ParticleAngles.FromDynamo(tdrot, tiltDynamo, narot).ToMatrix().AngleTo(matrix),
                        Is.LessThan(1e-6),
                        $"{rot} {tilt} {psi}");
                    Assert.That(matrix.Determinant, Is.EqualTo(1).Within(1e-12));
                }
            }
        }
    }

    [Test]
    public void FromZxz_OfOneAxis_TurnsTheReferenceAboutIt()
    {
        // A motl's phi = 90 turns the reference's x axis onto y; Dynamo's tdrot = 90 turns the particle back
        // onto the reference.
        Assert.That(ParticleAngles.FromZxz(90, 0, 0).ToMatrix().Apply(1, 0, 0).Y, Is.EqualTo(1).Within(1e-12));
        Assert.That(ParticleAngles.FromDynamo(90, 0, 0).ToMatrix().Apply(1, 0, 0).Y, Is.EqualTo(-1).Within(1e-12));
        Assert.That(ParticleAngles.FromZxz(0, 90, 0).ToMatrix().Apply(0, 1, 0).Z, Is.EqualTo(1).Within(1e-12));
    }
}
