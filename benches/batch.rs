//! A recorded batch through the library, from the response's text to the text of its tool messages,
//! beside the same through Python's `asyncio.gather` over plain in-process functions; what keeping order costs
//! calls that change nothing; and the memory of a long batch beside that of a short one, in one run:
//! `cargo bench --bench batch`.

mod common;

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use common::{echo, echo_host, echo_manifest, load, median};
use futures_util::StreamExt;
use toolhost::manifest::Order;
use toolhost::permissions::{Access, FileGrant};
use toolhost::wire;

const ROUNDS: usize = 15;

/// Python's side: the same batch over and over, dispatched as agents in Python do.
const GATHER: &str = r#"
import asyncio, json, sys, time
response = sys.stdin.read()
async def echo(text): return text
tools = {"echo": echo}
async def one(id, name, arguments):
    try:
        content = await tools[name](**json.loads(arguments))
    except Exception as error:
        content = f"Error: {name} failed - {error}"
    return {"role": "tool", "tool_call_id": id, "content": content}
async def main():
    rates = []
    for _ in range(int(sys.argv[1])):
        start = time.perf_counter()
        for _ in range(200):
            calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in json.loads(response)]
            messages = json.dumps(await asyncio.gather(*(one(*call) for call in calls)))
        rates.append(200 * len(calls) / (time.perf_counter() - start))
    print(sorted(rates)[len(rates) // 2])
asyncio.run(main())
"#;

fn main() {
    // `--memory N` is this program asking itself, in a process of its own.
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--memory") {
        let calls = arguments[place + 1].parse().expect("a number of calls");
        println!("{}", resident_after(calls));
        return;
    }
    let response = recorded(100);
    let ours = library(&response);
    let theirs = python(&response);
    println!(
        "a recorded batch of 100 calls: toolhost {ours:.0} calls/s, asyncio.gather {theirs:.0} calls/s, ratio {:.2}",
        ours / theirs
    );
    let ratio = order();
    println!("a batch of calls that read a folder: kept in order to without, ratio {ratio:.3}");
    let [short, long] = [1_000, 100_000].map(memory);
    println!(
        "resident memory after a batch: 1,000 calls {:.1} MiB, 100,000 calls {:.1} MiB, ratio {:.2}",
        short / f64::from(1 << 20),
        long / f64::from(1 << 20),
        long / short
    );
}

/// The `tool_calls` of a model's message.
fn recorded(calls: usize) -> String {
    let call = |number| {
        serde_json::json!({
            "id": format!("call_{number}"),
            "type": "function",
            "function": {"name": "echo", "arguments": common::ARGUMENTS},
        })
    };
    serde_json::Value::Array((0..calls).map(call).collect()).to_string()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().expect("a runtime")
}

/// Calls a second, the median of the rounds.
fn library(response: &str) -> f64 {
    runtime().block_on(async {
        let host = echo_host(16).await;
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let mut count = 0;
            for _ in 0..200 {
                let (format, calls) = wire::decode(response.as_bytes(), None).expect("calls");
                let results = host.run_all(calls).await;
                assert!(results.iter().all(|result| result.outcome.is_ok()));
                let answers: Vec<_> = results.iter().map(wire::Answer::new).collect();
                let messages = format.answers(&answers);
                count += messages.len();
                black_box(serde_json::to_string(&messages).expect("JSON"));
            }
            rates.push(count as f64 / start.elapsed().as_secs_f64());
        }
        median(&mut rates)
    })
}

/// Time of a batch whose calls may read what others may write, to that of the same calls out of order:
/// the median of ratios of rounds that take turns.
fn order() -> f64 {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let mut hosts = Vec::new();
        for order in [Order::Auto, Order::Parallel] {
            let mut manifest = echo_manifest(16);
            let plugin = &mut manifest.plugins[0];
            plugin.order = order;
            plugin
                .permissions
                .files
                .push(FileGrant::new(folder.path(), "/w").with_access(Access::ReadWrite));
            hosts.push(load(manifest).await);
        }
        let mut ratios = Vec::new();
        for _ in 0..4 * ROUNDS {
            let mut times = Vec::new();
            for host in &hosts {
                let start = Instant::now();
                for _ in 0..20 {
                    let results = host.run_all((0..100).map(|_| echo())).await;
                    assert!(results.iter().all(|result| result.outcome.is_ok()));
                }
                times.push(start.elapsed().as_secs_f64());
            }
            ratios.push(times[0] / times[1]);
        }
        median(&mut ratios)
    })
}

fn python(response: &str) -> f64 {
    let input = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut &input, response.as_bytes()).expect("written");
    std::io::Seek::rewind(&mut &input).expect("rewound");
    let output = Command::new("python3")
        .args(["-c", GATHER, &ROUNDS.to_string()])
        .stdin(input)
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rate = String::from_utf8(output.stdout).expect("a number");
    rate.trim().parse().expect("a number")
}

/// Bytes resident at the end of a process that ran one batch of so many calls.
fn memory(calls: usize) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--memory", &calls.to_string()])
        .output()
        .expect("it runs");
    let bytes = String::from_utf8(output.stdout).expect("a number");
    bytes.trim().parse().expect("a number")
}

fn resident_after(calls: usize) -> usize {
    runtime().block_on(async {
        let host = echo_host(16).await;
        let mut batch = host.run((0..calls).map(|_| echo()));
        let mut answered = 0;
        while let Some((_, result)) = batch.next().await {
            assert!(result.outcome.is_ok());
            answered += 1;
        }
        assert_eq!(answered, calls);
        toolhost_testing::resident::resident()
    })
}
