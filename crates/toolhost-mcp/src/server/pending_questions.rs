//! Questions that clients have not answered yet. A call that waits for a reply holds its arguments
//! and state: the number of questions per session, per client and in all is bounded, and so is
//! their time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use toolhost_core::locks::lock;
use toolhost_core::watch::Owner;

/// The most questions of one session, of one client in all its sessions, and in all.
const OF_SESSION: usize = 16;
const OF_CLIENT: usize = 64;
const OF_ALL: usize = 128;

pub(crate) struct PendingQuestions {
    state: Mutex<QuestionCounts>,
    /// How long a client may take to answer, in milliseconds.
    patience: AtomicU64,
}

#[derive(Default)]
struct QuestionCounts {
    all: usize,
    clients: HashMap<Arc<str>, usize>,
    sessions: HashMap<Owner, OfSession>,
}

#[derive(Default)]
struct OfSession {
    asked: usize,
    /// Cancels the owner's questions.
    end: CancellationToken,
}

/// A question, until it is dropped.
pub(crate) struct PendingQuestion<'a> {
    asks: &'a PendingQuestions,
    owner: &'a Owner,
    client: Option<&'a Arc<str>>,
    end: CancellationToken,
}

impl PendingQuestions {
    pub(crate) fn new(patience: Duration) -> PendingQuestions {
        let asks = PendingQuestions {
            state: Mutex::default(),
            patience: AtomicU64::new(0),
        };
        asks.set_patience(patience);
        asks
    }

    /// Sets the timeout of further questions.
    pub(crate) fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.patience.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }

    /// Waits for a reply until the timeout or the end of the session.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    pub(crate) async fn wait<T>(
        &self,
        owner: &Owner,
        client: Option<&Arc<str>>,
        answer: impl Future<Output = T>,
    ) -> Result<T, String> {
        let asked = self.begin(owner, client)?;
        let patience = self.patience();
        let answer = asked.end.run_until_cancelled(timeout(patience, answer));
        match answer.await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) => {
                let patience = toolhost_core::limits::seconds(patience);
                Err(format!("the client did not answer within {patience}"))
            }
            None => Err("the client has disconnected".to_owned()),
        }
    }

    fn begin<'a>(
        &'a self,
        owner: &'a Owner,
        client: Option<&'a Arc<str>>,
    ) -> Result<PendingQuestion<'a>, String> {
        let mut state = lock(&self.state);
        let of_session = state.sessions.get(owner).map_or(0, |it| it.asked);
        let of_client = client.and_then(|client| state.clients.get(client));
        let is_full = of_session >= OF_SESSION
            || of_client.is_some_and(|asked| *asked >= OF_CLIENT)
            || state.all >= OF_ALL;
        if is_full {
            let message = "too many unanswered questions: answer those first";
            return Err(message.to_owned());
        }
        state.all += 1;
        if let Some(client) = client {
            *state.clients.entry(client.clone()).or_default() += 1;
        }
        let session = state.sessions.entry(owner.clone()).or_default();
        session.asked += 1;
        Ok(PendingQuestion {
            asks: self,
            owner,
            client,
            end: session.end.clone(),
        })
    }

    /// Cancels the questions of an owner that is gone.
    pub(crate) fn end_owner(&self, owner: &Owner) {
        if let Some(session) = lock(&self.state).sessions.get(owner) {
            session.end.cancel();
        }
    }

    /// Cancels the questions of an owner that is gone, and refuses further ones until this is
    /// dropped.
    pub(crate) fn gone<'a>(&'a self, owner: &'a Owner) -> PendingQuestion<'a> {
        let mut state = lock(&self.state);
        state.all += 1;
        let session = state.sessions.entry(owner.clone()).or_default();
        session.asked += 1;
        session.end.cancel();
        PendingQuestion {
            asks: self,
            owner,
            client: None,
            end: session.end.clone(),
        }
    }
}

impl Drop for PendingQuestion<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.asks.state);
        state.all -= 1;
        if let Some(client) = self.client {
            decrement(&mut state.clients, client, |asked| asked);
        }
        decrement(&mut state.sessions, self.owner, |session| {
            &mut session.asked
        });
    }
}

/// Decrements a counter, and removes it at zero.
pub(crate) fn decrement<K: Eq + Hash, V>(
    counts: &mut HashMap<K, V>,
    key: &K,
    count: impl Fn(&mut V) -> &mut usize,
) {
    let Some(value) = counts.get_mut(key) else {
        return;
    };
    let count = count(value);
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use std::future::pending;
    use std::pin::Pin;

    use super::*;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

    fn ask<'a>(asks: &'a PendingQuestions, owner: &'a Owner, client: &'a Arc<str>) -> Waiting<'a> {
        let mut asked = asks.wait(owner, Some(client), pending()).boxed();
        let at_once = asked.as_mut().now_or_never();
        match at_once {
            None => asked,
            Some(refused) => std::future::ready(refused).boxed(),
        }
    }

    fn waits(waiting: &mut Waiting) -> bool {
        waiting.as_mut().now_or_never().is_none()
    }

    #[tokio::test]
    async fn pending_questions_are_bounded_by_session_client_and_server() {
        let asks = PendingQuestions::new(Duration::from_secs(60));
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let owners: Vec<Owner> = (0..20).map(Owner::Session).collect();
        let mut asked: Vec<Waiting> = Vec::new();
        for owner in &owners[..10] {
            asked.extend((0..OF_SESSION + 1).map(|_| ask(&asks, owner, &alice)));
        }
        let waiting = asked.iter_mut().map(waits).filter(|waits| *waits).count();
        assert_eq!(waiting, OF_CLIENT);
        assert!(waits(&mut ask(&asks, &owners[15], &bob)), "it has its own");
        drop(asked);
        assert!(lock(&asks.state).sessions.is_empty() && lock(&asks.state).clients.is_empty());
        assert_eq!(lock(&asks.state).all, 0);
    }

    #[tokio::test]
    async fn what_a_session_is_asked_ends_with_it() {
        let asks = PendingQuestions::new(Duration::from_secs(60));
        let client: Arc<str> = "alice".into();
        let [one, other] = [1, 2].map(Owner::Session);
        let (ended, mut goes_on) = (ask(&asks, &one, &client), ask(&asks, &other, &client));
        asks.end_owner(&one);
        assert_eq!(ended.await, Err("the client has disconnected".to_owned()));
        assert!(waits(&mut goes_on));
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_not_waited_for() {
        let asks = PendingQuestions::new(Duration::from_secs(60));
        let (owner, client) = (Owner::Session(1), "alice".into());
        let before = ask(&asks, &owner, &client);
        let gone = asks.gone(&owner);
        for asked in [before, ask(&asks, &owner, &client)] {
            assert_eq!(asked.await, Err("the client has disconnected".to_owned()));
        }
        drop(gone);
        assert!(lock(&asks.state).sessions.is_empty());
        assert_eq!(lock(&asks.state).all, 0);
    }

    #[tokio::test]
    async fn nobody_is_waited_for_without_end() {
        let asks = PendingQuestions::new(Duration::from_millis(10));
        let (owner, client) = (Owner::Session(1), "alice".into());
        let answer = asks.wait(&owner, Some(&client), pending::<()>()).await;
        assert!(answer.unwrap_err().contains("did not answer within"));
    }
}
