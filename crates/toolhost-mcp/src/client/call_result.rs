//! Parses results of calls. Servers' results are taken leniently: content that can be shown to a
//! model is never lost because something beside it is malformed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rmcp::model::{Annotations, ContentBlock, Icon, ResourceContents};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::handed_on;
use toolhost_core::error::CallError;
use toolhost_core::limits::Limits;
use toolhost_core::provider::{self, mismatch, output_limit};
use toolhost_core::schema::Schema;
use toolhost_core::schema::check_scheduling::Allowed;
use toolhost_core::tool::{
    Content, EmbeddedResource, Media, OUTPUT_MISMATCH, Output, ResourceLink,
};

/// # Errors
///
/// The tool failed, or its result is malformed.
pub(super) fn output(result: &str, limits: &Limits) -> Result<Output, CallError> {
    let no_result = || failed("its server's answer is not a result");
    let mut result: BTreeMap<String, &RawValue> =
        serde_json::from_str(result).map_err(|_| no_result())?;
    result.retain(|_, value| value.get() != "null");
    // Results before there was `content`.
    let earlier = result
        .get("toolResult")
        .filter(|_| !result.contains_key("content"));
    if let Some(earlier) = earlier {
        return match earlier.get().starts_with('{') {
            true => output(earlier.get(), limits),
            false => Ok(Output::text(
                value(earlier).as_str().unwrap_or(earlier.get()),
            )),
        };
    }
    match result.get("resultType").map(|it| value(it)) {
        Some(Value::String(kind)) if kind == "input_required" => {
            return Err(failed(
                "its server asks for input again, in the result of a task",
            ));
        }
        // A task has to be polled; it is not a result.
        Some(Value::String(kind)) if kind == "task" && !result.contains_key("content") => {
            return Err(failed(
                "its server started a task without an id or a status",
            ));
        }
        _ => {}
    }
    let known = [
        "content",
        "structuredContent",
        "isError",
        "is_error",
        "_meta",
        "resultType",
    ];
    if !result.is_empty() && !known.iter().any(|name| result.contains_key(*name)) {
        return Err(no_result());
    }
    let structured = result.get("structuredContent").map(|json| json.get());
    let blocks = result.get("content").map_or(Vec::new(), |it| contents(it));
    let (content, content_meta): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    let meta = result.get("_meta").map(|it| value(it));
    // A failure marked with another spelling or type is not a success either.
    let mut markers = ["isError", "is_error"].into_iter();
    let is_error = markers.any(|name| result.get(name).is_some_and(|it| is_truthy(&value(it))));
    let size: usize = content.iter().map(Content::size).sum();
    let size = size + structured.map_or(0, str::len);
    // Before validation, which takes longer.
    if size as u64 > limits.max_output.as_u64() {
        return Err(output_limit(limits));
    }
    if is_error {
        let texts: Vec<String> = content.iter().map(Content::to_text).collect();
        let message = match texts.join("\n") {
            text if !text.trim().is_empty() => text,
            _ => structured.unwrap_or("no reason given").to_owned(),
        };
        return Err(bounded_failure(message, limits));
    }
    let json = structured.map(str::to_owned);
    let mut output = match provider::output(Vec::new(), json) {
        Ok(mut output) => {
            output.content = content;
            output
        }
        Err(problem) => without_structured(content, structured, problem),
    };
    let content_meta = content_meta.into_iter().enumerate();
    output.content_meta = content_meta.filter(|(_, meta)| !meta.is_empty()).collect();
    if let Some(Value::Object(meta)) = meta
        && let Some(mut meta) = handed_on(&meta)
    {
        // Only this host may set it.
        meta.remove(OUTPUT_MISMATCH);
        output.meta.get_or_insert_default().extend(meta);
    }
    match output.len() > limits.max_output.as_u64() {
        true => Err(output_limit(limits)),
        false => Ok(output),
    }
}

/// Validates structured output: if it violates the schema it is dropped, and the result marked.
/// Returns the CPU time as well.
///
/// # Errors
///
/// The deadline of the call has passed, or the answer is over `max-output`.
pub(super) async fn validated(
    output: Output,
    schema: Option<&Arc<Schema>>,
    allowed: Allowed<'_>,
) -> (Result<Output, CallError>, Duration) {
    let is_marked = |meta: &Map<String, Value>| meta.contains_key(OUTPUT_MISMATCH);
    if output.meta.as_ref().is_some_and(is_marked) {
        return (Ok(output), Duration::ZERO);
    }
    let (problem, spent) = mismatch(output.structured.as_deref(), schema, allowed).await;
    let held = match problem {
        Ok(None) => Ok(output),
        Ok(Some(problem)) => marked(output, problem, allowed.limits),
        Err(error) => Err(error),
    };
    (held, spent)
}

fn marked(mut output: Output, problem: String, limits: &Limits) -> Result<Output, CallError> {
    let structured = output.structured.take();
    let structured = structured.as_deref().map(RawValue::get);
    let mut held = without_structured(std::mem::take(&mut output.content), structured, problem);
    held.content_meta = std::mem::take(&mut output.content_meta);
    held.meta
        .get_or_insert_default()
        .extend(output.meta.into_iter().flatten());
    match held.len() > limits.max_output.as_u64() {
        true => Err(output_limit(limits)),
        false => Ok(held),
    }
}

/// An output whose structured part is invalid: as text if there is no other content, and marked.
fn without_structured(content: Vec<Content>, structured: Option<&str>, problem: String) -> Output {
    let mut output = Output::new(content);
    if let Some(json) = structured.filter(|_| output.content.is_empty()) {
        output.content.push(Content::Text(json.to_owned()));
    }
    let note = format!("[toolhost: no structured output: {problem}]");
    output.content.push(Content::Text(note));
    let mut meta = Map::new();
    meta.insert(OUTPUT_MISMATCH.to_owned(), problem.into());
    output.meta = Some(meta);
    output
}

/// A failure, unless its message is over `max-output`.
pub(super) fn bounded_failure(message: String, limits: &Limits) -> CallError {
    match message.len() as u64 > limits.max_output.as_u64() {
        true => output_limit(limits),
        false => failed(message),
    }
}

pub(super) fn failed(message: impl Into<String>) -> CallError {
    CallError::Failed {
        message: message.into(),
    }
}

/// Parses a part of a message.
pub(super) fn value(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// Whether a value means yes, in any of the ways that servers write it.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => {
            let no = ["", "0", "false", "no", "none", "null"];
            !no.contains(&&*it.trim().to_ascii_lowercase())
        }
        Value::Array(it) => !it.is_empty(),
        Value::Object(it) => !it.is_empty(),
    }
}

/// Parses content: a list of blocks, or anything else. Returns each block with its other members.
pub(super) fn contents(content: &RawValue) -> Vec<(Content, Map<String, Value>)> {
    // Content that cannot be parsed is shown as written, never dropped.
    let written = || content.get().into();
    match serde_json::from_str(content.get()).unwrap_or_else(|_| written()) {
        Value::Array(blocks) => blocks.into_iter().map(any_content).collect(),
        Value::Null => Vec::new(),
        block => vec![any_content(block)],
    }
}

/// Parses a block of content; a block of an unknown kind is shown as JSON.
fn any_content(block: Value) -> (Content, Map<String, Value>) {
    let of_block = |content| (content, Map::new());
    match block {
        Value::String(text) => of_block(Content::Text(text)),
        Value::Object(mut members) => {
            let written = members.clone();
            let beside = said_of(&mut members);
            let known = serde_json::from_value(Value::Object(members)).ok();
            match known.and_then(content) {
                Some(content) => (content, beside),
                None => of_block(Content::Text(Value::Object(written).to_string())),
            }
        }
        other => of_block(Content::Text(other.to_string())),
    }
}

/// Takes the `annotations`, `_meta` and the like out of a block. Malformed ones are dropped; the
/// content is not.
fn said_of(block: &mut Map<String, Value>) -> Map<String, Value> {
    let mut said = Map::new();
    let annotations = block.remove("annotations");
    let annotations =
        annotations.filter(|it| serde_json::from_value::<Annotations>(it.clone()).is_ok());
    if let Some(annotations) = annotations {
        said.insert("annotations".to_owned(), annotations);
    }
    said.extend(meta_of(block));
    if let Some(Value::Object(resource)) = block.get_mut("resource") {
        let meta: Map<String, Value> = meta_of(resource).into_iter().collect();
        if !meta.is_empty() {
            said.insert("resource".to_owned(), Value::Object(meta));
        }
    }
    if block
        .get("type")
        .is_some_and(|kind| kind == "resource_link")
    {
        said.extend(link_of(block));
    }
    said
}

/// The members of a link beside its URI.
fn link_of(block: &mut Map<String, Value>) -> Map<String, Value> {
    let are_icons = |it: &Value| serde_json::from_value::<Vec<Icon>>(it.clone()).is_ok();
    let mut take = |name: &str, is_fit: &dyn Fn(&Value) -> bool| {
        let value = block.remove(name).filter(is_fit)?;
        Some((name.to_owned(), value))
    };
    let said = [
        take("title", &Value::is_string),
        take("size", &Value::is_u64),
        take("icons", &are_icons),
    ];
    said.into_iter().flatten().collect()
}

fn meta_of(members: &mut Map<String, Value>) -> Option<(String, Value)> {
    let Some(Value::Object(meta)) = members.remove("_meta") else {
        return None;
    };
    Some(("_meta".to_owned(), Value::Object(handed_on(&meta)?)))
}

fn content(block: ContentBlock) -> Option<Content> {
    Some(match block {
        ContentBlock::Text(text) => Content::Text(text.text),
        ContentBlock::Image(image) => Content::Image(media(&image.data, image.mime_type)?),
        ContentBlock::Audio(audio) => Content::Audio(media(&audio.data, audio.mime_type)?),
        ContentBlock::Resource(resource) => Content::Embedded(embedded(resource.resource)?),
        ContentBlock::ResourceLink(link) => Content::Link(
            ResourceLink::new(link.uri, link.name)
                .with_description(link.description)
                .with_mime_type(link.mime_type),
        ),
        _ => return None,
    })
}

fn embedded(contents: ResourceContents) -> Option<EmbeddedResource> {
    match contents {
        ResourceContents::TextResourceContents {
            uri,
            mime_type,
            text,
            ..
        } => Some(EmbeddedResource::new(uri, text).with_mime_type(mime_type)),
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => Some(EmbeddedResource::new(uri, decode(&blob)?).with_mime_type(mime_type)),
        _ => None,
    }
}

fn media(data: &str, mime_type: String) -> Option<Media> {
    Some(Media::new(decode(data)?, mime_type))
}

/// Decodes base64 in either alphabet, padded or not, with or without line breaks, bare or in a
/// `data:` URL.
fn decode(data: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let data = match data.split_once(";base64,") {
        Some((head, data)) if head.starts_with("data:") => data,
        _ => data,
    };
    let data: Vec<u8> = data
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let plain = GeneralPurpose::new(&STANDARD, LENIENT).decode(&data);
    let decoded = plain.or_else(|_| GeneralPurpose::new(&URL_SAFE, LENIENT).decode(&data));
    decoded.ok()
}
