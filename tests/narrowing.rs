//! One host for many users: what the calls of each may touch, in place of what the manifest grants, and nothing more.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::manifest::{AuditConfig, Order, PluginConfig};
use toolhost::permissions::{Access, FileGrant, HostFile, Purpose, SecretSource};
use toolhost::provider::{CallContext, ProvidedTool, RunOutcome, ToolProvider};
use toolhost::{
    BoxFuture, CallError, CallOptions, CodeCache, Loader, Manifest, NarrowError, Narrowed,
    Narrowing, NativeContext, NativeTools, Output, Tool, ToolCall, ToolHost, ToolResult,
};
use toolhost_testing::http::{Server, page};

use crate::common::{self, binary, call, code_cache, error, guest, load, manifest, text};

/// A folder with these in it.
fn folders(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    folder
}

/// The filesystem plugin, with this grant.
fn filesystem(grant: FileGrant) -> PluginConfig {
    let mut plugin = common::plugin("filesystem");
    plugin.permissions.files = vec![grant];
    plugin
}

/// The hostile guest, whose tool `script` does what it is told with files.
fn hostile(name: &str, grants: Vec<FileGrant>) -> PluginConfig {
    let mut plugin = PluginConfig::new(name, guest("hostile"));
    plugin.prefix = format!("{name}_");
    plugin.permissions.files = grants;
    plugin
}

fn writable(host: impl Into<PathBuf>, guest: &str) -> FileGrant {
    FileGrant::new(host, guest).with_access(Access::ReadWrite)
}

fn write(path: &str, content: &str) -> ToolCall {
    let arguments = json!({ "path": path, "content": content, "if_exists": "overwrite" });
    call("fs_write", arguments)
}

fn read(path: &str) -> ToolCall {
    call("fs_read", json!({ "path": path }))
}

fn of(client: &str) -> CallOptions {
    CallOptions::new().client(client)
}

fn narrowed(by: &Narrowed) -> CallOptions {
    CallOptions::new().narrowed(by)
}

/// What came of each step.
async fn does(host: &ToolHost, plugin: &str, options: &CallOptions, steps: Value) -> Vec<String> {
    let call = call(&format!("{plugin}_script"), json!({ "steps": steps }));
    let result = host.call_with(call, options).await;
    text(&result).lines().map(str::to_owned).collect()
}

#[track_caller]
fn misfit(result: &ToolResult) -> &str {
    match error(result) {
        CallError::InvalidOptions { message } => message,
        other => panic!("{other}"),
    }
}

#[track_caller]
fn refused(result: Result<Narrowed, NarrowError>) -> NarrowError {
    match result {
        Ok(narrowed) => panic!("{narrowed:?}"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_user_has_a_folder_in_place_of_the_granted_one() {
    let folder = folders(&["all", "alice", "bob"]);
    let at = |name: &str| folder.path().join(name);
    let host = load(manifest([filesystem(writable(at("all"), "/notes"))])).await;
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let narrowing = Narrowing::new().folder("filesystem", "/notes", at(name));
        narrowed(&host.narrow(narrowing).unwrap())
    });
    text(&host.call_with(write("a.txt", "of alice"), &alice).await);
    text(&host.call_with(write("a.txt", "of bob"), &bob).await);
    text(&host.call(write("a.txt", "of all")).await);
    for (options, whose) in [
        (&alice, "alice"),
        (&bob, "bob"),
        (&CallOptions::new(), "all"),
    ] {
        let found = host.call_with(read("a.txt"), options).await;
        assert_eq!(text(&found), format!("of {whose}"));
        let there = fs::read_to_string(at(whose).join("a.txt")).unwrap();
        assert_eq!(there, format!("of {whose}"));
    }
    // Batches, and calls that come one by one, have the same options.
    let results = host
        .run_all_with([read("a.txt"), read("a.txt")], bob.clone())
        .await;
    assert!(results.iter().all(|result| text(result) == "of bob"));
    let mut open = host.open_batch_with(alice);
    open.add(0, read("a.txt"));
    assert_eq!(text(&open.next().await.unwrap().1), "of alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_narrowing_names_what_is_granted_and_nothing_else() {
    let folder = folders(&["all", "alice"]);
    let at = |name: &str| folder.path().join(name);
    let mut web = hostile("web", vec![FileGrant::new(at("all"), "/notes")]);
    web.permissions.http = vec!["https://*.example.com/v1".parse().unwrap()];
    web.permissions.sockets = vec!["db.example.com:5432".parse().unwrap()];
    fs::write(at("token"), "operators-token").unwrap();
    web.permissions.secrets = [("TOKEN".to_owned(), SecretSource::File(at("token")))].into();
    let host = load(manifest([web])).await;
    let new = Narrowing::new;
    let http = |rule: &str| new().http("web", [rule.parse().unwrap()]);
    let sockets = |rule: &str| new().sockets("web", [rule.parse().unwrap()]);
    for (narrowing, what) in [
        (new().folder("web", "/", at("alice")), "the folder `/`"),
        (
            new().folder("web", "/notes/", at("alice")),
            "the folder `/notes/`",
        ),
        (
            new().folder("web", "/other", at("alice")),
            "the folder `/other`",
        ),
        (new().read_only("web", "/other"), "the folder `/other`"),
        (new().without_folder("web", "/other"), "the folder `/other`"),
        (new().secret("web", "OTHER", "x"), "the secret `OTHER`"),
        (new().without_secret("web", "OTHER"), "the secret `OTHER`"),
        (
            http("https://example.org/v1"),
            "http https://example.org/v1",
        ),
        (
            http("https://api.example.com"),
            "http https://api.example.com",
        ),
        (
            http("http://api.example.com/v1"),
            "http http://api.example.com/v1",
        ),
        (
            http("https://api.example.com:8443/v1"),
            "http https://api.example.com:8443/v1",
        ),
        (sockets("db.example.com:22"), "the socket db.example.com:22"),
        (sockets("127.0.0.1:5432"), "the socket 127.0.0.1:5432"),
    ] {
        match refused(host.narrow(narrowing)) {
            NarrowError::NotGranted {
                plugin,
                what: found,
            } => {
                assert_eq!((&*plugin, &*found), ("web", what));
            }
            other => panic!("{what}: {other}"),
        }
    }
    match refused(host.narrow(new().folder("webb", "/notes", at("alice")))) {
        NarrowError::UnknownProvider { similar, .. } => assert_eq!(similar, ["web"]),
        other => panic!("{other}"),
    }
    for narrowing in [
        http("https://api.example.com/v1"),
        http("https://*.api.example.com/v1/users"),
        sockets("db.example.com:5432"),
        new().http("web", []).sockets("web", []),
        new()
            .folder("web", "/notes", at("alice"))
            .secret("web", "TOKEN", "alices-token"),
    ] {
        host.narrow(narrowing).unwrap();
    }
    for secret in ["", " \n", &"x".repeat(70_000)] {
        let narrowing = new().secret("web", "TOKEN", secret);
        let refused = refused(host.narrow(narrowing));
        assert!(matches!(refused, NarrowError::Secret { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn access_does_not_rise_and_can_be_lowered() {
    let folder = folders(&["all", "alice", "both"]);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("all").join("a.txt"), "all").unwrap();
    fs::write(at("alice").join("a.txt"), "alice").unwrap();
    let grants = vec![
        FileGrant::new(at("all"), "/ro"),
        writable(at("both"), "/rw"),
    ];
    let host = load(manifest([hostile("a", grants)])).await;
    let narrowing = Narrowing::new().folder("a", "/ro", at("alice"));
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    let steps = json!([
        ["open", "f", "/ro", "a.txt", "read"],
        ["open", "g", "/ro", "a.txt", "write"],
        ["open", "h", "/ro", "new.txt", "create"],
        ["unlink", "/ro", "a.txt"],
        ["mkdir", "/ro", "x"],
        ["open", "i", "/rw", "new.txt", "create"],
    ]);
    let done = does(&host, "a", &alice, steps.clone()).await;
    assert_eq!(done[0], "done");
    assert!(done[1..5].iter().all(|it| it != "done"), "{done:?}");
    assert_eq!(done[5], "done");
    let narrowing = Narrowing::new()
        .read_only("a", "/rw")
        .without_folder("a", "/ro");
    let bob = narrowed(&host.narrow(narrowing).unwrap());
    let steps = json!([
        ["open", "f", "/rw", "new.txt", "read"],
        ["unlink", "/rw", "new.txt"]
    ]);
    let done = does(&host, "a", &bob, steps).await;
    assert!(done[0] == "done" && done[1] != "done", "{done:?}");
    // There is no such folder for it.
    let call = call(
        "a_script",
        json!({ "steps": [["open", "f", "/ro", "a.txt", "read"]] }),
    );
    assert!(host.call_with(call, &bob).await.outcome.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn host_files_stay_protected_in_a_narrowed_folder() {
    let folder = folders(&["all", "alice/sub", "elsewhere"]);
    let at = |name: &str| folder.path().join(name);
    let mut plugin = hostile("a", vec![writable(at("all"), "/w")]);
    fs::write(at("alice/token"), "operators-token").unwrap();
    plugin.permissions.secrets =
        [("TOKEN".to_owned(), SecretSource::File(at("alice/token")))].into();
    let mut manifest = manifest([plugin]);
    manifest.audit = Some(AuditConfig::new(at("alice/sub/audit.jsonl")));
    let host = load(manifest).await;
    let narrowing = Narrowing::new().folder("a", "/w", at("alice"));
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    let steps = json!([
        ["open", "f", "/w", "token", "read"],
        ["open", "f", "/w", "token", "write"],
        ["unlink", "/w", "token"],
        ["rename", "/w", "token", "/w", "moved"],
        ["link", "/w", "token", "/w", "linked"],
        ["open", "g", "/w", "sub/audit.jsonl", "write"],
        ["unlink", "/w", "sub/audit.jsonl"],
        ["rename", "/w", "sub", "/w", "moved"],
        ["mkdir", "/w", ".git"],
        ["open", "h", "/w", "own.txt", "create"],
    ]);
    let done = does(&host, "a", &alice, steps).await;
    assert!(done[..9].iter().all(|it| it == "not-permitted"), "{done:?}");
    assert_eq!(done[9], "done");
    assert_eq!(
        fs::read_to_string(at("alice/token")).unwrap(),
        "operators-token"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn narrowed_folder_is_no_guest_link_and_no_kernel_folder() {
    let folder = folders(&["all", "alice", "secret"]);
    let at = |name: &str| folder.path().join(name);
    let a = hostile("a", vec![writable(at("all"), "/w")]);
    let mut inner = writable(at("secret"), "/w");
    inner.allow_nested = true;
    let b = hostile("b", vec![inner]);
    let host = load(manifest([a, b])).await;
    let narrowing = Narrowing::new().folder("a", "/w", at("alice"));
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    // As a guest would, by whatever way.
    symlink(at("secret"), at("alice/out")).unwrap();
    let narrowing = Narrowing::new().folder("b", "/w", at("alice/out"));
    let refused_link = refused(host.narrow(narrowing)).to_string();
    assert!(refused_link.contains("alice/out"), "{refused_link}");
    drop(alice);
    // Both at once, and the outer one is not known before.
    let host = {
        let mut inner = writable(at("secret"), "/w");
        inner.allow_nested = true;
        load(manifest([
            hostile("a", vec![inner]),
            hostile("b", vec![writable(at("all"), "/w")]),
        ]))
        .await
    };
    let both = Narrowing::new()
        .folder("a", "/w", at("alice/out"))
        .folder("b", "/w", at("alice"));
    assert!(matches!(
        refused(host.narrow(both)),
        NarrowError::Folder { .. }
    ));
    for kernel in ["/proc", "/proc/self", "/sys", "/dev/pts"] {
        if !Path::new(kernel).is_dir() {
            continue;
        }
        let narrowing = Narrowing::new().folder("a", "/w", kernel);
        let refused = refused(host.narrow(narrowing));
        assert!(
            matches!(refused, NarrowError::Folder { .. }),
            "{kernel}: {refused}"
        );
    }
    for missing in ["nothing", "all/../nothing"] {
        let narrowing = Narrowing::new().folder("a", "/w", at(missing));
        assert!(matches!(
            refused(host.narrow(narrowing)),
            NarrowError::Folder { .. }
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plugin_does_not_decide_what_is_in_anothers_folder() {
    let folder = folders(&["all", "other", "alice/sub", "users/bob"]);
    let at = |name: &str| folder.path().join(name);
    let plugins = || {
        [
            hostile("a", vec![writable(at("all"), "/w")]),
            hostile("b", vec![writable(at("other"), "/w")]),
            hostile("c", vec![writable(at("users/${client}"), "/w")]),
        ]
    };
    let host = load(manifest(plugins())).await;
    let new = Narrowing::new;
    for narrowing in [
        new()
            .folder("a", "/w", at("alice"))
            .folder("b", "/w", at("alice/sub")),
        new().folder("b", "/w", at("all/in")),
        // The folders of all clients, or one, or all of them and more.
        new().folder("a", "/w", at("users")),
        new().folder("a", "/w", folder.path()),
    ] {
        fs::create_dir_all(at("all/in")).unwrap();
        let refused = refused(host.narrow(narrowing));
        assert!(matches!(refused, NarrowError::Nested { .. }), "{refused}");
    }
    // One that others may only read is no way in.
    let narrowing = new()
        .folder("a", "/w", at("alice"))
        .read_only("a", "/w")
        .folder("b", "/w", at("alice/sub"));
    host.narrow(narrowing).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_users_secrets_are_in_place_of_the_manifests_and_both_are_masked() {
    let folder = folders(&[]);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("token"), "operators-token").unwrap();
    let mut plugin = hostile("a", vec![]);
    let token = SecretSource::File(at("token"));
    plugin.permissions.secrets = [("TOKEN".to_owned(), token)].into();
    let mut manifest = manifest([plugin]);
    let mut audit = AuditConfig::new(at("audit.jsonl"));
    audit.arguments = true;
    manifest.audit = Some(audit);
    let host = load(manifest).await;
    let narrowing = Narrowing::new()
        .client("alice")
        .secret("a", "TOKEN", "tok-alice-1234567");
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    let bob = host
        .narrow(Narrowing::new().without_secret("a", "TOKEN"))
        .unwrap();
    let length = |result: &ToolResult| text(result);
    let ask = || call("a_secret", json!({ "name": "TOKEN" }));
    assert_eq!(length(&host.call_with(ask(), &alice).await), "got 17 bytes");
    assert_eq!(length(&host.call(ask()).await), "got 15 bytes");
    let denied = host.call_with(ask(), &narrowed(&bob)).await;
    assert!(
        matches!(error(&denied), CallError::Denied { .. }),
        "{denied:?}"
    );
    for leak in [
        "leak_text",
        "leak_error",
        "leak_log",
        "leak_encoded",
        "leak_escaped",
        "leak_structured_escaped",
    ] {
        let arguments = json!({ "name": "TOKEN", "other": "operators-token tok-alice-1234567" });
        let result = host
            .call_with(call(&format!("a_{leak}"), arguments), &alice)
            .await;
        let seen = format!("{result:?}");
        assert!(!seen.contains("alice-1234567"), "{leak}: {seen}");
    }
    let written = fs::read_to_string(at("audit.jsonl")).unwrap();
    assert!(
        !written.contains("alice-1234567") && !written.contains("operators-token"),
        "{written}"
    );
    assert!(written.contains("*** ***"), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_go_where_both_the_manifest_and_the_narrowing_let_them() {
    let server = Server::start(|_, client| page(client, "200", "", "hello"));
    let address = server.address;
    let mut plugin = hostile("a", vec![]);
    plugin.permissions.http = vec![format!("http://{address}").parse().unwrap()];
    let header = toolhost::permissions::HttpHeader::new(
        &address.to_string(),
        "Authorization",
        "Bearer ${TOKEN}",
    );
    plugin.permissions.http_headers = vec![header.unwrap()];
    let folder = folders(&[]);
    fs::write(folder.path().join("token"), "operators-token").unwrap();
    let token = SecretSource::File(folder.path().join("token"));
    plugin.permissions.secrets = [("TOKEN".to_owned(), token)].into();
    let host = load(manifest([plugin])).await;
    let get = |path: &str| call("a_get", json!({ "url": format!("http://{address}{path}") }));
    let rule = format!("http://{address}/v1").parse().unwrap();
    let narrowing = Narrowing::new()
        .http("a", [rule])
        .secret("a", "TOKEN", "alices-token");
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    text(&host.call_with(get("/v1/x"), &alice).await);
    let refused = host.call_with(get("/v2"), &alice).await;
    assert!(
        matches!(error(&refused), CallError::Denied { .. }),
        "{refused:?}"
    );
    let bob = narrowed(&host.narrow(Narrowing::new().http("a", [])).unwrap());
    let refused = host.call_with(get("/v1/x"), &bob).await;
    assert!(
        matches!(error(&refused), CallError::Denied { .. }),
        "{refused:?}"
    );
    let carol = narrowed(
        &host
            .narrow(Narrowing::new().without_secret("a", "TOKEN"))
            .unwrap(),
    );
    text(&host.call_with(get("/c"), &carol).await);
    text(&host.call(get("/all")).await);
    let requests = server.take();
    let authorized = |path: &str| {
        let request = requests
            .iter()
            .find(|it| it.starts_with(&format!("GET {path} ")))
            .unwrap();
        let line = request
            .lines()
            .find(|it| it.to_lowercase().starts_with("authorization:"));
        line.map(|it| it.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(authorized("/v1/x").as_deref(), Some("alices-token"));
    assert_eq!(authorized("/c"), None);
    assert_eq!(authorized("/all").as_deref(), Some("operators-token"));
    assert_eq!(requests.len(), 3, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_narrower_rule_takes_no_name_to_a_private_address() {
    let mut plugin = hostile("a", vec![]);
    plugin.permissions.http = vec!["http://*.localhost".parse().unwrap()];
    let host = load(manifest([plugin])).await;
    // By itself it names a host and its port literally, which the granted rule does not.
    let rule = "http://a.localhost:80".parse().unwrap();
    let alice = narrowed(&host.narrow(Narrowing::new().http("a", [rule])).unwrap());
    let get = call("a_get", json!({ "url": "http://a.localhost/" }));
    let of_all = host.call(get.clone()).await;
    let of_alice = host.call_with(get, &alice).await;
    assert_eq!(error(&of_all).to_string(), error(&of_alice).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quotas_are_of_the_folder_that_is_there() {
    let folder = folders(&["all", "alice", "bob"]);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("bob/old"), vec![0; 20 << 10]).unwrap();
    let mut grant = writable(at("all"), "/w");
    grant.max_disk = Some(toolhost::limits::ByteSize::kib(16));
    let host = load(manifest([hostile("a", vec![grant])])).await;
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let narrowing = Narrowing::new().folder("a", "/w", at(name));
        narrowed(&host.narrow(narrowing).unwrap())
    });
    let steps = json!([
        ["open", "f", "/w", "a", "create"],
        ["write", "f", 0, 8192],
        ["write", "f", 8192, 16384]
    ]);
    assert_eq!(
        does(&host, "a", &alice, steps.clone()).await,
        ["done", "done", "quota"]
    );
    assert_eq!(does(&host, "a", &bob, steps).await[0], "quota");
}

/// Takes its time, and could change its folder meanwhile.
fn slow(grant: FileGrant) -> PluginConfig {
    let mut plugin = common::plugin("misbehave");
    plugin.permissions.files = vec![grant];
    plugin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_users_run_side_by_side_and_the_calls_of_one_in_order() {
    let folder = folders(&["users/alice", "users/bob"]);
    let host = load(manifest([slow(writable(
        folder.path().join("users/${client}"),
        "/w",
    ))]))
    .await;
    let sleep = |ms: u64| call("sleep", json!({ "ms": ms }));
    // The first of alice's runs until it is dropped, and its client's others wait for it.
    let (alice, bob) = (of("alice"), of("bob"));
    let long = host.call_with(sleep(20_000), &alice);
    let behind = host.call_with(sleep(0), &alice);
    let (mut long, mut behind) = (Box::pin(long), Box::pin(behind));
    tokio::select! {
        _ = &mut long => panic!("it takes longer"),
        _ = &mut behind => panic!("it is behind"),
        of_bob = host.call_with(sleep(0), &bob) => {
            text(&of_bob);
        }
    }
    drop(long);
    text(&behind.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_order_by_hand_is_in_order_for_all_users() {
    let folder = folders(&["users/alice", "users/bob"]);
    let mut plugin = slow(writable(folder.path().join("users/${client}"), "/w"));
    plugin.order = Order::InOrder;
    let host = load(manifest([plugin, common::plugin("echo")])).await;
    let sleep = |ms: u64| call("sleep", json!({ "ms": ms }));
    let (alice, bob) = (of("alice"), of("bob"));
    let mut long = Box::pin(host.call_with(sleep(20_000), &alice));
    let mut behind = Box::pin(host.call_with(sleep(0), &bob));
    tokio::select! {
        _ = &mut long => panic!("it takes longer"),
        _ = &mut behind => panic!("it is alone"),
        beside = host.call(common::echo("beside", "x")) => {
            text(&beside);
        }
    }
    drop(long);
    text(&behind.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_client_has_its_own_folder_by_the_manifest() {
    let folder = folders(&["users/alice"]);
    let users = folder.path().join("users");
    let mut grant = writable(users.join("${client}/notes"), "/notes");
    let host = load(manifest([filesystem(grant.clone())])).await;
    // None of its own, and not made.
    let missing = host.call_with(read("a.txt"), &of("alice")).await;
    assert!(
        misfit(&missing).contains("users/alice/notes does not exist"),
        "{missing:?}"
    );
    assert!(misfit(&missing).contains("create = true"), "{missing:?}");
    let nobody = host.call(read("a.txt")).await;
    for remedy in ["--client NAME", "[serve.auth]", "CallOptions::client"] {
        assert!(misfit(&nobody).contains(remedy), "{nobody:?}");
    }
    assert!(misfit(&host.call_with(read("a.txt"), &of("")).await).contains("empty"));

    grant.create = true;
    let host = load(manifest([filesystem(grant)])).await;
    for client in [
        "alice",
        "Alice",
        "..",
        "../alice",
        "a/b",
        "alice\0",
        "https://id.example#1",
    ] {
        let own = format!("{client:?}");
        text(&host.call_with(write("a.txt", &own), &of(client)).await);
    }
    for client in [
        "alice",
        "Alice",
        "..",
        "../alice",
        "a/b",
        "alice\0",
        "https://id.example#1",
    ] {
        assert_eq!(
            text(&host.call_with(read("a.txt"), &of(client)).await),
            format!("{client:?}")
        );
    }
    let mut made: Vec<String> = fs::read_dir(&users)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    let expected = [
        "%2e%2e",
        "%2e.%2falice",
        "%41lice",
        "a%2fb",
        "alice",
        "alice%00",
        "https%3a%2f%2fid.example%231",
    ];
    assert_eq!(made, expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // It is for its owner alone.
    use std::os::unix::fs::PermissionsExt;
    let mode = users
        .join("alice/notes")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn client_folder_is_no_link_and_is_found_after_replacement() {
    let folder = folders(&["users", "secret"]);
    let users = folder.path().join("users");
    fs::write(folder.path().join("secret/a.txt"), "secret").unwrap();
    symlink(folder.path().join("secret"), users.join("mallory")).unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let mut grant = FileGrant::new(users.join("${client}"), "/notes").with_access(access);
        grant.create = true;
        let host = load(manifest([filesystem(grant)])).await;
        let refused = host.call_with(read("a.txt"), &of("mallory")).await;
        let told = misfit(&refused);
        assert!(told.contains("folder /notes"), "{access}: {told}");
        // Where things are is not for clients.
        assert!(!told.contains(&*users.to_string_lossy()), "{told}");
    }
    let mut grant = writable(users.join("${client}"), "/notes");
    grant.create = true;
    let host = load(manifest([filesystem(grant)])).await;
    text(&host.call_with(write("a.txt", "one"), &of("alice")).await);
    // Whoever manages clients may remove one, and there may be one of its name later.
    fs::remove_dir_all(users.join("alice")).unwrap();
    text(&host.call_with(write("b.txt", "two"), &of("alice")).await);
    assert!(users.join("alice/b.txt").is_file() && !users.join("alice/a.txt").exists());
    fs::rename(users.join("alice"), users.join("former")).unwrap();
    fs::create_dir(users.join("alice")).unwrap();
    text(&host.call_with(write("c.txt", "three"), &of("alice")).await);
    assert!(users.join("alice/c.txt").is_file());
    // In another folder in its place links could have been planted.
    fs::rename(&users, folder.path().join("before")).unwrap();
    fs::create_dir(&users).unwrap();
    symlink(folder.path().join("secret"), users.join("bob")).unwrap();
    for client in ["bob", "carol"] {
        misfit(&host.call_with(read("a.txt"), &of(client)).await);
    }
    assert!(!users.join("carol").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_clients_than_are_held_open_have_their_folders() {
    let folder = folders(&["users"]);
    let mut grant = writable(folder.path().join("users/${client}"), "/w");
    grant.create = true;
    let host = load(manifest([hostile("a", vec![grant])])).await;
    let steps = json!([["open", "f", "/w", "a", "create"]]);
    for _ in 0..2 {
        for number in 0..300 {
            let client = of(&format!("c{number}"));
            assert_eq!(does(&host, "a", &client, steps.clone()).await, ["done"]);
        }
    }
    assert_eq!(
        fs::read_dir(folder.path().join("users")).unwrap().count(),
        300
    );
}

#[test]
fn a_manifest_says_which_folders_are_of_clients() {
    let folder = folders(&["users"]);
    let parse = |grant: &str| {
        let path = guest("hostile");
        let path = path.display();
        let text = format!(
            "[plugin.a]\npath = '{path}'\npermissions.files = [{{ guest = '/w', {grant} }}]\n"
        );
        Manifest::parse(&text, folder.path().join("toolhost.toml"))
            .map_err(|error| error.to_string())
    };
    let manifest = parse("host = 'users/${client}/notes', create = true").unwrap();
    let grant = &manifest.plugins[0].permissions.files[0];
    assert!(grant.is_per_client() && grant.create);
    let own = manifest.host_files();
    assert!(own.contains(&HostFile::new(folder.path().join("users"), Purpose::Folder)));
    for (grant, problem) in [
        ("host = 'nobody/${client}'", "does not exist"),
        ("host = 'users/x-${client}'", "not a path of client folders"),
        (
            "host = 'users/${client}/../x'",
            "not a path of client folders",
        ),
        (
            "host = 'users/${client}/${client}'",
            "not a path of client folders",
        ),
        (
            "host = 'users', create = true",
            "`create` is only for client folders",
        ),
    ] {
        let error = parse(grant).unwrap_err();
        assert!(error.contains(problem), "{grant}: {error}");
    }
}

#[test]
fn client_folders_need_trust_and_stay_apart_across_a_reload() {
    let folder = folders(&["inside/users/a/.git", "inside/plain", "outside"]);
    let parse = |host: &str| {
        let path = guest("hostile");
        let path = path.display();
        let grant =
            format!("{{ host = '{host}', guest = '/w', access = 'read-write', create = true }}");
        let grant = grant.replace(
            ", create = true",
            if host.contains('$') {
                ", create = true"
            } else {
                ""
            },
        );
        let text = format!("[plugin.a]\npath = '{path}'\npermissions.files = [{grant}]\n");
        fs::write(folder.path().join("inside/toolhost.toml"), &text).unwrap();
        Manifest::parse(&text, folder.path().join("inside/toolhost.toml")).unwrap()
    };
    assert!(parse("plain/${client}").demands().is_empty());
    assert!(!parse("../outside/${client}").demands().is_empty());
    // Somebody else may have put a repository there.
    assert!(!parse("users/${client}").demands().is_empty());
    assert!(!parse("plain/${client}/.git").demands().is_empty());
    symlink(
        folder.path().join("outside"),
        folder.path().join("inside/link"),
    )
    .unwrap();
    assert!(!parse("link/${client}").demands().is_empty());
    let (before, now) = (parse("plain/${client}"), parse("plain"));
    let lowered = toolhost::manifest::lowers_guard(&before, &now).unwrap();
    assert!(lowered.contains("`${client}`"), "{lowered}");
    assert_eq!(toolhost::manifest::lowers_guard(&now, &before), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn folders_of_clients_lie_in_no_folder_that_another_plugin_writes() {
    let folder = folders(&["users", "users/x"]);
    let at = |name: &str| folder.path().join(name);
    let nested = |a: FileGrant, b: FileGrant| async {
        let plugins = [hostile("a", vec![a]), hostile("b", vec![b])];
        common::try_load(manifest(plugins)).await.is_err()
    };
    let client = || writable(at("users/${client}"), "/w");
    assert!(nested(client(), writable(at("users"), "/w")).await);
    assert!(nested(client(), writable(folder.path(), "/w")).await);
    assert!(nested(client(), writable(at("users/${client}/sub"), "/w")).await);
    // A client may be called so.
    assert!(nested(writable(at("users/x"), "/w"), client()).await);
    assert!(!nested(client(), FileGrant::new(at("users"), "/w")).await);
    assert!(!nested(client(), client()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_audit_log_names_the_client_and_its_folders() {
    let folder = folders(&["users/alice", "all"]);
    let at = |name: &str| folder.path().join(name);
    let mut plugin = hostile(
        "a",
        vec![
            writable(at("users/${client}"), "/w"),
            writable(at("all"), "/all"),
        ],
    );
    plugin.order = Order::Auto;
    let mut manifest = manifest([plugin, common::plugin("echo")]);
    manifest.audit = Some(AuditConfig::new(at("audit.jsonl")));
    let host = load(manifest).await;
    does(&host, "a", &of("alice"), json!([["mkdir", "/w", "x"]])).await;
    host.call_with(common::echo("e", "hi"), &of("alice")).await;
    host.call(common::echo("e", "hi")).await;
    let written = fs::read_to_string(at("audit.jsonl")).unwrap();
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["client"], "alice");
    let alice = at("users/alice").canonicalize().unwrap();
    assert_eq!(lines[0]["folders"], json!({ "/w": alice }));
    assert_eq!(
        (&lines[1]["client"], lines[1].get("folders")),
        (&json!("alice"), None)
    );
    assert_eq!(lines[2].get("client"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_narrowing_is_for_the_host_that_made_it_and_for_one_client() {
    let folder = folders(&["all", "alice"]);
    let at = |name: &str| folder.path().join(name);
    let plugins = || manifest([filesystem(writable(at("all"), "/notes"))]);
    let (host, other) = (load(plugins()).await, load(plugins()).await);
    let narrowing = Narrowing::new()
        .client("alice")
        .folder("filesystem", "/notes", at("alice"));
    let alice = host.narrow(narrowing).unwrap();
    let elsewhere = other.call_with(read("a.txt"), &narrowed(&alice)).await;
    assert!(misfit(&elsewhere).contains("another host"), "{elsewhere:?}");
    let renewed = host.renewed();
    text(
        &renewed
            .call_with(write("a.txt", "x"), &narrowed(&alice))
            .await,
    );
    let two = narrowed(&alice).client("bob");
    let two = host.call_with(read("a.txt"), &two).await;
    assert!(misfit(&two).contains("\"bob\""), "{two:?}");
    assert_eq!(alice.client(), Some("alice"));
}

/// A provider of the program that says how it was narrowed.
struct Told(std::sync::Arc<[std::sync::Arc<ProvidedTool>]>);

impl ToolProvider for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn tools(&self) -> std::sync::Arc<[std::sync::Arc<ProvidedTool>]> {
        self.0.clone()
    }

    fn call<'c>(
        &'c self,
        _: &'c ProvidedTool,
        _: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let folder = context.narrowing().and_then(|it| it.folder("/notes"));
        let told = format!("{:?} {folder:?}", context.client());
        Box::pin(std::future::ready(Ok(Output::text(told)).into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tools_of_the_program_are_told_and_servers_are_not_narrowed() {
    let mut tool = Tool::new("told", "Says what it was told");
    tool.input_schema = json!({ "type": "object" });
    let told = Told([std::sync::Arc::new(ProvidedTool::new(tool).unwrap())].into());
    let schema = json!({ "type": "object" });
    let native = NativeTools::new("native").tool_with_schema(
        Tool::new("secret", "Says its secret's length"),
        schema,
        async |_: Value, context: NativeContext| {
            let secret = context
                .narrowing()
                .and_then(|it| it.secret("TOKEN"))
                .map(str::to_owned);
            format!(
                "{:?} {:?} {secret:?}",
                context.client(),
                context.idempotency_key()
            )
        },
    );
    let host = Loader::new(Manifest::default())
        .code_cache(CodeCache::Folder(code_cache()))
        .provider(told)
        .provider(native)
        .load()
        .await
        .unwrap();
    let narrowing = Narrowing::new()
        .client("alice")
        .folder("told", "/notes", "/home/alice")
        .secret("native", "TOKEN", "tok-alice-1234567");
    let alice = narrowed(&host.narrow(narrowing).unwrap());
    let result = host.call_with(call("told", json!({})), &alice).await;
    assert_eq!(text(&result), r#"Some("alice") Some("/home/alice")"#);
    let result = host.call_with(call("secret", json!({})), &alice).await;
    // What it says of the secret is masked.
    assert_eq!(text(&result), r#"Some("alice") None Some("***")"#);
    let result = host.call(call("told", json!({}))).await;
    assert_eq!(text(&result), "None None");
}

#[test]
fn the_command_line_names_the_client() {
    let folder = binary::Folder::with(format!(
        "{}permissions.files = [{{ host = 'users/${{client}}', guest = '/w', access = 'read-write', create = true }}]\n",
        binary::listed("filesystem")
    ));
    folder.write("users/.keep", "");
    let write = json!({ "path": "a.txt", "content": "hi" }).to_string();
    let nobody = folder.run(&["call", "fs_write", &write], "");
    assert_eq!(nobody.status, 5, "{nobody:?}");
    assert!(nobody.stdout.contains("--client NAME"), "{nobody:?}");
    folder
        .run(&["call", "fs_write", &write, "--client", "alice"], "")
        .answered();
    assert_eq!(
        fs::read_to_string(folder.path().join("users/alice/a.txt")).unwrap(),
        "hi"
    );
    let check = folder.run(&["check"], "").answered();
    assert!(check.stdout.contains("users/${client}"), "{check:?}");
}

#[test]
fn check_warns_of_a_grant_that_has_the_folders_of_all_clients_in_it() {
    let filesystem = binary::listed("filesystem");
    let other = filesystem.replace("[plugin.filesystem]", "[plugin.other]");
    let folder = binary::Folder::with(format!(
        "{filesystem}permissions.files = [{{ host = 'users/${{client}}', guest = '/w' }}]\n\
         {other}prefix = 'x'\npermissions.files = [{{ host = '.', guest = '/all' }}, {{ host = 'else', guest = '/else' }}]\n",
    ));
    folder.write("users/.keep", "");
    folder.write("else/.keep", "");
    let check = folder.run(&["check"], "").answered();
    let warned = "/all contains the client folders of `plugin.filesystem`";
    assert!(check.stdout.contains(warned), "{check:?}");
    assert!(!check.stdout.contains("/else has"), "{check:?}");
    assert!(!check.stdout.contains("/w has"), "{check:?}");

    let printed = folder.run(&["serve", "--client", "ann", "--print-config", "codex"], "");
    assert!(
        printed.stdout.contains(r#""--client", "ann"]"#),
        "{printed:?}"
    );
}

#[tokio::test]
async fn a_reader_that_comes_before_any_writer_keeps_its_order() {
    let folder = folders(&["shared", "elsewhere"]);
    let own = FileGrant::new(folder.path().join("users/${client}"), "/w").with_create(true);
    let fixed = |name: &str| FileGrant::new(folder.path().join(name), "/w");
    // Of a client's own folder, and of one that a narrowing has somebody write later.
    for (reads, writes, later) in [
        (own.clone(), own, None),
        (fixed("shared"), fixed("elsewhere"), Some("shared")),
    ] {
        let mut writer = common::plugin("misbehave");
        writer.permissions.files = vec![writes.with_access(Access::ReadWrite)];
        fs::create_dir_all(folder.path().join("users")).unwrap();
        let host = load(manifest([filesystem(reads), writer])).await;
        let options = of("alice");
        let list = || call("fs_list", json!({ "path": "." }));
        text(&host.call_with(list(), &options).await);
        let options = match later {
            None => options,
            Some(name) => {
                let narrowing = Narrowing::new().client("alice");
                let narrowing = narrowing.folder("misbehave", "/w", folder.path().join(name));
                options.narrowed(&host.narrow(narrowing).unwrap())
            }
        };
        let calls = [call("sleep", json!({ "ms": 300 })), list()];
        let done = host.run_with(calls, options).map(|(index, result)| {
            text(&result);
            index
        });
        assert_eq!(done.collect::<Vec<_>>().await, [0, 1]);
    }
}

#[tokio::test]
async fn a_folder_in_anothers_is_found_by_whatever_name() {
    let folder = folders(&["real/work/inner", "home"]);
    let at = |name: &str| folder.path().join(name);
    symlink(at("real"), at("link")).unwrap();
    let mut inner = FileGrant::new(at("real/work/inner"), "/inner");
    inner.allow_nested = true;
    let host = load(manifest([
        hostile("writes", vec![writable(at("real/work"), "/work")]),
        hostile("reads", vec![inner]),
        filesystem(FileGrant::new(at("home"), "/home")),
    ]))
    .await;
    for name in [
        "real/work/inner",
        "link/work/inner",
        "link/../real/work/inner",
    ] {
        let narrowing = Narrowing::new().folder("filesystem", "/home", at(name));
        let error = host.narrow(narrowing).unwrap_err();
        assert!(
            matches!(error, NarrowError::Nested { .. }),
            "{name}: {error}"
        );
    }
}

/// Who grants a repository by its name means it; nobody has named one of a client's.
#[tokio::test]
async fn a_clients_folder_that_is_a_repository_keeps_its_hooks() {
    let folder = folders(&[
        "users/alice/objects",
        "users/alice/refs",
        "users/bob",
        "mine/.git/hooks",
    ]);
    fs::write(
        folder.path().join("users/alice/HEAD"),
        "ref: refs/heads/main\n",
    )
    .unwrap();
    for allows_vcs in [false, true] {
        let grant = writable(folder.path().join("users/${client}"), "/w");
        let host = load(manifest([filesystem(grant.with_allow_vcs(allows_vcs))])).await;
        let hooks =
            Narrowing::new().folder("filesystem", "/w", folder.path().join("mine/.git/hooks"));
        let hooks = host.narrow(hooks).unwrap();
        for (options, is_repository) in [
            (of("alice"), true),
            (of("bob"), false),
            (narrowed(&hooks), true),
        ] {
            for path in ["config"] {
                let written = host.call_with(write(path, "mine"), &options).await;
                let is_denied = matches!(&written.outcome, Err(CallError::Denied { .. }));
                assert_eq!(
                    is_denied,
                    is_repository && !allows_vcs,
                    "{path}: {written:?}"
                );
            }
        }
    }
}

/// Beside a `HEAD`, such as one of a test's data, git takes what is missing from where `commondir` leads.
#[tokio::test]
async fn no_plugin_completes_a_repository_that_has_only_its_head() {
    let folder = folders(&["users/carol", "users/dave"]);
    let head = "ref: refs/heads/main\n";
    fs::write(folder.path().join("users/carol/HEAD"), head).unwrap();
    let grant = writable(folder.path().join("users/${client}"), "/w");
    let host = load(manifest([filesystem(grant)])).await;
    for path in [
        "commondir",
        "CommonDir",
        "config",
        "config.worktree",
        "gitdir",
        "hooks/post-checkout",
        "objects/x",
        "refs/x",
    ] {
        for (client, denied) in [("carol", true), ("dave", false)] {
            let written = host.call_with(write(path, "mine"), &of(client)).await;
            let is_denied = matches!(&written.outcome, Err(CallError::Denied { .. }));
            assert_eq!(is_denied, denied, "{client} {path}: {written:?}");
        }
    }
    let written = host
        .call_with(write("notes.txt", "mine"), &of("carol"))
        .await;
    assert!(written.outcome.is_ok(), "{written:?}");
    // And the other way round, whatever the file system thinks of case.
    for head in ["HEAD", "head", "Head"] {
        let written = host.call_with(write(head, "mine"), &of("dave")).await;
        let is_denied = matches!(&written.outcome, Err(CallError::Denied { .. }));
        assert!(is_denied, "{head}: {written:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_in_anothers_is_found_through_a_mount_that_came_after_the_load() {
    let test = "narrowing::a_folder_in_anothers_is_found_through_a_mount_that_came_after_the_load";
    if !common::namespace::is_inside(test, "") {
        return;
    }
    let folder = folders(&["real/work/inner", "home", "bound"]);
    let at = |name: &str| folder.path().join(name);
    let host = load(manifest([
        hostile("writes", vec![writable(at("real/work"), "/work")]),
        filesystem(FileGrant::new(at("home"), "/home")),
    ]))
    .await;
    let mounted = std::process::Command::new("mount")
        .arg("--bind")
        .args([at("real/work/inner"), at("bound")])
        .status();
    assert!(mounted.unwrap().success());
    let narrowing = Narrowing::new().folder("filesystem", "/home", at("bound"));
    let error = host.narrow(narrowing).unwrap_err();
    assert!(matches!(error, NarrowError::Nested { .. }), "{error}");
}
