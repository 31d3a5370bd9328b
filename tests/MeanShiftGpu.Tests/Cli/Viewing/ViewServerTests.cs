using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Viewing;

/// <summary>
/// Nobody reaches the page of 'view' who does not know its address, and no other site does through a browser
/// that does.
/// </summary>
[NonParallelizable]
public sealed class ViewServerTests : IDisposable
{
    private readonly ToolFolder folder = new();
    private ViewRun view = null!;
    private string token = null!;

    [OneTimeSetUp]
    public void Serve()
    {
        string volume = folder.WriteVolume("secret-name.mrc", 24, 40, 48);
        string picks = folder.WriteText("picks.csv", "x,y,z,score\n10,11,12,0.5\n30,20,8,0.75\n");
        view = new ViewRun(volume, "--picks", picks, "--out", folder.At("corrected.csv"));
        token = view.Address.AbsolutePath.Trim('/');
    }

    public void Dispose()
    {
        view?.Dispose();
        folder.Dispose();
    }

    [Test]
    public void Address_IsLoopbackWithALongToken()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(view.Address.Host, Is.EqualTo("127.0.0.1"));
            Assert.That(token, Has.Length.EqualTo(43), "32 random bytes");
        }
    }

    [Test]
    public void Listener_IsOnTheLoopbackAddressAlone()
        => Assert.That(
            IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Where(e => e.Port == view.Address.Port)
                .Select(e => e.Address),
            Is.EqualTo([IPAddress.Loopback]));

    [Test]
    public async Task Page_WithTheToken_IsServed()
    {
        using HttpClient client = new();
        using HttpResponseMessage answer = await client.GetAsync(view.Address);
        string content = await answer.Content.ReadAsStringAsync();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
            Assert.That(content, Does.Contain("<title>"));
            Assert.That(answer.Headers.GetValues("Content-Security-Policy").Single(), Does.StartWith("default-src 'none'"));
        }
    }

    [TestCase("/")]
    [TestCase("/index.html")]
    [TestCase("/session")]
    [TestCase("/{wrong}/")]
    [TestCase("/{wrong}/session")]
    [TestCase("/{short}/")]
    [TestCase("/{token}")]
    [TestCase("/{token}x/")]
    [TestCase("//{token}/")]
    [TestCase("/./{token}/")]
    [TestCase("/x/../{token}/")]
    [TestCase("/%2e/{token}/")]
    [TestCase("/?{token}/")]
    [TestCase("/?token={token}")]
    public void Path_WithoutTheTokenInItsPlace_IsRefused(string path)
        => Assert.That(Status(Get(Filled(path))), Is.AnyOf(403, 400));

    // The runtime's own listener answers these, with nothing.
    [TestCase("GET  HTTP/1.1")]
    [TestCase("GET")]
    [TestCase("\u0000")]
    public void Request_ThatIsNone_GetsNothing(string line)
        => Assert.That(Send($"{line}\r\nHost: {Host}\r\nConnection: close\r\n\r\n"),
            Does.Not.Contain("<title>").And.Not.Contain("volume"));

    [TestCase("../session")]
    [TestCase("..%2f..%2f..%2fetc%2fpasswd")]
    [TestCase("../../../../etc/passwd")]
    [TestCase("%2e%2e/%2e%2e/etc/passwd")]
    [TestCase("/etc/passwd")]
    [TestCase("page/view.css")]
    [TestCase("view.css/")]
    [TestCase("view%2Ecss")]
    [TestCase("VIEW.CSS")]
    [TestCase("view.css%00.js")]
    [TestCase("..\\view.css")]
    public void Path_BehindTheToken_IsOneOfThePagesFilesOrNothing(string path)
        => Assert.That(Status(Get($"/{token}/{path}")), Is.AnyOf(404, 400, 403));

    [TestCase("example.org")]
    [TestCase("example.org:{port}")]
    [TestCase("127.0.0.1.example.org:{port}")]
    [TestCase("127.0.0.1:1")]
    [TestCase("127.0.0.1")]
    [TestCase("[::1]:{port}")]
    [TestCase("0.0.0.0:{port}")]
    [TestCase("127.0.0.1:{port}, example.org")]
    [TestCase("")]
    public void Host_OfAnotherName_IsRefused(string host)
        => Assert.That(Status(Send($"GET /{token}/session HTTP/1.1\r\nHost: {Filled(host)}\r\nConnection: close\r\n\r\n")),
            Is.AnyOf(403, 400, 404));

    [Test]
    public void Host_Twice_IsRefused()
        => Assert.That(
            Status(Send($"GET /{token}/session HTTP/1.1\r\nHost: {Host}\r\nHost: example.org\r\nConnection: close\r\n\r\n")),
                Is.AnyOf(403, 400, 404));

    [TestCase("http://example.org")]
    [TestCase("http://127.0.0.1:1")]
    [TestCase("https://{host}")]
    [TestCase("null")]
    [TestCase("")]
    public void Origin_OfAnotherSite_IsRefused(string origin)
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Status(Get($"/{token}/session", $"Origin: {Filled(origin)}\r\n")), Is.EqualTo(403));
            Assert.That(Status(Post("save", $"Origin: {Filled(origin)}\r\n")), Is.EqualTo(403));
        }
    }

    [TestCase("cross-site")]
    [TestCase("same-site")]
    public void Site_ThatEmbedsAFile_IsRefused(string site)
        => Assert.That(Status(Get($"/{token}/view.css", $"Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: no-cors\r\n")),
            Is.EqualTo(403));

    [Test]
    public void Post_WithoutAnOrigin_IsRefused() => Assert.That(Status(Post("save", "")), Is.EqualTo(403));

    [Test]
    public void Post_OfAForm_IsRefused()
        => Assert.That(Status(Post("save", $"Origin: http://{Host}\r\n", type: "text/plain")), Is.EqualTo(415));

    [TestCase("PUT")]
    [TestCase("DELETE")]
    [TestCase("OPTIONS")]
    public void Method_OfAnotherKind_IsRefused(string method)
        => Assert.That(
            Status(Send($"{method} /{token}/session HTTP/1.1\r\nHost: {Host}\r\nOrigin: http://{Host}\r\nContent-Length: "
            + $"0\r\nConnection: close\r\n\r\n")), Is.EqualTo(405));

    [TestCase("{}", 200)]
    [TestCase("{\"removed\":[1]}", 200)]
    [TestCase("{\"removed\":[2]}", 400)]
    [TestCase("{\"removed\":[-1]}", 400)]
    [TestCase("{\"removed\":[0],\"accepted\":[0]}", 400)]
    [TestCase("{\"removed\":null}", 400)]
    [TestCase("{\"added\":[{\"z\":1,\"y\":2,\"x\":1000,\"kind\":0}]}", 400)]
    [TestCase("{\"added\":[{\"z\":1,\"y\":2,\"x\":3,\"kind\":7}]}", 400)]
    [TestCase("{\"moved\":[{\"pick\":0,\"z\":1e400,\"y\":2,\"x\":3}]}", 400)]
    [TestCase("[", 400)]
    [TestCase("", 400)]
    public void Changes_ThatMakeNoSense_AreRefused(string changes, int status)
        => Assert.That(Status(Post("changes", $"Origin: http://{Host}\r\n", changes)), Is.EqualTo(status));

    [TestCase("slice?plane=xy&at=0&reach=0&layer=volume", 200)]
    [TestCase("slice?plane=xy&at=-5&reach=50&layer=volume", 200)]
    [TestCase("slice?plane=xy&at=0&reach=51&layer=volume", 400)]
    [TestCase("slice?plane=7&at=0&reach=0&layer=volume", 400)]
    [TestCase("slice?plane=xy&at=x&reach=0&layer=volume", 400)]
    [TestCase("slice?plane=xy&at=0&reach=0&layer=scores", 400)]
    [TestCase("slice", 400)]
    [TestCase("thumbnails?reach=2&at=1,2,3;4,5,6", 200)]
    [TestCase("thumbnails?reach=2&at=-100,1e6,3", 200)]
    [TestCase("thumbnails?reach=2&at=1,2", 400)]
    [TestCase("thumbnails?reach=2&at=NaN,1,2", 400)]
    [TestCase("thumbnails?reach=2&at=1e300,1,2", 400)]
    public void Question_ThatMakesNoSense_IsRefused(string question, int status)
        => Assert.That(Status(Get($"/{token}/{question}")), Is.EqualTo(status));

    [Test]
    public async Task Session_NamesNoPath()
    {
        using HttpClient client = new();
        string session = await client.GetStringAsync(new Uri(view.Address, "session"));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(session, Does.Not.Contain(folder.Path));
            Assert.That(session, Does.Not.Contain("corrected"));
            Assert.That(JsonDocument.Parse(session).RootElement.GetProperty("volume").GetProperty("name").GetString(),
                Is.EqualTo("secret-name"));
        }
    }

    [Test]
    public async Task Connections_AThousandThatSayNothing_KeepNobodyOut()
    {
        List<TcpClient> idle = [];
        try
        {
            for (int i = 0; i < 1000; i++)
            {
                TcpClient one = new();
                await one.ConnectAsync(IPAddress.Loopback, view.Address.Port);
                if (i % 2 == 0)
                    await one.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"GET /{token}/session HT"));
                idle.Add(one);
            }

            using HttpClient client = new() { Timeout = TimeSpan.FromSeconds(30) };
            string session = await client.GetStringAsync(new Uri(view.Address, "session"));
            Assert.That(session, Does.Contain("secret-name"));
        }
        finally
        {
            idle.ForEach(one => one.Dispose());
        }
    }

    [Test]
    public void Requests_AThousandAtOnce_AreAnsweredOrRefusedByTheToken()
    {
        int[] served = new int[1000];
        Parallel.For(0, served.Length, new ParallelOptions { MaxDegreeOfParallelism = 32 }, i =>
            served[i] = Status(Get(i % 2 == 0 ? $"/{token}/view.css" : "/view.css")));
        Assert.That(served.Where((s, i) => s != (i % 2 == 0 ? 200 : 403)), Is.Empty);
    }

    [Test]
    public async Task Save_WritesTheTablesThatWereNamedAtTheStart()
    {
        using HttpClient client = new();
        using HttpRequestMessage request =
            new(HttpMethod.Post,
            new Uri(view.Address, "save"))
            { Content = new StringContent("{\"removed\":[0]}", Encoding.UTF8) };
        request.Content.Headers.ContentType = new("application/json");
        request.Headers.Add("Origin", $"http://{Host}");
        using HttpResponseMessage answer = await client.SendAsync(request);
        JsonElement saved = await answer.Content.ReadFromJsonAsync<JsonElement>();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(saved.GetProperty("kept").GetInt32(), Is.EqualTo(1));
            Assert.That(File.ReadAllText(folder.At("corrected.csv")), Is.EqualTo("x,y,z,score\n30,20,8,0.75\n"));
            Assert.That(File.ReadAllText(folder.At("corrected_removed.csv")), Is.EqualTo("x,y,z,score\n10,11,12,0.5\n"));
            Assert.That(File.Exists(folder.At("corrected.csv.made")));
            Assert.That(File.ReadAllText(folder.At("picks.csv")), Does.Contain("10,11,12"), "the input is as it was");
        }
    }

    [Test]
    public void Out_ThatIsAnInput_IsRefused()
    {
        string volume = folder.WriteVolume("v.mrc");
        string picks = folder.WriteText("p.csv", "x,y,z\n1,2,3\n");
        string removed = folder.WriteText("q_removed.csv", "x,y,z\n1,2,3\n");
        ToolRun.Refuses(["p.csv", "is an input"], "view", volume, "--picks", picks, "--out", picks, "--no-browser");
        ToolRun.Refuses(["q_removed.csv", "is an input"], "view", volume, "--picks", removed, "--out", folder.At("q.csv"),
            "--no-browser");
        ToolRun.Refuses(["--overwrite"], "view", volume, "--picks", picks, "--out", removed, "--no-browser");
    }

    [Test]
    public void Process_EndsWithItsTerminal()
    {
        const string script = "/usr/bin/script";
        if (!File.Exists(script))
            Assert.Ignore($"there is no {script} to open a terminal with");
        if (KilledProcessTests.IgnoresHangup())
            Assert.Ignore("these tests run under nohup, and so do the programs that they start");
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";
        string tool = Path.Combine(AppContext.BaseDirectory, "meanshift-gpu.dll");
        string command = $"'{host}' '{tool}' view '{folder.WriteVolume("terminal.mrc")}' --no-browser";
        using Process terminal =
            Process.Start(
            new ProcessStartInfo(script, ["-qfc", command, "/dev/null"])
            {
                RedirectStandardOutput = true,
                RedirectStandardInput = true
            })!;
        Uri? address = null;
        while (address is null && terminal.StandardOutput.ReadLine() is { } line)
            address = line.Contains("page: ", StringComparison.Ordinal)
                ? new Uri(line[(line.IndexOf("page: ", StringComparison.Ordinal) + 6)..].Trim()) : null;
        Assert.That(address, Is.Not.Null);
        Assert.That(Listens(address!.Port), Is.True);
        terminal.Kill();
        terminal.WaitForExit();
        Assert.That(() => Listens(address.Port), Is.False.After(30_000, 100), "the server outlives its terminal");
    }

    private static bool Listens(int port) =>
        IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(e => e.Port == port);

    private string Host => view.Address.Authority;

    private string Filled(string text) => text
        .Replace("{token}", token, StringComparison.Ordinal)
        .Replace("{wrong}", new string('A', token.Length), StringComparison.Ordinal)
        .Replace("{short}", token[..^1], StringComparison.Ordinal)
        .Replace("{host}", Host, StringComparison.Ordinal)
        .Replace("{port}", view.Address.Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);

    private string Get(string path, string headers = "") =>
        Send($"GET {path} HTTP/1.1\r\nHost: {Host}\r\n{headers}Connection: close\r\n\r\n");

    private string Post(string name, string headers, string body = "{}", string type = "application/json")
        => Send($"POST /{token}/{name} HTTP/1.1\r\nHost: {Host}\r\n{headers}Content-Type: {type}\r\nContent-Length: "
            + $"{body.Length}\r\nConnection: close\r\n\r\n{body}");

    // What a program says that is no browser and keeps no rule.
    private string Send(string request)
    {
        using TcpClient client = new();
        client.Connect(IPAddress.Loopback, view.Address.Port);
        client.ReceiveTimeout = 30_000;
        NetworkStream stream = client.GetStream();
        stream.Write(Encoding.ASCII.GetBytes(request));
        using StreamReader reader = new(stream, Encoding.Latin1);
        return reader.ReadToEnd();
    }

    private static int Status(string answer) => answer.Split(' ') is [_, var code, ..]
        ? int.Parse(code, CultureInfo.InvariantCulture) : 0;
}
