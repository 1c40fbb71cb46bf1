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
            (canon lift (core func $i "double") async (callback (core func $i "doubled"))))
        (func (export "wait") (type $async)
            (canon lift (core func $i "wait") async (callback (core func $i "yield"))))
        (func (export "spin") (type $async)
            (canon lift (core func $i "spin") async (callback (core func $i "yield"))))
        (func (export "yield") (type $async)
            (canon lift (core func $i "start") async (callback (core func $i "yield"))))
        (func (export "grow") (type $async)
            (canon lift (core func $i "grow") async (callback (core func $i "yield"))))
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

/// 48.0.8 panics, or takes one end for the other: GHSA-xrvr-8678-5wp8.
#[tokio::test]
async fn a_copy_that_is_cancelled_on_the_wrong_end_fails_its_call_only() {
    let component = r#"(component
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $bytes))
        (type $s (stream u8))
        (core func $new (canon stream.new $s))
        (core func $read (canon stream.read $s async (memory $bytes)))
        (core func $write (canon stream.write $s async (memory $bytes)))
        (core func $cancel-read (canon stream.cancel-read $s))
        (core func $cancel-write (canon stream.cancel-write $s))
        (core func $drop (canon stream.drop-readable $s))
        (core module $m
            (import "" "new" (func $new (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            (import "" "cancel-read" (func $cancel-read (param i32) (result i32)))
            (import "" "cancel-write" (func $cancel-write (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "writer") (result i32) (local $ends i64) (local $reader i32)
                (local.set $ends (call $new))
                (local.set $reader (i32.wrap_i64 (local.get $ends)))
                (drop (call $read (local.get $reader) (i32.const 0) (i32.const 8)))
                (drop (call $cancel-write (local.get $reader)))
                (call $drop (local.get $reader))
                (i32.const 7))
            (func (export "reader") (result i32) (local $ends i64) (local $writer i32)
                (local.set $ends (call $new))
                (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
                (drop (call $write (local.get $writer) (i32.const 0) (i32.const 8)))
                (drop (call $cancel-read (local.get $writer)))
                (drop (call $write (local.get $writer) (i32.const 0) (i32.const 8)))
                (i32.const 7))
            (func (export "well") (result i32) (i32.const 5)))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new))
            (export "read" (func $read))
            (export "write" (func $write))
            (export "cancel-read" (func $cancel-read))
            (export "cancel-write" (func $cancel-write))
            (export "drop" (func $drop))))))
        (type $async (func async (result u32)))
        (func (export "writer") (type $async) (canon lift (core func $i "writer")))
        (func (export "reader") (type $async) (canon lift (core func $i "reader")))
        (func (export "well") (result u32) (canon lift (core func $i "well"))))"#;
    let typed = Typed::new(wat::parse_str(component).unwrap()).await;
    for wrong in ["writer", "reader"] {
        let failed = typed.host.call(call(wrong, json!({}))).await;
        let code = error(&failed).code();
        assert!(
            ["trap", "internal"].contains(&code),
            "{wrong}: {:?}",
            error(&failed)
        );
        let well = typed.host.call(call("well", json!({}))).await;
        assert_eq!(well.to_text(), "5");
    }
}
