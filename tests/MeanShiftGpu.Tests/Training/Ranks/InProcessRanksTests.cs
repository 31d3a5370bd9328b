using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training.Ranks;

public class InProcessRanksTests
{
    // Of numbers of so different a size another order gives other bits.
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(5)]
    public void SumInOrder_OfAnyNumberOfRanks_HasTheSameBits(int count)
    {
        const int parts = 5;
        const int length = 19;
        Random random = new(1);
        float[][] all = [.. Enumerable.Range(0, parts).Select(_ => Enumerable.Range(0, length).Select(_
            => (float)Math.Exp(40 * random.NextDouble() - 20) * (random.Next(2) - 0.5f)).ToArray())];
        float[] expected = [.. Enumerable.Range(0, length).Select(i => all.Skip(1).Aggregate(all[0][i], (sum, part) => sum
            + part[i]))];
        float[] reversed = [.. Enumerable.Range(0, length).Select(i => all.Reverse().Skip(1).Aggregate(all[^1][i], (sum,
            part) => sum + part[i]))];
        Assert.That(reversed, Is.Not.EqualTo(expected), "the order matters");

        float[][] found = new float[count][];
        InProcessRanks.Run(count, ranks =>
        {
            RankShare mine = RankShare.Of(parts, ranks.Rank, ranks.Count);
            found[ranks.Rank] = new float[length];
            ranks.SumInOrder<float>([.. all[mine.First..(mine.First + mine.Count)].SelectMany(p => p)], parts, found[ranks.Rank]);
        });
        Assert.That(found, Is.All.EqualTo(expected));
    }

    [Test]
    public void RankShare_OfAllRanks_IsEveryItemOnce()
    {
        for (int count = 1; count < 9; count++)
        {
            RankShare[] shares = [.. Enumerable.Range(0, count).Select(rank => RankShare.Of(7, rank, count))];
            Assert.That(shares.SelectMany(s => Enumerable.Range(s.First, s.Count)), Is.EqualTo(Enumerable.Range(0, 7)));
            Assert.That(shares.Max(s => s.Count) - shares.Min(s => s.Count), Is.LessThanOrEqualTo(1));
            Assert.That(shares.Count(s => s.Contains(6)), Is.EqualTo(1));
        }
    }

    [Test]
    public void SumInOrder_OfTheWrongLength_IsRefused()
        => Assert.That(() => InProcessRanks.Alone.SumInOrder<float>([1, 2, 3], 2, new float[2]), Throws.ArgumentException
            .With.Message.Contains("gives 3 numbers, expected 2 of 2 arrays of 2"));

    [Test]
    public void GatherCompleteAndAny_TellAllRanksTheSame()
    {
        List<string> told = [];
        InProcessRanks.Run(3, ranks =>
        {
            byte[][] all = ranks.Gather([.. Enumerable.Repeat((byte)ranks.Rank, ranks.Rank)]);
            double[] values = new double[4];
            RankShare mine = RankShare.Of(values.Length, ranks.Rank, ranks.Count);
            for (int i = mine.First; i < mine.First + mine.Count; i++)
                values[i] = i + 0.1;
            ranks.Complete<double>(values);
            bool none = ranks.Any(false);
            bool one = ranks.Any(ranks.Rank == 2);
            ranks.Barrier();
            string gathered = string.Join(' ', all.Select(a => string.Join(',', a)));
            string completed = string.Join(' ', values.Select(v => v.ToString(CultureInfo.InvariantCulture)));
            lock (told)
                told.Add($"{gathered}; {completed}; {none} {one}");
        });
        Assert.That(told, Has.Count.EqualTo(3).And.All.EqualTo(" 1 2,2; 0.1 1.1 2.1 3.1; False True"));
    }

    [Test]
    public void RefuseDifferent_NamesTheFactOnEveryRank()
    {
        List<string> refusals = [];
        InProcessRanks.Run(3, ranks =>
        {
            ranks.RefuseDifferent([("version", "1"), ("data", "a")]);
            try
            {
                ranks.RefuseDifferent([("version", "1"), ("data", ranks.Rank == 1 ? "b" : "a")]);
            }
            catch (InputException e)
            {
                lock (refusals)
                    refusals.Add(e.Message);
            }
        });
        Assert.That(refusals, Has.Count.EqualTo(3).And.All.StartsWith("ranks: the data of rank 1 is 'b', that of rank 0 is "
            + "'a'."));
    }

    [Test]
    public void Run_WhereOneRankFails_EndsTheOthers()
    {
        Assert.That(
            () => InProcessRanks.Run(3, ranks =>
            {
                if (ranks.Rank == 1)
                    throw new InputException("no more");
                ranks.Barrier();
            }),
            Throws.TypeOf<InputException>().With.Message.EqualTo("no more"));
    }
}
