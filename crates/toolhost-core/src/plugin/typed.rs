//! Components without the plugin interface: the functions that they export are tools, and so is the
//! program of a WASI command.
//!
//! A function's types decide everything: the schemas, and how JSON becomes values and values become
//! JSON. Nothing of the component runs at load. `docs/plugins.md` has the rules.

mod command;
mod decode;
mod documentation;
mod encode;
mod schema;
mod shape;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::value::RawValue;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{ComponentExportIndex, InstancePre, Val};
use wasmtime::{Engine, Store};

use super::call::Failure;
use super::declared::Declared;
use super::{MAX_TOOLS, naming};
use crate::digest::sha256;
use crate::limits::{Limit, Limits};
use crate::manifest::PluginConfig;
use crate::provider::ToolNote;
use crate::sandbox::{Sandbox, StopReason};
use crate::tool::{Content, Output, Tool, is_tool_name};
use command::Command;
use decode::DecodeError;
pub(super) use documentation::Documentation;
use encode::EncodeError;
use shape::{Fields, Shape, Shaper, signature};

/// The most types in all functions of a component; a named type counts at each place that uses it.
const MAX_TYPES: usize = 100_000;

/// The reasons shown when a component has no function that can be a tool.
const SHOWN_REASONS: usize = 5;

/// The functions of a component that are tools, by their full names.
pub(super) struct Functions {
    pre: InstancePre<Sandbox>,
    by_path: BTreeMap<String, Callable>,
}

enum Callable {
    Function(Box<Function>),
    Command(Command),
}

struct Function {
    index: ComponentExportIndex,
    params: Fields,
    /// A `result` is the success or the failure of the call.
    returns: Option<Shape>,
}

impl Function {
    /// The value of a call that succeeds.
    fn value(&self) -> Option<&Shape> {
        match &self.returns {
            Some(Shape::Result(cases)) => cases.payloads[0].as_ref(),
            returns => returns.as_ref(),
        }
    }
}

/// What was found in a component.
pub(super) struct Found {
    pub(super) functions: Functions,
    pub(super) declared: Vec<Declared>,
    /// Functions that are left out, and why.
    pub(super) left_out: Vec<ToolNote>,
}

/// An exported function.
struct Export {
    /// The interface, such as `example:thing/api@1.0.0`, or none for a free function.
    interface: Option<String>,
    name: String,
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

impl Export {
    /// Its full name: `example:thing/api@1.0.0#run`.
    fn path(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The interface's own name: `api`.
    fn short_interface(&self) -> Option<&str> {
        let interface = self.interface.as_deref()?.split('@').next()?;
        interface.rsplit('/').next()
    }

    fn is_command(&self) -> bool {
        let interface = self.interface.as_deref().unwrap_or_default();
        command::is_run(interface) && self.name == "run"
    }
}

/// Finds the functions of a component that can be tools, of those that the manifest chose.
///
/// # Errors
///
/// There are none, or too many.
pub(super) fn find(
    pre: &InstancePre<Sandbox>,
    config: &PluginConfig,
    documentation: Option<&Documentation>,
) -> Result<Found, String> {
    let exports = exports(pre);
    if exports.is_empty() {
        return Err("is not a toolhost plugin: it exports no function".to_owned());
    }
    let mut count: HashMap<&str, usize> = HashMap::new();
    for export in exports.iter().filter(|it| !it.is_command()) {
        *count.entry(&*export.name).or_default() += 1;
    }
    let own_name = |export: &Export| match export.short_interface() {
        _ if export.is_command() => legal_name(&config.name),
        Some(interface) if count[&*export.name] > 1 => {
            legal_name(&format!("{interface}_{}", export.name))
        }
        _ => legal_name(&export.name),
    };
    let named = exports.iter().map(|export| (own_name(export), export));
    let chosen = naming::chosen(config);
    let is_wanted = |own: &str, export: &Export| {
        let chosen = chosen.as_ref();
        chosen.is_none_or(|chosen| chosen.contains(own) || chosen.contains(&*export.path()))
    };
    let (wanted, others): (Vec<_>, Vec<_>) = named.partition(|(own, it)| is_wanted(own, it));
    if wanted.len() > MAX_TOOLS {
        return Err(format!(
            "exports {} functions, but a plugin may offer at most {MAX_TOOLS} tools: choose some with `tools`",
            wanted.len()
        ));
    }
    let mut found = Found {
        functions: Functions {
            pre: pre.clone(),
            by_path: BTreeMap::new(),
        },
        // So that names of the manifest are checked against all of them.
        declared: others
            .into_iter()
            .map(|(own, export)| Declared::only_name(own, export.path()))
            .collect(),
        left_out: Vec::new(),
    };
    let mut types = 0;
    for (own, export) in wanted {
        let path = export.path();
        let made = match export.is_command() {
            true => {
                let declared = command::declared(own.clone(), path.clone());
                let program = Command {
                    name: own.clone(),
                    run: export.index,
                };
                Ok((Callable::Command(program), declared))
            }
            false => function(export, &own, documentation, &mut types),
        };
        match made {
            Ok((callable, declared)) => {
                found.functions.by_path.insert(path, callable);
                found.declared.push(declared);
            }
            Err(why) => {
                let refused = Declared {
                    refused: Some(why.clone()),
                    ..Declared::only_name(own, path.clone())
                };
                found.declared.push(refused);
                let why = format!("is left out: it {why}");
                found.left_out.push(ToolNote::new(&path, why));
            }
        }
    }
    if found.functions.by_path.is_empty() && !found.left_out.is_empty() {
        let shown = found.declared.iter().filter_map(|function| {
            let name = function.path.as_ref()?;
            Some(format!("`{name}` {}", function.refused.as_ref()?))
        });
        let mut shown: Vec<String> = shown.take(SHOWN_REASONS).collect();
        if let Some(rest @ 1..) = found.left_out.len().checked_sub(SHOWN_REASONS) {
            shown.push(format!("and {rest} more"));
        }
        return Err(format!(
            "has no function that can be a tool: {}",
            shown.join("; ")
        ));
    }
    Ok(found)
}

/// The exported functions, free ones and those of interfaces.
fn exports(pre: &InstancePre<Sandbox>) -> Vec<Export> {
    let component = pre.component();
    let engine = component.engine();
    let ty = component.component_type();
    let mut exports = Vec::new();
    for (outer, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                if let Some(index) = component.get_export_index(None, outer) {
                    exports.push(Export {
                        interface: None,
                        name: outer.to_owned(),
                        index,
                        ty,
                    });
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let Some(of) = component.get_export_index(None, outer) else {
                    continue;
                };
                for (name, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty
                        && let Some(index) = component.get_export_index(Some(&of), name)
                    {
                        exports.push(Export {
                            interface: Some(outer.to_owned()),
                            name: name.to_owned(),
                            index,
                            ty,
                        });
                    }
                }
            }
            _ => {}
        }
    }
    exports
}

/// A function as a tool, or why it cannot be one.
fn function(
    export: &Export,
    own: &str,
    documentation: Option<&Documentation>,
    types: &mut usize,
) -> Result<(Callable, Declared), String> {
    if export.name.starts_with('[') {
        return Err("belongs to a resource".to_owned());
    }
    let mut shaper = Shaper::new();
    let mut params = Vec::new();
    for (name, ty) in export.ty.params() {
        let shape = shaper.shape(&ty);
        let shape = shape.map_err(|what| format!("has {what} in its parameter `{name}`"))?;
        params.push((name.to_owned(), shape));
    }
    let mut params = Fields::new(params);
    let returns = export.ty.results().next().map(|ty| shaper.shape(&ty));
    let mut returns = returns
        .transpose()
        .map_err(|what| format!("has {what} in its result"))?;
    *types += shaper.used();
    if *types > MAX_TYPES {
        return Err(format!(
            "comes after functions that use {MAX_TYPES} types already"
        ));
    }
    let signature = signature(&export.path(), &params, returns.as_ref());
    let docs = documentation.and_then(|documentation| {
        let interface = export.interface.as_deref();
        documentation.describe(interface, &export.name, &mut params, returns.as_mut())
    });
    let function = Function {
        index: export.index,
        params,
        returns,
    };
    let output = function.value().map(schema::of_output);
    let declared = Declared {
        path: Some(export.path()),
        is_described: docs.is_some(),
        refused: None,
        tool: Tool::new(own, docs.unwrap_or(signature)),
        input: schema::of_params(&function.params).to_string(),
        output: output.map(|schema| schema.to_string()),
    };
    Ok((Callable::Function(Box::new(function)), declared))
}

/// A name that every model API accepts: other characters are replaced, a long one is cut, and a
/// digest keeps it apart from others.
fn legal_name(name: &str) -> String {
    const KEPT: usize = 64 - 9;
    if is_tool_name(name) {
        return name.to_owned();
    }
    let is_legal = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let legal = name.chars().take(KEPT);
    let legal: String = legal
        .map(|it| if is_legal(it) { it } else { '_' })
        .collect();
    format!("{legal}_{}", &sha256(name)[..8])
}

/// What a call may use.
pub(super) struct CallBounds<'l> {
    pub(super) limits: &'l Limits,
    pub(super) deadline: Instant,
}

impl Functions {
    pub(super) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// Calls a function by its full name in a new instance, in any store whose engine compiled the
    /// component.
    pub(super) async fn call(
        &self,
        store: &mut Store<Sandbox>,
        path: &str,
        arguments: &str,
        bounds: CallBounds<'_>,
    ) -> wasmtime::Result<Result<Output, Failure>> {
        match self.by_path.get(path) {
            Some(Callable::Function(function)) => {
                function.call(&self.pre, store, arguments, bounds).await
            }
            Some(Callable::Command(command)) => {
                let limits = bounds.limits;
                let called = command.call(&self.pre, store, arguments, limits);
                called.await
            }
            None => Err(wasmtime::Error::msg(format!("no function `{path}`"))),
        }
    }
}

impl Function {
    async fn call(
        &self,
        pre: &InstancePre<Sandbox>,
        store: &mut Store<Sandbox>,
        arguments: &str,
        CallBounds { limits, deadline }: CallBounds<'_>,
    ) -> wasmtime::Result<Result<Output, Failure>> {
        let transfer = limits.transfer_of_values(size_of::<Val>());
        let params = decode::arguments(&self.params, arguments, transfer.as_u64(), deadline);
        let params = match params {
            Ok(params) => params,
            Err(DecodeError::Invalid { pointer, message }) => {
                return Ok(Err(Failure::Arguments { pointer, message }));
            }
            Err(DecodeError::TooLarge) => {
                return Err(StopReason::Limit(Limit::Transfer, transfer.into()).into());
            }
            Err(DecodeError::Late) => return Err(StopReason::Deadline.into()),
        };
        let fuel = usize::try_from(transfer.as_u64()).unwrap_or(usize::MAX);
        store.set_hostcall_fuel(fuel);
        let instance = pre.instantiate_async(&mut *store).await?;
        let function = instance.get_func(&mut *store, self.index);
        let function = function.ok_or_else(|| wasmtime::Error::msg("the function is gone"))?;
        let mut results = vec![Val::Bool(false); usize::from(self.returns.is_some())];
        // This calls post-return as well.
        let called = function.call_async(&mut *store, &params, &mut results);
        called.await?;
        drop(params);
        let json = |shape: &Shape, value: &Val| -> wasmtime::Result<String> {
            let longest = limits.max_output.as_u64();
            encode::json(shape, value, longest, deadline).map_err(|error| match error {
                EncodeError::TooLong => {
                    StopReason::Limit(Limit::Output, limits.max_output.into()).into()
                }
                EncodeError::Late => StopReason::Deadline.into(),
                EncodeError::Mismatch => wasmtime::Error::msg("the result is not of its type"),
            })
        };
        let returned = match (&self.returns, results.pop()) {
            (Some(Shape::Result(cases)), Some(Val::Result(result))) => {
                let is_err = result.is_err();
                let (Ok(value) | Err(value)) = result;
                let shape = cases.payloads[usize::from(is_err)].as_ref();
                let value = shape.zip(value.map(|value| *value));
                if is_err {
                    let message = match value {
                        Some((shape, value)) => {
                            let json = json(shape, &value)?;
                            text(value, &json)
                        }
                        None => "the function returned an error without a value".to_owned(),
                    };
                    return Ok(Err(Failure::Failed(message)));
                }
                value
            }
            (Some(shape), Some(value)) => Some((shape, value)),
            _ => None,
        };
        let Some((shape, value)) = returned else {
            return Ok(Ok(Output::text("ok")));
        };
        let json = json(shape, &value)?;
        let content = vec![Content::Text(text(value, &json))];
        let structured = match shape.is_object() {
            true => json,
            false => format!("{{\"{}\":{json}}}", schema::RESULT),
        };
        // It is nested no deeper than the type.
        let structured = RawValue::from_string(structured)?;
        Ok(Ok(Output::new(content).with_structured(structured)))
    }
}

/// A value as a model reads it: a string without its quotes, all else as JSON.
fn text(value: Val, json: &str) -> String {
    match value {
        Val::String(text) | Val::Enum(text) => text,
        _ if json.starts_with('"') => {
            serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
        }
        _ => json.to_owned(),
    }
}
