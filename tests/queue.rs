//! Whose turn it is: how many calls may wait, how long, and for how much memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use toolhost::error::Limit;
use toolhost::limits::{Bound, ByteSize};
use toolhost::manifest::AuditConfig;
use toolhost::{
    CallError, CallOptions, Loader, Manifest, NativeTools, Tool, ToolCall, ToolHost, ToolResult,
};
use toolhost_testing::{Gate, eventually};

use crate::common::{call, echo, error, load, manifest, plugin, text};

/// A host that runs two calls at once.
async fn host(gate: &Gate, change: impl FnOnce(&mut Manifest)) -> ToolHost {
    let mut manifest = manifest([plugin("echo"), gate.plugin()]);
    manifest.host.max_concurrency = 2;
    change(&mut manifest);
    load(manifest).await
}

fn holds(gate: &Gate, calls: usize) -> Vec<ToolCall> {
    (0..calls).map(|id| gate.hold(id)).collect()
}

fn queue_is_full(result: &ToolResult, most: u64) -> bool {
    let (limit, bound) = (Limit::Queue, Bound::Count(most));
    result.outcome.as_ref().err() == Some(&CallError::Limit { limit, bound })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_finds_the_queue_full_is_refused_at_once() {
    let gate = Gate::new();
    let host = host(&gate, |manifest| manifest.host.max_queue = Some(3)).await;
    let calls = holds(&gate, 12);
    let results = gate.pass(2, host.run_all(calls.clone())).await;
    // Two run, three wait, the other seven do not fit.
    let refused = |results: &[ToolResult]| -> Vec<bool> {
        results.iter().map(|it| queue_is_full(it, 3)).collect()
    };
    assert_eq!(refused(&results), [vec![false; 5], vec![true; 7]].concat());
    assert!(results[..5].iter().all(|result| result.outcome.is_ok()));
    assert_eq!(
        results[11].to_text(),
        "Error: hold failed - queue is full (3 waiting calls)"
    );

    // A stream refuses the same, and yields what it refused before what ran.
    gate.close();
    let mut stream = host.run(calls);
    let mut first = Vec::new();
    while first.len() < 7 {
        let (index, result) = futures_util::StreamExt::next(&mut stream).await.unwrap();
        assert!(queue_is_full(&result, 3), "{index}");
        first.push(index);
    }
    assert_eq!(first, [5, 6, 7, 8, 9, 10, 11]);
    gate.open();
    let rest = stream.collect_in_order().await;
    assert!(rest.len() == 5 && rest.iter().all(|result| result.outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_calls_in_one_the_last_find_the_queue_full() {
    let gate = Gate::new();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let host = host(&gate, |manifest| {
        manifest.host.max_queue = Some(2);
        manifest.audit = Some(AuditConfig::new(&log));
    })
    .await;
    let inside = json!({ "recipient_name": "functions.hold", "parameters": gate.arguments() });
    for round in 1..=2 {
        gate.close();
        let arguments = json!({ "tool_uses": vec![inside.clone(); 12] });
        let call = ToolCall::new("p", "multi_tool_use.parallel", arguments.to_string());
        // Those that fit end only once the others are refused.
        let opens = async {
            let refused = async || {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let count = text.matches(r#""outcome":"limit""#).count();
                (count == 8 * round).then_some(()).ok_or(text)
            };
            eventually("eight are refused", refused).await;
            gate.open();
        };
        let (result, ()) = tokio::join!(host.call(call), opens);
        let output = result.outcome.unwrap();
        let document: Value = serde_json::from_str(output.structured.unwrap().get()).unwrap();
        let results = document["results"].as_array().unwrap();
        let refused: Vec<bool> = results
            .iter()
            .map(|it| it["error"]["code"] == "limit")
            .collect();
        assert_eq!(refused, [vec![false; 4], vec![true; 8]].concat());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn separate_calls_share_one_queue_and_leave_it_when_they_run() {
    let gate = Gate::new();
    let host = host(&gate, |manifest| manifest.host.max_queue = Some(1)).await;
    let mut tasks = JoinSet::new();
    for call in holds(&gate, 5) {
        let host = host.clone();
        tasks.spawn(async move { host.call(call).await });
    }
    // Two run and one waits.
    for _ in 0..2 {
        let refused = tasks.join_next().await.unwrap().unwrap();
        assert!(queue_is_full(&refused, 1), "{refused:?}");
    }
    gate.open();
    while let Some(result) = tasks.join_next().await {
        assert_eq!(text(&result.unwrap()), "held");
    }
    // All places are free again.
    assert_eq!(text(&host.call(echo(1, "hi")).await), "hi");
    let results = host.run_all(holds(&gate, 3)).await;
    assert!(results.iter().all(|result| result.outcome.is_ok()));
}

/// A host that runs one call at a time, each of which takes a permit; four may wait.
async fn gated(change: impl FnOnce(&mut Manifest)) -> (ToolHost, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let turn = gate.clone();
    let tools = NativeTools::new("mine").tool_with_schema(
        Tool::new("step", ""),
        json!({ "type": "object" }),
        move |_: Value| {
            let turn = turn.clone();
            async move {
                turn.acquire().await.unwrap().forget();
                "done"
            }
        },
    );
    let mut manifest = Manifest::default();
    manifest.host.max_concurrency = 1;
    manifest.host.max_queue = Some(4);
    change(&mut manifest);
    let loader = Loader::new(manifest).provider(tools);
    (loader.load().await.unwrap(), gate)
}

#[tokio::test]
async fn one_client_leaves_the_others_their_places_in_the_queue() {
    for (of_one, expected) in [(None, 2), (Some(1), 1), (Some(9), 4)] {
        let (host, gate) = gated(|it| it.host.max_queue_per_client = of_one).await;
        let step = || call("step", json!({}));
        let run = |client: &str, count: usize| {
            let calls = std::iter::repeat_with(step).take(count);
            tokio::spawn(host.run_all_with(calls, CallOptions::new().client(client)))
        };
        // One runs, and the others wait or are refused: by one batch or by several.
        let batch = run("alice", 4);
        tokio::task::yield_now().await;
        let again = run("alice", 4);
        tokio::task::yield_now().await;
        let other = run("bob", expected.min(4 - expected));
        tokio::task::yield_now().await;
        gate.add_permits(20);
        let (batch, again) = (batch.await.unwrap(), again.await.unwrap());
        let results = batch.iter().chain(&again);
        let refused = results.filter(|it| queue_is_full(it, 4)).count();
        assert_eq!(refused, 8 - 1 - expected, "{of_one:?}");
        let other = other.await.unwrap();
        assert!(other.iter().all(|it| it.outcome.is_ok()), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_queue_at_all_refuses_whoever_would_wait() {
    let gate = Gate::new();
    let host = host(&gate, |manifest| manifest.host.max_queue = Some(0)).await;
    let results = gate.pass(2, host.run_all(holds(&gate, 4))).await;
    let refused: Vec<bool> = results.iter().map(|it| queue_is_full(it, 0)).collect();
    assert_eq!(refused, [false, false, true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_no_longer_than_the_queue_timeout() {
    let gate = Gate::new();
    let timeout = Duration::from_millis(200);
    let host = host(&gate, |manifest| {
        manifest.host.queue_timeout = Some(timeout);
    });
    let host = host.await;
    let late = CallError::Limit {
        limit: Limit::QueueTime,
        bound: timeout.into(),
    };
    let busy = holds(&gate, 2).into_iter().map(|call| {
        let host = host.clone();
        tokio::spawn(async move { host.call(call).await })
    });
    let busy: Vec<_> = busy.collect();
    gate.held(2).await;
    let calls = || [call("id", json!({})), call("id", json!({})), echo(4, "x")];
    let mut results = host.run_all(calls()).await;
    results.extend(host.run(calls()).collect_in_order().await);
    results.push(host.call(echo(1, "x")).await);
    for result in &results {
        assert_eq!(error(result), &late);
        assert!(result.usage.queue >= timeout, "{:?}", result.usage);
    }
    assert_eq!(
        late.to_model_text("echo"),
        "Error: echo failed - queue time limit exceeded (200 ms)"
    );
    gate.open();
    for task in busy {
        assert_eq!(text(&task.await.unwrap()), "held");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_memory_rather_than_overcommit_it() {
    let gate = Gate::new();
    let host = host(&gate, |manifest| {
        manifest.host.max_concurrency = 16;
        manifest.host.total_memory = Some(ByteSize::mib(100));
        manifest.plugins[1].limits.memory = ByteSize::mib(40);
        manifest.plugins[0].limits.memory = ByteSize::mib(20);
    })
    .await;
    // Two of 40 MiB fit, and one of 20 MiB beside them.
    let running = host.run(holds(&gate, 2));
    gate.held(2).await;
    assert_eq!(text(&host.call(echo(3, "x")).await), "x");
    // Two more do not fit and wait, however much of the cap is free; a small one is before or behind them.
    let waiting = host.run(holds(&gate, 2));
    let beside = tokio::spawn({
        let host = host.clone();
        async move { host.call(echo(4, "x")).await }
    });
    let third = tokio::time::timeout(Duration::from_millis(100), gate.held(3));
    assert!(third.await.is_err(), "{:?}", gate.came());
    gate.open();
    for batch in [running, waiting] {
        let results = batch.collect_in_order().await;
        assert!(results.iter().all(|result| result.outcome.is_ok()));
    }
    assert_eq!(text(&beside.await.unwrap()), "x");
}
