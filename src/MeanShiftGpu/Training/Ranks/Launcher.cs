using System.Globalization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>The two families of MPI, whose libraries do not understand each other's launchers.</summary>
public enum MpiFamily
{
    /// <summary>Open MPI.</summary>
    OpenMpi,

    /// <summary>MPICH, and those that keep its binary interface: Intel MPI, MVAPICH, Cray MPICH.</summary>
    Mpich,
}

/// <summary>What started this process as one of several ranks, as its environment says.</summary>
/// <param name="Name">The launcher, for people.</param>
/// <param name="Family">Whose library it needs; null where it has started processes that know nothing of each
/// other.</param>
/// <param name="Rank">Which this is, from 0.</param>
/// <param name="Count">How many there are.</param>
public sealed record Launcher(string Name, MpiFamily? Family, int Rank, int Count)
{
    /// <summary>The launcher of this process; null for a process by itself.</summary>
    public static Launcher? Find() => Find(Environment.GetEnvironmentVariable);

    /// <summary>The same by given variables.</summary>
    internal static Launcher? Find(Func<string, string?> variable)
    {
        // mpiexec may have been called within a job of Slurm, whose variables are there too, and tell less.
        if (Of("Open MPI's mpiexec", MpiFamily.OpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE") is { } openMpi)
            return openMpi;
        bool inStep = Number("SLURM_PROCID") is not null && variable("SLURM_STEP_ID") is not null;
        if (Of(inStep ? "srun --mpi=pmi2" : "MPICH's mpiexec", MpiFamily.Mpich, "PMI_RANK", "PMI_SIZE") is { } mpich)
            return mpich;
        if (!inStep)
            return null;
        MpiFamily? family = variable("PMIX_RANK") is null ? null : MpiFamily.OpenMpi;
        return Of(family is null ? "srun" : "srun --mpi=pmix", family, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS");

        Launcher? Of(string name, MpiFamily? family, string rank, string count)
            => Number(rank) is { } index && Number(count) is { } all && all > 1 ? new Launcher(name, family, index, all) : null;

        int? Number(string name)
            => int.TryParse(variable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
    }

    /// <summary>Joins the other ranks.</summary>
    /// <exception cref="InputException">The library of the launcher's MPI is not there, or finds other ranks
    /// than the launcher started.</exception>
    public MpiRanks Join()
    {
        if (Family is not { } family)
        {
            throw new InputException($"ranks: {Name} started {Count} processes that know nothing of each other. Start them with "
                + "srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI), or one process with --ntasks=1.");
        }

        return new MpiRanks(MpiLibrary.Load(family, Name), this);
    }
}
