//! The command line: every command and flag, through the binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::binary::{Folder, json_lines, listed, run};
use crate::common::{guest, sha256, toolhost};

/// One call of `echo`, as JSON Lines.
const HELLO: &str = r#"{"id":"call_1","name":"echo","arguments":{"text":"hello"}}"#;

/// What answers [`HELLO`], in the format of OpenAI's chat.
fn hello() -> Value {
    json!({ "role": "tool", "tool_call_id": "call_1", "content": "hello" })
}

/// `run` with results as messages of OpenAI's chat, whatever format the calls are in.
const RUN_TO_CHAT: &[&str] = &["run", "--output-format", "openai-chat"];

fn run_to_chat<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [RUN_TO_CHAT, more].concat()
}

// run: what goes in

#[test]
fn run_reads_a_file_stdin_or_a_dash() {
    let folder = Folder::of(&["echo"]);
    folder.write("response.json", HELLO);
    let from_file = folder.run(&run_to_chat(&["response.json"]), "").answered();
    let from_stdin = folder.run(RUN_TO_CHAT, HELLO).answered();
    let from_dash = folder.run(&run_to_chat(&["-"]), HELLO).answered();
    assert_eq!(from_file.json(), json!([hello()]));
    assert_eq!(from_stdin.stdout, from_file.stdout);
    assert_eq!(from_dash.stdout, from_file.stdout);
}

#[test]
fn every_shape_of_a_response_gives_the_same_results() {
    let folder = Folder::of(&["echo"]);
    let tool_call = |id: &str, text: &str| {
        let arguments = json!({ "text": text }).to_string();
        let function = json!({ "name": "echo", "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function })
    };
    let tool_calls = json!([tool_call("a", "first"), tool_call("b", "second")]);
    let message = json!({ "role": "assistant", "content": null, "tool_calls": tool_calls });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "tool_calls" });
    let completion =
        json!({ "id": "chatcmpl-1", "object": "chat.completion", "choices": [choice] });
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "second" })),
    ]);
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    let expected = json!([
        { "role": "tool", "tool_call_id": "a", "content": "first" },
        { "role": "tool", "tool_call_id": "b", "content": "second" },
    ]);
    for response in [
        completion.to_string(),
        format!("{completion:#}"),
        message.to_string(),
        tool_calls.to_string(),
        lines.clone(),
        lines.replace('\n', "\r\n\r\n"),
        array,
        format!("\u{feff}{completion}"),
    ] {
        let ended = folder.run(RUN_TO_CHAT, &response).answered();
        assert_eq!(ended.json(), expected, "{response}");
    }
}

#[test]
fn results_are_printed_in_the_order_of_the_calls_whatever_their_ids() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let lines = [
        r#"{"id":"same","name":"sleep","arguments":{"ms":100}}"#,
        r#"{"id":"same","name":"echo","arguments":{"text":"second"}}"#,
        r#"{"name":"echo","arguments":{"text":"third"}}"#,
    ];
    let ended = folder.run(RUN_TO_CHAT, lines.join("\n")).answered();
    assert_eq!(
        ended.json(),
        json!([
            { "role": "tool", "tool_call_id": "same", "content": "slept for 100 ms" },
            { "role": "tool", "tool_call_id": "same", "content": "second" },
            { "role": "tool", "content": "third" },
        ])
    );
}

#[test]
fn format_overrides_what_the_shape_says() {
    let folder = Folder::of(&["echo"]);
    // By its `role` a message without calls; as toolhost's own format a call.
    let both = r#"{"role":"x","id":"call_1","name":"echo","arguments":{"text":"hello"}}"#;
    let guessed = folder.run(&["run"], both).failed("openai-chat, json");
    assert!(
        guessed.stderr.contains("choose one with --format"),
        "{}",
        guessed.stderr
    );
    let as_json = folder
        .run(&run_to_chat(&["--format", "json"]), both)
        .answered();
    assert_eq!(as_json.json(), json!([hello()]));
    for openai in ["openai-chat", "openai"] {
        let as_chat = folder.run(&["run", "--format", openai], both).answered();
        assert_eq!(as_chat.json(), json!([]));
    }
    for wrong in ["anthropic", "gemini", "mcp", "openai-responses"] {
        let ended = folder.run(&["run", "--format", wrong], HELLO);
        assert!(!ended.stdout.contains("hello"), "{wrong}: {ended:?}");
    }
    assert_eq!(folder.run(&["run", "--format", "xml"], HELLO).status, 2);
}

#[test]
fn calls_without_a_function_around_them_are_toolhosts_own() {
    let folder = Folder::of(&["echo"]);
    let array = format!("[{HELLO}]");
    let ended = folder.run(RUN_TO_CHAT, &array).answered();
    assert_eq!(ended.json(), json!([hello()]));
    let told = run_to_chat(&["--format", "json"]);
    assert_eq!(
        folder.run(&told, &array).answered().json(),
        json!([hello()])
    );
    // Others have their calls so, and it is told that this is one of those.
    let told = folder.run(&["run", "--format", "openai-chat"], &array);
    assert_eq!(told.answered().json(), json!([hello()]));
}

#[test]
fn an_array_is_not_taken_for_a_call_whose_members_are_in_order() {
    let folder = Folder::of(&["echo"]);
    let call = r#"["call_1","echo",{"text":"hello"}]"#;
    for response in [call.to_owned(), format!("[{call}]")] {
        folder.run(&["run"], &response).failed("");
        for format in ["json", "openai-chat", "mcp"] {
            folder
                .run(&["run", "--format", format], &response)
                .failed("");
        }
    }
}

#[test]
fn a_response_that_cannot_be_read_is_the_jobs_failure() {
    let folder = Folder::of(&["echo"]);
    folder
        .run(&["run", "nowhere.json"], "")
        .failed("nowhere.json");
    folder.run(&["run"], "").failed("empty");
    folder
        .run(&["run"], "I would call echo.")
        .failed("not JSON");
    folder
        .run(&["run"], "42")
        .failed("neither an object nor an array");
    let error = r#"{"error":{"message":"overloaded"}}"#;
    folder.run(&["run"], error).failed("overloaded");
    folder.run(&["run"], "{}").failed("an unknown shape");
}

#[test]
fn json_of_a_wrong_shape_is_not_called_no_json() {
    let folder = Folder::of(&["echo"]);
    for response in [
        "[1]",
        r#"{"tool_calls":5}"#,
        r#"{"choices":[{"message":"hi"}]}"#,
        r#"{"choices":5}"#,
    ] {
        let ended = folder.run(&["run"], response).failed("");
        assert!(!ended.stderr.contains("not JSON"), "{}", ended.stderr);
    }
}

// run: what comes out

#[test]
fn results_are_in_the_format_of_the_calls_unless_told_otherwise() {
    let folder = Folder::of(&["echo"]);
    let chat = json!([{
        "id": "call_1",
        "type": "function",
        "function": { "name": "echo", "arguments": r#"{"text":"hello"}"# },
    }]);
    let ended = folder.run(&["run"], chat.to_string()).answered();
    assert_eq!(ended.json(), json!([hello()]));
    let own = folder.run(&["run"], HELLO).answered();
    let [line] = &own.lines()[..] else {
        panic!("{own:?}");
    };
    assert_eq!(line["id"], "call_1");
    assert_eq!(
        (&line["content"], &line["name"]),
        (&json!("hello"), &json!("echo"))
    );
    assert!(line["usage"]["run_ms"].is_f64(), "{line}");
    assert_eq!(line.get("role"), None);
    let other = ["run", "--output-format", "json"];
    let lines = folder.run(&other, chat.to_string()).answered().lines();
    assert_eq!(lines[0]["id"], "call_1");
    assert_eq!(
        folder.run(&["run", "--output-format", "xml"], HELLO).status,
        2
    );
}

#[test]
fn stream_prints_each_result_when_it_completes() {
    let server = Server::start();
    let folder = server.folder("");
    let calls = json_lines(&[
        ("slow", "http_get", json!({ "url": server.url() })),
        ("fast", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = run_to_chat(&["--stream", response(&folder, &calls)]);
    let mut child = spawn(folder.command(&arguments));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        next(),
        json!({ "role": "tool", "tool_call_id": "fast", "content": "hello" })
    );
    // Only now does the first call get what it waits for.
    answer(server.accept());
    assert_eq!(
        next(),
        json!({ "role": "tool", "tool_call_id": "slow", "content": "200\nhi" })
    );
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn full_adds_code_structured_output_usage_and_log() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("good", "structured", json!({ "value": { "n": 1 } })),
        ("bad", "fail", json!({ "message": "out of stock" })),
        ("unknown", "ecko", json!({})),
        ("printed", "print_some", json!({ "lines": 1 })),
    ]);
    for (arguments, id_key) in [
        (run_to_chat(&["--full"]), "tool_call_id"),
        (run_to_chat(&["--full", "--stream"]), "tool_call_id"),
        // toolhost's own format has all of it in any case.
        (vec!["run"], "id"),
        (vec!["run", "--full"], "id"),
        (vec!["run", "--stream"], "id"),
    ] {
        let ended = folder.run(&arguments, &calls).answered();
        let results = match arguments[..] {
            [.., "--full"] if id_key == "tool_call_id" => ended.results(),
            _ => ended.lines(),
        };
        assert_eq!(results.len(), 4);
        let find = |id: &str| results.iter().find(|r| r[id_key] == id).unwrap();
        let good = find("good");
        assert_eq!(good["structured"], json!({ "n": 1 }));
        assert_eq!(good["name"], "structured");
        assert_eq!((good.get("error"), good.get("log")), (None, None));
        assert!(good["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        assert!(good["usage"]["queue_ms"].as_f64().unwrap() >= 0.0);
        assert!(good["usage"]["peak_memory_bytes"].as_u64().unwrap() >= 64 << 10);
        // The text and the structured document.
        assert_eq!(good["usage"]["output_bytes"], 2 * r#"{"n":1}"#.len());
        let bad = find("bad");
        assert_eq!(
            bad["error"],
            json!({ "code": "failed", "message": "out of stock" })
        );
        assert_eq!(bad["content"], "Error: fail failed - out of stock");
        assert!(bad["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        let unknown = find("unknown");
        assert_eq!(unknown["error"]["code"], "unknown-tool");
        assert_eq!(
            unknown["content"],
            "Error: Unknown tool ecko. Similar tools: echo"
        );
        assert_eq!(unknown["usage"]["output_bytes"], 0);
        let mut log = find("printed")["log"].as_array().unwrap().clone();
        log.sort_by_key(|line| line["source"].as_str().unwrap().to_owned());
        assert_eq!(
            log,
            [
                json!({ "source": "info", "text": "logged" }),
                json!({ "source": "stderr", "text": "err 1" }),
                json!({ "source": "stdout", "text": "out 1" }),
            ]
        );
    }
}

#[test]
fn without_full_a_message_has_what_the_api_takes_and_no_more() {
    let folder = Folder::of(&["misbehave"]);
    let calls = json_lines(&[
        ("good", "structured", json!({ "value": 1 })),
        ("bad", "fail", json!({ "message": "no" })),
    ]);
    let results = folder.run(RUN_TO_CHAT, calls).answered().results();
    assert_eq!(results.len(), 2);
    for result in results {
        let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["role", "tool_call_id", "content"]);
    }
}

#[test]
fn an_error_result_is_an_answer_unless_fail_on_error() {
    let folder = Folder::of(&["echo"]);
    let mixed = format!("{HELLO}\n{{\"id\":\"x\",\"name\":\"nothing\"}}");
    let plain = folder.run(RUN_TO_CHAT, &mixed).answered();
    for more in [
        &["--fail-on-error"][..],
        &["--fail-on-error", "--stream"],
        &["--fail-on-error", "--format", "json"],
    ] {
        let arguments = run_to_chat(more);
        let strict = folder.run(&arguments, &mixed);
        assert_eq!((strict.status, &*strict.stderr), (3, ""));
        assert!(strict.stdout.contains("Unknown tool nothing"));
        let good = folder.run(&arguments, HELLO).answered();
        assert!(good.stdout.contains("hello"));
    }
    let strict = folder.run(&run_to_chat(&["--fail-on-error"]), &mixed);
    assert_eq!(strict.stdout, plain.stdout);
}

#[test]
fn timeline_draws_on_stderr_and_leaves_stdout_to_the_results() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&run_to_chat(&["--timeline"]), HELLO);
    assert_eq!(ended.status, 0);
    assert_eq!(ended.json(), json!([hello()]));
    assert!(ended.stderr.starts_with("echo |"), "{}", ended.stderr);
    let none = folder.run(&["run", "--timeline"], "[]");
    assert_eq!((none.status, none.json()), (0, json!([])));
}

#[test]
fn what_is_denied_is_said_on_stderr_with_verbose_and_not_on_stdout() {
    let folder = Folder::of(&["misbehave"]);
    let calls = json_lines(&[("a", "http_get", json!({ "url": "http://127.0.0.1:9/x" }))]);
    let quiet = folder.run(&["run"], &calls).answered();
    assert_eq!(quiet.lines()[0]["error"]["code"], "denied");
    let loud = folder.run(&["run", "-v"], &calls);
    assert_eq!((loud.status, loud.lines().len()), (0, 1));
    assert!(loud.stderr.contains("127.0.0.1:9"), "{}", loud.stderr);
}

// run: options of the host

#[test]
fn timeout_overrides_every_timeout_of_the_manifest() {
    let manifest = format!(
        "[host]\ntimeout = \"1h\"\n{}timeout = \"2h\"\n",
        listed("misbehave")
    );
    let folder = Folder::with(manifest);
    let calls = json_lines(&[("a", "sleep", json!({ "ms": 3_600_000 }))]);
    let ended = folder.run(&["run", "--timeout", "250ms"], calls).answered();
    let result = &ended.lines()[0];
    assert_eq!(result["error"]["code"], "timeout");
    assert_eq!(result["content"], "Error: sleep timed out after 250 ms");
}

#[test]
fn a_higher_max_concurrency_runs_more_at_once_than_the_manifest() {
    let server = Server::start();
    let folder = server.folder("[host]\nmax-concurrency = 1\n");
    let calls = json_lines(&[
        ("a", "http_get", json!({ "url": server.url() })),
        ("b", "http_get", json!({ "url": server.url() })),
    ]);
    let arguments = run_to_chat(&["--max-concurrency", "2", response(&folder, &calls)]);
    let child = spawn(folder.command(&arguments));
    // Neither gets an answer before both have asked.
    for asked in [server.accept(), server.accept()] {
        answer(asked);
    }
    let output = child.wait_with_output().unwrap();
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let contents: Vec<&Value> = results.iter().map(|result| &result["content"]).collect();
    assert_eq!(contents, ["200\nhi", "200\nhi"]);
}

#[test]
fn a_lower_max_concurrency_runs_fewer_at_once_than_the_manifest() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("slow", "sleep", json!({ "ms": 300 })),
        ("fast", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = ["run", "--stream", "--max-concurrency", "1"];
    let lines = folder.run(&arguments, calls).answered().lines();
    // One after the other, they end in their order.
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, ["slow", "fast"]);
}

// The manifest

#[test]
fn the_manifest_is_named_by_option_then_variable_then_the_nearest_parent() {
    let folder = Folder::of(&["misbehave"]);
    folder.write("option.toml", listed("echo"));
    folder.write("variable.toml", listed("bfcl"));
    folder.write("near/toolhost.toml", listed("echo"));
    folder.write("near/deep/down/here", "");
    folder.write("far/down/here", "");
    let variable_file = folder.path().join("variable.toml");
    let offers = |at: &str, variable: bool, option: &[&str]| -> String {
        let mut command = toolhost();
        command.current_dir(folder.path().join(at));
        command.args(["list", "--format", "json"]).args(option);
        if variable {
            command.env("TOOLHOST_MANIFEST", &variable_file);
        }
        let tools = run(command, "").answered().results();
        tools[0]["plugin"].as_str().unwrap().to_owned()
    };
    assert_eq!(offers("", false, &[]), "misbehave");
    assert_eq!(offers("far/down", false, &[]), "misbehave");
    assert_eq!(offers("near", false, &[]), "echo");
    assert_eq!(offers("near/deep/down", false, &[]), "echo");
    assert_eq!(offers("near", true, &[]), "bfcl");
    let option = ["--manifest", "option.toml"];
    assert_eq!(offers("", false, &option), "echo");
    assert_eq!(offers("", true, &option), "echo");
}

#[test]
fn a_missing_manifest_is_an_error_that_says_what_to_do() {
    let folder = Folder::empty();
    for arguments in [&["run"][..], &["call", "echo"], &["list"], &["check"]] {
        let ended = folder.run(arguments, HELLO).failed("toolhost.toml");
        assert!(ended.stderr.contains("--manifest"), "{}", ended.stderr);
        let arguments = [arguments, &["--manifest", "none.toml"]].concat();
        folder.run(&arguments, HELLO).failed("none.toml");
    }
}

#[test]
fn the_options_of_all_commands_go_before_or_after_the_command() {
    let folder = Folder::empty();
    folder.write("other.toml", listed("echo"));
    for arguments in [
        ["--manifest", "other.toml", "list"],
        ["list", "--manifest", "other.toml"],
    ] {
        let ended = folder.run(&arguments, "").answered();
        assert_eq!(ended.stdout.lines().count(), 1);
    }
}

#[test]
fn code_cache_off_or_elsewhere_changes_nothing_but_where_code_is_kept() {
    let folder = Folder::of(&["echo"]);
    let ended = folder
        .run(&run_to_chat(&["--code-cache", "off"]), HELLO)
        .answered();
    assert_eq!(ended.json(), json!([hello()]));
    for _ in 0..2 {
        let ended = folder
            .run(&run_to_chat(&["--code-cache", "kept"]), HELLO)
            .answered();
        assert_eq!(ended.json(), json!([hello()]));
    }
    assert!(folder.path().join("kept").is_dir());
}

#[cfg(unix)]
#[test]
fn a_code_cache_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::of(&["echo"]);
    let cache = folder.path().join("open");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = folder.run(&run_to_chat(&["--code-cache", "open"]), HELLO);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json(), json!([hello()]));
    assert!(ended.stderr.contains("others can write to"), "{ended:?}");
    assert!(ended.stderr.contains("TOOLHOST_CODE_CACHE"), "{ended:?}");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
}

// Exit status 2

#[test]
fn wrong_usage_exits_2_and_prints_nothing_to_stdout() {
    let folder = Folder::of(&["echo"]);
    for arguments in [
        &[][..],
        &["walk"],
        &["run", "--walk"],
        &["run", "a.json", "b.json"],
        &["run", "--timeout", "soon"],
        &["run", "--timeout", "0s"],
        &["run", "--max-concurrency", "0"],
        &["run", "--max-concurrency", "many"],
        &["run", "--summarize-items", "0"],
        &["call"],
        &["call", "echo", "{}", "{}"],
        &["list", "--format", "yaml"],
        &["inspect"],
        &["check", "toolhost.toml"],
    ] {
        let ended = folder.run(arguments, HELLO);
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_work_for_every_command_without_a_manifest() {
    let folder = Folder::empty();
    for command in ["run", "call", "list", "inspect", "check"] {
        let ended = folder.run(&[command, "--help"], "").answered();
        let usage = format!("Usage: toolhost {command}");
        assert!(ended.stdout.contains(&usage), "{}", ended.stdout);
        assert!(ended.stdout.contains("--manifest"), "{}", ended.stdout);
    }
    let all = folder.run(&["--help"], "").answered().stdout;
    for command in ["run", "call", "list", "inspect", "check"] {
        let described = all.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&command) && words.len() > 2
        });
        assert!(described, "{command}: {all}");
    }
    let version = folder.run(&["--version"], "").answered().stdout;
    assert_eq!(version, format!("toolhost {}\n", env!("CARGO_PKG_VERSION")));
}

// Interrupts

#[test]
fn an_interrupt_of_a_stream_leaves_what_completed_and_exits_130() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("sleeps", "sleep", json!({ "ms": 600_000 })),
        ("spins", "spin", json!({})),
        ("done", "echo", json!({ "text": "hello" })),
    ]);
    let arguments = run_to_chat(&["--stream", "--timeout", "1h", response(&folder, &calls)]);
    let mut child = spawn(folder.command(&arguments));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap(),
        json!({ "role": "tool", "tool_call_id": "done", "content": "hello" })
    );
    interrupt(child.id());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*rest), (Some(130), ""));
}

#[test]
fn an_interrupt_prints_what_completed_and_exits_130() {
    let manifest = format!(
        "{}{}order = \"parallel\"\n[plugin.misbehave.permissions]\nfiles = [{{ host = \"marks\", guest = \"/marks\", access = \"read-write\" }}]\n",
        listed("echo"),
        listed("misbehave")
    );
    let folder = Folder::with(manifest);
    std::fs::create_dir(folder.path().join("marks")).unwrap();
    // One at a time: when the mark is there, the first call has completed.
    let calls = json_lines(&[
        ("done", "echo", json!({ "text": "hello" })),
        (
            "marks",
            "write",
            json!({ "path": "/marks/mark", "text": "x" }),
        ),
        ("sleeps", "sleep", json!({ "ms": 600_000 })),
        ("waits", "echo", json!({ "text": "never" })),
    ]);
    let response = response(&folder, &calls);
    let options = ["--timeout", "1h", "--max-concurrency", "1"];
    let child = spawn(folder.command(&[RUN_TO_CHAT, &[response], &options[..]].concat()));
    wait_for(&folder.path().join("marks/mark"));
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        results[0],
        json!({ "role": "tool", "tool_call_id": "done", "content": "hello" })
    );
    let ids: Vec<&Value> = results
        .iter()
        .map(|result| &result["tool_call_id"])
        .collect();
    assert!(ids == ["done"] || ids == ["done", "marks"], "{ids:?}");
}

#[test]
fn an_interrupt_is_heard_while_results_are_printed() {
    let folder = Folder::of(&["echo"]);
    // Far more than a pipe holds: until somebody reads on, the binary is busy printing.
    let text = "x".repeat(10_000);
    let lines = format!(
        "{}\n",
        json!({ "name": "echo", "arguments": { "text": text } })
    );
    let calls = 2_000;
    let arguments = ["run", "--stream", response(&folder, &lines.repeat(calls))];
    let mut child = spawn(folder.command(&arguments));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    interrupt(child.id());
    let rest = stdout.lines().map_while(Result::ok).count();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest < calls - 1, "all {rest} results were printed");
}

#[test]
fn an_interrupted_single_call_prints_nothing_and_exits_130() {
    let server = Server::start();
    let folder = server.folder("");
    let arguments = json!({ "url": server.url() }).to_string();
    let child = spawn(folder.command(&["call", "http_get", &arguments, "--timeout", "1h"]));
    // It runs: it has asked, and gets no answer.
    let _asked = server.accept();
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

// list

#[test]
fn list_prints_a_line_per_tool_into_a_pipe() {
    let folder = Folder::of(&["bfcl", "echo"]);
    let ended = folder.run(&["list"], "").answered();
    let rows: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 29);
    assert!(rows.iter().all(|row| row.len() == 3), "{rows:?}");
    assert_eq!(
        rows[28],
        ["echo", "echo", "Answers the text that it is given."]
    );
    assert_eq!(rows.iter().filter(|row| row[1] == "bfcl").count(), 28);
}

#[test]
fn list_declares_tools_as_a_models_api_takes_them() {
    let folder = Folder::of(&["echo"]);
    let expected = json!([{
        "type": "function",
        "function": {
            "name": "echo",
            "description": "Answers the text that it is given.",
            "parameters": {
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            },
            "strict": false,
        },
    }]);
    for format in ["openai", "openai-chat"] {
        let ended = folder.run(&["list", "--format", format], "").answered();
        assert_eq!(ended.json(), expected);
    }
}

#[test]
fn list_as_json_has_everything_that_is_known_of_a_tool() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["list", "--format", "json"], "").answered();
    assert_eq!(
        ended.json(),
        json!([{
            "name": "echo",
            "description": "Answers the text that it is given.",
            "input_schema": {
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            },
            "annotations": { "read_only": true, "idempotent": true, "open_world": false },
            "plugin": "echo",
            "sandboxed": true,
        }])
    );
}

// inspect

#[test]
fn inspect_shows_what_a_plugin_is_without_a_manifest() {
    let folder = Folder::empty();
    let path = guest("misbehave");
    let ended = folder.run(&[Path::new("inspect"), &path], "").answered();
    let shown = Shown::parse(&ended.stdout);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(shown.value("sha256"), sha256(&bytes));
    assert_eq!(shown.value("size"), format!("{} bytes", bytes.len()));
    assert_eq!(shown.list("exports"), ["toolhost:plugin/tools@0.1.0"]);
    let imports = shown.list("imports");
    for interface in ["toolhost:plugin/host@", "wasi:http/outgoing-handler@"] {
        assert!(
            imports.iter().any(|import| import.starts_with(interface)),
            "{imports:?}"
        );
    }
    assert!(shown.list("tools").contains(&"spin: Loops forever."));
}

#[test]
fn inspect_names_the_permissions_that_a_plugin_can_use() {
    let folder = Folder::empty();
    let permissions = |name: &str| -> Vec<String> {
        let ended = folder
            .run(&[Path::new("inspect"), &guest(name)], "")
            .answered();
        let shown = Shown::parse(&ended.stdout);
        let line = shown.value("permissions it can use").to_owned();
        line.split(", ").map(str::to_owned).collect()
    };
    assert_eq!(permissions("echo"), ["none"]);
    // It imports the plugin interface's own `host`, through which secrets are had.
    assert_eq!(
        permissions("misbehave"),
        [
            "files", "http", "sockets", "env", "clock", "random", "secrets"
        ]
    );
}

#[test]
fn inspect_says_why_a_component_is_no_plugin_and_shows_it_all_the_same() {
    let folder = Folder::empty();
    for (name, why) in [
        ("no-world", "toolhost:plugin/tools@0.1.0"),
        ("other-version", "toolhost:plugin@0.9.0"),
        ("strange-import", "acme:cloud/storage@1.2.3"),
        ("listing-traps", "list-tools"),
    ] {
        let ended = folder.run(&[Path::new("inspect"), &guest(name)], "");
        assert_eq!(ended.status, 1, "{name}: {ended:?}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(why),
            "{ended:?}"
        );
        let shown = Shown::parse(&ended.stdout);
        assert!(!shown.list("exports").is_empty());
        assert!(!ended.stdout.contains("tools:\n"), "{}", ended.stdout);
    }
}

#[test]
fn inspect_fails_on_what_is_no_component() {
    let folder = Folder::empty();
    folder.write("text.wasm", "just text");
    folder
        .run(&["inspect", "text.wasm"], "")
        .failed("not a component");
    folder
        .run(&["inspect", "none.wasm"], "")
        .failed("none.wasm");
    folder.run(&["inspect", "."], "").failed("not a file");
}

/// The output of `inspect`: `name: value` lines, and `name:` lines with indented ones below.
struct Shown<'a>(&'a str);

impl<'a> Shown<'a> {
    fn parse(text: &'a str) -> Self {
        Shown(text)
    }

    #[track_caller]
    fn value(&self, name: &str) -> &'a str {
        let found = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    #[track_caller]
    fn list(&self, name: &str) -> Vec<&'a str> {
        let title = format!("{name}:");
        let mut lines = self.0.lines().skip_while(|line| **line != title);
        assert!(lines.next().is_some(), "no {name} in {}", self.0);
        lines.map_while(|line| line.strip_prefix("  ")).collect()
    }
}

// check

#[test]
fn check_says_what_is_offered_and_what_is_granted() {
    let manifest = format!(
        r#"{}[plugin.misbehave.permissions]
http = ["https://*.example.com"]
files = [{{ host = ".", guest = "/notes" }}]
env = {{ TZ = "UTC" }}
secrets = {{ TOKEN = {{ file = "token" }} }}
{}"#,
        listed("misbehave"),
        listed("echo")
    );
    let folder = Folder::with(manifest);
    folder.write("token", "hush-hush");
    let ended = folder.run(&["check"], "").answered();
    for words in [
        "toolhost.toml is OK: 2 plugins, ",
        "tools: echo",
        "granted: nothing",
        "files /notes",
        "read-only",
        "http https://*.example.com",
        "env TZ",
        "secret TOKEN",
    ] {
        assert!(
            ended.stdout.contains(words),
            "no `{words}` in {}",
            ended.stdout
        );
    }
    assert!(!ended.stdout.contains("hush-hush"), "{}", ended.stdout);
}

#[test]
fn check_tells_everything_that_is_wrong_with_manifest_and_plugins() {
    let folder = Folder::with("[host]\ntimout = \"3s\"\nmax-concurrency = 0\n");
    let ended = folder.run(&["check"], "").failed("toolhost.toml:2:1");
    assert!(
        ended.stderr.contains("did you mean `timeout`?"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("toolhost.toml:3:19"),
        "{}",
        ended.stderr
    );
    let folder = Folder::of(&["no-world", "echo", "listing-traps"]);
    let ended = folder.run(&["check"], "").failed("no-world.wasm");
    assert!(
        ended.stderr.contains("listing-traps.wasm"),
        "{}",
        ended.stderr
    );
}

#[test]
fn check_calls_no_tool() {
    let folder = Folder::of(&["misbehave"]);
    let ended = folder.run(&["check", "-vv"], "");
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(!ended.stderr.contains("call{"), "{}", ended.stderr);
}

// call

#[test]
fn call_takes_arguments_from_the_command_line_stdin_or_none() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let arguments = r#"{"text":"hello"}"#;
    let given = folder.run(&["call", "echo", arguments], "").answered();
    assert_eq!(given.stdout, "hello\n");
    let piped = folder.run(&["call", "echo", "-"], arguments).answered();
    assert_eq!(piped.stdout, "hello\n");
    let none = folder.run(&["call", "counter"], arguments).answered();
    assert_eq!(none.stdout, "1\n");
    let raw = folder.run(&["call", "raw_arguments"], "").answered();
    assert_eq!(raw.stdout, "{}\n");
}

#[test]
fn a_call_that_fails_prints_its_error_and_exits_with_5() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["call", "ecko"], "").call_failed();
    assert_eq!(
        ended.stdout,
        "Error: Unknown tool ecko. Similar tools: echo\n"
    );
    let ended = folder.run(&["call", "echo", "{"], "").call_failed();
    assert!(
        ended.stdout.starts_with("Error: echo failed - "),
        "{ended:?}"
    );
}

#[test]
fn call_takes_the_options_of_run() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let full = folder.run(&["call", "echo", "--full"], "").call_failed();
    // A document over several lines, unlike what `run` prints.
    assert!(full.stdout.lines().count() > 1, "{full:?}");
    let full = full.json();
    assert_eq!(full["error"]["code"], "invalid-arguments");
    assert_eq!(full["name"], "echo");
    let content = full["content"].as_str().unwrap();
    assert!(content.starts_with("Error: echo failed - "), "{full}");
    assert!(full["usage"]["run_ms"].is_f64(), "{full}");
    assert_eq!((full.get("role"), full.get("id")), (None, None));
    let summarized = [
        "call",
        "echo",
        r#"{"text":"[1,2,3]"}"#,
        "--summarize",
        "--summarize-items",
        "1",
    ];
    let ended = folder.run(&summarized, "").answered();
    assert_eq!(
        ended.stdout,
        "Results from echo:\nFound 3 items.\n[\n  1\n]\n"
    );
    let slow = ["call", "sleep", r#"{"ms":3600000}"#, "--timeout", "1s"];
    let ended = folder.run(&slow, "").call_failed();
    assert_eq!(ended.stdout, "Error: sleep timed out after 1 second\n");
}

// summarize

/// The contents of the results of `echo` for these texts.
fn echoed(folder: &Folder, options: &[&str], texts: &[&str]) -> Vec<String> {
    let calls: Vec<_> = texts
        .iter()
        .map(|text| ("id", "echo", json!({ "text": text })))
        .collect();
    let ended = folder
        .run(&[&["run"], options].concat(), json_lines(&calls))
        .answered();
    let contents = ended.lines();
    let contents = contents
        .iter()
        .map(|result| result["content"].as_str().unwrap());
    contents.map(str::to_owned).collect()
}

#[test]
fn summarize_shows_ten_items_and_2000_characters() {
    let folder = Folder::of(&["echo"]);
    let items = json!((0..25).collect::<Vec<_>>()).to_string();
    let text = "é".repeat(2001);
    let fits = "é".repeat(2000);
    let texts = [&*items, r#"{"b":[],"a":1.50}"#, &text, &fits];
    let contents = echoed(&folder, &["--summarize"], &texts);
    let ten = serde_json::to_string_pretty(&(0..10).collect::<Vec<_>>()).unwrap();
    assert_eq!(
        contents[0],
        format!("Results from echo:\nFound 25 items.\n{ten}")
    );
    assert_eq!(
        contents[1],
        "Results from echo:\n{\n  \"b\": [],\n  \"a\": 1.50\n}"
    );
    let (heading, rest) = contents[2].split_once('\n').unwrap();
    assert_eq!(heading, "Results from echo:");
    let (shown, note) = rest.split_once('\n').unwrap();
    assert_eq!(shown, fits);
    assert!(note.contains("cut"), "{note}");
    assert_eq!(contents[3], format!("Results from echo:\n{fits}"));
}

#[test]
fn both_numbers_of_summarize_can_be_set_by_option_and_by_manifest() {
    let numbers = "summarize-items = 3\nsummarize-chars = 5\n";
    let by_manifest = Folder::with(format!(
        "[host]\nsummarize = true\n{numbers}{}",
        listed("echo")
    ));
    let by_option = Folder::of(&["echo"]);
    let texts = ["[1,2,3,4]", "123 456"];
    let options = [
        "--summarize",
        "--summarize-items",
        "3",
        "--summarize-chars",
        "5",
    ];
    let contents = echoed(&by_manifest, &[], &texts);
    assert_eq!(contents, echoed(&by_option, &options, &texts));
    assert_eq!(
        contents[0],
        "Results from echo:\nFound 4 items.\n[\n  1,\n  2,\n  3\n]"
    );
    assert!(
        contents[1].starts_with("Results from echo:\n123 4\n"),
        "{}",
        contents[1]
    );
    // An option goes before the manifest's number, and the other number stays.
    let contents = echoed(&by_manifest, &["--summarize-items", "1"], &texts);
    assert_eq!(contents[0], "Results from echo:\nFound 4 items.\n[\n  1\n]");
    assert!(
        contents[1].starts_with("Results from echo:\n123 4\n"),
        "{}",
        contents[1]
    );
    let off = Folder::with(format!("[host]\n{numbers}{}", listed("echo")));
    assert_eq!(echoed(&off, &[], &texts), texts);
}

#[test]
fn summarize_passes_errors_through_unchanged() {
    let folder = Folder::of(&["misbehave"]);
    let long = "why ".repeat(1000);
    let calls = json_lines(&[
        ("a", "fail", json!({ "message": long })),
        ("b", "fail", json!({ "message": "[1,2]" })),
        ("c", "nothing", json!({})),
    ]);
    let plain = folder.run(&["run"], &calls).answered().lines();
    let options = ["run", "--summarize", "--summarize-chars", "5"];
    let summarized = folder.run(&options, &calls).answered().lines();
    assert_eq!((plain.len(), summarized.len()), (3, 3));
    for (plain, summarized) in plain.iter().zip(&summarized) {
        assert_eq!(plain["content"], summarized["content"]);
        assert_eq!(plain["error"], summarized["error"]);
    }
    assert_eq!(summarized[0]["error"]["message"], long);
}

// A reader that has seen enough

#[test]
fn a_closed_stdout_ends_every_command_quietly() {
    let folder = Folder::of(&["misbehave"]);
    folder.write(
        "response.jsonl",
        r#"{"name":"huge_output","arguments":{"bytes":200000}}"#,
    );
    let plugin = guest("misbehave");
    for arguments in [
        &["list"][..],
        &["list", "--format", "json"],
        &["list", "--format", "openai"],
        &["run", "response.jsonl"],
        &["run", "--stream", "response.jsonl"],
        &["call", "huge_output", r#"{"bytes":200000}"#],
        &["call", "huge_output", r#"{"bytes":200000}"#, "--full"],
        &["check"],
        &["inspect", plugin.to_str().unwrap()],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = folder.command(arguments);
        command.stdin(Stdio::null()).stdout(writer);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_closed_stdout_ends_a_stream_before_its_calls_are_over() {
    let folder = Folder::of(&["echo", "misbehave"]);
    let calls = json_lines(&[
        ("a", "sleep", json!({ "ms": 3_600_000 })),
        ("b", "echo", json!({ "text": "hello" })),
    ]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let arguments = [
        "run",
        "--stream",
        "--timeout",
        "2h",
        response(&folder, &calls),
    ];
    let status = folder.command(&arguments).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// What the calls of a test wait for: a server of this machine that answers when it is told to.
struct Server(TcpListener);

impl Server {
    fn start() -> Server {
        Server(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// A folder with a manifest that starts so, of `echo` and of `misbehave`, which may come here.
    fn folder(&self, manifest: &str) -> Folder {
        Folder::with(format!(
            "{manifest}{}{}[plugin.misbehave.permissions]\nhttp = [\"{}\"]\n",
            listed("echo"),
            listed("misbehave"),
            self.url()
        ))
    }

    fn accept(&self) -> TcpStream {
        self.0.accept().unwrap().0
    }
}

/// Answers `hi` to a request.
fn answer(mut asked: TcpStream) {
    // To have its end left unread would reset the connection.
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        asked.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    asked.write_all(response).unwrap();
}

/// Puts a response into the folder, and gives its name.
fn response(folder: &Folder, calls: &str) -> &'static str {
    folder.write("response.jsonl", calls);
    "response.jsonl"
}

fn spawn(mut command: Command) -> std::process::Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command.spawn().unwrap()
}

/// What Ctrl-C does.
fn interrupt(process: u32) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -INT {process}")])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits until there is such a file; a generous while, for a machine under load.
fn wait_for(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no {}",
            file.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

// token

#[test]
fn a_new_token_goes_to_stdout_alone_and_its_digest_to_the_manifest() {
    let folder = Folder::empty();
    let new = |arguments: &[&str]| {
        let ended = folder.run(&[&["token", "new"], arguments].concat(), "");
        assert_eq!(ended.status, 0, "{ended:?}");
        let token = ended.stdout.strip_suffix('\n').unwrap().to_owned();
        assert!(!ended.stderr.contains(&token), "{ended:?}");
        (token, ended.stderr)
    };
    let (token, said) = new(&["--name", "ci-1"]);
    // 256 bits in base64.
    let secret = token.strip_prefix("th_").unwrap();
    assert_eq!(secret.len(), 43, "{token}");
    let is_of_url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    assert!(secret.bytes().all(is_of_url), "{token}");
    let start = said.find('[').unwrap();
    let manifest = toolhost::Manifest::parse(&said[start..], "toolhost.toml").unwrap();
    let [client] = &manifest.serve.auth.tokens[..] else {
        panic!("{said}");
    };
    assert_eq!(client.name, "ci-1");
    assert_eq!(client.digest.to_string(), sha256(&token));
    assert_ne!(new(&[]).0, token);
    for name in ["", "a b", "a]\n[host"] {
        let ended = folder.run(&["token", "new", "--name", name], "");
        assert_eq!((ended.status, &*ended.stdout), (2, ""), "{name}");
    }
}

#[test]
fn check_warns_of_resource_templates_that_take_every_read() {
    let folder = Folder::of(&["listing-any-template"]);
    let shown = folder.run(&["check"], "").answered().stdout;
    let warns =
        |template: &str| shown.contains(&format!("`{template}` matches URIs of every scheme"));
    assert!(warns("{+x}") && !warns("mine:{+x}"), "{shown}");
}

#[test]
fn check_tells_who_may_use_the_server_and_which_tools_are_not_there() {
    let folder = Folder::of(&["conformance", "echo"]);
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let made = folder.run(&["token", "new", "--name", "ci"], "");
    let table = made.stderr.split_once("[serve.auth").unwrap().1.trim_end();
    folder.write(
        "toolhost.toml",
        format!("{manifest}\n[serve.auth{table}\ntools = ['echo', 'ecko']\n"),
    );
    let shown = folder.run(&["check"], "").answered().stdout;
    for line in [
        "serve: ci",
        "  warning: `serve.auth.tokens.ci` names an unknown tool: `ecko`",
        "resource templates: test://template/{id}/data",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!shown.contains("unknown tool: `echo`"), "{shown}");
}
