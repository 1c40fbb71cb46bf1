//! `toolhost list`: the tools, for people, for scripts, or for a model's API.

use std::io::{IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use toolhost::wire::{Format, LeftOut};
use toolhost::{Tool, ToolHost};

use super::result::{names, print_document};
use super::{ANSWERED, Session, StartServers, Status, format_parser, printable, warn_of_unasked};

#[derive(clap::Args)]
pub(super) struct ListOptions {
    /// Declare them as that API takes them, or `json`: everything that is known of each [default: a
    /// table on a terminal, else a line per tool, its fields set off by tabs]
    #[arg(long, value_parser = format_parser())]
    format: Option<Format>,

    #[command(flatten)]
    servers: StartServers,
}

pub(super) async fn run(options: ListOptions, session: Session) -> anyhow::Result<Status> {
    let found = options.servers.manifest_of(&session)?;
    let host = session.survey(found.manifest, &options.servers).await?;
    warn_of_unasked(&host);
    if !found.untrusted.is_empty() {
        eprintln!(
            "warning: the manifest is not trusted with all that it asks for: see `toolhost trust --show`"
        );
    }
    let mut out = std::io::stdout().lock();
    match options.format {
        Some(format) => {
            drop(out);
            let tools: Vec<&Tool> = host.tools().collect();
            let declared = format.declare(&tools, &names(format, &host));
            for LeftOut { tool, why } in &declared.left_out {
                eprintln!(
                    "warning: `{}` is left out for {format}: it {}",
                    printable(tool),
                    printable(why)
                );
            }
            print_document(&declared.tools)?;
        }
        None if out.is_terminal() => writeln!(out, "{}", table(&host))?,
        None => {
            for tool in host.tools() {
                let plugin = &tool.plugin;
                write!(out, "{}\t{plugin}\t{}", tool.name, first_line(tool))?;
                // A field more: those before it stand where they always did.
                writeln!(
                    out,
                    "{}",
                    if tool.sandboxed {
                        ""
                    } else {
                        "\tnot sandboxed"
                    }
                )?;
            }
        }
    }
    Ok(ANSWERED)
}

fn table(host: &ToolHost) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["TOOL", "PLUGIN", "DESCRIPTION"]);
    for tool in host.tools() {
        let plugin = match tool.sandboxed {
            true => tool.plugin.clone(),
            false => format!("{} (not sandboxed)", tool.plugin),
        };
        table.add_row([&*tool.name, &*plugin, &*first_line(tool)]);
    }
    table.trim_fmt()
}

/// A plugin's text may hold anything: what could move a terminal's cursor is left out.
pub(super) fn first_line(tool: &Tool) -> String {
    let line = tool.description.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}
