//! What a client is told while its call runs: progress, and log lines.

use serde_json::{Value, json};

use crate::client::{Client, New, Old};
use crate::server::Http;

/// Calls with a token, and has what came before the result.
#[track_caller]
fn progress(client: &mut Client, token: Value, tool: &str, arguments: Value) -> Vec<Value> {
    client.meta = json!({ "progressToken": token });
    let id = client.start(tool, arguments);
    let mut told = Vec::new();
    loop {
        let message = client.take("progress or an answer", |_| true);
        if message["id"] == id {
            assert!(message.get("result").is_some(), "{message}");
            assert_ne!(message["result"]["isError"], true, "{message}");
            break;
        }
        assert_eq!(message["method"], "notifications/progress", "{message}");
        told.push(message["params"].clone());
    }
    // Once everything that was sent before another answer has come.
    client.meta = json!({});
    client.text("echo", json!({ "text": "" }));
    assert_eq!(client.so_far("notifications/progress"), [Value::Null; 0]);
    told
}

/// Every way that a client can be connected.
fn everywhere(check: impl Fn(&mut Client, bool)) {
    let server = Http::start();
    for revision in [Old, New] {
        check(&mut Client::alone(revision, json!({})), revision == New);
        check(
            &mut Client::http(&server, revision, json!({})),
            revision == New,
        );
    }
}

#[test]
fn progress_only_grows_however_often_a_tool_goes_backwards() {
    everywhere(|client, _| {
        for token in [json!("a token"), json!(7)] {
            let told = progress(client, token.clone(), "many_progress", json!({ "n": 100 }));
            let done: Vec<f64> = told
                .iter()
                .map(|told| told["progress"].as_f64().unwrap())
                .collect();
            assert!(done.is_sorted_by(|a, b| a < b), "{done:?}");
            assert_eq!(done.first(), Some(&0.0));
            assert!(done.len() > 1, "{done:?}");
            for told in &told {
                assert_eq!(told["progressToken"], token);
                assert_eq!(told["total"], 100.0);
                assert!(told.get("message").is_none(), "{told}");
            }
        }
    });
}

#[test]
fn progress_says_what_the_tool_says_and_nothing_without_a_token() {
    everywhere(|client, _| {
        let told = progress(client, json!("p"), "test_tool_with_progress", json!({}));
        let told: Vec<_> = told
            .iter()
            .map(|told| (told["progress"].as_f64().unwrap(), &told["message"]))
            .collect();
        assert_eq!(
            told,
            [
                (0.0, &json!("Starting")),
                (50.0, &json!("Halfway")),
                (100.0, &json!("Complete"))
            ]
        );
        client.text("test_tool_with_progress", json!({}));
        assert_eq!(client.so_far("notifications/progress"), [Value::Null; 0]);
    });
}

/// The levels and texts that a call logs.
#[track_caller]
fn logged(client: &mut Client) -> Vec<(String, String)> {
    client.text("test_logging_tool", json!({}));
    let told = client.so_far("notifications/message");
    told.iter()
        .map(|told| {
            let params = &told["params"];
            assert_eq!(params["logger"], "test_logging_tool", "{told}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&params["level"]), text(&params["data"]))
        })
        .collect()
}

const LINES: [(&str, &str); 5] = [
    ("debug", "a debug line"),
    ("info", "an info line"),
    ("notice", "a notice line"),
    ("warning", "a warning line"),
    ("error", "an error line"),
];

/// The lines from a level on; there are none above.
fn from(level: &str) -> Vec<(String, String)> {
    const ABOVE: [&str; 3] = ["critical", "alert", "emergency"];
    let at = match ABOVE.contains(&level) {
        true => LINES.len(),
        false => LINES.iter().position(|(name, _)| *name == level).unwrap(),
    };
    LINES[at..]
        .iter()
        .map(|(level, text)| ((*level).to_owned(), (*text).to_owned()))
        .collect()
}

const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

#[test]
fn a_session_has_the_log_lines_from_the_level_that_it_sets() {
    let server = Http::start();
    let mut clients = [
        Client::alone(Old, json!({})),
        Client::http(&server, Old, json!({})),
    ];
    let mut other = Client::http(&server, Old, json!({}));
    for client in &mut clients {
        assert_eq!(logged(client), from("info"), "before it said anything");
        for level in LEVELS {
            client.result("logging/setLevel", json!({ "level": level }));
            assert_eq!(logged(client), from(level), "{level}");
        }
        let error = client.error("logging/setLevel", json!({ "level": "loud" }));
        assert_eq!(error["code"], -32602, "{error}");
        assert_eq!(logged(client), from("emergency"), "as before");
    }
    assert_eq!(logged(&mut other), from("info"), "another session's level");
}

#[test]
fn stateless_request_gets_only_the_log_level_it_asks_for() {
    let server = Http::start();
    let mut clients = [
        Client::alone(New, json!({})),
        Client::http(&server, New, json!({})),
    ];
    for client in &mut clients {
        assert_eq!(logged(client), []);
        for level in LEVELS {
            client.meta = json!({ "io.modelcontextprotocol/logLevel": level });
            assert_eq!(logged(client), from(level), "{level}");
        }
        client.meta = json!({});
        assert_eq!(logged(client), []);
        let error = client.error("logging/setLevel", json!({ "level": "debug" }));
        assert_eq!(error["code"], -32601, "{error}");
        assert_eq!(logged(client), []);
    }
}
