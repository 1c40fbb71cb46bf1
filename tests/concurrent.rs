//! Plugins of the concurrent engine: components that import WASI 0.3 or use async. Everything that
//! holds for other plugins holds for them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::manifest::Manifest;
use toolhost::{ToolHost, ToolResult};
use toolhost_testing::http::{Server, hang, page};
use toolhost_testing::needs;

use crate::common::{self, call, error, guest, in_time, text};

/// A host of the guest with these settings, next to an ordinary plugin; `<work>` is a folder.
struct Stage {
    host: ToolHost,
    work: TempDir,
}

impl Stage {
    async fn new(settings: &str) -> Stage {
        let work = tempfile::tempdir().unwrap();
        for name in ["a.txt", "b.txt"] {
            std::fs::write(work.path().join(name), format!("{name} inside")).unwrap();
        }
        Stage::at(work, settings).await
    }

    async fn at(work: TempDir, settings: &str) -> Stage {
        let settings = settings.replace("<work>", &work.path().display().to_string());
        let (concurrent, echo) = (guest("concurrent"), guest("echo"));
        let text = format!(
            "[plugin.echo]\npath = '{}'\n[plugin.concurrent]\npath = '{}'\n{settings}",
            echo.display(),
            concurrent.display()
        );
        let manifest = Manifest::parse(&text, "toolhost.toml").unwrap();
        let host = common::load(manifest).await;
        Stage { host, work }
    }

    /// The result of a call, after which the host serves others.
    async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        let result = in_time(self.host.call(call(tool, arguments))).await;
        assert_eq!(text(&self.host.call(common::echo(1, "well")).await), "well");
        result
    }

    /// The message of the error that a call ends with.
    async fn ends(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        error(&result).to_string()
    }

    fn path(&self) -> &Path {
        self.work.path()
    }
}

const FOLDER: &str =
    "permissions.files = [{ host = '<work>', guest = '/w', access = 'read-write' }]\n";
const READING: &str = "permissions.files = [{ host = '<work>', guest = '/w' }]\n";
const QUICK: &str = "timeout = '300ms'\n";

#[tokio::test]
async fn a_component_with_async_functions_answers() {
    let stage = Stage::new("").await;
    let result = stage.call("upper", json!({ "text": "hello" })).await;
    assert_eq!(text(&result), "HELLO");
    let calls = (0..50).map(|number| call("upper", json!({ "text": format!("n{number}") })));
    let results = in_time(stage.host.run_all(calls)).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(text(result), format!("N{number}"));
    }
}

#[tokio::test]
async fn environment_clock_and_randomness_are_what_is_granted() {
    let stage = Stage::new("permissions.env = { LANG = 'C' }").await;
    let found = text(&stage.call("surroundings", json!({})).await);
    assert_eq!(found, "[(\"LANG\", \"C\")] true true 8");

    let stage = Stage::new("permissions.clock = 'none'").await;
    let denied = stage.ends("upper", json!({ "text": "a" })).await;
    assert_eq!(denied, "not permitted: clock: waiting for a time");
}

#[tokio::test]
async fn what_it_writes_to_stdout_is_logged_and_bounded() {
    let stage = Stage::new("max-log = '64KiB'").await;
    let result = stage.call("print", json!({ "text": "hello\nyou" })).await;
    let log: Vec<&str> = result.log.iter().map(|line| &*line.text).collect();
    assert_eq!(log, ["hello", "you"]);
    let limit = stage.ends("print_without_end", json!({})).await;
    assert_eq!(limit, "log size limit exceeded (64 KiB)");
}

#[tokio::test]
async fn files_are_written_read_and_listed() {
    let stage = Stage::new(FOLDER).await;
    let arguments = json!({ "name": "c.txt", "text": "some text" });
    let result = stage.call("write_and_read", arguments).await;
    assert_eq!(text(&result), "some text 9 a.txt,b.txt,c.txt");
    let written = std::fs::read_to_string(stage.path().join("c.txt")).unwrap();
    assert_eq!(written, "some text");
    // Larger than any buffer.
    let large = "0123456789".repeat(50_000);
    let arguments = json!({ "name": "c.txt", "text": large });
    let result = stage.call("write_and_read", arguments).await;
    assert_eq!(text(&result), format!("{large} 500000 a.txt,b.txt,c.txt"));
}

#[tokio::test]
async fn nothing_is_written_without_the_permission() {
    let stage = Stage::new(READING).await;
    let denied = stage
        .ends("write_and_read", json!({ "name": "a.txt", "text": "x" }))
        .await;
    assert_eq!(
        denied,
        "not permitted: files: open-at a.txt (ErrorCode::NotPermitted)"
    );
    let stage = Stage::new(FOLDER).await;
    let outside = json!({ "name": "../outside", "text": "x" });
    let denied = stage.ends("write_and_read", outside).await;
    assert_eq!(
        denied,
        "not permitted: files: open-at ../outside (ErrorCode::NotPermitted)"
    );
}

#[tokio::test]
async fn writes_are_counted_where_there_is_a_quota() {
    let settings = FOLDER.replace("'read-write'", "'read-write', max-disk = '64KiB'");
    let stage = Stage::new(&settings).await;
    let fits = json!({ "name": "c.txt", "text": "x".repeat(20_000) });
    assert!(text(&stage.call("write_and_read", fits).await).ends_with(" 20000 a.txt,b.txt,c.txt"));
    let large = json!({ "name": "d.txt", "text": "x".repeat(100_000) });
    let error = stage.ends("write_and_read", large).await;
    assert_eq!(error, "ErrorCode::Quota");
    let written = std::fs::metadata(stage.path().join("d.txt")).unwrap().len();
    assert!(written < 64 << 10, "{written}");
}

#[tokio::test]
async fn files_of_the_host_are_protected() {
    let settings = format!("{FOLDER}permissions.secrets.OWN = {{ file = '<work>/b.txt' }}");
    let stage = Stage::new(&settings).await;
    let denied = stage
        .ends("write_and_read", json!({ "name": "b.txt", "text": "x" }))
        .await;
    assert!(denied.contains("files: open-at b.txt: it is"), "{denied}");
    let unchanged = std::fs::read_to_string(stage.path().join("b.txt")).unwrap();
    assert_eq!(unchanged, "b.txt inside");
}

#[tokio::test]
async fn file_operations_at_once_and_cancelled_ones_leave_everything_in_order() {
    for settings in [
        FOLDER,
        &FOLDER.replace("'read-write'", "'read-write', max-disk = '1MiB'"),
    ] {
        let stage = Stage::new(settings).await;
        assert_eq!(text(&stage.call("at_once", json!({})).await), "100 done");
        let arguments = json!({ "name": "c.txt", "text": "after all" });
        let result = stage.call("cancel_files", arguments).await;
        assert!(
            text(&result).starts_with("after all 9 "),
            "{}",
            text(&result)
        );
    }
}

#[tokio::test]
async fn requests_of_one_call_overlap() {
    // Each answers only once all three are there.
    let all = Arc::new(Barrier::new(3));
    let server = Server::start(move |_, client| {
        all.wait();
        page(client, "200", "", "hello")
    });
    let address = server.address;
    let stage = Stage::new(&format!("permissions.http = ['http://{address}']")).await;
    let urls: Vec<_> = (0..3)
        .map(|number| format!("http://{address}/{number}"))
        .collect();
    let result = stage.call("get_all", json!({ "urls": urls })).await;
    assert_eq!(text(&result), "hello\nhello\nhello");
}

#[tokio::test]
async fn requests_are_checked_and_counted() {
    let server = Server::start(|_, client| page(client, "200", "", &"x".repeat(10_000)));
    let address = server.address;
    let url = format!("http://{address}/");
    let stage = Stage::new("").await;
    let denied = stage.ends("get_all", json!({ "urls": [url] })).await;
    let expected = format!("not permitted: http request GET {url} (ErrorCode::HttpRequestDenied)");
    assert_eq!(denied, expected);
    assert_eq!(server.take().len(), 0);

    let granted = format!("permissions.http = ['http://{address}']\n");
    let stage = Stage::new(&format!("{granted}max-requests = 5")).await;
    let limit = stage
        .ends("requests_at_once", json!({ "url": url, "count": 20 }))
        .await;
    assert_eq!(limit, "HTTP request limit exceeded (5)");
    let stage = Stage::new(&format!("{granted}max-response = '4KiB'")).await;
    let limit = stage.ends("get_all", json!({ "urls": [url] })).await;
    assert_eq!(limit, "HTTP response size limit exceeded (4 KiB)");
}

#[tokio::test]
async fn connections_end_with_the_call() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let server = Server::start(move |request, client| {
        counted.fetch_add(1, Ordering::SeqCst);
        if request.path() == "/body" {
            client.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\n")?;
        }
        let ended = hang(client);
        counted.fetch_sub(1, Ordering::SeqCst);
        ended
    });
    let granted = format!("{QUICK}permissions.http = ['http://{}']", server.address);
    let stage = Stage::new(&granted).await;
    for path in ["head", "body"] {
        let url = format!("http://{}/{path}", server.address);
        let error = stage.ends("get_all", json!({ "urls": [url] })).await;
        assert_eq!(error, "timed out after 300 ms");
        assert_eq!(server.take().len(), 1);
        common::wait_until("no connection is left", || open.load(Ordering::SeqCst) == 0);
    }
    let url = format!("http://{}/body", server.address);
    let result = stage.call("request_and_leave", json!({ "url": url })).await;
    assert_eq!(text(&result), "left");
    common::wait_until("no connection is left", || open.load(Ordering::SeqCst) == 0);
}

#[tokio::test]
async fn tasks_end_with_the_call() {
    let stage = Stage::new("").await;
    let result = stage.call("outlive", json!({})).await;
    assert_eq!(text(&result), "answered");
}

#[tokio::test]
async fn guests_that_never_end_meet_their_deadline() {
    let stage = Stage::new(QUICK).await;
    for tool in ["wait_an_hour", "yield_without_end", "cancel_without_end"] {
        let error = stage.ends(tool, json!({})).await;
        assert_eq!(error, "timed out after 300 ms", "{tool}");
    }
    let stage = Stage::new("timeout = '10s'\ncpu = '100ms'").await;
    for tool in ["yield_without_end", "cancel_without_end"] {
        let error = stage.ends(tool, json!({})).await;
        assert_eq!(error, "CPU time limit exceeded (100 ms)", "{tool}");
    }
}

#[tokio::test]
async fn guests_that_wait_for_what_cannot_happen_are_ended() {
    let stage = Stage::new("").await;
    for tool in ["wait_for_nothing", "write_to_nobody"] {
        let error = stage.ends(tool, json!({})).await;
        assert!(error.contains("deadlock"), "{tool}: {error}");
    }
}

#[tokio::test]
async fn tasks_streams_and_futures_are_bounded() {
    let stage = Stage::new("").await;
    for tool in [
        "timers_without_end",
        "streams_without_end",
        "futures_without_end",
        "print_to_many",
    ] {
        let error = stage.ends(tool, json!({})).await;
        assert_eq!(error, "open resource limit exceeded (1000)", "{tool}");
    }
    let stage = Stage::new(FOLDER).await;
    for tool in ["pipe_without_end", "read_without_end", "list_without_end"] {
        let error = stage.ends(tool, json!({ "from": "a.txt" })).await;
        assert_eq!(error, "open resource limit exceeded (1000)", "{tool}");
    }
    assert_eq!(text(&stage.call("list_unread", json!({})).await), "listed");
}

/// What Rust plugins do with an executor of their own, on the other engine.
#[tokio::test]
async fn an_async_tool_of_the_sdk_waits_for_several_things_at_a_time() {
    let all = Arc::new(Barrier::new(3));
    let server = Server::start(move |_, client| {
        all.wait();
        page(client, "200", "", "hello")
    });
    let address = server.address;
    let text_of = format!(
        "[plugin.together]\npath = '{}'\npermissions.http = ['http://{address}']",
        guest("together").display()
    );
    let manifest = Manifest::parse(&text_of, "toolhost.toml").unwrap();
    let host = common::load(manifest).await;
    let urls: Vec<_> = (0..3)
        .map(|number| format!("http://{address}/{number}"))
        .collect();
    let result = in_time(host.call(call("get_all", json!({ "urls": urls })))).await;
    assert_eq!(text(&result), "hello\nhello\nhello");
    let result = in_time(host.call(call("sleep", json!({})))).await;
    assert_eq!(text(&result), "true");
}

const SHOUT: &str = r#"export const tools = {
  listTools() {
    return [{ name: "shout", title: undefined, description: "Answers in upper case.", icons: [],
      inputSchema: '{"type":"object"}', outputSchema: undefined,
      annotations: { readOnly: true, destructive: undefined, idempotent: undefined, openWorld: undefined } }];
  },
  ASYNC callTool(call) {
    const { text } = JSON.parse(call.arguments);
    return { content: [{ tag: "text", val: text.toUpperCase() }], structured: undefined };
  },
};"#;

const MAKE: &str = r#"import { componentize } from "componentize-qjs";
import { readFileSync, writeFileSync } from "node:fs";
const [witPath, world, source, made] = process.argv.slice(2);
const jsSource = readFileSync(source, "utf8");
writeFileSync(made, (await componentize({ witPath, world, jsSource })).component);"#;

#[tokio::test]
async fn the_default_output_of_componentize_qjs_loads() {
    needs!(componentize_qjs);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("wit")).unwrap();
    std::fs::create_dir(at("wit/deps")).unwrap();
    let wit = common::root().join("wit");
    std::fs::copy(wit.join("0.1.0/plugin.wit"), at("wit/deps/plugin.wit")).unwrap();
    std::fs::copy(
        wit.join("concurrent-0.1.0/concurrent.wit"),
        at("wit/concurrent.wit"),
    )
    .unwrap();
    // Beside the package that it imports.
    let tools = common::root().join("target/componentize-qjs");
    let script = tools.join(format!("make-{}.mjs", std::process::id()));
    std::fs::write(&script, MAKE).unwrap();
    for (world, keyword) in [
        ("toolhost:plugin/plugin@0.1.0", ""),
        ("toolhost:concurrent/plugin@0.1.0", "async"),
    ] {
        std::fs::write(at("plugin.js"), SHOUT.replace("ASYNC", keyword)).unwrap();
        let made = std::process::Command::new("node")
            .arg(&script)
            .args([at("wit").as_os_str(), world.as_ref()])
            .args([at("plugin.js"), at("plugin.wasm")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{world}: {said}");
        let manifest = format!("[plugin.shout]\npath = '{}'", at("plugin.wasm").display());
        let manifest = Manifest::parse(&manifest, "toolhost.toml").unwrap();
        let host = common::load(manifest).await;
        let result = in_time(host.call(call("shout", json!({ "text": "hello" })))).await;
        assert_eq!(text(&result), "HELLO", "{world}");
    }
    std::fs::remove_file(script).unwrap();
}

#[tokio::test]
async fn composed_components_that_use_async_are_refused() {
    let component = r#"(component
        (import "wasi:clocks/monotonic-clock@0.3.0" (instance
            (export "wait-for" (func async (param "how-long" u64)))))
        (component
            (import "wait" (func $wait async (param "how-long" u64)))
            (core func (canon lower (func $wait) async))))"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("composed.wasm");
    std::fs::write(&path, wat::parse_str(component).unwrap()).unwrap();
    let manifest = Manifest::parse(
        &format!("[plugin.composed]\npath = '{}'", path.display()),
        "toolhost.toml",
    );
    let error = common::try_load(manifest.unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is composed of several components"),
        "{error}"
    );
}
