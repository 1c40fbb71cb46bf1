//! Counts the response bytes that clients have not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Clones share the counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadBytes(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    held: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            held: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
        }
    }
}

impl UnreadBytes {
    pub(super) fn set_most(&self, bytes: usize) {
        self.0.most.store(bytes, Ordering::Relaxed);
    }

    /// Something of size `before` now has size `after`.
    pub(crate) fn change(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(more) => self.0.held.fetch_add(more, Ordering::Relaxed),
            None => self.0.held.fetch_sub(before - after, Ordering::Relaxed),
        };
    }

    /// Whether the bound is exceeded.
    pub(crate) fn is_over(&self) -> bool {
        self.0.held.load(Ordering::Relaxed) > self.0.most.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl PartialEq<usize> for UnreadBytes {
    fn eq(&self, bytes: &usize) -> bool {
        self.0.held.load(Ordering::Relaxed) == *bytes
    }
}
