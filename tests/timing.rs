//! Side by side, not one after another. These hold the clock to what they claim, so they run one
//! at a time, and alone: `cargo xtask test` gives them a turn of their own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use toolhost::CallError;
use toolhost::agent::{Agent, Event, Observer, Summary};
use toolhost::manifest::{AgentConfig, Manifest};
use toolhost::wire::Format;
use toolhost_testing::model::{self, Peer};
use toolhost_testing::{self as common, resident};
use toolhost_testing::{call, echo, error, load, manifest, plugin, text};

/// How late a call may end that computes: it gives way every 2 ms, and then others have their turn.
const GRACE: Duration = Duration::from_millis(50);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs on two worker threads, as many as the machine that the numbers are for has cores.
fn on_two_workers<T>(run: impl Future<Output = T>) -> T {
    let _alone = alone();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run)
}

fn with_timeout(timeout: Duration) -> Manifest {
    let mut slow = plugin("misbehave");
    slow.limits.timeout = timeout;
    manifest([plugin("echo"), slow])
}

#[test]
fn three_calls_that_wait_two_seconds_end_in_about_two() {
    on_two_workers(async {
        let host = common::host(&["misbehave"]).await;
        let start = Instant::now();
        let results = host
            .run_all((0..3).map(|_| call("sleep", json!({"ms": 2000}))))
            .await;
        let took = start.elapsed();
        assert!(results.iter().all(|result| result.outcome.is_ok()));
        assert!(
            took >= Duration::from_secs(2) && took < Duration::from_millis(2500),
            "{took:?}"
        );
    });
}

#[test]
fn calls_that_compute_do_not_hold_up_calls_that_wait() {
    on_two_workers(async {
        let host = common::host(&["misbehave"]).await;
        let compute = (0..2).map(|_| call("compute", json!({"ms": 1000})));
        let sleep = (0..4).map(|_| call("sleep", json!({"ms": 1000})));
        let start = Instant::now();
        let results = host.run_all(compute.chain(sleep)).await;
        let took = start.elapsed();
        assert!(results.iter().all(|result| result.outcome.is_ok()));
        assert!(took <= Duration::from_millis(1500), "{took:?}");
    });
}

#[test]
fn spinning_calls_end_on_time_and_every_healthy_call_answers() {
    on_two_workers(async {
        let timeout = Duration::from_millis(500);
        let host = load(with_timeout(timeout)).await;
        let spin = (0..8).map(|_| call("spin", json!({})));
        let healthy = (0..100).map(|number| echo(number, "hi"));
        let results = host.run_all(spin.chain(healthy)).await;
        for result in &results[8..] {
            assert_eq!(text(result), "hi");
        }
        for result in &results[..8] {
            assert_eq!(error(result), &CallError::Timeout { after: timeout });
            let late = result.usage.run - timeout;
            assert!(late <= GRACE, "a spinner ended {late:?} after its deadline");
        }
    });
}

#[test]
fn healthy_call_beside_spinners_waits_for_ticks_only() {
    on_two_workers(async {
        let host = load(with_timeout(Duration::from_secs(2))).await;
        let spinners = tokio::spawn({
            let host = host.clone();
            async move { host.run_all((0..8).map(|_| call("spin", json!({})))).await }
        });
        let start = Instant::now();
        for number in 0..10 {
            assert_eq!(text(&host.call(echo(number, "hi")).await), "hi");
        }
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        assert!(!spinners.is_finished());
    });
}

#[test]
fn memory_grows_with_the_cap_and_not_with_the_batch() {
    on_two_workers(async {
        let host = common::host(&["echo"]).await;
        let batch = async |calls: usize| {
            let mut batch = host.run((0..calls).map(|number| echo(number, "hi")));
            let mut answered = 0;
            while let Some((_, result)) = batch.next().await {
                answered += usize::from(result.outcome.is_ok());
            }
            assert_eq!(answered, calls);
            resident::resident()
        };
        let short = batch(1_000).await;
        let long = batch(100_000).await;
        let ratio = long as f64 / short as f64;
        assert!(
            ratio <= 1.5,
            "{short} bytes after 1,000 calls, {long} after 100,000"
        );
        // Calls and results of the whole batch would take some 60 MiB.
        assert!(long.saturating_sub(short) < 16 << 20, "{short} {long}");
    });
}

#[test]
fn a_turn_of_six_calls_that_sleep_takes_hardly_longer_than_one() {
    on_two_workers(async {
        let host = common::host(&["misbehave"]).await;
        let ids = ["a", "b", "c", "d", "e", "f"];
        let naps = ids.map(|id| (id, "sleep", json!({"ms": 300})));
        let format = Format::Anthropic;
        let peer = Peer::start(vec![
            model::calls(format, &naps),
            model::text(format, "done"),
        ]);
        let mut config = AgentConfig::default();
        config.provider = Some(format);
        config.model = Some("model".to_owned());
        config.base_url = Some(peer.url.parse().unwrap());
        let mut slowest = Slowest::default();
        let mut agent = Agent::new(host, config).unwrap().stream(false);
        agent.ask("nap", &mut slowest).await.unwrap();
        let Summary { calls, wall, .. } = agent.summary();
        assert_eq!(calls, 6);
        assert!(slowest.0 >= Duration::from_millis(300), "{slowest:?}");
        assert!(
            wall.as_secs_f64() <= 1.2 * slowest.0.as_secs_f64(),
            "{wall:?}, {slowest:?}"
        );
    });
}

/// How long the slowest call ran.
#[derive(Debug, Default)]
struct Slowest(Duration);

impl Observer for Slowest {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Result { result, .. } = event {
            assert!(result.outcome.is_ok(), "{result:?}");
            self.0 = self.0.max(result.usage.run);
        }
    }
}
