//! The replies to the questions of the current call. An instance serves one call, so there is one session.

use crate::Error;
use crate::bindings::toolhost::plugin::types::{Reply, Resumption};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    /// Read when first needed, so that a plugin without questions does not contain the code.
    static RESUMED: RefCell<Option<Resumption>> = const { RefCell::new(None) };
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Session {
    /// The replies of all rounds, by key.
    replies: BTreeMap<String, Reply>,
    /// The keys of questions that were asked. Clients may send replies to others.
    asked: BTreeSet<String>,
    kept: BTreeMap<String, Value>,
}

/// The state between two rounds, as JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    replies: BTreeMap<String, Reply>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<String, Value>,
}

/// Begins a call.
pub(crate) fn begin(resumed: Option<Resumption>) {
    RESUMED.set(resumed);
    SESSION.set(None);
}

/// Ends the call.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn end() {
    begin(None);
}

fn with<T>(work: impl FnOnce(&mut Session) -> T) -> T {
    SESSION.with_borrow_mut(|session| {
        work(session.get_or_insert_with(|| RESUMED.take().map(Session::resume).unwrap_or_default()))
    })
}

impl Session {
    fn resume(resumed: Resumption) -> Self {
        // The host checks that this plugin wrote it. If it was another version, all questions are asked again.
        let state: State = serde_json::from_slice(&resumed.state).unwrap_or_default();
        let mut session = Self {
            asked: state.replies.keys().cloned().collect(),
            replies: state.replies,
            kept: state.kept,
        };
        for (key, reply) in resumed.replies {
            session.replies.entry(key).or_insert(reply);
        }
        session
    }
}

/// The reply to a question, which is then marked as asked.
pub(crate) fn reply(key: &str) -> Option<Reply> {
    with(|session| {
        let reply = session.replies.get(key).cloned()?;
        session.asked.insert(key.to_owned());
        Some(reply)
    })
}

/// Drops the reply to a question.
pub(crate) fn forget(key: &str) {
    with(|session| session.replies.remove(key));
}

pub(crate) fn kept(key: &str) -> Option<Value> {
    with(|session| session.kept.get(key).cloned())
}

pub(crate) fn keep(key: &str, value: Value) {
    with(|session| session.kept.insert(key.to_owned(), value));
}

/// The state for the next round; empty if there is none.
pub(crate) fn state() -> Result<Vec<u8>, Error> {
    let state = with(|session| State {
        replies: session
            .replies
            .iter()
            .filter(|(key, _)| session.asked.contains(*key))
            .map(|(key, reply)| (key.clone(), reply.clone()))
            .collect(),
        kept: session.kept.clone(),
    });
    if state.replies.is_empty() && state.kept.is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::to_vec(&state)?)
}
