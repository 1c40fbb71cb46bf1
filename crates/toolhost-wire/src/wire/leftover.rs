//! Whether a response of which no call was read has one all the same: in a member or of a shape that
//! is not known, or said by its end. An answer in text has none, and must not be taken for one that has. And
//! the calls of kinds that are not known beside others that are.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::detect::content::{ANTHROPIC_BLOCKS, RESPONSES_ITEMS};
use super::error::DecodeError;
use super::members::members;
use super::{Format, Reply, Stop, arguments, array, is_malformed, label, object, origin, string};
use crate::tool::{CallOrigin, ToolCall, Void};

/// Nothing that is nested deeper holds a call.
const MAX_DEPTH: usize = 16;

/// Members that hold calls, without `_`, `-` and capitals.
const CALL_MEMBERS: &[&str] = &[
    "toolcalls",
    "functioncall",
    "functioncalls",
    "tooluse",
    "tooluses",
    "invalidtoolcalls",
];

/// Kinds of objects that are calls, spelt alike.
const CALL_KINDS: &[&str] = &[
    "toolcall",
    "tooluse",
    "functioncall",
    "customtoolcall",
    "invalidtoolcall",
];

/// Members that say of what kind an object is.
const KIND_MEMBERS: &[&str] = &[
    "type",
    "kind",
    "part_kind",
    "content_type",
    "$type",
    "__type",
];

/// Calls that want a client to act, and are none of functions.
const CLIENT_CALLS: &[&str] = &[
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
    "mcp_approval_request",
];

/// Parts without a kind that are no calls of a kind that is new: those that are read, and what an API runs by
/// itself.
const KNOWN_PARTS: &[&str] = &[
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "toolCall",
    "tool_call",
    "toolResponse",
    "tool_response",
    "toolUse",
    "toolResult",
];

/// Why an answer ended that has calls.
const CALL_ENDS: &[&str] = &[
    "tool_calls",
    "function_call",
    "tool_use",
    "tool-calls",
    "TOOL_CALL",
];

/// How models write calls that their server should have read.
const TEMPLATES: &[&str] = &[
    "<tool_call>",
    "<|tool_call",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "<function=",
    "<function_calls>",
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
    "<|channel|>commentary to=",
];

/// Members whose contents are data, whatever they look like: what was asked, what a call has been given
/// and what came of it.
const OPAQUE: &[&str] = &[
    "tools",
    "tool_choice",
    "toolChoice",
    "arguments",
    "args",
    "tool_results",
    "toolResults",
    "automatic_function_calling_history",
    "automaticFunctionCallingHistory",
    "metadata",
    "schema",
];

/// # Errors
///
/// Something in the response looks like a call.
pub(super) fn check(text: &str) -> Result<(), DecodeError> {
    let found = match serde_json::from_str::<&RawValue>(text) {
        Ok(document) => in_document(document),
        Err(_) => {
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines.into_iter().find_map(in_document)
        }
    };
    match found {
        Some(what) => Err(DecodeError::Unread { what }),
        None => Ok(()),
    }
}

/// As [`check`], of what a model answered, however it came.
pub(super) fn check_reply(reply: &Reply) -> Result<(), DecodeError> {
    if reply.calls.iter().any(|call| kind(call).is_none()) {
        return Ok(());
    }
    if let Stop::Other(reason) = &reply.stop {
        let what = format!("it ends with `{reason}` and contains no call");
        // The model made it wrong, and may make it right when it is asked again.
        if reply.stop.is_malformed() {
            return Err(DecodeError::Api {
                kind: reason.clone(),
                message: what,
            });
        }
        if CALL_ENDS.contains(&&**reason) {
            return Err(DecodeError::Unread { what });
        }
    }
    let messages: Vec<&str> = reply.messages.iter().map(|message| message.get()).collect();
    check(&format!("[{}]", messages.join(",")))?;
    check_kinds(&reply.calls)
}

/// # Errors
///
/// There are calls, and all of them are of kinds that are not known.
pub(super) fn check_kinds(calls: &[ToolCall]) -> Result<(), DecodeError> {
    let kinds: Option<Vec<&str>> = calls.iter().map(kind).collect();
    match kinds.as_deref() {
        None | Some([]) => Ok(()),
        Some([first, ..]) => Err(DecodeError::Unread {
            what: format!(
                "it contains a `{first}`, which is not a function call: toolhost cannot run it"
            ),
        }),
    }
}

/// The kind of a call, if it is one that is not known.
pub(super) fn kind(call: &ToolCall) -> Option<&str> {
    match call.void() {
        Some(Void::Kind(kind)) => Some(kind),
        _ => None,
    }
}

/// The position of the last call that is not of an unknown kind.
pub(super) fn last_known(calls: &[ToolCall]) -> Option<usize> {
    calls.iter().rposition(|call| kind(call).is_none())
}

/// The calls of an answer, and after them those of kinds that are not known among its items, blocks or parts: of
/// what has the members of a call, an id that none of the others has, and no result. They cannot be run, and what
/// answers them says so. The kinds in `read` are those that have been read.
///
/// # Errors
///
/// One of them has no id, so that nothing could answer it.
pub(super) fn with_unknown(
    mut calls: Vec<ToolCall>,
    items: &[&RawValue],
    read: &[&str],
) -> Result<Vec<ToolCall>, DecodeError> {
    let mut found = Vec::new();
    for item in items {
        found.extend(unknown(item, read)?);
    }
    if found.is_empty() {
        return Ok(calls);
    }
    let answered: HashSet<String> = items.iter().filter_map(|item| result_id(item)).collect();
    let mut ids: HashSet<String> = calls.iter().filter_map(|call| call.id.clone()).collect();
    for call in found {
        let id = call.id.clone().unwrap_or_default();
        if !answered.contains(&id) && ids.insert(id) {
            calls.push(call);
        }
    }
    Ok(calls)
}

/// The calls of kinds that are not known in what a model answered in pieces.
///
/// # Errors
///
/// As [`with_unknown`].
pub(super) fn unknown_in(reply: &Reply, format: Format) -> Result<Vec<ToolCall>, DecodeError> {
    let messages: Vec<&str> = reply.messages.iter().map(|message| message.get()).collect();
    match format.wire().decode(&format!("[{}]", messages.join(","))) {
        Ok(calls) => Ok(calls
            .into_iter()
            .filter(|call| kind(call).is_some())
            .collect()),
        Err(error @ DecodeError::Unread { .. }) => Err(error),
        // What is put together is read as it came.
        Err(_) => Ok(Vec::new()),
    }
}

/// The call that an item is whose kind is not known, if it has what a call has.
fn unknown(item: &RawValue, read: &[&str]) -> Result<Option<ToolCall>, DecodeError> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    let Ok(typed) = object::<Kind>(item) else {
        return Ok(None);
    };
    let Some(kind) = string(typed.r#type) else {
        return unknown_part(item);
    };
    let is_client_call = CLIENT_CALLS.contains(&&*kind) || kind == "tool_search_call";
    if read.contains(&&*kind) || is_known(&kind) && !is_client_call {
        return Ok(None);
    }
    let members = members(item).unwrap_or_default();
    let has = |name: &str| members.iter().any(|(key, _)| key == name);
    // What a client of another kind may run, the request for an approval not being such a call.
    let is_call = match is_client_call {
        true => of_kind(&kind, &members, "").is_some() && has("call_id"),
        false => is_called(&kind, &members),
    };
    let is_settled = has("output") || is_settled(item, &[]);
    match is_call && !is_settled {
        true => called(kind, &members).map(Some),
        false => Ok(None),
    }
}

/// Of a part whose one member is what it is.
fn unknown_part(part: &RawValue) -> Result<Option<ToolCall>, DecodeError> {
    for (key, value) in members(part).unwrap_or_default() {
        let inner = match value.get().starts_with('{') {
            true => members(value).unwrap_or_default(),
            false => continue,
        };
        let has = |names: &[&str]| inner.iter().any(|(key, _)| names.contains(&&**key));
        let is_call = has(&["name"]) && has(&["args", "arguments", "input"]);
        if is_call && !KNOWN_PARTS.contains(&&*key) {
            return called(key, &inner).map(Some);
        }
    }
    Ok(None)
}

/// A call of such a kind, with those members.
pub(super) fn called(
    kind: String,
    members: &[(String, &RawValue)],
) -> Result<ToolCall, DecodeError> {
    let member = |names: &[&str]| {
        let mut found = names
            .iter()
            .filter_map(|name| members.iter().find(|(key, _)| key == name));
        found.next().map(|(_, value)| *value)
    };
    let id = member(&["call_id", "tool_use_id", "toolUseId", "toolCallId", "id"]);
    let Some(id) = label(id).filter(|id| !id.is_empty()) else {
        return Err(DecodeError::Unread {
            what: format!(
                "it contains a `{kind}` without an id, which is not a function call: toolhost cannot run it"
            ),
        });
    };
    Ok(ToolCall {
        id: Some(id),
        name: string(member(&["name"])).unwrap_or_else(|| kind.clone()),
        arguments: arguments(member(&["arguments", "args", "input"])),
        origin: origin(CallOrigin {
            void: Some(Void::Kind(kind)),
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

fn in_document(document: &RawValue) -> Option<String> {
    // Of a conversation the last message alone would be run, and that was read.
    let last = match array(document) {
        Ok(items) if super::history::is_history(&items) => items.last().copied()?,
        _ => document,
    };
    found(last, "", 0)
}

fn found(raw: &RawValue, path: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    if let Ok(items) = array(raw) {
        let answered: Vec<String> = items.iter().filter_map(|item| result_id(item)).collect();
        let items = items.into_iter().enumerate();
        let mut open = items.filter(|(_, item)| !is_settled(item, &answered));
        return open.find_map(|(at, item)| found(item, &format!("{path}[{at}]"), depth + 1));
    }
    let members = members(raw)?;
    let at = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let here = match path {
        "" => "it",
        path => path,
    };
    for (key, value) in &members {
        if CALL_MEMBERS.contains(&&*plain(key)) && holds_open_call(value, &members) {
            return Some(format!("`{}` looks like one", at(key)));
        }
        if KIND_MEMBERS.contains(&&**key)
            && let Some(kind) = string(Some(value))
            && let Some(what) = of_kind(&kind, &members, here)
        {
            return Some(what);
        }
        if let Some(what) = by_end(key, value).or_else(|| by_template(key, value)) {
            return Some(format!("`{}` {what}", at(key)));
        }
    }
    // What a tool is called with, that others run.
    let is_called = members.iter().any(|(key, _)| key == "name");
    let is_opaque = |key: &str| OPAQUE.contains(&key) || key == "input" && is_called;
    let mut members = members.iter().filter(|(key, _)| !is_opaque(key));
    members.find_map(|(key, value)| found(value, &at(key), depth + 1))
}

/// Whether a member that is for calls has one that has not come to its result.
fn holds_open_call(value: &RawValue, beside: &[(String, &RawValue)]) -> bool {
    if matches!(value.get(), "null" | "[]" | "{}" | "\"\"" | "false") {
        return false;
    }
    let results = beside.iter().find(|(key, _)| key == "toolResults");
    let results = results.and_then(|(_, results)| array(results).ok());
    let results = results.unwrap_or_default().into_iter();
    let answered: Vec<String> = results
        .filter_map(|item| string(Ids::of(item)?.tool_call_id))
        .collect();
    match array(value) {
        Ok(calls) => calls.iter().any(|call| !is_settled(call, &answered)),
        Err(_) => !is_settled(value, &answered),
    }
}

#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "toolCallId")]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "providerExecuted")]
    provider_executed: Option<&'a RawValue>,
}

impl<'a> Ids<'a> {
    fn of(item: &'a RawValue) -> Option<Ids<'a>> {
        object(item).ok()
    }
}

/// The id of the call whose result an item is, if it is one.
fn result_id(item: &RawValue) -> Option<String> {
    let ids = Ids::of(item)?;
    let kind = string(ids.r#type)?;
    let is_result = kind.ends_with("_output") || plain(&kind).ends_with("toolresult");
    let id = ids.call_id.or(ids.tool_use_id).or(ids.tool_call_id);
    string(id).filter(|_| is_result)
}

/// Whether a call is one that somebody else ran, or has a result among `answered`.
fn is_settled(call: &RawValue, answered: &[String]) -> bool {
    let Some(ids) = Ids::of(call) else {
        return false;
    };
    let id = ids.call_id.or(ids.tool_call_id).or(ids.id);
    let has_result = string(id).is_some_and(|id| answered.contains(&id));
    let is_elsewhere = ids
        .provider_executed
        .is_some_and(|flag| flag.get() == "true");
    has_result || is_elsewhere || string(ids.r#type).as_deref() == Some("server_tool_use")
}

/// What an object of that kind has to be read as.
fn of_kind(kind: &str, members: &[(String, &RawValue)], here: &str) -> Option<String> {
    let member = |name: &str| {
        let found = members.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| string(Some(value)))
    };
    let is_search = kind == "tool_search_call" && member("execution").as_deref() == Some("client");
    if CLIENT_CALLS.contains(&kind) || is_search {
        return Some(format!(
            "{here} is a `{kind}`, which is not a function call: toolhost cannot run it"
        ));
    }
    let is_ui = kind.starts_with("tool-") && member("state").as_deref() == Some("input-available");
    let has_output = members.iter().any(|(key, _)| key == "output");
    let is_call = CALL_KINDS.contains(&&*plain(kind))
        || !is_known(kind) && !has_output && is_like_one(kind, members);
    (is_call || is_ui).then(|| format!("{here} is a `{kind}` of an unknown shape"))
}

/// Whether a kind is one that is read, or that an API runs by itself.
fn is_known(kind: &str) -> bool {
    let is_listed = RESPONSES_ITEMS.contains(&kind) || ANTHROPIC_BLOCKS.contains(&kind);
    (is_listed || kind.ends_with("_tool_result")) && !CALL_KINDS.contains(&&*plain(kind))
}

/// Whether an object has all that a call has.
fn is_like_one(kind: &str, members: &[(String, &RawValue)]) -> bool {
    let mut members_of_ids = members.iter().map(|(key, _)| &**key);
    is_called(kind, members) && members_of_ids.any(|key| matches!(key, "call_id" | "id"))
}

/// The same, with an id or without.
fn is_called(kind: &str, members: &[(String, &RawValue)]) -> bool {
    let has = |names: &[&str]| members.iter().any(|(key, _)| names.contains(&&**key));
    CALL_KINDS.contains(&&*plain(kind)) || has(&["name"]) && has(&["arguments", "input"])
}

/// What an end says of calls.
fn by_end(key: &str, value: &RawValue) -> Option<String> {
    let is_end = matches!(
        plain(key).as_str(),
        "finishreason" | "stopreason" | "donereason" | "nativefinishreason"
    );
    let reason = string(Some(value)).filter(|_| is_end)?;
    (CALL_ENDS.contains(&&*reason) || is_malformed(&reason))
        .then(|| format!("is `{reason}` and there is no call"))
}

/// What text says that is a call in a model's own words.
fn by_template(key: &str, value: &RawValue) -> Option<String> {
    if !matches!(key, "content" | "text" | "response") {
        return None;
    }
    let text = string(Some(value))?;
    let text = match text.rsplit_once("</think>") {
        Some((_, said)) => said.trim_ascii(),
        None => text.trim_ascii(),
    };
    let template = TEMPLATES
        .iter()
        .find(|template| text.starts_with(**template))?;
    Some(format!(
        "starts with `{template}`: the model server did not parse the call; enable its tool call parser"
    ))
}

/// A name without what spellings differ by.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}
