//! Calls that call tools: none waits for itself, however few may run and however deep they are
//! nested, and none may do more than its caller and its grant.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use toolhost::input::{Question, QuestionKind, QuestionKinds, Reply};
use toolhost::limits::ByteSize;
use toolhost::manifest::{AuditConfig, Manifest, PluginConfig};
use toolhost::permissions::{Access, Ambient, FileGrant};
use toolhost::{
    BoxFuture, CallError, CallOptions, CancellationToken, Decision, Hook, Loader, NativeContext,
    NativeTools, Responder, Tool, ToolCall, ToolHost, ToolResult,
};
use toolhost_testing::{Gate, eventually};

use crate::common::{call, echo, error, in_time, load, loader, manifest, plugin, text, try_load};

/// The plugin that calls tools, granted those.
fn caller(tools: &[&str]) -> PluginConfig {
    let mut caller = plugin("caller");
    caller.permissions.tools = tools.iter().map(|tool| tool.parse().unwrap()).collect();
    caller
}

/// What one of its calls is told to call.
fn inner(name: &str, arguments: Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

fn says(text: &str) -> Value {
    inner("echo", json!({ "text": text }))
}

/// A call of `calls` with these.
fn calls(id: impl ToString, inside: &[Value]) -> ToolCall {
    let arguments = json!({ "calls": inside });
    ToolCall::new(id.to_string(), "calls", arguments.to_string())
}

/// `calls` in `calls`, as deep as that, and an echo in the last.
fn nested(depth: usize) -> Value {
    match depth {
        0 => says("deep"),
        _ => inner(
            "calls",
            json!({ "calls": [nested(depth - 1), says("beside")] }),
        ),
    }
}

/// What that answers.
fn answer(depth: usize) -> Value {
    match depth {
        0 => "deep".into(),
        _ => json!([answer(depth - 1), "beside"]),
    }
}

fn value(result: &ToolResult) -> Value {
    serde_json::from_str(&text(result)).unwrap_or_else(|_| text(result).into())
}

/// Runs so many calls that are nested so deep, and checks what they answer.
async fn run_nested(host: &ToolHost, many: usize, depth: usize) {
    let made = (0..many).map(|id| calls(id, &[nested(depth - 1)]));
    for result in in_time(host.run_all(made)).await {
        assert_eq!(value(&result), json!([answer(depth - 1)]));
    }
}

fn folder(mut plugin: PluginConfig, name: &str, folder: &Path, access: Access) -> PluginConfig {
    plugin.name = name.to_owned();
    plugin.permissions.files = vec![FileGrant::new(folder, "/w").with_access(access)];
    plugin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nested_calls_end_whatever_may_run_at_once() {
    for (most, own, suspended) in [
        (1, None, None),
        (1, Some(1), Some(1)),
        (2, Some(1), None),
        (4, Some(2), Some(2)),
    ] {
        let mut caller = caller(&["echo", "calls"]);
        caller.limits.max_depth = 4;
        caller.max_concurrency = own;
        let mut one = plugin("echo");
        one.max_concurrency = Some(1);
        let mut manifest = manifest([one, caller]);
        manifest.host.max_concurrency = most;
        manifest.host.max_suspended = suspended;
        let host = load(manifest).await;
        for depth in 1..=4 {
            run_nested(&host, 6, depth).await;
        }
    }
}

#[tokio::test]
async fn they_end_on_one_thread_as_well() {
    let mut caller = caller(&["echo", "calls"]);
    caller.limits.max_depth = 3;
    let mut manifest = manifest([plugin("echo"), caller]);
    manifest.host.max_concurrency = 1;
    run_nested(&load(manifest).await, 4, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_left_for_what_a_suspended_call_waits_for() {
    let host = |total: u64| {
        let mut caller = caller(&["echo", "calls"]);
        caller.limits.max_depth = 3;
        caller.limits.memory = ByteSize::mib(20);
        let mut echo = plugin("echo");
        echo.limits.memory = ByteSize::mib(10);
        let mut manifest = manifest([echo, caller]);
        manifest.host.total_memory = Some(ByteSize::mib(total));
        manifest
    };
    // One at each of three depths, and one largest call that is called by the last.
    for total in [80, 100, 150, 1000] {
        let host = load(host(total)).await;
        run_nested(&host, 8, 3).await;
    }
    let refused = try_load(host(79)).await.unwrap_err().to_string();
    assert!(refused.contains("`total-memory` of 79 MiB"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_call_lends_its_place_to_calls_that_change_what_it_reads() {
    let work = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let reader = folder(
        caller(&["hold", "fs_read"]),
        "caller",
        work.path(),
        Access::ReadOnly,
    );
    let files = folder(
        plugin("filesystem"),
        "filesystem",
        work.path(),
        Access::ReadWrite,
    );
    let host = load(manifest([reader, files, gate.plugin()])).await;
    let inside = [
        inner("hold", gate.arguments()),
        inner("fs_read", json!({ "path": "a.txt" })),
    ];
    let arguments = json!({ "calls": inside }).to_string();
    let reads = host.call(ToolCall::new("p", "in_turn", arguments));
    let change = async {
        gate.held(1).await;
        // Behind the call that reads, and before what that will call.
        let write = json!({ "path": "a.txt", "content": "new" });
        text(&host.call(call("fs_write", write)).await);
        gate.open();
    };
    let (result, ()) = in_time(join(reads, change)).await;
    assert_eq!(value(&result)[1], "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_would_wait_for_its_own_caller_is_denied_at_once() {
    let work = tempfile::tempdir().unwrap();
    let writer = folder(
        caller(&["fs_*", "echo", "through"]),
        "caller",
        work.path(),
        Access::ReadWrite,
    );
    let files = folder(
        plugin("filesystem"),
        "filesystem",
        work.path(),
        Access::ReadWrite,
    );
    let through = NativeTools::new("native").tool_with_schema(
        Tool::new("through", "Calls what it is told to"),
        json!({ "type": "object" }),
        async |args: Value, context: NativeContext| {
            let name = args["name"].as_str().unwrap_or_default();
            let arguments = args["arguments"].to_string();
            let result = context.call(ToolCall::new("n", name, arguments)).await;
            result.outcome
        },
    );
    let host = loader(manifest([writer, files, plugin("echo")]));
    let host = host.provider(through).load().await.unwrap();
    let write = inner("fs_write", json!({ "path": "a.txt", "content": "new" }));
    let read = inner("fs_read", json!({ "path": "mine.txt" }));
    let inside = [
        write.clone(),
        read,
        inner("through", write.clone()),
        says("fine"),
    ];
    let arguments = json!({ "calls": inside });
    let result = in_time(host.call(call("write_and_call", arguments))).await;
    let outcomes = value(&result);
    for outcome in &outcomes.as_array().unwrap()[..3] {
        assert_eq!(outcome["code"], "denied", "{outcomes}");
        let message = outcome["message"].as_str().unwrap();
        assert!(message.contains("write_and_call"), "{message}");
    }
    assert_eq!(outcomes[3], "fine");
    // The call is over, and so is its place.
    text(&in_time(host.call(call("fs_write", write["arguments"].clone()))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_change_what_each_other_uses_do_not_wait_for_each_other() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let on = |side: &str, own: &Path| {
        let mut caller = folder(caller(&["*_fs_write"]), side, own, Access::ReadWrite);
        caller.prefix = format!("{side}_");
        let name = format!("{side}_files");
        let mut files = folder(plugin("filesystem"), &name, own, Access::ReadWrite);
        files.prefix = format!("{side}_");
        [caller, files]
    };
    let plugins = [on("a", one.path()), on("b", other.path())].concat();
    let mut manifest = manifest(plugins);
    manifest.host.order_timeout = Duration::from_secs(600);
    let host = load(manifest).await;
    let make = |round: usize, (own, other): (&str, &str)| {
        let path = format!("{round}.txt");
        let write = inner(
            &format!("{other}_fs_write"),
            json!({ "path": path, "content": "x" }),
        );
        let arguments = json!({ "calls": [write] }).to_string();
        ToolCall::new(
            format!("{own}{round}"),
            format!("{own}_write_and_call"),
            arguments,
        )
    };
    let both = (0..10).flat_map(|round| [make(round, ("a", "b")), make(round, ("b", "a"))]);
    let running: Vec<_> = both.map(|call| host.call(call)).collect();
    for result in in_time(join_all(running)).await {
        let outcome = &value(&result)[0];
        assert!(outcome.get("code").is_none(), "{outcome}");
    }
}

/// A tool that calls itself as deep as that, twice at a time.
fn tree() -> NativeTools {
    NativeTools::new("tree").tool_with_schema(
        Tool::new("tree", "Calls itself").read_only(),
        json!({ "type": "object" }),
        async |args: Value, context: NativeContext| {
            let depth = args["depth"].as_u64().unwrap_or_default();
            if depth == 0 {
                return Ok("1".to_owned());
            }
            let arguments = json!({ "depth": depth - 1, "thin": args["thin"] }).to_string();
            let call = |id: &str| context.call(ToolCall::new(id, "tree", arguments.clone()));
            if args["thin"] == true {
                return call("only").await.outcome.map(|it| it.to_text());
            }
            let (left, right) = join(call("left"), call("right")).await;
            let count = |result: ToolResult| result.to_text().parse::<u64>().unwrap_or_default();
            Ok((count(left) + count(right)).to_string())
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_tools_that_call_the_host_do_not_wait_for_themselves() {
    for most in [1, 2, 5] {
        let mut manifest = manifest([]);
        manifest.host.max_concurrency = most;
        let host = Loader::new(manifest).provider(tree()).load().await.unwrap();
        let made = (0..4).map(|id| ToolCall::new(id.to_string(), "tree", r#"{"depth": 5}"#));
        for result in in_time(host.run_all(made)).await {
            assert_eq!(text(&result), "32");
            assert_eq!(result.usage.calls, 62);
        }
        let thin = |depth: u64| host.call(call("tree", json!({ "depth": depth, "thin": true })));
        assert_eq!(text(&in_time(thin(16)).await), "1");
        let denied = in_time(thin(17)).await;
        assert_eq!(error(&denied).code(), "denied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_many_calls_does_not_delay_another_client() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let slow = NativeTools::new("slow").tool_with_schema(
        Tool::new("slow", "Takes a while"),
        json!({ "type": "object" }),
        move |_: Value| {
            let count = count.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        },
    );
    let mut caller = caller(&["slow"]);
    caller.limits.max_tool_calls = 1000;
    let mut manifest = manifest([caller, plugin("echo")]);
    manifest.host.max_concurrency = 2;
    let host = loader(manifest).provider(slow).load().await.unwrap();
    let many = vec![inner("slow", json!({})); 1000];
    let many = calls("many", &many);
    let many = tokio::spawn({
        let host = host.clone();
        async move { host.call(many).await }
    });
    let begun = async || match ended.load(Ordering::Relaxed) {
        0 => Err("none has ended"),
        _ => Ok(()),
    };
    eventually("the many are running", begun).await;
    for round in 0..5 {
        text(&in_time(host.call(echo(round, "in between"))).await);
    }
    let at = ended.load(Ordering::Relaxed);
    assert!(at < 900, "{at} of 1000 went first");
    assert_eq!(in_time(many).await.unwrap().usage.calls, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_stands_still_while_a_call_waits_to_go_on() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let tools = NativeTools::new("tools").tool_with_schema(
        Tool::new("tell", "Tells the test, and waits for it"),
        json!({ "type": "object" }),
        move |_: Value| {
            let (tell, wait) = (tell.clone(), wait.clone());
            async move {
                tell.notify_one();
                wait.acquire().await.unwrap().forget();
            }
        },
    );
    let gate = Gate::new();
    let mut caller = caller(&["tell"]);
    caller.limits.timeout = Duration::from_millis(600);
    let mut manifest = manifest([caller, gate.plugin()]);
    manifest.host.max_concurrency = 1;
    let host = loader(manifest).provider(tools).load().await.unwrap();
    let waits = host.call(calls("p", &[inner("tell", json!({}))]));
    let others = async {
        begun.notified().await;
        // It gets the turn that the inner call leaves, before the outer one can take it back.
        let (other, hold) = (host.clone(), gate.hold("h"));
        let held = tokio::spawn(async move { other.call(hold).await });
        tokio::task::yield_now().await;
        go_on.add_permits(1);
        gate.held(1).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        gate.open();
        text(&held.await.unwrap());
    };
    let (result, ()) = in_time(join(waits, others)).await;
    assert_eq!(value(&result), json!([null]));
}

fn audited(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_call_ends_its_calls() {
    let work = tempfile::tempdir().unwrap();
    let log = work.path().join("audit.jsonl");
    let gate = Gate::new();
    let mut caller = caller(&["hold"]);
    caller.limits.timeout = Duration::from_millis(500);
    caller.limits.max_parallel_calls = 1;
    let mut manifest = manifest([caller, gate.plugin(), plugin("echo")]);
    manifest.audit = Some(AuditConfig::new(&log));
    let host = load(manifest).await;
    // The second of them is queued.
    let inside = vec![inner("hold", gate.arguments()); 2];
    let run = async |id: &str, tool: &str, (options, started): (&CallOptions, usize)| {
        let arguments = json!({ "calls": inside }).to_string();
        let outer = ToolCall::new(id, tool, arguments);
        let result = in_time(host.call_with(outer, options)).await;
        let cancelled = async || {
            let lines = audited(&log);
            let of_it = lines.iter().filter(|line| line["parent"] == id);
            let ended: Vec<_> = of_it.map(|line| line["outcome"].clone()).collect();
            match ended.len() >= started && ended.iter().all(|it| it == "cancelled") {
                true => Ok(()),
                false => Err(lines),
            }
        };
        eventually("its calls are cancelled", cancelled).await;
        text(&in_time(host.call(echo(1, "well"))).await);
        result
    };
    let options = CallOptions::new();
    assert_eq!(value(&run("leaves", "leave", (&options, 2)).await), 2);
    assert_eq!(
        error(&run("spins", "call_and_spin", (&options, 2)).await).code(),
        "timeout"
    );
    assert_eq!(
        error(&run("waits", "calls", (&options, 2)).await).code(),
        "timeout"
    );
    let stop = CancellationToken::new();
    let options = CallOptions::new().cancellation(stop.clone());
    let before = gate.came().len();
    let stops = async {
        gate.held(before + 1).await;
        stop.cancel();
    };
    // It may be stopped before it starts the second.
    let (result, ()) = join(run("stopped", "calls", (&options, 1)), stops).await;
    assert_eq!(error(&result).code(), "cancelled");
}

#[tokio::test]
async fn a_call_may_call_what_its_grant_and_its_caller_allow() {
    let host = load(manifest([
        caller(&["echo", "calc*", "calls"]),
        plugin("echo"),
        plugin("calculator"),
        plugin("time"),
    ]))
    .await;
    let find = call("find", json!({ "words": "text", "name": "echo" }));
    let found = value(&host.call(find.clone()).await);
    // Not its own tools, and not the clock.
    assert_eq!(found["names"], json!(["echo", "calculate"]));
    assert_eq!(found["found"], json!(["echo"]));
    let described = found["described"].as_str().unwrap();
    assert!(
        described.contains("echo(args: { text: string }): Promise<string>;"),
        "{described}"
    );

    let inside = [
        says("hi"),
        inner("time_now", json!({})),
        inner("calls", json!({ "calls": [] })),
        inner("ecko", json!({})),
        inner("echo", json!({})),
        // Repaired as any other.
        inner("echo", json!({ "text": 1 })),
    ];
    let outcomes = value(&host.call(calls("p", &inside)).await);
    let codes: Vec<&Value> = outcomes
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["code"])
        .collect();
    assert_eq!(outcomes[0], "hi");
    assert_eq!(
        codes[1..5],
        ["denied", "denied", "unknown-tool", "invalid-arguments"]
    );
    assert!(
        outcomes[1]["message"]
            .as_str()
            .unwrap()
            .contains("permissions.tools")
    );
    assert_eq!(outcomes[5], json!(1));

    let only = ["calls", "find", "calculate"].map(str::to_owned);
    let options = CallOptions::new().allowed(Some(Arc::new(only.into())));
    let outcomes = value(&host.call_with(calls("p", &inside), &options).await);
    // There is no such tool for this client.
    assert_eq!(outcomes[0]["code"], "unknown-tool");
    assert!(
        !outcomes[3]["message"].as_str().unwrap().contains("echo"),
        "{outcomes}"
    );
    let found = value(&host.call_with(find, &options).await);
    assert_eq!(found["names"], json!(["calculate"]));
    assert!(
        found["described"]
            .as_str()
            .unwrap()
            .contains("unknown-tool")
    );
}

#[tokio::test]
async fn nothing_is_granted_by_omission() {
    let host = load(manifest([plugin("caller"), plugin("echo")])).await;
    let outcomes = value(&host.call(calls("p", &[says("hi")])).await);
    assert_eq!(outcomes[0]["code"], "denied");
    let found = value(&host.call(call("find", json!({ "words": "" }))).await);
    assert_eq!((&found["names"], &found["found"]), (&json!([]), &json!([])));
    // The name of the tool is that of the manifest.
    let mut renamed = plugin("echo");
    renamed.prefix = "my_".to_owned();
    let host = load(manifest([caller(&["echo"]), renamed])).await;
    let outcomes = value(&host.call(calls("p", &[inner("my_echo", json!({}))])).await);
    assert_eq!(outcomes[0]["code"], "denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_and_only_some_run_at_once() {
    let gate = Gate::new();
    let mut caller = caller(&["hold", "echo"]);
    caller.limits.max_tool_calls = 5;
    caller.limits.max_parallel_calls = 2;
    let host = load(manifest([caller, gate.plugin(), plugin("echo")])).await;
    let bomb = call("bomb", json!({ "calls": [says("x")] }));
    let bombed = value(&in_time(host.call(bomb)).await);
    assert_eq!(bombed["started"], 5);
    assert_eq!(bombed["refused"]["code"], "limit");
    assert_eq!(bombed["refused"]["message"], "tool call limit exceeded (5)");

    let five = vec![inner("hold", gate.arguments()); 5];
    let waits = host.call(calls("p", &five));
    let looks = async {
        gate.held(2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(gate.came().len(), 2);
        gate.open();
    };
    let (result, ()) = in_time(join(waits, looks)).await;
    assert_eq!(value(&result).as_array().unwrap().len(), 5);
    assert_eq!(result.usage.calls, 5);
    assert!(result.usage.cpu > Duration::ZERO);
}

#[tokio::test]
async fn arguments_that_wait_count_as_memory() {
    let mut caller = caller(&["echo"]);
    caller.limits.max_tool_calls = 100_000;
    let mut manifest = manifest([caller, plugin("echo")]);
    manifest.host.max_concurrency = 1;
    let host = load(manifest).await;
    let long = "x".repeat(1 << 20);
    let bomb = call("bomb", json!({ "calls": [says(&long)] }));
    let result = in_time(host.call(bomb)).await;
    assert_eq!(error(&result).code(), "limit");
    assert!(
        error(&result).to_string().contains("memory"),
        "{:?}",
        result.outcome
    );
}

#[tokio::test]
async fn timers_end_in_the_order_of_their_times() {
    let host = load(manifest([caller(&["echo"])])).await;
    let timers = |times: Value| call("timers", json!({ "milliseconds": times }));
    let ended = value(&in_time(host.call(timers(json!([30, 1, 15, 0])))).await);
    assert_eq!(ended, json!([0, 1, 15, 30]));
    let many = vec![u64::MAX; 1001];
    let refused = value(&in_time(host.call(timers(json!(many)))).await);
    assert_eq!(refused["code"], "limit");
    let mut without = caller(&["echo"]);
    without.permissions.clock = Ambient::None;
    let host = load(manifest([without])).await;
    let refused = value(&in_time(host.call(timers(json!([1])))).await);
    assert_eq!(refused["code"], "denied");
}

/// Notes the calls that are run, and refuses those that say no.
#[derive(Clone, Default)]
struct Sees(Arc<Mutex<Vec<String>>>);

impl Hook for Sees {
    fn before<'a>(&'a self, call: &'a ToolCall, _: &'a Tool) -> BoxFuture<'a, Decision> {
        self.0.lock().unwrap().push(call.id.clone().unwrap());
        let decision = match call.arguments.contains("no") {
            true => Decision::Refuse {
                why: "not that".to_owned(),
            },
            false => Decision::Run,
        };
        Box::pin(std::future::ready(decision))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nested_call_is_a_call_like_any_other() {
    let work = tempfile::tempdir().unwrap();
    let log = work.path().join("audit.jsonl");
    let mut manifest: Manifest = manifest([caller(&["echo", "calls"]), plugin("echo")]);
    manifest.plugins[0].limits.max_depth = 2;
    manifest.audit = Some(AuditConfig::new(&log));
    let sees = Sees::default();
    let host = loader(manifest).hook(sees.clone()).load().await.unwrap();
    let inside = [
        says("yes"),
        inner("calls", json!({ "calls": [says("deep")] })),
    ];
    let options = CallOptions::new().client("ada");
    let result = in_time(host.call_with(calls("p", &inside), &options)).await;
    assert_eq!(value(&result), json!(["yes", ["deep"]]));
    assert_eq!(result.usage.calls, 3);
    let mut seen = sees.0.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["p", "p/1", "p/2", "p/2/1"]);
    let lines = audited(&log);
    let of = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of("p").get("parent"), None);
    assert_eq!(of("p/1")["parent"], "p");
    assert_eq!(of("p/2/1")["parent"], "p/2");
    assert!(lines.iter().all(|line| line["client"] == "ada"));

    let refused = in_time(host.call(calls(
        "q",
        &[inner("calls", json!({ "calls": [says("no")] }))],
    )));
    assert_eq!(error(&refused.await).code(), "denied");
}

/// Answers each form after a while.
struct Slow(Duration);

impl Responder for Slow {
    fn kinds(&self) -> QuestionKinds {
        QuestionKinds::default().with(QuestionKind::Form)
    }

    fn reply<'a>(&'a self, _: &'a str, _: &'a Question) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async {
            tokio::time::sleep(self.0).await;
            let form = json!({ "username": "u", "email": "e" }).to_string();
            Ok(Reply::Accepted(Some(form)))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_of_a_nested_call_is_answered_and_takes_no_time_of_its_caller() {
    let mut caller = caller(&["test_elicitation"]);
    caller.limits.timeout = Duration::from_millis(500);
    let mut manifest = manifest([caller, plugin("conformance")]);
    manifest.host.max_concurrency = 1;
    let host = load(manifest).await;
    let inside = vec![inner("test_elicitation", json!({ "message": "who?" })); 2];
    let responder = Arc::new(Slow(Duration::from_millis(400)));
    let options = CallOptions::new().responder(responder);
    let answered = in_time(host.call_with(calls("p", &inside), &options)).await;
    let outcomes = value(&answered);
    assert!(
        outcomes[0].as_str().unwrap().contains("accept"),
        "{outcomes}"
    );
    // Nobody is there to answer.
    let outcomes = value(&in_time(host.call(calls("q", &inside))).await);
    assert!(outcomes[0].get("code").is_some(), "{outcomes}");
}

/// The plugin whose programs are run again after questions.
fn programs(tools: &[&str]) -> PluginConfig {
    let mut script = plugin("script");
    script.permissions.tools = tools.iter().map(|tool| tool.parse().unwrap()).collect();
    script
}

fn program(code: &str) -> ToolCall {
    ToolCall::new("p", "run_script", json!({ "code": code }).to_string())
}

fn forms() -> CallOptions {
    CallOptions::new().advertise(QuestionKinds::default().with(QuestionKind::Form))
}

/// The questions that a call ends with.
#[track_caller]
fn asks(result: &ToolResult) -> &toolhost::input::InputRequired {
    match error(result) {
        CallError::InputRequired(input) => input,
        other => panic!("{other:?}"),
    }
}

/// The same call, with a reply to each of its questions.
fn answered(call: &ToolCall, input: &toolhost::input::InputRequired) -> ToolCall {
    let form = json!({ "username": "u", "email": "e" }).to_string();
    let reply = |(key, _): &(String, Question)| (key.clone(), Reply::Accepted(Some(form.clone())));
    let replies = input.questions.iter().map(reply).collect();
    let resumption = toolhost::input::Resumption::new(input.state.clone(), replies);
    call.clone().with_resumed(Box::new(resumption))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_at_a_question_are_finished_first_and_questions_are_asked_together() {
    let gate = Gate::new();
    let tools = ["forms_test_elicitation", "echo", "hold"];
    let mut asks_forms = plugin("conformance");
    asks_forms.prefix = "forms_".to_owned();
    let host = load(manifest([
        programs(&tools),
        asks_forms,
        plugin("echo"),
        gate.plugin(),
    ]))
    .await;
    let arguments = gate.arguments();
    let code = format!(
        "const asked = ['a', 'b'].map((message) => tools.forms_test_elicitation({{ message }}));\n\
         const held = tools.hold({arguments}).then(() => tools.echo({{ text: 'held' }}));\n\
         const all = await Promise.all([...asked, held]);\nall.length + all[2]"
    );
    let options = forms();
    let first = host.call_with(program(&code), &options);
    let opened = async {
        gate.held(1).await;
        gate.open();
    };
    let (first, ()) = in_time(join(first, opened)).await;
    let input = asks(&first);
    let messages = input.questions.iter().map(|(_, question)| match question {
        Question::Form { message, .. } => &**message,
        other => panic!("{other:?}"),
    });
    let mut messages: Vec<&str> = messages.collect();
    messages.sort_unstable();
    assert_eq!(messages, ["a", "b"]);
    assert_eq!(first.usage.calls, 4);
    // It would be held again.
    let last = in_time(host.call_with(answered(&program(&code), input), &options)).await;
    assert_eq!(text(&last), "3held");
    assert_eq!(last.usage.calls, 6);
}

#[tokio::test]
async fn what_a_program_did_is_known_once_and_to_its_own_call_only() {
    let host = load(manifest([
        programs(&["test_elicitation"]),
        plugin("conformance"),
    ]))
    .await;
    let code = "(await tools.test_elicitation({ message: 'a' })).length";
    let options = forms();
    let asked = || host.call_with(program(code), &options);
    let first = in_time(asked()).await;
    let resumed = answered(&program(code), asks(&first));
    let other = answered(&program(&format!("{code} + 1")), asks(&first));
    let refused = in_time(host.call_with(other, &options)).await;
    assert!(error(&refused).to_string().contains("no longer known"));
    assert!(
        text(&in_time(host.call_with(resumed.clone(), &options)).await)
            .parse::<u32>()
            .is_ok()
    );
    let again = in_time(host.call_with(resumed, &options)).await;
    assert!(
        error(&again).to_string().contains("no longer known"),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_program_that_does_something_else_when_it_is_run_again_fails() {
    let host = load(manifest([
        programs(&["*"]),
        plugin("conformance"),
        plugin("echo"),
    ]))
    .await;
    let may = |tools: &[&str]| {
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        forms().allowed(Some(Arc::new(tools)))
    };
    let all = ["run_script", "test_elicitation", "echo"];
    for code in [
        // Another call, none where there was one, and an end before the question.
        "await tools.echo({ text: String('echo' in tools) }); await tools.test_elicitation({ message: 'a' })",
        "if ('echo' in tools) await tools.echo({ text: 'a' }); await tools.test_elicitation({ message: 'a' })",
        "if ('echo' in tools) await tools.test_elicitation({ message: 'a' }); 'b'",
    ] {
        let first = in_time(host.call_with(program(code), &may(&all))).await;
        let resumed = answered(&program(code), asks(&first));
        let last = in_time(host.call_with(resumed, &may(&all[..2]))).await;
        assert_eq!(error(&last).code(), "failed", "{code}: {last:?}");
        assert!(
            error(&last)
                .to_string()
                .contains("did not call the same tools"),
            "{last:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_with_more_than_tools_is_not_run_again() {
    let work = tempfile::tempdir().unwrap();
    let files = folder(
        programs(&["test_elicitation"]),
        "script",
        work.path(),
        Access::ReadOnly,
    );
    let host = load(manifest([files, plugin("conformance")])).await;
    let code = "try { return await tools.test_elicitation({ message: 'a' }) } catch (error) { return error.code }";
    let refused = in_time(host.call_with(program(code), &forms())).await;
    assert_eq!(text(&refused), "input-required");
    // Somebody who answers while it waits is asked.
    let options = CallOptions::new().responder(Arc::new(Slow(Duration::ZERO)));
    let result = in_time(host.call_with(program(code), &options)).await;
    assert!(text(&result).contains("accept"), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_see_each_call_of_a_program_that_is_run_again_once() {
    let sees = Sees::default();
    let mut script = programs(&["*"]);
    script.limits.max_depth = 2;
    let loader = loader(manifest([script, plugin("conformance"), plugin("echo")]));
    let host = loader.hook(sees.clone()).load().await.unwrap();
    // The question of a program in a program.
    let inner = "await tools.echo({ text: 'b' }); await tools.test_elicitation({ message: 'c' })";
    let code = format!(
        "await tools.echo({{ text: 'a' }}); (await tools.run_script({{ code: \"{inner}\" }})).value"
    );
    let options = CallOptions::new().responder(Arc::new(Slow(Duration::ZERO)));
    let result = in_time(host.call_with(program(&code), &options)).await;
    assert!(text(&result).contains("accept"), "{result:?}");
    let mut seen = sees.0.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["p", "p/1", "p/2", "p/2/1", "p/2/2"]);
}

#[tokio::test]
async fn a_program_with_too_much_to_remember_gets_the_error_of_the_call() {
    let mut script = programs(&["*"]);
    script.limits.max_tool_calls = 1000;
    let host = load(manifest([script, plugin("conformance"), plugin("echo")])).await;
    let code = "for (let n = 0; n < 12; n++) await tools.echo({ text: 'x'.repeat(500 * 1024) });\n\
                try { return await tools.test_elicitation({ message: 'a' }) } catch (error) { return error.code }";
    let result = in_time(host.call_with(program(code), &forms())).await;
    assert_eq!(text(&result), "input-required");
}
