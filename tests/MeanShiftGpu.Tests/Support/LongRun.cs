using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>Tests that take minutes, which <c>.ci/run long</c> runs.</summary>
internal static class LongRun
{
    /// <summary>The environment variable that asks for them.</summary>
    private const string Variable = "MEANSHIFTGPU_TEST_LONG";

    /// <summary>Whether what takes minutes is asked for.</summary>
    public static bool IsAskedFor => Environment.GetEnvironmentVariable(Variable) == "1";

    /// <summary>Ends a test that takes minutes, unless it is asked for.</summary>
    public static void Require()
    {
        if (!IsAskedFor)
            Assert.Ignore($"This takes minutes; .ci/run long does it ({Variable}=1).");
    }
}
