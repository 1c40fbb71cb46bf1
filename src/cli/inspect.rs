//! `toolhost inspect`: what a plugin is, before it is trusted with anything.

use std::io::Write;
use std::path::PathBuf;

use toolhost::inspect::{Inspection, inspect};

use super::list::first_line;
use super::{ANSWERED, Session, Status};

#[derive(clap::Args)]
pub(super) struct InspectOptions {
    /// The component
    #[arg(value_name = "PLUGIN.wasm")]
    plugin: PathBuf,
}

/// What the process exits with when the component cannot be a plugin.
const NOT_A_PLUGIN: Status = 1;

pub(super) async fn run(options: InspectOptions, session: Session) -> anyhow::Result<Status> {
    let inspection = inspect(&options.plugin, session.code_cache).await?;
    print(&inspection)?;
    match inspection.tools {
        Ok(_) => Ok(ANSWERED),
        Err(problems) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            Ok(NOT_A_PLUGIN)
        }
    }
}

fn print(inspection: &Inspection) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "size: {} bytes\nsha256: {}",
        inspection.size, inspection.sha256
    )?;
    let lists = [
        ("imports", &inspection.imports),
        ("exports", &inspection.exports),
    ];
    for (title, names) in lists {
        writeln!(out, "{title}:")?;
        for name in names {
            writeln!(out, "  {name}")?;
        }
        if names.is_empty() {
            writeln!(out, "  nothing")?;
        }
    }
    let permissions = match &inspection.permissions[..] {
        [] => "none".to_owned(),
        permissions => permissions.join(", "),
    };
    writeln!(out, "permissions it can use: {permissions}")?;
    if let Ok(tools) = &inspection.tools {
        writeln!(out, "tools:")?;
        for tool in tools {
            writeln!(out, "  {}: {}", tool.name, first_line(tool))?;
        }
    }
    Ok(())
}
