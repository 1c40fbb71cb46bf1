//! `run --sse`: the calls of an event stream, run while it comes in.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};
use toolhost::ToolCall;
use toolhost::wire::Format;

use crate::common::binary::{Ended, Folder};
use crate::common::responses::{APIS, Around, Event, Pieces, Style, TEXT, events, sse, whole};

/// Two calls of `echo` and one of a tool that there is none of.
fn calls() -> Vec<Pieces> {
    let given: [(&str, &str, &[&str]); 3] = [
        ("a", "echo", &["{\"text\":", "\"first é😀\"}"]),
        ("b", "echo", &["{\"text\":\"second\"}"]),
        ("c", "nothing", &["{}"]),
    ];
    let calls = given.map(|(id, name, pieces)| Pieces {
        call: ToolCall::new(id, name, pieces.concat()),
        pieces: pieces.iter().map(|piece| (*piece).to_owned()).collect(),
    });
    calls.into()
}

fn in_order(format: Format) -> Vec<Event> {
    events(format, &calls(), |_| 0)
}

fn stream(format: Format) -> Vec<u8> {
    sse(&in_order(format), Style::PLAIN).0
}

/// The stream up to and with the first event of which this is true.
fn until(format: Format, is_last: impl Fn(&Event) -> bool) -> (Vec<u8>, Vec<u8>) {
    let events = in_order(format);
    let last = events.iter().position(is_last).unwrap();
    let (first, rest) = events.split_at(last + 1);
    (sse(first, Style::PLAIN).0, sse(rest, Style::PLAIN).0)
}

#[test]
fn a_stream_is_answered_as_the_whole_response_is() {
    let folder = Folder::of(&["echo"]);
    let calls: Vec<ToolCall> = calls().into_iter().map(|pieces| pieces.call).collect();
    for format in APIS {
        let response = whole(format, &calls, Around::Response);
        let expected = folder.run(&["run"], response).answered();
        assert!(expected.stdout.contains("first é😀"), "{expected:?}");
        assert!(
            expected.stdout.contains("Unknown tool nothing"),
            "{expected:?}"
        );
        folder.write("stream.sse", stream(format));
        for arguments in [
            &["run", "--sse", "stream.sse"][..],
            &["run", "--sse"],
            &["run", "--sse", "-"],
            &["run", "--sse", "--format", format.name()],
        ] {
            let ended = folder.run(arguments, stream(format)).answered();
            assert_eq!(ended.stdout, expected.stdout, "{format} {arguments:?}");
        }
        let others = ["run", "--sse", "--output-format", "json", "--fail-on-error"];
        let ended = folder.run(&others, stream(format));
        assert_eq!((ended.status, &*ended.stderr), (3, ""));
        let lines = ended.lines();
        let contents: Vec<&Value> = lines.iter().map(|line| &line["content"]).collect();
        assert_eq!(contents[..2], ["first é😀", "second"]);
        assert_eq!(lines[2]["error"]["code"], "unknown-tool");
    }
}

#[test]
fn however_a_stream_is_written_its_results_are_the_same() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let expected = folder.run(&["run", "--sse"], stream(format)).answered();
        let events = events(format, &calls(), |count| count - 1);
        for line_end in ["\n", "\r\n", "\r"] {
            let style = Style {
                line_end,
                chatty: true,
                many_lines: true,
                bom: true,
                closed: false,
            };
            let ended = folder
                .run(&["run", "--sse"], sse(&events, style).0)
                .answered();
            assert_eq!(ended.stdout, expected.stdout, "{format} {line_end:?}");
        }
    }
}

/// The binary with a pipe that stays open.
struct Open {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

fn open(folder: &Folder, arguments: &[&str]) -> Open {
    let mut command = folder.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    Open {
        stdin: child.stdin.take().unwrap(),
        stdout: BufReader::new(child.stdout.take().unwrap()),
        child,
    }
}

impl Open {
    fn write(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).unwrap();
        self.stdin.flush().unwrap();
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Closes the pipe, and waits for the end.
    fn close(mut self) -> Ended {
        drop(self.stdin);
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let mut stderr = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut stderr).unwrap();
        Ended {
            status: self.child.wait().unwrap().code().unwrap(),
            stdout,
            stderr,
        }
    }
}

#[test]
fn a_call_is_answered_before_the_response_has_ended() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let options = ["run", "--sse", "--stream", "--output-format", "json"];
        let mut open = open(&folder, &options);
        let (first, rest) = until(format, |event| event.completes.contains(&0));
        open.write(&first);
        // Nothing more comes until this is read.
        let line = open.next();
        assert_eq!(
            (&line["id"], &line["content"]),
            (&json!("a"), &json!("first é😀"))
        );
        open.write(&rest);
        let ended = open.close();
        assert_eq!((ended.status, &*ended.stderr), (0, ""), "{format}");
        let mut ids: Vec<String> = ended
            .lines()
            .iter()
            .map(|line| line["id"].to_string())
            .collect();
        ids.sort();
        assert_eq!(ids, ["\"b\"", "\"c\""], "{format}");
    }
}

#[test]
fn a_response_ends_with_its_end_though_the_pipe_stays_open() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let mut open = open(&folder, &["run", "--sse", "--output-format", "json"]);
        // Without what follows the end: nothing else says that there is no more.
        let (whole, _) = until(format, |event| event.ends);
        open.write(&whole);
        let mut stdout = String::new();
        open.stdout.read_to_string(&mut stdout).unwrap();
        assert_eq!(stdout.lines().count(), 3, "{format}: {stdout}");
        assert_eq!(open.child.wait().unwrap().code(), Some(0), "{format}");
    }
}

#[test]
fn what_follows_the_end_of_a_response_is_passed_over() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let expected = folder.run(&["run", "--sse"], stream(format)).answered();
        for after in [
            "data: [DONE]\n\n",
            "data: {\"torn\": \"",
            "data: {\"error\":\"gone\"}\n\n",
            "data: \u{0}\n\n",
        ] {
            let with = [&stream(format)[..], after.as_bytes()].concat();
            let ended = folder.run(&["run", "--sse"], with).answered();
            assert_eq!(ended.stdout, expected.stdout, "{format} {after:?}");
        }
    }
}

#[test]
fn an_interrupt_ends_a_stream_that_stays_open() {
    let folder = Folder::of(&["echo"]);
    let mut open = open(&folder, &["run", "--sse", "--stream"]);
    let (first, _) = until(Format::Anthropic, |event| event.completes.contains(&0));
    open.write(&first);
    assert_eq!(open.next()["content"], "first é😀");
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("kill -INT {}", open.child.id())])
        .status();
    assert!(status.unwrap().success());
    let mut rest = String::new();
    open.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((open.child.wait().unwrap().code(), &*rest), (Some(130), ""));
}

#[test]
fn cut_stream_prints_complete_calls_and_refuses_the_rest() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        // Gemini's calls come whole.
        let begins = |event: &Event| event.begins.contains(&1);
        let (cut, _) = until(format, begins);
        let arguments = ["run", "--sse", "--output-format", "json"];
        let ended = folder.run(&arguments, &cut);
        assert_eq!(ended.status, 1, "{format}: {ended:?}");
        assert!(
            ended.stderr.starts_with("error: the stream broke"),
            "{ended:?}"
        );
        assert!(
            ended
                .stderr
                .contains("ended before the response was complete"),
            "{ended:?}"
        );
        let lines = ended.lines();
        assert_eq!(lines.len(), 2, "{format}: {ended:?}");
        assert_eq!(lines[0]["content"], "first é😀");
        assert_eq!(
            (&lines[1]["id"], &lines[1]["name"]),
            (&json!("b"), &json!("echo"))
        );
        if format == Format::Gemini {
            assert_eq!(lines[1]["content"], "second");
        } else {
            assert_eq!(lines[1]["error"]["code"], "invalid-arguments", "{format}");
            let content = lines[1]["content"].as_str().unwrap();
            assert!(
                content.contains("the response ended before the arguments were complete"),
                "{content}"
            );
        }
        // The same in the middle of an event, a character, and with a line each.
        let broken = [&cut[..], b"data: {\"x\":\"\xf0\x9f"].concat();
        for (arguments, stream) in [
            (&arguments[..], &broken),
            (
                &["run", "--sse", "--output-format", "json", "--stream"],
                &cut,
            ),
            (
                &["run", "--sse", "--stream", "--output-format", "json"],
                &broken,
            ),
        ] {
            let ended = folder.run(arguments, stream);
            assert_eq!(
                (ended.status, ended.lines().len()),
                (1, 2),
                "{format}: {ended:?}"
            );
            assert!(ended.stderr.starts_with("error: "), "{ended:?}");
        }
    }
}

#[test]
fn a_cut_stream_without_a_call_has_no_results() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let (cut, _) = until(format, |event| event.data.contains("Let me see"));
        let ended = folder.run(&["run", "--sse"], &cut);
        assert_eq!((ended.status, &*ended.stdout), (1, ""), "{format}");
        assert!(
            ended.stderr.starts_with("error: the stream broke"),
            "{ended:?}"
        );
    }
}

/// The ids of the calls of a message, or of what else goes back.
fn called(message: &Value) -> Vec<Value> {
    let of = |items: &Value, id: &dyn Fn(&Value) -> Option<Value>| -> Vec<Value> {
        items
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(id)
            .collect()
    };
    let mut ids = of(&message["tool_calls"], &|call| Some(call["id"].clone()));
    let block = |block: &Value| (block["type"] == "tool_use").then(|| block["id"].clone());
    ids.extend(of(&message["content"], &block));
    let part = |part: &Value| Some(part.get("functionCall")?["id"].clone());
    ids.extend(of(&message["parts"], &part));
    if message["type"] == "function_call" {
        ids.push(message["call_id"].clone());
    }
    ids
}

/// The ids of the calls that a message answers.
fn answered(message: &Value) -> Vec<Value> {
    let each = |items: &Value, key: &str, inner: Option<&str>| -> Vec<Value> {
        let items = items.as_array().into_iter().flatten();
        let items = items.filter_map(|item| inner.map_or(Some(item), |inner| item.get(inner)));
        items.filter_map(|item| item.get(key).cloned()).collect()
    };
    let mut ids = each(&message["content"], "tool_use_id", None);
    ids.extend(each(&message["parts"], "id", Some("functionResponse")));
    ids.extend(message.get("tool_call_id").cloned());
    if message["type"] == "function_call_output" {
        ids.push(message["call_id"].clone());
    }
    ids
}

#[test]
fn with_message_prints_the_assistant_message_first() {
    let folder = Folder::of(&["echo"]);
    let calls: Vec<ToolCall> = calls().into_iter().map(|pieces| pieces.call).collect();
    for format in APIS {
        let response = whole(format, &calls, Around::Response);
        let plain = folder.run(&["run"], &response).answered().results();
        let whole = folder.run(&["run", "--with-message"], &response).answered();
        let streamed = folder
            .run(&["run", "--sse", "--with-message"], stream(format))
            .answered();
        for ended in [whole, streamed] {
            let all = ended.results();
            let (ahead, results) = all.split_at(all.len() - plain.len());
            assert_eq!(results, plain, "{format}");
            let ids: Vec<Value> = ahead.iter().flat_map(called).collect();
            assert_eq!(ids, ["a", "b", "c"], "{format}: {ahead:?}");
            if format != Format::OpenaiResponses {
                assert_eq!(ahead.len(), 1, "{format}");
                let role = if format == Format::Gemini {
                    "model"
                } else {
                    "assistant"
                };
                assert_eq!(ahead[0]["role"], role);
            }
        }
        let streamed = folder.run(&["run", "--sse", "--with-message"], stream(format));
        assert!(streamed.stdout.contains(TEXT), "{format}: {streamed:?}");
    }
}

/// An API refuses a result of which it finds no call.
#[test]
fn with_message_of_a_cut_stream_has_the_call_of_every_result() {
    let folder = Folder::of(&["echo"]);
    for format in APIS {
        let (cut, _) = until(format, |event| event.begins.contains(&1));
        let ended = folder.run(&["run", "--sse", "--with-message"], cut);
        assert_eq!(ended.status, 1, "{ended:?}");
        let all = ended.results();
        let calls: Vec<Value> = all.iter().flat_map(called).collect();
        let results: Vec<Value> = all.iter().flat_map(answered).collect();
        assert_eq!(results, ["a", "b"], "{format}");
        assert_eq!(calls, results, "{format}: {}", ended.stdout);
    }
}

#[test]
fn with_message_needs_a_format_that_has_one() {
    let folder = Folder::of(&["echo"]);
    let own = r#"{"id":"a","name":"echo","arguments":{"text":"hello"}}"#;
    folder
        .run(&["run", "--with-message"], own)
        .failed("--with-message");
    // A call alone is no message.
    let block = r#"{"type":"tool_use","id":"a","name":"echo","input":{"text":"hello"}}"#;
    folder
        .run(&["run", "--with-message"], block)
        .failed("--with-message");
    let both = folder.run(&["run", "--with-message", "--stream"], own);
    assert_eq!((both.status, &*both.stdout), (2, ""));
}

#[test]
fn api_error_in_a_stream_keeps_completed_results() {
    let folder = Folder::of(&["echo"]);
    let overloaded = json!({ "type": "overloaded_error", "message": "Try again." });
    for (format, error) in [
        (Format::OpenaiChat, json!({ "error": overloaded })),
        (
            Format::OpenaiResponses,
            json!({ "type": "error", "code": "overloaded_error", "message": "Try again." }),
        ),
        (
            Format::Anthropic,
            json!({ "type": "error", "error": overloaded }),
        ),
        (
            Format::Gemini,
            json!({ "error": { "status": "overloaded_error", "message": "Try again." } }),
        ),
    ] {
        let (begun, _) = until(format, |event| event.completes.contains(&0));
        let error = format!("data: {error}\n\n");
        let stream = [&begun[..], error.as_bytes(), &stream(format)].concat();
        let ended = folder.run(&["run", "--sse", "--output-format", "json"], stream);
        assert_eq!(ended.status, 1, "{ended:?}");
        let why = "error: the API answered with an error: overloaded_error: Try again.\n";
        assert_eq!(ended.stderr, why, "{format}");
        let lines = ended.lines();
        assert_eq!(lines.len(), 1, "{format}: {ended:?}");
        assert_eq!(lines[0]["content"], "first é😀");
        // Nothing but an error.
        let told = ["run", "--sse", "--format", format.name()];
        folder
            .run(&told, &error)
            .failed("overloaded_error: Try again.");
    }
}

#[test]
fn what_is_no_event_stream_exits_1_and_runs_nothing() {
    let folder = Folder::of(&["echo"]);
    let response = whole(
        Format::OpenaiChat,
        &[calls()[0].call.clone()],
        Around::Response,
    );
    for (input, why) in [
        (&b""[..], "no events"),
        (b"\n\n", "no events"),
        (b"<html>502 Bad Gateway</html>", "an HTML page"),
        (b"\x1f\x8b\x08\0\0", "gzip: decompress it first"),
        (b"\x28\xb5\x2f\xfd\0", "zstd: decompress it first"),
        (b"\xff\xfe{\0}\0", "UTF-16 text: save it as UTF-8"),
        (response.as_bytes(), "leave out --sse"),
        (b"{\n  \"choices\": []\n}\n", "leave out --sse"),
        (b"[{\"candidates\": []}]", "leave out --sse"),
        (
            b"{\n  \"error\": { \"message\": \"Slow down.\", \"type\": \"rate_limit_error\" }\n}",
            "rate_limit_error: Slow down.",
        ),
        (
            b"[{\n  \"error\": { \"message\": \"Slow down.\", \"code\": 429 }\n}]",
            "429: Slow down.",
        ),
        (b"data: hello\n\n", "not JSON"),
        (b"data: {\"hello\":1}\n\n", "match no known format"),
        (b"data: [1]\n\n", "event 1"),
        (b"data: \xff\n\n", "utf-8"),
        (b"data: \0\n\n", "not JSON"),
        (
            b"data: {\"choices\":[],\"candidates\":[]}\n\n",
            "choose one",
        ),
        (b"data: {\"choices\":5}\n\n", "event 1"),
        (
            b"data: {\"type\":\"message_start\",\"message\":5}\n\n",
            "event 1",
        ),
    ] {
        folder.run(&["run", "--sse"], input).failed(why);
    }
    // So in every format, told or not.
    for format in [Format::Bedrock, Format::Mcp, Format::Json]
        .into_iter()
        .chain(APIS)
    {
        let response = whole(format, &[calls()[0].call.clone()], Around::Response);
        let response = response.replacen('{', "{\n", 1);
        folder
            .run(&["run", "--sse"], &response)
            .failed("leave out --sse");
        if format.api().is_some() {
            let told = ["run", "--sse", "--format", format.name()];
            folder.run(&told, &response).failed("leave out --sse");
        }
    }
    folder
        .run(&["run", "--sse", "nowhere.sse"], "")
        .failed("nowhere.sse");
    for format in ["mcp", "json"] {
        let ended = folder.run(
            &["run", "--sse", "--format", format],
            stream(Format::Gemini),
        );
        ended.failed(format);
    }
    let planned = folder.run(&["run", "--sse", "--dry-run"], "");
    assert_eq!((planned.status, &*planned.stdout), (2, ""));
}
