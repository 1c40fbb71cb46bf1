//! `toolhost inspect`: shows what a plugin is before it is trusted, and its grants if it is in the
//! manifest.

use std::path::{Path, PathBuf};

use toolhost::inspect::{Inspection, inspect};
use toolhost::manifest::{Demand, PluginConfig};
use toolhost::permissions::HostFile;
use toolhost_core::builtin;

use super::grants::{denied, granted};
use super::list::first_line;
use super::out::{Out, line, say};
use super::{ANSWERED, CommandContext, FoundManifest, Status};

#[derive(clap::Args)]
pub(super) struct InspectOptions {
    /// Component file, or the plugin's name in the manifest
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
}

/// The exit status if the component cannot be a plugin.
const NOT_A_PLUGIN: Status = 1;

pub(super) async fn run(
    options: InspectOptions,
    session: CommandContext,
) -> anyhow::Result<Status> {
    let listed = find(&options.plugin, &session)?;
    let path = match &listed {
        Some(listed) => &listed.plugin.path,
        None => &options.plugin,
    };
    let inspection = inspect(path, session.code_cache).await?;
    print(&inspection, &listed.unwrap_or_default())?;
    match inspection.tools {
        Ok(_) => Ok(ANSWERED),
        Err(problems) => {
            for problem in problems {
                say!("error: {problem}");
            }
            Ok(NOT_A_PLUGIN)
        }
    }
}

/// A plugin of the manifest.
#[derive(Default)]
struct ManifestPlugin {
    plugin: PluginConfig,
    /// The files of the host.
    own: Vec<HostFile>,
    /// Its grants that have not been allowed.
    untrusted: Vec<Demand>,
}

/// The plugin of that path or name in the manifest. A component file needs no manifest.
fn find(plugin: &Path, session: &CommandContext) -> anyhow::Result<Option<ManifestPlugin>> {
    let is_file = plugin.exists();
    let is_builtin = builtin::name_of(plugin).is_some();
    let is_name = plugin.extension().is_none() && plugin.components().count() == 1 && !is_builtin;
    let FoundManifest {
        manifest,
        mut untrusted,
        ..
    } = match session.find_manifest() {
        Ok(found) => found,
        Err(_) if session.manifest.is_none() && (is_file || !is_name) => return Ok(None),
        Err(error) => return Err(error),
    };
    let same_file = |other: &Path| {
        let real = |path: &Path| path.canonicalize().ok();
        is_file && real(other).is_some() && real(other) == real(plugin)
    };
    let own = manifest.host_files();
    let mut plugins = manifest.plugins.into_iter();
    let found = plugins.find(|listed| match is_file {
        true => same_file(&listed.path),
        false => Path::new(&listed.name) == plugin,
    });
    Ok(found.map(|plugin| {
        let prefix = format!("plugin.{}: ", plugin.name);
        untrusted.retain(|demand| demand.what.starts_with(&prefix));
        ManifestPlugin {
            plugin,
            own,
            untrusted,
        }
    }))
}

fn print(inspection: &Inspection, listed: &ManifestPlugin) -> std::io::Result<()> {
    let ManifestPlugin {
        plugin: listed,
        own,
        untrusted,
    } = listed;
    let mut out = Out::stdout();
    line!(out, "size: {} bytes", inspection.size)?;
    line!(out, "sha256: {}", inspection.sha256)?;
    let lists = [
        ("imports", &inspection.imports),
        ("exports", &inspection.exports),
    ];
    for (title, names) in lists {
        line!(out, "{title}:")?;
        for name in names {
            line!(out, "  {name}")?;
        }
        if names.is_empty() {
            line!(out, "  nothing")?;
        }
    }
    let permissions = match &inspection.permissions[..] {
        [] => "none".to_owned(),
        permissions => permissions.join(", "),
    };
    line!(out, "permissions it can use: {permissions}")?;
    for grant in granted(&listed.permissions) {
        line!(out, "granted: {grant}")?;
    }
    for Demand { what, .. } in untrusted {
        line!(out, "not trusted: {what}")?;
    }
    match &denied(&listed.permissions, &inspection.permissions)[..] {
        [] => line!(out, "denied: nothing that it can use")?,
        denied => line!(out, "denied: {}", denied.join(", "))?,
    }
    for warning in listed.permissions.warnings(own) {
        line!(out, "warning: {warning}")?;
    }
    if let Ok(tools) = &inspection.tools {
        line!(out, "tools:")?;
        for tool in tools {
            line!(out, "  {}: {}", tool.name, first_line(tool))?;
            // The schemas of a plugin are its author's; these are ours.
            if inspection.is_typed {
                line!(out, "    arguments: {}", tool.input_schema)?;
                if let Some(schema) = &tool.output_schema {
                    line!(out, "    output: {schema}")?;
                }
            }
        }
    }
    for note in &inspection.notes {
        line!(out, "note: `{}` {}", note.tool, note.why)?;
    }
    Ok(())
}
