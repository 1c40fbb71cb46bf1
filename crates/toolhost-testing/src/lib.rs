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

use std::path::Path;
use std::time::{Duration, Instant};

pub use gate::Gate;
#[cfg(feature = "host")]
pub use host::*;

/// Longer than anything takes that ends at all: a wait for so long is a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds that another thread or process brings about.
///
/// # Panics
///
/// With `what`, if it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the repository")
}
