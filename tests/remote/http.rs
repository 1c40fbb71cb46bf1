//! Servers that are reached by HTTP, and both generations of the protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use toolhost::{CallError, Manifest, ToolHost};

use super::{Stage, server};
use crate::common::binary::Folder;
use crate::common::{call, error, in_time, text, try_load};
use toolhost_testing::needs;

/// A server that listens; it is killed when dropped.
struct Listening {
    process: Child,
    port: u16,
    folder: Folder,
}

impl Listening {
    fn new(arguments: &[&str], token: Option<&str>) -> Listening {
        let folder = Folder::empty();
        let mut command = Command::new("python3");
        command.arg(server()).arg("--http");
        command.arg("--state").arg(folder.path().join("state"));
        command.args(arguments).stdout(Stdio::piped());
        if let Some(token) = token {
            command.env("EXPECT_TOKEN", token);
        }
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        Listening {
            process,
            port: line.trim().parse().unwrap(),
            folder,
        }
    }

    fn manifest(&self, path: &str, more: &str) -> Manifest {
        let port = self.port;
        let text = format!("[mcp.test]\nurl = 'http://127.0.0.1:{port}{path}'\n{more}\n");
        Manifest::read(self.folder.write("toolhost.toml", text)).unwrap()
    }

    async fn load(&self, path: &str, more: &str) -> ToolHost {
        let host = try_load(self.manifest(path, more)).await;
        host.unwrap_or_else(|error| panic!("{error}"))
    }

    fn events(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("state")).unwrap_or_default()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_server_is_reached_by_http_in_either_generation() {
    needs!(python);
    for arguments in [&[][..], &["--modern"]] {
        let server = Listening::new(arguments, None);
        let host = server
            .load("/mcp", "timeout = '1s'\nmax-output = '10KiB'")
            .await;
        assert_eq!(
            text(&host.call(call("echo", json!({ "text": "a" }))).await),
            "a"
        );
        assert_eq!(text(&host.call(call("progress", json!({}))).await), "done");
        let result = host.call(call("rpc_error", json!({}))).await;
        assert_eq!(error(&result).to_string(), "no such luck");
        let sleeps = host.call(call("sleep", json!({ "seconds": 600 })));
        let result = in_time(sleeps).await;
        assert!(
            matches!(error(&result), CallError::Timeout { .. }),
            "{result:?}"
        );
        for bytes in [20 << 10, 20 << 20] {
            let result = host.call(call("big", json!({ "bytes": bytes }))).await;
            error(&result);
        }
        assert_eq!(
            text(&host.call(call("echo", json!({ "text": "b" }))).await),
            "b"
        );
    }
}

#[tokio::test]
async fn a_token_and_headers_are_sent_and_masked() {
    needs!(python);
    let server = Listening::new(&[], Some("sesame-opens-it"));
    let problem = try_load(server.manifest("/mcp", ""))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("`mcp.test` answers HTTP 401 Unauthorized at http://127.0.0.1:"),
        "{problem}"
    );
    assert!(problem.contains("set a `token`"), "{problem}");
    server.folder.write("token", "sesame-opens-it\n");
    server.folder.write("key", "another-secret");
    let more = "token = { file = 'token' }\n\
                secrets = { KEY = { file = 'key' } }\n\
                http-headers = [{ name = 'X-Key', value = 'is ${KEY}' }]";
    let host = server.load("/mcp", more).await;
    let result = host
        .call(call(
            "echo",
            json!({ "text": "sesame-opens-it another-secret" }),
        ))
        .await;
    assert_eq!(text(&result), "*** ***");
    assert!(server.events().contains("header is another-secret"));
}

#[tokio::test]
async fn redirects_are_followed_within_the_server_only() {
    needs!(python);
    let server = Listening::new(&[], None);
    let host = server.load("/moved", "").await;
    assert_eq!(
        text(&host.call(call("echo", json!({ "text": "a" }))).await),
        "a"
    );
    let problem = try_load(server.manifest("/away", ""))
        .await
        .unwrap_err()
        .to_string();
    assert!(problem.contains("307"), "{problem}");
}

#[tokio::test]
async fn a_server_that_is_gone_fails_calls_until_it_is_back() {
    needs!(python);
    let server = Listening::new(&[], None);
    let host = server.load("/mcp", "timeout = '5s'").await;
    drop(server);
    let result = host.call(call("echo", json!({ "text": "a" }))).await;
    // At once, and not by its time.
    assert_eq!(error(&result).code(), "failed");
    let message = error(&result).to_string();
    assert!(message.contains("its MCP server `test`"), "{message}");
}

#[tokio::test]
async fn a_command_may_be_of_the_new_generation() {
    needs!(python);
    let stage = Stage::new(&["--modern"], "timeout = '500ms'");
    let host = stage.load().await;
    assert_eq!(
        text(&host.call(call("echo", json!({ "text": "a" }))).await),
        "a"
    );
    assert_eq!(stage.event("version").await, "2026-07-28");
    error(&host.call(call("sleep", json!({ "seconds": 600 }))).await);
    stage.event("cancelled").await;
    let stage = Stage::new(&[], "");
    stage.load().await;
    assert_eq!(stage.event("protocol").await, "2025-11-25");
}

/// A server of `odd_http.py`, in that mode.
fn odd(mode: &str) -> Listening {
    let folder = Folder::empty();
    let mut command = Command::new("python3");
    command
        .arg(server().with_file_name("odd_http.py"))
        .arg(mode);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stdout = process.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    Listening {
        process,
        port: line.trim().parse().unwrap(),
        folder,
    }
}

#[tokio::test]
async fn bodies_and_statuses_are_taken_as_servers_send_them() {
    needs!(python);
    for mode in [
        "batch",
        "event-batch",
        "undeclared-events",
        "text-type",
        "trailers",
        "no-type",
        "string-ids",
        "null-for-notifications",
        "events-for-notifications",
        "refuses-notifications",
        "empty-for-notifications",
        "error-for-notifications",
        "get-400",
        "get-404",
    ] {
        let server = odd(mode);
        let host = server.load("/mcp", "timeout = '5s'").await;
        for n in 1..3 {
            let result = host.call(call("t", json!({}))).await;
            assert_eq!(text(&result), format!("call {n}"), "{mode}");
        }
        assert_eq!(host.left_out().count(), 1, "{mode}");
    }
}

#[tokio::test]
async fn trailers_without_end_end_the_call_that_they_are_of() {
    needs!(python);
    let server = odd("endless-trailers");
    let host = server.load("/mcp", "timeout = '5s'").await;
    let result = host.call(call("t", json!({}))).await;
    // Not at its deadline: too many are an error.
    assert_eq!(error(&result).code(), "failed", "{result:?}");
}

#[tokio::test]
async fn a_session_that_was_forgotten_is_made_anew() {
    needs!(python);
    let server = odd("forgets");
    let host = server.load("/mcp", "timeout = '5s'").await;
    for n in 1..4 {
        let result = host.call(call("t", json!({}))).await;
        assert_eq!(text(&result), format!("call {n}"));
    }
}

#[tokio::test]
async fn an_error_by_status_is_the_calls_whatever_id_it_names() {
    needs!(python);
    let server = odd("error-status");
    let host = server.load("/mcp", "timeout = '5s'").await;
    let result = host.call(call("t", json!({}))).await;
    assert_eq!(error(&result).to_string(), "out of paper");
    let server = odd("plain-status");
    let host = server.load("/mcp", "timeout = '5s'").await;
    let result = host.call(call("t", json!({}))).await;
    let message = error(&result).to_string();
    let expected = "its MCP server `test` answers HTTP 503 Service Unavailable at http://";
    assert!(message.starts_with(expected), "{message}");
    assert!(message.contains("come back later"), "{message}");
}

#[test]
fn a_server_that_is_down_is_named_on_one_line_with_its_address() {
    needs!(python);
    let folder = Folder::with("[mcp.gone]\nurl = 'http://127.0.0.1:1/mcp'\n");
    let failed = folder
        .run(&["list", "--start-servers"], "")
        .failed("`mcp.gone` cannot be reached");
    let expected = "error: toolhost.toml:1:6: `mcp.gone` cannot be reached at http://127.0.0.1:1/mcp: connection refused; check that it is running and that its `url` is right\n";
    assert_eq!(failed.stderr, expected);
    let server = odd("plain");
    let folder = Folder::with(format!(
        "[mcp.x]\nurl = 'http://127.0.0.1:{}/mcp'\n",
        server.port
    ));
    drop(server);
    let failed = folder
        .run(&["list", "--start-servers"], "")
        .failed("connection refused");
    assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
}
