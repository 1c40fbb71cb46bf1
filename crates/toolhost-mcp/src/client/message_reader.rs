//! Reads servers' messages leniently: batches, ids of another type, `error: null`, results with
//! missing fields. rmcp guesses the type of a result from its fields; here it follows from the
//! request. Results that rmcp need not understand are passed on as text, in a [`CustomResult`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, CustomResult, ErrorCode, ErrorData,
    JsonRpcMessage, ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerResult, Tool,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::call_result::is_truthy;
use super::json_repair::{whole_characters, without_nan};
use super::questions::{METHODS, OURS};
use crate::json_lines::IdFinder;
use toolhost_core::locks;

/// The key in a listed tool's `_meta` for the tool as the server wrote it.
const RAW_TOOL: &str = "toolhost/raw";

/// The most messages of one batch.
const MAX_BATCH: usize = 10_000;

/// The most unanswered requests remembered.
const MAX_PENDING: usize = 40_000;

/// The requests that a server has not answered.
#[derive(Clone, Default)]
pub(super) struct MessageReader(Arc<Mutex<HashMap<RequestId, ResultKind>>>);

/// How the result of a request has to be read.
#[derive(Clone)]
enum ResultKind {
    /// `initialize`, with this protocol version.
    Initialize(ProtocolVersion),
    ListTools,
    /// rmcp parses the result.
    Typed,
    /// The result is passed on as text.
    Raw,
}

impl MessageReader {
    fn pending(&self) -> MutexGuard<'_, HashMap<RequestId, ResultKind>> {
        locks::lock(&self.0)
    }

    /// Notes an outgoing message.
    pub(super) fn sent(&self, message: &ClientJsonRpcMessage) {
        match message {
            JsonRpcMessage::Request(request) => {
                let kind = match &request.request {
                    ClientRequest::InitializeRequest(it) => {
                        ResultKind::Initialize(it.params.protocol_version.clone())
                    }
                    ClientRequest::ListToolsRequest(_) => ResultKind::ListTools,
                    ClientRequest::CustomRequest(_) => ResultKind::Raw,
                    _ => ResultKind::Typed,
                };
                let mut pending = self.pending();
                pending.insert(request.id.clone(), kind);
                // Requests may have been given up without a notification.
                if pending.len() > MAX_PENDING
                    && let RequestId::Number(newest) = request.id
                {
                    let oldest = newest - MAX_PENDING as i64 / 2;
                    pending.retain(|id, _| matches!(id, RequestId::Number(id) if *id >= oldest));
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.pending().remove(id);
                }
            }
            _ => {}
        }
    }

    /// The messages of a line or body; empty if there are none. An error without an id belongs to
    /// the request `of`, or else to the only pending one.
    pub(super) fn read(&self, text: &[u8], of: Option<&RequestId>) -> Vec<ServerJsonRpcMessage> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = whole_characters(text.trim_ascii());
        let (mut texts, mut unread) = documents(&text);
        let mended = without_nan(unread);
        if let Some(mended) = &mended {
            let (more, still_unread) = documents(mended);
            texts.extend(more);
            unread = still_unread;
        }
        let texts = texts.into_iter().take(MAX_BATCH);
        let read = texts.filter_map(|text| self.one(text, of));
        let mut read: Vec<_> = read.collect();
        read.extend(self.unreadable(unread));
        read
    }

    /// An error for the request whose answer is not JSON, so that nobody waits for more.
    fn unreadable(&self, text: &[u8]) -> Option<ServerJsonRpcMessage> {
        if !text.starts_with(b"{") {
            return None;
        }
        let problem = serde_json::from_slice::<&RawValue>(text).err()?;
        // The rest of it may be on further lines.
        if problem.is_eof() {
            return None;
        }
        let id = IdFinder::answered(text).map(RequestId::Number)?;
        self.unread_answer(id, &problem.to_string())
    }

    /// An error for a request, if it is pending.
    fn unread_answer(&self, id: RequestId, problem: &str) -> Option<ServerJsonRpcMessage> {
        self.forget(Some(&id))?;
        let message = format!("cannot parse the answer of its MCP server: {problem}");
        let error = ErrorData::new(ErrorCode::PARSE_ERROR, message, None);
        Some(ServerJsonRpcMessage::error(error, Some(id)))
    }

    fn one(&self, text: &RawValue, of: Option<&RequestId>) -> Option<ServerJsonRpcMessage> {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(text.get()).ok()?;
        // A member that is null counts as missing.
        let is_null = |value: &RawValue| value.get() == "null";
        let result = members.get("result").copied();
        let is_answer = members.contains_key("jsonrpc") || members.contains_key("error");
        members.retain(|_, value| !is_null(value));
        let id = members.get("id").and_then(|id| request_id(id));
        let has_result = members.contains_key("result");
        let error = members.get("error").copied();
        // Some answers contain the method, too.
        let answers = has_result || error.is_some();
        if members.contains_key("method") && !(answers && self.awaits(id.as_ref())) {
            return asked(text, &members);
        }
        // Beside a result, an error counts only if it is not empty.
        if let Some(error) = error.filter(|error| !has_result || is_real_error(error)) {
            let id = id.or_else(|| of.cloned()).or_else(|| self.only());
            self.forget(id.as_ref());
            return Some(ServerJsonRpcMessage::error(error_data(error), id));
        }
        let id = id?;
        let Some(result) = result else {
            // Log lines may have an id, too.
            let problem = "it has neither a result nor an error";
            return is_answer.then(|| self.unread_answer(id, problem))?;
        };
        let kind = self.forget(Some(&id)).unwrap_or(ResultKind::Raw);
        Some(ServerJsonRpcMessage::response(kind.result(result), id))
    }

    /// The pending request, if there is only one. Subscriptions do not count.
    fn only(&self) -> Option<RequestId> {
        let pending = self.pending();
        let mut waiting = pending
            .iter()
            .filter(|(_, kind)| !matches!(kind, ResultKind::Typed));
        let (first, _) = waiting.next()?;
        waiting.next().is_none().then(|| first.clone())
    }

    /// Notes the answer to a request that is not parsed here.
    pub(super) fn passed(&self, id: &RequestId) {
        self.forget(Some(id));
    }

    fn awaits(&self, id: Option<&RequestId>) -> bool {
        id.is_some_and(|id| self.pending().contains_key(id))
    }

    fn forget(&self, id: Option<&RequestId>) -> Option<ResultKind> {
        self.pending().remove(id?)
    }
}

/// The JSON documents at the beginning of a text, those of a batch separately, and the rest.
fn documents(text: &[u8]) -> (Vec<&RawValue>, &[u8]) {
    let mut texts = Vec::new();
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return (texts, text);
    }
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    while texts.len() < MAX_BATCH
        && let Some(Ok(document)) = documents.next()
    {
        match document.get().starts_with('[') {
            true => texts.extend(batch(document)),
            false => texts.push(document),
        }
    }
    let unread = text.get(documents.byte_offset()..).unwrap_or_default();
    (texts, unread.trim_ascii_start())
}

fn batch(document: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(document.get()).unwrap_or_default()
}

impl ResultKind {
    fn result(&self, text: &RawValue) -> ServerResult {
        let value = match self {
            ResultKind::Initialize(version) => initialized(text, version),
            ResultKind::ListTools => listed(text),
            ResultKind::Typed => serde_json::from_str(text.get()).ok(),
            ResultKind::Raw => None,
        };
        let custom = || ServerResult::CustomResult(CustomResult(text.get().into()));
        let known = value.and_then(|value| serde_json::from_value(value).ok());
        known.unwrap_or_else(custom)
    }
}

/// Parses a request or notification.
fn asked(text: &RawValue, members: &BTreeMap<String, &RawValue>) -> Option<ServerJsonRpcMessage> {
    if let Some(question) = question(members) {
        return serde_json::from_value(question).ok();
    }
    if let Ok(message) = serde_json::from_str(text.get()) {
        return Some(message);
    }
    // Null members are left out, and `jsonrpc` is added.
    let mut message = Map::new();
    for (name, value) in members {
        message.insert(name.clone(), serde_json::from_str(value.get()).ok()?);
    }
    message.insert("jsonrpc".to_owned(), "2.0".into());
    let message = serde_json::from_value(Value::Object(message));
    message
        .inspect_err(|error| tracing::debug!("skipped a message: {error}"))
        .ok()
}

/// A request that asks something, with its parameters as text: rmcp would drop what it cannot
/// parse, and leave the server without an answer.
fn question(members: &BTreeMap<String, &RawValue>) -> Option<Value> {
    let id: Value = serde_json::from_str(members.get("id")?.get()).ok()?;
    let method: String = serde_json::from_str(members.get("method")?.get()).ok()?;
    let params = members.get("params").map_or("{}", |it| it.get());
    METHODS.contains(&&*method).then(|| {
        json!({
            "jsonrpc": "2.0",
            "id": id,
            "method": format!("{OURS}{method}"),
            "params": { "params": params },
        })
    })
}

/// Our ids are numbers. Some servers answer with text, or with `1.0`.
fn request_id(id: &RawValue) -> Option<RequestId> {
    let number = match serde_json::from_str(id.get()).ok()? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return None,
    };
    let whole = number.strip_suffix(".0").unwrap_or(&number);
    Some(match whole.parse() {
        Ok(number) => RequestId::Number(number),
        Err(_) => RequestId::String(number.into()),
    })
}

/// Whether it is a non-empty object: some servers add an empty error to each result.
fn is_real_error(error: &RawValue) -> bool {
    let error: Option<Map<String, Value>> = serde_json::from_str(error.get()).ok();
    error.is_some_and(|error| error.values().any(is_truthy))
}

/// The error, with at least a message. A code that is not a number is put before the message.
fn error_data(error: &RawValue) -> ErrorData {
    // Malformed errors are shown as written.
    let value = serde_json::from_str(error.get()).unwrap_or_else(|_| error.get().into());
    let Value::Object(mut error) = value else {
        let text = match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        return ErrorData::new(ErrorCode::INTERNAL_ERROR, text, None);
    };
    let data = error.remove("data").filter(|data| !data.is_null());
    let in_words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let message = error.remove("message").filter(|it| !it.is_null());
    let message = message.map(|message| in_words(&message));
    let message = message.filter(|message| !message.trim().is_empty());
    // Some put everything into `data`.
    let message = message.or_else(|| data.as_ref().map(in_words));
    let message = message.unwrap_or_else(|| "an error without a message".to_owned());
    let (code, message) = match error.remove("code") {
        Some(Value::Number(code)) => (code.as_i64(), message),
        Some(Value::String(code)) => match code.parse() {
            Ok(code) => (Some(code), message),
            Err(_) => (None, format!("{code}: {message}")),
        },
        _ => (None, message),
    };
    let code = code.and_then(|code| i32::try_from(code).ok());
    let code = code.map_or(ErrorCode::INTERNAL_ERROR, ErrorCode);
    ErrorData::new(code, message, data)
}

/// The result of `initialize`, with missing members added.
fn initialized(text: &RawValue, asked: &ProtocolVersion) -> Option<Value> {
    let mut result: Map<String, Value> = serde_json::from_str(text.get()).ok()?;
    if !result.contains_key("protocolVersion") && !result.contains_key("serverInfo") {
        return None;
    }
    let version = result.get("protocolVersion").and_then(Value::as_str);
    let is_known = version.is_some_and(|version| {
        let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
        known.any(|known| known.as_str() == version)
    });
    if !is_known {
        result.insert("protocolVersion".to_owned(), asked.as_str().into());
    }
    // The only relevant capability: whether the server notifies of changes.
    let tools = result.get("capabilities").and_then(|it| it.get("tools"));
    let changes = tools.and_then(|it| it.get("listChanged")) == Some(&Value::Bool(true));
    let capabilities = json!({ "tools": { "listChanged": changes } });
    result.insert("capabilities".to_owned(), capabilities);
    let info = result.get("serverInfo");
    let said = |field: &str| {
        let said = info.and_then(|info| info.get(field));
        said.and_then(Value::as_str).unwrap_or("?").to_owned()
    };
    let info = json!({ "name": said("name"), "version": said("version") });
    result.insert("serverInfo".to_owned(), info);
    result.retain(|name, _| {
        ["protocolVersion", "capabilities", "serverInfo"].contains(&name.as_str())
    });
    Some(Value::Object(result))
}

/// The result of `tools/list`: each tool as rmcp accepts it, with the server's own text beside it.
fn listed(text: &RawValue) -> Option<Value> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'t> {
        #[serde(borrow)]
        tools: Vec<&'t RawValue>,
        #[serde(default)]
        next_cursor: Option<Value>,
    }
    let page: Page = serde_json::from_str(text.get()).ok()?;
    let tools = page.tools.into_iter().map(listed_tool);
    let mut result = json!({ "tools": tools.collect::<Vec<_>>() });
    let cursor = match page.next_cursor {
        Some(Value::String(cursor)) => Some(cursor),
        Some(Value::Number(cursor)) => Some(cursor.to_string()),
        _ => None,
    };
    // Some write an empty cursor for the last page.
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
        result["nextCursor"] = cursor.into();
    }
    Some(result)
}

/// A listed tool, as the server wrote it.
pub(super) fn raw_tool(tool: &Tool) -> &str {
    let raw = tool.meta.as_ref().and_then(|meta| meta.get(RAW_TOOL));
    raw.and_then(Value::as_str).unwrap_or_default()
}

/// A tool as rmcp accepts it, with the server's own text beside it.
pub(super) fn listed_tool(text: &RawValue) -> Value {
    let tool: Value = serde_json::from_str(text.get()).unwrap_or_default();
    let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
    // The only member of the schema that rmcp needs; the schema may be long.
    let has_headers = text.get().contains("x-mcp-header");
    let schema = tool
        .get("inputSchema")
        .filter(|it| has_headers && it.is_object());
    let schema = schema.cloned();
    json!({
        "name": name,
        "inputSchema": schema.unwrap_or_else(|| json!({})),
        "_meta": { RAW_TOOL: text.get() },
    })
}

/// The text of a result that is parsed by our own code.
pub(super) fn raw(result: ServerResult) -> Option<String> {
    match result {
        ServerResult::CustomResult(CustomResult(Value::String(text))) => Some(text),
        _ => None,
    }
}
