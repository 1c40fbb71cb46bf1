//! OpenAI Responses, as <https://platform.openai.com/docs/api-reference/responses> has it.

mod events;
mod items;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{Echo, Piece, Takes, data_url, file_name};
use super::back::{edited, edited_items, kept, without_nulls};
use super::copies::{items_without_copies, without_copies};
use super::detail::Detail;
use super::error::{DecodeError, shape};
use super::history::{is_models, role, without_results};
use super::leftover;
use super::members::members;
use super::openai_chat::Function;
use super::request::Body;
use super::stream::unclosed;
use super::{
    Answer, Api, Names, Reply, Request, Stop, StreamDecoder, Tokens, ToolChoice, Wire, api_error,
    arguments, array, count, document, label, object, origin, raw, string,
};
use crate::tool::{CallKind, CallOrigin, Tool, ToolCall, Void};

pub(super) struct OpenaiResponses;

/// What a result may hold beside text.
const TAKES: Takes = Takes {
    images: &["image/png", "image/jpeg", "image/webp", "image/gif"],
    documents: &["application/pdf"],
};

#[derive(Serialize)]
struct Declaration<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    function: Function<'a>,
    /// Of what a result's text holds as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_callers: Vec<&'static str>,
}

#[derive(Serialize)]
struct CallOutput<'a> {
    r#type: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    /// There is no flag for errors: the text says it.
    output: Value,
    #[serde(flatten)]
    echo: Echo<'a>,
    #[serde(flatten)]
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    /// Of a custom tool: free text.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    /// The program that calls.
    #[serde(borrow)]
    caller: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Item<'_> {
    fn kind(&self) -> Option<String> {
        string(self.r#type)
    }
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
}

impl super::Sealed for OpenaiResponses {}

impl Wire for OpenaiResponses {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        let document = document(text)?;
        let items = if document.get().starts_with('[') {
            array(document)?
        } else {
            let response: Response = object(document)?;
            if response.output.is_some() {
                ended(&response)?;
            }
            match (response.output, response.error) {
                (Some(output), _) => array(output)?,
                (None, Some(error)) => return Err(api_error(error)),
                // An item by itself.
                (None, None) => vec![document],
            }
        };
        open_calls(&items)
    }

    fn reply(&self, text: &str) -> Result<Reply, DecodeError> {
        let response: Response = object(document(text)?)?;
        ended(&response)?;
        let Some(output) = response.output else {
            return Err(shape("an object without `output`"));
        };
        let output = items_without_copies(output, |item| call(&object(item).ok()?));
        let items = array(&output)?;
        let mut reply = Reply {
            messages: items.iter().map(|item| back(item)).collect(),
            carried: Map::new(),
            text: String::new(),
            calls: open_calls(&items)?,
            cut: Vec::new(),
            stop: Stop::End,
            tokens: tokens(response.usage),
        };
        for item in items {
            reply.text.push_str(&item_text(&object(item)?));
        }
        reply.stop = stop(&response, !reply.calls.is_empty());
        let calls = &reply.calls;
        let is_void = |at: &usize| calls[*at].void() == Some(&Void::Cut);
        reply.cut = (0..calls.len()).filter(is_void).collect();
        if reply.stop.is_early() {
            // Free text that others follow came to its end.
            let last = leftover::last_known(calls).unwrap_or_default();
            let is_cut = |at: &usize| *at == last || calls[*at].kind() != CallKind::FreeText;
            let unclosed = unclosed(calls).into_iter().filter(is_cut);
            reply.cut.extend(unclosed);
            reply.cut.sort_unstable();
            reply.cut.dedup();
        }
        Ok(reply)
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        let declare = |tool: &&Tool| {
            raw(&Declaration {
                r#type: "function",
                function: Function::new(tool, names),
                output_schema: tool.output_schema.as_ref(),
                allowed_callers: allowed_callers(tool),
            })
        };
        raw(&tools.iter().map(declare).collect::<Vec<_>>())
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let output = match &answer.document_pieces(&TAKES)[..] {
            [Piece::Text(text)] => json!(text),
            pieces => pieces.iter().map(part).collect(),
        };
        raw(&CallOutput {
            r#type: match (answer.void(), answer.kind()) {
                (Some(Void::Kind(kind)), _) => Cow::Owned(output_kind(kind)),
                (_, CallKind::FreeText) => Cow::Borrowed("custom_tool_call_output"),
                _ => Cow::Borrowed("function_call_output"),
            },
            call_id: answer.id(),
            output,
            echo: answer.echo(),
            detail: answer.detail(),
        })
    }
}

/// The kind of what answers a call of a kind that is not known, as the API names them.
fn output_kind(kind: &str) -> String {
    match kind {
        "tool_search_call" => "tool_search_output".to_owned(),
        kind => format!("{kind}_output"),
    }
}

fn part(piece: &Piece) -> Value {
    match piece {
        Piece::Text(text) => json!({ "type": "input_text", "text": text }),
        Piece::Image(media) => {
            let url = data_url(&media.mime_type, &media.data);
            json!({ "type": "input_image", "image_url": url })
        }
        Piece::Document(uri, kind, bytes) => json!({
            "type": "input_file",
            "filename": file_name(uri),
            "file_data": data_url(kind, bytes),
        }),
    }
}

/// Who may call a tool, in the API's words.
fn allowed_callers(tool: &Tool) -> Vec<&'static str> {
    let known = ["direct", "programmatic"].into_iter();
    known
        .filter(|caller| tool.allowed_callers.iter().any(|allowed| allowed == caller))
        .collect()
}

/// The calls among items that have no result there, and after which nobody but the model said anything.
fn open_calls(items: &[&RawValue]) -> Result<Vec<ToolCall>, DecodeError> {
    let mut calls = Vec::new();
    let mut results = Vec::new();
    // The calls of one answer: another may have the same ids.
    let mut answer = Vec::new();
    // How many of the calls others have spoken after.
    let mut past = 0;
    for raw in items {
        let item: Item = object(raw)?;
        if let Some(call) = call(&item) {
            answer.push(call);
            continue;
        }
        let is_result = matches!(
            item.kind().as_deref(),
            Some("function_call_output" | "custom_tool_call_output")
        );
        let is_others = is_others(raw);
        if is_result || is_others {
            calls.extend(without_copies(std::mem::take(&mut answer)));
        }
        if is_result {
            results.push(label(item.call_id));
        } else if is_others {
            past = calls.len();
        }
    }
    calls.extend(without_copies(answer));
    let later = calls.split_off(past);
    let earlier = without_results(calls, results.clone());
    let later = without_results(later, results);
    match (earlier.first(), later.is_empty()) {
        (Some(open), true) => Err(super::history::waits(open)),
        _ => leftover::with_unknown(
            later,
            after_others(items),
            &["function_call", "custom_tool_call"],
        ),
    }
}

/// Whether somebody else than the model said it.
fn is_others(item: &RawValue) -> bool {
    role(item).is_some() && !is_models(item)
}

/// The items after which nobody but the model said anything.
fn after_others<'i, 'a>(items: &'i [&'a RawValue]) -> &'i [&'a RawValue] {
    let last = items.iter().rposition(|item| is_others(item));
    &items[last.map_or(0, |last| last + 1)..]
}

/// The call that an item is, if it is one.
fn call(item: &Item) -> Option<ToolCall> {
    let (kind, given) = match item.kind().as_deref() {
        Some("function_call") => (CallKind::Function, item.arguments),
        Some("custom_tool_call") => (CallKind::FreeText, item.input),
        _ => return None,
    };
    let caller = item
        .caller
        .map(|caller| ("caller", caller.get().to_owned()));
    Some(ToolCall {
        id: label(item.call_id),
        name: label(item.name).unwrap_or_default(),
        arguments: arguments(given),
        origin: origin(CallOrigin {
            kind,
            namespace: string(item.namespace),
            by_program: super::is_program(item.caller),
            echo: caller.into_iter().collect(),
            void: (string(item.status).as_deref() == Some("incomplete")).then_some(Void::Cut),
            ..CallOrigin::default()
        }),
        ..ToolCall::default()
    })
}

/// An item as it goes back: an API refuses `null` for what is not set, and what its SDK adds.
pub(super) fn back(item: &RawValue) -> Box<RawValue> {
    let kind = object::<Item>(item).ok().and_then(|item| item.kind());
    // Without these the API takes no item of theirs, and `null` is one of their values.
    let null_means: &[&str] = match kind.as_deref() {
        Some("image_generation_call") => &["result"],
        Some("code_interpreter_call") => &["code", "outputs"],
        _ => &[],
    };
    let back = edited(item, |key, value| match key {
        "content" if kind.as_deref() == Some("message") => Some(edited_items(value, |part| {
            Some(without_nulls(part, &[], &["parsed"]))
        })),
        // Python has no member of that name.
        _ => kept(key, value, null_means, &["parsed_arguments", "async_"])
            .then_some(Cow::Borrowed(value)),
    });
    let is_async = members(item).is_some_and(|members| {
        let mut members = members.iter();
        members.any(|(key, value)| key == "async_" && value.get() == "true")
    });
    if !is_async {
        return back.into_owned();
    }
    let members = back.get().strip_suffix('}').unwrap_or_default();
    let with = format!("{members},\"async\":true}}");
    RawValue::from_string(with).unwrap_or_else(|_| back.into_owned())
}

/// What a message says.
fn item_text(item: &Item) -> String {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        refusal: Option<&'a RawValue>,
    }
    if item.kind().as_deref() != Some("message") {
        return String::new();
    }
    let parts = item.content.and_then(|content| array(content).ok());
    let texts = parts.unwrap_or_default().into_iter().filter_map(|part| {
        let part: Part = object(part).ok()?;
        string(part.text).or_else(|| string(part.refusal))
    });
    texts.collect()
}

impl Api for OpenaiResponses {
    fn stream(&self) -> Box<dyn StreamDecoder> {
        Box::<events::Stream>::default()
    }

    fn request(&self, request: &Request) -> Box<RawValue> {
        let mut body = Body::new();
        body.set("model", request.model);
        body.set_some("instructions", request.system);
        body.set("input", request.messages);
        if let Some(tools) = request.tools {
            body.set("tools", tools);
            let choice = match &request.tool_choice {
                ToolChoice::Auto => None,
                ToolChoice::None => Some(json!("none")),
                ToolChoice::Required => Some(json!("required")),
                ToolChoice::Tool(name) => Some(json!({ "type": "function", "name": name })),
            };
            body.set_some("tool_choice", choice);
            if !request.parallel {
                body.set("parallel_tool_calls", &false);
            }
        }
        body.set_some("temperature", request.temperature);
        body.set_some("max_output_tokens", request.max_tokens);
        if request.stream {
            body.set("stream", &true);
        }
        body.with(request.extra)
    }
}

/// # Errors
///
/// The response is an error.
fn ended(response: &Response) -> Result<(), DecodeError> {
    match response.error {
        Some(error) => Err(api_error(error)),
        None => match string(response.status).as_deref() {
            Some(status @ ("failed" | "cancelled")) => Err(DecodeError::Api {
                kind: status.to_owned(),
                message: format!("the response {status}"),
            }),
            _ => Ok(()),
        },
    }
}

fn stop(response: &Response, has_calls: bool) -> Stop {
    let details: Option<Details> = response
        .incomplete_details
        .and_then(|details| object(details).ok());
    let reason = details.and_then(|details| string(details.reason));
    match reason.as_deref() {
        Some("max_output_tokens") => Stop::Length,
        Some(reason) => Stop::Other(reason.to_owned()),
        None if has_calls => Stop::Calls,
        None => Stop::End,
    }
}

fn tokens(usage: Option<&RawValue>) -> Tokens {
    let usage: Option<Usage> = usage.and_then(|usage| object(usage).ok());
    usage.map_or_else(Tokens::default, |usage| Tokens {
        input: count(usage.input_tokens),
        output: count(usage.output_tokens),
    })
}
