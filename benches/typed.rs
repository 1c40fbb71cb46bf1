//! What a function of any type costs, beside the same function behind the plugin interface, in one
//! run: `cargo bench --bench typed`. The guests `echo` and `typed-echo` do the same.

mod common;

use std::time::{Duration, Instant};

use common::{ARGUMENTS, code_cache, guest, median};
use tokio::runtime::Runtime;
use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::{Loader, ToolCall, ToolHost};

/// Samples of each, taken in turn, so that both see the same machine.
const SAMPLES: usize = 60;
const CALLS: u32 = 500;

/// The most that a function may cost of what the same tool costs.
const MOST: f64 = 1.5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let plugin = host(&runtime, "echo");
    let typed = host(&runtime, "typed-echo");
    for arguments in [
        ARGUMENTS.to_owned(),
        format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000)),
    ] {
        let (mut plugins, mut functions) = (Vec::new(), Vec::new());
        sample(&runtime, &plugin, &arguments);
        sample(&runtime, &typed, &arguments);
        for _ in 0..SAMPLES {
            plugins.push(sample(&runtime, &plugin, &arguments));
            functions.push(sample(&runtime, &typed, &arguments));
        }
        let (plugin, function) = (median(&mut plugins), median(&mut functions));
        let ratio = function / plugin;
        println!(
            "{} bytes of arguments: plugin interface {plugin:.2} µs, function {function:.2} µs, ratio {ratio:.2} (at most {MOST})",
            arguments.len()
        );
    }
}

fn host(runtime: &Runtime, name: &str) -> ToolHost {
    let plugins = vec![PluginConfig::new(name, guest(name))];
    let manifest = Manifest::default().with_plugins(plugins);
    let loader = Loader::new(manifest).code_cache(code_cache());
    runtime.block_on(loader.load()).expect("the guest loads")
}

/// Microseconds a call, on a worker of the runtime.
fn sample(runtime: &Runtime, host: &ToolHost, arguments: &str) -> f64 {
    let (host, arguments) = (host.clone(), arguments.to_owned());
    let task = runtime.spawn(async move {
        let mut took = Duration::ZERO;
        for _ in 0..CALLS {
            let call = ToolCall::new("call", "echo", arguments.clone());
            let start = Instant::now();
            let result = host.call(call).await;
            took += start.elapsed();
            assert!(result.outcome.is_ok(), "{:?}", result.outcome);
        }
        took
    });
    let took = runtime.block_on(task).expect("no panic");
    took.as_secs_f64() * 1e6 / f64::from(CALLS)
}
