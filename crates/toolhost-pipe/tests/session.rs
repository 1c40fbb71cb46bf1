//! Sessions with a host that has no plugins: what the program's own functions and the protocol do. Every frame of the
//! host is held against the schema.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toolhost_core::{BoxFuture, Loader, Manifest, ToolHost};
use toolhost_pipe::protocol::{ErrorCode, ManifestSource, schema};
use toolhost_pipe::{HostSource, LoadFailure, PipeError, serve};

/// Long enough for a busy machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

static HOST_FRAMES: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator("host"));
static CLIENT_FRAMES: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator("client"));

fn validator(side: &str) -> jsonschema::Validator {
    let mut schema = schema();
    schema["anyOf"] = json!([{ "$ref": format!("#/$defs/{side}") }]);
    jsonschema::validator_for(&schema).unwrap()
}

fn check(validator: &jsonschema::Validator, frame: &Value) {
    let errors: Vec<String> = validator
        .iter_errors(frame)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{frame}: {errors:?}");
}

/// Manifests are names: `broken` cannot be loaded.
struct Source;

impl HostSource for Source {
    fn manifest(
        &self,
        source: Option<&ManifestSource>,
        _: &[String],
    ) -> Result<Manifest, LoadFailure> {
        match source {
            Some(ManifestSource::File(file)) if file.as_os_str() == "broken" => Err(
                LoadFailure::new(ErrorCode::InvalidManifest, "broken:1:1: it is"),
            ),
            Some(ManifestSource::Inline { tables, .. }) => {
                let text = tables["text"].as_str().unwrap();
                Ok(Manifest::parse(text, "/toolhost.toml").unwrap())
            }
            _ => Ok(Manifest::default()),
        }
    }

    fn load(&self, loader: Loader) -> BoxFuture<'_, Result<ToolHost, LoadFailure>> {
        Box::pin(async move { Ok(loader.load().await.unwrap()) })
    }
}

struct Peer {
    writer: Option<DuplexStream>,
    reader: BufReader<DuplexStream>,
    stop: CancellationToken,
    served: JoinHandle<Result<(), PipeError>>,
}

fn tool(name: &str) -> Value {
    json!({
        "name": name,
        "description": "A function",
        "input_schema": { "type": "object", "properties": { "n": { "type": "integer" } } },
        "annotations": { "read_only": true },
    })
}

impl Peer {
    fn new() -> Peer {
        let (to_host, from_client) = duplex(1 << 16);
        let (to_client, from_host) = duplex(1 << 16);
        let stop = CancellationToken::new();
        Peer {
            served: tokio::spawn(serve(Source, from_client, to_client, stop.clone())),
            writer: Some(to_host),
            reader: BufReader::new(from_host),
            stop,
        }
    }

    async fn with_tools(hello: Value) -> Peer {
        let mut peer = Peer::new();
        let mut frame =
            json!({ "type": "hello", "version": 1, "tools": [tool("one"), tool("two")] });
        frame
            .as_object_mut()
            .unwrap()
            .extend(hello.as_object().unwrap().clone());
        peer.send(frame).await;
        assert_eq!(peer.next().await["type"], "hello");
        peer
    }

    async fn send(&mut self, frame: Value) {
        check(&CLIENT_FRAMES, &frame);
        self.send_line(&frame.to_string()).await;
    }

    async fn send_line(&mut self, line: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// The next frame; null at the end.
    async fn next(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.reader.read_line(&mut line)).await;
        read.expect("a frame").unwrap();
        if line.is_empty() {
            return Value::Null;
        }
        let frame = serde_json::from_str(&line).unwrap();
        check(&HOST_FRAMES, &frame);
        frame
    }

    /// The next frame of this type; others are dropped.
    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            assert!(!frame.is_null(), "no `{kind}` came");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    async fn ended(self) -> Result<(), PipeError> {
        timeout(PATIENCE, self.served)
            .await
            .expect("it ends")
            .unwrap()
    }
}

fn answer(call: &Value, text: &str) -> Value {
    json!({ "type": "answer", "id": call["id"], "content": [{ "type": "text", "text": text }] })
}

fn run(id: u64, names: &[&str]) -> Value {
    let calls: Vec<Value> = names
        .iter()
        .map(|name| json!({ "name": name, "arguments": { "n": 1 } }))
        .collect();
    json!({ "type": "run", "id": id, "calls": calls })
}

#[tokio::test]
async fn results_come_as_they_complete_and_the_last_with_done() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(run(7, &["one", "two"])).await;
    let (first, second) = (peer.next().await, peer.next().await);
    let (one, two) = match first["tool"] == "one" {
        true => (first, second),
        false => (second, first),
    };
    assert_eq!(
        (&one["arguments"], &one["run"]),
        (&json!({ "n": 1 }), &json!(7))
    );
    peer.send(answer(&two, "two")).await;
    let result = peer.next().await;
    assert_eq!(
        (&result["type"], &result["index"]),
        (&json!("result"), &json!(1))
    );
    peer.send(answer(&one, "one")).await;
    let done = peer.next().await;
    assert_eq!(done["results"][0]["index"], 0);
    assert_eq!(done["results"][0]["result"]["text"], "one");
}

#[tokio::test]
async fn the_calls_of_a_response_are_answered_in_its_format() {
    let mut peer = Peer::with_tools(json!({})).await;
    let response = json!({ "role": "assistant", "content": [
        { "type": "tool_use", "id": "toolu_1", "name": "one", "input": { "n": "1" } },
        { "type": "tool_use", "id": "toolu_2", "name": "none", "input": {} },
    ]});
    // As JSON, and as text.
    for response in [response.clone(), json!(response.to_string())] {
        peer.send(json!({ "type": "run", "id": 1, "response": response, "messages": true, "results": false })).await;
        let call = peer.next().await;
        // It was repaired.
        assert_eq!(call["arguments"], json!({ "n": 1 }));
        assert_eq!(call["call_id"], "toolu_1");
        peer.send(answer(&call, "yes")).await;
        let done = peer.next().await;
        assert_eq!(done["format"], "anthropic");
        let blocks = &done["messages"][0]["content"];
        assert_eq!(blocks[0]["content"], "yes");
        assert_eq!(blocks[1]["is_error"], true);
        assert!(done.get("results").is_none());
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_read_fails_its_run_alone() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(json!({ "type": "run", "id": 1, "response": "<html>" }))
        .await;
    let done = peer.next().await;
    assert_eq!(done["failure"]["code"], "invalid-response");
    peer.send(run(1, &["one"])).await;
    assert_eq!(peer.next().await["type"], "call");
}

fn chat_delta(delta: Value) -> String {
    json!({ "choices": [{ "index": 0, "delta": delta }] }).to_string()
}

#[tokio::test]
async fn calls_of_a_stream_start_while_it_arrives() {
    let call = |index: u64, name: &str| {
        let function = json!({ "name": name, "arguments": "{\"n\": 2}" });
        chat_delta(
            json!({ "tool_calls": [{ "index": index, "id": format!("c{index}"), "function": function }] }),
        )
    };
    for kind in ["events", "text"] {
        let as_sent = |event: String| match kind {
            "events" => event,
            _ => format!("data: {event}\n\n"),
        };
        let mut peer = Peer::with_tools(json!({})).await;
        peer.send(
            json!({ "type": "run", "id": 3, "stream": kind, "messages": true, "reply": true }),
        )
        .await;
        for event in [call(0, "one"), call(1, "two")] {
            peer.send(json!({ "type": "data", "id": 3, "data": as_sent(event) }))
                .await;
        }
        // The response has not ended yet.
        let one = peer.next().await;
        assert_eq!(one["tool"], "one");
        peer.send(answer(&one, "1")).await;
        let end =
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
        peer.send(json!({ "type": "data", "id": 3, "data": as_sent(end.to_string()) }))
            .await;
        peer.send(json!({ "type": "data", "id": 3, "data": as_sent("[DONE]".to_owned()) }))
            .await;
        peer.send(json!({ "type": "end", "id": 3 })).await;
        let two = peer.next_of("call").await;
        assert_eq!(two["tool"], "two");
        peer.send(answer(&two, "2")).await;
        let done = peer.next_of("done").await;
        assert_eq!(done["messages"][0]["content"], "1");
        assert_eq!(done["messages"][1]["content"], "2");
        assert_eq!(done["reply"][0]["tool_calls"][1]["function"]["name"], "two");
        assert!(done.get("failure").is_none(), "{done}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_the_results_of_what_ran() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(json!({ "type": "run", "id": 3, "stream": "events" }))
        .await;
    for index in 0..2 {
        let function = json!({ "name": "one", "arguments": "{}" });
        let delta = json!({ "tool_calls": [{ "index": index, "id": "c", "function": function }] });
        peer.send(json!({ "type": "data", "id": 3, "data": chat_delta(delta) }))
            .await;
    }
    let call = peer.next().await;
    peer.send(json!({ "type": "end", "id": 3, "error": "the network is down" }))
        .await;
    peer.send(answer(&call, "ran")).await;
    assert_eq!(peer.next_of("result").await["result"]["text"], "ran");
    let done = peer.next_of("done").await;
    assert_eq!(done["failure"]["code"], "broken-stream");
    assert!(
        done["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("the network is down")
    );
}

#[tokio::test]
async fn cancelling_a_run_answers_its_calls_and_cancels_its_functions() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(run(1, &["one", "two"])).await;
    let calls = [
        peer.next().await["id"].clone(),
        peer.next().await["id"].clone(),
    ];
    peer.send(json!({ "type": "cancel", "id": 1 })).await;
    let mut cancelled = Vec::new();
    let done = loop {
        let frame = peer.next().await;
        match frame["type"].as_str() {
            Some("cancel") => cancelled.push(frame["id"].clone()),
            Some("done") => break frame,
            _ => assert_eq!(frame["result"]["error"]["code"], "cancelled"),
        }
    };
    assert_eq!(done["results"][0]["result"]["error"]["code"], "cancelled");
    cancelled.sort_by_key(Value::as_u64);
    assert_eq!(cancelled, calls);
}

#[tokio::test]
async fn a_function_that_does_not_return_is_answered_at_its_deadline_and_keeps_its_slot() {
    let mut peer = Peer::with_tools(json!({ "max_calls": 1 })).await;
    let mut late = run(1, &["one"]);
    late["timeout_ms"] = json!(50);
    peer.send(late).await;
    let call = peer.next().await;
    let begun = Instant::now();
    assert_eq!(
        peer.next().await,
        json!({ "type": "cancel", "id": call["id"] })
    );
    let done = peer.next().await;
    assert_eq!(done["results"][0]["result"]["error"]["code"], "timeout");
    assert!(begun.elapsed() < PATIENCE);
    // There is one slot, and the function still has it.
    let mut next = run(2, &["two"]);
    next["timeout_ms"] = json!(1000);
    peer.send(next).await;
    let result = peer.next().await["results"][0]["result"].clone();
    let text = result["text"].as_str().unwrap();
    assert!(
        text.contains("1 of the program's 1 slots") && text.contains("one (for "),
        "{text}"
    );
    // Its answer, however late, frees the slot.
    peer.send(answer(&call, "late")).await;
    peer.send(run(3, &["two"])).await;
    assert_eq!(peer.next().await["tool"], "two");
}

#[tokio::test]
async fn a_tool_has_a_deadline_of_its_own() {
    let mut hasty = tool("hasty");
    hasty["timeout_ms"] = json!(20);
    let mut peer = Peer::with_tools(json!({ "tools": [hasty] })).await;
    peer.send(run(1, &["hasty"])).await;
    let done = peer.next_of("done").await;
    assert_eq!(
        done["results"][0]["result"]["error"]["message"],
        "timed out after 20 ms"
    );
}

#[tokio::test]
async fn what_a_function_answers_is_its_result_or_its_error() {
    let mut peer = Peer::with_tools(json!({})).await;
    let image = json!({ "type": "image", "data": "AAEC", "mimeType": "image/png" });
    let cases = [
        (
            json!({ "content": [image], "structured": { "a": [1] } }),
            Ok("[image: image/png, 3 bytes]"),
        ),
        (
            json!({ "content": [{ "type": "image", "data": "?", "mimeType": "image/png" }] }),
            Err("failed"),
        ),
        (json!({ "error": { "message": "no" } }), Err("failed")),
        (
            json!({ "error": { "code": "denied", "message": "no" } }),
            Err("denied"),
        ),
        (
            json!({ "error": { "code": "invalid-arguments", "message": "no" } }),
            Err("invalid-arguments"),
        ),
        (
            json!({ "error": { "code": "cancelled", "message": "" } }),
            Err("cancelled"),
        ),
    ];
    for (answer, expected) in cases {
        peer.send(run(1, &["one"])).await;
        let mut answer = answer;
        answer["type"] = json!("answer");
        answer["id"] = peer.next().await["id"].clone();
        peer.send(answer).await;
        let result = peer.next().await["results"][0]["result"].clone();
        match expected {
            Ok(text) => {
                assert_eq!(result["text"], text);
                assert_eq!(result["structured"], json!({ "a": [1] }));
                assert_eq!(result["content"][0]["data"], "AAEC");
            }
            Err(code) => assert_eq!(result["error"]["code"], code),
        }
    }
}

#[tokio::test]
async fn functions_are_declared_and_replaced_while_the_host_runs() {
    let mut peer = Peer::with_tools(json!({ "tools": [] })).await;
    peer.send(run(1, &["late"])).await;
    let unknown = peer.next().await;
    assert_eq!(
        unknown["results"][0]["result"]["error"]["code"],
        "unknown-tool"
    );
    peer.send(json!({ "type": "declare", "id": 2, "tools": [tool("late")] }))
        .await;
    assert_eq!(peer.next().await, json!({ "type": "ok", "id": 2 }));
    peer.send(run(3, &["late"])).await;
    assert_eq!(peer.next_of("call").await["tool"], "late");
    peer.send(json!({ "type": "declare", "id": 4, "tools": [tool("not a name")] }))
        .await;
    assert_eq!(peer.next_of("error").await["code"], "invalid-tool");
    peer.send(json!({ "type": "declare", "id": 5, "tools": [tool("late"), tool("late")] }))
        .await;
    assert_eq!(peer.next_of("error").await["code"], "invalid-tool");
    peer.send(json!({ "type": "tools", "id": 6, "format": "gemini" }))
        .await;
    let tools = peer.next_of("tools").await;
    assert_eq!(tools["tools"][0]["functionDeclarations"][0]["name"], "late");
    peer.send(json!({ "type": "tools", "id": 7, "format": "geminy" }))
        .await;
    assert_eq!(peer.next_of("error").await["code"], "unknown-format");
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(json!({ "type": "reload", "id": 1, "manifest": { "file": "broken" } }))
        .await;
    let error = peer.next_of("error").await;
    assert_eq!(
        (&error["id"], &error["code"]),
        (&json!(1), &json!("invalid-manifest"))
    );
    let manifest = json!({ "inline": { "tables": { "text": "[host]\ntimeout = \"30ms\"" } } });
    peer.send(json!({ "type": "reload", "id": 2, "manifest": manifest }))
        .await;
    assert_eq!(peer.next_of("ok").await["id"], 2);
    // The new limits are those of functions, too.
    peer.send(run(3, &["one"])).await;
    let done = peer.next_of("done").await;
    assert_eq!(
        done["results"][0]["result"]["error"]["message"],
        "timed out after 30 ms"
    );
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_alone() {
    let mut peer = Peer::with_tools(json!({})).await;
    let long = "x".repeat(1000);
    for (line, about) in [
        (r#"{"type":"run","id":1}"#.to_owned(), "needs one of"),
        (
            r#"{"type":"run","id":1,"calls":[],"response":{}}"#.to_owned(),
            "needs one of",
        ),
        (
            r#"{"type":"run","id":1,"calls":[{}]}"#.to_owned(),
            "missing field `name`",
        ),
        (
            r#"{"type":"run","id":1,"calls":[],"format":"x"}"#.to_owned(),
            "unknown format",
        ),
        (
            r#"{"type":"run","id":1,"stream":"events","format":"mcp"}"#.to_owned(),
            "no event streams",
        ),
        (format!(r#"{{"type":"{long}","id":1}}"#), "unknown type"),
    ] {
        peer.send_line(&line).await;
        let error = peer.next().await;
        assert_eq!(
            (&error["type"], &error["id"]),
            (&json!("error"), &json!(1)),
            "{line}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(about),
            "{error}"
        );
        assert!(error.to_string().len() < 500, "{error}");
    }
    peer.send(run(1, &["one"])).await;
    assert_eq!(peer.next().await["type"], "call");
    peer.send(run(1, &["one"])).await;
    assert!(
        peer.next().await["message"]
            .as_str()
            .unwrap()
            .contains("is in use")
    );
}

#[tokio::test]
async fn a_session_without_sense_ends_with_a_message() {
    for (lines, code) in [
        (vec!["{}"], "invalid-frame"),
        (vec![r#"{"type":"tools","id":1}"#], "invalid-frame"),
        (
            vec![r#"{"type":"hello","version":0}"#],
            "unsupported-version",
        ),
        (
            vec![r#"{"type":"hello","version":1,"manifest":{"file":"broken"}}"#],
            "invalid-manifest",
        ),
        (
            vec![r#"{"type":"hello","version":2}"#, "no JSON"],
            "invalid-frame",
        ),
        (
            vec![
                r#"{"type":"hello","version":1}"#,
                r#"{"type":"hello","version":1}"#,
            ],
            "invalid-frame",
        ),
    ] {
        let mut peer = Peer::new();
        for line in &lines {
            peer.send_line(line).await;
        }
        let error = peer.next_of("error").await;
        assert_eq!(
            (error.get("id"), &error["code"]),
            (None, &json!(code)),
            "{lines:?}"
        );
        assert!(peer.next().await.is_null());
        assert!(peer.ended().await.is_err());
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_everything() {
    // Before `hello`, and with calls that run.
    let mut peer = Peer::new();
    peer.writer = None;
    assert!(peer.ended().await.is_ok());
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(run(1, &["one"])).await;
    peer.send(json!({ "type": "run", "id": 2, "stream": "events" }))
        .await;
    assert_eq!(peer.next().await["type"], "call");
    peer.writer = None;
    let done = peer.next_of("done").await;
    assert!(done["run"] == 1 || done["run"] == 2);
    assert!(peer.ended().await.is_ok());
    // Its reading end alone.
    let mut peer = Peer::with_tools(json!({})).await;
    peer.reader = BufReader::new(duplex(1).0);
    peer.send(run(1, &["one"])).await;
    assert!(peer.ended().await.is_ok());
}

#[tokio::test]
async fn stopping_cancels_runs_and_tells_the_client() {
    let mut peer = Peer::with_tools(json!({})).await;
    peer.send(run(1, &["one"])).await;
    assert_eq!(peer.next().await["type"], "call");
    peer.stop.cancel();
    let done = peer.next_of("done").await;
    assert_eq!(done["results"][0]["result"]["error"]["code"], "cancelled");
    assert!(peer.ended().await.is_ok());
}

#[tokio::test]
async fn a_result_that_the_client_does_not_read_is_an_error() {
    let mut peer = Peer::with_tools(json!({ "max_frame": 2000 })).await;
    peer.send(run(1, &["one", "two"])).await;
    for _ in 0..2 {
        let call = peer.next_of("call").await;
        peer.send(answer(&call, &"long".repeat(1000))).await;
    }
    let done = peer.next_of("done").await;
    assert_eq!(done["results"][0]["result"]["error"]["code"], "limit");
    let response = json!({ "choices": [{ "message": { "tool_calls": [
        { "id": "1", "type": "function", "function": { "name": "one", "arguments": "{}" } }
    ]}}]});
    peer.send(json!({ "type": "run", "id": 2, "response": response, "messages": true }))
        .await;
    let call = peer.next_of("call").await;
    peer.send(answer(&call, &"long".repeat(1000))).await;
    let done = peer.next_of("done").await;
    assert_eq!(done["failure"]["code"], "too-large");
    assert_eq!(done["results"][0]["result"]["error"]["code"], "limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_at_once_each_get_their_own_results() {
    let mut peer = Peer::with_tools(json!({})).await;
    const RUNS: u64 = 500;
    let mut writer = peer.writer.take().unwrap();
    // Both ends write while they read.
    let (answers, mut to_send) = tokio::sync::mpsc::unbounded_channel::<Value>();
    let writing = tokio::spawn(async move {
        for id in 1..=RUNS {
            writer
                .write_all(format!("{}\n", run(id, &["one"])).as_bytes())
                .await
                .unwrap();
        }
        while let Some(frame) = to_send.recv().await {
            writer
                .write_all(format!("{frame}\n").as_bytes())
                .await
                .unwrap();
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < RUNS as usize {
        let frame = peer.next().await;
        match frame["type"].as_str() {
            Some("call") => answers
                .send(answer(&frame, &frame["run"].to_string()))
                .unwrap(),
            Some("done") => {
                assert_eq!(
                    frame["results"][0]["result"]["text"],
                    frame["run"].to_string()
                );
                assert!(seen.insert(frame["run"].as_u64()));
            }
            _ => panic!("{frame}"),
        }
    }
    drop(answers);
    writing.await.unwrap();
    assert!(peer.ended().await.is_ok());
}

fn nested(id: u64, parent: &Value, names: &[&str]) -> Value {
    let mut run = run(id, names);
    run["parent"] = parent["id"].clone();
    run
}

/// One call at a time, in the host and in the program.
const ONE_AT_A_TIME: &str = "[host]\nmax-concurrency = 1";

async fn one_at_a_time(manifest: &str) -> Peer {
    let inline = json!({ "inline": { "tables": { "text": manifest } } });
    Peer::with_tools(json!({ "max_calls": 1, "manifest": inline })).await
}

#[tokio::test]
async fn functions_call_the_host_though_one_call_runs_at_a_time() {
    let mut peer = one_at_a_time(ONE_AT_A_TIME).await;
    peer.send(run(1, &["one"])).await;
    let mut parents = vec![peer.next().await];
    // Others wait meanwhile, and take no turn from the nested calls.
    peer.send(run(90, &["one"])).await;
    for depth in 1..=16 {
        let parent = parents.last().unwrap();
        peer.send(nested(1 + depth, parent, &["two"])).await;
        let call = peer.next_of("call").await;
        assert_eq!(
            (&call["tool"], &call["run"]),
            (&json!("two"), &json!(1 + depth))
        );
        parents.push(call);
    }
    peer.send(nested(50, parents.last().unwrap(), &["two"]))
        .await;
    let done = peer.next_of("done").await;
    let error = &done["results"][0]["result"]["error"];
    assert_eq!(error["code"], "denied", "{error}");
    for parent in parents.iter().rev() {
        peer.send(answer(parent, "returned")).await;
        let done = peer.next_of("done").await;
        assert_eq!(done["run"], parent["run"]);
        assert_eq!(done["results"][0]["result"]["text"], "returned");
    }
    assert_eq!(peer.next().await["run"], 90);
}

#[tokio::test]
async fn a_function_may_run_several_calls_at_once_and_a_stream() {
    let mut peer = one_at_a_time(ONE_AT_A_TIME).await;
    peer.send(run(1, &["one"])).await;
    let parent = peer.next().await;
    peer.send(nested(2, &parent, &["two", "two", "two"])).await;
    let mut streamed = json!({ "type": "run", "id": 3, "stream": "events" });
    streamed["parent"] = parent["id"].clone();
    peer.send(streamed).await;
    let function = json!({ "name": "two", "arguments": "{}" });
    let delta = json!({ "tool_calls": [{ "index": 0, "id": "c", "function": function }] });
    peer.send(json!({ "type": "data", "id": 3, "data": chat_delta(delta) }))
        .await;
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    peer.send(json!({ "type": "data", "id": 3, "data": end.to_string() }))
        .await;
    peer.send(json!({ "type": "end", "id": 3 })).await;
    let mut over = Vec::new();
    while over.len() < 2 {
        let frame = peer.next().await;
        match frame["type"].as_str() {
            Some("call") => peer.send(answer(&frame, "2")).await,
            Some("done") => over.push(frame["run"].as_u64()),
            _ => assert_eq!(frame["result"]["text"], "2"),
        }
    }
    over.sort_unstable();
    assert_eq!(over, [Some(2), Some(3)]);
    peer.send(answer(&parent, "1")).await;
    let done = peer.next_of("done").await;
    assert_eq!(done["results"][0]["result"]["usage"]["calls"], 4);
}

#[tokio::test]
async fn the_end_of_a_call_ends_what_its_function_runs() {
    let mut peer = one_at_a_time("").await;
    peer.send(run(1, &["one"])).await;
    let parent = peer.next().await;
    peer.send(nested(2, &parent, &["two"])).await;
    let child = peer.next().await;
    peer.send(answer(&parent, "did not wait")).await;
    let (mut cancelled, mut done) = (Vec::new(), Vec::new());
    while done.len() < 2 {
        let frame = peer.next().await;
        match frame["type"].as_str() {
            Some("done") => done.push(frame),
            Some("cancel") => cancelled.push(frame["id"].clone()),
            _ => panic!("{frame}"),
        }
    }
    done.sort_by_key(|frame| frame["run"].as_u64());
    assert_eq!(done[0]["results"][0]["result"]["text"], "did not wait");
    assert_eq!(
        done[1]["results"][0]["result"]["error"]["code"],
        "cancelled"
    );
    assert_eq!(cancelled, [child["id"].clone()]);
    peer.send(answer(&child, "late")).await;
    // Also what it runs afterwards.
    peer.send(nested(3, &parent, &["two"])).await;
    let done = peer.next().await;
    assert_eq!(done["results"][0]["result"]["error"]["code"], "cancelled");
    // Its slots are free.
    peer.send(run(4, &["one"])).await;
    assert_eq!(peer.next().await["type"], "call");
}

#[tokio::test]
async fn a_deadline_of_the_call_ends_what_its_function_runs() {
    let mut peer = one_at_a_time("").await;
    let mut late = run(1, &["one"]);
    late["timeout_ms"] = json!(100);
    peer.send(late).await;
    let parent = peer.next().await;
    peer.send(nested(2, &parent, &["two"])).await;
    peer.next_of("call").await;
    let codes = [peer.next_of("done").await, peer.next_of("done").await].map(|done| {
        let result = &done["results"][0]["result"];
        (
            done["run"].as_u64(),
            result["error"]["code"].as_str().unwrap().to_owned(),
        )
    });
    assert!(
        codes.contains(&(Some(1), "timeout".to_owned())),
        "{codes:?}"
    );
    assert!(
        codes.contains(&(Some(2), "cancelled".to_owned())),
        "{codes:?}"
    );
}

#[tokio::test]
async fn a_nested_run_is_for_the_client_of_its_call() {
    let mut peer = Peer::with_tools(json!({})).await;
    let mut of_alice = run(1, &["one"]);
    of_alice["client"] = json!("alice");
    peer.send(of_alice).await;
    let parent = peer.next().await;
    peer.send(nested(2, &parent, &["two"])).await;
    let call = peer.next().await;
    assert_eq!(call["client"], "alice");
    peer.send(answer(&call, "2")).await;
    peer.next_of("done").await;
    let mut of_bob = nested(3, &parent, &["two"]);
    of_bob["client"] = json!("bob");
    peer.send(of_bob).await;
    let refused = peer.next().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!(3))
    );
    assert!(
        refused["message"].as_str().unwrap().contains("alice"),
        "{refused}"
    );
    let mut of_none = run(4, &["two"]);
    of_none["parent"] = json!(99);
    peer.send(of_none).await;
    let refused = peer.next().await;
    assert!(
        refused["message"].as_str().unwrap().contains("99"),
        "{refused}"
    );
}

#[tokio::test]
async fn frames_too_short_for_an_answer_are_refused() {
    let mut peer = Peer::new();
    peer.send(json!({ "type": "hello", "version": 1, "max_frame": 10 }))
        .await;
    let refused = peer.next().await;
    assert_eq!(refused["code"], "invalid-frame");
    assert!(
        refused["message"].as_str().unwrap().contains("1024"),
        "{refused}"
    );
}

#[tokio::test]
async fn answers_are_read_though_open_runs_hold_much() {
    let mut peer = Peer::with_tools(json!({ "max_calls": 1 })).await;
    // Together more than the host reads while nothing runs.
    let padding = "x".repeat(60 << 20);
    let padded = |id: u64| {
        let calls = json!([{ "name": "one", "arguments": { "n": id } }]);
        format!(r#"{{"type":"run","id":{id},"calls":{calls},"padding":"{padding}"}}"#)
    };
    for id in 1..=5 {
        peer.send_line(&padded(id)).await;
    }
    for _ in 0..5 {
        let call = peer.next_of("call").await;
        peer.send(answer(&call, "read")).await;
        assert_eq!(
            peer.next_of("done").await["results"][0]["result"]["text"],
            "read"
        );
    }
}
