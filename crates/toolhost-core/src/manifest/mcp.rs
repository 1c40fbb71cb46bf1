//! `[mcp.NAME]`: other MCP servers, whose tools are offered beside those of the plugins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use url::Url;

use super::agent::is_in_the_clear;
use super::allowed_callers::{AllowedCallers, read_allowed_callers};
use super::grants::{is_variable, read_env, read_http_header, read_secret, read_secrets};
use super::limits::{read_duration, read_size};
use super::reader::{ManifestSource, ManifestTable, expect_string, expect_table, path_in};
use super::{HostConfig, MAX_CONCURRENCY, Order, is_name, read_naming, read_order};
use crate::error::Location;
use crate::input::{QuestionKind, QuestionKinds};
use crate::limits::Limits;
use crate::paths::{HostFile, Purpose};
use crate::permissions::{HttpHeader, SecretSource};
use toolhost_wire::setters;

/// `[mcp.NAME]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct McpConfig {
    /// Its name in the manifest.
    pub name: String,
    /// Its location in the manifest.
    pub at: Option<Location>,
    /// How it is reached.
    pub transport: McpTransport,
    /// Secrets for the environment of a command, or for headers. Their values are masked.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The limits of each of its calls: `timeout`, `max_input`, `max_output` and `max_log`.
    pub limits: Limits,
    /// Calls of this server that run at once, within the host's own limit.
    pub max_concurrency: Option<usize>,
    /// Which of its calls run in order.
    pub order: Order,
    /// A prefix for the names of its tools.
    pub prefix: String,
    /// The tools to offer, by the server's own names; all when `None`.
    pub tools: Option<Vec<(String, Location)>>,
    /// Who may call its tools, for APIs that distinguish callers.
    pub allowed_callers: AllowedCallers,
    /// How long it may take to start and list its tools.
    pub start_timeout: Duration,
    /// How long it may stay silent while a call runs.
    pub idle_timeout: Option<Duration>,
    /// The protocol version; negotiated when `None`.
    pub protocol: Option<McpProtocol>,
    /// The kinds of questions it may ask the client during a call.
    pub may_ask: QuestionKinds,
    /// Digests of its tools, by the server's own names; a tool with another digest is refused.
    pub pins: Option<BTreeMap<String, String>>,
    /// Whether the host loads without it if it does not start; it is retried later.
    pub optional: bool,
}

setters!(McpConfig {
    with_limits: limits: Limits,
    with_order: order: Order,
    with_allowed_callers: allowed_callers: AllowedCallers,
    with_start_timeout: start_timeout: Duration,
    with_may_ask: may_ask: QuestionKinds,
    with_optional: optional: bool,
} into {
    with_secrets: secrets: BTreeMap<String, SecretSource>,
    with_max_concurrency: max_concurrency: Option<usize>,
    with_prefix: prefix: String,
    with_tools: tools: Option<Vec<(String, Location)>>,
    with_idle_timeout: idle_timeout: Option<Duration>,
    with_protocol: protocol: Option<McpProtocol>,
    with_pins: pins: Option<BTreeMap<String, String>>,
});

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum McpProtocol {
    /// 2024-11-05
    V2024_11_05,
    /// 2025-03-26
    V2025_03_26,
    /// 2025-06-18
    V2025_06_18,
    /// 2025-11-25
    V2025_11_25,
    /// 2026-07-28, which has no `initialize`.
    V2026_07_28,
}

impl McpProtocol {
    /// All of them, oldest first.
    pub const ALL: [McpProtocol; 5] = [
        McpProtocol::V2024_11_05,
        McpProtocol::V2025_03_26,
        McpProtocol::V2025_06_18,
        McpProtocol::V2025_11_25,
        McpProtocol::V2026_07_28,
    ];

    /// The version that is tried first: nearly all servers know `initialize` and negotiate an older
    /// version from there.
    #[doc(hidden)]
    pub const FIRST: McpProtocol = McpProtocol::V2025_11_25;

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            McpProtocol::V2024_11_05 => "2024-11-05",
            McpProtocol::V2025_03_26 => "2025-03-26",
            McpProtocol::V2025_06_18 => "2025-06-18",
            McpProtocol::V2025_11_25 => "2025-11-25",
            McpProtocol::V2026_07_28 => "2026-07-28",
        }
    }

    /// Parses a protocol version.
    #[doc(hidden)]
    pub fn parse(name: &str) -> Option<McpProtocol> {
        let mut all = McpProtocol::ALL.into_iter();
        all.find(|version| version.as_str() == name)
    }
}

/// How an MCP server is reached: one of the two transports of the protocol.
#[derive(Clone, Debug)]
pub enum McpTransport {
    /// A program, over its stdin and stdout.
    Command(McpCommand),
    /// A server elsewhere, over streamable HTTP.
    Url(McpEndpoint),
}

/// The program of an MCP server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct McpCommand {
    /// A path, or a name to be looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables, beside the few that every command gets.
    pub env: BTreeMap<String, String>,
    /// The working folder.
    pub cwd: PathBuf,
}

impl McpCommand {
    /// A program without arguments, in the current folder.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        McpCommand {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: PathBuf::from("."),
        }
    }
}

setters!(McpCommand {
    with_args: args: Vec<String>,
    with_env: env: BTreeMap<String, String>,
} into {
    with_cwd: cwd: PathBuf,
});

/// The HTTP endpoint of an MCP server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct McpEndpoint {
    /// Its URL.
    pub url: Url,
    /// Headers of every request.
    pub headers: Vec<HttpHeader>,
    /// Sent in the `Authorization` header as a bearer token.
    pub token: Option<SecretSource>,
}

impl McpEndpoint {
    /// An endpoint without headers of its own and without a token.
    pub fn new(url: Url) -> Self {
        McpEndpoint {
            url,
            headers: Vec::new(),
            token: None,
        }
    }
}

setters!(McpEndpoint {
    with_headers: headers: Vec<HttpHeader>,
} into {
    with_token: token: Option<SecretSource>,
});

impl McpConfig {
    /// A server with default limits.
    pub fn new(name: impl Into<String>, transport: McpTransport) -> Self {
        McpConfig {
            name: name.into(),
            at: None,
            transport,
            secrets: BTreeMap::new(),
            limits: Limits::default(),
            max_concurrency: None,
            order: Order::Auto,
            prefix: String::new(),
            tools: None,
            allowed_callers: AllowedCallers::default(),
            start_timeout: Duration::from_secs(30),
            idle_timeout: None,
            protocol: None,
            may_ask: BY_DEFAULT.iter().copied().flat_map(kinds).collect(),
            pins: None,
            optional: false,
        }
    }

    /// The sources of its secrets.
    pub(crate) fn secret_sources(&self) -> impl Iterator<Item = &SecretSource> {
        let token = match &self.transport {
            McpTransport::Url(endpoint) => endpoint.token.as_ref(),
            McpTransport::Command(_) => None,
        };
        self.secrets.values().chain(token)
    }

    /// The files that its command runs: the program, wherever in `PATH` it is or could be put; what
    /// its arguments name; and its working folder.
    #[doc(hidden)]
    pub fn host_files(&self) -> Vec<HostFile> {
        let McpTransport::Command(command) = &self.transport else {
            return Vec::new();
        };
        let McpCommand {
            program, args, cwd, ..
        } = command;
        let mut files = vec![HostFile::new(cwd, Purpose::WorkingFolder)];
        let mut add = |path: PathBuf| files.push(HostFile::new(path, Purpose::Program));
        let is_path = program.components().count() > 1 || program.has_root();
        let path = std::env::var_os("PATH").filter(|_| !is_path);
        for folder in path.iter().flat_map(std::env::split_paths) {
            let found = folder.join(program);
            let is_file = found.is_file();
            add(found);
            if is_file {
                break;
            }
        }
        if is_path {
            add(program.clone());
        }
        let named = args.iter().map(|arg| cwd.join(arg));
        named.filter(|path| path.is_file()).for_each(add);
        files
    }

    /// Its program or URL, in one line.
    pub fn address(&self) -> String {
        match &self.transport {
            McpTransport::Command(command) => {
                let program = command.program.display().to_string();
                let parts = [&program].into_iter().chain(&command.args);
                parts.map(String::as_str).collect::<Vec<_>>().join(" ")
            }
            McpTransport::Url(endpoint) => endpoint.url.to_string(),
        }
    }
}

/// The lock file with the texts of pinned tools: `toolhost.lock` beside `toolhost.toml`.
pub fn lock_file(manifest: &Path) -> PathBuf {
    manifest.with_extension("lock")
}

pub(super) fn read_servers(
    table: ManifestTable,
    host: &HostConfig,
    folder: &Path,
    source: &mut ManifestSource,
) -> Vec<McpConfig> {
    let mut servers = Vec::new();
    for (key, value, path) in table.entries() {
        let name = key.get_ref().to_string();
        if !is_name(&name) {
            let message = format!("`{name}` is not a server name: use A-Z, a-z, 0-9, `_` and `-`");
            source.problem(key.span(), message);
        }
        let Some(table) = expect_table(value, path, source) else {
            continue;
        };
        let at = source.location(key.span());
        if let Some(server) = read_server(table, &name, at, host, folder, source) {
            servers.push(server);
        }
    }
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    servers
}

fn read_server(
    mut table: ManifestTable,
    name: &str,
    at: Location,
    host: &HostConfig,
    folder: &Path,
    source: &mut ManifestSource,
) -> Option<McpConfig> {
    if table.has("command") == table.has("url") {
        let message = format!("`mcp.{name}` needs either `command` or `url`");
        source.problem_at(Some(at), message);
    }
    let secrets = read_secrets(&mut table, folder, source);
    let command = read_command(&mut table, folder, source);
    let url = read_url(&mut table, &secrets, folder, source);
    let only_for = |other: &str| match other {
        "url" => ["args", "env", "cwd"].as_slice(),
        _ => ["http-headers", "token"].as_slice(),
    };
    let other = if table.has("url") { "url" } else { "command" };
    for key in only_for(other).iter().filter(|key| table.has(key)) {
        source.problem_at(
            Some(at),
            format!("`mcp.{name}.{key}` cannot be combined with `{other}`"),
        );
    }
    if let Some(McpCommand { env, .. }) = &command {
        for secret in secrets.keys() {
            if env.contains_key(secret) {
                let message = format!("`mcp.{name}` has `{secret}` in both `env` and `secrets`");
                source.problem_at(Some(at), message);
            }
            if !is_variable(secret) {
                let message =
                    format!("`mcp.{name}`: the secret `{secret}` is not a valid variable name");
                source.problem_at(Some(at), message);
            }
        }
    }
    let mut limits = host.limits.clone();
    limits.timeout = read_duration(&mut table, "timeout", source).unwrap_or(limits.timeout);
    let sizes = [
        ("max-input", &mut limits.max_input),
        ("max-output", &mut limits.max_output),
        ("max-log", &mut limits.max_log),
    ];
    for (key, limit) in sizes {
        *limit = read_size(&mut table, key, ByteSize::gib(4), source).unwrap_or(*limit);
    }
    let max_concurrency = table.count("max-concurrency", MAX_CONCURRENCY, source);
    let order = read_order(&mut table, source);
    let (prefix, tools) = read_naming(&mut table, source);
    let allowed_callers = read_allowed_callers(&mut table, source);
    let start_timeout = read_duration(&mut table, "start-timeout", source);
    let idle_timeout = read_duration(&mut table, "idle-timeout", source);
    let versions = McpProtocol::ALL.map(|version| format!("\"{}\"", version.as_str()));
    let version = format!("a protocol version: {}", versions.join(", "));
    let protocol = table.parsed("protocol", &version, McpProtocol::parse, source);
    let may_ask = read_may_ask(&mut table, source);
    let pins = read_pins(&mut table, source);
    let optional = table.bool("optional", source);
    table.finish(source);
    let transport = match command {
        Some(command) => McpTransport::Command(command),
        None => McpTransport::Url(url?),
    };
    let mut server = McpConfig::new(name, transport);
    server.at = Some(at);
    server.secrets = secrets;
    server.limits = limits;
    server.max_concurrency = max_concurrency;
    server.order = order;
    server.prefix = prefix;
    server.tools = tools;
    server.allowed_callers = allowed_callers;
    server.start_timeout = start_timeout.unwrap_or(server.start_timeout);
    server.idle_timeout = idle_timeout;
    server.protocol = protocol;
    server.may_ask = may_ask.unwrap_or(server.may_ask);
    server.pins = pins;
    server.optional = optional.unwrap_or_default();
    Some(server)
}

/// The default of `may-ask`. Roots are not in it: servers take them for the folders they may touch,
/// for all their clients.
const BY_DEFAULT: [&str; 2] = ["elicitation", "sampling"];

fn kinds(name: &str) -> Vec<QuestionKind> {
    match name {
        "elicitation" => vec![QuestionKind::Form, QuestionKind::Url],
        "sampling" => vec![QuestionKind::Sampling],
        "roots" => vec![QuestionKind::Roots],
        _ => Vec::new(),
    }
}

impl McpConfig {
    /// Its `may-ask`, as written in the manifest.
    pub(super) fn asks(&self) -> Vec<&'static str> {
        let may = |name: &&str| kinds(name).iter().any(|kind| self.may_ask.contains(*kind));
        let all = ["elicitation", "sampling", "roots"];
        all.into_iter().filter(may).collect()
    }
}

fn read_may_ask(table: &mut ManifestTable, source: &mut ManifestSource) -> Option<QuestionKinds> {
    let path = table.path("may-ask");
    let mut all = QuestionKinds::default();
    for value in table.array("may-ask", source)? {
        let Some(name) = expect_string(value, &path, source) else {
            continue;
        };
        let kinds = kinds(name);
        if kinds.is_empty() {
            let message = format!(
                "`{path}`: a server cannot ask for {name:?}: use \"elicitation\", \"sampling\" or \"roots\""
            );
            source.problem(value.span(), message);
        }
        all = kinds.into_iter().fold(all, QuestionKinds::with);
    }
    Some(all)
}

/// Reads `[mcp.NAME.pins]`, which `toolhost check --pin` writes.
fn read_pins(
    table: &mut ManifestTable,
    source: &mut ManifestSource,
) -> Option<BTreeMap<String, String>> {
    let mut pins = BTreeMap::new();
    for (key, value, path) in table.table("pins", source)?.entries() {
        let Some(pin) = expect_string(value, &path, source) else {
            continue;
        };
        let digits = pin.strip_prefix("sha256:").unwrap_or_default();
        let is_digest = digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_digest {
            let message = format!(
                "`{path}` must be \"sha256:\" and 64 hexadecimal digits, as `toolhost check --pin` writes it"
            );
            source.problem(value.span(), message);
        }
        pins.insert(key.get_ref().to_string(), pin.to_ascii_lowercase());
    }
    Some(pins)
}

fn read_command(
    table: &mut ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
) -> Option<McpCommand> {
    let program = table.parsed(
        "command",
        "a program: a path, or a name to look for in PATH",
        |text| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned()),
        source,
    );
    let path = table.path("args");
    let mut args = Vec::new();
    for value in table.array("args", source).unwrap_or_default() {
        args.extend(expect_string(value, &path, source).map(str::to_owned));
    }
    let env = read_env(table, source);
    // An empty folder name means the current folder.
    let here = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let cwd = match table.string("cwd", source) {
        Some(cwd) => path_in(here, cwd),
        None => here.to_owned(),
    };
    if let Some(value) = table.get("cwd")
        && !cwd.is_dir()
    {
        let message = format!("`{}`: no such folder: {}", table.path("cwd"), cwd.display());
        source.problem(value.span(), message);
    }
    let program = program?;
    if let Some((name, rest)) = program.split_once(' ')
        && !here.join(&program).is_file()
        && let Some(value) = table.get("command")
    {
        let message = format!(
            "`{}` must be a program only, and no program is called {program:?}",
            table.path("command")
        );
        let rest: Vec<String> = rest
            .split_whitespace()
            .map(|it| format!("{it:?}"))
            .collect();
        let help = format!(
            "put arguments in `args`: command = {name:?}, args = [{}]",
            rest.join(", ")
        );
        source.problem_with_help(value.span(), message, help);
    }
    // A path is relative to the manifest; a bare name is looked up in `PATH`.
    let program = match Path::new(&program).components().count() {
        1 if !program.contains(['/', '\\']) => PathBuf::from(program),
        _ => path_in(here, &program),
    };
    Some(McpCommand {
        program,
        args,
        env,
        cwd,
    })
}

fn read_url(
    table: &mut ManifestTable,
    secrets: &BTreeMap<String, SecretSource>,
    folder: &Path,
    source: &mut ManifestSource,
) -> Option<McpEndpoint> {
    let url = table.get("url").and_then(|value| {
        let text = table.string("url", source)?;
        let url = Url::parse(text).ok().filter(|url| {
            let is_plain = url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none();
            matches!(url.scheme(), "http" | "https") && is_plain
        });
        if url.is_none() {
            // Do not show the text: it may contain a password.
            let message = format!(
                "`{}` must be an http or https URL without user or fragment, such as \"https://example.com/mcp\"",
                table.path("url")
            );
            source.problem(value.span(), message);
        }
        Some((url?, value.span()))
    });
    let host = url.as_ref().and_then(|(url, _)| host_and_port(url));
    let mut headers = Vec::new();
    for value in table.array("http-headers", source).unwrap_or_default() {
        let Some(header) = expect_table(value, table.path("http-headers"), source) else {
            continue;
        };
        // A URL without a host has been reported already.
        let host = host.as_deref().unwrap_or("localhost");
        headers.extend(read_http_header(header, value, Some(host), secrets, source));
    }
    let token = table.get("token").and_then(|value| {
        let token = expect_table(value, table.path("token"), source)?;
        read_secret(token, value.span(), folder, source)
    });
    let (url, span) = url?;
    let has_secret = token.is_some() || headers.iter().any(|it| it.secrets().next().is_some());
    if has_secret && is_in_the_clear(&url) {
        let message = format!(
            "`{}`: a secret would be sent there unencrypted: use https",
            table.path("url")
        );
        source.problem(span, message);
    }
    Some(McpEndpoint {
        url,
        headers,
        token,
    })
}

fn host_and_port(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
