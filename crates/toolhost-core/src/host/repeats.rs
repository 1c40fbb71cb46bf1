//! Calls with an idempotency key: what is called again with the same key has the first call's result, and does not run.
//! See docs/adr/0021.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::{CallOptions, ToolHost};
use crate::digest::sha256;
use crate::error::CallError;
use crate::tool::{Output, ToolCall, ToolResult};

/// A key may have no more bytes, as with most APIs that take one.
const MOST_OF_A_KEY: usize = 255;

/// How long a result is kept after its call ended.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// Keys that are known at once, and the bytes of results that are kept.
const MOST_KEYS: usize = 10_000;
const MOST_BYTES: u64 = 32 << 20;

/// A call that runs, for all who wait for it; dropped by the last of them, it ends.
pub(super) type Running = Shared<BoxFuture<'static, Arc<ToolResult>>>;

/// The calls with a key that a host has run.
#[derive(Default)]
pub(super) struct Repeats(Mutex<Known>);

#[derive(Default)]
struct Known {
    runs: HashMap<Key, Run>,
    /// Those that ended, the first to end first.
    ended: VecDeque<Key>,
    /// What their results take.
    bytes: u64,
    /// Of each client that has any that ended.
    clients: HashMap<Option<Arc<str>>, Account>,
    /// Runs so far.
    count: u64,
}

#[derive(Default)]
struct Account {
    keys: usize,
    bytes: u64,
}

/// Each client has keys of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    client: Option<Arc<str>>,
    key: String,
}

struct Run {
    /// Of all that the host has run once.
    number: u64,
    /// Of the tool and its arguments.
    digest: String,
    state: State,
}

enum State {
    Runs {
        run: WeakShared<BoxFuture<'static, Arc<ToolResult>>>,
        /// Whether its provider was called.
        has_begun: Arc<AtomicBool>,
    },
    Ended {
        at: Instant,
        /// `None` where it is kept no more.
        result: Option<Arc<ToolResult>>,
    },
}

/// What becomes of a call with a key.
pub(super) enum Found {
    /// It is the first.
    New,
    Runs(Running),
    Ended(Arc<ToolResult>),
}

impl Repeats {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// # Errors
    ///
    /// The key is of another call, or the result of its call is kept no more.
    fn find(&mut self, key: &Key, digest: &str, now: Instant) -> Result<Found, CallError> {
        self.expire(now);
        let invalid = |message: &str| CallError::InvalidOptions {
            message: message.to_owned(),
        };
        let Some(run) = self.runs.get(key) else {
            return Ok(Found::New);
        };
        if run.digest != digest {
            return Err(invalid(
                "the idempotency key was used for another tool or with other arguments: use a new key",
            ));
        }
        match &run.state {
            State::Ended { result, .. } => match result {
                Some(result) => Ok(Found::Ended(result.clone())),
                None => Err(invalid(
                    "the call with this idempotency key has run, but its result is no longer kept",
                )),
            },
            // A run is not dropped here, where it would have to wait for itself.
            State::Runs { run, has_begun } => match run.upgrade() {
                Some(run) => Ok(Found::Runs(run)),
                // Nobody waits for it any more, and it is about to be noted.
                None if has_begun.load(Ordering::Relaxed) => Err(CallError::Cancelled),
                None => Ok(Found::New),
            },
        }
    }

    /// A run has ended.
    fn end(
        &mut self,
        key: Key,
        number: u64,
        result: &Arc<ToolResult>,
        has_begun: bool,
        now: Instant,
    ) {
        // A question is no end; who answers it calls again.
        let is_end = has_begun && !matches!(result.outcome, Err(CallError::InputRequired(_)));
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.number == number) else {
            return;
        };
        if !is_end {
            self.runs.remove(&key);
            return;
        }
        run.state = State::Ended {
            at: now,
            result: Some(result.clone()),
        };
        let account = self.clients.entry(key.client.clone()).or_default();
        account.keys += 1;
        account.bytes += size(result);
        self.bytes += size(result);
        self.ended.push_back(key);
        // Of the client that has the most, the oldest results go first, and are known to have been; then the keys.
        while self.bytes > MOST_BYTES
            && let Some(most) = self.client_with_most(|it| it.bytes)
        {
            let mut own = self.ended.iter().filter(|key| key.client == most);
            let dropped = own.find_map(|key| self.runs.get_mut(key)?.state.take_result());
            let Some(dropped) = dropped else { break };
            self.forget_bytes(&most, size(&dropped));
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        while let Some(key) = self.ended.front() {
            let is_old = match self.runs.get(key).map(|run| &run.state) {
                Some(State::Ended { at, .. }) => now.saturating_duration_since(*at) >= KEPT_FOR,
                _ => true,
            };
            if !is_old {
                break;
            }
            self.forget(0);
        }
        while self.ended.len() > MOST_KEYS
            && let Some(most) = self.client_with_most(|it| it.keys as u64)
            && let Some(oldest) = self.ended.iter().position(|key| key.client == most)
        {
            self.forget(oldest);
        }
    }

    fn client_with_most(&self, of: impl Fn(&Account) -> u64) -> Option<Option<Arc<str>>> {
        let most = self.clients.iter().max_by_key(|(_, account)| of(account));
        most.map(|(client, _)| client.clone())
    }

    /// Forgets one that ended.
    fn forget(&mut self, number: usize) {
        let Some(key) = self.ended.remove(number) else {
            return;
        };
        let run = self.runs.remove(&key);
        let result = run.and_then(|mut run| run.state.take_result());
        self.forget_bytes(&key.client, result.map_or(0, |it| size(&it)));
        if let Some(account) = self.clients.get_mut(&key.client) {
            account.keys -= 1;
            if account.keys == 0 {
                self.clients.remove(&key.client);
            }
        }
    }

    fn forget_bytes(&mut self, client: &Option<Arc<str>>, bytes: u64) {
        self.bytes -= bytes;
        if let Some(account) = self.clients.get_mut(client) {
            account.bytes -= bytes;
        }
    }
}

impl State {
    /// The result, which is kept no more.
    fn take_result(&mut self) -> Option<Arc<ToolResult>> {
        match self {
            State::Ended { result, .. } => result.take(),
            State::Runs { .. } => None,
        }
    }
}

/// What a result takes, roughly.
fn size(result: &ToolResult) -> u64 {
    let log = result.log.iter().map(|line| line.text.len() as u64);
    1024 + result.usage.output_bytes + log.sum::<u64>()
}

impl ToolHost {
    /// The key of a call, with the digest of what is called; `None` where it has none, or is of no tool that there is.
    ///
    /// # Errors
    ///
    /// It cannot be a key.
    pub(super) fn key_of(
        &self,
        call: &ToolCall,
        options: &CallOptions,
    ) -> Result<Option<(Key, String)>, CallError> {
        let Some(key) = &options.key else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > MOST_OF_A_KEY {
            let message = format!("an idempotency key must have 1 to {MOST_OF_A_KEY} bytes");
            return Err(CallError::InvalidOptions { message });
        }
        let whose = &options.whose;
        if whose.narrowed.is_some() && whose.client().is_none() {
            let message = "idempotency keys are per client, but these narrowed calls have no client: name one \
                           (`CallOptions::client`, `Narrowing::client`)";
            return Err(CallError::InvalidOptions {
                message: message.to_owned(),
            });
        }
        let allowed = options.allowed.as_deref();
        let name = match self.registry.find_for(&call.name, allowed) {
            Some((_, _, tool)) => &tool.tool.name,
            None if self.unpack(call).is_some() => &call.name,
            None => return Ok(None),
        };
        if call.void().is_some() {
            return Ok(None);
        }
        // With replies to what it asked it is the same call: its digest is of nothing else.
        let text = call.arguments_text();
        let usual = match serde_json::from_str::<serde_json::Value>(text) {
            Ok(mut value) => {
                value.sort_all_objects();
                value.to_string()
            }
            Err(_) => text.to_owned(),
        };
        let key = Key {
            client: whose.client().cloned(),
            key: key.to_string(),
        };
        Ok(Some((key, sha256(format!("{name}\n{usual}")))))
    }

    /// The run of a call with that key: one that is there, or that of `begin`, which is told where to say that the provider
    /// was called.
    ///
    /// # Errors
    ///
    /// As of [`Known::find`].
    pub(super) fn run_once(
        &self,
        (key, digest): (Key, String),
        begin: impl FnOnce(Arc<AtomicBool>) -> BoxFuture<'static, ToolResult>,
    ) -> Result<(Found, bool), CallError> {
        let mut known = self.shared.repeats.known();
        match known.find(&key, &digest, Instant::now())? {
            Found::New => {}
            found => return Ok((found, true)),
        }
        let has_begun = Arc::new(AtomicBool::new(false));
        let running = begin(has_begun.clone());
        known.count += 1;
        let number = known.count;
        let mut ending = Ending {
            host: self.clone(),
            key: Some(key.clone()),
            number,
            has_begun: has_begun.clone(),
        };
        let run = async move {
            let result = Arc::new(running.await);
            ending.end(&result);
            result
        };
        let run = run.boxed().shared();
        let state = State::Runs {
            run: run.downgrade().expect("it has not ended"),
            has_begun,
        };
        let new = Run {
            number,
            digest,
            state,
        };
        known.runs.insert(key, new);
        Ok((Found::Runs(run), false))
    }

    /// The answer to a call that was made before: the same, and nothing is run.
    pub(super) fn repeated(
        &self,
        queued: Instant,
        call: &ToolCall,
        options: &CallOptions,
        before: &ToolResult,
    ) -> ToolResult {
        let outcome: Result<Output, CallError> = before.outcome.clone();
        let mut result = self.answer_since(queued, call, &options.whose, outcome);
        result.repairs.clone_from(&before.repairs);
        result.log.clone_from(&before.log);
        result
    }
}

/// Notes how a run ends: also of one that is dropped, which is cancelled where it was.
struct Ending {
    host: ToolHost,
    key: Option<Key>,
    number: u64,
    has_begun: Arc<AtomicBool>,
}

impl Ending {
    fn end(&mut self, result: &Arc<ToolResult>) {
        let Some(key) = self.key.take() else { return };
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        let mut known = self.host.shared.repeats.known();
        known.end(key, self.number, result, has_begun, Instant::now());
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.key.is_some() {
            self.end(&Arc::new(ToolResult::new("", Err(CallError::Cancelled))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key {
            client: None,
            key: number.to_string(),
        }
    }

    fn result(bytes: u64) -> Arc<ToolResult> {
        let mut result = ToolResult::new("a", Ok(Output::text("a")));
        result.usage.output_bytes = bytes;
        Arc::new(result)
    }

    fn ended(known: &mut Known, key: &Key, bytes: u64, now: Instant) {
        let result = result(bytes);
        let run = std::future::ready(result.clone()).boxed().shared();
        let state = State::Runs {
            run: run.downgrade().unwrap(),
            has_begun: Arc::default(),
        };
        known.count += 1;
        let run = Run {
            number: known.count,
            digest: "d".to_owned(),
            state,
        };
        known.runs.insert(key.clone(), run);
        known.end(key.clone(), known.count, &result, true, now);
    }

    #[test]
    fn a_result_is_kept_for_an_hour() {
        let (mut known, now) = (Known::default(), Instant::now());
        ended(&mut known, &key(1), 1, now);
        let nearly = now + KEPT_FOR - Duration::from_secs(1);
        assert!(matches!(
            known.find(&key(1), "d", nearly),
            Ok(Found::Ended(_))
        ));
        assert!(matches!(
            known.find(&key(1), "d", now + KEPT_FOR),
            Ok(Found::New)
        ));
        assert_eq!(
            (known.bytes, known.runs.len(), known.ended.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_one_client_has_kept_pushes_out_nothing_of_anothers() {
        let (mut known, now) = (Known::default(), Instant::now());
        let of = |client: &str, number: usize| Key {
            client: Some(client.into()),
            key: number.to_string(),
        };
        ended(&mut known, &of("few", 0), 1, now);
        for number in 0..MOST_KEYS + 10 {
            ended(&mut known, &of("many", number), 1, now);
        }
        (0..5).for_each(|number| {
            ended(&mut known, &of("large", number), MOST_BYTES / 4, now);
        });
        assert!(known.ended.len() <= MOST_KEYS && known.bytes <= MOST_BYTES);
        let found = known.find(&of("few", 0), "d", now);
        assert!(matches!(found, Ok(Found::Ended(_))));
        let found = known.find(&of("large", 0), "d", now);
        assert!(matches!(found, Err(CallError::InvalidOptions { .. })));
        let accounts = known.clients.values();
        assert_eq!(accounts.map(|it| it.keys).sum::<usize>(), known.ended.len());
        // An hour later there is nothing.
        known.expire(now + KEPT_FOR);
        assert!(known.runs.is_empty() && known.clients.is_empty() && known.bytes == 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let (mut known, now) = (Known::default(), Instant::now());
        let share = MOST_BYTES / 4;
        (0..5).for_each(|number| ended(&mut known, &key(number), share, now));
        assert!(known.bytes <= MOST_BYTES);
        // It is known to have run, and does not run again.
        let first = known.find(&key(0), "d", now);
        assert!(matches!(first, Err(CallError::InvalidOptions { .. })));
        assert!(matches!(known.find(&key(4), "d", now), Ok(Found::Ended(_))));

        for number in 0..MOST_KEYS + 10 {
            ended(&mut known, &key(10 + number), 1, now);
        }
        assert!(known.runs.len() <= MOST_KEYS && known.ended.len() <= MOST_KEYS);
        assert!(known.bytes <= MOST_BYTES);
    }
}
