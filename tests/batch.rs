//! Batches: one result per call whatever happens to its siblings, in order or as they complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use toolhost::input::{Question, QuestionKind, QuestionKinds, Reply};
use toolhost::{BoxFuture, CallError, CallOptions, Responder, ToolCall};
use toolhost_testing::{Gate, PATIENCE};

use crate::common::{self, call, echo, error, load, manifest, plugin, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_touches_a_sibling() {
    // A machine under load may take long for what must end otherwise.
    let mut bad = plugin("misbehave");
    bad.limits.timeout = PATIENCE;
    let mut slow = plugin("misbehave");
    slow.name = "slow".to_owned();
    slow.prefix = "slow_".to_owned();
    slow.limits.timeout = Duration::from_millis(500);
    let host = load(manifest([plugin("echo"), bad, slow])).await;
    let failures = [
        ("slow_spin", json!({}), "timeout"),
        ("slow_sleep", json!({"ms": 60_000}), "timeout"),
        ("trap", json!({}), "trap"),
        ("panic", json!({"message": "x"}), "trap"),
        ("exit", json!({"code": 1}), "trap"),
        ("recurse", json!({}), "limit"),
        ("allocate", json!({}), "limit"),
        ("print", json!({}), "limit"),
        ("huge_output", json!({"bytes": 50 << 20}), "limit"),
        ("fail", json!({"message": "x"}), "failed"),
        ("secret", json!({"name": "x"}), "denied"),
        ("optional", json!({"count": 11}), "invalid-arguments"),
        ("nothing_like_it", json!({}), "unknown-tool"),
    ];
    let mut calls = Vec::new();
    for (number, (name, arguments, _)) in failures.iter().enumerate() {
        calls.push(echo(number, &format!("before {name}")));
        calls.push(call(name, arguments.clone()));
    }
    let results = host.run_all(calls).await;
    assert_eq!(results.len(), 2 * failures.len());
    for (pair, (name, _, code)) in results.chunks(2).zip(&failures) {
        assert_eq!(text(&pair[0]), format!("before {name}"));
        assert_eq!(error(&pair[1]).code(), *code, "{name}");
        assert_eq!(pair[1].name, *name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_as_they_complete_and_are_collected_in_order() {
    let gate = Gate::new();
    let host = load(manifest([plugin("echo"), gate.plugin()])).await;
    let calls = || [gate.hold("slow"), echo("fast", "x")];
    let mut batch = host.run(calls());
    assert_eq!(batch.next().await.expect("a result").0, 1);
    gate.open();
    assert_eq!(batch.next().await.expect("a result").0, 0);
    let results = gate.pass(1, host.run_all(calls())).await;
    let names: Vec<&str> = results.iter().map(|result| &*result.name).collect();
    assert_eq!(names, ["hold", "echo"]);
}

#[tokio::test]
async fn duplicate_and_missing_ids_are_legal() {
    let host = common::host(&["echo"]).await;
    let mut nameless = echo("", "c");
    nameless.id = None;
    let results = host
        .run_all([echo("same", "a"), echo("same", "b"), nameless])
        .await;
    let seen: Vec<_> = results
        .iter()
        .map(|result| (result.id.as_deref(), text(result)))
        .collect();
    let expected = [(Some("same"), "a"), (Some("same"), "b"), (None, "c")];
    assert_eq!(seen, expected.map(|(id, text)| (id, text.to_owned())));
}

#[tokio::test]
async fn an_empty_batch_ends_at_once() {
    let host = common::host(&["echo"]).await;
    assert!(host.run_all([]).await.is_empty());
}

/// Calls that are counted as they are taken from the iterator.
fn counted(calls: Vec<ToolCall>) -> (Arc<AtomicUsize>, impl Iterator<Item = ToolCall>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let calls = calls.into_iter().inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    (taken, calls)
}

#[tokio::test]
async fn calls_are_taken_only_as_room_comes_up() {
    let mut manifest = manifest([plugin("echo")]);
    manifest.host.max_concurrency = 4;
    let host = load(manifest).await;
    let (taken, calls) = counted((0..100).map(|n| echo(n, "x")).collect());
    let mut batch = host.run(calls);
    for done in 1..=100 {
        assert!(batch.next().await.is_some());
        // So many may run, wait to run, and wait to be seen, in the stream and in its workers.
        assert!(taken.load(Ordering::SeqCst) <= done + 4 * 4);
    }
    assert!(batch.next().await.is_none());
}

#[tokio::test]
async fn as_many_calls_start_at_once_as_the_cap_allows() {
    let mut manifest = manifest([plugin("echo")]);
    manifest.host.max_concurrency = 1500;
    let host = load(manifest).await;
    let (taken, calls) = counted((0..2000).map(|n| echo(n, "x")).collect());
    // Handed over when the batch is made, not when it is first polled.
    let _batch = host.run(calls);
    assert_eq!(taken.load(Ordering::SeqCst), 1500);
}

#[tokio::test]
async fn a_call_over_the_cap_waits_its_turn_in_order() {
    let mut manifest = manifest([plugin("misbehave")]);
    manifest.host.max_concurrency = 1;
    let host = load(manifest).await;
    let sleep = |_| call("sleep", json!({"ms": 20}));
    let results: Vec<_> = host.run((0..4).map(sleep)).collect().await;
    let order: Vec<usize> = results.iter().map(|(index, _)| *index).collect();
    assert_eq!(order, [0, 1, 2, 3]);
    for pair in results.windows(2) {
        let (before, after) = (&pair[0].1.usage, &pair[1].1.usage);
        assert!(
            after.queue >= before.queue + before.run,
            "one at a time: {results:?}"
        );
    }
}

#[tokio::test]
async fn the_deadline_does_not_count_while_a_call_waits() {
    let mut slow = plugin("misbehave");
    let timeout = Duration::from_secs(1);
    slow.limits.timeout = timeout;
    slow.max_concurrency = Some(1);
    let host = load(manifest([slow])).await;
    // Together they wait for longer than any may run.
    let results = host
        .run_all((0..4).map(|_| call("sleep", json!({"ms": 350}))))
        .await;
    assert!(
        results.iter().all(|result| result.outcome.is_ok()),
        "{results:?}"
    );
    assert!(results[3].usage.queue > timeout);
}

#[tokio::test]
async fn a_plugin_at_its_cap_holds_up_no_other() {
    let gate = Gate::new();
    let mut slow = gate.plugin();
    slow.max_concurrency = Some(1);
    let mut manifest = manifest([slow, plugin("echo")]);
    manifest.host.max_concurrency = 2;
    let host = load(manifest).await;
    let mut batch = host.run((0..3).map(|id| gate.hold(id)).chain([echo("1", "x")]));
    assert_eq!(batch.next().await.expect("a result").0, 3);
    gate.open();
    let order: Vec<usize> = batch.map(|(index, _)| index).collect().await;
    assert_eq!(order, [0, 1, 2]);
}

#[tokio::test]
async fn callers_share_the_caps_of_one_host() {
    let mut manifest = manifest([plugin("misbehave")]);
    manifest.host.max_concurrency = 1;
    let host = load(manifest).await;
    let sleep = || call("sleep", json!({"ms": 100}));
    let clone = host.clone();
    let (a, b) = tokio::join!(host.call(sleep()), clone.call(sleep()));
    let (first, second) = match a.usage.queue < b.usage.queue {
        true => (a.usage, b.usage),
        false => (b.usage, a.usage),
    };
    assert!(second.queue >= first.run, "{first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_batch_still_has_a_result_for_every_call() {
    let gate = Gate::new();
    let mut manifest = manifest([plugin("echo"), gate.plugin()]);
    manifest.host.max_concurrency = 3;
    let host = load(manifest).await;
    let calls = [
        echo("done", "x"),
        call("spin", json!({})),
        gate.hold("first"),
        gate.hold("second"),
        echo("never", "x"),
    ];
    let mut batch = host.run(calls);
    let (first, result) = batch.next().await.expect("a result");
    assert_eq!((first, text(&result)), (0, "x".to_owned()));
    gate.held(2).await;
    batch.cancel();
    let mut rest: Vec<_> = batch.collect().await;
    rest.sort_by_key(|(index, _)| *index);
    let indexes: Vec<usize> = rest.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 2, 3, 4]);
    for (_, result) in &rest {
        assert_eq!(error(result), &CallError::Cancelled);
    }
    // What ran has its usage, and what did not has waited.
    assert!(rest[1].1.usage.peak_memory > 0, "{:?}", rest[1].1.usage);
    assert!(rest[3].1.usage.queue > Duration::ZERO && rest[3].1.usage.run.is_zero());
    assert_eq!(rest[0].1.to_text(), "Error: spin failed - cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_batch_ends_what_runs() {
    let mut manifest = manifest([plugin("misbehave")]);
    manifest.host.max_concurrency = 2;
    let host = load(manifest).await;
    let mut batch = host.run((0..4).map(|_| call("spin", json!({}))));
    let none_yet = tokio::time::timeout(Duration::from_millis(50), batch.next()).await;
    assert!(none_yet.is_err());
    drop(batch);
    let all = host.run_all((0..4).map(|_| call("spin", json!({}))));
    let none_yet = tokio::time::timeout(Duration::from_millis(50), all).await;
    assert!(none_yet.is_err());
    // Both permits are free again long before the spinners' deadline of 30 s.
    let result = host.run_all((0..2).map(|_| call("id", json!({})))).await;
    assert!(
        result
            .iter()
            .all(|result| result.usage.queue < Duration::from_secs(5))
    );
}

/// It has no answer, and does not say so.
struct Panics;

impl Responder for Panics {
    fn kinds(&self) -> QuestionKinds {
        QuestionKinds::default().with(QuestionKind::Form)
    }

    fn reply<'a>(&'a self, _: &'a str, _: &'a Question) -> BoxFuture<'a, Result<Reply, CallError>> {
        panic!("out of answers")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_responder_that_panics_fails_its_call_alone() {
    let host = load(manifest([plugin("echo"), plugin("conformance")])).await;
    let calls = [call("ask_and_count", json!({})), echo(1, "hi")];
    let options = CallOptions::new().responder(Arc::new(Panics));
    let results = host.run_all_with(calls, options).await;
    let said = error(&results[0]).to_string();
    assert!(said.contains("panicked: out of answers"), "{said}");
    assert_eq!(text(&results[1]), "hi");
}
