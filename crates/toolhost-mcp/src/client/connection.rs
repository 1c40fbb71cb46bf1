//! A connection to an MCP server: version negotiation, listing, closing.
//!
//! [`Connection::open`] tries one protocol version after the other, each on a connection (for a
//! command, a process) of its own, since a server that is asked in a version it does not know may
//! exit or fall silent. The first attempt is the version in the manifest, the cached one, or
//! `initialize`; what a server refuses it with tells which to try next ([`instead`]). A configured
//! version is the only attempt; a cached one that fails leaves time for the others.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Once};

use reqwest::redirect::{Attempt, Policy};
use rmcp::model::{ClientCapabilities, ErrorCode, PaginatedRequestParams, ProtocolVersion, Tool};
use rmcp::service::{
    ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, RunningService,
    serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use rmcp::{Peer, RoleClient};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::call_messages::{ConnectionCalls, Tap};
use super::http::{Http, Trouble};
use super::message_reader::raw_tool;
use super::process::Process;
use super::questions;
use super::server_handler::{ServerHandler, follow_changes};
use super::settings::{MAX_PARKED, Settings};
use super::stdio::StdioTransport;
use toolhost_core::error::causes;
use toolhost_core::http_client::http_client;
use toolhost_core::input::QuestionKinds;
use toolhost_core::limits::{Limits, seconds};
use toolhost_core::manifest::{MAX_CONCURRENCY, McpEndpoint, McpProtocol, McpTransport};
use toolhost_core::mask::Mask;
use toolhost_core::plugin::MAX_TOOLS;

/// The most pages of a server's list of tools.
const MAX_PAGES: usize = 100;

/// The longest list of tools, in bytes.
const MAX_LISTED: usize = 32 << 20;

/// The longest error text shown, in bytes.
const MAX_ERROR: usize = 1000;

/// The longest text of an HTTP error, in bytes.
const MAX_HTTP_ERROR: usize = 4 << 10;

/// The most redirects followed.
const MAX_REDIRECTS: usize = 5;

/// The most protocol versions tried with one server.
const MAX_ATTEMPTS: usize = 3;

pub(super) struct Connection {
    service: RunningService<RoleClient, ServerHandler>,
    protocol: McpProtocol,
    is_http: bool,
    process: Option<Process>,
    trouble: Trouble,
    _listening: Option<AbortOnDropHandle<()>>,
}

/// Why an attempt failed.
struct FailedAttempt {
    /// The end of a sentence that begins with the server's name.
    why: String,
    /// The protocol versions to try instead.
    instead: Vec<McpProtocol>,
}

impl Connection {
    /// Starts or reaches the server, and negotiates a protocol version. `changed` is notified when
    /// its tools change.
    ///
    /// `initialize` comes first: nearly all servers know it, and the others refuse it at once,
    /// while old servers exit or fall silent if anything comes before it. Each attempt has a
    /// process of its own.
    ///
    /// # Errors
    ///
    /// Why it cannot be reached, as the end of a sentence that begins with its name.
    pub(super) async fn open(
        settings: &Arc<Settings>,
        changed: &Arc<Notify>,
    ) -> Result<Connection, String> {
        let bound = settings.config.start_timeout;
        let deadline = Instant::now() + bound;
        let by_hand = settings.config.protocol;
        let first = by_hand.or_else(|| settings.memory.recall());
        let mut next = vec![first.unwrap_or(McpProtocol::FIRST)];
        let mut tried = Vec::new();
        let mut refused = None;
        while let Some(protocol) = next.pop() {
            tried.push(protocol);
            let is_guess = by_hand.is_none() && protocol != McpProtocol::FIRST;
            // An attempt with the cached version must leave time for the usual one.
            let until = match is_guess && tried.len() == 1 {
                true => Instant::now() + bound / 2,
                false => deadline,
            };
            match Connection::attempt(settings, changed, protocol, until).await {
                Ok(connection) => {
                    if by_hand.is_none() {
                        settings.memory.keep(protocol);
                    }
                    return Ok(connection);
                }
                Err(FailedAttempt { why, instead }) => {
                    if by_hand.is_none() && tried.len() < MAX_ATTEMPTS {
                        let others = [McpProtocol::FIRST].into_iter().filter(|_| is_guess);
                        let others = others.chain(instead).filter(|it| !tried.contains(it));
                        let others: Vec<_> = others.collect();
                        next.extend(others.into_iter().rev());
                    }
                    refused.get_or_insert(why);
                }
            }
        }
        Err(refused.unwrap_or_default())
    }

    async fn attempt(
        settings: &Arc<Settings>,
        changed: &Arc<Notify>,
        protocol: McpProtocol,
        until: Instant,
    ) -> Result<Connection, FailedAttempt> {
        let failed = |why| FailedAttempt {
            why,
            instead: Vec::new(),
        };
        let start = ConnectAttempt {
            settings,
            protocol,
            until,
            calls: ConnectionCalls::default(),
            changed: changed.clone(),
        };
        match &settings.config.transport {
            McpTransport::Command(command) => {
                let (process, stdout) = Process::start(command, settings).map_err(failed)?;
                let longest = longest_message(&settings.config.limits);
                let lines = StdioTransport::new(stdout, process.stdin(), longest);
                start.serve(lines, Some(process), Trouble::default()).await
            }
            McpTransport::Url(McpEndpoint { url, .. }) => {
                let http = http_client(url, Policy::custom(same_origin));
                let http = http.map_err(|error| failed(format!("cannot be reached: {error}")))?;
                let http = Http::new(http, settings.mask.clone());
                let trouble = http.trouble();
                let config = http_config(url, settings);
                let transport = StreamableHttpClientTransport::with_client(http, config);
                start.serve(transport, None, trouble).await
            }
        }
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Whether arguments may have to be repeated in HTTP headers.
    pub(super) fn has_headers_of_arguments(&self) -> bool {
        self.is_http && self.protocol == McpProtocol::V2026_07_28
    }

    /// The client capabilities to put in each request, in protocol versions that have them there.
    pub(super) fn capabilities(&self, kinds: QuestionKinds) -> Option<ClientCapabilities> {
        let says = self.protocol == McpProtocol::V2026_07_28;
        says.then(|| questions::capabilities(self.protocol, kinds))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.peer().is_transport_closed()
    }

    /// Why a call has no answer after the connection closed.
    pub(super) async fn end(&self) -> String {
        let how = match &self.process {
            Some(process) => process.ended().await,
            None => None,
        };
        how.unwrap_or_else(|| "closed the connection".to_owned())
    }

    /// The last error of its requests.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.take().map(|fault| fault.why)
    }

    /// Lists all tools.
    ///
    /// # Errors
    ///
    /// As for [`open`](Connection::open).
    pub(super) async fn list_tools(&self, settings: &Settings) -> Result<Vec<Tool>, String> {
        let listed =
            tokio::time::timeout(settings.config.start_timeout, self.pages(&settings.mask));
        match listed.await {
            Ok(tools) => tools,
            Err(_) => Err(format!(
                "did not list its tools within {}",
                seconds(settings.config.start_timeout)
            )),
        }
    }

    async fn pages(&self, mask: &Mask) -> Result<Vec<Tool>, String> {
        let mut tools = Vec::new();
        let mut cursor = None;
        let mut listed = 0;
        for _ in 0..MAX_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer().list_tools(Some(page)).await;
            let page = page.map_err(|error| match self.trouble() {
                Some(trouble) => trouble,
                None => format!("failed to list its tools: {}", error_text(&error, mask)),
            })?;
            listed += page.tools.iter().map(raw_tool).map(str::len).sum::<usize>();
            if listed > MAX_LISTED {
                return Err(format!(
                    "describes its tools in more than {MAX_LISTED} bytes"
                ));
            }
            tools.extend(page.tools);
            if tools.len() > MAX_TOOLS {
                return Err(format!("offers too many tools: more than {MAX_TOOLS}"));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(format!("lists its tools in more than {MAX_PAGES} pages"))
    }
}

/// An attempt to connect.
struct ConnectAttempt<'s> {
    settings: &'s Settings,
    protocol: McpProtocol,
    until: Instant,
    calls: ConnectionCalls,
    changed: Arc<Notify>,
}

impl ConnectAttempt<'_> {
    async fn serve<T: Transport<RoleClient> + 'static>(
        self,
        transport: T,
        process: Option<Process>,
        trouble: Trouble,
    ) -> Result<Connection, FailedAttempt> {
        let config = &self.settings.config;
        let end = CancellationToken::new();
        let cap = config.max_concurrency.unwrap_or(MAX_CONCURRENCY);
        let tap = Tap::new(transport, self.calls.clone(), 2 * cap + 64, end.clone());
        let client = ServerHandler {
            name: config.name.clone(),
            protocol: self.protocol,
            may_ask: config.may_ask,
            calls: self.calls,
            changed: self.changed.clone(),
            warned: Once::new(),
        };
        let lifecycle = match self.protocol {
            McpProtocol::V2026_07_28 => ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            },
            _ => ClientLifecycleMode::Initialize,
        };
        let served = serve_client_with_lifecycle_and_ct(client, tap, lifecycle, end);
        let (why, instead) = match tokio::time::timeout_at(self.until, served).await {
            Ok(Ok(service)) => {
                let uncached = ClientCacheConfig::disabled();
                service.peer().set_response_cache_config(uncached).await;
                // In earlier versions a server notifies without a subscription.
                let listens = self.protocol == McpProtocol::V2026_07_28;
                let listening = listens.then(|| {
                    let listening = follow_changes(service.peer().clone(), self.changed);
                    AbortOnDropHandle::new(tokio::spawn(listening))
                });
                return Ok(Connection {
                    service,
                    protocol: self.protocol,
                    is_http: process.is_none(),
                    process,
                    trouble,
                    _listening: listening,
                });
            }
            Ok(Err(error)) => {
                let ended = match &process {
                    Some(process) => process.ended().await,
                    None => None,
                };
                let instead = instead(&error, self.protocol);
                match (ended, trouble.take()) {
                    (Some(how), _) => (format!("{how} before it was ready"), instead),
                    (None, Some(fault)) if fault.is_final => (fault.why, Vec::new()),
                    (None, Some(fault)) => (fault.why, instead),
                    (None, None) => {
                        let why = error_text(&error, &self.settings.mask);
                        (
                            format!("does not answer like an MCP server: {why}"),
                            instead,
                        )
                    }
                }
            }
            Err(_) => {
                let bound = seconds(config.start_timeout);
                (format!("did not answer within {bound}"), Vec::new())
            }
        };
        let words = process.map(|process| process.last_words());
        let mut words = words.unwrap_or_default();
        words.reverse();
        let why = match words.is_empty() {
            true => why,
            false => format!(
                "{why}; the end of its stderr:\n    {}",
                words.join("\n    ")
            ),
        };
        Err(FailedAttempt { why, instead })
    }
}

/// Which versions to try after a server refused one, the likeliest first.
fn instead(error: &ClientInitializeError, refused: McpProtocol) -> Vec<McpProtocol> {
    let modern = vec![McpProtocol::V2026_07_28];
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            let data = error.data.as_ref();
            let supported = data.and_then(|data| data.get("supported"));
            let supported = supported.and_then(Value::as_array).into_iter().flatten();
            let supported = supported.filter_map(|it| McpProtocol::parse(it.as_str()?));
            let mut supported: Vec<_> = supported.collect();
            supported.retain(|it| *it != refused);
            if !supported.is_empty() {
                supported.sort_by_key(|it| std::cmp::Reverse(it.as_str()));
                return supported;
            }
            match error.code {
                ErrorCode::METHOD_NOT_FOUND | ErrorCode::UNSUPPORTED_PROTOCOL_VERSION => modern,
                // Some servers know a single version and do not say which.
                _ => vec![McpProtocol::V2026_07_28, McpProtocol::V2024_11_05],
            }
        }
        ClientInitializeError::ExpectedInitResult(_)
        | ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::NoCompatibleProtocolVersion { .. }
        | ClientInitializeError::TransportError { .. } => modern,
        _ => Vec::new(),
    }
}

/// The longest message accepted from a server, in bytes: a maximal answer with JSON escapes, plus
/// room for a page of tools.
fn longest_message(limits: &Limits) -> usize {
    let output = usize::try_from(limits.max_output.as_u64()).unwrap_or(usize::MAX);
    output.saturating_mul(3).saturating_add(1 << 20)
}

fn http_config(url: &Url, settings: &Settings) -> StreamableHttpClientTransportConfig {
    let longest = longest_message(&settings.config.limits);
    let cap = settings.config.max_concurrency.unwrap_or(MAX_CONCURRENCY);
    let headers: HashMap<_, _> = settings.headers.iter().cloned().collect();
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        // Calls that wait for replies must not block others.
        .max_concurrent_requests(cap + MAX_PARKED)
        .max_sse_event_size(longest)
        .max_json_response_size(longest)
        .max_error_response_size(MAX_HTTP_ERROR)
        .reinit_on_expired_session(true)
        .custom_headers(headers);
    match &settings.token {
        Some(token) => config.auth_header(token.reveal().trim()),
        None => config,
    }
}

/// Secrets must not follow a redirect to another origin; adding a trailing slash stays on the same
/// one.
fn same_origin(attempt: Attempt) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    let stays = first.is_some_and(|origin| origin == attempt.url().origin());
    match stays && attempt.previous().len() <= MAX_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// An error and its causes, cut to a bounded length.
pub(super) fn error_text(error: &dyn Error, mask: &Mask) -> String {
    mask.beginning(causes(error), MAX_ERROR)
}
