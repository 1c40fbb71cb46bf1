//! Requests to a model's API: where they go, with which key, and what may be tried again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::value::RawValue;
use url::Url;

use super::AgentError;
use toolhost_core::error::causes;
use toolhost_core::http_client::http_client;
use toolhost_core::json_text::Scanner;
use toolhost_core::manifest::{AgentConfig, is_in_the_clear};
use toolhost_core::mask::Mask;
use toolhost_core::permissions::Secret;
use toolhost_core::wire::{DecodeError, Format};

/// Who asks to wait for longer is not waited for.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// No response that comes whole is longer.
const MAX_RESPONSE: usize = 64 << 20;

/// The text of an error that is shown.
const MAX_ERROR: usize = 2000;

pub(super) struct Client {
    http: reqwest::Client,
    pub(super) format: Format,
    pub(super) model: String,
    base: Url,
    /// Whether it is the provider's own, and not one that speaks like it.
    pub(super) is_own_api: bool,
    /// The header that the key goes in.
    key: Option<(HeaderName, HeaderValue)>,
    pub(super) mask: Arc<Mask>,
    timeout: Duration,
}

/// What a try came to that brought no answer.
pub(super) struct Failure {
    pub(super) error: AgentError,
    /// Whether another may bring one.
    pub(super) may_retry: bool,
    /// How long the API asks to wait.
    pub(super) wait: Option<Duration>,
}

/// An answer that has begun.
pub(super) enum Begun<S> {
    /// As an event stream.
    Events(S),
    /// Whole.
    Whole(Vec<u8>),
}

/// What the providers' own SDKs do, where a manifest says nothing.
struct Provider {
    base: &'static str,
    /// The environment variable of the key, for messages; empty where none is needed.
    key: &'static str,
    header: &'static str,
    prefix: &'static str,
    /// The versions that a path may begin with; the first goes where a base has none.
    versions: &'static [&'static str],
}

fn provider(format: Format) -> Provider {
    match format {
        Format::Anthropic => Provider {
            base: "https://api.anthropic.com",
            key: "ANTHROPIC_API_KEY",
            header: "x-api-key",
            prefix: "",
            versions: &["v1"],
        },
        Format::Gemini => Provider {
            base: "https://generativelanguage.googleapis.com",
            key: "GEMINI_API_KEY",
            header: "x-goog-api-key",
            prefix: "",
            versions: &["v1beta", "v1", "v1alpha"],
        },
        Format::Ollama => Provider {
            base: "http://localhost:11434",
            key: "",
            header: "authorization",
            prefix: "Bearer ",
            versions: &["api"],
        },
        // A base of these has its version, if any, in it: servers that speak like them have others.
        _ => Provider {
            base: "https://api.openai.com/v1",
            key: "OPENAI_API_KEY",
            header: "authorization",
            prefix: "Bearer ",
            versions: &[],
        },
    }
}

impl Client {
    pub(super) fn new(config: &AgentConfig) -> Result<Client, AgentError> {
        let Some(format) = config.provider.filter(|format| format.api().is_some()) else {
            let known: Vec<_> = AgentConfig::providers().map(Format::name).collect();
            return Err(AgentError::setup(format!(
                "no provider: set `provider` in the manifest's [agent], or --provider, to one of {}",
                known.join(", ")
            )));
        };
        let Some(model) = config.model.clone() else {
            return Err(AgentError::setup(
                "no model: set `model` in the manifest's [agent], or --model",
            ));
        };
        let provider = provider(format);
        let own = Url::parse(provider.base).expect("a provider's URL is one");
        let base = config.base_url.clone().unwrap_or_else(|| own.clone());
        let is_own_api = base.host_str() == own.host_str();
        let source = match &config.key {
            Some(source) => Some(source.clone()),
            // A server that a manifest names must not get a key that nobody gave it.
            None if !is_own_api => None,
            // Who serves it on the own machine asks for none.
            None if provider.key.is_empty() => None,
            None => Some(config.usual_key().ok_or_else(|| {
                AgentError::setup(format!(
                    "no key for {base}: set the environment variable {}, or `key` in the manifest's [agent]",
                    provider.key
                ))
            })?),
        };
        let key = source.map(|source| source.read(&config.paths)).transpose();
        let key = key.map_err(|why| AgentError::setup(format!("the model API key{why}")))?;
        if key.is_some() && is_in_the_clear(&base) {
            return Err(AgentError::setup(format!(
                "the key would be sent unencrypted to {base}: use https, or remove `key`"
            )));
        }
        let header = match &key {
            Some(secret) => Some(key_header(&provider, secret)?),
            None => None,
        };
        let mask = Mask::new(&key).map_err(AgentError::setup)?;
        // A key must not follow wherever somebody points.
        let http = http_client(&base, reqwest::redirect::Policy::none())
            .map_err(|error| AgentError::setup(format!("cannot create an HTTP client: {error}")))?;
        Ok(Client {
            http,
            format,
            model,
            base,
            is_own_api,
            key: header,
            mask: Arc::new(mask),
            timeout: config.timeout,
        })
    }

    fn url(&self, stream: bool) -> Url {
        let path = match (self.format, stream) {
            (Format::OpenaiResponses, _) => "responses".to_owned(),
            (Format::Anthropic, _) => "messages".to_owned(),
            (Format::Ollama, _) => "chat".to_owned(),
            (Format::Gemini, true) => format!("models/{}:streamGenerateContent", self.model_path()),
            (Format::Gemini, false) => format!("models/{}:generateContent", self.model_path()),
            _ => "chat/completions".to_owned(),
        };
        let base = self.base.path().trim_end_matches('/');
        let versions = provider(self.format).versions;
        let has_version = |base: &str| {
            let last = base.rsplit('/').next().unwrap_or_default();
            versions.is_empty() || versions.contains(&last)
        };
        let path = match has_version(base) {
            true => format!("{base}/{path}"),
            false => format!("{base}/{}/{path}", versions[0]),
        };
        let mut url = self.base.clone();
        url.set_path(&path);
        if self.format == Format::Gemini && stream {
            url.set_query(Some("alt=sse"));
        }
        url
    }

    /// As a path has it: a model's name cannot lead elsewhere.
    fn model_path(&self) -> String {
        let name = self.model.strip_prefix("models/").unwrap_or(&self.model);
        percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2D", "-")
            .replace("%2E", ".")
            .replace("%5F", "_")
    }

    /// Sends a request, once, and waits until the answer begins; whole if it does not stream.
    pub(super) async fn send(
        &self,
        body: &RawValue,
        stream: bool,
    ) -> Result<Begun<impl Stream<Item = io::Result<Bytes>> + use<>>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.key.clone());
        if self.format == Format::Anthropic {
            let version = HeaderValue::from_static("2023-06-01");
            headers.insert("anthropic-version", version);
        }
        let request = self
            .http
            .post(self.url(stream))
            .headers(headers)
            .body(body.get().to_owned());
        let response = self.in_time(request.send()).await?;
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE);
        // Ollama streams a document a line.
        let streams: [&[u8]; 2] = [b"text/event-stream", b"application/x-ndjson"];
        let is_events = kind.is_some_and(|kind| {
            let is_it = |stream: &&[u8]| kind.as_bytes().starts_with(stream);
            streams.iter().any(is_it)
        });
        // Whatever its lines are called.
        let is_events = is_events || stream && self.format == Format::Ollama;
        let chunk = self.in_time(response.chunk()).await?;
        let first = chunk.map_err(|error| self.unreachable(&error))?;
        let begin = first.as_deref().unwrap_or_default().trim_ascii_start();
        // Some proxies call an event stream something else, and others call so what is none.
        let is_whole = match is_events {
            true => self.format != Format::Ollama && begin.starts_with(b"{"),
            false => !begins_events(begin),
        };
        if is_whole {
            let body = self.whole(first, response, MAX_RESPONSE).await?;
            return Ok(Begun::Whole(body));
        }
        let timeout = self.timeout;
        let chunks = response
            .bytes_stream()
            .map(|chunk| chunk.map_err(io::Error::other));
        let chunks = futures_util::stream::iter(first.map(Ok)).chain(chunks);
        // Each piece has as long as the beginning had.
        let chunks = futures_util::stream::unfold(Box::pin(chunks), move |mut chunks| async move {
            let chunk = match tokio::time::timeout(timeout, chunks.next()).await {
                Ok(chunk) => chunk?,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, silent(timeout))),
            };
            Some((chunk, chunks))
        });
        Ok(Begun::Events(chunks))
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let timed = tokio::time::timeout(self.timeout, work).await;
        timed.map_err(|_| self.failure(silent(self.timeout)))
    }

    /// The body of a response, of which something was read already.
    async fn whole(
        &self,
        first: Option<Bytes>,
        mut response: Response,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut bytes = first.map(Vec::from).unwrap_or_default();
        // Some proxies keep the connection open behind it.
        let mut document = Scanner::default();
        let mut is_closed = document.push(&String::from_utf8_lossy(&bytes)).is_some();
        while !is_closed {
            let chunk = self.in_time(response.chunk()).await?;
            match chunk.map_err(|error| self.unreachable(&error))? {
                Some(chunk) if bytes.len() + chunk.len() > most => {
                    return Err(self.failure(format!("it is larger than {most} bytes")));
                }
                Some(chunk) => {
                    is_closed = document.push(&String::from_utf8_lossy(&chunk)).is_some();
                    bytes.extend_from_slice(&chunk);
                }
                None => break,
            }
        }
        Ok(bytes)
    }

    /// An answer that says no: some of them are worth another try.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let asked = retry_after(response.headers());
        let may_retry = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        ) || status.is_server_error();
        let body = self.whole(None, response, 1 << 20).await;
        // A broken byte of it is no reason to be silent about the rest.
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        let message = self.shown(error_message(&body.unwrap_or_default()));
        let url = self.shown_url();
        match asked.filter(|wait| may_retry && *wait > MAX_WAIT) {
            Some(wait) => Failure {
                error: AgentError::Wait { url, wait, message },
                may_retry: false,
                wait: None,
            },
            None => Failure {
                error: AgentError::Api {
                    url,
                    status: status.as_u16(),
                    message,
                },
                may_retry,
                wait: asked,
            },
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        self.failure(causes(error))
    }

    fn failure(&self, why: impl Into<String>) -> Failure {
        Failure {
            error: AgentError::Unreachable {
                url: self.shown_url(),
                why: self.shown(why.into()),
            },
            may_retry: true,
            wait: None,
        }
    }

    /// An answer that cannot be read, or an error in the middle of one. What is torn may be whole
    /// the next time; what the API means by its error, its kind says.
    pub(super) fn undecoded(&self, error: DecodeError) -> Failure {
        let may_retry = match &error {
            DecodeError::Api { kind, .. } => {
                let kind = kind.to_lowercase();
                let lasting = ["invalid", "auth", "permission", "not_found", "quota"];
                !lasting.iter().any(|word| kind.contains(word))
            }
            DecodeError::Shape { .. }
            | DecodeError::Ambiguous { .. }
            | DecodeError::Unread { .. } => false,
            _ => true,
        };
        let error = match error {
            DecodeError::Api { kind, message } => DecodeError::Api {
                kind: self.shown(kind),
                message: self.shown(message),
            },
            error => error,
        };
        Failure {
            error: AgentError::Decode {
                url: self.shown_url(),
                error,
            },
            may_retry,
            wait: None,
        }
    }

    fn shown_url(&self) -> String {
        self.shown(self.url(false).to_string())
    }

    /// Whatever a peer says may quote the key, or be of any length.
    fn shown(&self, mut text: String) -> String {
        self.mask.text(&mut text);
        if let Some((end, _)) = text.char_indices().nth(MAX_ERROR) {
            text.truncate(end);
            text.push('…');
        }
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }
}

/// Whether a body begins as an event stream does.
fn begins_events(first: &[u8]) -> bool {
    let first = first.trim_ascii_start();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    fields.iter().any(|field| first.starts_with(field))
}

fn silent(timeout: Duration) -> String {
    format!(
        "no data received for {}",
        toolhost_core::limits::seconds(timeout)
    )
}

fn key_header(
    provider: &Provider,
    secret: &Secret,
) -> Result<(HeaderName, HeaderValue), AgentError> {
    let value = format!("{}{}", provider.prefix, secret.reveal().trim());
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        AgentError::setup("the model API key contains characters that are not allowed in a header")
    })?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(provider.header), value))
}

/// How long an answer asks to wait: seconds or a date (RFC 9110, 10.2.3), or OpenAI's milliseconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let after = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = after.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(after).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What an error's body says: its message, or else the body.
fn error_message(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    // Gemini's come in an array where a stream was asked for.
    let body = body.trim();
    let one = body
        .strip_prefix('[')
        .and_then(|body| body.strip_suffix(']'))
        .unwrap_or(body);
    let said =
        serde_json::from_str::<Error>(one).ok().and_then(
            |body| match toolhost_core::wire::api_error(body.error) {
                DecodeError::Api { message, .. } => Some(message),
                _ => None,
            },
        );
    said.unwrap_or_else(|| match body {
        "" => "empty body".to_owned(),
        body => body.to_owned(),
    })
}
