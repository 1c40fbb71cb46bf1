//! Reading responses: `cargo bench --bench wire`.
//!
//! Decodes a response of 1,000 calls in each format, whole and as an event stream, beside `serde_json`
//! reading the same bytes into a tree; and times, in `toolhost run --sse`, when the first call has
//! started and has its result, from the last byte of its arguments and from the end of the response.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{echo_host, guest, median};
use toolhost::ToolCall;
use toolhost::wire::{self, Delta, Events, Format};
use toolhost_testing::responses::{
    APIS, Around, Event, Pieces, Style, chunked, events, receive, sse, whole,
};

const CALLS: usize = 1000;
const ROUNDS: usize = 31;

/// How long the response goes on after its first call.
const REST: Duration = Duration::from_millis(100);

fn main() {
    decoding();
    println!();
    println!("first call of a stream, medians of {ROUNDS}: from the last byte of its arguments to");
    println!(
        "                   its start  its result  its result, through the binary  before the end"
    );
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for format in APIS {
        let (start, result) = runtime.block_on(first_call(format));
        let (binary, early) = through_the_binary(format);
        println!(
            "{:<18} {start:>6.1} µs  {result:>7.1} µs  {binary:>27.2} ms  {early:>11.1} ms",
            format.name()
        );
    }
}

fn calls(count: usize) -> Vec<ToolCall> {
    let arguments = |number| {
        format!(
            r#"{{"text":"call number {number}, and some \"text\" to read","items":[1,2.5,{{"deep":null}}]}}"#
        )
    };
    (0..count)
        .map(|number| ToolCall::new(format!("call_{number}"), "echo", arguments(number)))
        .collect()
}

/// Calls whose arguments come in pieces of some ten characters.
fn pieces(calls: Vec<ToolCall>) -> Vec<Pieces> {
    let cut = |call: ToolCall| {
        let characters: Vec<char> = call.arguments.chars().collect();
        let pieces = characters.chunks(10).map(|piece| piece.iter().collect());
        Pieces {
            pieces: pieces.collect(),
            call,
        }
    };
    calls.into_iter().map(cut).collect()
}

/// One call after the other.
fn stream(format: Format, calls: Vec<ToolCall>) -> Vec<Event> {
    events(format, &pieces(calls), |_| 0)
}

fn decoding() {
    println!("{CALLS} calls, medians of {ROUNDS}");
    println!("                       whole              a tree of it       as a stream");
    for format in Format::ALL {
        let response = whole(format, &calls(CALLS), Around::Response);
        let decode = timed(|| {
            let (_, calls) = wire::decode(response.as_bytes(), Some(format)).expect("it decodes");
            assert_eq!(calls.len(), CALLS);
        });
        let tree = timed(|| {
            for document in serde_json::Deserializer::from_str(&response).into_iter() {
                let _: serde_json::Value = document.expect("it is JSON");
            }
        });
        let rate = |seconds: f64, bytes: usize| bytes as f64 / seconds / 1e6;
        print!(
            "{:<18} {:>6.2} ms {:>5.0} MB/s  {:>6.2} ms",
            format.name(),
            decode * 1e3,
            rate(decode, response.len()),
            tree * 1e3
        );
        if format.api().is_some() {
            let (bytes, _) = sse(&stream(format, calls(CALLS)), Style::PLAIN);
            let chunks = chunked(&bytes, 16 << 10);
            let streamed = timed(|| {
                let taken = receive(chunks.iter().cloned(), Some(format));
                assert_eq!(taken.handed.len(), CALLS);
            });
            print!(
                "  {:>6.2} ms {:>5.0} MB/s",
                streamed * 1e3,
                rate(streamed, bytes.len())
            );
        }
        println!();
    }
}

/// The median of its times, in seconds.
fn timed(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    median(&mut times)
}

/// Microseconds from the event with the last of the first call's arguments to the call's start, and to
/// its result.
async fn first_call(format: Format) -> (f64, f64) {
    let host = echo_host(16).await;
    let events = stream(format, calls(2));
    let complete = completes_first(&events);
    let (mut starts, mut results) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut reader = Events::new(Some(format)).expect("an API's format");
        let mut batch = host.open_batch();
        for event in &events[..complete] {
            assert!(
                !reader
                    .event(&event.data)
                    .expect("an event")
                    .iter()
                    .any(is_call)
            );
        }
        let came = Instant::now();
        let mut added = Duration::ZERO;
        for delta in reader.event(&events[complete].data).expect("an event") {
            if let Delta::Call { position, call } = delta {
                added = came.elapsed();
                batch.add(position, call);
            }
        }
        let (_, result) = batch.next().await.expect("a result");
        results.push(came.elapsed().as_secs_f64() * 1e6);
        starts.push((added + result.usage.queue).as_secs_f64() * 1e6);
        assert!(result.outcome.is_ok());
    }
    (median(&mut starts), median(&mut results))
}

fn is_call(delta: &Delta) -> bool {
    matches!(delta, Delta::Call { .. })
}

/// The event that has the last of the first call's arguments.
fn completes_first(events: &[Event]) -> usize {
    let completes = |event: &Event| event.completes.contains(&0);
    events.iter().position(completes).expect("it is complete")
}

/// Milliseconds from the last byte of the first call's arguments to its result on the binary's stdout,
/// and from that to the end of the response, which goes on for [`REST`].
fn through_the_binary(format: Format) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("toolhost.toml");
    let listed = format!("[plugin.echo]\npath = {:?}\n", guest("echo"));
    std::fs::write(&manifest, listed).expect("written");
    let events = stream(format, calls(1));
    let (bytes, ends) = sse(&events, Style::PLAIN);
    // The blank line after the data is what makes it an event.
    let complete = ends[completes_first(&events)] + 2;
    let (mut latencies, mut leads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_toolhost"))
            .args(["run", "--sse", "--stream", "--manifest"])
            .arg(&manifest)
            .arg("--code-cache")
            .arg(folder.path().join("code"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let (latency, lead) = fed(&mut child, &bytes, complete);
        latencies.push(latency);
        leads.push(lead);
        assert!(child.wait().expect("it ends").success());
    }
    (median(&mut latencies), median(&mut leads))
}

fn fed(child: &mut Child, bytes: &[u8], complete: usize) -> (f64, f64) {
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    // All but the last byte, and time to load: what is measured is the call.
    stdin.write_all(&bytes[..complete - 1]).expect("written");
    std::thread::sleep(Duration::from_millis(150));
    stdin
        .write_all(&bytes[complete - 1..complete])
        .expect("written");
    let came = Instant::now();
    let rest = bytes[complete..].to_vec();
    let ended = std::thread::spawn(move || {
        std::thread::sleep(REST);
        stdin.write_all(&rest).expect("written");
        Instant::now()
    });
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let answered = Instant::now();
    assert!(line.contains("call number 0"), "{line}");
    let ended = ended.join().expect("the rest is written");
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    (
        ms(answered - came),
        ms(ended.saturating_duration_since(answered)),
    )
}
