//! Components that use the async features of the component model: they run on the concurrent engine,
//! within the same limits.

use std::time::Duration;

use serde_json::json;
use toolhost::CallError;
use toolhost::limits::Limits;

use super::Typed;
use crate::common::{call, error};

/// Async functions, and one that is not.
fn functions() -> Vec<u8> {
    let component = r#"(component
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (core func $return (canon task.return (result u32)))
        (core func $set (canon waitable-set.new))
        (core module $m
            (import "" "return" (func $return (param i32)))
            (import "" "set" (func $set (result i32)))
            (import "" "memory" (memory 1))
            (global $x (mut i32) (i32.const 0))
            ;; Yields (1) once, and returns when it is called back.
            (func (export "double") (param i32) (result i32)
                (global.set $x (local.get 0))
                (i32.const 1))
            (func (export "doubled") (param i32 i32 i32) (result i32)
                (call $return (i32.mul (global.get $x) (i32.const 2)))
                (i32.const 0))
            ;; Waits (2) for an empty set.
            (func (export "wait") (param i32) (result i32)
                (i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4))))
            (func (export "spin") (param i32) (result i32) (loop (br 0)) unreachable)
            (func (export "yield") (param i32 i32 i32) (result i32) (i32.const 1))
            (func (export "start") (param i32) (result i32) (i32.const 1))
            (func (export "grow") (param i32) (result i32)
                (if (i32.eq (i32.const -1) (memory.grow (i32.const 2000))) (then unreachable))
                (i32.const 0))
            (func (export "triple") (param i32) (result i32)
                (i32.mul (local.get 0) (i32.const 3))))
        (core instance $i (instantiate $m (with "" (instance
            (export "return" (func $return))
            (export "set" (func $set))
            (export "memory" (memory $memory "memory"))))))
        (type $async (func async (param "x" u32) (result u32)))
        (func (export "double") (type $async)
            (canon lift (core func $i "double") async (callback (func $i "doubled"))))
        (func (export "wait") (type $async)
            (canon lift (core func $i "wait") async (callback (func $i "yield"))))
        (func (export "spin") (type $async)
            (canon lift (core func $i "spin") async (callback (func $i "yield"))))
        (func (export "yield") (type $async)
            (canon lift (core func $i "start") async (callback (func $i "yield"))))
        (func (export "grow") (type $async)
            (canon lift (core func $i "grow") async (callback (func $i "yield"))))
        (func (export "triple") (param "x" u32) (result u32) (canon lift (core func $i "triple"))))"#;
    wat::parse_str(component).unwrap()
}

#[tokio::test]
async fn async_functions_are_tools_beside_others() {
    let typed = Typed::new(functions()).await;
    assert_eq!(
        typed.names(),
        ["double", "grow", "spin", "triple", "wait", "yield"]
    );
    assert_eq!(
        typed.returned("double", json!(21)).await.unwrap(),
        json!(42)
    );
    assert_eq!(typed.returned("triple", json!(4)).await.unwrap(), json!(12));
    let invalid = typed.returned("double", json!("x")).await.unwrap_err();
    assert_eq!(invalid.code(), "invalid-arguments");
}

#[tokio::test]
async fn many_calls_of_an_async_function_each_have_an_instance() {
    let typed = Typed::new(functions()).await;
    let calls = (0..100).map(|x| call("double", json!({ "x": x })));
    let results = typed.host.run_all(calls.collect::<Vec<_>>()).await;
    for (x, result) in results.iter().enumerate() {
        assert_eq!(result.to_text(), (2 * x).to_string());
    }
}

#[tokio::test]
async fn async_functions_that_never_return_are_ended() {
    let limits = Limits::default().with_timeout(Duration::from_millis(200));
    let typed = Typed::with(functions(), |plugin| plugin.with_limits(limits)).await;
    for spinning in ["spin", "yield"] {
        let ended = typed.host.call(call(spinning, json!({ "x": 1 }))).await;
        let ended = error(&ended);
        assert!(
            matches!(ended, CallError::Timeout { .. }),
            "{spinning}: {ended:?}"
        );
    }
    let waiting = typed.host.call(call("wait", json!({ "x": 1 }))).await;
    let CallError::Trap { message } = error(&waiting) else {
        panic!("{:?}", error(&waiting));
    };
    assert!(message.contains("deadlock detected"), "{message}");
}

#[tokio::test]
async fn memory_of_an_async_function_is_bounded() {
    let typed = Typed::new(functions()).await;
    let failed = typed.host.call(call("grow", json!({ "x": 1 }))).await;
    assert_eq!(error(&failed).code(), "limit", "{:?}", error(&failed));
}

#[tokio::test]
async fn a_command_of_wasi_0_3_is_a_tool() {
    for (status, expected) in [(0, Ok("")), (1, Err("exited with an error status"))] {
        let component = format!(
            r#"(component
            (core module $m (func (export "run") (result i32) (i32.const {status})))
            (core instance $i (instantiate $m))
            (type $run (func async (result (result))))
            (func $run (type $run) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $exported)))"#
        );
        let typed = Typed::new(wat::parse_str(component).unwrap()).await;
        let result = typed
            .host
            .call(call("typed", json!({ "args": ["x"] })))
            .await;
        match expected {
            Ok(text) => assert_eq!(result.to_text(), text),
            Err(why) => assert!(result.to_text().contains(why), "{}", result.to_text()),
        }
    }
}
