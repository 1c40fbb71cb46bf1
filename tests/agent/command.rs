//! `toolhost agent`: options, what is printed, and what a person at a terminal meets.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::apis;
use crate::common::binary::{Folder, run};
use crate::peer::{Peer, Say, Until, calls, calls_body, chat_call, chat_end, event, text};

const GUESTS: &[&str] = &["calculator", "echo", "misbehave"];

/// The options that have the agent ask that server.
pub fn asks(format: Format, peer: &Peer) -> Vec<String> {
    let base = match format {
        Format::OpenaiChat | Format::OpenaiResponses => format!("{}/v1", peer.url),
        _ => peer.url.clone(),
    };
    let options = [
        "agent",
        "--provider",
        format.name(),
        "--model",
        "m",
        "--base-url",
        &base,
    ];
    options.map(str::to_owned).to_vec()
}

pub fn without_keys(folder: &Folder, arguments: &[String]) -> Command {
    let mut command = folder.command(arguments);
    for key in [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
    ] {
        command.env_remove(key);
    }
    command
}

pub fn with(mut arguments: Vec<String>, more: &[&str]) -> Vec<String> {
    arguments.extend(more.iter().map(|more| more.to_string()));
    arguments
}

#[test]
fn in_a_pipe_the_answer_is_all_that_is_printed() {
    for format in apis() {
        for more in [&["--no-stream"][..], &["--stream"]] {
            let turn = calls(format, &[("a", "echo", json!({ "text": "hi" }))]);
            let peer = Peer::start(vec![turn, text(format, "It says hi.")]);
            let folder = Folder::of(GUESTS);
            let arguments = with(asks(format, &peer), &[more[0], "What does it say?"]);
            let ended = run(without_keys(&folder, &arguments), "").answered();
            assert_eq!(ended.stdout, "It says hi.\n");
            assert_eq!(peer.asked().len(), 2);
        }
    }
}

#[test]
fn the_question_may_come_from_stdin() {
    for question in [&[][..], &["-"]] {
        let peer = Peer::start(vec![text(Format::Gemini, "yes")]);
        let folder = Folder::of(GUESTS);
        let arguments = with(asks(Format::Gemini, &peer), question);
        let ended = run(without_keys(&folder, &arguments), "Does it work?\n").answered();
        assert_eq!(ended.stdout, "yes\n");
        assert_eq!(
            peer.asked()[0].body["contents"][0]["parts"][0]["text"],
            "Does it work?"
        );
    }
    let folder = Folder::of(GUESTS);
    let peer = Peer::start(vec![]);
    run(without_keys(&folder, &asks(Format::Gemini, &peer)), " \n").failed("the question is empty");
}

#[test]
fn the_manifest_says_which_model_and_how_and_options_say_otherwise() {
    let peer = Peer::start(vec![
        text(Format::Anthropic, "one"),
        text(Format::Anthropic, "two"),
    ]);
    let folder = Folder::with(format!(
        "[agent]\nprovider = 'anthropic'\nmodel = 'sonnet'\nbase-url = '{}'\nkey = {{ file = 'key.txt' }}\n\
         system-prompt = 'Be brief.'\ntemperature = 0.25\nmax-tokens = 99\nparallel = false\n\
         tool-choice = 'echo'\nrequest.top_k = 5\n{}",
        peer.url,
        crate::common::binary::listed("echo"),
    ));
    folder.write("key.txt", "from-a-file-42");
    let asked = |arguments: &[&str]| {
        let arguments = with(vec!["agent".to_owned()], arguments);
        run(without_keys(&folder, &arguments), "").answered()
    };
    assert_eq!(asked(&["?"]).stdout, "one\n");
    let more = [
        "--model",
        "opus",
        "--system-prompt",
        "Rhyme.",
        "--max-tokens",
        "7",
        "--temperature",
        "1",
    ];
    assert_eq!(
        asked(&[&more[..], &["--tool-choice", "none", "?"]].concat()).stdout,
        "two\n"
    );
    let [first, second] = &peer.asked()[..] else {
        panic!()
    };
    let part = |asked: &crate::peer::Asked| {
        [
            "model",
            "system",
            "max_tokens",
            "temperature",
            "tool_choice",
            "top_k",
        ]
        .map(|key| asked.body[key].clone())
    };
    assert_eq!(
        part(first),
        [
            json!("sonnet"),
            json!("Be brief."),
            json!(99),
            json!(0.25),
            json!({ "type": "tool", "name": "echo", "disable_parallel_tool_use": true }),
            json!(5)
        ]
    );
    assert_eq!(
        part(second),
        [
            json!("opus"),
            json!("Rhyme."),
            json!(7),
            json!(1.0),
            json!({ "type": "none" }),
            json!(5)
        ]
    );
    assert!(first.headers.contains("x-api-key: from-a-file-42"));
    let check = folder.run(&["check"], "").answered();
    let line = format!("agent: anthropic, model sonnet, {}/, key from ", peer.url);
    assert!(check.stdout.contains(&line), "{}", check.stdout);
    assert!(!check.stdout.contains("from-a-file-42"));
}

#[test]
fn the_key_is_in_no_log_whatever_its_level_and_in_no_transcript() {
    let turn = || {
        calls(
            Format::OpenaiChat,
            &[("a", "echo", json!({ "text": "hi" }))],
        )
    };
    let said = json!({ "error": { "message": "is sesame-1234 your key?" } }).to_string();
    let failure = Say::Whole(500, "retry-after: 0\r\n", said);
    let peer = Peer::start(vec![failure, turn(), text(Format::OpenaiChat, "done")]);
    let folder = Folder::of(GUESTS);
    let arguments = with(
        asks(Format::OpenaiChat, &peer),
        &["-vv", "--json", "--transcript", "talk.jsonl", "?"],
    );
    let mut command = without_keys(&folder, &arguments);
    command
        .env("OPENAI_API_KEY", "sesame-1234")
        .env("TOOLHOST_LOG", "trace");
    let ended = run(command, "");
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(peer.asked()[0].headers.contains("bearer sesame-1234"));
    assert!(ended.stderr.contains("TRACE") && ended.stdout.contains("is *** your key?"));
    let transcript = std::fs::read_to_string(folder.path().join("talk.jsonl")).unwrap();
    for said in [&ended.stdout, &ended.stderr, &transcript] {
        assert!(!said.contains("sesame"), "{said}");
    }
}

#[test]
fn api_key_of_the_environment_goes_to_the_providers_api_only() {
    let peer = Peer::start(vec![
        text(Format::Gemini, "one"),
        text(Format::Gemini, "two"),
    ]);
    let folder = Folder::with(format!(
        "[agent]\nprovider = 'gemini'\nmodel = 'm'\nbase-url = '{}'\n",
        peer.url
    ));
    let mut command = folder.command(&["agent", "?"]);
    command.env("GEMINI_API_KEY", "from-the-environment");
    run(command, "").answered();
    let mut command = folder.command(&["agent", "?", "--base-url", &peer.url]);
    command.env("GEMINI_API_KEY", "from-the-environment");
    run(command, "").answered();
    let [named_by_manifest, named_by_hand] = &peer.asked()[..] else {
        panic!()
    };
    assert!(!named_by_manifest.headers.contains("from-the-environment"));
    assert!(
        named_by_hand
            .headers
            .contains("x-goog-api-key: from-the-environment")
    );
    let folder = Folder::with("[agent]\nprovider = 'gemini'\nmodel = 'm'\n");
    run(without_keys(&folder, &["agent".to_owned(), "?".to_owned()]), "")
        .failed("no key for https://generativelanguage.googleapis.com/: set the environment variable GEMINI_API_KEY");
}

#[test]
fn out_of_iterations_it_says_so_and_exits_4() {
    let turn = || {
        calls(
            Format::OpenaiChat,
            &[("a", "echo", json!({ "text": "hi" }))],
        )
    };
    let peer = Peer::start(vec![turn(), turn()]);
    let folder = Folder::of(GUESTS);
    let arguments = with(
        asks(Format::OpenaiChat, &peer),
        &["--max-iterations", "2", "?"],
    );
    let ended = run(without_keys(&folder, &arguments), "");
    assert_eq!((ended.status, &*ended.stdout), (4, ""));
    assert_eq!(ended.stderr, "Error: Agent exceeded maximum iterations\n");
}

#[test]
fn what_went_wrong_is_said_in_a_line() {
    let peer = Peer::start(vec![Say::Whole(
        404,
        "",
        json!({ "error": { "message": "no model m" } }).to_string(),
    )]);
    let folder = Folder::of(GUESTS);
    let arguments = with(asks(Format::OpenaiChat, &peer), &["?"]);
    let ended = run(without_keys(&folder, &arguments), "");
    let expected = format!(
        "error: the API at {}/v1/chat/completions answered 404: no model m\n",
        peer.url
    );
    assert_eq!((ended.status, ended.stderr), (1, expected));
    for (arguments, status) in [
        (&["agent", "--provider", "mcp", "?"][..], 2),
        (&["agent", "--base-url", "ftp://x", "?"], 1),
        (&["agent", "--temperature", "9", "?"], 2),
        (&["agent", "--base-url", "http://user:pass@x", "?"], 1),
        (&["agent", "--max-iterations", "0", "?"], 2),
        (&["agent", "?"], 1),
    ] {
        let ended = folder.run(arguments, "");
        assert_eq!(
            (ended.status, &*ended.stdout),
            (status, ""),
            "{arguments:?}"
        );
        assert!(!ended.stderr.contains("pass@"), "{}", ended.stderr);
    }
}

#[test]
fn json_tells_of_everything_a_line_each() {
    let events = [
        vec![event(
            json!({ "choices": [{ "index": 0, "delta": { "content": "Well" } }] }),
        )],
        chat_call(0, "a", "calculate", &json!({ "expression": "6*7" })),
        chat_call(1, "b", "fail", &json!({ "message": "no" })),
        chat_end("tool_calls"),
    ]
    .concat();
    let failure = Say::Whole(500, "retry-after: 0\r\n", "oops".to_owned());
    let peer = Peer::start(vec![
        failure,
        Say::Events(events),
        text(Format::OpenaiChat, "42"),
    ]);
    let folder = Folder::of(GUESTS);
    let arguments = with(asks(Format::OpenaiChat, &peer), &["--json", "?"]);
    let ended = run(without_keys(&folder, &arguments), "").answered();
    let lines = ended.lines();
    let mut kinds: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    // Which result comes first is nobody's to say, nor whether before the second call.
    kinds[3..7].sort_unstable();
    let first = [
        "turn", "retry", "text", "call", "call", "result", "result", "reply",
    ];
    let second = ["turn", "text", "reply", "answer", "summary"];
    assert_eq!(kinds, [&first[..], &second].concat());
    let of = |kind: &str| -> Vec<Value> {
        lines
            .iter()
            .filter(|line| line["event"] == kind)
            .cloned()
            .collect()
    };
    assert_eq!(
        of("call")[0],
        json!({ "event": "call", "number": 0, "id": "a", "name": "calculate",
            "arguments": "{\"expression\":\"6*7\"}" })
    );
    let failed = of("result")
        .into_iter()
        .find(|line| line["number"] == 1)
        .unwrap();
    assert_eq!(
        failed["result"]["error"],
        json!({ "code": "failed", "message": "no" })
    );
    assert!(failed["result"]["usage"]["run_ms"].is_number());
    assert_eq!(
        of("answer"),
        [json!({ "event": "answer", "text": "42", "stop": "end" })]
    );
    let summary = &of("summary")[0];
    assert_eq!(
        (&summary["turns"], &summary["calls"], &summary["errors"]),
        (&json!(2), &json!(2), &json!(1))
    );
}

#[test]
fn a_talk_goes_on_over_several_commands() {
    let peer = Peer::start(vec![
        text(Format::Anthropic, "one"),
        text(Format::Anthropic, "two"),
    ]);
    let folder = Folder::of(GUESTS);
    let command = |more: &[&str]| {
        run(
            without_keys(&folder, &with(asks(Format::Anthropic, &peer), more)),
            "",
        )
    };
    command(&["--transcript", "talk.jsonl", "first"]).answered();
    command(&["--transcript", "talk.jsonl", "first"]).failed("already exists");
    command(&["--resume", "talk.jsonl"]).failed("ends with an answer");
    assert_eq!(
        command(&["--resume", "talk.jsonl", "second"])
            .answered()
            .stdout,
        "two\n"
    );
    let messages = peer.asked()[1].body["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 3);
}

#[test]
fn tools_that_need_approval_are_refused_without_a_terminal() {
    for (more, content, says) in [
        (
            &["--approve"][..],
            "Error: optional failed - not permitted: the user did not allow this call",
            true,
        ),
        (&["--approve", "--yes"], "{}", false),
    ] {
        let turn = calls(
            Format::OpenaiChat,
            &[
                ("a", "optional", json!({})),
                ("b", "calculate", json!({ "expression": "1+1" })),
            ],
        );
        let peer = Peer::start(vec![turn, text(Format::OpenaiChat, "done")]);
        let folder = Folder::of(GUESTS);
        let arguments = with(asks(Format::OpenaiChat, &peer), &[more, &["?"]].concat());
        let ended = run(without_keys(&folder, &arguments), "");
        assert_eq!((ended.status, &*ended.stdout), (0, "done\n"));
        assert_eq!(
            ended.stderr.contains("refused optional"),
            says,
            "{}",
            ended.stderr
        );
        let messages = peer.asked()[1].body["messages"].clone();
        assert_eq!(
            (&messages[2]["content"], &messages[3]["content"]),
            (&json!(content), &json!("2"))
        );
    }
}

#[test]
fn an_interrupt_cancels_the_calls_and_a_second_one_quits() {
    let spin = |format| calls(format, &[("a", "spin", json!({}))]);
    let chat = Format::OpenaiChat;
    let peer = Peer::start(vec![spin(chat), text(chat, "as you wish")]);
    let folder = Folder::of(GUESTS);
    let begin = |peer: &Peer| {
        let arguments = with(asks(chat, peer), &["--json", "--no-stream", "?"]);
        let mut command = without_keys(&folder, &arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let interrupt = |child: &std::process::Child| {
        let kill = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    };
    let mut child = begin(&peer);
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""event":"call""#)));
    interrupt(&child);
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("as you wish")),
        "{rest:?}"
    );
    let told = &peer.asked()[1].body["messages"][2]["content"];
    assert_eq!(*told, "Error: spin failed - cancelled by the user");

    // Whoever interrupts again means the process: here the model never answers.
    let (_never, until) = Until::new();
    let peer = Peer::start(vec![spin(chat), Say::Late(chat_end("stop"), until)]);
    let mut child = begin(&peer);
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""event":"call""#)));
    interrupt(&child);
    assert!(lines.any(|line| line.contains(r#""event":"turn""#)));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// The binary on a terminal, with `script` (util-linux), and somebody who types.
pub fn on_a_terminal(
    folder: &Folder,
    arguments: &[String],
    typed: &[(&str, &str)],
) -> (i32, String) {
    let quoted: Vec<String> = arguments.iter().map(|it| format!("'{it}'")).collect();
    let program = env!("CARGO_BIN_EXE_toolhost");
    let mut command = without_keys(folder, &[]);
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("script");
    command
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(format!("stty cols 100; {program} {}", quoted.join(" ")))
        .arg("/dev/null")
        .current_dir(folder.path())
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("script runs");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, pieces) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = std::io::Read::read(&mut stdout, &mut buffer) {
            let _ = sender.send(buffer[..read].to_vec());
        }
    });
    let mut shown = Vec::new();
    let mut typed = typed.iter().peekable();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match pieces.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(piece) => shown.extend(piece),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(_) => {
                let _ = child.kill();
                panic!("it goes on: {}", String::from_utf8_lossy(&shown));
            }
        }
        let so_far = String::from_utf8_lossy(&shown);
        if let Some((_, answer)) = typed.next_if(|(prompt, _)| so_far.contains(prompt)) {
            writeln!(stdin, "{answer}").unwrap();
        }
    }
    let status = child.wait().unwrap().code().unwrap();
    (status, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn terminal_streams_text_and_prints_a_line_per_call() {
    let say =
        |text: &str| event(json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }));
    let turn = [
        vec![say("Let me "), say("see\u{1b}[31m.")],
        chat_call(0, "a", "sleep", &json!({ "ms": 300 })),
        chat_call(1, "b", "fail", &json!({ "message": "no" })),
        chat_end("tool_calls"),
    ]
    .concat();
    let answer = [vec![say("It is "), say("done.")], chat_end("stop")].concat();
    let peer = Peer::start(vec![Say::Events(turn), Say::Events(answer)]);
    let folder = Folder::of(GUESTS);
    let arguments = with(asks(Format::OpenaiChat, &peer), &["What?"]);
    let (status, shown) = on_a_terminal(&folder, &arguments, &[]);
    assert_eq!(status, 0, "{shown}");
    // By default it streams there.
    assert_eq!(peer.asked()[0].body["stream"], true);
    let plain = without_escapes(&shown);
    for part in [
        "Let me see\\u{1b}[31m.\n",
        "✗ fail {\"message\":\"no\"}",
        " failed\n",
        "✓ sleep {\"ms\":300}",
        " ok\n",
        "It is done.\n",
        "2 calls in ",
    ] {
        assert!(plain.contains(part), "no {part:?} in {plain:?}");
    }
    let at = |part: &str| plain.find(part).unwrap();
    assert!(at("Let me see") < at("✓ sleep") && at("✓ sleep") < at("It is done."));
}

#[test]
fn an_interrupt_on_a_terminal_leaves_no_line_of_what_was_awaited() {
    let (_never, until) = Until::new();
    let peer = Peer::start(vec![Say::Late(chat_end("stop"), until)]);
    let folder = Folder::of(GUESTS);
    let arguments = with(asks(Format::OpenaiChat, &peer), &["What?"]);
    let typed = [("waiting for the model", "\u{3}")];
    let (status, shown) = on_a_terminal(&folder, &arguments, &typed);
    assert_eq!(status, 130, "{shown}");
    let (_, after) = shown.rsplit_once("waiting for the model").unwrap();
    assert!(after.contains("\u{1b}[2K"), "it is still there: {shown:?}");
}

#[test]
fn on_a_terminal_one_is_asked_and_answers() {
    let turn = || {
        calls(
            Format::OpenaiChat,
            &[
                ("a", "optional", json!({ "text": "\u{1b}[2J sly" })),
                ("b", "id", json!({})),
                ("c", "id", json!({})),
            ],
        )
    };
    let peer = Peer::start(vec![turn(), text(Format::OpenaiChat, "done")]);
    let folder = Folder::of(GUESTS);
    let arguments = with(
        asks(Format::OpenaiChat, &peer),
        &["--approve", "--no-stream", "?"],
    );
    let typed = [
        ("[a]lways allow optional: ", "what?"),
        ("[a]lways allow optional: what?", "n"),
        ("[a]lways allow id: ", "a"),
    ];
    let (status, shown) = on_a_terminal(&folder, &arguments, &typed);
    assert_eq!(status, 0, "{shown}");
    assert!(
        shown.contains("Allow optional from plugin misbehave?"),
        "{shown}"
    );
    let messages = peer.asked()[1].body["messages"].clone();
    let texts: Vec<&str> = (2..5)
        .map(|at| messages[at]["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "Error: optional failed - not permitted: the user did not allow this call",
            "b",
            "c"
        ]
    );
    assert_eq!(shown.matches("Allow id from").count(), 1, "{shown}");
}

/// A call whose arguments are spelled like this.
fn spelled(name: &str, arguments: &str) -> Say {
    let mut body = calls_body(Format::OpenaiChat, &[("a", name, json!({}))]);
    let call = &mut body["choices"][0]["message"]["tool_calls"][0];
    call["function"]["arguments"] = json!(arguments);
    Say::Whole(200, "", body.to_string())
}

#[test]
fn what_is_asked_about_is_shown_whatever_way_it_is_spelled() {
    let blanks = " ".repeat(5000);
    let long = "A harmless note. ".repeat(400);
    let cases = [
        format!(r#"{{"content":"hi",{blanks}"p\u0061th":"/w/\u0065vil\u202e.txt"}}"#),
        format!(r#"{{"content":"{long}","path":"/w/evil\u202e.txt"}}"#),
        format!(
            "{{\"content\":\"hi\",{}\"path\":\"/w/evil\u{202e}.txt\"}}",
            "\n".repeat(50)
        ),
    ];
    for arguments in cases {
        let script = vec![
            spelled("raw_arguments", &arguments),
            text(Format::OpenaiChat, "done"),
        ];
        let peer = Peer::start(script);
        let folder = Folder::of(GUESTS);
        let options = with(
            asks(Format::OpenaiChat, &peer),
            &["--approve", "--no-stream", "?"],
        );
        let typed = [("[a]lways allow raw_arguments: ", "n")];
        let (status, shown) = on_a_terminal(&folder, &options, &typed);
        assert_eq!(status, 0, "{shown}");
        let plain = without_escapes(&shown);
        let (_, question) = plain
            .split_once("Allow raw_arguments from")
            .expect("it asks");
        let path = "\n    \"path\": \"/w/evil\\u202e.txt\"\n  }\n";
        assert!(question.contains(path), "{question}");
        let says_how_much = question.contains(" … 5800 more characters … ");
        assert_eq!(says_how_much, arguments.contains("harmless"), "{question}");
    }
}

#[test]
fn what_was_typed_before_the_question_is_no_answer_to_it() {
    let turn = calls(
        Format::OpenaiChat,
        &[("a", "optional", json!({})), ("b", "id", json!({}))],
    );
    let peer = Peer::start(vec![turn, text(Format::OpenaiChat, "done")]);
    let folder = Folder::of(GUESTS);
    let arguments = with(
        asks(Format::OpenaiChat, &peer),
        &["--approve", "--no-stream", "?"],
    );
    // The second and third lines come with the first, before there is a question that they could answer.
    let typed = [
        ("[a]lways allow optional: ", "y\ny\ny\n"),
        ("[a]lways allow id: ", "n"),
    ];
    let (status, shown) = on_a_terminal(&folder, &arguments, &typed);
    assert_eq!(status, 0, "{shown}");
    let messages = peer.asked()[1].body["messages"].clone();
    let texts = [&messages[2]["content"], &messages[3]["content"]];
    let denied = "Error: id failed - not permitted: the user did not allow this call";
    assert_eq!(texts, ["{}", denied], "{shown}");
}

/// What a terminal shows: without what moves its cursor, lines ended in one way.
fn without_escapes(shown: &str) -> String {
    let mut plain = String::new();
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    while chars.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                    chars.next();
                }
            }
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The plugins are reloaded while the model thinks: its next turn has the new ones.
#[test]
fn plugins_dropped_in_meanwhile_are_offered_in_the_next_turn() {
    let format = Format::OpenaiChat;
    let (go, until) = Until::new();
    let call = chat_call(0, "a", "echo", &json!({ "text": "hi" }));
    let first = Say::Late([call, chat_end("tool_calls")].concat(), until);
    let next = calls(
        format,
        &[("b", "calculate", json!({ "expression": "6 * 7" }))],
    );
    let peer = Peer::start(vec![first, next, text(format, "done")]);
    let folder = Folder::with(format!(
        "plugin-dir = 'plugins'\n{}",
        crate::common::binary::listed("echo")
    ));
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let arguments = with(asks(format, &peer), &["--stream", "What is 6 * 7?"]);
    let mut child = without_keys(&folder, &arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    crate::common::wait_until("the first request", || peer.asked().len() == 1);
    let bytes = std::fs::read(crate::common::guest("calculator")).unwrap();
    let whole = folder.write("new", bytes);
    std::fs::rename(whole, folder.path().join("plugins/calculator.wasm")).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("reloaded "), "{said}");
    go.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    let asked = peer.asked();
    let offers = |at: usize| asked[at].body["tools"].to_string().contains("calculate");
    assert_eq!([offers(0), offers(1)], [false, true]);
    let answer = asked[2].body["messages"].to_string();
    assert!(answer.contains("42"), "{answer}");
}
