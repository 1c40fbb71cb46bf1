//! Whose turn it is: how many calls may wait, how long, and for how much memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolhost::error::Limit;
use toolhost::limits::{Bound, ByteSize};
use toolhost::{CallError, Manifest, ToolCall, ToolHost, ToolResult};

use crate::common::{call, echo, error, load, manifest, plugin, text};

fn sleep(ms: u64) -> ToolCall {
    call("sleep", json!({ "ms": ms }))
}

async fn host(change: impl FnOnce(&mut Manifest)) -> ToolHost {
    let mut manifest = manifest([plugin("echo"), plugin("misbehave")]);
    manifest.host.max_concurrency = 2;
    change(&mut manifest);
    load(manifest).await
}

fn queue_is_full(result: &ToolResult, most: u64) -> bool {
    let (limit, bound) = (Limit::Queue, Bound::Count(most));
    result.outcome.as_ref().err() == Some(&CallError::Limit { limit, bound })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_finds_the_queue_full_is_refused_at_once() {
    let host = host(|manifest| manifest.host.max_queue = Some(3)).await;
    let calls: Vec<ToolCall> = (0..12).map(|_| sleep(300)).collect();
    let start = Instant::now();
    let results = host.run_all(calls.clone()).await;
    // Two run, three wait, the other seven do not fit.
    let refused = |results: &[ToolResult]| -> Vec<bool> {
        results.iter().map(|it| queue_is_full(it, 3)).collect()
    };
    assert_eq!(refused(&results), [vec![false; 5], vec![true; 7]].concat());
    assert!(results[..5].iter().all(|result| result.outcome.is_ok()));
    assert!(start.elapsed() < Duration::from_millis(2000));
    assert_eq!(
        results[11].to_text(),
        "Error: sleep failed - queue is full (3 waiting calls)"
    );

    // A stream refuses the same, and yields what it refused before what ran.
    let mut stream = host.run(calls);
    let mut first = Vec::new();
    while first.len() < 7 {
        let (index, result) = futures_util::StreamExt::next(&mut stream).await.unwrap();
        assert!(queue_is_full(&result, 3), "{index}");
        first.push(index);
    }
    assert_eq!(first, [5, 6, 7, 8, 9, 10, 11]);
    let rest = stream.collect_in_order().await;
    assert!(rest.len() == 5 && rest.iter().all(|result| result.outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_calls_in_one_the_last_find_the_queue_full() {
    let host = host(|manifest| manifest.host.max_queue = Some(2)).await;
    let inside =
        |ms: u64| json!({ "recipient_name": "functions.sleep", "parameters": { "ms": ms } });
    for _ in 0..2 {
        // Long enough that none ends before the last has come.
        let arguments = json!({ "tool_uses": (0..12).map(|_| inside(1000)).collect::<Vec<_>>() });
        let call = ToolCall::new("p", "multi_tool_use.parallel", arguments.to_string());
        let output = host.call(call).await.outcome.unwrap();
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
    let host = host(|manifest| manifest.host.max_queue = Some(1)).await;
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move { host.call(sleep(300)).await })
        })
        .collect();
    let mut full = 0;
    for task in tasks {
        full += usize::from(queue_is_full(&task.await.unwrap(), 1));
    }
    assert_eq!(full, 2);
    // All places are free again.
    assert_eq!(text(&host.call(echo(1, "hi")).await), "hi");
    let results = host.run_all([sleep(1), sleep(1), sleep(1)]).await;
    assert!(results.iter().all(|result| result.outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_queue_at_all_refuses_whoever_would_wait() {
    let host = host(|manifest| manifest.host.max_queue = Some(0)).await;
    let results = host.run_all((0..4).map(|_| sleep(200))).await;
    let refused: Vec<bool> = results.iter().map(|it| queue_is_full(it, 0)).collect();
    assert_eq!(refused, [false, false, true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_no_longer_than_the_queue_timeout() {
    let timeout = Duration::from_millis(200);
    let host = host(|manifest| manifest.host.queue_timeout = Some(timeout)).await;
    let late = CallError::Limit {
        limit: Limit::QueueTime,
        bound: timeout.into(),
    };
    for stream in [false, true] {
        let calls = [sleep(1500), sleep(1500), sleep(1), sleep(1), echo(4, "x")];
        let results = match stream {
            false => host.run_all(calls).await,
            true => host.run(calls).collect_in_order().await,
        };
        assert!(results[..2].iter().all(|result| result.outcome.is_ok()));
        for result in &results[2..] {
            assert_eq!(error(result), &late);
            let waited = result.usage.queue;
            assert!(
                waited >= timeout && waited < Duration::from_millis(1200),
                "{waited:?}"
            );
        }
    }
    // A single call as well.
    let busy = [sleep(1000), sleep(1000)].map(|call| {
        let host = host.clone();
        tokio::spawn(async move { host.call(call).await })
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(error(&host.call(echo(1, "x")).await), &late);
    assert_eq!(
        late.to_model_text("echo"),
        "Error: echo failed - queue time limit exceeded (200 ms)"
    );
    for task in busy {
        assert!(task.await.unwrap().outcome.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_memory_rather_than_overcommit_it() {
    let host = host(|manifest| {
        manifest.host.max_concurrency = 16;
        manifest.host.total_memory = Some(ByteSize::mib(100));
        manifest.plugins[1].limits.memory = ByteSize::mib(40);
        manifest.plugins[0].limits.memory = ByteSize::mib(20);
    })
    .await;
    // Two of 40 MiB fit, and one of 20 MiB beside them.
    let calls = [sleep(400), sleep(400), sleep(400), sleep(400)];
    let start = Instant::now();
    let results = host.run_all(calls).await;
    let took = start.elapsed();
    assert!(results.iter().all(|result| result.outcome.is_ok()));
    assert!(took >= Duration::from_millis(800), "{took:?}");
    let waited = |result: &&ToolResult| result.usage.queue > Duration::from_millis(300);
    assert_eq!(results.iter().filter(waited).count(), 2);
    let results = host.run_all([sleep(400), sleep(400), echo(3, "x")]).await;
    assert!(results[2].usage.queue < Duration::from_millis(300));
}
