//! `toolhost serve`: serves the tools over MCP, on stdio or HTTP, until the client leaves or a
//! signal arrives.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toolhost::manifest::Use;
use toolhost::mcp::{HttpServer, Server, ServerInfo};
use toolhost::{Loader, Manifest, ToolHost};

use super::clients::{self, ClientApp};
use super::out::{self, Out, say};
use super::reload::{FileSnapshot, ReloadTarget, Reloader};
use super::{ANSWERED, CommandContext, HostOptions, INTERRUPTED, Status, log_queue, parse_timeout};

/// How long messages on their way to a client over stdio get at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct ServeOptions {
    /// Serve streamable HTTP on this address, such as 127.0.0.1:8080, instead of stdio; a port alone
    /// means 127.0.0.1, port 0 any free port
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    http: Option<SocketAddr>,

    /// Time that running calls get to finish at shutdown [default: the manifest's]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    grace: Option<Duration>,

    /// Offer only `run_script`, `search_tools` and `describe_tool`: programs call the other tools
    #[arg(long)]
    code_mode: bool,

    /// Print an MCP client's configuration for this server and exit
    #[arg(long, value_name = "CLIENT")]
    print_config: Option<ClientApp>,

    #[command(flatten)]
    host: HostOptions,
}

/// Parses an address and a port, or a port of this machine: `127.0.0.1:8080`, `[::1]:8080`,
/// `localhost:8080`, `8080`.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':'));
    let port = port.unwrap_or(text).parse::<u16>();
    match (text.parse(), port) {
        (Ok(address), _) => Ok(address),
        (_, Ok(port)) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ => Err("use an IP address and a port, such as 127.0.0.1:8080, or just a port".to_owned()),
    }
}

pub(super) async fn run(options: ServeOptions, session: CommandContext) -> anyhow::Result<Status> {
    // Many clients that start it never read its stderr.
    out::queue_log()?;
    let ended = serve(options, session).await;
    // Remaining tasks may hold a host, and are not waited for.
    toolhost::kill_mcp_servers();
    log_queue::flush();
    ended
}

async fn serve(options: ServeOptions, session: CommandContext) -> anyhow::Result<Status> {
    let interrupts = session.interrupts.clone();
    if let Some(client) = options.print_config {
        // The client will name the manifest, which allows everything that it asks for.
        let found = session.find_manifest_or_builtin()?.require(Use::Serve)?;
        return print_config(client, &found.manifest, &options);
    }
    let manifest = session.effective_manifest(&options.host, Use::Serve)?;
    // Clients that connect while plugins load wait to be accepted, and an address in use is
    // reported first.
    let listener = match options.http {
        Some(address) => {
            check_exposure(&manifest, address)?;
            Some(listen(address).await?)
        }
        None => None,
    };
    warn_of_nameless(&manifest, &options.host);
    let loaded = FileSnapshot::of(&manifest, session.trust_file());
    let code_mode = options.code_mode || manifest.serve.code_mode;
    let loader = Loader::new(manifest.clone()).code_mode(code_mode);
    let host = session.load_by(loader).await?;
    let server = Server::new(host, info(&manifest, options.host.client.as_deref()));
    let grace = options.grace.unwrap_or(manifest.serve.grace);
    let shutdown = interrupts.stop_signal()?;
    let mut watch = Reloader {
        session,
        target: Served {
            server: server.clone(),
            http: None,
            client: options.host.client.clone(),
            code_mode: options.code_mode,
        },
        options: options.host,
        manifest: manifest.clone(),
        loaded,
    };
    match listener {
        None => {
            if std::io::stdin().is_terminal() {
                say!(
                    "serving MCP over stdin and stdout, where a client is expected; see --print-config to \
                     configure one, or use --http"
                );
            }
            let _reload = watch.begin();
            stdio(&server, shutdown, grace).await
        }
        Some(listener) => {
            let http = server.http(&manifest.serve)?;
            let address = listener.local_addr()?;
            say!("listening on {}://{address}/mcp", scheme(&manifest));
            watch.target.http = Some((http.clone(), address));
            let _reload = watch.begin();
            let cancelled = http.serve(listener, shutdown, grace).await?;
            Ok(ended(cancelled))
        }
    }
}

/// Warns if calls will be refused because clients have no names.
fn warn_of_nameless(manifest: &Manifest, options: &HostOptions) {
    if manifest.serve.auth.is_required() || options.client.is_some() {
        return;
    }
    for plugin in &manifest.plugins {
        let mut files = plugin.permissions.files.iter();
        if files.any(|grant| grant.is_per_client()) {
            tracing::warn!(
                "calls to plugin.{} will be refused: it has a folder per client, but clients have no names \
                 here; configure tokens in [serve.auth], or pass --client NAME",
                plugin.name
            );
        }
    }
}

pub(super) fn info(manifest: &Manifest, client: Option<&str>) -> ServerInfo {
    let mut info = ServerInfo::of(&manifest.serve);
    info.client = client.map(Into::into);
    info
}

/// The server, as a reload knows it.
pub(super) struct Served {
    pub(super) server: Server,
    /// The HTTP server, and its address.
    pub(super) http: Option<(HttpServer, SocketAddr)>,
    /// The client that all calls are of.
    pub(super) client: Option<String>,
    /// Whether it is in code mode, whatever the manifest says.
    pub(super) code_mode: bool,
}

impl ReloadTarget for Served {
    const RELOADS_ON_HANGUP: bool = true;

    fn needed_for(&self) -> Use {
        Use::Serve
    }

    fn host(&self) -> ToolHost {
        self.server.host()
    }

    fn check(&self, before: &Manifest, now: &Manifest) -> anyhow::Result<()> {
        let Some((_, address)) = &self.http else {
            return Ok(());
        };
        check_exposure(now, *address)?;
        if now.serve.tls.is_some() != before.serve.tls.is_some() {
            bail!("adding [serve.tls] requires a restart");
        }
        Ok(())
    }

    fn equip(&self, loader: Loader, manifest: &Manifest) -> Loader {
        loader.code_mode(self.code_mode || manifest.serve.code_mode)
    }

    fn take(&mut self, host: ToolHost, manifest: &Manifest) -> anyhow::Result<()> {
        if let Some((http, _)) = &self.http {
            http.reload(&manifest.serve)?;
        }
        self.server
            .replace(host, info(manifest, self.client.as_deref()));
        Ok(())
    }

    fn show(&self, write: &mut dyn FnMut(&mut Out)) {
        write(&mut Out::stderr());
    }
}

pub(super) fn scheme(manifest: &Manifest) -> &'static str {
    match manifest.serve.tls {
        Some(_) => "https",
        None => "http",
    }
}

fn print_config(
    client: ClientApp,
    manifest: &Manifest,
    options: &ServeOptions,
) -> anyhow::Result<Status> {
    let server = match options.http {
        None => {
            let for_whom = options.host.client.as_deref();
            clients::ServerAddress::stdio(&std::env::current_exe()?, &manifest.file, for_whom)?
        }
        Some(address) => {
            if address.port() == 0 {
                bail!("--print-config needs a fixed port: use --http with a port other than 0");
            }
            let serve = &manifest.serve;
            let host = match (address.ip().is_unspecified(), serve.hosts.first()) {
                (true, Some(host)) => host.to_string(),
                (true, None) => format!("localhost:{}", address.port()),
                (false, _) => address.to_string(),
            };
            let needs_token = serve.auth.is_required();
            clients::ServerAddress::http(
                &manifest.file,
                format!("{}://{host}/mcp", scheme(manifest)),
                needs_token,
            )?
        }
    };
    clients::print(client, &server)?;
    Ok(ANSWERED)
}

pub(super) fn check_exposure(manifest: &Manifest, address: SocketAddr) -> anyhow::Result<()> {
    if let Err(exposed) = manifest.serve.check_exposure(address) {
        bail!("not listening on {address}: {exposed}");
    }
    for warning in manifest.serve.warnings(address) {
        tracing::warn!("{warning}");
    }
    Ok(())
}

pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

async fn stdio(
    server: &Server,
    shutdown: CancellationToken,
    grace: Duration,
) -> anyhow::Result<Status> {
    let stop = CancellationToken::new();
    let session = server.serve_stdio(stop.clone());
    tokio::pin!(session);
    tokio::select! {
        ended = &mut session => {
            ended?;
            Ok(ANSWERED)
        }
        () = shutdown.cancelled() => {
            let cancelled = server.drain(grace).await;
            stop.cancel();
            // A client that does not read must not delay shutdown.
            if let Ok(ended) = tokio::time::timeout(FLUSH_TIMEOUT, session).await {
                ended?;
            }
            Ok(ended(cancelled))
        }
    }
}

/// Cancelled calls count as an interrupt.
fn ended(cancelled: usize) -> Status {
    match cancelled {
        0 => ANSWERED,
        1 => {
            say!("1 running call was cancelled");
            INTERRUPTED
        }
        count => {
            say!("{count} running calls were cancelled");
            INTERRUPTED
        }
    }
}
