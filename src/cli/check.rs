//! `toolhost check`: is everything there that calls will need?

use std::io::Write;

use super::grants::{denied, granted};
use super::{ANSWERED, Session, Status};

pub(super) async fn run(session: Session) -> anyhow::Result<Status> {
    let manifest = session.read_manifest()?;
    let file = manifest.file.clone();
    let host = session.load_manifest(manifest).await?;
    let mut out = std::io::stdout().lock();
    for (plugin, (imports, usable)) in host.plugins().zip(host.imports()) {
        let tools: Vec<&str> = host
            .tools()
            .filter(|tool| tool.plugin == plugin.name)
            .map(|tool| &*tool.name)
            .collect();
        writeln!(out, "{} ({})", plugin.name, plugin.path.display())?;
        writeln!(out, "  tools: {}", tools.join(", "))?;
        writeln!(out, "  imports: {}", listed(imports))?;
        for grant in granted(&plugin.permissions) {
            writeln!(out, "  granted: {grant}")?;
        }
        for what in denied(&plugin.permissions, usable) {
            writeln!(out, "  denied: {what}")?;
        }
        for warning in plugin.permissions.warnings() {
            writeln!(out, "  warning: {warning}")?;
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

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
