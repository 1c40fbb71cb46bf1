//! The tools that a server lists, as the manifest offers them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rmcp::model as mcp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::reading::written;
use super::room::Room;
use super::settings::Settings;
use super::tidy::tidied;
use super::{handed_on, pins};
use crate::digest::sha256;
use crate::error::{Diagnostic, similar};
use crate::provider::{Pin, ProvidedTool, ToolNote, hide_icon};
use crate::tool::{Annotations, Icon, Tool, is_tool_name};

/// What a tool says of itself, without its schemas, may be no longer, in bytes.
const MAX_TEXTS: usize = 256 << 10;

/// A tool's `_meta` may be no longer, in bytes: a longer one is left out.
const MAX_META: usize = 64 << 10;

/// The longest name that every model API takes.
const LONGEST_NAME: usize = 64;

/// The tools of a server, and what is to be said of them.
#[derive(Default)]
pub(super) struct Offered {
    pub(super) tools: Vec<RemoteTool>,
    pub(super) left_out: Vec<ToolNote>,
}

impl Offered {
    /// Whether somebody who knows one of them need not look at the other.
    pub(super) fn is_like(&self, other: &Offered) -> bool {
        let said = |it: &RemoteTool| (it.pin.clone(), it.tool.tool.clone(), it.as_task);
        self.left_out == other.left_out
            && self.tools.iter().map(said).eq(other.tools.iter().map(said))
    }
}

pub(super) struct RemoteTool {
    pub(super) tool: Arc<ProvidedTool>,
    /// Its text, for its digest.
    pub(super) pin: Pin,
    /// It has to be run as a task of the protocol of 2025-11-25.
    pub(super) as_task: bool,
}

/// The names that the manifest asked for are errors where they cannot be had; any other tool that
/// cannot be offered is left out, for the others to be of use.
///
/// Beside the tools that can be had is what is wrong with those that are asked for, and with those that are
/// not what was pinned.
pub(super) fn offered(
    listed: &[mcp::Tool],
    settings: &Settings,
    manifest: &Path,
) -> (Offered, Vec<Diagnostic>) {
    let config = &settings.config;
    let name = &config.name;
    let names = Names::new(listed, &config.prefix);
    let mut problems = Vec::new();
    let mut offered = Offered::default();
    let mut taken = HashSet::new();
    let mut room = Room::new();
    for tool in listed {
        let chosen = match &config.tools {
            None => None,
            Some(wanted) => match wanted.iter().find(|(wanted, _)| *wanted == tool.name) {
                Some((_, at)) => Some(*at),
                None => continue,
            },
        };
        let read = match taken.insert(&*tool.name) {
            true => read(tool, &names, settings, &mut room, &mut offered.left_out),
            false => Err("is listed twice".to_owned()),
        };
        let own_name = shown(&tool.name);
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
    // Of what is an error no warning is needed.
    for left_out in offered.left_out.iter().filter(|_| problems.is_empty()) {
        let ToolNote { tool, why, .. } = left_out;
        tracing::warn!("mcp.{name}: tool {tool:?} {why}");
    }
    let all: Vec<&str> = listed.iter().map(|tool| &*tool.name).collect();
    let wanted = config.tools.iter().flatten();
    let wanted = wanted.map(|(wanted, at)| (&**wanted, *at));
    for (wanted, at) in wanted.chain(config.allowed_callers.named()) {
        if !all.contains(&wanted) {
            let message = format!("`mcp.{name}` offers no tool named `{wanted}`");
            let near = similar(wanted, all.iter().copied());
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it offers: {}", all.join(", ")),
            };
            problems.push(Diagnostic::new(manifest, Some(at), message).help(help));
        }
    }
    if offered.tools.is_empty() && problems.is_empty() {
        let message = format!("`mcp.{name}` offers no usable tools");
        problems.push(Diagnostic::new(manifest, config.at, message));
    }
    (offered, problems)
}

/// # Errors
///
/// Why a tool cannot be offered, as what it does or has.
fn read(
    listed: &mcp::Tool,
    names: &Names,
    settings: &Settings,
    room: &mut Room,
    notes: &mut Vec<ToolNote>,
) -> Result<RemoteTool, String> {
    let config = &settings.config;
    let own_name = listed.name.to_string();
    if own_name.is_empty() {
        return Err("has no name".to_owned());
    }
    let raw = written(listed);
    let no_object = |_| "is not an object".to_owned();
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
    // A name that had to be changed is still the one that people know.
    let is_renamed = name != format!("{}{own_name}", config.prefix);
    let title = text(rest, "title").or_else(|| text(hints, "title"));
    let title = title.or_else(|| is_renamed.then(|| shown(&own_name)));
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
    // Whoever reads them may be shown what the server was started with.
    let mask = &settings.mask;
    let shown = [&mut declared.description].into_iter();
    let shown = shown.chain(&mut declared.title);
    shown.for_each(|text| mask.text(text));
    declared
        .icons
        .iter_mut()
        .for_each(|icon| hide_icon(icon, mask));
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
            // Without it there is only less to be said of what the tool answers.
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
/// Arguments are objects, and this schema takes none.
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

/// A name as messages have it.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// The names that a server's tools are offered under.
struct Names(HashMap<String, String>);

impl Names {
    /// Names that no API takes are given others: as much as can be read of them, and digits of their
    /// digest, so that each is always the same, whatever else the server lists.
    fn new(listed: &[mcp::Tool], prefix: &str) -> Names {
        let plain = |tool: &mcp::Tool| format!("{prefix}{}", tool.name);
        let mut taken: HashSet<String> = listed.iter().map(plain).collect();
        let mut names = HashMap::new();
        for tool in listed {
            let name = plain(tool);
            if is_tool_name(&name) || names.contains_key(&*tool.name) {
                continue;
            }
            let digest = sha256(&*tool.name);
            // Somebody could have thought of a name that is this one already.
            let name = [8, 16, 32].map(|digits| readable(&name, &digest[..digits]));
            let name = name.into_iter().find(|name| taken.insert(name.clone()));
            names.extend(name.map(|name| (tool.name.to_string(), name)));
        }
        for tool in listed {
            let own = tool.name.to_string();
            names.entry(own).or_insert_with(|| plain(tool));
        }
        Names(names)
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
