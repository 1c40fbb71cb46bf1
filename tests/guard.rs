//! What a manifest that takes another's place must not lack: a file that is half written parses more often than not.

use std::collections::BTreeMap;
use std::path::Path;

use toolhost::Manifest;
use toolhost::input::QuestionKind;
use toolhost::manifest::{McpCommand, McpTransport, Order, lowers_guard};
use toolhost::permissions::{Access, Ambient};

use crate::common::binary::Folder;

/// Has all that restricts, mostly at the end of its table.
const FULL: &str = r#"plugin-dir = "plugins"

[audit]
path = "audit.jsonl"
arguments = true

[host]
max-concurrency = 4
max-queue = 10
queue-timeout = "1s"
order-timeout = "1s"
max-suspended = 2
total-memory = "1GiB"
timeout = "5s"
cpu = "1s"
memory = "16MiB"
max-stack = "256KiB"
max-resources = 10
max-transfer = "1MiB"
max-input = "1KiB"
max-output = "1KiB"
max-log = "1KiB"
max-requests = 2
max-open-requests = 1
max-tool-calls = 2
max-parallel-calls = 1
max-depth = 1
max-response = "1KiB"
max-headers = "1KiB"
max-component = "1MiB"
max-compile = "10s"
repair-arguments = false

[plugin.web]
path = "web.wasm"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
prefix = "web_"
tools = ["get"]
rename.get = "fetch"
order = "in-order"
allowed-callers = ["direct"]
max-concurrency = 1
timeout = "1s"

[[plugin.web.permissions.http]]
url = "https://api.example.com"
methods = ["GET"]

[plugin.web.permissions.secrets.KEY]
env = "KEY"

[[plugin.web.permissions.http-headers]]
host = "api.example.com"
name = "Authorization"
value = "Bearer ${KEY}"

[[plugin.web.permissions.files]]
host = "inner"
guest = "/inner"
access = "read-write"
max-disk = "1MiB"
max-files = 10

[plugin.dropped]
tools = ["one"]
memory = "1MiB"

[plugin.dropped.permissions]
clock = "none"
random = "none"

[mcp.files]
command = "sandbox"
args = ["--read-only", "server"]
cwd = "inner"
prefix = "f_"
tools = ["read"]
order = "in-order"
allowed-callers = { read = ["direct"] }
may-ask = []
timeout = "1s"
max-output = "1KiB"
idle-timeout = "1s"

[mcp.files.env]
READ_ONLY = "1"

[mcp.files.pins]
read = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

[mcp.far]
url = "https://example.com/mcp"

[[mcp.far.http-headers]]
name = "X-Read-Only"
value = "true"

[serve]
rate-limit = 100
rate-burst = 10
max-body = "1KiB"
header-timeout = "1s"
idle-timeout = "1s"
body-timeout = "1s"
max-connections = 10
max-sessions = 10
session-timeout = "1m"
max-result-chars = 100
grace = "1s"
task-only = ["web_get"]
hosts = ["a.example"]
origins = ["https://a.example"]

[serve.tls]
certificate = "cert.pem"
key = "key.pem"

[serve.auth.tokens.one]
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
tools = ["web_get"]

[serve.auth.tokens.two]
sha256 = "2222222222222222222222222222222222222222222222222222222222222222"
tools = ["one"]

[serve.auth.oauth]
issuer = "https://auth.example.com"
audience = "https://tools.example.com/mcp"
jwks = "https://auth.example.com/keys"
scopes = { read = ["one"] }
"#;

/// The server's tables before all others: what is cut off is another part.
fn turned(text: &str) -> String {
    let (first, serve) = text.split_at(text.find("[serve]").unwrap());
    let (top, tables) = first.split_once("\n\n").unwrap();
    format!("{top}\n\n{serve}\n{tables}")
}

fn folder() -> Folder {
    let folder = Folder::empty();
    folder.write("plugins/dropped.wasm", "");
    folder.write("inner/.keep", "");
    folder
}

/// All that restricts, by what it restricts; what is not there restricts nothing.
fn restrictions(manifest: &Manifest) -> BTreeMap<String, bool> {
    let mut all = BTreeMap::new();
    let mut note = |what: String, is_there: bool| {
        all.insert(what, is_there);
    };
    let host = &manifest.host;
    let limits = |limits: &toolhost::limits::Limits| {
        [
            ("timeout", limits.timeout.as_secs() <= 5),
            ("cpu", limits.cpu.is_some()),
            ("memory", limits.memory.as_u64() <= 16 << 20),
            ("stack", limits.max_stack.as_u64() <= 256 << 10),
            ("resources", limits.max_resources <= 10),
            ("transfer", limits.max_transfer.is_some()),
            ("input", limits.max_input.as_u64() <= 1024),
            ("output", limits.max_output.as_u64() <= 1024),
            ("log", limits.max_log.as_u64() <= 1024),
            ("requests", limits.max_requests <= 2),
            ("open requests", limits.max_open_requests <= 1),
            ("tool calls", limits.max_tool_calls <= 2),
            ("parallel calls", limits.max_parallel_calls <= 1),
            ("response", limits.max_response.as_u64() <= 1024),
            ("headers", limits.max_headers.as_u64() <= 1024),
            ("component", limits.max_component.as_u64() <= 1 << 20),
            ("compile", limits.max_compile.as_secs() <= 10),
        ]
    };
    for (limit, is_there) in limits(&host.limits) {
        note(format!("host {limit}"), is_there);
    }
    note("calls at once".to_owned(), host.max_concurrency <= 4);
    note("queue".to_owned(), host.max_queue.is_some());
    note("queue timeout".to_owned(), host.queue_timeout.is_some());
    note(
        "order timeout".to_owned(),
        host.order_timeout.as_secs() <= 1,
    );
    note("suspended".to_owned(), host.max_suspended.is_some());
    note("total memory".to_owned(), host.total_memory.is_some());
    note("no repairs".to_owned(), !host.repair_arguments);
    let audit = manifest.audit.as_ref();
    note("audit".to_owned(), audit.is_some());
    note(
        "audited arguments".to_owned(),
        audit.is_some_and(|it| it.arguments),
    );
    for plugin in &manifest.plugins {
        let name = &plugin.name;
        let permissions = &plugin.permissions;
        note(format!("{name} tools"), plugin.tools.is_some());
        for (limit, is_there) in limits(&plugin.limits) {
            note(format!("{name} {limit}"), is_there);
        }
        if name == "web" {
            note("web digest".to_owned(), plugin.sha256.is_some());
            note("web prefix".to_owned(), plugin.prefix == "web_");
            note("web rename".to_owned(), !plugin.rename.is_empty());
            note("web calls".to_owned(), plugin.max_concurrency.is_some());
            note("order of web".to_owned(), plugin.order == Order::InOrder);
            let callers = plugin.allowed_callers.of("get");
            note("callers of web".to_owned(), !callers.is_empty());
            note(
                "web timeout".to_owned(),
                plugin.limits.timeout.as_secs() <= 1,
            );
            let url = "https://api.example.com/x".parse().unwrap();
            let posts = permissions.http.iter().any(|it| it.allows("POST", &url));
            note("web only gets".to_owned(), !posts);
            let sees =
                permissions.secrets.contains_key("KEY") && !permissions.is_for_headers("KEY");
            note("web sees no key".to_owned(), !sees);
            let mut files = permissions.files.iter();
            if let Some(grant) = files.find(|it| it.access == Access::ReadWrite) {
                let disk = grant.max_disk.map(|it| it.as_u64());
                note("web disk".to_owned(), disk.is_some_and(|it| it <= 1 << 20));
                note(
                    "web files".to_owned(),
                    grant.max_files.is_some_and(|it| it <= 10),
                );
            }
        } else {
            note(
                "memory of dropped".to_owned(),
                plugin.limits.memory.as_u64() <= 1 << 20,
            );
            note("no clock".to_owned(), permissions.clock == Ambient::None);
            note(
                "no randomness".to_owned(),
                permissions.random == Ambient::None,
            );
        }
    }
    for server in &manifest.mcp {
        match &server.transport {
            McpTransport::Command(McpCommand { args, env, cwd, .. }) => {
                note("arguments".to_owned(), args.len() == 2);
                note("variable".to_owned(), env.contains_key("READ_ONLY"));
                note("working folder".to_owned(), cwd.ends_with("inner"));
                note("prefix of files".to_owned(), server.prefix == "f_");
                note("tools of files".to_owned(), server.tools.is_some());
                let asks = server.may_ask.contains(QuestionKind::Sampling);
                note("questions of files".to_owned(), !asks);
                note("pins of files".to_owned(), server.pins.is_some());
                note("order of files".to_owned(), server.order == Order::InOrder);
                let callers = server.allowed_callers.of("read");
                note("callers of files".to_owned(), !callers.is_empty());
                note(
                    "timeout of files".to_owned(),
                    server.limits.timeout.as_secs() <= 1,
                );
                note("silence of files".to_owned(), server.idle_timeout.is_some());
            }
            McpTransport::Url(endpoint) => note("header".to_owned(), !endpoint.headers.is_empty()),
        }
    }
    let serve = &manifest.serve;
    note("rate".to_owned(), serve.rate_limit.is_some());
    note(
        "burst".to_owned(),
        serve.rate_burst.is_some_and(|it| it.get() <= 10),
    );
    note("body".to_owned(), serve.max_body.as_u64() <= 1024);
    for (what, time) in [
        ("header", serve.header_timeout),
        ("idle", serve.idle_timeout),
        ("body", serve.body_timeout),
        ("grace", serve.grace),
    ] {
        note(format!("{what} time"), time.as_secs() <= 1);
    }
    note("connections".to_owned(), serve.max_connections <= 10);
    note("sessions".to_owned(), serve.max_sessions <= 10);
    note(
        "session time".to_owned(),
        serve.session_timeout.as_secs() <= 60,
    );
    note("characters".to_owned(), serve.max_result_chars.is_some());
    note("task only".to_owned(), !serve.task_only.is_empty());
    note("certificate".to_owned(), serve.tls.is_some());
    note("authentication".to_owned(), serve.auth.is_required());
    for token in &serve.auth.tokens {
        note(format!("tools of {}", token.name), token.tools.is_some());
    }
    if let Some(oauth) = &serve.auth.oauth {
        note("scopes".to_owned(), oauth.scopes.is_some());
        note("keys of the issuer".to_owned(), oauth.jwks.is_some());
    }
    all
}

#[test]
fn no_part_of_a_manifest_guards_less_unnoticed() {
    let folder = folder();
    let file = folder.path().join("toolhost.toml");
    let parse = |text: &str, file: &Path| Manifest::parse(text, file);
    for text in [FULL.to_owned(), turned(FULL)] {
        let full = parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(lowers_guard(&full, &full), None);
        let all = restrictions(&full);
        assert!(all.values().all(|is_there| *is_there), "{all:?}");
        let (mut parsed, mut lower) = (0, 0);
        for end in 0..text.len() {
            let Ok(part) = parse(&text[..end], &file) else {
                continue;
            };
            parsed += 1;
            let lost = restrictions(&part)
                .into_iter()
                .find(|(_, is_there)| !is_there);
            if let Some((lost, _)) = lost {
                lower += 1;
                assert!(
                    lowers_guard(&full, &part).is_some(),
                    "nobody misses {lost} in:\n{}",
                    &text[..end]
                );
            }
        }
        // Comments aside, a manifest breaks off well after most lines.
        assert!(parsed > 100 && lower > 50, "{parsed}, {lower}");
    }
}

/// Each line that restricts, left out of an otherwise whole manifest.
#[test]
fn a_line_that_is_lost_is_noticed() {
    let folder = folder();
    let file = folder.path().join("toolhost.toml");
    let full = Manifest::parse(FULL, &file).unwrap();
    for line in FULL.lines().filter(|line| line.contains(" = ")) {
        let text = FULL.replacen(&format!("{line}\n"), "", 1);
        let Ok(now) = Manifest::parse(&text, &file) else {
            continue;
        };
        let lost = restrictions(&now)
            .into_iter()
            .any(|(_, is_there)| !is_there);
        assert!(!lost || lowers_guard(&full, &now).is_some(), "{line}");
    }
}

#[test]
fn what_narrows_or_is_meant_is_taken() {
    let folder = folder();
    let file = folder.path().join("toolhost.toml");
    let full = Manifest::parse(FULL, &file).unwrap();
    let without = |from: &str, to: &str| {
        let start = FULL.find(from).unwrap();
        let end = start + FULL[start..].find(to).unwrap();
        format!("{}{}", &FULL[..start], &FULL[end..])
    };
    for changed in [
        // One of several, and whoever else may come.
        without("[serve.auth.tokens.two]", "[serve.auth.oauth]"),
        FULL[..FULL.find("[serve.auth.oauth]").unwrap()].to_owned(),
        without("hosts = ", "origins"),
        without("origins = ", "\n[serve.tls]"),
        // Grants.
        without(
            "[[plugin.web.permissions.http]]",
            "[plugin.web.permissions.secrets",
        ),
        without("[plugin.web]", "[plugin.dropped]"),
        without("[mcp.files]", "[mcp.far]"),
        // Other values, wider ones too, are what somebody wrote.
        FULL.replace("timeout = \"5s\"", "timeout = \"30s\""),
        FULL.replace("rate-limit = 100", "rate-limit = 1000"),
        FULL.replace("[\"web_get\"]", "[\"web_get\", \"one\"]"),
        FULL.replace("methods = [\"GET\"]", "methods = [\"GET\", \"POST\"]"),
        FULL.replace(
            "args = [\"--read-only\", \"server\"]",
            "args = [\"server\"]",
        ),
        // A client more.
        format!(
            "{FULL}\n[serve.auth.tokens.three]\nsha256 = '{}'\ntools = ['one']\n",
            "3".repeat(64)
        ),
    ] {
        let now = Manifest::parse(&changed, &file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(lowers_guard(&full, &now), None, "{changed}");
    }
    // Half of a client's table, and a client that takes another's token without its tools.
    for (digit, why) in [("3", "could call all tools"), ("2", "tokens.three.tools")] {
        let text = without("[serve.auth.tokens.two]", "[serve.auth.oauth]");
        let token = format!(
            "\n[serve.auth.tokens.three]\nsha256 = '{}'\n",
            digit.repeat(64)
        );
        let now = Manifest::parse(&(text + &token), &file).unwrap();
        let lowered = lowers_guard(&full, &now).unwrap();
        assert!(lowered.contains(why), "{lowered}");
    }
}
