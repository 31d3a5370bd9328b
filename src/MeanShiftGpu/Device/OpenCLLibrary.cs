using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace MeanShiftGpu.Device;

/// <summary>
/// ILGPU loads "libOpenCL.so"; where only the run-time package is installed the file is "libOpenCL.so.1" and
/// ILGPU would find no device without a word. This resolver points the one name to the other.
/// </summary>
internal static class OpenCLLibrary
{
    private static readonly Lock Gate = new();
    private static bool registered;

    public static void EnsureFound()
    {
        lock (Gate)
        {
            if (registered || !OperatingSystem.IsLinux())
                return;
            registered = true;
            try
            {
                NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
            }
            catch (InvalidOperationException)
            {
                // The host program has its own resolver for ILGPU; its choice stands.
            }
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
        => name.Contains("OpenCL", StringComparison.OrdinalIgnoreCase)
            && !NativeLibrary.TryLoad(name, assembly, path, out _)
            && NativeLibrary.TryLoad("libOpenCL.so.1", out nint handle)
                ? handle
                : 0;
}
