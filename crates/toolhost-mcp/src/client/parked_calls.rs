//! Calls that wait for replies: their servers wait in the middle of them, and hold nothing of the
//! host. Unlike a plugin's, such a call cannot be ended and repeated: the server's half of it would
//! be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::call::Flight;
use super::running_call::{Replies, ServerQuestions};
use super::settings::MAX_PARKED;
use toolhost_core::client_store::unguessable;
use toolhost_core::error::CallError;
use toolhost_core::input::InputRequired;
use toolhost_core::locks;
use toolhost_core::log_throttle::LogThrottle;
use toolhost_core::watch::Owner;

/// How long a client may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60 * 60);

#[derive(Default)]
pub(super) struct Parked(Arc<ParkedCalls>, LogThrottle);

#[derive(Default)]
struct ParkedCalls(Mutex<ParkedState>);

#[derive(Default)]
struct ParkedState {
    calls: HashMap<String, ParkedCall>,
    /// The number of such calls so far.
    count: u64,
}

struct ParkedCall {
    flight: Flight,
    replies: oneshot::Sender<Replies>,
    owner: Owner,
    number: u64,
    _ends: AbortOnDropHandle<()>,
}

impl Parked {
    /// Stores a call of `owner` until it is answered.
    pub(super) fn park(&self, flight: Flight, asked: ServerQuestions, owner: Owner) -> CallError {
        let Some(key) = unguessable() else {
            return CallError::internal("the system RNG failed");
        };
        let input = InputRequired::new(asked.questions.questions, key.clone());
        let ends = ended_later(Arc::downgrade(&self.0), key.clone());
        let mut state = self.0.state();
        state.count += 1;
        let call = ParkedCall {
            flight,
            replies: asked.replies,
            owner,
            number: state.count,
            _ends: AbortOnDropHandle::new(tokio::spawn(ends)),
        };
        state.calls.insert(key, call);
        let over = state.over();
        drop(state);
        if over.is_some() && self.1.is_due("") {
            tracing::warn!(
                "more than {MAX_PARKED} calls of an MCP server are waiting for answers: ending one"
            );
        }
        CallError::InputRequired(Box::new(input))
    }

    /// Takes out the call for this state, and sends its replies on.
    pub(super) fn take(&self, state: &[u8], replies: Replies) -> Option<Flight> {
        let call = self.remove(state)?;
        // The server may have given up the question, and goes on as it likes.
        let _ = call.replies.send(replies);
        Some(call.flight)
    }

    /// Ends a call that nobody will answer.
    pub(super) fn forget(&self, state: &[u8]) {
        drop(self.remove(state));
    }

    fn remove(&self, state: &[u8]) -> Option<ParkedCall> {
        let key = std::str::from_utf8(state).ok()?;
        self.0.state().calls.remove(key)
    }
}

impl ParkedCalls {
    fn state(&self) -> MutexGuard<'_, ParkedState> {
        locks::lock(&self.0)
    }
}

impl ParkedState {
    /// The call to evict: the oldest of the owner with the most.
    fn over(&mut self) -> Option<ParkedCall> {
        if self.calls.len() <= MAX_PARKED {
            return None;
        }
        let mut counts: HashMap<&Owner, usize> = HashMap::new();
        for call in self.calls.values() {
            *counts.entry(&call.owner).or_default() += 1;
        }
        let oldest = self.calls.iter().max_by_key(|(_, call)| {
            let count = counts.get(&call.owner).copied();
            (count, std::cmp::Reverse(call.number))
        });
        let key = oldest.map(|(key, _)| key.clone())?;
        self.calls.remove(&key)
    }
}

async fn ended_later(calls: Weak<ParkedCalls>, key: String) {
    tokio::time::sleep(REPLY_TIMEOUT).await;
    if let Some(calls) = calls.upgrade() {
        let ended = calls.state().calls.remove(&key);
        drop(ended);
    }
}
