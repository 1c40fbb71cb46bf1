//! The tools that a server lists, as the manifest offers them.

use std::collections::HashSet;
use std::path::Path;

use rmcp::model as mcp;
use serde_json::Value;

use super::settings::Settings;
use crate::error::{Diagnostic, similar};
use crate::plugin::{PluginTool, is_tool_name};
use crate::tool::{Annotations, Icon, Tool};

/// What a tool says of itself, without its schemas, may be no longer, in bytes.
const MAX_TEXTS: usize = 256 << 10;

/// The names that the manifest asked for are errors where they cannot be had; any other tool that
/// cannot be offered is left out, for the others to be of use.
pub(super) fn offered(
    listed: Vec<mcp::Tool>,
    settings: &Settings,
    manifest: &Path,
) -> Result<Vec<PluginTool>, Vec<Diagnostic>> {
    let config = &settings.config;
    let name = &config.name;
    let all: Vec<String> = listed.iter().map(|tool| tool.name.to_string()).collect();
    let mut problems = Vec::new();
    let mut tools = Vec::new();
    let mut taken = HashSet::new();
    for tool in listed {
        let own_name = tool.name.to_string();
        let chosen = match &config.tools {
            None => None,
            Some(wanted) => match wanted.iter().find(|(wanted, _)| *wanted == own_name) {
                Some((_, at)) => Some(*at),
                None => continue,
            },
        };
        let offered = match taken.insert(own_name.clone()) {
            true => read(tool, settings),
            false => Err("is listed twice".to_owned()),
        };
        let own_name = own_name.chars().take(100).collect::<String>();
        match (offered, chosen) {
            (Ok(tool), _) => tools.push(tool),
            (Err(why), Some(at)) => {
                let message = format!("`mcp.{name}`: its tool {own_name:?} {why}");
                problems.push(Diagnostic::new(manifest, Some(at), message));
            }
            (Err(why), None) => {
                tracing::warn!("mcp.{name}: its tool {own_name:?} is left out, as it {why}");
            }
        }
    }
    for (wanted, at) in config.tools.iter().flatten() {
        if !all.contains(wanted) {
            let message = format!("`mcp.{name}` offers no tool named `{wanted}`");
            let near = similar(wanted, all.iter().map(String::as_str));
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it offers: {}", all.join(", ")),
            };
            problems.push(Diagnostic::new(manifest, Some(*at), message).help(help));
        }
    }
    if tools.is_empty() && problems.is_empty() {
        let message = format!("`mcp.{name}` offers no tools that can be used");
        problems.push(Diagnostic::new(manifest, config.at, message));
    }
    match problems[..] {
        [] => Ok(tools),
        _ => Err(problems),
    }
}

/// # Errors
///
/// Why a tool cannot be offered, as what it does or has.
fn read(tool: mcp::Tool, settings: &Settings) -> Result<PluginTool, String> {
    let config = &settings.config;
    let own_name = tool.name.into_owned();
    let name = format!("{}{own_name}", config.prefix);
    if !is_tool_name(&own_name) || !is_tool_name(&name) {
        return Err(
            "has a name that no model can call; names match [A-Za-z0-9_-]{1,64}".to_owned(),
        );
    }
    let hints = tool.annotations.unwrap_or_default();
    let mut declared = Tool {
        name,
        title: tool.title.or(hints.title),
        description: tool.description.unwrap_or_default().into_owned(),
        icons: tool
            .icons
            .unwrap_or_default()
            .into_iter()
            .map(icon)
            .collect(),
        input_schema: Value::Null,
        output_schema: None,
        annotations: Annotations {
            read_only: hints.read_only_hint,
            destructive: hints.destructive_hint,
            idempotent: hints.idempotent_hint,
            open_world: hints.open_world_hint,
        },
        allowed_callers: Vec::new(),
        plugin: config.name.clone(),
        sandboxed: false,
    };
    let icons = declared.icons.iter().map(|icon| icon.src.len());
    let title = declared.title.as_ref().map_or(0, String::len);
    let texts = declared.description.len() + title + icons.sum::<usize>();
    if texts > MAX_TEXTS {
        return Err(format!(
            "describes itself in {texts} bytes, of at most {MAX_TEXTS}"
        ));
    }
    // Whoever reads them may be shown what the server was started with.
    settings.mask.text(&mut declared.description);
    let json = |schema: &mcp::JsonObject| serde_json::to_string(schema);
    let input = json(&tool.input_schema).map_err(|error| error.to_string())?;
    let output = tool.output_schema.map(|schema| json(&schema)).transpose();
    let output = output.map_err(|error| error.to_string())?;
    PluginTool::new(own_name, declared, &input, output.as_deref())
        .map_err(|message| format!("cannot be checked: {message}"))
}

fn icon(icon: mcp::Icon) -> Icon {
    Icon {
        src: icon.src,
        mime_type: icon.mime_type,
        sizes: icon.sizes.unwrap_or_default(),
    }
}
