//! Order: calls that change something run alone, in the order of the message, whoever else calls.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use toolhost::input::{Question, QuestionKind, QuestionKinds, Reply};
use toolhost::manifest::{Manifest, Order, PluginConfig};
use toolhost::permissions::{Access, FileGrant};
use toolhost::{
    CallError, CallOptions, CancellationToken, Responder, ToolCall, ToolHost, ToolResult,
};
use toolhost_testing::{Gate, wait_until};

use crate::common::binary::Folder;
use crate::common::{call, echo, error, guest, load, manifest, plugin, text};

fn grant(host: &Path, access: Access) -> FileGrant {
    FileGrant::new(host, "/w").with_access(access)
}

/// A plugin that is granted a folder as `/w`.
fn with_folder(name: &str, folder: &Path, access: Access) -> PluginConfig {
    let mut plugin = plugin(name);
    plugin.permissions.files = vec![grant(folder, access)];
    plugin
}

fn filesystem(folder: &Path) -> PluginConfig {
    with_folder("filesystem", folder, Access::ReadWrite)
}

/// Takes its time, and could change the folder meanwhile.
fn slow(folder: &Path) -> PluginConfig {
    with_folder("misbehave", folder, Access::ReadWrite)
}

/// The same, whose calls can be held.
fn held(gate: &Gate, folder: &Path) -> PluginConfig {
    let mut plugin = gate.plugin();
    plugin.permissions.files = vec![grant(folder, Access::ReadWrite)];
    plugin
}

fn sleep(id: &str, ms: u64) -> ToolCall {
    ToolCall::new(id, "sleep", json!({ "ms": ms }).to_string())
}

fn write(id: &str, path: &str, content: &str) -> ToolCall {
    let arguments = json!({"path": path, "content": content, "if_exists": "append"});
    ToolCall::new(id, "fs_write", arguments.to_string())
}

fn read(id: &str, path: &str) -> ToolCall {
    ToolCall::new(id, "fs_read", json!({ "path": path }).to_string())
}

fn edit(id: &str, path: &str, old: &str, new: &str) -> ToolCall {
    let arguments = json!({"path": path, "old": old, "new": new});
    ToolCall::new(id, "fs_edit", arguments.to_string())
}

/// The id of the next result.
async fn next(batch: &mut (impl StreamExt<Item = (usize, ToolResult)> + Unpin)) -> String {
    let (_, result) = batch.next().await.expect("a result");
    result.id.expect("each has an id")
}

/// The ids of results in the order in which they complete.
async fn completed(host: &ToolHost, calls: Vec<ToolCall>) -> Vec<String> {
    let results = host.run(calls).map(|(_, result)| result.id.unwrap());
    results.collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn edits_of_one_large_file_in_one_answer_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.txt");
    let marks: Vec<String> = (0..4).map(|number| format!("<mark {number}>")).collect();
    let mut large = "0123456789abcde\n".repeat(400_000);
    large.push_str(&marks.join("\n"));
    fs::write(&path, &large).unwrap();
    let mut plugin = filesystem(folder.path());
    plugin.limits.timeout = Duration::from_secs(120);
    let host = load(manifest([plugin])).await;
    let edits = marks
        .iter()
        .map(|mark| edit(mark, "large.txt", mark, &format!("{mark} done")));
    for result in host.run_all(edits).await {
        text(&result);
    }
    let edited = fs::read_to_string(&path).unwrap();
    for mark in &marks {
        assert!(edited.contains(&format!("{mark} done")), "{mark} is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_sees_the_writes_before_it_and_none_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = load(manifest([filesystem(folder.path())])).await;
    for _ in 0..20 {
        let path = folder.path().join("a.txt");
        let _ = fs::remove_file(&path);
        let calls = [
            write("w1", "a.txt", "one\n"),
            read("r1", "a.txt"),
            write("w2", "a.txt", "two\n"),
            read("r2", "a.txt"),
        ];
        let results = host.run_all(calls).await;
        assert_eq!(text(&results[1]), "one\n");
        assert_eq!(text(&results[3]), "one\ntwo\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn plugins_whose_folders_overlap_share_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let mut reader = with_folder("filesystem", &below, Access::ReadOnly);
    reader.name = "reader".to_owned();
    reader.prefix = "below_".to_owned();
    reader.permissions.files[0].allow_nested = true;
    // The same folder by another name.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let host = load(manifest([filesystem(&link), reader])).await;
    for round in 0..10 {
        let name = format!("{round}.txt");
        let below = json!({ "path": name }).to_string();
        let calls = [
            write("w", &format!("below/{name}"), "there"),
            ToolCall::new("r", "below_fs_read", below),
        ];
        let results = host.run_all(calls).await;
        text(&results[0]);
        assert_eq!(text(&results[1]), "there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_do_not_overlap_do_not_wait_for_each_other() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gate = Gate::new();
    let host = load(manifest([
        held(&gate, one.path()),
        filesystem(other.path()),
    ]))
    .await;
    let mut batch = host.run([gate.hold("slow"), write("quick", "a.txt", "x")]);
    assert_eq!(next(&mut batch).await, "quick");
    gate.open();
    assert_eq!(next(&mut batch).await, "slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_calls_run_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut reader = gate.plugin();
    reader.permissions.files = vec![grant(folder.path(), Access::ReadOnly)];
    let host = load(manifest([reader, filesystem(folder.path())])).await;
    let mut batch = host.run([gate.hold("long"), sleep("short", 1)]);
    assert_eq!(next(&mut batch).await, "short");
    gate.open();
    assert_eq!(next(&mut batch).await, "long");
    // What changes waits for both, and what reads after it for that.
    let calls = vec![
        gate.hold("long"),
        write("w", "a.txt", "x"),
        sleep("after", 1),
    ];
    let completed = gate.pass(1, completed(&host, calls)).await;
    assert_eq!(completed, ["long", "w", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_order_takes_up_no_permit() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut manifest = manifest([
        held(&gate, folder.path()),
        filesystem(folder.path()),
        plugin("echo"),
    ]);
    manifest.host.max_concurrency = 2;
    let host = load(manifest).await;
    let writes = (0..5).map(|number| write(&format!("w{number}"), "a.txt", "x"));
    let calls = [gate.hold("slow")].into_iter().chain(writes);
    let calls: Vec<_> = calls.chain([echo("echo", "x")]).collect();
    let mut batch = host.run(calls.clone());
    assert_eq!(next(&mut batch).await, "echo");
    gate.open();
    let rest: Vec<_> = batch.map(|(number, _)| number).collect().await;
    assert_eq!(rest, [0, 1, 2, 3, 4, 5]);
    // As in a batch, so one by one.
    gate.close();
    let mut batch = host.open_batch();
    for (number, call) in calls.into_iter().enumerate() {
        batch.add(number, call);
    }
    assert_eq!(batch.next().await.unwrap().0, 6);
    gate.open();
    for expected in 0..6 {
        assert_eq!(batch.next().await.unwrap().0, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_bounded_and_names_the_call_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut manifest = manifest([held(&gate, folder.path()), filesystem(folder.path())]);
    manifest.host.order_timeout = Duration::from_millis(100);
    let host = load(manifest).await;
    let mut batch = host.run([gate.hold("first"), write("second", "a.txt", "x")]);
    let (number, second) = batch.next().await.unwrap();
    let late = error(&second);
    assert_eq!((number, late.code()), (1, "limit"));
    let message = late.to_string();
    assert!(message.contains("hold (first)"), "{message}");
    assert!(message.contains("100 ms"), "{message}");
    assert!(second.usage.queue >= Duration::from_millis(100));
    gate.open();
    text(&batch.next().await.unwrap().1);
    assert!(!folder.path().join("a.txt").exists());
    // It left its place to nobody's harm.
    text(&host.call(write("third", "a.txt", "x")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_does_not_refuse_its_own_edits() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut busy = slow(elsewhere.path());
    busy.name = "busy".to_owned();
    busy.prefix = "busy_".to_owned();
    let mut manifest = manifest([busy, slow(folder.path()), filesystem(folder.path())]);
    manifest.host.order_timeout = Duration::from_millis(300);
    manifest.host.max_concurrency = 1;
    let host = load(manifest).await;
    // The first waits for a permit for longer than that, and together the others take longer, too.
    let arguments = json!({"ms": 600}).to_string();
    let mut calls = vec![ToolCall::new("busy", "busy_sleep", arguments)];
    calls.extend((0..4).map(|number| sleep(&format!("s{number}"), 150)));
    calls.push(write("w", "a.txt", "x"));
    for result in host.run_all(calls).await {
        text(&result);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clients_call_is_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut manifest = manifest([held(&gate, folder.path()), filesystem(folder.path())]);
    manifest.host.order_timeout = Duration::from_millis(100);
    let host = load(manifest).await;
    let theirs = host.call(gate.hold("theirs"));
    let late = async {
        let late = host.call(write("late", "a.txt", "x")).await;
        gate.open();
        late
    };
    let (theirs, late) = tokio::join!(theirs, late);
    text(&theirs);
    let message = error(&late).to_string();
    assert!(message.contains("another client"), "{message}");
    assert!(
        !message.contains("hold") && !message.contains("theirs"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_results_may_call_what_waits_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest([filesystem(folder.path())]);
    manifest.host.max_concurrency = 2;
    manifest.host.order_timeout = Duration::from_secs(10);
    let host = load(manifest).await;
    fs::write(folder.path().join("a.txt"), "x").unwrap();
    let mut reads = host.run((0..40).map(|number| read(&number.to_string(), "a.txt")));
    while let Some((_, result)) = reads.next().await {
        text(&result);
        text(&host.call(write("w", "b.txt", "x")).await);
    }
    let written = fs::read_to_string(folder.path().join("b.txt")).unwrap();
    assert_eq!(written.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_cancelled_as_it_waits_lets_nobody_pass() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let host = load(manifest([
        held(&gate, folder.path()),
        filesystem(folder.path()),
    ]))
    .await;
    let token = CancellationToken::new();
    let cancelled = CallOptions::new().cancellation(token.clone());
    let (slow, one, two) = (
        host.call(gate.hold("slow")),
        host.call_with(write("one", "a.txt", "one"), &cancelled),
        host.call(read("two", "a.txt")),
    );
    let write_three = host.call(write("three", "a.txt", "three"));
    let last = host.call(read("last", "a.txt"));
    fs::write(folder.path().join("a.txt"), "zero ").unwrap();
    token.cancel();
    // Polled in another order than they were made in.
    let one = async {
        let one = one.await;
        gate.open();
        one
    };
    let (last, write_three, two, one, _) = tokio::join!(last, write_three, two, one, slow);
    assert_eq!(error(&one).code(), "cancelled");
    assert_eq!(text(&two), "zero ");
    text(&write_three);
    assert_eq!(text(&last), "zero three");
}

/// Answers a form, and has somebody else write meanwhile.
struct WritesMeanwhile(ToolHost);

impl Responder for WritesMeanwhile {
    fn kinds(&self) -> QuestionKinds {
        QuestionKinds::default().with(QuestionKind::Form)
    }

    fn reply<'a>(&'a self, _: &'a str, _: &'a Question) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async {
            text(&self.0.call(write("meanwhile", "a.txt", "x")).await);
            let form = json!({"username": "u", "email": "e"}).to_string();
            Ok(Reply::Accepted(Some(form)))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_asks_leaves_its_place_and_takes_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let asking = with_folder("conformance", folder.path(), Access::ReadWrite);
    let mut manifest = manifest([asking, filesystem(folder.path())]);
    manifest.host.order_timeout = Duration::from_secs(10);
    let host = load(manifest).await;
    let responder = Arc::new(WritesMeanwhile(host.clone()));
    let options = CallOptions::new().responder(responder);
    let message = json!({"message": "?"});
    let asked = host.call_with(call("test_elicitation", message), &options);
    text(&asked.await);
    assert_eq!(
        fs::read_to_string(folder.path().join("a.txt")).unwrap(),
        "x"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let host = load(manifest([slow(folder.path()), filesystem(folder.path())])).await;
    let many = (0..20).map(|number| sleep(&number.to_string(), 20));
    let mut greedy = host.run(many.collect::<Vec<_>>());
    // Twenty wait, or run.
    let (_, first) = greedy.next().await.unwrap();
    text(&first);
    let modest = host.call(write("modest", "a.txt", "x"));
    let (modest, rest) = tokio::join!(modest, greedy.collect::<Vec<_>>());
    text(&modest);
    let last = rest.iter().map(|(_, result)| result.usage.queue).max();
    assert!(
        modest.usage.queue < last.unwrap() / 2,
        "it waited {:?}, the last of the others {last:?}",
        modest.usage.queue
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_of_one_folder_share_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let old = load(manifest([held(&gate, folder.path())])).await;
    let new = load(manifest([filesystem(folder.path())])).await;
    let begun = old.call(gate.hold("old"));
    let written = new.call(write("new", "a.txt", "x"));
    let since = Instant::now();
    let opens = async {
        gate.held(1).await;
        let held = since.elapsed();
        gate.open();
        held
    };
    let (written, begun, held) = tokio::join!(written, begun, opens);
    text(&begun);
    text(&written);
    assert!(written.usage.queue >= held, "{written:?}, {held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_around_two_others_joins_their_orders() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    for path in [&one, &other] {
        fs::create_dir(path).unwrap();
    }
    let gates = [Gate::new(), Gate::new()];
    let of_one = load(manifest([held(&gates[0], &one)])).await;
    let of_other = load(manifest([held(&gates[1], &other)])).await;
    // Calls are running as the two become one.
    let (mut first, mut second) = (of_one.open_batch(), of_other.open_batch());
    first.add(0, gates[0].hold("one"));
    second.add(0, gates[1].hold("other"));
    for gate in &gates {
        gate.held(1).await;
    }
    let of_both = load(manifest([filesystem(folder.path())])).await;
    let both = of_both.call(write("both", "a.txt", "x"));
    let begun = Instant::now();
    second.add(1, sleep("after", 1));
    let last = of_one.call(sleep("last", 1));
    let both_are_over = async {
        gates[0].open();
        text(&first.next().await.unwrap().1);
        let over = begun.elapsed();
        gates[1].open();
        text(&second.next().await.unwrap().1);
        over
    };
    let (both, last, over) = tokio::join!(both, last, both_are_over);
    text(&both);
    text(&last);
    // It waited for the later one of them.
    assert!(both.usage.queue >= over, "{both:?}, {over:?}");
    text(&second.next().await.unwrap().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_set_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    for (order, is_granted, is_in_order) in [
        (Order::Auto, true, true),
        (Order::Parallel, true, false),
        (Order::Auto, false, false),
        (Order::InOrder, false, true),
    ] {
        let mut plugin = match is_granted {
            true => held(&gate, folder.path()),
            false => gate.plugin(),
        };
        plugin.order = order;
        let host = load(manifest([plugin])).await;
        if is_in_order {
            let calls = vec![gate.hold("long"), sleep("short", 1)];
            let completed = gate.pass(1, completed(&host, calls)).await;
            assert_eq!(completed, ["long", "short"]);
            continue;
        }
        gate.close();
        let mut batch = host.run([gate.hold("long"), sleep("short", 1)]);
        assert_eq!(next(&mut batch).await, "short");
        gate.open();
        assert_eq!(next(&mut batch).await, "long");
    }
}

#[test]
fn the_manifest_sets_order_and_its_timeout() {
    let text = format!(
        "[host]\norder-timeout = \"5s\"\n[plugin.a]\npath = \"{}\"\norder = \"in-order\"\n",
        guest("echo").display()
    );
    let manifest = Manifest::parse(&text, "x.toml").unwrap();
    assert_eq!(manifest.host.order_timeout, Duration::from_secs(5));
    assert_eq!(manifest.plugins[0].order, Order::InOrder);
    let wrong = text.replace("in-order", "sometimes");
    let error = Manifest::parse(&wrong, "x.toml").unwrap_err().to_string();
    assert!(
        error.contains("\"auto\", \"parallel\" or \"in-order\""),
        "{error}"
    );
}

#[test]
fn check_names_what_runs_in_order_only_because_it_is_not_marked() {
    let manifest = |order: &str| {
        let guests = guest("echo").parent().unwrap().to_owned();
        let grant = "[{ host = \".\", guest = \"/w\", access = \"read-write\" }]";
        ["echo", "misbehave", "filesystem"].map(|name| {
            format!("[plugin.{name}]\npath = \"{}/{name}.wasm\"\n{order}permissions.files = {grant}\n", guests.display())
        })
        .concat()
    };
    let line = |order: &str| {
        let ended = Folder::with(manifest(order)).run(&["check"], "");
        let lines = ended
            .stdout
            .lines()
            .filter(|line| line.contains("in order"))
            .map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    // Those of the others are marked.
    let lines = line("");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("sleep"), "{lines:?}");
    assert_eq!(line("order = \"parallel\"\n"), [""; 0]);
}

/// A chat stream: a read, then an edit, and its end if it has one.
fn stream(is_complete: bool) -> String {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({ "choices": [choice] }))
    };
    let call = |index: u64, name: &str, arguments: serde_json::Value| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"index": index, "id": name, "type": "function", "function": function});
        chunk(json!({ "tool_calls": [call] }), None)
    };
    let calls = [
        call(0, "echo", json!({"text": "isolated"})),
        call(1, "fs_write", json!({"path": "a.txt", "content": "new"})),
        call(2, "fs_read", json!({"path": "a.txt"})),
        call(3, "calculate", json!({"expression": "6*7"})),
    ];
    let end = [
        chunk(json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    match is_complete {
        true => calls.concat() + &end.concat(),
        false => calls.concat() + "data: {\"choices\": [{\"ind",
    }
}

#[test]
fn what_changes_something_waits_for_the_end_of_the_stream() {
    let folder = Folder::with(format!(
        "[plugin.echo]\npath = \"{0}/echo.wasm\"\n[plugin.calculator]\npath = \"{0}/calculator.wasm\"\n\
         [plugin.filesystem]\npath = \"{0}/filesystem.wasm\"\n\
         permissions.files = [{{ host = \"w\", guest = \"/w\", access = \"read-write\" }}]\n",
        guest("echo").parent().unwrap().display()
    ));
    folder.write("w/a.txt", "old");
    let options = ["run", "--sse", "--output-format", "json"];
    let whole = folder.run(&options, stream(true)).answered();
    let results = whole.lines();
    assert_eq!(results[2]["content"], "new");
    // The same answer that breaks off: what can do no harm has run, and the file is as it was.
    folder.write("w/a.txt", "old");
    let torn = folder.run(&options, stream(false));
    assert_eq!(torn.status, 1, "{}", torn.stderr);
    assert_eq!(
        fs::read_to_string(folder.path().join("w/a.txt")).unwrap(),
        "old"
    );
    let results = torn.lines();
    assert_eq!(results[0]["content"], "isolated");
    assert_eq!(results[1]["error"]["code"], "failed");
    let message = results[1]["content"].as_str().unwrap();
    assert!(message.contains("broke off"), "{message}");
}

#[test]
fn an_interrupt_ends_what_waited_for_the_end_of_the_stream() {
    let folder = Folder::with(format!(
        "[audit]\npath = \"audit.jsonl\"\n[plugin.misbehave]\npath = \"{}\"\ntimeout = \"1h\"\n\
         permissions.files = [{{ host = \"w\", guest = \"/w\", access = \"read-write\" }}]\n",
        guest("misbehave").display()
    ));
    fs::create_dir(folder.path().join("w")).unwrap();
    let function = |name: &str, arguments: serde_json::Value| json!({"name": name, "arguments": arguments.to_string()});
    let call = |index: u64, function: serde_json::Value| json!({"index": index, "id": format!("c{index}"), "type": "function", "function": function});
    let calls = [
        call(
            0,
            function("write", json!({"path": "/w/mark", "text": "x"})),
        ),
        call(1, function("sleep", json!({"ms": 600_000}))),
    ];
    let choice = json!({"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"});
    let stream = format!("data: {}\n\ndata: [DONE]\n\n", json!({"choices": [choice]}));
    let file = folder.write("stream.sse", stream);
    let mut command = folder.command(&["run", "--sse", "--output-format", "json"]);
    command.arg(file).stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    // The file is there before the call has ended; its line in the log is not.
    let log = folder.path().join("audit.jsonl");
    wait_until("the first call has ended", || {
        fs::read_to_string(&log).is_ok_and(|lines| lines.contains("\"c0\""))
    });
    assert!(interrupt(child.id()));
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(printed.contains("\"c0\""), "{printed}");
}

/// SIGINT, as Ctrl-C sends it.
fn interrupt(process: u32) -> bool {
    let status = std::process::Command::new("kill")
        .args(["-INT", &process.to_string()])
        .status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn thousands_of_deferred_calls_take_time_in_proportion() {
    let folder = Folder::with(format!(
        "[plugin.filesystem]\npath = \"{}\"\n\
         permissions.files = [{{ host = \"w\", guest = \"/w\", access = \"read-write\" }}]\n",
        guest("filesystem").display()
    ));
    fs::create_dir(folder.path().join("w")).unwrap();
    let took = |count: usize| {
        let mut stream = String::new();
        for index in 0..count {
            let name = if index < count / 2 {
                "fs_edit"
            } else {
                "fs_read"
            };
            let function = json!({"name": name, "arguments": "{\"path\": 5, \"x\": 1}"});
            let call = json!({"index": index, "id": format!("c{index}"), "type": "function", "function": function});
            let choice = json!({"index": 0, "delta": {"tool_calls": [call]}});
            stream += &format!("data: {}\n\n", json!({"choices": [choice]}));
        }
        let choice = json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"});
        stream += &format!("data: {}\n\ndata: [DONE]\n\n", json!({"choices": [choice]}));
        let begun = Instant::now();
        let ended = folder.run(&["run", "--sse", "--output-format", "json"], stream);
        assert_eq!(ended.lines().len(), count);
        begun.elapsed()
    };
    took(10);
    let (few, many) = (took(2_000), took(8_000));
    // Four times as many; by the square it would be sixteen times.
    assert!(many < few * 9, "{few:?}, {many:?}");
}

#[test]
fn calls_of_an_mcp_session_keep_the_order_they_came_in() {
    let folder = Folder::with(format!(
        "[plugin.filesystem]\npath = \"{}\"\n\
         permissions.files = [{{ host = \"w\", guest = \"/w\", access = \"read-write\" }}]\n",
        guest("filesystem").display()
    ));
    fs::create_dir(folder.path().join("w")).unwrap();
    let mut input = String::new();
    let mut send = |message: serde_json::Value| input.push_str(&format!("{message}\n"));
    send(
        json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"},
        }}),
    );
    send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let tool_call = |id: usize, name: &str, arguments: serde_json::Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}})
    };
    const ROUNDS: usize = 30;
    for round in 0..ROUNDS {
        let line = json!({"path": "a.txt", "content": format!("{round}\n"), "if_exists": "append"});
        send(tool_call(2 * round, "fs_write", line));
        send(tool_call(
            2 * round + 1,
            "fs_read",
            json!({"path": "a.txt"}),
        ));
    }
    let ended = folder.run(&["serve"], input);
    let answers = ended.lines();
    for round in 0..ROUNDS {
        let id = json!(2 * round + 1);
        let answer = answers.iter().find(|answer| answer["id"] == id).unwrap();
        let read = answer["result"]["content"][0]["text"].as_str().unwrap();
        let lines: Vec<String> = (0..=round).map(|round| round.to_string()).collect();
        assert_eq!(read.lines().collect::<Vec<_>>(), lines);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_calls_keep_order_across_batches_and_clients() {
    const CLIENTS: usize = 6;
    const STEPS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let path = |file: usize| format!("{file}.txt");
    for file in 0..2 {
        let counters: String = (0..CLIENTS)
            .map(|client| format!("<{client}:0>\n"))
            .collect();
        fs::write(folder.path().join(path(file)), counters).unwrap();
    }
    let host = load(manifest([filesystem(folder.path())])).await;
    let clients = (0..CLIENTS).map(|client| {
        let host = host.clone();
        tokio::spawn(async move { client_of(&host, client, STEPS, &path).await })
    });
    for client in join_all(clients).await {
        client.unwrap();
    }
    // Each edit and each line, once, and the lines of a client in its order.
    for file in 0..2 {
        let text = fs::read_to_string(folder.path().join(path(file))).unwrap();
        for client in 0..CLIENTS {
            assert!(text.contains(&format!("<{client}:{STEPS}>")), "{text}");
            let prefix = format!("{client} says ");
            let said: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix(&prefix))
                .collect();
            let expected: Vec<String> = (1..=STEPS).map(|step| step.to_string()).collect();
            assert_eq!(said, expected);
        }
    }
}

/// Edits its counter, adds a line and reads both, in each of two files; steps are handed over a few at
/// once, by each way there is.
async fn client_of(host: &ToolHost, client: usize, steps: usize, path: &impl Fn(usize) -> String) {
    for first in (1..=steps).step_by(3) {
        let mut calls = Vec::new();
        for step in first..first + 3 {
            for file in 0..2 {
                let (before, after) = (
                    format!("<{client}:{}>", step - 1),
                    format!("<{client}:{step}>"),
                );
                calls.push(edit("e", &path(file), &before, &after));
                calls.push(write("w", &path(file), &format!("{client} says {step}\n")));
                calls.push(read("r", &path(file)));
            }
        }
        let results: Vec<ToolResult> = match first % 2 {
            0 => host.run_all(calls).await,
            _ => host.run(calls).collect_in_order().await,
        };
        for (at, result) in results.iter().enumerate() {
            let step = first + at / 6;
            let text = text(result);
            if at % 3 == 2 {
                assert!(text.contains(&format!("<{client}:{step}>")), "{text}");
                assert!(text.contains(&format!("{client} says {step}\n")), "{text}");
                assert!(
                    !text.contains(&format!("{client} says {}\n", step + 1)),
                    "{text}"
                );
            }
        }
    }
}
