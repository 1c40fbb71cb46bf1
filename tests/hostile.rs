//! The sandbox under attack. `hostile/table` has a row for every attack: what the plugin is
//! granted, and how its call must end.

mod attack;
mod components;
mod loads;
mod planted;
mod process;
#[cfg(target_os = "linux")]
mod rebinding;
#[cfg(target_os = "linux")]
mod resolver;
mod secrets;
mod stage;
mod table;
mod tls;
mod wire;

use std::time::Duration;

use attack::{Attack, Generation};
use process::{Held, memory, memory_within};
use serde_json::json;
use stage::Stage;
use toolhost::{CodeCache, Loader, ToolCall, ToolHost, ToolResult};

use crate::common;

/// Set in the child that runs the table.
const ALONE: &str = "TOOLHOST_TEST_HOSTILE_ALONE";

/// Bytes that the process may hold after the table more than before it.
const MOST_GROWTH: usize = 8 << 20;

/// Healthy calls in the batch of each attack.
const HEALTHY: usize = 20;

/// The table runs in a process of its own, whose threads, descriptors and memory are those of the
/// table and of no other test: this binary again, which costs no second linking of wasmtime.
#[test]
fn every_attack_ends_as_it_must_and_leaves_nothing() {
    run_alone(
        "every_attack_ends_as_it_must_and_leaves_nothing",
        Generation::Wasi2,
    );
}

/// The same attacks, by the same code, on the engine for WASI 0.3.
#[test]
fn every_attack_by_wasi_0_3_ends_as_it_must_and_leaves_nothing() {
    run_alone(
        "every_attack_by_wasi_0_3_ends_as_it_must_and_leaves_nothing",
        Generation::Wasi3,
    );
}

fn run_alone(test: &str, generation: Generation) {
    if std::env::var_os(ALONE).is_some() {
        return run_table(generation);
    }
    let test = format!("hostile::{test}");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        // Debug information is not to be read for errors that are as they should be.
        .env("RUST_BACKTRACE", "0")
        // The allocator gives back what is freed, so that what stays is held by somebody.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&child.stdout), said(&child.stderr));
    assert!(
        child.status.success(),
        "{}\n{stdout}\n{stderr}",
        child.status
    );
    assert!(stdout.contains("1 passed"), "{stdout}");
}

fn run_table(generation: Generation) {
    let stage = Stage::new(generation);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Threads for blocking calls end soon after their last one.
    let quiet = Duration::from_millis(100);
    runtime
        .worker_threads(2)
        .thread_keep_alive(quiet)
        .enable_all();
    let runtime = runtime.build().unwrap();

    runtime.block_on(warm_up(&stage));
    let before = Held::settled(5 * quiet);
    let memory_before = memory();
    let mut wrong = Vec::new();
    for (manifest, attacks) in grouped(generation) {
        runtime.block_on(async {
            let host = common::load(stage.manifest(manifest)).await;
            for attack in attacks {
                let why = run(attack, &host, &stage).await;
                wrong.extend(why.iter().map(|why| format!("{}: {why}", attack.name)));
            }
        });
    }
    let after = before.again();
    let grown = memory_within(memory_before + MOST_GROWTH).saturating_sub(memory_before);
    println!("{before:?}, {memory_before} bytes; then {after:?}, {grown} bytes more");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(after.is_within(before), "{after:?} after {before:?}");
    // One bomb alone takes 64 MiB: a single one that stayed would be seen. What is left is what the
    // allocator and the threads of the pool keep.
    assert!(
        grown <= MOST_GROWTH,
        "{grown} bytes more than {memory_before}"
    );
}

#[tokio::test]
async fn every_tool_of_the_guest_is_in_the_table_and_every_row_has_a_name() {
    let host = common::host(&["hostile"]).await;
    let tools = host.tools().map(|tool| &*tool.name);
    let unused: Vec<&str> = tools
        .filter(|name| *name != "healthy" && table::attacks().all(|attack| attack.tool != *name))
        .collect();
    assert_eq!(unused, Vec::<&str>::new());

    let names: Vec<&str> = table::attacks().map(|attack| attack.name).collect();
    for name in &names {
        let is_kebab =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(name.bytes().all(is_kebab), "{name}");
        let same = names.iter().filter(|other| *other == name).count();
        assert_eq!(same, 1, "{name}");
    }
    assert!(names.len() >= 60, "{}", names.len());
}

/// The attacks by what the manifest says, in the table's order.
fn grouped(generation: Generation) -> Vec<(&'static str, Vec<&'static Attack>)> {
    let mut groups: Vec<(&str, Vec<&Attack>)> = Vec::new();
    for attack in table::attacks().filter(|attack| attack.is_of(generation)) {
        match groups.iter_mut().find(|(text, _)| *text == attack.manifest) {
            Some((_, attacks)) => attacks.push(attack),
            None => groups.push((attack.manifest, vec![attack])),
        }
    }
    groups
}

/// What is made once for a process: the threads that compile.
async fn warm_up(stage: &Stage) {
    let quiet = stage.manifest("path = '<quiet>'");
    let loader = Loader::new(quiet).code_cache(CodeCache::Off);
    drop(loader.load().await.unwrap());
    // All of them, so that none is compiled later on.
    for (manifest, _) in grouped(stage.generation) {
        common::load(stage.manifest(manifest)).await;
    }
    let host = common::load(stage.manifest("")).await;
    let results = host.run_all((0..100).map(healthy)).await;
    assert!(
        (0..100)
            .zip(&results)
            .all(|(number, result)| is_healthy(number, result))
    );
}

fn healthy(number: usize) -> ToolCall {
    let arguments = json!({ "number": 100 + number });
    ToolCall::new(number.to_string(), "calm_healthy", arguments.to_string())
}

fn is_healthy(number: usize, result: &ToolResult) -> bool {
    let square = (100 + number).pow(2).to_string();
    matches!(&result.outcome, Ok(output) if output.to_text() == square)
}

/// Runs an attack between healthy calls; what is wrong with what came of it.
async fn run(attack: &Attack, host: &ToolHost, stage: &Stage) -> Vec<String> {
    stage.reset();
    let untouched = stage.untouchable();
    let half = HEALTHY / 2;
    let mut calls: Vec<ToolCall> = (0..HEALTHY).map(healthy).collect();
    calls.insert(half, attack.call(stage));
    let mut results = host.run_all(calls).await;
    let result = results.remove(half);

    let mut wrong = Vec::new();
    wrong.extend(attack.judge(&result, stage).err());
    if secrets::is_in(&format!("{result:?} {}", result.to_text())) {
        wrong.push(format!("the secret is in {result:?}"));
    }
    for (number, result) in results.iter().enumerate() {
        if !is_healthy(number, result) {
            wrong.push(format!("healthy call {number} ended as {result:?}"));
        }
    }
    for (name, server) in stage.servers() {
        let expected = attack.seen.iter().find(|(of, _)| *of == name);
        let expected = expected.map_or(0, |(_, count)| *count);
        let seen = server.take();
        if seen.len() > expected || (seen.len() < expected && !attack.or_less) {
            wrong.push(format!("{name} saw {seen:#.500?} instead of {expected}"));
        }
    }
    if stage.untouchable() != untouched {
        wrong.push("it changed files".to_owned());
    }
    wrong
}
