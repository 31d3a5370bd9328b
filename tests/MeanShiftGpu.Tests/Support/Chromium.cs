using NUnit.Framework;
using PuppeteerSharp;

namespace MeanShiftGpu.Tests.Support;

/// <summary>The browser that is installed on this machine, without a screen.</summary>
public static class Chromium
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

    /// <summary>
    /// Starts it; a test is left out where there is none, except in CI, which installs one.
    /// </summary>
    public static async Task<IBrowser> StartAsync()
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        string? path = folders.SelectMany(f => Names.Select(n => Path.Combine(f, n))).FirstOrDefault(File.Exists);
        if (path is null)
        {
            const string reason = "no Chromium is installed on this machine; .ci/run installs the distribution's";
            if (Environment.GetEnvironmentVariable("CI") == "true")
                Assert.Fail(reason);
            Assert.Ignore(reason);
        }

        return await Puppeteer.LaunchAsync(new LaunchOptions
        {
            ExecutablePath = path,
            Headless = true,
            // The sandbox needs rights that a container's root does not have; the only pages are ours.
            Args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            DefaultViewport = new ViewPortOptions { Width = 1300, Height = 850 },
            Timeout = 120_000,
        });
    }
}
