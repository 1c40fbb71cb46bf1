//! What a call costs, beside bare wasmtime in its best configuration, in one run:
//! `cargo bench --bench call`. The host has every limit on; `audited` writes its audit log as well.
//!
//! Criterion's own report is followed by the ratios of the medians.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::bare::Bare;
use common::{answer, concurrent_manifest, echo, guest, limited_manifest, load, median};
use criterion::Criterion;
use tokio::runtime::Runtime;
use toolhost::ToolHost;
use toolhost::manifest::AuditConfig;

const IN_FLIGHT: u64 = 64;

/// Nanoseconds a call, one entry a sample.
type Samples = Mutex<Vec<f64>>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let manifest = limited_manifest(IN_FLIGHT as usize);
    let host = runtime.block_on(load(manifest.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let mut manifest = manifest;
    manifest.audit = Some(AuditConfig::new(folder.path().join("audit.jsonl")));
    let audited = runtime.block_on(load(manifest));
    let bare = Bare::new(&guest("echo"));
    let mut criterion = Criterion::default().configure_from_args().sample_size(60);

    let concurrent = Concurrent(runtime.block_on(load(concurrent_manifest(IN_FLIGHT as usize))));

    let samples: [Samples; 6] = Default::default();
    let [
        one_host,
        one_audited,
        one_concurrent,
        one_bare,
        many_host,
        many_bare,
    ] = &samples;
    let mut group = criterion.benchmark_group("one_call");
    group.bench_function("toolhost", |b| {
        b.iter_custom(|n| {
            sampled(one_host, n, || {
                sequence(&runtime, n, Arc::new(host.clone()))
            })
        });
    });
    group.bench_function("audited", |b| {
        b.iter_custom(|n| {
            sampled(one_audited, n, || {
                sequence(&runtime, n, Arc::new(audited.clone()))
            })
        });
    });
    group.bench_function("concurrent_engine", |b| {
        b.iter_custom(|n| {
            sampled(one_concurrent, n, || {
                sequence(&runtime, n, Arc::new(concurrent.clone()))
            })
        });
    });
    group.bench_function("bare_wasmtime", |b| {
        b.iter_custom(|n| sampled(one_bare, n, || sequence(&runtime, n, bare.clone())));
    });
    group.finish();
    let mut group = criterion.benchmark_group("64_in_flight");
    group.throughput(criterion::Throughput::Elements(1));
    group.bench_function("toolhost", |b| {
        b.iter_custom(|n| sampled(many_host, n, || flight(&runtime, n, Arc::new(host.clone()))));
    });
    group.bench_function("bare_wasmtime", |b| {
        b.iter_custom(|n| sampled(many_bare, n, || flight(&runtime, n, bare.clone())));
    });
    group.finish();
    criterion.final_summary();

    report("one call, median", one_host, one_bare);
    report("one call, audited", one_audited, one_bare);
    report("one call, async plugin", one_concurrent, one_bare);
    report("64 in flight, time per call", many_host, many_bare);
}

trait Call: Send + Sync + 'static {
    fn call(&self) -> impl Future<Output = ()> + Send;
}

impl Call for ToolHost {
    async fn call(&self) {
        let result = ToolHost::call(self, echo()).await;
        assert!(result.outcome.is_ok());
    }
}

/// A host of a plugin for the concurrent engine.
#[derive(Clone)]
struct Concurrent(ToolHost);

impl Call for Concurrent {
    async fn call(&self) {
        let result = self.0.call(answer()).await;
        assert!(result.outcome.is_ok());
    }
}

impl Call for Bare {
    async fn call(&self) {
        Bare::call(self).await;
    }
}

/// One call after another, on a worker of the runtime.
fn sequence(runtime: &Runtime, calls: u64, callee: Arc<impl Call>) -> Duration {
    let task = runtime.spawn(async move {
        let start = Instant::now();
        for _ in 0..calls {
            callee.call().await;
        }
        start.elapsed()
    });
    runtime.block_on(task).expect("no panic")
}

/// Calls from 64 tasks at once.
fn flight(runtime: &Runtime, calls: u64, callee: Arc<impl Call>) -> Duration {
    let start = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let callee = callee.clone();
            let share = calls / IN_FLIGHT + u64::from(task < calls % IN_FLIGHT);
            runtime.spawn(async move {
                for _ in 0..share {
                    callee.call().await;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    start.elapsed()
}

fn sampled(samples: &Samples, calls: u64, run: impl FnOnce() -> Duration) -> Duration {
    let duration = run();
    // Few calls say more about starting tasks than about calls.
    if calls >= 1000 {
        let per_call = duration.as_nanos() as f64 / calls as f64;
        samples.lock().expect("no panic").push(per_call);
    }
    duration
}

fn report(what: &str, host: &Samples, bare: &Samples) {
    let mut host = host.lock().expect("no panic");
    let mut bare = bare.lock().expect("no panic");
    if host.is_empty() || bare.is_empty() {
        return;
    }
    let (host, bare) = (median(&mut host), median(&mut bare));
    println!(
        "{what}: toolhost {:.2} µs ({:.0}/s), bare wasmtime {:.2} µs ({:.0}/s), ratio {:.2}",
        host / 1e3,
        1e9 / host,
        bare / 1e3,
        1e9 / bare,
        host / bare
    );
}
