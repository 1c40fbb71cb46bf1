//! Streamable HTTP as servers really speak it: wrong content types, batches, forgotten sessions.
//! The last error is kept in plain words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use rmcp_sse::{Sse, SseStream};

use super::encode::encode;
use super::http_bodies::{
    EVENT_STREAM, HttpFailure, JSON, bounded, event, is_event_stream, mentions_session, plainly,
    read, read_whole, too_long,
};
use super::message_reader::MessageReader;
use toolhost_core::locks;
use toolhost_core::mask::Mask;

const SESSION: &str = "mcp-session-id";

/// The longest part of a body shown, in bytes.
const MAX_SHOWN: usize = 300;

#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    mask: Mask,
    reader: MessageReader,
    trouble: Trouble,
}

/// The last error.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Fault>>>);

pub(super) struct Fault {
    /// The end of a sentence that begins with the server's name.
    pub(super) why: String,
    /// Whether it would be the same in every protocol version.
    pub(super) is_final: bool,
}

impl Trouble {
    pub(super) fn take(&self) -> Option<Fault> {
        let mut trouble = locks::lock(&self.0);
        trouble.take()
    }

    fn set(&self, fault: Option<Fault>) {
        *locks::lock(&self.0) = fault;
    }
}

impl Http {
    pub(super) fn new(client: Client, mask: Mask) -> Self {
        Http {
            client,
            mask,
            reader: MessageReader::default(),
            trouble: Trouble::default(),
        }
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    async fn send(&self, request: RequestBuilder, uri: &str) -> Result<Response, HttpFailure> {
        let sent = request.send().await;
        self.trouble.set(sent.as_ref().err().map(|error| {
            let why = plainly(error);
            let what_to_do = "check that it is running and that its `url` is right";
            Fault {
                why: format!("cannot be reached at {uri}: {why}; {what_to_do}"),
                is_final: true,
            }
        }));
        Ok(sent?)
    }

    /// The error of a request with an HTTP status.
    fn refused(&self, uri: &str, status: StatusCode, body: &[u8]) -> HttpFailure {
        let mut said = String::from_utf8_lossy(body).into_owned();
        // Before white space is changed.
        self.mask.text(&mut said);
        let said: Vec<&str> = said.split_whitespace().collect();
        let shown = self.mask.beginning(said.join(" "), MAX_SHOWN);
        let what_to_do = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; set a `token` or `http-headers` that it accepts"
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                "; is its `url` that of streamable HTTP, such as https://example.com/mcp?"
            }
            _ => "",
        };
        let colon = if shown.is_empty() { "" } else { ": " };
        let why = format!("answers HTTP {status} at {uri}{colon}{shown}{what_to_do}");
        let is_final = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        self.trouble.set(Some(Fault { why, is_final }));
        StreamableHttpError::UnexpectedServerResponse(format!("HTTP {status}{colon}{shown}").into())
    }

    async fn post(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, HttpFailure> {
        let id = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        self.reader.sent(&message);
        let mut request = self.client.post(&*uri);
        for (name, value) in headers {
            if name == header::ACCEPT || name == SESSION || name == "last-event-id" {
                return Err(StreamableHttpError::ReservedHeaderConflict(
                    name.to_string(),
                ));
            }
            request = request.header(name, value);
        }
        request = request.header(header::ACCEPT, format!("{JSON}, {EVENT_STREAM}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(session) = &session {
            request = request.header(SESSION, &**session);
        }
        let request = request.header(header::CONTENT_TYPE, JSON);
        let request = request.body(encode(&message)?);
        let response = self.send(request, &uri).await?;
        let status = response.status();
        let given = response.headers().get(SESSION);
        let given = given.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let Some(id) = id else {
            // No response to a notification matters, not even a refusal: some servers and proxies
            // refuse notifications of sessions that they serve all the same.
            return match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    Err(self.refused(&uri, status, b""))
                }
                StatusCode::NOT_FOUND if session.is_some() => {
                    Err(StreamableHttpError::SessionExpired)
                }
                _ => {
                    if !status.is_success() {
                        tracing::debug!("an MCP server answers a notification with HTTP {status}");
                    }
                    Ok(StreamableHttpPostResponse::Accepted)
                }
            };
        };
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if !status.is_success() {
            let most = limits.max_error_response_size;
            let body = read(response, most).await?;
            let is_forgotten = match status {
                StatusCode::NOT_FOUND => true,
                // As in the examples of the TypeScript SDK, and many servers after them.
                StatusCode::BAD_REQUEST => mentions_session(&body),
                _ => false,
            };
            if session.is_some() && is_forgotten {
                return Err(StreamableHttpError::SessionExpired);
            }
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let messages = match refused {
                true => Vec::new(),
                false => self.reader.read(&body, Some(&id)),
            };
            let error = messages
                .into_iter()
                .find(|it| matches!(it, JsonRpcMessage::Error(_)));
            return match error {
                // Some responses have another id than the request's, or none.
                Some(JsonRpcMessage::Error(error)) => {
                    let error = ServerJsonRpcMessage::error(error.error, Some(id));
                    Ok(StreamableHttpPostResponse::Json(error, given))
                }
                _ => Err(self.refused(&uri, status, &body)),
            };
        }
        let is_stream = response.headers().get(header::CONTENT_TYPE);
        let is_stream = is_stream.is_some_and(|it| is_event_stream(it.as_bytes()));
        if is_stream {
            let longest = limits.max_sse_event_size;
            let bytes = response.bytes_stream().map_err(std::io::Error::other);
            let events = self.events(bounded(bytes, longest, Some(&id)), Some(id));
            return Ok(StreamableHttpPostResponse::Sse(events, given));
        }
        let Some(body) = read_whole(response, limits.max_json_response_size).await? else {
            return Ok(StreamableHttpPostResponse::Json(too_long(id), given));
        };
        let mut messages = self.reader.read(&body, Some(&id));
        if messages.len() == 1 {
            return Ok(StreamableHttpPostResponse::Json(messages.remove(0), given));
        }
        // A batch, or events not declared as such.
        let events = match messages.is_empty() {
            false => {
                let events = messages.iter().filter_map(event).map(Ok);
                stream::iter(events.collect::<Vec<_>>()).boxed()
            }
            true if body.starts_with(b"event:") || body.starts_with(b"data:") => {
                let bytes = stream::iter([Ok::<_, std::io::Error>(Bytes::from(body))]);
                self.events(bytes, Some(id))
            }
            true => return Err(self.refused(&uri, status, &body)),
        };
        Ok(StreamableHttpPostResponse::Sse(events, given))
    }

    /// Splits a stream into events with one message each, as rmcp expects.
    fn events(
        &self,
        bytes: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
        of: Option<RequestId>,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let events = SseStream::from_bytes_stream(bytes);
        self.messages(events.boxed(), of)
    }

    fn messages(
        &self,
        events: BoxStream<'static, Result<Sse, SseError>>,
        of: Option<RequestId>,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let reader = self.reader.clone();
        let each = move |read: Result<Sse, SseError>| {
            let mut sse = match read {
                Ok(sse) => sse,
                Err(error) => return stream::iter(vec![Err(error)]),
            };
            let data = sse.data.take().unwrap_or_default();
            let messages = reader.read(data.as_bytes(), of.as_ref());
            let mut events: Vec<Sse> = messages.iter().filter_map(event).collect();
            // The id to resume from belongs after the last message of an event.
            match events.last_mut() {
                Some(last) => {
                    last.id = sse.id;
                    last.retry = sse.retry;
                }
                None => events.push(sse),
            }
            stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>())
        };
        events.flat_map(each).boxed()
    }
}

impl StreamableHttpClient for Http {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpFailure> {
        let limits = StreamableHttpResponseLimits::default();
        self.post(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            limits,
        )
        .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, HttpFailure> {
        self.post(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            limits,
        )
        .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpFailure> {
        // Our session has ended, whether the server supports ending it or not.
        let deleted = self
            .client
            .delete_session(uri, session_id, auth_header, custom_headers);
        if let Err(error) = deleted.await {
            tracing::debug!("a session was not deleted: {error}");
        }
        Ok(())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpFailure> {
        let longest = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            longest,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpFailure> {
        let resumes = last_event_id.is_some();
        let got = self.client.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max_sse_event_size,
        );
        match got.await {
            Ok(events) => Ok(self.messages(events, None)),
            // A refusal with any status means the same as 405: there is no such stream.
            Err(error @ StreamableHttpError::Client(_)) if !resumes && is_refusal(&error) => {
                Err(StreamableHttpError::ServerDoesNotSupportSse)
            }
            Err(StreamableHttpError::UnexpectedContentType(_)) if !resumes => {
                Err(StreamableHttpError::ServerDoesNotSupportSse)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_refusal(error: &HttpFailure) -> bool {
    let StreamableHttpError::Client(error) = error else {
        return false;
    };
    error
        .status()
        .is_some_and(|status| status.is_client_error())
}
