//! `toolhost check`: is everything there that calls will need?

use std::io::Write;

use toolhost::manifest::PluginConfig;
use toolhost::permissions::SecretSource;

use super::{ANSWERED, Session, Status};

pub(super) async fn run(session: Session) -> anyhow::Result<Status> {
    let manifest = session.read_manifest()?;
    let file = manifest.file.clone();
    let host = session.load_manifest(manifest).await?;
    let mut out = std::io::stdout().lock();
    for plugin in host.plugins() {
        let tools: Vec<&str> = host
            .tools()
            .filter(|tool| tool.plugin == plugin.name)
            .map(|tool| &*tool.name)
            .collect();
        writeln!(out, "{} ({})", plugin.name, plugin.path.display())?;
        writeln!(out, "  tools: {}", tools.join(", "))?;
        for grant in grants(plugin) {
            writeln!(out, "  granted: {grant}")?;
        }
    }
    let plugins = host.plugins().count();
    let tools = host.tools().count();
    writeln!(
        out,
        "{} is good: {}, {}",
        file.display(),
        counted(plugins, "plugin"),
        counted(tools, "tool")
    )?;
    Ok(ANSWERED)
}

fn grants(plugin: &PluginConfig) -> Vec<String> {
    let permissions = &plugin.permissions;
    let mut grants = Vec::new();
    for grant in &permissions.files {
        let (guest, host) = (&grant.guest, grant.host.display());
        grants.push(format!("files {guest} ({host}), {}", grant.access));
    }
    grants.extend(permissions.http.iter().map(|rule| format!("http {rule}")));
    grants.extend(permissions.env.keys().map(|name| format!("env {name}")));
    for (name, source) in &permissions.secrets {
        let from = match source {
            SecretSource::Env(variable) => format!("environment variable {variable}"),
            SecretSource::File(path) => path.display().to_string(),
        };
        grants.push(format!("secret {name} (from {from})"));
    }
    if grants.is_empty() {
        grants.push("nothing".to_owned());
    }
    grants
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
