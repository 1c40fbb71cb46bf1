//! Limits of calls, which hold for functions of any type as they do for plugins.

use std::time::{Duration, Instant};

use serde_json::json;
use toolhost::limits::{ByteSize, Limits};
use toolhost::{CallError, CallOptions};

use super::{Typed, returning_one};
use crate::common::typed::of_module;
use crate::common::{call, error};

/// A function that returns a list of so many zeros, from memory that it has or not.
fn zeros(element: &str) -> Vec<u8> {
    let wit =
        format!("package test:typed; world w {{ export zeros: func(n: u32) -> list<{element}>; }}");
    let module = r#"(module (memory (export "memory") 1)
        (func (export "zeros") (param $n i32) (result i32)
            (drop (memory.grow (i32.const 320)))
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (local.get $n))
            (i32.const 0)))"#;
    of_module(&wit, module)
}

#[tokio::test]
async fn a_result_is_bounded_by_max_output() {
    let typed = Typed::new(zeros("u32")).await;
    let few = typed.call("zeros", json!({ "n": 3 })).await.unwrap();
    assert_eq!(few, json!({ "result": [0, 0, 0] }));
    for n in [1_000_000, 4_000_000, u32::MAX] {
        let failed = typed.host.call(call("zeros", json!({ "n": n }))).await;
        let code = error(&failed).code();
        // What is outside of its memory is its own fault.
        assert_eq!(
            code,
            if n == u32::MAX { "trap" } else { "limit" },
            "{n}: {:?}",
            error(&failed)
        );
    }
}

#[tokio::test]
async fn bytes_may_be_as_many_as_fit_their_text() {
    let typed = Typed::new(zeros("u8")).await;
    let result = typed
        .host
        .call(call("zeros", json!({ "n": 350_000 })))
        .await;
    assert_eq!(result.to_text().len(), 466_668);
}

#[tokio::test]
async fn arguments_are_bounded_by_what_their_values_take() {
    let limits = Limits::default().with_max_transfer(ByteSize::kib(64));
    let typed = Typed::with(returning_one("", "list<u32>"), |plugin| {
        plugin.with_limits(limits)
    })
    .await;
    let few = vec![1; 100];
    assert_eq!(typed.returned("f", json!(few)).await.unwrap(), json!(few));
    let failed = typed
        .returned("f", json!(vec![1; 10_000]))
        .await
        .unwrap_err();
    assert!(failed.to_string().contains("64 KiB"), "{failed}");
    assert_eq!(failed.code(), "limit");
}

#[tokio::test]
async fn large_arguments_are_read_within_the_deadline_or_not_at_all() {
    let limits = Limits::default().with_timeout(Duration::from_millis(1));
    let typed = Typed::with(returning_one("", "list<list<u16>>"), |plugin| {
        plugin.with_limits(limits)
    })
    .await;
    let start = Instant::now();
    let failed = typed
        .returned("f", json!(vec![vec![1; 1000]; 900]))
        .await
        .unwrap_err();
    assert!(matches!(failed, CallError::Timeout { .. }), "{failed}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_function_that_spins_meets_its_deadline_and_delays_no_other() {
    let wit = "package test:typed; world w { export spin: func(); export quick: func() -> u32; }";
    let module = r#"(module (func (export "spin") (loop (br 0)))
        (func (export "quick") (result i32) (i32.const 5)))"#;
    let limits = Limits::default().with_timeout(Duration::from_millis(200));
    let typed = Typed::with(of_module(wit, module), |plugin| plugin.with_limits(limits)).await;
    let spin = typed.host.call(call("spin", json!({})));
    let quick = typed.host.call(call("quick", json!({})));
    let (spun, answered) = tokio::join!(spin, quick);
    assert!(matches!(error(&spun), CallError::Timeout { .. }));
    assert_eq!(answered.to_text(), "5");
}

#[tokio::test]
async fn a_call_can_be_cancelled() {
    let wit = "package test:typed; world w { export spin: func(); }";
    let module = r#"(module (func (export "spin") (loop (br 0))))"#;
    let typed = Typed::new(of_module(wit, module)).await;
    let cancel = tokio_util::sync::CancellationToken::new();
    cancel.cancel();
    let options = CallOptions::new().cancellation(cancel);
    let ended = typed
        .host
        .call_with(call("spin", json!({})), &options)
        .await;
    assert_eq!(*error(&ended), CallError::Cancelled);
}

#[tokio::test]
async fn memory_is_bounded_as_for_plugins() {
    let wit = "package test:typed; world w { export grow: func() -> s32; }";
    let module = r#"(module (memory (export "memory") 1)
        (func (export "grow") (result i32)
            (if (i32.eq (i32.const -1) (memory.grow (i32.const 2000))) (then unreachable))
            (i32.const 1)))"#;
    let typed = Typed::new(of_module(wit, module)).await;
    let failed = typed.host.call(call("grow", json!({}))).await;
    assert_eq!(error(&failed).code(), "limit", "{:?}", error(&failed));
}

#[tokio::test]
async fn many_calls_run_side_by_side_each_with_its_own_values() {
    let typed = Typed::new(returning_one("", "list<string>")).await;
    let calls = (0..100).map(|number| {
        let value = json!({ "x": [format!("v{number}")] });
        call("f", value)
    });
    let results = typed.host.run_all(calls.collect::<Vec<_>>()).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.to_text(), format!(r#"["v{number}"]"#));
    }
}
