//! `toolhost pipe`: serves a program in another language, which has started this one, over stdin and stdout.

mod inline_manifest;
mod stdio;

use std::io::IsTerminal;

use anyhow::bail;
use toolhost::manifest::PluginConfig;
use toolhost::manifest::Use;
use toolhost::{BoxFuture, LoadError, Loader, Manifest, ToolHost};
use toolhost_core::builtin;
use toolhost_pipe::protocol::{ErrorCode, ManifestSource};
use toolhost_pipe::{HostSource, LoadFailure, PipeError};

use super::out::{self, say};
use super::trust::FoundManifest;
use super::{ANSWERED, CommandContext, FAILED, Status, USAGE, Untrusted, log_queue};

pub(super) async fn run(session: CommandContext) -> anyhow::Result<Status> {
    if std::io::stdin().is_terminal() {
        say!(
            "error: `toolhost pipe` is started by a program, and stdin is a terminal; see docs/pipe.md for the protocol"
        );
        return Ok(USAGE);
    }
    let stop = session.interrupts.stop_signal()?;
    out::queue_log()?;
    let source = CommandSource { session };
    let served = toolhost_pipe::serve(source, stdio::input()?, stdio::output()?, stop).await;
    // Remaining tasks may hold a host, and are not waited for.
    toolhost::kill_mcp_servers();
    log_queue::flush();
    match served {
        Ok(()) => Ok(ANSWERED),
        // The program was told, in the same words.
        Err(PipeError::Load { .. } | PipeError::Protocol { .. }) => Ok(FAILED),
        Err(error) => Err(error.into()),
    }
}

/// Loads by the rules of the other commands: a manifest that is found must be trusted, one that is named is.
struct CommandSource {
    session: CommandContext,
}

impl CommandSource {
    fn read(
        &self,
        source: Option<&ManifestSource>,
        plugins: &[String],
    ) -> anyhow::Result<Manifest> {
        let mut manifest = self.read_manifest(source)?;
        for name in plugins {
            if manifest.plugins.iter().any(|known| known.name == *name) {
                continue;
            }
            let plugin = PluginConfig::new(name, builtin::path_of(name));
            let plugin = plugin.with_limits(manifest.host.limits.clone());
            manifest.plugins.push(plugin);
        }
        manifest
            .plugins
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok(manifest)
    }

    fn read_manifest(&self, source: Option<&ManifestSource>) -> anyhow::Result<Manifest> {
        let found = match source {
            None => self.session.find_manifest_or_builtin()?,
            Some(ManifestSource::File(file)) => FoundManifest::read(file, true)?,
            Some(ManifestSource::Inline { tables, folder }) => {
                return inline_manifest::parse(tables, folder.as_deref());
            }
            Some(_) => bail!("the manifest is given in a way that this command does not know"),
        };
        found.trusted_for(Use::Tools)
    }
}

impl HostSource for CommandSource {
    fn manifest(
        &self,
        source: Option<&ManifestSource>,
        plugins: &[String],
    ) -> Result<Manifest, LoadFailure> {
        let manifest = self.read(source, plugins);
        let mut manifest = manifest.map_err(|error| failure(&error))?;
        // A program is one client, unless its calls name others.
        let host = &mut manifest.host;
        host.max_queue_per_client = host.max_queue_per_client.or(host.max_queue);
        Ok(manifest)
    }

    fn load(&self, loader: Loader) -> BoxFuture<'_, Result<ToolHost, LoadFailure>> {
        Box::pin(async {
            let loaded = self.session.load_by(loader).await;
            loaded.map_err(|error| failure(&error))
        })
    }
}

fn failure(error: &anyhow::Error) -> LoadFailure {
    let code = match error.is::<Untrusted>() {
        true => ErrorCode::Untrusted,
        false => ErrorCode::InvalidManifest,
    };
    // Its problems are lines of their own.
    let message = match error.downcast_ref::<LoadError>() {
        Some(LoadError::Invalid(problems)) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        }
        _ => format!("{error:#}"),
    };
    let message = out::masked(message);
    LoadFailure::new(code, message)
}
