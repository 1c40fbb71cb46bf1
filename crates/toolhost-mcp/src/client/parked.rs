//! Calls that asked, until they are answered: their servers wait in the middle of them, and nothing of the
//! host does. A call cannot be ended and made again, as a plugin's is: the server's half of it would be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::call::Flight;
use super::running::{Asked, Replies};
use super::settings::MAX_PARKED;
use crate::error::CallError;
use crate::input::InputRequired;
use crate::kept::unguessable;
use crate::seldom::Seldom;
use crate::watch::Owner;

/// A person has so long to answer.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

#[derive(Default)]
pub(super) struct Parked(Arc<Calls>, Seldom);

#[derive(Default)]
struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    calls: HashMap<String, Call>,
    /// How many there ever were.
    count: u64,
}

struct Call {
    flight: Flight,
    replies: oneshot::Sender<Replies>,
    owner: Owner,
    number: u64,
    _ends: AbortOnDropHandle<()>,
}

impl Parked {
    /// Keeps a call of `owner` until it is answered.
    pub(super) fn park(&self, flight: Flight, asked: Asked, owner: Owner) -> CallError {
        let Some(key) = unguessable() else {
            return CallError::internal("the system RNG failed");
        };
        let input = InputRequired::new(asked.questions.questions, key.clone());
        let ends = ended_later(Arc::downgrade(&self.0), key.clone());
        let mut state = self.0.state();
        state.count += 1;
        let call = Call {
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

    /// The call that asked, with its replies on their way to it.
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

    fn remove(&self, state: &[u8]) -> Option<Call> {
        let key = std::str::from_utf8(state).ok()?;
        self.0.state().calls.remove(key)
    }
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The call that is one too many: the oldest one of the owner that has most.
    fn over(&mut self) -> Option<Call> {
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

async fn ended_later(calls: Weak<Calls>, key: String) {
    tokio::time::sleep(PATIENCE).await;
    if let Some(calls) = calls.upgrade() {
        let ended = calls.state().calls.remove(&key);
        drop(ended);
    }
}
