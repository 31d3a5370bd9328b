using MeanShiftGpu.Cli.Viewing;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Brings the page of 'view' to a browser.</summary>
/// <param name="session">Where the address is printed.</param>
internal sealed class ViewServing(Session session)
{
    /// <summary>Serves the page until the user ends it.</summary>
    /// <param name="page">The page.</param>
    /// <param name="opens">Whether a browser is opened, where there is one.</param>
    /// <param name="cancellation">Ends it.</param>
    public void Run(ViewSession page, bool opens, CancellationToken cancellation)
    {
        using CancellationTokenSource ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using LocalServer server = LocalServer.Start();
        Task supports = Task.Run(() => Supports(page, ended.Token), CancellationToken.None);
        session.Line(
            $"{page.Name}: {Counted.Of(page.Correction.Picks.Count, "pick")}; slices along x and y in steps of "
            + $"{Counted.Of(page.Volume.Cache.Bin, "voxel")}");
        session.Line($"page: {server.Address}");
        string? redirect = null;
        if (!opens || !Browser.IsThere)
            session.Line(
                $"from another machine: ssh -L {server.Port}:127.0.0.1:{server.Port} {Environment.MachineName}, then open "
                + $"the address there");
        else
            redirect = OpenBrowser(server.Address);
        session.Line("Ctrl-C ends it");
        try
        {
            server.Run(page.Reply, cancellation);
        }
        finally
        {
            ended.Cancel();
            supports.Wait(CancellationToken.None);
            if (redirect is not null)
                File.Delete(redirect);
        }

        if (page.HasUnsaved && page.Changes.Count > 0)
            session.Warn(
                $"view: {Counted.Of(page.Changes.Count, "change")} by hand {(page.Changes.Count == 1 ? "was" : "were")} not "
                + $"saved.");
    }

    private string? OpenBrowser(string address)
    {
        try
        {
            return Browser.Open(address);
        }
        catch (InputException e)
        {
            session.Warn($"view: {e.Message} Open the address yourself.");
            return null;
        }
    }

    private void Supports(ViewSession page, CancellationToken cancellation)
    {
        try
        {
            page.ComputeSupports(cancellation);
        }
        catch (InputException e)
        {
            session.Error(e.Message);
        }
    }
}
