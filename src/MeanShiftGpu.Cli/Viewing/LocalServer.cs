using System.Buffers.Text;
using System.Collections.Specialized;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Viewing;

/// <summary>A request that has been let in.</summary>
/// <param name="Method">GET or POST.</param>
/// <param name="Name">What is asked for: what follows the token, without the query.</param>
/// <param name="Query">The query.</param>
/// <param name="Body">What was sent; empty for GET.</param>
internal sealed record LocalRequest(string Method, string Name, NameValueCollection Query, byte[] Body);

/// <summary>
/// A server for one person on this machine: it listens on the loopback address alone, at a port that the
/// system chooses, and lets in who knows the token of its address, a random number of 256 bits. A browser
/// shows its pages to no other site and takes no request of one: the host must be the server's own (a name of
/// another site that leads here is refused), and so must the origin where a browser names one. The base
/// runtime's HttpListener serves: every other verb must start where no more than that is installed.
/// </summary>
internal sealed class LocalServer : IDisposable
{
    private const int MostBodyBytes = 16 << 20;
    private const int PortTries = 20;
    private const int TokenBytes = 32;

    // Enough for a page, which asks for six things at once; a body takes memory.
    private const int MostAtOnce = 32;

    // Pages take nothing from elsewhere, run no script but the server's own, and are no part of another page.
    private static readonly (string Name, string Value)[] Headers =
    [
        ("Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri "
            + "'none'; form-action 'none'; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Server", ""),
    ];

    private static readonly Answer Refusal =
        Answer.Text(403, "This page opens at the address that the program printed, and at no other.");

    private readonly HttpListener listener;
    private readonly byte[] token;
    private readonly string host;
    private readonly SemaphoreSlim working = new(MostAtOnce);

    private LocalServer(HttpListener listener, int port, string hostName)
    {
        this.listener = listener;
        Port = port;
        host = $"{hostName}:{port}";
        string text = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(TokenBytes));
        token = Encoding.ASCII.GetBytes(text);
        Address = $"http://{host}/{text}/";
    }

    /// <summary>The address of the page, with the token.</summary>
    public string Address { get; }

    /// <summary>The port.</summary>
    public int Port { get; }

    /// <summary>Begins to listen.</summary>
    /// <exception cref="InputException">The system gives no port.</exception>
    public static LocalServer Start()
    {
        // Windows lets everybody listen under this name, and hands other machines' requests over too; those
        // are refused one by one.
        string name = OperatingSystem.IsWindows() ? "localhost" : IPAddress.Loopback.ToString();
        for (int i = 0; ; i++)
        {
            int port = FreePort();
            HttpListener listener = new() { IgnoreWriteExceptions = true };
            try
            {
                listener.Prefixes.Add($"http://{name}:{port}/");
                listener.Start();
                return new LocalServer(listener, port, name);
            }
            catch (Exception e) when (e is HttpListenerException or SocketException)
            {
                listener.Close();
                // Another program may have taken the port meanwhile.
                if (i + 1 == PortTries)
                    throw new InputException($"view: no page can be served on this machine: {InputFile.OneLine(e.Message)}", e);
            }
        }
    }

    /// <summary>Answers requests until it is told to stop.</summary>
    /// <param name="answer">Makes an answer; called from several threads.</param>
    /// <param name="cancellation">Stops it.</param>
    public void Run(Func<LocalRequest, Answer> answer, CancellationToken cancellation)
    {
        using CancellationTokenRegistration stopping = cancellation.Register(listener.Stop);
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                HttpListenerContext context = listener.GetContext();
                _ = Task.Run(() => ServeAsync(context, answer), CancellationToken.None);
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException
                && cancellation.IsCancellationRequested)
            {
                return;
            }
            catch (HttpListenerException)
            {
                // A connection that broke before it asked for anything.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        listener.Close();
        working.Dispose();
    }

    private async Task ServeAsync(HttpListenerContext context, Func<LocalRequest, Answer> answer)
    {
        try
        {
            await SendAsync(context.Response, NameIn(context.Request) is { } name
                ? await AnswerAsync(context.Request, name, answer) : Refusal);
        }
        catch (Exception e) when (
            e is HttpListenerException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The browser went away, or the server did.
        }
    }

    /// <summary>What a request asks for; null where it may not.</summary>
    private string? NameIn(HttpListenerRequest request)
    {
        bool fromHere = request.RemoteEndPoint is { } remote && IPAddress.IsLoopback(remote.Address);
        bool ownHost = string.Equals(request.Headers["Host"], host, StringComparison.OrdinalIgnoreCase);
        // Browsers name the origin of what may change something; a person who follows a link comes from
        // anywhere.
        string? origin = request.Headers["Origin"];
        bool ownOrigin = origin is null ? request.HttpMethod == "GET"
            : string.Equals(origin, $"http://{host}", StringComparison.OrdinalIgnoreCase);
        string? site = request.Headers["Sec-Fetch-Site"];
        bool ownSite = site is null or "same-origin" or "none"
            || (request.HttpMethod == "GET" && request.Headers["Sec-Fetch-Mode"] == "navigate");
        if (!fromHere || !ownHost || !ownOrigin || !ownSite)
            return null;
        // The address as it came over the wire: nothing is decoded, so that no spelling of another path is
        // one of ours.
        string path = (request.RawUrl ?? "").Split('?', 2)[0];
        return path is ['/', .. var rest] && rest.IndexOf('/', StringComparison.Ordinal) is > 0 and var end
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(rest[..end]), token)
            ? rest[(end + 1)..]
            : null;
    }

    private async Task<Answer> AnswerAsync(HttpListenerRequest request, string name, Func<LocalRequest, Answer> answer)
    {
        if (request.HttpMethod is not ("GET" or "POST"))
            return Answer.Text(405, "expected GET or POST");
        await working.WaitAsync();
        try
        {
            byte[] body = [];
            if (request.HttpMethod == "POST")
            {
                // Another site's form cannot send this type without asking first, which is refused.
                if (request.ContentType != "application/json")
                    return Answer.Text(415, "expected application/json");
                if (request.ContentLength64 is < 0 or > MostBodyBytes)
                    return Answer.Text(413, "too much was sent");
                body = new byte[request.ContentLength64];
                await request.InputStream.ReadExactlyAsync(body);
            }

            return answer(new LocalRequest(request.HttpMethod, name, request.QueryString, body));
        }
        finally
        {
            working.Release();
        }
    }

    private static async Task SendAsync(HttpListenerResponse response, Answer answer)
    {
        response.StatusCode = answer.Status;
        response.ContentType = answer.Type;
        response.ContentLength64 = answer.Content.Length;
        foreach ((string name, string value) in Headers)
            response.Headers[name] = value;
        if (answer.Header is { } more)
            response.Headers[more.Name] = more.Value;
        await response.OutputStream.WriteAsync(answer.Content);
        response.Close();
    }

    private static int FreePort()
    {
        using TcpListener probe = new(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
