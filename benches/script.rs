//! What a program of the plugin `script` costs: a fresh instance to the value of `1+2`, a thousand
//! calls of the echo guest by `Promise.all` beside a batch of a thousand, and what calls beside a
//! program without end wait. Also `1+2` in Python: `cargo bench --bench script`.

mod common;

use std::time::{Duration, Instant};

use common::{code_cache, guest, median};
use serde_json::json;
use tokio::runtime::Runtime;
use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::{CallOptions, Loader, ToolCall, ToolHost};

const SAMPLES: usize = 40;
const CALLS: usize = 1000;

/// The deadline of the program that never ends.
const ENDLESS: Duration = Duration::from_millis(500);

/// The most microseconds for `1+2`, on a quiet machine.
const MOST_ALONE: f64 = 400.0;
/// The most that the calls of a program may cost of what those of a batch cost.
const MOST: f64 = 3.0;

const ALL: &str = "const calls = Array.from({ length: 1000 }, (_, n) => tools.echo({ text: `${n}` }));\n\
                   (await Promise.all(calls)).length";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let host = host(&runtime);
    let (mut alone, mut programs, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    sample(&runtime, &host, "1+2", "3");
    sample(&runtime, &host, ALL, "1000");
    for _ in 0..SAMPLES {
        alone.push(sample(&runtime, &host, "1+2", "3"));
        programs.push(sample(&runtime, &host, ALL, "1000"));
        batches.push(batch(&runtime, &host));
    }
    let python = python(&runtime);
    endless(&runtime, &host);
    let alone = median(&mut alone);
    println!("a fresh instance to the value of 1+2: {alone:.0} µs (at most {MOST_ALONE})");
    println!("the same in Python, by script-python: {python:.0} µs");
    let (program, batch) = (median(&mut programs), median(&mut batches));
    println!(
        "{CALLS} calls: by a program {:.1} ms, by a batch {:.1} ms, ratio {:.2} (at most {MOST})",
        program / 1000.0,
        batch / 1000.0,
        program / batch
    );
}

fn host(runtime: &Runtime) -> ToolHost {
    let mut script = PluginConfig::new("script", guest("script"));
    script.permissions.tools = vec!["echo".parse().expect("a pattern")];
    script.limits.max_tool_calls = CALLS as u32;
    let echo = PluginConfig::new("echo", guest("echo"));
    let manifest = Manifest::default().with_plugins(vec![script, echo]);
    let loader = Loader::new(manifest).code_cache(code_cache());
    runtime.block_on(loader.load()).expect("the guests load")
}

/// Microseconds of `1+2` in Python.
fn python(runtime: &Runtime) -> f64 {
    let script = PluginConfig::new("script-python", guest("script-python"));
    let manifest = Manifest::default().with_plugins(vec![script]);
    let loader = Loader::new(manifest).code_cache(code_cache());
    let host = runtime.block_on(loader.load()).expect("the guest loads");
    sample_of(runtime, &host, ("run_python", "1+2"), "3");
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| sample_of(runtime, &host, ("run_python", "1+2"), "3"))
        .collect();
    median(&mut samples)
}

/// Prints what calls take alone, and beside a program that never ends, and when that has ended.
fn endless(runtime: &Runtime, host: &ToolHost) {
    let echo = || {
        let mut took: Vec<f64> = (0..10 * SAMPLES)
            .map(|_| {
                let start = Instant::now();
                let call = ToolCall::new("call", "echo", r#"{"text":"1"}"#);
                assert!(runtime.block_on(host.call(call)).outcome.is_ok());
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        (median(&mut took), took.iter().copied().fold(0.0, f64::max))
    };
    let (alone, longest_alone) = echo();
    let start = Instant::now();
    let endless = runtime.spawn({
        let arguments = json!({ "code": "while (true) {}" }).to_string();
        let options = CallOptions::new().timeout(ENDLESS);
        let host = host.clone();
        async move {
            let call = ToolCall::new("endless", "run_script", arguments);
            let result = host.call_with(call, &options).await;
            (result.outcome.is_err(), start.elapsed())
        }
    });
    let (beside, longest_beside) = echo();
    let (is_stopped, took) = runtime.block_on(endless).expect("no panic");
    assert!(is_stopped);
    println!(
        "echo calls: {alone:.0} µs alone (longest {longest_alone:.0}), {beside:.0} µs beside `while (true) {{}}` \
         (longest {longest_beside:.0}), which was ended {:.1} ms after its deadline",
        took.saturating_sub(ENDLESS).as_secs_f64() * 1e3
    );
}

/// Microseconds of a program, on a worker of the runtime.
fn sample(runtime: &Runtime, host: &ToolHost, code: &str, expected: &'static str) -> f64 {
    sample_of(runtime, host, ("run_script", code), expected)
}

/// The same of any tool that runs programs.
fn sample_of(
    runtime: &Runtime,
    host: &ToolHost,
    (tool, code): (&'static str, &str),
    expected: &'static str,
) -> f64 {
    let (host, arguments) = (host.clone(), json!({ "code": code }).to_string());
    let task = runtime.spawn(async move {
        let call = ToolCall::new("call", tool, arguments);
        let start = Instant::now();
        let result = host.call(call).await;
        let took = start.elapsed();
        assert_eq!(result.to_text(), expected);
        took
    });
    runtime.block_on(task).expect("no panic").as_secs_f64() * 1e6
}

/// Microseconds of a batch of as many calls.
fn batch(runtime: &Runtime, host: &ToolHost) -> f64 {
    let host = host.clone();
    let task = runtime.spawn(async move {
        let echo = |n: usize| ToolCall::new("call", "echo", format!(r#"{{"text":"{n}"}}"#));
        let start = Instant::now();
        let results = host.run_all((0..CALLS).map(echo)).await;
        let took = start.elapsed();
        assert!(results.iter().all(|result| result.outcome.is_ok()));
        took
    });
    runtime.block_on(task).expect("no panic").as_secs_f64() * 1e6
}
