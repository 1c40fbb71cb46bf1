//! Bounds on one call: what goes over them ends as `limit`, and says which and its value.

use std::time::Duration;

use serde_json::json;
use toolhost::error::Limit;
use toolhost::limits::{Bound, ByteSize};
use toolhost::manifest::PluginConfig;
use toolhost::{CallError, CodeCache, LoadError, Loader, ToolHost};

use crate::common::{self, call, echo, error, load, manifest, plugin, text, with_core_module};

async fn limited(change: impl FnOnce(&mut PluginConfig)) -> ToolHost {
    let mut plugin = plugin("misbehave");
    change(&mut plugin);
    load(manifest([plugin])).await
}

fn over(limit: Limit, bound: impl Into<Bound>) -> CallError {
    let bound = bound.into();
    CallError::Limit { limit, bound }
}

#[tokio::test]
async fn memory_is_bounded_and_its_peak_known() {
    let bound = ByteSize::mib(8);
    let host = limited(|plugin| plugin.limits.memory = bound).await;
    let result = host.call(call("allocate", json!({}))).await;
    let limit = Limit::Memory;
    assert_eq!(error(&result), &over(limit, bound));
    assert!(result.usage.peak_memory <= bound.as_u64());
    assert!(
        result.usage.peak_memory > bound.as_u64() / 2,
        "{:?}",
        result.usage
    );

    let result = host.call(call("touch", json!({"bytes": 3 << 20}))).await;
    assert!(result.outcome.is_ok());
    assert!(result.usage.peak_memory > 3 << 20, "{:?}", result.usage);

    // A guest that copes with a refused allocation may go on.
    let result = host
        .call(call("allocate_once", json!({"bytes": 64 << 20})))
        .await;
    assert_eq!(error(&result).code(), "failed");
}

#[tokio::test]
async fn memory_is_counted_over_all_memories_and_tables() {
    // The guest's own memory and what the module adds, each within 8 MiB.
    let cases = [
        ("(module (memory 32) (memory 32))", true),
        ("(module (memory 80) (memory 80))", false),
        ("(module (table 90000 funcref))", true),
        (
            "(module (memory 80) (table 90000 funcref) (table 90000 funcref) (table 90000 funcref) \
          (table 90000 funcref) (table 90000 funcref))",
            false,
        ),
    ];
    let guest = std::fs::read(common::guest("echo")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (number, (module, fits)) in cases.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.wasm"));
        let module = wat::parse_str(module).unwrap();
        std::fs::write(&path, with_core_module(&guest, &module)).unwrap();
        let mut plugin = PluginConfig::new("echo", path);
        plugin.limits.memory = ByteSize::mib(8);
        match common::try_load(manifest([plugin])).await {
            Ok(host) => {
                assert!(fits, "{module:?}");
                let result = host.call(echo(1, "hi")).await;
                assert_eq!(text(&result), "hi");
            }
            Err(error) => {
                assert!(!fits, "{error}");
                assert!(
                    error.to_string().contains("memory limit exceeded (8 MiB)"),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_growth_that_fails_gives_nothing_back() {
    // Growing by -1 pages fails before anybody is asked; then three memories together go over 8 MiB.
    let module = r#"(module
        (memory $a 0) (memory $b 0) (memory $c 0)
        (func $fail (drop (memory.grow $a (i32.const -1))))
        (func $start
            (drop (memory.grow $a (i32.const 50))) (call $fail)
            (drop (memory.grow $b (i32.const 50))) (call $fail)
            (drop (memory.grow $c (i32.const 50))) (call $fail)
            (if (i32.eq (memory.size $c) (i32.const 50)) (then unreachable)))
        (start $start))"#;
    let guest = std::fs::read(common::guest("echo")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.wasm");
    let module = wat::parse_str(module).unwrap();
    std::fs::write(&path, with_core_module(&guest, &module)).unwrap();
    let mut plugin = PluginConfig::new("echo", path);
    plugin.limits.memory = ByteSize::mib(8);
    let host = load(manifest([plugin])).await;
    let result = host.call(echo(1, "hi")).await;
    assert_eq!(text(&result), "hi");
    assert!(result.usage.peak_memory > 6 << 20, "{:?}", result.usage);
}

#[tokio::test]
async fn messages_of_errors_are_bounded_like_output() {
    let bound = ByteSize::kib(64);
    let host = limited(|plugin| plugin.limits.max_output = bound).await;
    let limit = Limit::Output;
    let long = "x".repeat((64 << 10) + 1);
    for (name, key) in [("fail", "message"), ("refuse", "message"), ("deny", "what")] {
        let result = host.call(call(name, json!({key: long}))).await;
        assert_eq!(error(&result), &over(limit, bound), "{name}");
    }
    let name = "x".repeat(1000);
    let result = host.call(call("secret", json!({ "name": name }))).await;
    assert_eq!(error(&result).code(), "denied");
    assert!(result.to_text().len() < 2048, "{}", result.to_text().len());
    let result = host.call(call(&long, json!({}))).await;
    assert!(result.to_text().len() < 2048, "{}", result.to_text().len());
}

#[tokio::test]
async fn recursion_without_end_meets_the_stack_limit() {
    let host = common::host(&["misbehave"]).await;
    let result = host.call(call("recurse", json!({}))).await;
    let CallError::Limit { limit, .. } = error(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(*limit, Limit::Stack);
}

#[tokio::test]
async fn output_is_bounded_however_it_is_made() {
    let bound = ByteSize::kib(64);
    let host = limited(|plugin| plugin.limits.max_output = bound).await;
    let limit = Limit::Output;
    for (name, arguments) in [
        ("huge_output", json!({"bytes": (64 << 10) + 1})),
        ("huge_output", json!({"bytes": 30 << 20})),
        ("many_contents", json!({"count": 65, "bytes": 1024})),
        ("many_contents", json!({"count": 100_000, "bytes": 0})),
    ] {
        let result = host.call(call(name, arguments.clone())).await;
        assert_eq!(error(&result), &over(limit, bound), "{name} {arguments}");
    }
    let result = host
        .call(call("huge_output", json!({"bytes": 64 << 10})))
        .await;
    assert_eq!(text(&result).len(), 64 << 10);
    assert_eq!(result.usage.output_bytes, 64 << 10);
}

#[tokio::test]
async fn the_log_is_bounded_in_every_channel() {
    let bound = ByteSize::kib(16);
    let host = limited(|plugin| plugin.limits.max_log = bound).await;
    let limit = Limit::Log;
    for name in ["print", "print_error", "log_flood"] {
        let result = host.call(call(name, json!({}))).await;
        assert_eq!(error(&result), &over(limit, bound), "{name}");
        let bytes: usize = result.log.iter().map(|line| line.text.len()).sum();
        assert!(bytes as u64 <= bound.as_u64(), "{name}: {bytes}");
        assert!(!result.log.is_empty(), "what fits is kept");
    }
}

#[tokio::test]
async fn arguments_are_bounded_before_they_are_parsed() {
    let bound = ByteSize::kib(1);
    let mut plugin = plugin("echo");
    plugin.limits.max_input = bound;
    let host = load(manifest([plugin])).await;
    let result = host.call(echo(1, &"x".repeat(2048))).await;
    let limit = Limit::Input;
    assert_eq!(error(&result), &over(limit, bound));
    assert_eq!(text(&host.call(echo(2, "short")).await), "short");
}

#[tokio::test]
async fn compiling_is_bounded_in_time() {
    let mut plugin = plugin("misbehave");
    plugin.limits.max_compile = Duration::from_millis(2);
    let loader = Loader::new(manifest([plugin])).code_cache(CodeCache::Off);
    let Err(LoadError::Invalid(problems)) = loader.load().await else {
        panic!("compiled within 2 ms");
    };
    let why = "takes longer to compile than the `max-compile` limit of 2 ms";
    assert_eq!(problems[0].message, why);
}

#[tokio::test]
async fn the_stack_is_as_large_as_the_plugin_says() {
    for bound in [ByteSize::kib(64), ByteSize::kib(128), ByteSize::kib(512)] {
        let host = limited(|plugin| plugin.limits.max_stack = bound).await;
        let result = host.call(call("recurse", json!({}))).await;
        assert_eq!(error(&result), &over(Limit::Stack, bound));
    }

    // A hundred thousand calls in one another: too many for half a MiB.
    let module = r#"(module
        (func $deeper (param $left i32)
            (if (local.get $left) (then (call $deeper (i32.sub (local.get $left) (i32.const 1))))))
        (func $start (call $deeper (i32.const 100000)))
        (start $start))"#;
    let guest = std::fs::read(common::guest("echo")).unwrap();
    let module = wat::parse_str(module).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.wasm");
    std::fs::write(&path, with_core_module(&guest, &module)).unwrap();
    for (stack, fits) in [(ByteSize::kib(512), false), (ByteSize::mib(16), true)] {
        let mut plugin = PluginConfig::new("echo", &path);
        plugin.limits.max_stack = stack;
        match common::try_load(manifest([plugin])).await {
            Ok(host) => {
                assert!(fits);
                assert_eq!(text(&host.call(echo(1, "hi")).await), "hi");
            }
            Err(error) => {
                assert!(!fits, "{error}");
                let error = error.to_string();
                assert!(
                    error.contains("stack size limit exceeded (512 KiB)"),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn computing_is_bounded_and_waiting_is_not_computing() {
    let bound = Duration::from_millis(100);
    let host = limited(|plugin| plugin.limits.cpu = Some(bound)).await;
    let result = host.call(call("spin", json!({}))).await;
    assert_eq!(error(&result), &over(Limit::Cpu, bound));
    assert!(
        result.usage.cpu >= bound && result.usage.cpu < bound * 2,
        "{:?}",
        result.usage
    );
    assert_eq!(
        result.to_text(),
        "Error: spin failed - CPU time limit exceeded (100 ms)"
    );
    let result = host.call(call("sleep", json!({"ms": 300}))).await;
    assert!(result.outcome.is_ok());
    assert!(result.usage.cpu < bound, "{:?}", result.usage);
}

#[tokio::test]
async fn what_is_handed_over_in_one_call_is_bounded() {
    let bound = ByteSize::kib(100);
    let host = limited(|plugin| plugin.limits.max_transfer = Some(bound)).await;
    let message = "x".repeat(200 << 10);
    let result = host.call(call("fail", json!({ "message": message }))).await;
    assert_eq!(error(&result), &over(Limit::Transfer, bound));
    assert_eq!(
        result.to_text(),
        "Error: fail failed - host call transfer limit exceeded (100 KiB)"
    );
}
