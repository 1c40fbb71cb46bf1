//! `toolhost list`: lists the tools, for people, for scripts, or for a model's API.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use toolhost::wire::{Format, LeftOut};
use toolhost::{Tool, ToolHost, printable, typescript};

use super::out::{Out, say};
use super::result::{names, print_document};
use super::{CommandContext, StartServers, Status, format_parser, warn_of_unasked};

#[derive(clap::Args)]
pub(super) struct ListOptions {
    /// Print the tools as this API takes them, `typescript` for declarations, or `json` for all details [default: a table on a
    /// terminal, else tab-separated lines]
    #[arg(long, value_parser = list_format_parser())]
    format: Option<ListFormat>,

    #[command(flatten)]
    servers: StartServers,
}

/// How the tools are listed.
#[derive(Clone, Copy)]
enum ListFormat {
    /// As a wire format declares them.
    Wire(Format),
    /// As TypeScript, for programs that call them.
    TypeScript,
}

/// Parses the name of a wire format, or `typescript`.
fn list_format_parser() -> impl TypedValueParser<Value = ListFormat> {
    const TYPESCRIPT: &str = "typescript";
    let wire = format_parser();
    let names: Vec<PossibleValue> = wire.possible_values().into_iter().flatten().collect();
    let names = names.into_iter().chain([PossibleValue::new(TYPESCRIPT)]);
    PossibleValuesParser::new(names).try_map(|name| match &*name {
        TYPESCRIPT => Ok(ListFormat::TypeScript),
        name => name.parse::<Format>().map(ListFormat::Wire),
    })
}

pub(super) async fn run(options: ListOptions, session: CommandContext) -> anyhow::Result<Status> {
    let (found, _) = options.servers.manifest_of(&session)?;
    let host = session.survey(found.manifest, &options.servers).await?;
    let status = warn_of_unasked(&host);
    if !found.untrusted.is_empty() {
        say!(
            "warning: the manifest asks for more than it is trusted with: see `toolhost trust --show`"
        );
    }
    if host.plugins().next().is_none() && host.servers().next().is_none() {
        say!(
            "warning: the manifest has no plugins or MCP servers: add `[plugin.NAME]` with `path`, or \
             `[mcp.NAME]`"
        );
    }
    match options.format {
        Some(ListFormat::TypeScript) => {
            Out::stdout().text(&typescript::declarations(host.tools()))?;
        }
        Some(ListFormat::Wire(format)) => {
            let tools: Vec<&Tool> = host.tools().collect();
            let declared = format.declare(&tools, &names(format, &host));
            for LeftOut { tool, why, .. } in &declared.left_out {
                say!("warning: `{tool}` is omitted for {format}: it {why}");
            }
            print_document(&declared.tools)?;
        }
        None => lines(&host, &mut Out::stdout())?,
    }
    Ok(status)
}

fn lines(host: &ToolHost, out: &mut Out) -> std::io::Result<()> {
    if out.is_terminal() {
        return out.text(&format!("{}\n", table(host)));
    }
    for tool in host.tools() {
        let mut fields = vec![&*tool.name, &*tool.plugin, first_line(tool)];
        // A new field goes last, so that the others keep their places.
        if !tool.sandboxed {
            fields.push("not sandboxed");
        }
        out.fields(&fields)?;
    }
    Ok(())
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
        // Cells are measured as displayed.
        table.add_row([&*tool.name, &*plugin, first_line(tool)].map(printable::line));
    }
    table.trim_fmt()
}

/// The first line of a tool's description.
pub(super) fn first_line(tool: &Tool) -> &str {
    tool.description.lines().next().unwrap_or_default()
}
