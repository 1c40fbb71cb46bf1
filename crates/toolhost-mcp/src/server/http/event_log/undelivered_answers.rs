//! Undelivered answers: those whose reader was gone before all of their stream was sent. A client
//! that reconnects soon enough gets them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::SessionId;

use super::EventLog;
use toolhost_core::locks::lock;

/// How long, and how many, undelivered answers are kept.
pub(crate) const UNDELIVERED_TTL: Duration = Duration::from_secs(60);
const MAX_UNDELIVERED: usize = 64;
const MAX_UNDELIVERED_BYTES: usize = 64 << 20;

/// A stream, identified across sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
}

/// Undelivered answers of all sessions, the oldest first, for clients that reconnect.
#[derive(Default)]
pub(crate) struct UndeliveredAnswers(Mutex<VecDeque<(Instant, StreamName, Arc<EventLog>)>>);

impl UndeliveredAnswers {
    pub(super) fn add(&self, name: StreamName, events: Arc<EventLog>) {
        let mut all = lock(&self.0);
        all.push_back((Instant::now(), name, events));
        let bytes = |events: &EventLog| lock(&events.log).bytes;
        let mut held: usize = all.iter().map(|(_, _, events)| bytes(events)).sum();
        while all.len() > MAX_UNDELIVERED || held > MAX_UNDELIVERED_BYTES {
            // The session with the most answers loses its oldest.
            let mut sessions: HashMap<&SessionId, (usize, usize)> = HashMap::new();
            for (_, name, events) in all.iter() {
                let session = sessions.entry(&name.session).or_default();
                session.0 += bytes(events);
                session.1 += 1;
            }
            let most = sessions.into_iter().max_by_key(|(_, held)| *held);
            let oldest = most.and_then(|(most, _)| {
                let mut names = all.iter().map(|(_, name, _)| name);
                names.position(|name| name.session == *most)
            });
            let Some((_, _, events)) = oldest.and_then(|at| all.remove(at)) else {
                break;
            };
            held -= bytes(&events);
        }
    }

    pub(crate) fn take(&self, name: &StreamName) -> Option<Arc<EventLog>> {
        let mut all = lock(&self.0);
        let at = all.iter().position(|(_, left, _)| left == name)?;
        all.remove(at).map(|(_, _, events)| events)
    }

    /// Drops expired answers, and those of a session that has ended.
    pub(crate) fn forget(&self, session: Option<&SessionId>) {
        lock(&self.0).retain(|(since, name, _)| {
            since.elapsed() < UNDELIVERED_TTL && session.is_none_or(|over| name.session != *over)
        });
    }
}
