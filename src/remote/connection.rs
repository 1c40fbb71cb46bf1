//! One connection to an MCP server: made, asked for its tools, and closed.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use reqwest::redirect::{Attempt, Policy};
use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, ProtocolVersion, Tool,
};
use rmcp::service::{
    ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, NotificationContext,
    RunningService, serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use rmcp::{ClientHandler, Peer, RoleClient};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::process::Process;
use super::settings::Settings;
use super::stdio::Lines;
use super::tap::Tap;
use crate::error::causes;
use crate::http_client::http_client;
use crate::limits::{Limits, seconds};
use crate::manifest::{MAX_CONCURRENCY, McpTransport};
use crate::plugin::MAX_TOOLS;

/// A server may list its tools in so many pages.
const MAX_PAGES: usize = 100;

/// The longest text of an error that is shown, in characters.
const MAX_ERROR: usize = 1000;

/// What an HTTP error may say, in bytes.
const MAX_HTTP_ERROR: usize = 4 << 10;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

pub(super) struct Connection {
    service: RunningService<RoleClient, Client>,
    process: Option<Process>,
}

impl Connection {
    /// Starts or reaches the server, and agrees with it on a version of the protocol.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, as the end of a sentence that begins with its name.
    pub(super) async fn open(settings: &Arc<Settings>) -> Result<Connection, String> {
        match &settings.config.transport {
            McpTransport::Command { .. } => {
                let (process, stdout) = Process::start(settings)?;
                let longest = longest_message(&settings.config.limits);
                let lines = Lines::new(stdout, process.stdin(), longest);
                within(settings, Some(process), |end| serve(lines, settings, end)).await
            }
            McpTransport::Url { url, .. } => {
                let http = http_client(url, Policy::custom(same_origin));
                let http = http.map_err(|error| format!("cannot be asked: {error}"))?;
                let transport =
                    StreamableHttpClientTransport::with_client(http, http_config(url, settings));
                within(settings, None, |end| serve(transport, settings, end)).await
            }
        }
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
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

    /// Everything that it lists.
    ///
    /// # Errors
    ///
    /// As of [`open`](Connection::open).
    pub(super) async fn list_tools(&self, settings: &Settings) -> Result<Vec<Tool>, String> {
        let listed = tokio::time::timeout(settings.config.start_timeout, self.pages());
        match listed.await {
            Ok(tools) => tools,
            Err(_) => Err(format!(
                "did not list its tools within {}",
                seconds(settings.config.start_timeout)
            )),
        }
    }

    async fn pages(&self) -> Result<Vec<Tool>, String> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer().list_tools(Some(page)).await;
            let page = page.map_err(|e| format!("does not list its tools: {}", shown(&e)))?;
            tools.extend(page.tools);
            if tools.len() > MAX_TOOLS {
                return Err(format!("offers over {MAX_TOOLS} tools, which is too many"));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(format!("lists its tools in over {MAX_PAGES} pages"))
    }
}

/// Has `serve` come to an end in time, or says what it was about the server that it did not.
async fn within<F>(
    settings: &Settings,
    process: Option<Process>,
    serve: impl FnOnce(CancellationToken) -> F,
) -> Result<Connection, String>
where
    F: Future<Output = Result<RunningService<RoleClient, Client>, ClientInitializeError>>,
{
    let bound = settings.config.start_timeout;
    let served = tokio::time::timeout(bound, serve(CancellationToken::new()));
    let why = match served.await {
        Ok(Ok(service)) => {
            let uncached = ClientCacheConfig::disabled();
            service.peer().set_response_cache_config(uncached).await;
            return Ok(Connection { service, process });
        }
        Ok(Err(error)) => {
            let ended = match &process {
                Some(process) => process.ended().await,
                None => None,
            };
            match ended {
                Some(how) => format!("{how} before it was ready"),
                None => format!("does not answer as an MCP server does: {}", shown(&error)),
            }
        }
        Err(_) => format!("did not answer within {}", seconds(bound)),
    };
    let words = process.map(|process| process.last_words());
    let mut words = words.unwrap_or_default();
    if words.is_empty() {
        return Err(why);
    }
    words.reverse();
    Err(format!(
        "{why}; the end of its stderr:\n    {}",
        words.join("\n    ")
    ))
}

async fn serve<T: Transport<RoleClient> + 'static>(
    transport: T,
    settings: &Settings,
    end: CancellationToken,
) -> Result<RunningService<RoleClient, Client>, ClientInitializeError> {
    let cap = settings.config.max_concurrency.unwrap_or(MAX_CONCURRENCY);
    let tap = Tap::new(transport, 2 * cap + 64, end.clone());
    let client = Client {
        server: settings.config.name.clone(),
    };
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    };
    serve_client_with_lifecycle_and_ct(client, tap, lifecycle, end).await
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
        .max_concurrent_requests(cap)
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
pub(super) fn shown(error: &dyn Error) -> String {
    let mut text = causes(error);
    if let Some((end, _)) = text.char_indices().nth(MAX_ERROR) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What we are to a server: a client that can be asked nothing.
struct Client {
    server: String,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let toolhost = Implementation::new("toolhost", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), toolhost)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        let server = &self.server;
        tracing::info!("mcp.{server} has other tools now: load the manifest again to have them");
    }
}
