//! `toolhost list`: the tools, for people, for scripts, or for a model's API.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use toolhost::wire::openai_chat;
use toolhost::{Tool, ToolHost};

use super::{ANSWERED, Session, Status, print_json};

#[derive(clap::Args)]
pub(super) struct ListOptions {
    /// Print JSON [default: a table on a terminal, else a line per tool, its fields set off by tabs]
    #[arg(long)]
    format: Option<ListFormat>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ListFormat {
    /// As the `tools` of an OpenAI chat completion request
    #[value(name = "openai-chat", alias = "openai")]
    OpenaiChat,
    /// Everything that is known of each tool
    Json,
}

pub(super) async fn run(options: ListOptions, session: Session) -> anyhow::Result<Status> {
    let manifest = session.read_manifest()?;
    let host = session.load_manifest(manifest).await?;
    let mut out = std::io::stdout().lock();
    match options.format {
        Some(ListFormat::OpenaiChat) => {
            let tools: Vec<_> = host.tools().map(openai_chat::declare).collect();
            print_json(&tools)?;
        }
        Some(ListFormat::Json) => {
            let tools: Vec<_> = host.tools().collect();
            print_json(&tools)?;
        }
        None if out.is_terminal() => writeln!(out, "{}", table(&host))?,
        None => {
            for tool in host.tools() {
                writeln!(out, "{}\t{}\t{}", tool.name, tool.plugin, first_line(tool))?;
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
        table.add_row([&*tool.name, &*tool.plugin, &*first_line(tool)]);
    }
    table.trim_fmt()
}

/// A plugin's text may hold anything: what could move a terminal's cursor is left out.
pub(super) fn first_line(tool: &Tool) -> String {
    let line = tool.description.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}
