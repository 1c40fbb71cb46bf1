//! `toolhost dev`: builds plugins when their sources change, reloads them, and calls a tool again.

mod sources;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toolhost::manifest::{PluginConfig, Use};
use toolhost::mcp::Server;
use toolhost::{Manifest, ToolCall, ToolHost};

use super::build::project::Project;
use super::build::{build, output_of, seconds};
use super::call::run_shown;
use super::out::{Out, say};
use super::reload::{FileSnapshot, POLL_INTERVAL, Reloader};
use super::serve::{Served, check_exposure, info, listen, parse_address, scheme};
use super::{ANSWERED, CommandContext, HostOptions, Status, folder_of, parse_timeout};
use sources::Sources;

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DevOptions {
    /// Folders of the plugins to build [default: this one; with --manifest, all whose sources are
    /// beside their component]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Call to run after each build, such as 'greet {"name": "Ada"}'
    #[arg(long, value_name = "TOOL ARGUMENTS", value_parser = parse_call)]
    call: Option<Call>,

    /// Also serve the tools to MCP clients on this address, as `serve --http` does
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    http: Option<SocketAddr>,

    /// Time after which a build is ended
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_timeout)]
    build_timeout: Duration,

    #[command(flatten)]
    host: HostOptions,
}

const AFTER_HELP: &str = "\
Building runs the plugins' own code, without a sandbox: see `toolhost build --help`. The tools are reloaded without \
dropping a call, also when the manifest changes; what cannot be built or loaded leaves the previous plugin in use. \
Ctrl-C ends it.

Examples:
  toolhost dev --call 'greet {\"name\": \"Ada\"}'
  toolhost dev hello --http 8080";

/// A call to be run again and again.
#[derive(Clone)]
struct Call {
    tool: String,
    arguments: String,
}

fn parse_call(text: &str) -> Result<Call, String> {
    let text = text.trim();
    let (tool, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, "{}"));
    if tool.is_empty() {
        return Err(
            "use a tool's name and its arguments, such as 'greet {\"name\": \"Ada\"}'".to_owned(),
        );
    }
    Ok(Call {
        tool: tool.to_owned(),
        arguments: arguments.trim().to_owned(),
    })
}

/// A plugin that is built here.
struct Watched {
    project: Project,
    output: PathBuf,
    /// The sources as they were when the last build began.
    built_from: Option<Sources>,
    /// The sources when they were last looked at.
    seen: Sources,
    is_built: bool,
}

pub(super) async fn run(options: DevOptions, session: CommandContext) -> anyhow::Result<Status> {
    let stop = session.interrupts.stop_or_hangup_signal()?;
    let mut serving = None;
    let ended = tokio::select! {
        ended = develop(options, session, &stop, &mut serving) => ended.map(|()| ANSWERED),
        () = stop.cancelled() => Ok(ANSWERED),
    };
    if let Some(serving) = serving {
        // Running calls get their time.
        stop.cancel();
        let _ = serving.await;
    }
    toolhost::kill_mcp_servers();
    ended
}

async fn develop(
    options: DevOptions,
    session: CommandContext,
    stop: &CancellationToken,
    serving: &mut Option<JoinHandle<()>>,
) -> anyhow::Result<()> {
    // There is nothing to develop without one.
    session.manifest_file()?;
    let manifest = session.effective_manifest(&options.host, Use::Serve)?;
    let mut watched = watched(&options.paths, &manifest, session.manifest.is_some())?;
    let listener = match options.http {
        Some(address) => {
            check_exposure(&manifest, address)?;
            Some(listen(address).await?)
        }
        None => None,
    };
    for plugin in &watched {
        say!(
            "watching {}: {}",
            plugin.project.name(),
            plugin.project.folder.display()
        );
    }
    // A manifest can only be loaded once all of its plugins are there.
    let (manifest, loaded, host) = loop {
        build_changed(&mut watched, &options, &session).await;
        if watched.iter().any(|plugin| !plugin.output.exists()) {
            // What is wrong with its sources has been reported.
            wait_for_change(&mut watched, || false).await;
            continue;
        }
        match first_load(&options, &session).await {
            Ok(first) => break first,
            Err((error, files)) => {
                let _ = Out::stderr().error(&error);
                wait_for_change(&mut watched, || files.again() != files).await;
            }
        }
    };
    let server = Server::new(host, info(&manifest, options.host.client.as_deref()));
    let mut target = Served {
        server: server.clone(),
        http: None,
        code_mode: false,
        client: options.host.client.clone(),
    };
    if let Some(listener) = listener {
        let http = server.http(&manifest.serve)?;
        let address = listener.local_addr()?;
        say!("listening on {}://{address}/mcp", scheme(&manifest));
        target.http = Some((http.clone(), address));
        let (stop, grace) = (stop.clone(), manifest.serve.grace);
        *serving = Some(tokio::spawn(async move {
            if let Err(error) = http.serve(listener, stop, grace).await {
                let _ = Out::stderr().error(&error.into());
            }
        }));
    }
    let call_options = options.host.call_options();
    let mut reloader = Reloader {
        session,
        options: options.host.clone(),
        target,
        manifest,
        loaded,
    };
    loop {
        if let Some(call) = &options.call
            && watched.iter().all(|plugin| plugin.is_built)
        {
            run_call(call, &server.host(), &call_options, stop).await;
        }
        loop {
            wait_for_change(&mut watched, || reloader.is_outdated()).await;
            build_changed(&mut watched, &options, &reloader.session).await;
            // A build that fails leaves the component as it was.
            if !reloader.is_outdated() || reloader.load().await {
                break;
            }
        }
    }
}

/// The plugins to build. A manifest that was only found may be a stranger's, and does not say what code runs here.
fn watched(paths: &[PathBuf], manifest: &Manifest, is_named: bool) -> anyhow::Result<Vec<Watched>> {
    let here = [PathBuf::from(".")];
    let paths = match paths {
        [] if !is_named && Project::of_folder(&here[0]).is_some() => &here,
        [] if !is_named => bail!(
            "this folder is no plugin: name the folders of the plugins to build, or the manifest with -m"
        ),
        paths => paths,
    };
    let mut watched: Vec<Watched> = Vec::new();
    let mut add = |project: Project, output: PathBuf| {
        if watched.iter().all(|it| it.output != output) {
            let seen = Sources::of(&project.folder);
            watched.push(Watched {
                project,
                output,
                built_from: None,
                seen,
                is_built: false,
            });
        }
    };
    for path in paths {
        let project = Project::find(path)?;
        let output = output_of(&project, Some(manifest));
        let is_listed = manifest
            .plugins
            .iter()
            .any(|plugin| is_same(&plugin.path, &output));
        if !is_listed {
            bail!(
                "{} does not list the component of {}: add `[plugin.{}]` with the path of {}",
                manifest.file.display(),
                path.display(),
                project.name(),
                output.display()
            );
        }
        add(project, output);
    }
    if paths.is_empty() {
        for file in manifest.plugins.iter().filter_map(PluginConfig::file) {
            if let Some(project) = Project::of_folder(folder_of(file)) {
                add(project, file.to_owned());
            }
        }
        if watched.is_empty() {
            bail!(
                "no plugin of {} has its sources beside its component: name the folder of one, or write one with \
                 `toolhost new`",
                manifest.file.display()
            );
        }
    }
    Ok(watched)
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (std::path::absolute(a), std::path::absolute(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Builds all plugins whose sources are not those of their last build, until none is left.
async fn build_changed(watched: &mut [Watched], options: &DevOptions, session: &CommandContext) {
    loop {
        let changed = watched.iter_mut().find_map(|plugin| {
            plugin.seen = Sources::of(&plugin.project.folder);
            (plugin.built_from.as_ref() != Some(&plugin.seen)).then_some(plugin)
        });
        let Some(plugin) = changed else {
            return;
        };
        // Sources that change during the build are built again after it.
        plugin.built_from = Some(plugin.seen.clone());
        let started = Instant::now();
        let (project, output) = (&plugin.project, &plugin.output);
        let built = build(project, output, options.build_timeout, &session.code_cache).await;
        plugin.is_built = built.is_ok();
        match built {
            Ok(built) => say!(
                "built {} in {}: {}",
                project.name(),
                seconds(started.elapsed()),
                built.summary()
            ),
            Err(error) => {
                let _ = error.report(project);
            }
        }
    }
}

/// The first host, or why there is none, and the files to fix.
async fn first_load(
    options: &DevOptions,
    session: &CommandContext,
) -> Result<(Manifest, FileSnapshot, ToolHost), (anyhow::Error, FileSnapshot)> {
    let nothing = || {
        let mut manifest = Manifest::default();
        manifest.file = session.manifest_file().unwrap_or_default();
        FileSnapshot::of(&manifest, session.trust_file())
    };
    let before = nothing();
    let manifest = session.effective_manifest(&options.host, Use::Serve);
    let manifest = manifest.map_err(|error| (error, before))?;
    let files = FileSnapshot::of(&manifest, session.trust_file());
    match session
        .load_by(toolhost::Loader::new(manifest.clone()))
        .await
    {
        Ok(host) => Ok((manifest, files, host)),
        Err(error) => Err((error, files)),
    }
}

/// Waits until sources, or other files, have changed and are no longer being written.
async fn wait_for_change(watched: &mut [Watched], others: impl Fn() -> bool) {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let (mut is_changed, mut is_settled) = (others(), true);
        for plugin in &mut *watched {
            let now = Sources::of(&plugin.project.folder);
            is_changed |= plugin.built_from.as_ref() != Some(&now);
            is_settled &= plugin.seen == now;
            plugin.seen = now;
        }
        if is_changed && is_settled {
            return;
        }
    }
}

/// Runs the call; its result goes to stdout.
async fn run_call(
    call: &Call,
    host: &ToolHost,
    options: &toolhost::CallOptions,
    stop: &CancellationToken,
) {
    say!("calling {} {}", call.tool, call.arguments);
    let mut tool_call = ToolCall::default();
    tool_call.name.clone_from(&call.tool);
    tool_call.arguments.clone_from(&call.arguments);
    let result = run_shown(host, tool_call, options.clone(), stop).await;
    let shown = Out::stdout().text(&format!("{}\n", result.to_text()));
    if let Err(error) = shown.context("cannot print the result") {
        let _ = Out::stderr().error(&error);
    }
}
