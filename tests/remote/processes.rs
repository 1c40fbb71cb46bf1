//! Processes: none outlives its host.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, is_alive};
use crate::common::call;

#[tokio::test]
async fn no_process_outlives_its_host() {
    for mode in ["normal", "with-child", "stubborn"] {
        let stage = Stage::new(&[mode], "");
        let host = stage.load().await;
        let mut processes = vec![stage.event("start").await];
        if mode == "with-child" {
            processes.push(stage.event("child").await);
        }
        assert!(processes.iter().all(|process| is_alive(process)));
        let start = Instant::now();
        drop(host);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        // A killed process takes a moment to be gone.
        while processes.iter().any(|process| is_alive(process)) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{mode}: {processes:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // It was told first.
        stage.event("end").await;
    }
}

#[test]
fn no_process_outlives_a_runtime_that_ends_with_calls_in_it() {
    let stage = Stage::new(&["with-child"], "");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let processes = runtime.block_on(async {
        let host = stage.load().await;
        let sleeping = host.clone();
        tokio::spawn(async move { sleeping.call(call("sleep", json!({ "seconds": 20 }))).await });
        stage.event("call sleep").await;
        [stage.event("start").await, stage.event("child").await]
    });
    drop(runtime);
    let start = Instant::now();
    while processes.iter().any(|process| is_alive(process)) {
        assert!(start.elapsed() < Duration::from_secs(5), "{processes:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
