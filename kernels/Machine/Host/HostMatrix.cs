namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// What the host convolutions share around <see cref="HostTile{TVector, TOps}"/>: packed weights and partial
/// sums.
/// </summary>
internal static unsafe class HostMatrix<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    /// <summary>Channels rounded up to whole vectors.</summary>
    public static int Columns(int channels) => (channels + TOps.Width - 1) / TOps.Width * TOps.Width;

    /// <summary>Columns that a tile takes from a given one on: two vectors, or the last one.</summary>
    public static int Group(int column, int columns) => Math.Min(2 * TOps.Width, columns - column);

    /// <summary>
    /// Packs the weights of one tap into [columns / c][tap][source channel][c], c being a tile's group of
    /// target channels; zero beyond the last channel.
    /// </summary>
    /// <param name="weight">The tap's weights, [source][target], or [target][source] if transposed.</param>
    /// <param name="packed">The packed weights of all taps.</param>
    /// <param name="tap">The tap's place among the packed ones.</param>
    /// <param name="taps">Number of taps.</param>
    /// <param name="sourceChannels">Channels summed over.</param>
    /// <param name="targetChannels">Channels of the result.</param>
    /// <param name="transposed">Which of the two is contiguous in weight.</param>
    public static void PackWeights(
        float* weight, float* packed, int tap, int taps, int sourceChannels, int targetChannels, bool transposed)
    {
        int columns = Columns(targetChannels);
        for (int column = 0; column < columns; column += 2 * TOps.Width)
        {
            int group = Group(column, columns);
            int present = Math.Min(group, targetChannels - column);
            float* to = packed + (long)column * taps * sourceChannels + (long)tap * sourceChannels * group;
            for (int c = 0; c < sourceChannels; c++, to += group)
            {
                if (transposed)
                {
                    for (int i = 0; i < present; i++)
                        to[i] = weight[(long)(column + i) * sourceChannels + c];
                }
                else
                {
                    new Span<float>(weight + (long)c * targetChannels + column, present).CopyTo(new Span<float>(to, present));
                }

                new Span<float>(to + present, group - present).Clear();
            }
        }
    }

    /// <summary>Packs a bias as [columns], zero beyond the last channel and where there is none.</summary>
    public static void PackBias(float* bias, HostScratch packed, int channels)
    {
        int columns = Columns(channels);
        Span<float> columnBias = new(packed.Require<float>(columns), columns);
        columnBias.Clear();
        if (bias != null)
            new Span<float>(bias, channels).CopyTo(columnBias);
    }

    /// <summary>
    /// Stores the sum of a row of a tile and the bias; channels beyond the last are left out.
    /// </summary>
    public static void StoreRow(float* row, float* bias, float* target, int present, bool relu)
    {
        int c = 0;
        for (; c <= present - TOps.Width; c += TOps.Width)
        {
            TVector value = TOps.Add(TOps.Load(bias + c), TOps.Load(row + c));
            TOps.Store(relu ? TOps.Relu(value) : value, target + c);
        }

        for (; c < present; c++)
        {
            float value = bias[c] + row[c];
            target[c] = relu && value < 0 ? 0 : value;
        }
    }

    /// <summary>
    /// Adds a product of <see cref="HostTile{TVector, TOps}"/>'s form to [rows][columns] sums, b being as
    /// wide. There are offsets of a tile's rows more than are wanted: what a last tile computes beyond them
    /// is left out.
    /// </summary>
    public static void AddProduct(
        int rows,
        int columns,
        float* a,
        nint* offsets,
        nint* segments,
        int segmentCount,
        int length,
        nint aStride,
        float* b,
        float* sums)
    {
        float* edge = stackalloc float[HostTile<TVector, TOps>.Rows * 2 * TOps.Width];
        for (int row = 0; row < rows; row += HostTile<TVector, TOps>.Rows)
        {
            for (int column = 0; column < columns; column += 2 * TOps.Width)
            {
                int group = Group(column, columns);
                float* to = sums + (long)row * columns + column;
                if (row + HostTile<TVector, TOps>.Rows <= rows)
                {
                    HostTile<TVector, TOps>.Add(
                        group / TOps.Width,
                        a,
                        offsets + row,
                        segments,
                        segmentCount,
                        length,
                        aStride,
                        b + column,
                        columns,
                        to,
                        columns);
                    continue;
                }

                HostTile<TVector, TOps>.Overwrite(
                    group / TOps.Width,
                    a,
                    offsets + row,
                    segments,
                    segmentCount,
                    length,
                    aStride,
                    b + column,
                    columns,
                    edge,
                    group);
                for (int i = 0; i < (rows - row) * group; i++)
                    to[i / group * columns + i % group] += edge[i];
            }
        }
    }

    /// <summary>
    /// Adds the sum of packed rows, [rows][columns], to one row; first among themselves, so that few
    /// roundings meet a large sum.
    /// </summary>
    public static void AddRows(float* rows, int count, int columns, float* sums)
    {
        for (int c = 0; c < columns; c += TOps.Width)
        {
            TVector sum = TOps.Load(rows + c);
            for (int i = 1; i < count; i++)
                sum = TOps.Add(sum, TOps.Load(rows + (long)i * columns + c));
            TOps.Store(TOps.Add(TOps.Load(sums + c), sum), sums + c);
        }
    }

    /// <summary>
    /// Adds partial sums [parts][…, columns] to rows of a dense [rows][channels] gradient, the parts in their
    /// order.
    /// </summary>
    public static void AddParts(float* parts, long partLength, int partCount, int rows, int channels, float* gradient)
    {
        int columns = Columns(channels);
        float* sums = stackalloc float[TOps.Width];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column += TOps.Width)
            {
                float* from = parts + (long)row * columns + column;
                TVector sum = TOps.Load(from);
                for (int part = 1; part < partCount; part++)
                    sum = TOps.Add(sum, TOps.Load(from + part * partLength));
                TOps.Store(sum, sums);
                AddRow(sums, gradient + (long)row * channels + column, Math.Min(TOps.Width, channels - column));
            }
        }
    }

    /// <summary>Adds the first values of a vector in memory to as many others.</summary>
    public static void AddRow(float* row, float* target, int present)
    {
        if (present == TOps.Width)
        {
            TOps.Store(TOps.Add(TOps.Load(target), TOps.Load(row)), target);
            return;
        }

        for (int c = 0; c < present; c++)
            target[c] += row[c];
    }
}
