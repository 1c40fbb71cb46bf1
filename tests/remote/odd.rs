//! Servers that are odd in ways of their own: `odd.py`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolhost::tool::{Content, Media, OUTPUT_MISMATCH};
use toolhost::{
    CallError, CallOptions, CancellationToken, CodeCache, Loader, Manifest, NarrowError, Narrowing,
    Progress, ToolHost, Watcher,
};

use super::wait_until_gone;
use crate::common::binary::Folder;
use crate::common::{call, error, in_time, root, text};
use toolhost_testing::needs;

/// A folder with a manifest that has `odd.py` in that mode behind `[mcp.x]`.
struct Odd {
    folder: Folder,
    mode: String,
    more: String,
}

impl Odd {
    fn new(mode: &str, more: &str) -> Odd {
        Odd {
            folder: Folder::empty(),
            mode: mode.to_owned(),
            more: more.to_owned(),
        }
    }

    async fn try_load(&self) -> Result<ToolHost, toolhost::LoadError> {
        let server = root().join("tests/remote/odd.py");
        let state = self.folder.path().join("state");
        let args = [
            server.to_str().unwrap(),
            state.to_str().unwrap(),
            &self.mode,
        ];
        let more = &self.more;
        let manifest = format!("[mcp.x]\ncommand = 'python3'\nargs = {args:?}\n{more}");
        let manifest = Manifest::read(self.folder.write("toolhost.toml", manifest)).unwrap();
        let cache = CodeCache::Folder(self.folder.path().join("cache"));
        Loader::new(manifest).code_cache(cache).load().await
    }

    async fn load(&self) -> ToolHost {
        let host = self.try_load().await;
        host.unwrap_or_else(|error| panic!("{}: {error}", self.mode))
    }

    /// The messages that the server got, and its starts.
    fn got(&self) -> Vec<String> {
        let state = std::fs::read_to_string(self.folder.path().join("state"));
        state
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn count(&self, word: &str) -> usize {
        let got = self.got();
        got.iter()
            .filter(|it| it.split(' ').next() == Some(word))
            .count()
    }

    async fn until(&self, word: &str, count: usize) {
        let first = |line: String| line.split(' ').next().map(str::to_owned);
        let words = || self.got().into_iter().filter_map(first).collect();
        super::wait_for_line(word, count, words).await;
    }
}

async fn called(mode: &str) -> toolhost::ToolResult {
    let host = Odd::new(mode, "").load().await;
    host.call(call("t", json!({}))).await
}

#[tokio::test]
async fn messages_are_read_however_they_are_written() {
    needs!(python);
    for mode in [
        "no-jsonrpc",
        "both-members",
        "float-ids",
        "indented",
        "byte-order-mark",
        "bare-initialize",
        "empty-cursor",
        "foreign-token",
    ] {
        assert_eq!(text(&called(mode).await), "fine", "{mode}");
    }
    let result = called("batch-with-log").await;
    assert_eq!(text(&result), "fine");
    assert_eq!(result.log[0].text, "in a batch");
}

#[tokio::test]
async fn a_server_without_initialize_is_found_out_and_remembered() {
    needs!(python);
    for mode in ["modern", "modern-exits", "modern-odd"] {
        let odd = Odd::new(mode, "");
        for _ in 0..2 {
            let host = odd.load().await;
            assert_eq!(
                text(&host.call(call("t", json!({}))).await),
                "fine",
                "{mode}"
            );
        }
        // Once it is asked in vain, and has a process for it.
        assert_eq!(odd.count("initialize"), 1, "{mode}");
        assert_eq!(odd.count("start"), 3, "{mode}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_a_guess() {
    needs!(python);
    let odd = Odd::new("", "");
    let host = odd.load().await;
    drop(host);
    // Beside the files of tools.
    let protocol = |odd: &Odd| {
        let files = std::fs::read_dir(odd.folder.path().join("cache-tools")).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_none())
    };
    assert_eq!(
        protocol(&odd),
        None,
        "what is tried first is not remembered"
    );
    let modern = Odd::new("modern", "");
    modern.load().await;
    let file = protocol(&modern).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "2026-07-28");
    // Whatever is there instead: nonsense, much of it, a folder, a link that never ends.
    for _ in 0..2 {
        std::fs::write(&file, "9".repeat(1 << 20)).unwrap();
        modern.load().await;
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        modern.load().await;
        std::fs::remove_file(&file).unwrap();
    }
    std::fs::create_dir(&file).unwrap();
    modern.load().await;
    std::fs::remove_dir(&file).unwrap();
    // What it spoke once it may not speak now.
    let odd = Odd::new("", "");
    odd.load().await;
    let modern = Odd::new("modern", "");
    modern.load().await;
    std::fs::write(&file, "2024-11-05").unwrap();
    let host = modern.load().await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "fine");
}

#[tokio::test]
async fn a_server_that_knows_one_old_version_is_asked_for_it() {
    needs!(python);
    let odd = Odd::new("one-version", "");
    let host = odd.load().await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "fine");
    let by_hand = Odd::new("one-version", "protocol = '2024-11-05'");
    by_hand.load().await;
    assert_eq!(by_hand.count("start"), 1);
    // What is decided by hand is all that is tried.
    let wrong = Odd::new("one-version", "protocol = '2025-06-18'");
    let problem = wrong.try_load().await.unwrap_err().to_string();
    assert!(
        problem.contains("Unsupported protocol version"),
        "{problem}"
    );
    assert_eq!(wrong.count("start"), 1);
}

#[tokio::test]
async fn a_server_that_is_slow_to_start_is_not_taken_for_a_silent_one() {
    needs!(python);
    let odd = Odd::new("slow-start", "");
    let host = odd.load().await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "fine");
    assert_eq!(odd.count("start"), 1);
}

#[tokio::test]
async fn results_are_taken_as_they_are_written() {
    needs!(python);
    for (mode, expected) in [
        ("tool-result", "of old"),
        ("text-content", "only text"),
        ("one-content", "no list"),
        (
            "json-content",
            "{\"type\":\"json\",\"json\":{\"a\":1}}\nb\nc",
        ),
        ("null-members", "fine"),
        ("list-structured", "[1, 2]"),
        ("big-number", "12345678901234567890123"),
    ] {
        assert_eq!(text(&called(mode).await), expected, "{mode}");
    }
    let bad = text(&called("bad-image").await);
    assert!(bad.starts_with("see\n{") && bad.contains("%%%"), "{bad}");
    let output = called("data-url").await.outcome.unwrap();
    let png = Media::new(b"\x89PNG!", "image/png");
    assert_eq!(output.content, [Content::Image(png)]);
    let output = called("output-schema").await.outcome.unwrap();
    assert_eq!(output.content[0], Content::Text("all in words".to_owned()));
    assert!(output.meta.unwrap().contains_key(OUTPUT_MISMATCH));
}

#[tokio::test]
async fn errors_of_every_shape_say_what_they_said() {
    needs!(python);
    for (mode, expected) in [
        ("text-error", "no paper"),
        ("text-code", "E_PAPER: no paper"),
        ("error-without-id", "no paper"),
        ("only-error", "{\"why\": \"full\"}"),
        ("error-in-data", "{\"detail\":\"quota\"}"),
        ("null-message", "quota"),
    ] {
        let message = expected.to_owned();
        let result = called(mode).await;
        assert_eq!(error(&result), &CallError::Failed { message }, "{mode}");
    }
}

#[tokio::test]
async fn a_failure_is_none_the_less_one_for_how_it_is_marked() {
    needs!(python);
    for mode in [
        "error-as-text",
        "error-as-number",
        "error-in-snake-case",
        "error-beside-result",
    ] {
        let message = "disk full".to_owned();
        let result = called(mode).await;
        assert_eq!(error(&result), &CallError::Failed { message }, "{mode}");
    }
    for mode in ["no-error-as-text", "empty-error-beside-result"] {
        assert_eq!(text(&called(mode).await), "fine", "{mode}");
    }
    let lost = error(&called("task-without-id").await).to_string();
    assert!(lost.contains("without an id"), "{lost}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_ends_its_call_at_once() {
    needs!(python);
    let cannot = "cannot parse the answer of its MCP server: ";
    for (mode, why) in [
        ("bad-utf-8", "invalid unicode code point"),
        ("bad-control", "control character"),
        ("bad-json", "key must be a string"),
        ("null-error", "it has neither a result nor an error"),
    ] {
        let host = Odd::new(mode, "timeout = '20s'").load().await;
        let result = host.call(call("t", json!({}))).await;
        let problem = error(&result).to_string();
        let said = problem.strip_prefix(cannot);
        assert!(said.is_some_and(|it| it.starts_with(why)), "{problem}");
    }
    for mode in ["method-beside-result", "banners"] {
        assert_eq!(text(&called(mode).await), "fine", "{mode}");
    }
    let output = called("nan").await.outcome.unwrap();
    assert_eq!(output.content, [Content::Text("NaN".to_owned())]);
    assert_eq!(output.meta.unwrap()["x"], Value::Null);
    let result = called("two-on-a-line").await;
    assert_eq!(text(&result), "fine");
    assert_eq!(result.log[0].text, "beside");
}

#[tokio::test]
async fn half_a_character_costs_nothing_but_itself() {
    needs!(python);
    let output = called("half-character").await.outcome.unwrap();
    let texts = ["a", "b\u{fffd} \\ud800 😀"];
    let texts = texts.map(|text| Content::Text(text.to_owned()));
    assert_eq!(output.content, texts);
    assert_eq!(output.meta.unwrap()["x"], "\u{fffd}");
    let result = called("half-character-error").await;
    let message = "no file b\u{fffd}".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    let host = Odd::new("half-character-listed", "").load().await;
    let tool = host.tools().next().unwrap();
    assert_eq!(tool.description, "Reads b\u{fffd}.");
    // Whatever else cannot be read is not taken for nothing.
    let shown = text(&called("too-deep").await);
    assert!(shown.starts_with("[[["), "{shown}");
}

#[tokio::test]
async fn one_bad_tool_never_costs_another() {
    needs!(python);
    let host = Odd::new("schemas", "").load().await;
    let names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    assert_eq!(
        names,
        [
            "required_null",
            "properties_list",
            "deep_null",
            "no_schema",
            "null_schema",
            "empty_schema",
            "boolean_schemas",
            "bad_output",
            "python_types",
            "required_inside",
            "required_of_one",
            "bare_types",
            "ok"
        ]
    );
    for name in names {
        let given = match name.starts_with("required_") {
            true => json!({ "a": "a", "b": "b" }),
            false => json!({}),
        };
        let result = host.call(call(name, given)).await;
        assert_eq!(text(&result), "fine", "{name}");
    }
    // What a property's schema should be is not lost, nor is which there must be.
    for (name, given) in [
        ("required_inside", json!({})),
        ("required_of_one", json!({ "b": 1 })),
        ("required_of_one", json!({ "a": "a" })),
        ("bare_types", json!({ "city": [] })),
        ("bare_types", json!({ "count": "many" })),
        ("bare_types", json!({ "n": "many" })),
    ] {
        let wrong = host.call(call(name, given.clone())).await;
        let is_wrong = matches!(error(&wrong), CallError::InvalidArguments { .. });
        assert!(is_wrong, "{name} {given}: {wrong:?}");
    }
    let bare = host.tools().find(|tool| tool.name == "bare_types").unwrap();
    assert_eq!(
        bare.input_schema["properties"],
        json!({ "city": { "type": "string" }, "n": { "type": "integer" }, "count": { "type": "integer" },
                "size": true, "required": true })
    );
    // A type by another name is still that type.
    let wrong = host
        .call(call("python_types", json!({ "a": "many" })))
        .await;
    assert!(matches!(error(&wrong), CallError::InvalidArguments { .. }));
    let said: BTreeMap<String, String> = host.left_out().map(|(_, it)| (it.tool, it.why)).collect();
    let expected = [
        (
            "bare_types",
            "is offered with a repaired schema: `city` was given the type string; `count` was given the type \
             integer; `size` has no schema, so it accepts any value",
        ),
        (
            "required_inside",
            "is offered with a repaired schema: `required` was moved out",
        ),
        ("bad_output", "is offered without its output schema"),
        ("bad_type", "is skipped, as it cannot be checked"),
        ("takes_list", "is skipped, as it can never be called"),
        ("text_schema", "is skipped, as it cannot be checked"),
        (
            "too_deep",
            "is skipped, as it cannot be read: recursion limit",
        ),
        ("", "is skipped, as it has no name"),
    ];
    for (tool, why) in expected {
        assert!(said[tool].starts_with(why), "{tool}: {said:?}");
    }
    assert!(said.contains_key(""), "{said:?}");
}

#[tokio::test]
async fn the_schemas_of_a_server_are_bounded_in_all() {
    needs!(python);
    for (mode, bound) in [
        ("long-schemas", "of the 4194304 for all tools of a server"),
        ("many-schemas", "of the 100000 for all tools of a server"),
    ] {
        let host = Odd::new(mode, "max-output = '3MiB'").load().await;
        let names: Vec<String> = host.tools().map(|tool| tool.name.clone()).collect();
        assert_eq!(names.last().unwrap(), "ok", "{mode}");
        let left_out: Vec<_> = host.left_out().collect();
        assert!(
            !left_out.is_empty() && names.len() > 10,
            "{mode}: {names:?}"
        );
        for (server, note) in left_out {
            assert_eq!(server.name, "x");
            assert!(note.why.contains(bound), "{}: {}", note.tool, note.why);
        }
        assert_eq!(text(&host.call(call("ok", json!({}))).await), "fine");
    }
    // One that is asked for is an error, which names it.
    let wanted = "max-output = '3MiB'\ntools = ['t0', 't19']";
    let host = Odd::new("many-schemas", wanted).load().await;
    assert_eq!(host.tools().count(), 2);
    let all: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let wanted = format!("max-output = '3MiB'\ntools = {all:?}");
    let problem = Odd::new("many-schemas", &wanted).try_load().await;
    let problem = problem.unwrap_err().to_string();
    assert!(
        problem.contains("`mcp.x`: tool \"t14\" has schemas with"),
        "{problem}"
    );
}

#[tokio::test]
async fn no_tool_takes_the_name_of_another() {
    needs!(python);
    let host = Odd::new("collide", "").load().await;
    let names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names[1], "a_b_2e7336dc");
    assert!(names[0].starts_with("a_b_2e7336dc") && names[0] != names[1]);
}

#[tokio::test]
async fn meta_of_calls_is_handed_on_but_for_what_is_the_protocols() {
    needs!(python);
    let host = Odd::new("meta", "").load().await;
    let mut asked = call("t", json!({}));
    let meta = json!({ "traceparent": "00-1", "mine/x": { "a": 1 }, "progressToken": "theirs",
        "io.modelcontextprotocol/clientInfo": { "name": "a" } });
    asked.meta = Some(Box::new(meta.as_object().unwrap().clone()));
    let result = host.call(asked).await;
    let mut got: Value = serde_json::from_str(&text(&result)).unwrap();
    let token = got.as_object_mut().unwrap().remove("progressToken");
    assert!(token.unwrap().is_number());
    assert_eq!(got, json!({ "traceparent": "00-1", "mine/x": { "a": 1 } }));
    assert_eq!(result.outcome.unwrap().meta.unwrap()["trace"], "t1");
}

#[tokio::test]
async fn idempotency_key_is_sent_and_a_repeat_stays_here() {
    needs!(python);
    let host = Odd::new("meta", "").load().await;
    let options = CallOptions::new().idempotency_key("k-1");
    let result = host.call_with(call("t", json!({})), &options).await;
    let got: Value = serde_json::from_str(&text(&result)).unwrap();
    assert_eq!(got["toolhost/idempotency-key"], "k-1", "{got}");
    // Each request has a token of its own for its progress.
    let again = host.call_with(call("t", json!({})), &options).await;
    assert_eq!(text(&again), text(&result));
}

#[tokio::test]
async fn a_server_is_not_narrowed_as_nobody_would_see_to_it() {
    needs!(python);
    let host = Odd::new("meta", "").load().await;
    let server = host.servers().next().unwrap().name.clone();
    let narrowing = Narrowing::new().folder(server, "/notes", "/tmp");
    let refused = host.narrow(narrowing).map(drop).unwrap_err();
    assert!(
        matches!(refused, NarrowError::NotEnforceable { .. }),
        "{refused}"
    );
    // For others' calls it is as it was.
    let options =
        CallOptions::new().narrowed(&host.narrow(Narrowing::new().client("alice")).unwrap());
    text(&host.call_with(call("t", json!({})), &options).await);
}

#[derive(Default)]
struct Seen(Mutex<Vec<Progress>>);

impl Watcher for Seen {
    fn progressed(&self, progress: &Progress) {
        self.0.lock().unwrap().push(progress.clone());
    }
}

#[tokio::test]
async fn tasks_of_either_form_are_waited_for_and_their_states_are_progress() {
    needs!(python);
    for mode in ["task-new", "task-required"] {
        let odd = Odd::new(mode, "");
        let host = odd.load().await;
        let seen = Arc::new(Seen::default());
        let options = CallOptions::new().watcher(seen.clone());
        let result = host.call_with(call("t", json!({})), &options).await;
        assert_eq!(text(&result), "baked", "{mode}");
        let seen = seen.0.lock().unwrap();
        let messages: Vec<_> = seen.iter().filter_map(|it| it.message.clone()).collect();
        assert_eq!(messages, ["step 1", "step 2"], "{mode}");
        assert_eq!(odd.count("tasks/get"), 3);
        assert_eq!(odd.count("tasks/cancel"), 0);
    }
    // Only what has to be a task is one.
    let host = Odd::new("task-required", "").load().await;
    let result = host.call(call("plain", json!({}))).await;
    assert_eq!(text(&result), "as a task: False");
}

#[tokio::test]
async fn a_task_that_comes_to_nothing_says_why() {
    needs!(python);
    for (mode, expected) in [
        ("task-failed", "the oven is cold"),
        (
            "task-cancelled",
            "its server cancelled the task: it was too late",
        ),
        (
            "task-asks",
            "cannot ask the question \"a\" of its server: unknown elicitation mode: \"?\"",
        ),
    ] {
        let message = expected.to_owned();
        let result = called(mode).await;
        assert_eq!(error(&result), &CallError::Failed { message }, "{mode}");
    }
}

#[tokio::test]
async fn a_task_is_cancelled_with_its_call() {
    needs!(python);
    let odd = Odd::new("task-endless", "timeout = '500ms'");
    let host = odd.load().await;
    let result = host.call(call("t", json!({}))).await;
    assert!(matches!(error(&result), CallError::Timeout { .. }));
    odd.until("tasks/cancel", 1).await;
    let odd = Odd::new("task-endless", "");
    let host = odd.load().await;
    let token = CancellationToken::new();
    let options = CallOptions::new().cancellation(token.clone());
    let calls = host.call_with(call("t", json!({})), &options);
    let cancels = async {
        odd.until("tasks/get", 2).await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(calls, cancels);
    assert_eq!(error(&result), &CallError::Cancelled);
    odd.until("tasks/cancel", 1).await;
}

#[tokio::test]
async fn idle_timeout_ends_silent_calls_only() {
    needs!(python);
    let host = Odd::new("ticking", "idle-timeout = '1s'").load().await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "done");
    let odd = Odd::new("silent-call", "idle-timeout = '500ms'");
    let host = odd.load().await;
    let result = in_time(host.call(call("t", json!({})))).await;
    let after = Duration::from_millis(500);
    assert_eq!(error(&result), &CallError::Timeout { after });
    assert!(result.log[0].text.contains("`idle-timeout`"), "{result:?}");
}

#[tokio::test]
async fn a_progress_token_may_come_back_as_text() {
    needs!(python);
    let host = Odd::new("text-token", "").load().await;
    let seen = Arc::new(Seen::default());
    let options = CallOptions::new().watcher(seen.clone());
    let result = host.call_with(call("t", json!({})), &options).await;
    assert_eq!(text(&result), "done");
    assert_eq!(seen.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn changed_tools_are_listed_again_and_known_to_a_renewed_host() {
    needs!(python);
    let odd = Odd::new("list-changed", "");
    let host = odd.load().await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "changed");
    host.tools_changed().await;
    let renewed = host.renewed();
    let names: Vec<&str> = renewed.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["t", "more"]);
    // Whoever still has the old list is told what became of its tool.
    let result = host.call(call("ok", json!({}))).await;
    let message = "its MCP server `x` no longer offers it".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    assert_eq!(text(&renewed.call(call("more", json!({}))).await), "fine");
}

#[tokio::test]
async fn changes_are_subscribed_to_where_servers_tell_of_them_only_then() {
    needs!(python);
    let odd = Odd::new("modern-changes", "");
    let host = odd.load().await;
    odd.until("subscriptions/listen", 1).await;
    assert_eq!(text(&host.call(call("t", json!({}))).await), "changed");
    host.tools_changed().await;
    let renewed = host.renewed();
    let names: Vec<&str> = renewed.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["t", "more"]);
}

#[tokio::test]
async fn a_storm_of_changes_is_listed_few_times() {
    needs!(python);
    let odd = Odd::new("list-storm", "");
    let host = odd.load().await;
    for _ in 0..3 {
        assert_eq!(text(&host.call(call("t", json!({}))).await), "changed");
    }
    host.tools_changed().await;
    let listed = odd.count("tools/list");
    assert!((2..=6).contains(&listed), "{listed}");
}

#[tokio::test]
async fn a_host_that_is_gone_leaves_no_follower_behind() {
    needs!(python);
    let odd = Odd::new("list-changed", "");
    let host = odd.load().await;
    let process = odd.got()[0].strip_prefix("start ").unwrap().to_owned();
    let result = host.call(call("t", json!({}))).await;
    drop(host);
    assert_eq!(text(&result), "changed");
    wait_until_gone(&[process]);
}
