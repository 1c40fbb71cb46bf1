//! What the tests share: HTTP peers on loopback, gates that hold a call until the test goes on, waits for events, and
//! what a machine may lack. With the feature `wire`: responses in the formats of models' APIs. With `host`: hosts of
//! the built guests, and the binary.

#[cfg(feature = "wire")]
pub mod arbitrary;
#[cfg(feature = "host")]
pub mod binary;
#[cfg(feature = "host")]
pub mod dear;
#[cfg(feature = "wire")]
pub mod forms;
pub mod gate;
#[cfg(feature = "host")]
mod host;
pub mod http;
#[cfg(feature = "host")]
pub mod model;
#[cfg(target_os = "linux")]
pub mod namespace;
pub mod needs;
pub mod resident;
#[cfg(feature = "wire")]
pub mod responses;
#[cfg(feature = "host")]
pub mod typed;

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

pub use gate::Gate;
#[cfg(feature = "host")]
pub use host::*;

/// Longer than anything takes that ends at all: a wait for so long is a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a wait looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until something holds that another thread or process brings about.
///
/// # Panics
///
/// With `what`, if it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()).ok_or("false"));
}

/// Waits for a value.
///
/// # Panics
///
/// With `what` and the last thing seen instead, if it never comes.
#[track_caller]
pub fn wait_for<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => assert!(start.elapsed() < PATIENCE, "never: {what}; last: {seen:?}"),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// As [`wait_for`], on a thread that has work to do meanwhile.
///
/// # Panics
///
/// As there.
#[cfg(feature = "host")]
pub async fn eventually<T, E: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) => assert!(start.elapsed() < PATIENCE, "never: {what}; last: {seen:?}"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the repository")
}
