//! Core modules that speak WASI 0.1.

use serde_json::json;

use super::{Typed, refused};
use crate::common::{call, error};

/// A command that writes its arguments, each on a line, and then its stdin.
pub(super) const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func $out (param $at i32) (param $len i32)
        (i32.store (i32.const 16) (local.get $at))
        (i32.store (i32.const 20) (local.get $len))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
    (func (export "_start") (local $got i32)
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 4096)))
        (call $out (i32.const 4096) (i32.load (i32.const 4)))
        (loop $more
            (i32.store (i32.const 32) (i32.const 65536))
            (i32.store (i32.const 36) (i32.const 1000))
            (drop (call $read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 40)))
            (local.set $got (i32.load (i32.const 40)))
            (call $out (i32.const 65536) (local.get $got))
            (br_if $more (local.get $got)))))"#;

#[tokio::test]
async fn a_wasi_0_1_command_is_adapted_and_is_one_tool() {
    let typed = Typed::new(wat::parse_str(ECHO).unwrap()).await;
    assert_eq!(typed.names(), ["typed"]);
    let arguments = json!({ "args": ["one", "two"], "stdin": "input" });
    let result = typed.host.call(call("typed", arguments)).await;
    assert_eq!(result.to_text(), "typed\0one\0two\0input");
}

#[tokio::test]
async fn a_wasi_0_1_reactor_with_types_is_adapted() {
    let wit = "package test:typed; world w { export f: func(x: u32) -> u32; }";
    let module = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (global $started (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $started (i32.const 100)))
        (func (export "f") (param i32) (result i32)
            (drop (call $random (i32.const 0) (i32.const 8)))
            (i32.add (local.get 0) (global.get $started))))"#;
    let mut bytes = wat::parse_str(module).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
    let typed = Typed::new(bytes).await;
    assert_eq!(typed.returned("f", json!(5)).await.unwrap(), json!(105));
}

#[tokio::test]
async fn other_core_modules_are_refused_for_what_they_are() {
    for (module, words) in [
        (
            r#"(module (import "env" "f" (func)) (func (export "_start")))"#,
            "imports from env",
        ),
        (
            r#"(module (import "wasi_unstable" "fd_close" (func (param i32) (result i32))) (func (export "_start")))"#,
            "imports from wasi_unstable",
        ),
        (
            r#"(module (func (export "add") (param i32 i32) (result i32) (i32.const 0)))"#,
            "core module",
        ),
        (
            r#"(module (import "wasi_snapshot_preview1" "fd_nothing" (func)) (func (export "_start")))"#,
            "cannot be adapted",
        ),
    ] {
        let message = refused(wat::parse_str(module).unwrap()).await;
        assert!(message.contains(words), "{module}: {message}");
    }
    let mut broken = wat::parse_str(ECHO).unwrap();
    broken.truncate(100);
    let message = refused(broken).await;
    assert!(message.contains("not a valid core module"), "{message}");
}

#[tokio::test]
async fn a_broken_component_type_in_a_module_is_refused() {
    for junk in [
        &b"junk"[..],
        &[0, b'a', b's', b'm', 0xd, 0, 1, 0, 7, 2, 0xff, 0xff],
    ] {
        let mut bytes = wat::parse_str("(module)").unwrap();
        let name = b"component-type:w";
        let length = 1 + name.len() + junk.len();
        bytes.extend([0, length as u8, name.len() as u8]);
        bytes.extend(name);
        bytes.extend(junk);
        let message = refused(bytes).await;
        assert!(message.contains("core module"), "{message}");
        assert!(!message.contains("panic"), "{message}");
    }
}

#[tokio::test]
async fn a_command_that_traps_is_a_trap() {
    let module = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
    let typed = Typed::new(wat::parse_str(module).unwrap()).await;
    let failed = typed.host.call(call("typed", json!({}))).await;
    assert_eq!(error(&failed).code(), "trap");
}
