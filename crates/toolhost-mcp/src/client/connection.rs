//! One connection to an MCP server: made, asked for its tools, and closed.

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

use super::http::{Http, Trouble};
use super::process::Process;
use super::questions;
use super::reading::written;
use super::server_handler::{Client, listen};
use super::settings::{MAX_PARKED, Settings};
use super::stdio::Lines;
use super::tap::{Calls, Tap};
use crate::error::causes;
use crate::http_client::http_client;
use crate::input::QuestionKinds;
use crate::limits::{Limits, seconds};
use crate::manifest::{MAX_CONCURRENCY, McpProtocol, McpTransport};
use crate::mask::Mask;
use crate::plugin::MAX_TOOLS;

/// A server may list its tools in so many pages.
const MAX_PAGES: usize = 100;

/// What a server says of its tools may be no longer, in bytes.
const MAX_LISTED: usize = 32 << 20;

/// The longest text of an error that is shown, in bytes.
const MAX_ERROR: usize = 1000;

/// What an HTTP error may say, in bytes.
const MAX_HTTP_ERROR: usize = 4 << 10;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Versions of the protocol that are tried with one server.
const MAX_ATTEMPTS: usize = 3;

pub(super) struct Connection {
    service: RunningService<RoleClient, Client>,
    protocol: McpProtocol,
    is_http: bool,
    process: Option<Process>,
    trouble: Trouble,
    _listening: Option<AbortOnDropHandle<()>>,
}

/// Why there is no connection.
struct Refused {
    /// As the end of a sentence that begins with the server's name.
    why: String,
    /// What the server may speak instead.
    instead: Vec<McpProtocol>,
}

impl Connection {
    /// Starts or reaches the server, and agrees with it on a version of the protocol. `changed` is told
    /// when it has other tools.
    ///
    /// `initialize` comes first: nearly all servers know it, and those that do not refuse it at once,
    /// while old ones take anything before it for a reason to exit, or to be silent. Each attempt has a
    /// process of its own.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, as the end of a sentence that begins with its name.
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
            // What was remembered must leave time for what is tried first otherwise.
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
                Err(Refused { why, instead }) => {
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
    ) -> Result<Connection, Refused> {
        let failed = |why| Refused {
            why,
            instead: Vec::new(),
        };
        let start = Start {
            settings,
            protocol,
            until,
            calls: Calls::default(),
            changed: changed.clone(),
        };
        match &settings.config.transport {
            McpTransport::Command { .. } => {
                let (process, stdout) = Process::start(settings).map_err(failed)?;
                let longest = longest_message(&settings.config.limits);
                let lines = Lines::new(stdout, process.stdin(), longest);
                start.serve(lines, Some(process), Trouble::default()).await
            }
            McpTransport::Url { url, .. } => {
                let http = http_client(url, Policy::custom(same_origin));
                let http = http.map_err(|error| failed(format!("cannot be reached: {error}")))?;
                let http = Http::new(http, settings.mask.clone());
                let trouble = http.trouble();
                let config = http_config(url, settings);
                let transport = StreamableHttpClientTransport::with_client(http, config);
                start.serve(transport, None, trouble).await
            }
            _ => Err(failed("has a transport that is not known here".to_owned())),
        }
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Whether arguments may have to be repeated in HTTP headers.
    pub(super) fn has_headers_of_arguments(&self) -> bool {
        self.is_http && self.protocol == McpProtocol::V2026_07_28
    }

    /// What a request says of who can be asked, where each says it.
    pub(super) fn capabilities(&self, kinds: QuestionKinds) -> Option<ClientCapabilities> {
        let says = self.protocol == McpProtocol::V2026_07_28;
        says.then(|| questions::capabilities(self.protocol, kinds))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.peer().is_transport_closed()
    }

    /// Why a call has no answer when the connection is closed.
    pub(super) async fn end(&self) -> String {
        let how = match &self.process {
            Some(process) => process.ended().await,
            None => None,
        };
        how.unwrap_or_else(|| "closed the connection".to_owned())
    }

    /// What went wrong with its requests last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.take().map(|fault| fault.why)
    }

    /// Everything that it lists.
    ///
    /// # Errors
    ///
    /// As of [`open`](Connection::open).
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
                None => format!("failed to list its tools: {}", shown(&error, mask)),
            })?;
            listed += page.tools.iter().map(written).map(str::len).sum::<usize>();
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

/// A connection that is being made.
struct Start<'s> {
    settings: &'s Settings,
    protocol: McpProtocol,
    until: Instant,
    calls: Calls,
    changed: Arc<Notify>,
}

impl Start<'_> {
    async fn serve<T: Transport<RoleClient> + 'static>(
        self,
        transport: T,
        process: Option<Process>,
        trouble: Trouble,
    ) -> Result<Connection, Refused> {
        let config = &self.settings.config;
        let end = CancellationToken::new();
        let cap = config.max_concurrency.unwrap_or(MAX_CONCURRENCY);
        let tap = Tap::new(transport, self.calls.clone(), 2 * cap + 64, end.clone());
        let client = Client {
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
                // Before, a server tells of its own accord.
                let listens = self.protocol == McpProtocol::V2026_07_28;
                let listening = listens.then(|| {
                    let listening = listen(service.peer().clone(), self.changed);
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
                        let why = shown(&error, &self.settings.mask);
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
        Err(Refused { why, instead })
    }
}

/// What a server may speak that refused a version, the likeliest first.
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
                // Some know no version but their own, and do not say which.
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

/// The longest message that is taken from a server, in bytes: an answer as long as it may be, as JSON
/// escapes it, and room for a page of tools.
fn longest_message(limits: &Limits) -> usize {
    let output = usize::try_from(limits.max_output.as_u64()).unwrap_or(usize::MAX);
    output.saturating_mul(3).saturating_add(1 << 20)
}

fn http_config(url: &Url, settings: &Settings) -> StreamableHttpClientTransportConfig {
    let longest = longest_message(&settings.config.limits);
    let cap = settings.config.max_concurrency.unwrap_or(MAX_CONCURRENCY);
    let headers: HashMap<_, _> = settings.headers.iter().cloned().collect();
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        // Those that wait for an answer in the middle keep nobody else out.
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

/// A secret must not follow wherever somebody points; a path that lacks its last slash is no such
/// place.
fn same_origin(attempt: Attempt) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    let stays = first.is_some_and(|origin| origin == attempt.url().origin());
    match stays && attempt.previous().len() <= MAX_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// An error and what caused it, of no great length.
pub(super) fn shown(error: &dyn Error, mask: &Mask) -> String {
    mask.beginning(causes(error), MAX_ERROR)
}
