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
        "memory limit exceeded (64 MiB)",
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
        "stack size limit exceeded (512 KiB)",
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

/// Components within components, of which the innermost does nothing.
fn nested(depth: usize) -> Vec<u8> {
    const COMPONENT_SECTION: u8 = 4;
    let header = [0, b'a', b's', b'm', 13, 0, 1, 0];
    let mut component = header.to_vec();
    for _ in 0..depth {
        let length = common::leb128(component.len() as u32);
        component = [&header[..], &[COMPONENT_SECTION], &length, &component].concat();
    }
    component
}

/// Types of that kind within types, of which the innermost says nothing.
fn nested_types(depth: usize, kind: u8) -> Vec<u8> {
    const TYPE_SECTION: u8 = 7;
    const A_TYPE: u8 = 1;
    let types = [&[1], &*[kind, 1, A_TYPE].repeat(depth), &[kind, 0]].concat();
    let header = [0, b'a', b's', b'm', 13, 0, 1, 0];
    let length = common::leb128(types.len() as u32);
    [&header[..], &[TYPE_SECTION], &length, &types].concat()
}

/// A component in which each level instantiates two of the one below, which it knows by `known` as `$b`.
fn doubling(depth: usize, known: &str) -> Vec<u8> {
    let mut text = "(component $a)".to_owned();
    for _ in 0..depth {
        text = format!(
            "(component $a {text} {known} (instance (instantiate $b)) (instance (instantiate $b)))"
        );
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Each of some hundred bytes: a compiler that began with one would take all memory there is, or hours.
#[tokio::test]
async fn endlessly_unfolding_components_are_refused_before_compiling() {
    let folder = tempfile::tempdir().unwrap();
    let export = r#"(export $b "b" (component $a))"#;
    let alias = "(component $c (alias outer 1 $a (component $b))
            (instance (instantiate $b)) (instance (instantiate $b)))
        (alias outer 0 $c (component $b))";
    let import = wat::parse_str(
        r#"(component (component $a (import "c" (component $b)) (instance (instantiate $b))))"#,
    );
    let of_an_instance = wat::parse_str(
        r#"(component (component $a) (instance $i (export "c" (component $a)))
            (alias export $i "c" (component $b)) (instance (instantiate $b)))"#,
    );
    let mut exports = "(component (instance $i0)".to_owned();
    for level in 1..=17 {
        let below = level - 1;
        exports += &format!(
            r#"(instance $i{level} (export "a" (instance $i{below})) (export "b" (instance $i{below})))"#
        );
    }
    let exports = wat::parse_str(exports + r#"(export "x" (instance $i17)))"#);
    let too_large =
        "has more than 8 MiB of sections with those of all components that it instantiates";
    let too_deep = "has components within components, more than 100 deep";
    let types_too_deep = "has types within types, more than 100 deep";
    let unclear = "imports components";
    let none = "is not a toolhost plugin";
    for (name, component, why) in [
        (
            "doubling",
            doubling(40, "(alias outer 0 $a (component $b))"),
            too_large,
        ),
        ("doubling-by-export", doubling(40, export), too_large),
        ("doubling-twice", doubling(20, alias), too_large),
        (
            "doubling-a-little",
            doubling(10, "(alias outer 0 $a (component $b))"),
            none,
        ),
        ("exports-of-exports", exports.unwrap(), too_large),
        ("import", import.unwrap(), unclear),
        ("of-an-instance", of_an_instance.unwrap(), unclear),
        ("types", nested_types(1_000_000, 0x41), types_too_deep),
        ("instance-types", nested_types(5_000, 0x42), types_too_deep),
        (
            "types-within",
            {
                let inner = nested_types(5_000, 0x41);
                let length = common::leb128(inner.len() as u32);
                [&inner[..8], &[4], &length, &inner].concat()
            },
            types_too_deep,
        ),
        ("types-a-little", nested_types(50, 0x41), none),
        ("nested", nested(60_000), too_deep),
        ("nested-a-little", nested(100), none),
    ] {
        let path = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, component).unwrap();
        let loaded = common::try_load(manifest([PluginConfig::new("echo", path)])).await;
        let said = loaded.unwrap_err().to_string();
        assert!(said.contains(why), "{name}: {said}");
    }
}
