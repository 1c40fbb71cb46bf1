//! The manifest: what each key means, and what is said of one that is wrong.
//!
//! `tests/manifests` holds bad manifests, each beside the messages that it must give. With
//! `UPDATE_EXPECT=1` in the environment those are rewritten.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use toolhost::error::{Diagnostic, Location};
use toolhost::limits::ByteSize;
use toolhost::manifest::{
    Authority, PluginConfig, ServeConfig, TlsConfig, TokenConfig, TokenDigest,
};
use toolhost::permissions::{Access, SecretSource};
use toolhost::wire::{Format, ToolChoice};
use toolhost::{LoadError, Manifest, ToolHost};

use crate::common::binary::{Folder, listed};
use crate::common::{self, call, echo, error, guest, root, sha256, text};

#[tokio::test]
async fn every_bad_manifest_gives_its_messages() {
    let folder = root().join("tests/manifests");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 32, "{files:?}");
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for file in files {
        let Err(error) = read_and_load(&file).await else {
            wrong.push(format!("{} loads", file.display()));
            continue;
        };
        // The same on every machine.
        let here = format!("{}/", folder.display());
        let found = format!("{error}\n").replace(&here, "");
        let expected = file.with_extension("err");
        if update {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\n{found}expected\n{expected}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn read_and_load(file: &Path) -> Result<ToolHost, LoadError> {
    common::try_load(Manifest::read(file)?).await
}

/// What is wrong with a manifest.
#[track_caller]
fn problems(result: Result<impl Sized, LoadError>) -> Vec<Diagnostic> {
    match result {
        Err(LoadError::Invalid(problems)) => problems,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nothing is wrong"),
    }
}

#[test]
fn every_problem_has_its_file_and_place() {
    let text = "[host]\ntimout = \"1s\"\nmemory = 5\n\n[plugin.a]\nprefix = \"é\", \"\"";
    let found = problems(Manifest::parse(text, "some/toolhost.toml"));
    assert!(
        found
            .iter()
            .all(|problem| problem.file == Path::new("some/toolhost.toml"))
    );
    assert!(
        found.iter().all(|problem| problem.at.is_some()),
        "{found:?}"
    );
    let text = "[host]\ntimout = \"1s\"\nmemory = 5\n";
    let found = problems(Manifest::parse(text, "some/toolhost.toml"));
    let places: Vec<_> = found.iter().map(|problem| problem.at.unwrap()).collect();
    assert_eq!(
        places,
        [
            Location { line: 2, column: 1 },
            Location {
                line: 3,
                column: 10
            }
        ]
    );
    assert_eq!(found[0].help.as_deref(), Some("did you mean `timeout`?"));
}

#[test]
fn syntax_errors_come_in_the_order_of_their_lines() {
    let text = "[host]\ntimeout = 30s\n[plugin.a\npath = \"a\ntools = [\n";
    let found = problems(Manifest::parse(text, "toolhost.toml"));
    let lines: Vec<_> = found
        .iter()
        .map(|problem| problem.at.unwrap().line)
        .collect();
    assert!(lines.is_sorted(), "{lines:?}");
    assert!(lines.len() > 1, "{lines:?}");
}

/// Everything that a manifest can say.
const EVERYTHING: &str = r#"
plugin-dir = "plugins"

[host]
max-concurrency = 8
timeout = "1m 30s"
memory = "32MiB"
max-input = "2MiB"
max-output = "512KiB"
max-log = "64KiB"
max-component = "16MiB"
summarize = true
summarize-items = 5
summarize-chars = 500

[agent]
provider = "anthropic"
model = "model-1"
base-url = "http://127.0.0.1:8080/v1"
key = { file = "secrets/model" }
system-prompt = """
Be brief."""
temperature = 1
max-tokens = 1_000
max-iterations = 3
parallel = false
tool-choice = "required"
max-result-chars = 100
timeout = "5s"
max-retries = 0
request = { top_k = 5, metadata = { user = "x" }, stop = ["a", 0.5] }

[serve]
hosts = ["Tools.example.com", "[::1]:8443"]
origins = ["https://app.example.com:443"]
proxies = ["10.0.0.1", "::1"]
max-body = "1MiB"
header-timeout = "1s"
idle-timeout = "2s"
body-timeout = "3s"
max-connections = 10
max-in-flight = "7MiB"
max-unsent = "8MiB"
max-sessions = 20
max-sessions-per-client = 5
ask-timeout = "7s"
session-timeout = "4s"
rate-limit = 100
rate-burst = 5
grace = "6s"
tls = { certificate = "tls/cert.pem", key = "tls/key.pem" }

[serve.auth.tokens.ci]
sha256 = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"
tools = ["web_fetch"]

[serve.auth.oauth]
issuer = "https://auth.example.com"
audience = "https://tools.example.com/mcp"
jwks = "http://localhost:9000/jwks"
scopes = { "web:read" = ["web_fetch", "web_head"] }

[plugin.fetch]
sha256 = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"
timeout = "10s"
max-output = "1MB"
max-concurrency = 4
prefix = "web_"
tools = ["fetch"]

[plugin.fetch.permissions]
http = ["https://*.wikipedia.org", "http://127.0.0.1:8080"]
files = [
    { host = "./notes", guest = "/notes", access = "read-only" },
    { host = "../work", guest = "/work/shared", access = "read-write", max-disk = "1GiB", max-files = 10_000 },
    { host = "notes", guest = "/" },
]
env = { TZ = "UTC", LANG = "" }
secrets = { GITHUB_TOKEN = { env = "TOKEN_OF_GITHUB" }, KEY = { file = "secrets/key" } }

[plugin.fetch.config]
user-agent = "toolhost"
retries = 3
ratio = 0.5
strict = false
hosts = ["a", { name = "b" }]
since = 2024-01-31T10:00:00Z

[plugin.elsewhere]
path = "other/place.wasm"
"#;

#[test]
fn every_key_is_read_into_its_value() {
    let outer = Folder::empty();
    let file = outer.write("home/toolhost.toml", EVERYTHING);
    outer.write("home/plugins/fetch.wasm", "");
    outer.write("home/notes/note.txt", "");
    outer.write("work/work.txt", "");
    let home = outer.path().join("home");
    let manifest = Manifest::read(&file).unwrap();

    assert_eq!(manifest.file, file);
    let host = &manifest.host;
    assert_eq!(host.max_concurrency, 8);
    assert_eq!(host.limits.timeout, Duration::from_secs(90));
    assert_eq!(host.limits.memory, ByteSize::mib(32));
    assert_eq!(host.limits.max_input, ByteSize::mib(2));
    assert_eq!(host.limits.max_output, ByteSize::kib(512));
    assert_eq!(host.limits.max_log, ByteSize::kib(64));
    assert_eq!(host.limits.max_component, ByteSize::mib(16));
    assert!(host.summarize);
    assert_eq!((host.summary.items, host.summary.chars), (5, 500));

    let agent = &manifest.agent;
    assert_eq!(agent.provider, Some(Format::Anthropic));
    assert_eq!(agent.model.as_deref(), Some("model-1"));
    let address = agent.base_url.as_ref().map(|url| url.as_str());
    assert_eq!(address, Some("http://127.0.0.1:8080/v1"));
    let key = SecretSource::File(home.join("secrets/model"));
    assert_eq!(agent.key, Some(key));
    assert_eq!(agent.system_prompt.as_deref(), Some("Be brief."));
    assert_eq!(
        (agent.temperature, agent.max_tokens),
        (Some(1.0), Some(1000))
    );
    assert_eq!((agent.max_iterations, agent.max_retries), (3, 0));
    assert!(!agent.parallel);
    assert_eq!(agent.tool_choice, ToolChoice::Required);
    assert_eq!(agent.max_result_chars, 100);
    assert_eq!(agent.timeout, Duration::from_secs(5));
    let request = json!({ "top_k": 5, "metadata": { "user": "x" }, "stop": ["a", 0.5] });
    assert_eq!(json!(agent.request), request);

    everything_of_serve(&manifest.serve, &home);

    let [elsewhere, fetch] = &manifest.plugins[..] else {
        panic!("{:?}", manifest.plugins);
    };
    assert_eq!(elsewhere.name, "elsewhere");
    assert_eq!(elsewhere.path, home.join("other/place.wasm"));
    assert_eq!(elsewhere.limits, host.limits);
    assert_eq!(elsewhere.permissions, Default::default());
    assert_eq!((elsewhere.max_concurrency, &*elsewhere.prefix), (None, ""));
    assert_eq!((&elsewhere.tools, &elsewhere.sha256), (&None, &None));

    assert_eq!(fetch.name, "fetch");
    assert_eq!(fetch.path, home.join("plugins/fetch.wasm"));
    assert_eq!(fetch.at.unwrap().line, line_of("[plugin.fetch]"));
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(fetch.sha256.as_ref(), Some(&digest));
    assert_eq!(fetch.limits.timeout, Duration::from_secs(10));
    assert_eq!(fetch.limits.max_output, ByteSize::mb(1));
    assert_eq!(fetch.limits.memory, host.limits.memory);
    assert_eq!(fetch.limits.max_log, host.limits.max_log);
    assert_eq!(fetch.max_concurrency, Some(4));
    assert_eq!(fetch.prefix, "web_");
    let tools = fetch.tools.as_ref().unwrap();
    assert_eq!((tools.len(), &*tools[0].0), (1, "fetch"));
    assert_eq!(tools[0].1.line, line_of("tools = [\"fetch\""));

    let permissions = &fetch.permissions;
    let rules: Vec<String> = permissions.http.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["https://*.wikipedia.org", "http://127.0.0.1:8080"]);
    let files: Vec<_> = permissions
        .files
        .iter()
        .map(|grant| (&*grant.host, &*grant.guest, grant.access))
        .collect();
    assert_eq!(
        files,
        [
            (&*home.join("notes"), "/notes", Access::ReadOnly),
            (&*home.join("../work"), "/work/shared", Access::ReadWrite),
            (&*home.join("notes"), "/", Access::ReadOnly),
        ]
    );
    let quotas: Vec<_> = permissions
        .files
        .iter()
        .map(|grant| (grant.max_disk, grant.max_files))
        .collect();
    let none = (None, None);
    assert_eq!(quotas, [none, (Some(ByteSize::gib(1)), Some(10_000)), none]);
    let env: Vec<_> = permissions
        .env
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(env, [("LANG", ""), ("TZ", "UTC")]);
    assert_eq!(
        permissions.secrets["GITHUB_TOKEN"],
        SecretSource::Env("TOKEN_OF_GITHUB".to_owned())
    );
    assert_eq!(
        permissions.secrets["KEY"],
        SecretSource::File(home.join("secrets/key"))
    );
    for (key, value) in [
        ("user-agent", "toolhost"),
        ("retries", "3"),
        ("ratio", "0.5"),
        ("strict", "false"),
        ("hosts", r#"["a",{"name":"b"}]"#),
        ("since", r#""2024-01-31T10:00:00Z""#),
    ] {
        assert_eq!(fetch.config[key], value, "{key}");
    }
    assert_eq!(fetch.config.len(), 6);
}

fn everything_of_serve(serve: &ServeConfig, home: &Path) {
    let texts = |items: &[Authority]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&serve.hosts), ["tools.example.com", "[::1]:8443"]);
    let origins: Vec<String> = serve.origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://app.example.com"]);
    let proxies: Vec<String> = serve.proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.1", "::1"]);
    assert_eq!(serve.max_body, ByteSize::mib(1));
    let times = [
        serve.header_timeout,
        serve.idle_timeout,
        serve.body_timeout,
        serve.session_timeout,
        serve.grace,
    ];
    assert_eq!(times, [1, 2, 3, 4, 6].map(Duration::from_secs));
    assert_eq!((serve.max_connections, serve.max_sessions), (10, 20));
    let held = [serve.max_in_flight, serve.max_unsent];
    assert_eq!(held, [7, 8].map(ByteSize::mib));
    assert_eq!(serve.sessions_of_one(), 5);
    assert_eq!(serve.ask_timeout, Duration::from_secs(7));
    let rates = [serve.rate_limit, serve.rate_burst].map(|it| it.unwrap().get());
    assert_eq!(rates, [100, 5]);
    let tls = TlsConfig::new(home.join("tls/cert.pem"), home.join("tls/key.pem"));
    assert_eq!(serve.tls, Some(tls));

    let [token] = &serve.auth.tokens[..] else {
        panic!("{:?}", serve.auth);
    };
    assert_eq!(token.name, "ci");
    assert_eq!(token.digest.to_string(), "0123456789abcdef".repeat(4));
    assert_eq!(token.tools, Some(["web_fetch".to_owned()].into()));
    let oauth = serve.auth.oauth.as_ref().unwrap();
    assert_eq!(oauth.issuer.as_str(), "https://auth.example.com/");
    assert_eq!(oauth.audience.as_str(), "https://tools.example.com/mcp");
    let jwks = oauth.jwks.as_ref().map(|url| url.as_str());
    assert_eq!(jwks, Some("http://localhost:9000/jwks"));
    let tools = ["web_fetch", "web_head"].map(str::to_owned);
    let scopes = [("web:read".to_owned(), tools.into())];
    assert_eq!(oauth.scopes, Some(scopes.into()));
}

#[test]
fn a_server_that_others_reach_asks_who_they_are() {
    let open = ServeConfig::default();
    let mut asking = open.clone();
    let token = TokenConfig::new("a", TokenDigest::of("th_a"));
    asking.auth.tokens.push(token);
    for address in [
        "127.0.0.1:80",
        "127.9.9.9:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_eq!(open.check_exposure(address.parse().unwrap()), Ok(()));
        assert!(open.warnings(address.parse().unwrap()).is_empty());
    }
    for address in [
        "0.0.0.0:80",
        "[::]:80",
        "192.168.0.1:80",
        "[2001:db8::1]:80",
    ] {
        let address = address.parse().unwrap();
        let refused = open.check_exposure(address).unwrap_err().to_string();
        for word in ["toolhost token new", "[serve.auth.oauth]", "127.0.0.1"] {
            assert!(refused.contains(word), "{refused}");
        }
        assert!(asking.check_exposure(address).is_ok());
        let warnings = asking.warnings(address).join("\n");
        assert!(warnings.contains("unencrypted"), "{warnings}");
        assert!(warnings.contains("serve.hosts"), "{warnings}");
    }
}

/// The number of the first line of [`EVERYTHING`] that starts so.
fn line_of(start: &str) -> usize {
    1 + EVERYTHING
        .lines()
        .position(|line| line.starts_with(start))
        .unwrap()
}

#[test]
fn an_empty_manifest_is_all_defaults() {
    let manifest = Manifest::parse("", "toolhost.toml").unwrap();
    assert_eq!(manifest.host.max_concurrency, 16);
    assert_eq!(manifest.host.limits.timeout, Duration::from_secs(30));
    assert_eq!(manifest.host.limits.memory, ByteSize::mib(64));
    assert_eq!(manifest.host.limits.max_output, ByteSize::mib(1));
    assert!(!manifest.host.summarize);
    assert_eq!(
        (manifest.host.summary.items, manifest.host.summary.chars),
        (10, 2000)
    );
    assert!(manifest.plugins.is_empty());
}

#[test]
fn a_manifest_that_cannot_be_read_is_named() {
    let folder = Folder::empty();
    let missing = folder.path().join("none.toml");
    let not_text = folder.write("toolhost.toml", b"[host]\ntimeout = \"\xff\"");
    for file in [missing, not_text, folder.path().to_owned()] {
        match Manifest::read(&file) {
            Err(LoadError::Read { path, .. }) => assert_eq!(path, file),
            other => panic!("{other:?}"),
        }
    }
}

// plugin-dir

#[tokio::test]
async fn a_plugin_in_the_folder_is_offered_with_no_permission_and_no_entry() {
    let folder = Folder::with("plugin-dir = \"plugins\"\n[host]\ntimeout = \"7s\"\n");
    install(&folder, "misbehave", "misbehave.wasm");
    install(&folder, "echo", "echo.wasm");
    folder.write("plugins/README.md", "no plugin");
    let manifest = Manifest::read(folder.path().join("toolhost.toml")).unwrap();
    let names: Vec<&str> = manifest
        .plugins
        .iter()
        .map(|plugin| &*plugin.name)
        .collect();
    assert_eq!(names, ["echo", "misbehave"]);
    let misbehave = &manifest.plugins[1];
    assert_eq!(misbehave.permissions, Default::default());
    assert_eq!(misbehave.limits.timeout, Duration::from_secs(7));
    assert_eq!(misbehave.at, None);
    let host = common::load(manifest).await;
    assert_eq!(text(&host.call(echo("a", "hello")).await), "hello");
    let environment = host.call(call("env", json!({}))).await;
    assert_eq!(text(&environment), "{}");
    let read = host
        .call(call("read", json!({ "path": "/etc/hostname" })))
        .await;
    assert!(read.outcome.is_err(), "{read:?}");
}

#[tokio::test]
async fn an_entry_without_a_path_is_the_plugin_of_that_name_in_the_folder() {
    let folder = Folder::with(
        "plugin-dir = \"plugins\"\n[plugin.misbehave.permissions]\nenv = { GRANTED = \"yes\" }\n",
    );
    install(&folder, "misbehave", "misbehave.wasm");
    let host = common::load(Manifest::read(folder.path().join("toolhost.toml")).unwrap()).await;
    assert_eq!(host.plugins().count(), 1);
    let environment = host.call(call("env", json!({}))).await;
    assert_eq!(text(&environment), r#"{"GRANTED":"yes"}"#);
}

#[test]
fn a_plugin_listed_under_another_name_is_not_found_a_second_time() {
    for path in [
        "plugins/echo.wasm",
        "./plugins/echo.wasm",
        "plugins/./echo.wasm",
        "plugins/../plugins/echo.wasm",
    ] {
        for dir in ["plugins", "./plugins", "plugins/"] {
            let folder = Folder::with(format!(
                "plugin-dir = \"{dir}\"\n[plugin.parrot]\npath = \"{path}\"\n"
            ));
            install(&folder, "echo", "echo.wasm");
            // From the folder itself, where the manifest's own path has no folder in it.
            let ended = folder.run(&["list"], "").answered();
            let rows: Vec<_> = ended
                .stdout
                .lines()
                .map(|line| line.split('\t').nth(1))
                .collect();
            assert_eq!(rows, [Some("parrot")], "{path} in {dir}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_no_plugin_can_have_is_said_and_not_left_out() {
    use std::os::unix::ffi::OsStrExt;

    for name in [&b"caf\xe9.wasm"[..], b"two words.wasm"] {
        let folder = Folder::with("plugin-dir = \"plugins\"\n");
        folder.write(
            Path::new("plugins").join(std::ffi::OsStr::from_bytes(name)),
            "",
        );
        folder.run(&["list"], "").failed("is not a plugin name");
    }
}

#[test]
fn plugin_entry_with_a_path_precedes_the_folders_plugin() {
    let folder = Folder::with(format!("plugin-dir = \"plugins\"\n{}", listed("echo")));
    install(&folder, "misbehave", "echo.wasm");
    let ended = folder.run(&["list"], "").answered();
    assert_eq!(ended.stdout.lines().count(), 1);
}

fn install(folder: &Folder, name: &str, file: &str) {
    let bytes = std::fs::read(guest(name)).unwrap();
    folder.write(Path::new("plugins").join(file), bytes);
}

// sha256

#[tokio::test]
async fn a_plugin_with_the_pinned_digest_loads() {
    let digest = sha256(std::fs::read(guest("echo")).unwrap());
    for pin in [digest.to_uppercase(), digest] {
        let text = format!("{}sha256 = \"{pin}\"\n", listed("echo"));
        let host = common::load(Manifest::parse(&text, "toolhost.toml").unwrap()).await;
        assert_eq!(text_of_hello(&host).await, "hello");
    }
}

#[tokio::test]
async fn a_plugin_with_another_digest_is_refused_before_it_is_compiled() {
    let folder = Folder::empty();
    let pin = "0".repeat(64);
    // Compiling this one would fail with quite another message.
    folder.write("plugin.wasm", "no component at all");
    let text = format!("[plugin.a]\npath = \"plugin.wasm\"\nsha256 = \"{pin}\"\n");
    let file = folder.write("toolhost.toml", text);
    let found = problems(common::try_load(Manifest::read(&file).unwrap()).await);
    let [problem] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(problem.file, file);
    assert_eq!(problem.at.unwrap().line, 1);
    assert!(problem.message.contains(&pin), "{problem}");
    let actual = sha256(b"no component at all");
    assert!(problem.message.contains(&actual), "{problem}");
    assert!(problem.message.contains("plugin.wasm"), "{problem}");
}

async fn text_of_hello(host: &ToolHost) -> String {
    text(&host.call(echo("a", "hello")).await)
}

// prefix, tools

#[tokio::test]
async fn a_prefix_goes_before_every_name_and_the_plugin_never_sees_it() {
    let text = format!("{}prefix = \"web_\"\n", listed("echo"));
    let host = common::load(Manifest::parse(&text, "toolhost.toml").unwrap()).await;
    let names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["web_echo"]);
    let result = host
        .call(call("web_echo", json!({ "text": "hello" })))
        .await;
    assert_eq!(common::text(&result), "hello");
    assert_eq!(result.name, "web_echo");
    let bare = host.call(echo("a", "hello")).await;
    assert_eq!(error(&bare).code(), "unknown-tool");
}

#[tokio::test]
async fn two_plugins_with_one_tool_live_together_with_a_prefix() {
    let manifest = format!(
        "{}{}prefix = \"other_\"\n",
        listed("echo"),
        listed("listing-other")
    );
    let host = common::load(Manifest::parse(&manifest, "toolhost.toml").unwrap()).await;
    assert_eq!(text_of_hello(&host).await, "hello");
    let other = host
        .call(call("other_echo", json!({ "text": "hello" })))
        .await;
    assert!(text(&other).starts_with("echo got "), "{}", text(&other));
}

#[tokio::test]
async fn two_plugins_with_one_tool_are_an_error_that_names_both() {
    let guests = ["echo", "listing-other"].map(common::plugin);
    let found = problems(common::try_load(common::manifest(guests)).await);
    let [problem] = &found[..] else {
        panic!("{found:?}");
    };
    for words in ["`echo`", "`listing-other`"] {
        assert!(problem.message.contains(words), "{problem}");
    }
    assert!(problem.help.as_ref().unwrap().contains("prefix"));
}

#[tokio::test]
async fn only_the_chosen_tools_are_offered() {
    let text = format!("{}tools = [\"id\", \"counter\"]\n", listed("misbehave"));
    let host = common::load(Manifest::parse(&text, "toolhost.toml").unwrap()).await;
    let mut names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["counter", "id"]);
    let chosen = host.call(call("id", json!({}))).await;
    assert_eq!(common::text(&chosen), "id");
    let other = host.call(call("spin", json!({}))).await;
    assert_eq!(error(&other).code(), "unknown-tool");
}

#[tokio::test]
async fn an_unknown_tool_is_placed_in_the_manifest_with_the_nearest() {
    let text = format!(
        "{}tools = [\n  \"counter\",\n  \"conter\",\n]\n",
        listed("misbehave")
    );
    let manifest = Manifest::parse(&text, "some/toolhost.toml").unwrap();
    let found = problems(common::try_load(manifest).await);
    let [problem] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(problem.file, Path::new("some/toolhost.toml"));
    assert_eq!(problem.at, Some(Location { line: 5, column: 3 }));
    assert!(problem.message.contains("`conter`"), "{problem}");
    assert_eq!(problem.help.as_deref(), Some("did you mean `counter`?"));
}

#[tokio::test]
async fn the_problems_of_all_plugins_are_told_at_once() {
    let folder = Folder::empty();
    let text_file = folder.write("text.wasm", "text");
    let plugins = [
        common::plugin("other-version"),
        PluginConfig::new("text", &text_file),
        common::plugin("echo"),
        common::plugin("listing-traps"),
    ];
    let found = problems(common::try_load(common::manifest(plugins)).await);
    let files: Vec<&Path> = found.iter().map(|problem| &*problem.file).collect();
    assert_eq!(
        files,
        [
            &*guest("other-version"),
            &*text_file,
            &*guest("listing-traps")
        ]
    );
}
