using MeanShiftGpu.Storage;
using MeanShiftGpu.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training.Ranks;

public class LauncherTests
{
    // The variables as mpiexec and srun were seen to set them.
    [TestCase("", null)]
    [TestCase("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4", "Open MPI's mpiexec OpenMpi 1 4")]
    [TestCase("PMI_RANK=3 PMI_SIZE=4", "MPICH's mpiexec Mpich 3 4")]
    [TestCase("PMI_RANK=0 PMI_SIZE=2 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2", "srun --mpi=pmi2 Mpich 0 2")]
    [TestCase("PMIX_RANK=1 SLURM_PROCID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2", "srun --mpi=pmix OpenMpi 1 2")]
    [TestCase("SLURM_PROCID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2", "srun  1 2")]
    [TestCase("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 PMIX_RANK=1 SLURM_PROCID=0 SLURM_NTASKS=2",
        "Open MPI's mpiexec OpenMpi 1 2")]
    [TestCase("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1", null)]
    [TestCase("SLURM_PROCID=0 SLURM_NTASKS=4", null)] // the script of a batch job
    [TestCase("SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1", null)]
    public void Find_ByItsVariables(string variables, string? expected)
    {
        Launcher? found = Launcher.Find(Variables(variables));
        Assert.That(found is null ? null : $"{found.Name} {found.Family} {found.Rank} {found.Count}", Is.EqualTo(expected));
    }

    [Test]
    public void Join_WithoutMpi_SaysHowToStart()
        => Assert.That(() => new Launcher("srun", null, 0, 2).Join(), Throws.TypeOf<InputException>()
            .With.Message.Contains("--mpi=pmi2"));

    internal static Func<string, string?> Variables(string text)
    {
        Dictionary<string, string> all = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(v
            => v.Split('=')).ToDictionary(v => v[0], v => v[1]);
        return all.GetValueOrDefault;
    }
}
