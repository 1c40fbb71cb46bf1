//! Bounds on all HTTP requests of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use http::HeaderMap;

use super::{Grants, Journal};
use crate::limits::{Limit, Limits};

/// What a call's requests may use, and have used.
pub(super) struct HttpBounds {
    pub(super) grants: Arc<Grants>,
    pub(super) journal: Journal,
    /// Requests whose responses have not been read to the end.
    pub(super) open: AtomicU32,
    /// Bytes of response bodies so far.
    pub(super) received: AtomicU64,
}

impl HttpBounds {
    pub(super) fn limits(&self) -> &Limits {
        &self.grants.limits
    }

    /// Counts bytes of a response's body. Returns whether they are within the limit.
    pub(super) fn receive(&self, bytes: u64) -> bool {
        let before = self.received.fetch_add(bytes, Ordering::Relaxed);
        let bound = self.limits().max_response;
        let fits = before.saturating_add(bytes) <= bound.as_u64();
        if !fits {
            self.journal.over(Limit::Response, bound);
        }
        fits
    }
}

/// An open request, counted until it is dropped.
pub(super) struct OpenRequest(pub(super) Arc<HttpBounds>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OpenRequest {
    pub(super) fn bounds(&self) -> &HttpBounds {
        &self.0
    }

    pub(super) fn shared(&self) -> Arc<HttpBounds> {
        self.0.clone()
    }
}

/// Bytes of headers as sent, with `: ` and line ends.
pub(super) fn size(headers: &HeaderMap) -> u64 {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum::<usize>() as u64
}
