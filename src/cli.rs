//! The commands, one file each, and what they share: options, the manifest, loading.

mod agent;
mod ask;
mod build;
mod builtin;
mod call;
mod check;
mod child;
mod clients;
mod dev;
mod dry_run;
mod generate;
mod grants;
mod import;
#[cfg(unix)]
pub(crate) mod inherited_descriptors;
mod init;
mod input;
mod inspect;
mod interrupt;
mod list;
mod log_queue;
mod new;
pub(crate) mod out;
mod pin;
mod pipe;
mod progress;
mod reload;
mod result;
mod run;
mod serve;
mod sources;
mod terminal;
mod timeline;
mod token;
mod trust;
mod untrusted;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use clap::builder::{
    NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser,
};
use clap::{Args, Parser, Subcommand};
use interrupt::Interrupts;
use out::say;
use toolhost::limits::MAX_TIMEOUT;
use toolhost::manifest::{AgentConfig, FILE_NAME, Manifest, Use};
use toolhost::wire::Format;
use toolhost::{CodeCache, Loader, Servers, ToolHost};
use tracing_subscriber::EnvFilter;
use trust::FoundManifest;
use untrusted::Untrusted;

/// The exit status of the process.
pub(crate) type Status = u8;

/// The exit status for an error.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    match error.is::<Untrusted>() {
        true => USAGE,
        false => FAILED,
    }
}

pub(crate) const ANSWERED: Status = 0;
const FAILED: Status = 1;
pub(crate) const USAGE: Status = 2;
pub(crate) const ERROR_RESULT: Status = 3;
pub(crate) const MAX_ITERATIONS: Status = 4;
/// A single call that was made by hand failed.
pub(crate) const CALL_FAILED: Status = 5;
/// Not everything could be examined.
pub(crate) const NOT_ALL_KNOWN: Status = 5;
/// Something that a build needs is not installed.
const MISSING: Status = 6;
pub(crate) const INTERRUPTED: Status = 130;

/// Run a language model's tool calls in parallel, each in a fresh WebAssembly sandbox.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// Manifest to use [default: toolhost.toml here or in the nearest parent folder]
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "TOOLHOST_MANIFEST",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    manifest: Option<PathBuf>,

    /// Folder to cache compiled plugins in, or `off` [default: wasmtime's cache folder]
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "TOOLHOST_CODE_CACHE",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    code_cache: Option<PathBuf>,

    /// Log more to stderr: -v for denials, -vv for internals (or set TOOLHOST_LOG)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

/// The heading of global options in a command's help.
const GLOBAL: &str = "Global options";

const AFTER_HELP: &str = "\
Exit status:
  0    all calls answered (an error result is an answer)
  1    failure
  2    wrong usage, or a manifest that is not trusted
  3    a result is an error (run --fail-on-error)
  4    out of iterations (agent)
  5    the call failed (call), or tools of MCP servers are unknown (list, check, run --dry-run)
  6    something that a build needs is not installed (build)
  130  interrupted

Examples:
  toolhost init                           write a first manifest
  toolhost run response.json              print the tool messages that answer a response
  curl -sN … | toolhost run --sse         the same for a stream, starting calls while it arrives
  toolhost call calculate '{\"expression\": \"2 ft to cm\"}'
  toolhost agent \"What is 2 ft in cm?\"    ask a model, running the tools it calls
  toolhost serve --http 127.0.0.1:8080    serve the tools to MCP clients, at /mcp
  toolhost list --format anthropic        print the tools for an API request";

#[derive(Subcommand)]
enum Command {
    /// Write a first manifest with the plugins that are found
    Init(init::InitOptions),
    /// Write a first plugin, in Rust, JavaScript, TypeScript, Python, C or WIT
    New(new::NewOptions),
    /// Build the component of a plugin, whatever its language
    Build(build::BuildOptions),
    /// Build plugins at every change, reload them, and call a tool again
    Dev(dev::DevOptions),
    /// Run the tool calls of a model response and print one result for each
    Run(run::RunOptions),
    /// Call one tool and print its result
    Call(call::CallCommand),
    /// Ask a model, running the tools it calls until it answers
    Agent(agent::AgentOptions),
    /// Serve the tools to MCP clients over stdio or HTTP
    Serve(serve::ServeOptions),
    /// Serve a program in another language, which starts this, over stdin and stdout
    Pipe,
    /// List the tools
    List(list::ListOptions),
    /// Show a plugin's imports, exports, tools and permissions
    Inspect(inspect::InspectOptions),
    /// Check the manifest and load every plugin without calling a tool
    Check(check::CheckOptions),
    /// Convert the MCP servers of a client's configuration to manifest tables
    Import(import::ImportOptions),
    /// Trust the manifest found here with the programs and access it asks for
    Trust(trust::TrustOptions),
    /// Create tokens for clients of the server
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Generate shell completions, man pages, or the schema of `pipe`
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
}

/// Options of the commands that call tools.
#[derive(Args, Clone)]
struct HostOptions {
    /// Maximum number of calls to run at once [default: the manifest's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_concurrency: Option<u16>,

    /// Deadline of each call, such as 10s [default: the manifest's]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    timeout: Option<Duration>,

    /// Call as this client: its `${client}` folders, its name in the audit log
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    client: Option<String>,
}

impl HostOptions {
    /// The options of calls.
    fn call_options(&self) -> toolhost::CallOptions {
        match &self.client {
            Some(client) => toolhost::CallOptions::new().client(&**client),
            None => toolhost::CallOptions::new(),
        }
    }

    fn apply(&self, manifest: &mut Manifest) {
        if let Some(count) = self.max_concurrency {
            manifest.host.max_concurrency = count.into();
        }
        if let Some(timeout) = self.timeout {
            manifest.override_timeout(timeout);
        }
    }
}

/// Of the commands that look at what there is.
#[derive(Args)]
struct StartServers {
    /// Start the MCP servers to list their tools, instead of using the last list
    #[arg(long)]
    start_servers: bool,
}

impl StartServers {
    /// The manifest to examine, and whether its limits were lowered for that; starting its servers
    /// requires trust.
    fn manifest_of(&self, session: &CommandContext) -> anyhow::Result<(FoundManifest, bool)> {
        let mut found = session.find_manifest_or_builtin()?;
        if self.start_servers {
            found = found.require(Use::Tools)?;
        }
        let is_lowered = found.lower_limits();
        Ok((found, is_lowered))
    }
}

/// Reports MCP servers that were not asked. Returns the exit status of an examination.
#[must_use]
fn warn_of_unasked(host: &ToolHost) -> Status {
    let mut status = ANSWERED;
    for (server, not_started) in host.not_started() {
        let name = &server.name;
        match not_started.tools_from {
            _ if not_started.why.is_some() => {
                // The reason was reported when it was tried.
                status = NOT_ALL_KNOWN;
                say!("warning: mcp.{name} did not start; its tools are missing");
            }
            Some(when) => say!(
                "note: mcp.{name} is not started; its tools are as of {}: pass --start-servers to ask it",
                at(when)
            ),
            None => {
                status = NOT_ALL_KNOWN;
                say!(
                    "warning: mcp.{name} is not started and its tools are unknown: pass --start-servers to ask \
                     it"
                );
            }
        }
    }
    status
}

fn at(when: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(when)
}

/// Whether a character may be in the name of a table.
fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    parser_of(Format::ALL)
}

/// Parses the name of a model API's format.
fn api_parser() -> impl TypedValueParser<Value = Format> {
    parser_of(AgentConfig::providers())
}

fn parser_of(formats: impl IntoIterator<Item = Format>) -> impl TypedValueParser<Value = Format> {
    let names = formats.into_iter().map(|format| match format {
        Format::OpenaiChat => PossibleValue::new(format.name()).alias("openai"),
        format => PossibleValue::new(format.name()),
    });
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Format>())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() || duration > MAX_TIMEOUT => {
            Err("must be greater than zero and at most a year".to_owned())
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; use a duration such as 30s or 500ms")),
    }
}

/// What all commands share.
pub(crate) struct CommandContext {
    manifest: Option<PathBuf>,
    code_cache: CodeCache,
    interrupts: Interrupts,
}

pub(crate) fn run(options: Options) -> anyhow::Result<Status> {
    start_log(options.verbose);
    out::panics_are("cannot start threads: check `ulimit -u` and the container's pids limit");
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    out::watch_panics();
    let in_runtime = runtime.enter();
    let interrupts = Interrupts::listen().context("cannot listen for interrupts")?;
    #[cfg(unix)]
    outlive_file_size_limit().context("cannot handle SIGXFSZ")?;
    drop(in_runtime);
    builtin::register();
    let context = CommandContext {
        manifest: options.manifest,
        code_cache: match options.code_cache {
            None => CodeCache::User,
            Some(folder) if folder.as_os_str() == "off" => CodeCache::Off,
            Some(folder) => CodeCache::Folder(std::path::absolute(folder)?),
        },
        interrupts,
    };
    let status = runtime.block_on(async {
        match options.command {
            Command::Init(options) => init::run(&options, &context).await,
            Command::Import(options) => import::run(&options, &context),
            Command::New(options) => new::run(&options, &context),
            Command::Build(options) => build::run(options, context).await,
            Command::Dev(options) => dev::run(options, context).await,
            Command::Run(options) => run::run(options, context).await,
            Command::Call(options) => call::run(options, context).await,
            Command::Agent(options) => agent::run(options, context).await,
            Command::Serve(options) => serve::run(options, context).await,
            Command::Pipe => pipe::run(context).await,
            Command::List(options) => list::run(options, context).await,
            Command::Inspect(options) => inspect::run(options, context).await,
            Command::Check(options) => check::run(options, context).await,
            Command::Trust(options) => trust::run(&options, &context),
            Command::Token(command) => token::run(&command),
            Command::Generate(command) => generate::run(&command),
        }
    });
    // A guest's file access may still block a thread; there is nothing left to wait for.
    runtime.shutdown_background();
    status
}

/// Under a file size limit (`ulimit -f`), a write beyond it fails instead of ending the process.
/// The signal is handled, not ignored, as commands of MCP servers would inherit that.
#[cfg(unix)]
fn outlive_file_size_limit() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // Handled from now on, whether or not anyone listens.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

fn start_log(verbose: u8) {
    let level = match verbose {
        // rmcp's messages about peers quote them, and a client's mistake concerns nobody else. It
        // logs an answer that its client no longer waits for as an error.
        0 => "warn,rmcp=error,rmcp::service=off",
        1 => "toolhost=info,rmcp=error,rmcp::service=off,warn",
        _ => "toolhost=debug,rmcp=error,rmcp::service=off,info",
    };
    // Unreachable servers are reported in our own words.
    let level =
        format!("{level},rmcp::transport::worker=off,rmcp::transport::streamable_http_client=off");
    let filter = EnvFilter::try_from_env("TOOLHOST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| out::LogStream)
        // Colours are added elsewhere.
        .with_ansi(false)
        .without_time()
        .init();
}

/// Checks that a file which its user has not named can be written in its place.
fn check_no_link(file: &Path) -> anyhow::Result<()> {
    if file.is_symlink() {
        bail!(
            "{} is a symlink, which could lead to any file, so it is not written",
            file.display()
        );
    }
    Ok(())
}

impl CommandContext {
    /// The manifest's file: the one that was named, or the one found in the folder.
    fn manifest_file(&self) -> anyhow::Result<PathBuf> {
        match &self.manifest {
            Some(file) => Ok(file.clone()),
            None => find_manifest(&std::env::current_dir()?),
        }
    }

    /// Checks that the manifest may be written: a link is followed only if its user named it.
    fn check_written(&self, file: &Path) -> anyhow::Result<()> {
        match self.manifest {
            Some(_) => Ok(()),
            None => check_no_link(file)
                .map_err(|why| anyhow!("{why}: pass --manifest to write to its target")),
        }
    }

    /// The manifest, trusted or not, for examination.
    fn find_manifest(&self) -> anyhow::Result<FoundManifest> {
        FoundManifest::read(&self.manifest_file()?, self.manifest.is_some())
    }

    /// The same; where there is no manifest, that of the built-in plugins which need no permission.
    fn find_manifest_or_builtin(&self) -> anyhow::Result<FoundManifest> {
        let missing = match self.manifest_file() {
            Ok(file) => return FoundManifest::read(&file, self.manifest.is_some()),
            Err(error) => error,
        };
        let Some(manifest) = builtin::manifest() else {
            return Err(missing);
        };
        say!(
            "note: there is no {FILE_NAME} here: using the built-in plugins that need no permission"
        );
        Ok(FoundManifest::without_demands(manifest))
    }

    /// The manifest's file in the trust store, if trust is needed.
    fn trust_file(&self) -> Option<PathBuf> {
        match self.manifest {
            Some(_) => None,
            None => trust::file_of(&self.manifest_file().ok()?),
        }
    }

    /// The manifest with the options applied, if it is trusted with its demands.
    fn effective_manifest(
        &self,
        options: &HostOptions,
        needed_for: Use,
    ) -> anyhow::Result<Manifest> {
        let mut manifest = self.find_manifest_or_builtin()?.trusted_for(needed_for)?;
        options.apply(&mut manifest);
        Ok(manifest)
    }

    async fn load(self, options: &HostOptions) -> anyhow::Result<(ToolHost, Manifest)> {
        let manifest = self.manifest_of_one(options)?;
        let host = self.load_manifest(manifest.clone()).await?;
        Ok((host, manifest))
    }

    /// As [`load`](CommandContext::load), deferring what only some calls need: see
    /// [`ToolHost::ready_for`].
    async fn load_lazily(self, options: &HostOptions) -> anyhow::Result<(ToolHost, Manifest)> {
        let manifest = self.manifest_of_one(options)?;
        let host = self.load_by(Loader::new(manifest.clone()).lazy()).await?;
        Ok((host, manifest))
    }

    /// The manifest for a command whose calls all belong to one client: the queue reserves no places
    /// for other clients.
    fn manifest_of_one(&self, options: &HostOptions) -> anyhow::Result<Manifest> {
        let mut manifest = self.effective_manifest(options, Use::Tools)?;
        manifest.host.max_queue_per_client = manifest.host.max_queue;
        Ok(manifest)
    }

    async fn load_manifest(&self, manifest: Manifest) -> anyhow::Result<ToolHost> {
        self.load_by(Loader::new(manifest)).await
    }

    /// A host for examination only.
    async fn survey(&self, manifest: Manifest, start: &StartServers) -> anyhow::Result<ToolHost> {
        let servers = match start.start_servers {
            true => Servers::Start,
            false => Servers::Recall,
        };
        self.load_by(Loader::new(manifest).survey(servers)).await
    }

    async fn load_by(&self, loader: Loader) -> anyhow::Result<ToolHost> {
        let bar = progress::loading();
        let loader = loader.code_cache(self.code_cache.clone());
        let host = loader
            .on_progress(move |event| bar.event(event))
            .load()
            .await?;
        // Only from now on do guests run that could output them.
        out::add_mask(host.mask());
        Ok(host)
    }
}

/// The manifest of a folder: in it or in the nearest parent that has one.
fn manifest_above(start: &Path) -> Option<PathBuf> {
    let folders = start.ancestors();
    let mut files = folders.map(|folder| folder.join(FILE_NAME));
    files.find(|file| file.is_file())
}

/// The folder of a file: the working folder if its path is only a name.
fn folder_of(file: &Path) -> &Path {
    let parent = file.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn find_manifest(start: &Path) -> anyhow::Result<PathBuf> {
    match manifest_above(start) {
        // As short as possible.
        Some(file) if file.parent() == Some(start) => Ok(PathBuf::from(FILE_NAME)),
        Some(file) => Ok(file),
        None => bail!(
            "no {FILE_NAME} in {} or any parent folder: run `toolhost init` to create one, or pass --manifest",
            start.display()
        ),
    }
}
