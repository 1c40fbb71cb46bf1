//! Components that must not get as far as a call: they are refused when they are loaded, and say
//! why.

use toolhost::manifest::PluginConfig;

use crate::common::{self, manifest, with_core_module};

/// Core modules that are instantiated with a plugin, and why it cannot be loaded with them.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        // GHSA-rc4p-x33f-vpr2: this call aborted the process.
        "call-by-a-type-that-is-not-final",
        "(module
            (type $a (func)) (type $b (sub (func)))
            (table 1 funcref) (elem (i32.const 0) func $f)
            (func $f (type $a))
            (func $start (call_indirect (type $b) (i32.const 0)))
            (start $start))",
        "is not a valid component",
    ),
    (
        "garbage-collected-types",
        "(module (type (struct (field i32))) (func (drop (ref.null 0))))",
        "is not a valid component",
    ),
    (
        "memory-of-64-bits",
        "(module (memory i64 65537))",
        "memory64 must be enabled",
    ),
    (
        "memories-without-end",
        "(module (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)
            (memory 0) (memory 0))",
        "exceeds the per-instance limit of 8",
    ),
    (
        "memory-over-the-limit",
        "(module (memory 1025))",
        "limit of 64 MiB of memory",
    ),
    (
        "table-over-the-limit",
        "(module (table 10000000 funcref))",
        "exceeds the limit of 100000",
    ),
    (
        "trap-at-start",
        "(module (func $start unreachable) (start $start))",
        "unreachable",
    ),
    (
        "recursion-at-start",
        "(module (func $start (call $start) (call $start)) (start $start))",
        "limit of 512 KiB of stack",
    ),
    (
        "spin-at-start",
        "(module (func $start (loop $on (br $on))) (start $start))",
        "timed out after 300 ms",
    ),
];

#[tokio::test]
async fn components_that_cannot_be_run_safely_are_refused_at_load() {
    let guest = std::fs::read(common::guest("echo")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, module, why) in REFUSED {
        let path = folder.path().join(format!("{name}.wasm"));
        let module = wat::parse_str(module).unwrap();
        std::fs::write(&path, with_core_module(&guest, &module)).unwrap();
        let mut plugin = PluginConfig::new("echo", path);
        if name.starts_with("spin") {
            plugin.limits.timeout = std::time::Duration::from_millis(300);
        }
        match common::try_load(manifest([plugin])).await {
            Ok(_) => wrong.push(format!("{name} was loaded")),
            Err(error) if !error.to_string().contains(why) => {
                wrong.push(format!("{name}: {error}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
