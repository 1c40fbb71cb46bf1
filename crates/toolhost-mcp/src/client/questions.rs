//! A server's questions in the middle of a call, and the replies: converts between the protocol's
//! JSON and the library's types. Elicitation, sampling and roots, as the server's requests (up to
//! 2025-11-25) and as results that ask (from 2026-07-28 on).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    ClientCapabilities, ElicitationCapability, FormElicitationCapability, SamplingCapability,
    UrlElicitationCapability,
};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use url::Url;

use super::call_result::contents;
use toolhost_core::client_store::unguessable;
use toolhost_core::input::{
    Message, Question, QuestionKind, QuestionKinds, Reply, Role, Root, SamplingRequest,
};
use toolhost_core::manifest::McpProtocol;
use toolhost_core::tool::Content;

/// The requests by which servers ask.
pub(super) const METHODS: [&str; 3] =
    ["elicitation/create", "sampling/createMessage", "roots/list"];

/// Prefixes the method of such a request on its way through rmcp, which would parse it otherwise.
pub(super) const OURS: &str = "toolhost/";

/// The most questions of a call at once: somebody has to answer them.
pub(super) const MAX_QUESTIONS: usize = 32;

/// The `maxTokens` of a sampling request that sets none.
const MAX_TOKENS: u32 = 1024;

/// Questions by key.
pub(super) type Questions = Vec<(String, Question)>;

/// Replies as JSON, by key.
pub(super) type Responses = BTreeMap<String, Box<RawValue>>;

/// The client capabilities for these kinds of questions.
pub(super) fn capabilities(protocol: McpProtocol, kinds: QuestionKinds) -> ClientCapabilities {
    // Where tasks are an extension, servers create them only for clients that declare it.
    let mut capabilities = match protocol {
        McpProtocol::V2026_07_28 => ClientCapabilities::builder().enable_tasks().build(),
        _ => ClientCapabilities::default(),
    };
    let (form, page) = (
        kinds.contains(QuestionKind::Form),
        kinds.contains(QuestionKind::Url),
    );
    if form || page {
        let mut modes = ElicitationCapability::new();
        modes.form = form.then(FormElicitationCapability::default);
        modes.url = page.then(UrlElicitationCapability::default);
        capabilities.elicitation = Some(modes);
    }
    if kinds.contains(QuestionKind::Sampling) {
        capabilities.sampling = Some(SamplingCapability::default());
    }
    if kinds.contains(QuestionKind::Roots) {
        capabilities.roots = Some(Default::default());
    }
    capabilities
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Elicitation<'t> {
    mode: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(borrow)]
    requested_schema: Option<&'t RawValue>,
    url: Option<String>,
    elicitation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sampling<'t> {
    #[serde(borrow)]
    messages: Vec<SamplingMessage<'t>>,
    system_prompt: Option<String>,
    max_tokens: Option<f64>,
    temperature: Option<f64>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct SamplingMessage<'t> {
    role: String,
    #[serde(borrow)]
    content: &'t RawValue,
}

/// Parses a question from the method and parameters of a request.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn question(method: &str, params: &str) -> Result<Question, String> {
    let unread = |error: serde_json::Error| format!("cannot parse `{method}`: {error}");
    match method {
        "elicitation/create" => elicitation(serde_json::from_str(params).map_err(unread)?),
        "sampling/createMessage" => sampling(serde_json::from_str(params).map_err(unread)?),
        "roots/list" => Ok(Question::Roots),
        _ => Err(format!("`{method}` is not a question that can be asked")),
    }
}

fn elicitation(asked: Elicitation) -> Result<Question, String> {
    let message = asked.message;
    let is_page = match asked.mode.as_deref() {
        None => asked.url.is_some() && asked.requested_schema.is_none(),
        Some("form") => false,
        Some("url") => true,
        Some(mode) => return Err(format!("unknown elicitation mode: {mode:?}")),
    };
    if is_page {
        let url = asked.url.unwrap_or_default();
        // The user may simply open it.
        let parsed = Url::parse(&url).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err("an elicitation URL must be http or https".to_owned());
        }
        let id = asked.elicitation_id.or_else(unguessable);
        return Ok(Question::Url {
            message,
            url,
            id: id.unwrap_or_default(),
        });
    }
    let schema = asked.requested_schema.map_or("{}", RawValue::get);
    if !schema.starts_with('{') {
        return Err("the form's schema is not an object".to_owned());
    }
    Ok(Question::Form {
        message,
        schema: schema.to_owned(),
    })
}

fn sampling(asked: Sampling) -> Result<Question, String> {
    if asked.tools.is_some_and(|tools| !tools.is_empty()) {
        return Err("sampling with tools is not supported".to_owned());
    }
    let mut messages = Vec::new();
    for message in asked.messages {
        let role = match &*message.role {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            role => return Err(format!("unknown sampling role: {role:?}")),
        };
        let contents = contents(message.content).into_iter();
        messages.extend(contents.map(|(content, _)| Message::new(role, content)));
    }
    let max_tokens = asked.max_tokens.filter(|it| *it >= 1.0);
    let max_tokens = max_tokens.map_or(MAX_TOKENS, |it| it as u32);
    let conversation = SamplingRequest::new(messages, max_tokens)
        .with_system_prompt(asked.system_prompt)
        .with_temperature(asked.temperature)
        .with_stop_sequences(asked.stop_sequences.unwrap_or_default());
    Ok(Question::Sampling(conversation))
}

/// The task of the call that a request belongs to.
pub(super) fn related_task(params: &str) -> Option<String> {
    let params: Value = serde_json::from_str(params).ok()?;
    let related = params
        .get("_meta")?
        .get("io.modelcontextprotocol/related-task")?;
    related.get("taskId")?.as_str().map(str::to_owned)
}

/// A result that asks questions.
pub(super) struct QuestionResult {
    pub(super) questions: Questions,
    /// The `requestState` to send back with the replies.
    pub(super) state: Option<Box<RawValue>>,
}

/// Parses the questions of a result; `None` if it asks none.
///
/// # Errors
///
/// What is wrong with its questions.
pub(super) fn asking(result: &str) -> Result<Option<QuestionResult>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Result<'t> {
        #[serde(borrow)]
        result_type: Option<&'t RawValue>,
        #[serde(borrow)]
        content: Option<&'t RawValue>,
        #[serde(borrow)]
        input_requests: Option<&'t RawValue>,
        #[serde(borrow)]
        request_state: Option<&'t RawValue>,
    }
    let Ok(result) = serde_json::from_str::<Result>(result) else {
        return Ok(None);
    };
    let is_asking = match result.result_type.map(RawValue::get) {
        Some(kind) => kind == "\"input_required\"",
        None => result.input_requests.is_some() && result.content.is_none(),
    };
    if !is_asking {
        return Ok(None);
    }
    let questions = match result.input_requests {
        Some(requests) => self::requests(requests)?,
        None => Vec::new(),
    };
    if questions.is_empty() && result.request_state.is_none() {
        return Err("its server asks for input without a question".to_owned());
    }
    Ok(Some(QuestionResult {
        questions,
        state: result.request_state.map(RawValue::to_owned),
    }))
}

/// Parses the questions of `inputRequests`.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn requests(requests: &RawValue) -> Result<Questions, String> {
    #[derive(Deserialize)]
    struct Request<'t> {
        method: String,
        #[serde(borrow)]
        params: Option<&'t RawValue>,
    }
    let requests: BTreeMap<String, Request> = serde_json::from_str(requests.get())
        .map_err(|error| format!("cannot parse the questions of its server: {error}"))?;
    if requests.len() > MAX_QUESTIONS {
        let count = requests.len();
        return Err(format!(
            "its server asks {count} questions at once, but at most {MAX_QUESTIONS} are allowed"
        ));
    }
    let mut questions = Vec::new();
    for (key, request) in requests {
        let params = request.params.map_or("{}", RawValue::get);
        let question = question(&request.method, params)
            .map_err(|why| format!("cannot ask the question {key:?} of its server: {why}"))?;
        questions.push((key, question));
    }
    Ok(questions)
}

/// The pages to be visited before a call can be made, from the `data` of its error.
pub(super) fn pages(data: &Value) -> Option<Questions> {
    let pages = data.get("elicitations")?.as_array()?;
    if pages.is_empty() || pages.len() > MAX_QUESTIONS {
        return None;
    }
    let pages = pages.iter().enumerate().map(|(number, page)| {
        let question = question("elicitation/create", &page.to_string()).ok()?;
        let is_page = question.kind() == QuestionKind::Url;
        is_page.then(|| (number.to_string(), question))
    });
    pages.collect()
}

/// The response to a question that nobody is asked.
///
/// # Errors
///
/// There is none: the error to answer with.
pub(super) fn refused(question: &Question) -> Result<Box<RawValue>, String> {
    match question {
        Question::Form { .. } | Question::Url { .. } => raw(&json!({ "action": "decline" })),
        Question::Roots => raw(&json!({ "roots": [] })),
        _ => Err("no model is available to answer".to_owned()),
    }
}

/// The response to a question.
///
/// # Errors
///
/// There is none: the error to answer with.
pub(super) fn response(question: &Question, reply: Option<Reply>) -> Result<Box<RawValue>, String> {
    match (question, reply) {
        (Question::Form { .. }, Some(Reply::Accepted(json))) => {
            let content = RawValue::from_string(json.unwrap_or_else(|| "{}".to_owned()));
            let content = content.map_err(|error| format!("the answer is not JSON: {error}"))?;
            let members = [("action", raw(&json!("accept"))?), ("content", content)];
            raw(&BTreeMap::from(members))
        }
        (Question::Url { .. }, Some(Reply::Accepted(_))) => raw(&json!({ "action": "accept" })),
        (Question::Form { .. } | Question::Url { .. }, Some(Reply::Declined)) => {
            raw(&json!({ "action": "decline" }))
        }
        (Question::Form { .. } | Question::Url { .. }, _) => raw(&json!({ "action": "cancel" })),
        (
            Question::Sampling(_),
            Some(Reply::Completion {
                role,
                content,
                model,
                stop_reason,
            }),
        ) => raw(&completion(role, &content, &model, stop_reason.as_deref())),
        (Question::Sampling(_), _) => Err("the user rejected the request".to_owned()),
        (Question::Roots, Some(Reply::Roots(roots))) => {
            let roots: Vec<Value> = roots.iter().map(root).collect();
            raw(&json!({ "roots": roots }))
        }
        (Question::Roots, _) => raw(&json!({ "roots": [] })),
        (_, _) => Err("this kind of question cannot be answered".to_owned()),
    }
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, String> {
    to_raw_value(value).map_err(|error| error.to_string())
}

fn completion(role: Role, content: &Content, model: &str, stop_reason: Option<&str>) -> Value {
    let role = match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let content = match content {
        Content::Image(media) => json!({
            "type": "image", "data": STANDARD.encode(&media.data), "mimeType": media.mime_type,
        }),
        Content::Audio(media) => json!({
            "type": "audio", "data": STANDARD.encode(&media.data), "mimeType": media.mime_type,
        }),
        content => json!({ "type": "text", "text": content.to_text() }),
    };
    let mut completion = json!({ "role": role, "content": content, "model": model });
    if let Some(reason) = stop_reason {
        completion["stopReason"] = reason.into();
    }
    completion
}

fn root(root: &Root) -> Value {
    match &root.name {
        Some(name) => json!({ "uri": root.uri, "name": name }),
        None => json!({ "uri": root.uri }),
    }
}
