//! `[serve]`: which clients may reach the server, what each may use, and timeouts.

mod auth;
mod authority;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;

use super::limits::{read_duration, read_size};
use super::reader::{
    ManifestSource, ManifestTable, expect_parsed, expect_string, expect_table, path_in,
};
use crate::error::InvalidValue;
use crate::limits::MAX_TIMEOUT;
use crate::paths::SharedPaths;
use crate::tool::Tool;
use auth::read_auth;
pub use auth::{AuthConfig, OauthConfig, TokenConfig, TokenDigest};
pub use authority::{Authority, Origin};
use toolhost_wire::setters;

/// Claude Code cuts descriptions, and a server's instructions, to this many bytes.
const MAX_SHOWN: usize = 2048;

/// How the server is reached, and by which clients.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Instructions for models, sent with the server's capabilities.
    pub instructions: Option<String>,
    /// Items per page of a list.
    pub page_size: usize,
    /// Names of the server that are allowed in `Host`, beside those of this machine.
    pub hosts: Vec<Authority>,
    /// Origins of pages that may send requests, beside this machine.
    pub origins: Vec<Origin>,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub proxies: Vec<IpAddr>,
    /// The longest body of a request.
    pub max_body: ByteSize,
    /// Bytes of all unanswered requests with bodies over 16 KiB; one client may have half.
    pub max_in_flight: ByteSize,
    /// Bytes buffered for all clients that have not read them yet.
    pub max_unsent: ByteSize,
    /// Timeout for a handshake and for the head of a request.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Timeout for the body of a request.
    pub body_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
    /// Sessions open at once.
    pub max_sessions: usize,
    /// Sessions of one client; see [`ServeConfig::sessions_of_one`] for `None`.
    pub max_sessions_per_client: Option<usize>,
    /// How long a client may take to answer a tool's question.
    pub ask_timeout: Duration,
    /// How long a session may stay open without a request.
    pub session_timeout: Duration,
    /// How long a client that supports tasks waits for a call before it becomes a task.
    pub task_after: Duration,
    /// Tools that only clients with task support may call.
    pub task_only: BTreeSet<String>,
    /// Longer results are compacted and can be read on; never when `None`.
    pub max_result_chars: Option<usize>,
    /// Whether clients see only `run_script`, `search_tools` and `describe_tool`, and programs call the
    /// other tools.
    pub code_mode: bool,
    /// Requests per second of each client.
    pub rate_limit: Option<NonZeroU32>,
    /// Requests that a client may send in a burst before `rate_limit` applies; one second's worth
    /// when `None`.
    pub rate_burst: Option<NonZeroU32>,
    /// The grace period of running calls at shutdown.
    pub grace: Duration,
    /// The server's certificate; without one it speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Authentication of clients.
    pub auth: AuthConfig,
}

setters!(ServeConfig {
    with_code_mode: code_mode: bool,
    with_page_size: page_size: usize,
    with_header_timeout: header_timeout: Duration,
    with_idle_timeout: idle_timeout: Duration,
    with_body_timeout: body_timeout: Duration,
    with_max_connections: max_connections: usize,
    with_max_sessions: max_sessions: usize,
    with_ask_timeout: ask_timeout: Duration,
    with_session_timeout: session_timeout: Duration,
    with_task_after: task_after: Duration,
    with_grace: grace: Duration,
    with_auth: auth: AuthConfig,
} into {
    with_instructions: instructions: Option<String>,
    with_hosts: hosts: Vec<Authority>,
    with_origins: origins: Vec<Origin>,
    with_proxies: proxies: Vec<IpAddr>,
    with_max_body: max_body: ByteSize,
    with_max_in_flight: max_in_flight: ByteSize,
    with_max_unsent: max_unsent: ByteSize,
    with_max_sessions_per_client: max_sessions_per_client: Option<usize>,
    with_task_only: task_only: BTreeSet<String>,
    with_max_result_chars: max_result_chars: Option<usize>,
    with_rate_limit: rate_limit: Option<NonZeroU32>,
    with_rate_burst: rate_burst: Option<NonZeroU32>,
    with_tls: tls: Option<TlsConfig>,
});

/// `[serve.tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate chain, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Opens them.
    #[doc(hidden)]
    pub paths: SharedPaths,
}

impl TlsConfig {
    /// A certificate with its key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        TlsConfig {
            certificate: certificate.into(),
            key: key.into(),
            paths: SharedPaths::default(),
        }
    }
}

impl Default for ServeConfig {
    fn default() -> Self {
        ServeConfig {
            instructions: None,
            page_size: 1000,
            hosts: Vec::new(),
            origins: Vec::new(),
            proxies: Vec::new(),
            max_body: ByteSize::mib(4),
            max_in_flight: ByteSize::mib(64),
            max_unsent: ByteSize::mib(256),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            max_connections: 1024,
            max_sessions: 1000,
            max_sessions_per_client: None,
            ask_timeout: Duration::from_secs(10 * 60),
            session_timeout: Duration::from_secs(30 * 60),
            task_after: Duration::from_secs(20),
            task_only: BTreeSet::new(),
            max_result_chars: None,
            code_mode: false,
            rate_limit: None,
            rate_burst: None,
            grace: Duration::from_secs(10),
            tls: None,
            auth: AuthConfig::default(),
        }
    }
}

/// A server without authentication that other machines could reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "anyone who can reach {address} could call every tool: configure client tokens in [serve.auth.tokens.NAME] \
     (`toolhost token new` makes one) or an issuer in [serve.auth.oauth], or listen on 127.0.0.1"
)]
#[non_exhaustive]
pub struct Exposed {
    /// The address that it would listen on.
    pub address: SocketAddr,
}

impl ServeConfig {
    /// Checks that the server may listen on the address.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::manifest::ServeConfig;
    ///
    /// let open = ServeConfig::default();
    /// assert!(open.check_exposure("127.0.0.1:8080".parse()?).is_ok());
    /// let error = open.check_exposure("0.0.0.0:8080".parse()?).unwrap_err();
    /// assert_eq!(error.address.port(), 8080);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Others than this machine could call every tool: what to do about it.
    pub fn check_exposure(&self, address: SocketAddr) -> Result<(), Exposed> {
        if address.ip().to_canonical().is_loopback() || self.auth.is_required() {
            return Ok(());
        }
        Err(Exposed { address })
    }

    /// The sessions that one client may have: by default half of all, if there can be other
    /// clients.
    #[doc(hidden)]
    pub fn sessions_of_one(&self) -> usize {
        let of_one = self
            .max_sessions_per_client
            .unwrap_or_else(|| match self.auth.is_of_one() {
                true => self.max_sessions,
                false => self.max_sessions.div_ceil(2),
            });
        of_one.min(self.max_sessions)
    }

    /// Warnings about descriptions that clients are likely to cut, and about named tools that do
    /// not exist.
    #[doc(hidden)]
    pub fn tool_warnings<'t>(&self, tools: impl Iterator<Item = &'t Tool>) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut cut = |what: String, text: &str| {
            if text.len() > MAX_SHOWN {
                warnings.push(format!(
                    "{what} has {} bytes, but Claude Code cuts it off after {MAX_SHOWN}",
                    text.len()
                ));
            }
        };
        if let Some(instructions) = &self.instructions {
            cut("`serve.instructions`".to_owned(), instructions);
        }
        let mut missing = self.task_only.clone();
        for tool in tools {
            cut(
                format!("the description of `{}`", tool.name),
                &tool.description,
            );
            missing.remove(&tool.name);
        }
        let missing = missing.iter();
        warnings.extend(
            missing.map(|tool| format!("`serve.task-only` names an unknown tool: `{tool}`")),
        );
        warnings
    }

    /// Warnings about likely mistakes, for a server that listens on this address.
    #[doc(hidden)]
    pub fn warnings(&self, address: SocketAddr) -> Vec<String> {
        let mut warnings = Vec::new();
        if address.ip().to_canonical().is_loopback() {
            return warnings;
        }
        if self.tls.is_none() {
            warnings.push(format!(
                "tokens are sent to {address} unencrypted unless a proxy in front of it uses TLS: set a \
                 certificate in [serve.tls]"
            ));
        }
        if self.hosts.is_empty() {
            warnings.push(format!(
                "requests to {address} from other machines are refused: add the server's host name to \
                 `serve.hosts` in the manifest"
            ));
        }
        warnings
    }
}

pub(super) fn read_serve(
    mut table: ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
) -> ServeConfig {
    let mut serve = ServeConfig {
        hosts: read_list(&mut table, "hosts", source),
        origins: read_list(&mut table, "origins", source),
        ..ServeConfig::default()
    };
    serve.instructions = table.string("instructions", source).map(str::to_owned);
    if let Some(size) = table.count("page-size", 100_000, source) {
        serve.page_size = size;
    }
    let expected = "an IP address, such as \"10.0.0.7\"";
    let path = table.path("proxies");
    for value in table.array("proxies", source).unwrap_or_default() {
        match value.get_ref().as_str().and_then(|text| text.parse().ok()) {
            Some(proxy) => serve.proxies.push(proxy),
            None => super::reader::mismatch(value, &path, expected, source),
        }
    }
    let sizes = [
        ("max-body", ByteSize::gib(1), &mut serve.max_body),
        ("max-in-flight", ByteSize::gib(64), &mut serve.max_in_flight),
        ("max-unsent", ByteSize::gib(64), &mut serve.max_unsent),
    ];
    for (key, most, size) in sizes {
        *size = read_size(&mut table, key, most, source).unwrap_or(*size);
    }
    let times = [
        ("header-timeout", &mut serve.header_timeout),
        ("idle-timeout", &mut serve.idle_timeout),
        ("body-timeout", &mut serve.body_timeout),
        ("session-timeout", &mut serve.session_timeout),
        ("ask-timeout", &mut serve.ask_timeout),
        ("grace", &mut serve.grace),
    ];
    for (key, time) in times {
        *time = read_duration(&mut table, key, source).unwrap_or(*time);
    }
    let counts = [
        ("max-connections", &mut serve.max_connections),
        ("max-sessions", &mut serve.max_sessions),
    ];
    for (key, count) in counts {
        *count = table.count(key, 1_000_000, source).unwrap_or(*count);
    }
    serve.code_mode = table.bool("code-mode", source).unwrap_or_default();
    serve.max_sessions_per_client = table.count("max-sessions-per-client", 1_000_000, source);
    let expected = "a duration up to a year, such as \"20s\"; \"0s\" means at once";
    let parse = |text: &str| {
        let duration = humantime::parse_duration(text).ok();
        duration.filter(|duration| *duration <= MAX_TIMEOUT)
    };
    if let Some(after) = table.parsed("task-after", expected, parse, source) {
        serve.task_after = after;
    }
    let path = table.path("task-only");
    let tools = table.array("task-only", source).unwrap_or_default();
    let tools = tools
        .iter()
        .filter_map(|value| expect_string(value, &path, source));
    serve.task_only = tools.map(str::to_owned).collect();
    serve.max_result_chars = table.count_from("max-result-chars", 100, usize::MAX, source);
    let [rate, burst] = ["rate-limit", "rate-burst"].map(|key| {
        let count = table.count(key, 1_000_000, source)?;
        NonZeroU32::new(u32::try_from(count).ok()?)
    });
    (serve.rate_limit, serve.rate_burst) = (rate, burst);
    if let Some(value) = table.get("rate-burst")
        && !table.has("rate-limit")
    {
        source.problem(
            value.span(),
            "`serve.rate-burst` has no effect without `rate-limit`",
        );
    }
    serve.tls = table.get("tls").and_then(|value| {
        let mut table = expect_table(value, "serve.tls".to_owned(), source)?;
        for key in ["certificate", "key"] {
            if !table.has(key) {
                source.problem(value.span(), format!("`serve.tls` needs `{key}`"));
            }
        }
        let [certificate, key] = ["certificate", "key"].map(|key| table.string(key, source));
        table.finish(source);
        Some(TlsConfig::new(
            path_in(folder, certificate?),
            path_in(folder, key?),
        ))
    });
    if let Some(value) = table.get("auth")
        && let Some(table) = expect_table(value, "serve.auth".to_owned(), source)
    {
        serve.auth = read_auth(table, value.span(), source);
    }
    table.finish(source);
    serve
}

/// Reads a list of strings that parse.
fn read_list<T: std::str::FromStr<Err = InvalidValue>>(
    table: &mut ManifestTable,
    key: &'static str,
    source: &mut ManifestSource,
) -> Vec<T> {
    let path = table.path(key);
    let items = table.array(key, source).unwrap_or_default();
    items
        .iter()
        .filter_map(|value| expect_parsed(value, &path, source))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: String) -> Tool {
        Tool::new(name, description)
            .with_input_schema(serde_json::json!({ "type": "object" }))
            .with_plugin("p")
            .with_sandboxed(true)
    }

    #[test]
    fn what_clients_cut_is_warned_of() {
        let tools = [
            tool("short", "x".repeat(MAX_SHOWN)),
            tool("long", "x".repeat(MAX_SHOWN + 1)),
        ];
        let mut serve = ServeConfig::default();
        let warnings = serve.tool_warnings(tools.iter());
        assert_eq!(
            warnings,
            ["the description of `long` has 2049 bytes, but Claude Code cuts it off after 2048"]
        );
        serve.instructions = Some("x".repeat(3000));
        serve.task_only = ["short", "none"].map(str::to_owned).into();
        let warnings = serve.tool_warnings(tools[..1].iter());
        assert_eq!(
            warnings,
            [
                "`serve.instructions` has 3000 bytes, but Claude Code cuts it off after 2048",
                "`serve.task-only` names an unknown tool: `none`",
            ]
        );
    }
}
