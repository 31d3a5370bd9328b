namespace MeanShiftGpu.Tests.Support;

/// <summary>Damages files at random.</summary>
public static class DamagedFile
{
    private const string Marks = "0123456789-.eE,;#'\"_ \t\r\n{}[]:";

    /// <summary>
    /// Changes bits, bytes or numbers, mostly near the beginning where headers are, cuts, repeats or inserts.
    /// </summary>
    public static byte[] Of(byte[] good, Random random)
    {
        ArgumentNullException.ThrowIfNull(good);
        ArgumentNullException.ThrowIfNull(random);
        List<byte> bytes = [.. good];
        for (int changes = random.Next(1, 4); changes > 0 && bytes.Count > 0; changes--)
        {
            int at = random.Next(random.Next(2) == 0 ? bytes.Count : Math.Min(bytes.Count, 300));
            int length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes[at] = (byte)Marks[random.Next(Marks.Length)];
                    break;
                case 3:
                    bytes.RemoveRange(at, length);
                    break;
                case 4:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 5:
                    // A whole number somewhere in a binary header: any, or a small one.
                    byte[] number = BitConverter.GetBytes(random.Next(2) == 0 ? random.Next() : random.Next(100));
                    for (int k = 0; k < 4 && (at & ~3) + k < bytes.Count; k++)
                        bytes[(at & ~3) + k] = number[k];
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }

        return [.. bytes];
    }
}
