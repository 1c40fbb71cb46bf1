//! The listing of tools: a server's tools as the manifest offers them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rmcp::model as mcp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::message_reader::raw_tool;
use super::schema_budget::SchemaBudget;
use super::schema_repair::tidied;
use super::settings::Settings;
use super::{handed_on, pins};
use toolhost_core::digest::sha256;
use toolhost_core::error::Diagnostic;
use toolhost_core::manifest::unknown_tools;
use toolhost_core::provider::{Pin, ProvidedTool, ToolNote, mask_icon};
use toolhost_core::tool::{Annotations, Icon, Tool, is_tool_name};

/// The longest texts of a tool beside its schemas, in bytes.
const MAX_TEXTS: usize = 256 << 10;

/// The largest `_meta` of a tool, in bytes: a larger one is dropped.
const MAX_META: usize = 64 << 10;

/// The longest tool name that every model API accepts.
const LONGEST_NAME: usize = 64;

/// The offered tools of a server, and notes about the others.
#[derive(Default)]
pub(super) struct Offered {
    pub(super) tools: Vec<RemoteTool>,
    pub(super) left_out: Vec<ToolNote>,
}

impl Offered {
    /// Whether a client that knows one listing need not read the other.
    pub(super) fn is_like(&self, other: &Offered) -> bool {
        let said = |it: &RemoteTool| (it.pin.clone(), it.tool.tool.clone(), it.as_task);
        self.left_out == other.left_out
            && self.tools.iter().map(said).eq(other.tools.iter().map(said))
    }
}

pub(super) struct RemoteTool {
    pub(super) tool: Arc<ProvidedTool>,
    /// Its text and digest for pinning.
    pub(super) pin: Pin,
    /// Whether it must be run as a task of the protocol of 2025-11-25.
    pub(super) as_task: bool,
}

/// Selects the tools to offer. A tool that the manifest names and that cannot be offered is an
/// error; any other is left out, so that the rest remain usable.
///
/// Returns them with the problems of the named tools, and of those that do not match their pins.
pub(super) fn select_tools(
    listed: &[mcp::Tool],
    settings: &Settings,
    manifest: &Path,
) -> (Offered, Vec<Diagnostic>) {
    let config = &settings.config;
    let name = &config.name;
    let names = OfferedNames::new(listed, &config.prefix);
    let mut problems = Vec::new();
    let mut offered = Offered::default();
    let mut taken = HashSet::new();
    let mut room = SchemaBudget::new();
    for tool in listed {
        let chosen = match &config.tools {
            None => None,
            Some(wanted) => match wanted.iter().find(|(wanted, _)| *wanted == tool.name) {
                Some((_, at)) => Some(*at),
                None => continue,
            },
        };
        let read = match tool.name.is_empty() || taken.insert(&*tool.name) {
            true => read(tool, &names, settings, &mut room, &mut offered.left_out),
            false => Err("is listed twice".to_owned()),
        };
        let own_name = shown_name(&tool.name);
        match (read, chosen) {
            (Ok(tool), _) => match settings.pins.check(&tool.pin) {
                Ok(()) => offered.tools.push(tool),
                Err(pins::Refusal::Unpinned) if chosen.is_none() => {
                    let why = "is skipped, as it is not pinned: review it, then run `toolhost check --pin`";
                    offered.left_out.push(ToolNote::new(&tool.pin.tool, why));
                }
                Err(refusal) => {
                    let why = "is skipped, as it differs from its pin";
                    offered.left_out.push(ToolNote::new(&tool.pin.tool, why));
                    let message = format!("`mcp.{name}`: tool {own_name:?} {refusal}");
                    let at = chosen.or(config.at);
                    let help = "to trust it as it is now, run `toolhost check --pin`";
                    let problem = Diagnostic::new(manifest, at, message).help(help);
                    problems.push(match refusal {
                        pins::Refusal::Changed(how) => problem.lines(how),
                        pins::Refusal::Unpinned => problem,
                    });
                }
            },
            (Err(why), Some(at)) => {
                let message = format!("`mcp.{name}`: tool {own_name:?} {why}");
                problems.push(Diagnostic::new(manifest, Some(at), message));
                let why = format!("is skipped, as it {why}");
                offered.left_out.push(ToolNote::new(&tool.name, why));
            }
            (Err(why), None) => {
                let why = format!("is skipped, as it {why}");
                offered.left_out.push(ToolNote::new(&tool.name, why));
            }
        }
    }
    // What is an error needs no warning.
    for left_out in offered.left_out.iter().filter(|_| problems.is_empty()) {
        let ToolNote { tool, why, .. } = left_out;
        tracing::warn!("mcp.{name}: tool {tool:?} {why}");
    }
    problems.extend(unknown_tools(
        &format!("mcp.{name}"),
        config.tools.as_deref(),
        &config.allowed_callers,
        &listed.iter().map(|tool| &*tool.name).collect::<Vec<_>>(),
        manifest,
    ));
    if offered.tools.is_empty() && problems.is_empty() {
        let message = format!("`mcp.{name}` offers no usable tools");
        problems.push(Diagnostic::new(manifest, config.at, message));
    }
    (offered, problems)
}

/// # Errors
///
/// Why a tool cannot be offered, as a phrase about it.
fn read(
    listed: &mcp::Tool,
    names: &OfferedNames,
    settings: &Settings,
    room: &mut SchemaBudget,
    notes: &mut Vec<ToolNote>,
) -> Result<RemoteTool, String> {
    let config = &settings.config;
    let own_name = listed.name.to_string();
    if own_name.is_empty() {
        return Err("has no name".to_owned());
    }
    let raw = raw_tool(listed);
    let no_object = |error: serde_json::Error| match error.is_data() {
        true => "is not an object".to_owned(),
        false => format!("cannot be read: {error}"),
    };
    let rest: Map<String, Value> = serde_json::from_str(raw).map_err(no_object)?;
    let rest = &rest;
    let mut written: BTreeMap<String, &RawValue> = serde_json::from_str(raw).map_err(no_object)?;
    written.retain(|_, value| value.get() != "null");
    let text = |object: &Map<String, Value>, field: &str| {
        let text = object.get(field).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let empty = Map::new();
    let hints = rest.get("annotations").and_then(Value::as_object);
    let hints = hints.unwrap_or(&empty);
    let hint = |name: &str| hints.get(name).and_then(Value::as_bool);
    let name = names.of(&own_name);
    // People know a renamed tool by its original name.
    let is_renamed = name != format!("{}{own_name}", config.prefix);
    let title = text(rest, "title").or_else(|| text(hints, "title"));
    let title = title.or_else(|| is_renamed.then(|| shown_name(&own_name)));
    let meta = rest.get("_meta").and_then(Value::as_object);
    let meta = meta.and_then(handed_on);
    let annotations = Annotations::default()
        .with_read_only(hint("readOnlyHint"))
        .with_destructive(hint("destructiveHint"))
        .with_idempotent(hint("idempotentHint"))
        .with_open_world(hint("openWorldHint"));
    let mut declared = Tool::new(name, text(rest, "description").unwrap_or_default())
        .with_title(title)
        .with_icons(icons(rest))
        .with_annotations(annotations)
        .with_allowed_callers(config.allowed_callers.of(&own_name))
        .with_plugin(&config.name)
        .with_sandboxed(false);
    declared.meta = meta.filter(|meta| Value::Object(meta.clone()).to_string().len() <= MAX_META);
    let icons = declared.icons.iter().map(|icon| icon.src.len());
    let title = declared.title.as_ref().map_or(0, String::len);
    let texts = declared.description.len() + title + icons.sum::<usize>();
    if texts > MAX_TEXTS {
        return Err(format!(
            "has {texts} bytes of descriptions, but at most {MAX_TEXTS} are allowed"
        ));
    }
    let pin = pins::pin(&own_name, raw);
    // Descriptions may repeat secrets that the server was started with.
    let mask = &settings.mask;
    let shown = [&mut declared.description].into_iter();
    let shown = shown.chain(&mut declared.title);
    shown.for_each(|text| mask.text(text));
    declared
        .icons
        .iter_mut()
        .for_each(|icon| mask_icon(icon, mask));
    declared.meta = declared.meta.take().map(|meta| mask.members(meta));
    let as_task = rest.get("execution").and_then(|it| it.get("taskSupport"));
    let as_task = as_task.and_then(Value::as_str) == Some("required");
    let schema = |member: &str| {
        let schema = written.get(member).copied();
        schema.map(|schema| mask.json(schema.to_owned()))
    };
    let (input, output) = (schema("inputSchema"), schema("outputSchema"));
    let input = input.as_ref().map_or("{}", |schema| schema.get());
    let output = output.as_ref().map(|schema| schema.get());
    room.take(&[input, output.unwrap_or_default()])?;
    let with = |input: &str, output: Option<&str>| {
        ProvidedTool::parse(own_name.clone(), declared.clone(), input, output)
    };
    let read = with(input, output).or_else(|message| {
        let input = tidied(input).ok_or_else(|| message.clone())?;
        let tidied = output.and_then(tidied).map(|output| output.schema);
        let read = with(&input.schema, tidied.as_deref().or(output)).or_else(|_| match output {
            // Without it there is only less known about the tool's output.
            Some(_) => with(&input.schema, None).inspect(|_| {
                let why = format!("is offered without its output schema: {message}");
                notes.push(ToolNote::new(&own_name, why));
            }),
            None => Err(message),
        })?;
        if !input.guessed.is_empty() {
            let why = format!(
                "is offered with a repaired schema: {}",
                input.guessed.join("; ")
            );
            notes.push(ToolNote::new(&own_name, why));
        }
        Ok(read)
    });
    let tool = read.map_err(|message: String| format!("cannot be checked: {message}"))?;
    takes_objects(&tool.tool.input_schema)?;
    Ok(RemoteTool {
        tool: Arc::new(tool),
        pin,
        as_task,
    })
}

/// # Errors
///
/// Arguments are objects, and this schema accepts none.
fn takes_objects(schema: &Value) -> Result<(), String> {
    let is_object = match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => true,
    };
    match is_object {
        true => Ok(()),
        false => Err(format!(
            "can never be called: its arguments are of type {}, but arguments are always an object",
            schema["type"]
        )),
    }
}

fn icons(tool: &Map<String, Value>) -> Vec<Icon> {
    let icons = tool.get("icons").and_then(Value::as_array);
    let icons = icons.into_iter().flatten().filter_map(|icon| {
        let icon: mcp::Icon = serde_json::from_value(icon.clone()).ok()?;
        let sizes = icon.sizes.unwrap_or_default();
        Some(
            Icon::new(icon.src)
                .with_mime_type(icon.mime_type)
                .with_sizes(sizes),
        )
    });
    icons.collect()
}

/// A name as shown in messages.
fn shown_name(name: &str) -> String {
    name.chars().take(100).collect()
}

/// The names under which a server's tools are offered.
struct OfferedNames(HashMap<String, String>);

impl OfferedNames {
    /// Replaces names that no API accepts: by their readable part and digits of their digest, so
    /// that a replacement does not depend on what else the server lists.
    fn new(listed: &[mcp::Tool], prefix: &str) -> OfferedNames {
        let plain = |tool: &mcp::Tool| format!("{prefix}{}", tool.name);
        let mut taken: HashSet<String> = listed.iter().map(plain).collect();
        let mut names = HashMap::new();
        for tool in listed {
            let name = plain(tool);
            if is_tool_name(&name) || names.contains_key(&*tool.name) {
                continue;
            }
            let digest = sha256(&*tool.name);
            // Some other tool may already have that name.
            let name = [8, 16, 32].map(|digits| readable(&name, &digest[..digits]));
            let name = name.into_iter().find(|name| taken.insert(name.clone()));
            names.extend(name.map(|name| (tool.name.to_string(), name)));
        }
        for tool in listed {
            let own = tool.name.to_string();
            names.entry(own).or_insert_with(|| plain(tool));
        }
        OfferedNames(names)
    }

    fn of(&self, own_name: &str) -> String {
        self.0.get(own_name).cloned().unwrap_or_default()
    }
}

fn readable(name: &str, digest: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let plain: String = plain.take(LONGEST_NAME - digest.len() - 1).collect();
    format!("{plain}_{digest}")
}
