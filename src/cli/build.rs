//! `toolhost build`: builds the component of a plugin in any language, and loads it once.
//!
//! [`project`] finds what there is to build, a module for each language runs its tools, [`super::child`] bounds them.

mod c;
mod javascript;
pub(super) mod project;
mod python;
mod rust;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use toolhost::inspect::inspect_within;
use toolhost::manifest::PluginConfig;
use toolhost::private_files;
use toolhost::replacement::Replacement;
use toolhost::{CodeCache, Manifest};

use super::child::Ended;
use super::out::{Out, line, say};
use super::sources::Files;
use super::{
    ANSWERED, CommandContext, FAILED, INTERRUPTED, MISSING, Status, folder_of, parse_timeout,
    progress,
};
use project::{Language, Project};
pub(super) use toolchain::BuildError;
use toolchain::{Built, Toolchain};

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct BuildOptions {
    /// Folder of the plugin, or its main file
    #[arg(default_value = ".")]
    path: PathBuf,

    /// Component to write [default: the one of the manifest, else NAME.wasm in the plugin's folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Time after which the build is ended
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_timeout)]
    timeout: Duration,
}

const AFTER_HELP: &str = "\
The plugin's language is known by its files: Cargo.toml (Rust), package.json (JavaScript, TypeScript), pyproject.toml \
or app.py (Python), a Makefile that sets PLUGIN (C). Building runs the plugin's own code, without a sandbox: build \
scripts, the top level of a module, recipes.

What builds install goes into ~/.cache/toolhost/tools, or the folder that TOOLHOST_TOOLS names, and nowhere else.

Exit status: 0 built, 1 the build failed, 2 wrong usage, 6 something that the build needs is not installed, \
130 interrupted

Examples:
  toolhost build                  the plugin of this folder
  toolhost build hello            the plugin in the folder hello
  toolhost build tools/weather.py --output plugins/weather.wasm";

pub(super) async fn run(options: BuildOptions, session: CommandContext) -> anyhow::Result<Status> {
    let project = Project::find(&options.path)?;
    let output = match &options.output {
        Some(output) => output.clone(),
        None => {
            let manifest = session.find_manifest().ok().map(|found| found.manifest);
            output_of(&project, manifest.as_ref())
        }
    };
    let stop = session.interrupts.stop_or_hangup_signal()?;
    let started = Instant::now();
    let built = tokio::select! {
        built = build(&project, &output, options.timeout, &session.code_cache) => built,
        () = stop.cancelled() => return Ok(INTERRUPTED),
    };
    let built = match built {
        Ok(built) => built,
        Err(error) => return error.report(&project),
    };
    let mut out = Out::stdout();
    line!(
        out,
        "built {} in {}: {}",
        output.display(),
        seconds(started.elapsed()),
        kilobytes(built.size)
    )?;
    line!(out, "tools: {}", built.tools.join(", "))?;
    Ok(ANSWERED)
}

/// A component that was built, and loads.
pub(super) struct BuiltPlugin {
    size: u64,
    tools: Vec<String>,
}

/// Where a project's component goes: to where the manifest has it, if it is beside the sources.
pub(super) fn output_of(project: &Project, manifest: Option<&Manifest>) -> PathBuf {
    let folder = project.folder.canonicalize().ok();
    let plugins = manifest.into_iter().flat_map(|manifest| &manifest.plugins);
    let mut listed = plugins.filter_map(PluginConfig::file).filter(|file| {
        let beside = folder_of(file).canonicalize().ok();
        beside.is_some() && beside == folder
    });
    match (listed.next(), listed.next()) {
        (Some(only), None) => only.to_owned(),
        // The manifest's folder may have several plugins in it.
        _ => project.folder.join(format!("{}.wasm", project.name())),
    }
}

/// Builds a project's component, and loads it once.
///
/// Dropping the future ends the build and its processes.
pub(super) async fn build(
    project: &Project,
    output: &Path,
    timeout: Duration,
    cache: &CodeCache,
) -> Built<BuiltPlugin> {
    let bar = progress::spinner(&format!("Building {}", project.name()));
    let show = |line: &str| progress::show_message(&bar.0, line);
    let absolute = std::path::absolute(output);
    let output = absolute.map_err(|error| BuildError::failed(error.to_string()))?;
    let tools = toolchain::tools_folder().ok_or_else(|| {
        BuildError::failed(
            "no home folder to install build tools in: set TOOLHOST_TOOLS to a folder",
        )
    })?;
    fs::create_dir_all(&tools).map_err(|error| {
        BuildError::failed(format!("cannot create {}: {error}", tools.display()))
    })?;
    // What is in it is run.
    private_files::check_folder(&tools).map_err(|why| {
        let tools = tools.display();
        BuildError::failed(format!(
            "cannot install build tools in {tools}: {why}; set TOOLHOST_TOOLS to a folder of your own"
        ))
    })?;
    let toolchain = Toolchain {
        tools,
        timeout,
        deadline: Instant::now() + timeout,
        progress: &show,
    };
    match project.language {
        Language::Rust => rust::build(&toolchain, project, &output).await?,
        Language::JavaScript => javascript::build(&toolchain, project, &output).await?,
        Language::Python => python::build(&toolchain, project, &output).await?,
        Language::C => c::build(&toolchain, project, &output).await?,
    }
    show("loading the component");
    // The user has waited for a compiler before: this one gets the rest of the time.
    let left = toolchain.deadline.saturating_duration_since(Instant::now());
    let loaded = inspect_within(&output, cache.clone(), left);
    let loaded = tokio::time::timeout_at(toolchain.deadline, loaded).await;
    let loaded = loaded.map_err(|_| BuildError::TimedOut(timeout))?;
    let loaded = loaded.map_err(|error| BuildError::failed(error.to_string()))?;
    let tools = loaded.tools.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        BuildError::Failed {
            said: String::new(),
            why: format!("the component cannot be loaded: {}", problems.join("; ")),
        }
    })?;
    Ok(BuiltPlugin {
        size: loaded.size,
        tools: tools.into_iter().map(|tool| tool.name).collect(),
    })
}

impl BuildError {
    /// Prints what went wrong.
    pub(super) fn report(&self, project: &Project) -> anyhow::Result<Status> {
        let name = project.name();
        Ok(match self {
            BuildError::Missing(what) => {
                say!("error: cannot build {name}: {what}");
                MISSING
            }
            BuildError::TimedOut(limit) => {
                say!(
                    "error: cannot build {name}: timed out after {}; --timeout sets another limit",
                    humantime::format_duration(*limit)
                );
                FAILED
            }
            BuildError::Failed { said, why } => {
                if !said.trim().is_empty() {
                    let _ = Out::stderr().text(&format!("{}\n", said.trim_end()));
                }
                match &**why {
                    "" => say!("error: cannot build {name}: see above"),
                    why => say!("error: cannot build {name}: {why}"),
                }
                FAILED
            }
        })
    }
}

impl BuiltPlugin {
    /// It as a line shows it.
    pub(super) fn summary(&self) -> String {
        format!("{}, tools: {}", kilobytes(self.size), self.tools.join(", "))
    }
}

/// Writes a file whole: a host that watches it sees the old component or the new one.
fn write(output: &Path, bytes: &[u8]) -> Built<()> {
    let failed = |error: std::io::Error| {
        BuildError::failed(format!("cannot write {}: {error}", output.display()))
    };
    fs::create_dir_all(folder_of(output)).map_err(failed)?;
    let written = Replacement::write_over_link(output, bytes);
    written.and_then(Replacement::put).map_err(failed)
}

/// The folder of an SDK that the project does not have itself.
fn unpacked(toolchain: &Toolchain<'_>, sdk: &Files, name: &str) -> Built<PathBuf> {
    let folder = sdk.among(&toolchain.tools, name);
    folder.map_err(|error| {
        let tools = toolchain.tools.display();
        BuildError::failed(format!("cannot write the SDK to {tools}: {error}"))
    })
}

/// How the build of an SDK ended, which explains failures itself.
fn sdk_result(ended: &Ended) -> Built<()> {
    if ended.status.success() {
        return Ok(());
    }
    let said = ended.stderr.lines();
    let said: Vec<&str> = said
        .filter(|line| !line.starts_with("installing "))
        .collect();
    let said = said.join("\n");
    let said = said.strip_prefix("error: ").unwrap_or(&said).trim();
    Err(match (ended.status.code(), said.contains('\n')) {
        (Some(1), false) if !said.is_empty() => BuildError::failed(said),
        (Some(1), true) => BuildError::Failed {
            said: said.to_owned(),
            why: String::new(),
        },
        _ => BuildError::Failed {
            said: said.to_owned(),
            why: format!("the build ended with {}", ended.status),
        },
    })
}

pub(super) fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn kilobytes(bytes: u64) -> String {
    match bytes {
        ..1_000_000 => format!("{} KB", bytes.div_ceil(1000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
