//! Idempotency keys: a call with a known key gets the first call's result and does not run. See
//! docs/adr/0021.
//!
//! A key is unknown, running or ended. A run that ends without its provider having been called
//! (refused, cancelled in the queue) makes the key unknown again, so that a retry runs; so does a
//! question, which the client answers with another call of the same key. Ended keys expire after an
//! hour; where there is too much, the oldest results are dropped first (their calls still count as
//! run), then the keys.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::{CallOptions, ToolHost};
use crate::digest::sha256;
use crate::error::CallError;
use crate::locks;
use crate::tool::{Output, ToolCall, ToolResult};

/// The longest key in bytes, as with most APIs that take one.
const MAX_KEY_LENGTH: usize = 255;

/// How long a result is kept after its call ended.
const RESULT_TTL: Duration = Duration::from_secs(60 * 60);

/// The most keys, and the most bytes of results, kept at once.
const MAX_KEYS: usize = 10_000;
const MAX_RESULT_BYTES: u64 = 32 << 20;

/// A running call, shared by all who wait for it; it is cancelled when the last of them drops it.
pub(super) type SharedRun = Shared<BoxFuture<'static, Arc<ToolResult>>>;

/// The keyed calls that a host has run.
#[derive(Default)]
pub(super) struct Repeats(Mutex<KnownKeys>);

#[derive(Default)]
struct KnownKeys {
    runs: HashMap<IdempotencyKey, KeyedRun>,
    /// Ended calls, the oldest first.
    ended: VecDeque<IdempotencyKey>,
    /// The bytes of their results.
    bytes: u64,
    /// The ended runs of each client that has any.
    clients: HashMap<Option<Arc<str>>, ClientUsage>,
    /// The number of runs so far.
    count: u64,
}

#[derive(Default)]
struct ClientUsage {
    keys: usize,
    bytes: u64,
}

/// A key, in the namespace of its client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct IdempotencyKey {
    client: Option<Arc<str>>,
    key: String,
}

struct KeyedRun {
    /// The number of the run.
    number: u64,
    /// A digest of the tool and its arguments.
    digest: String,
    state: KeyState,
}

enum KeyState {
    Runs {
        run: WeakShared<BoxFuture<'static, Arc<ToolResult>>>,
        /// Whether its provider was called.
        has_begun: Arc<AtomicBool>,
    },
    Ended {
        at: Instant,
        /// `None` once the result has been dropped to save memory.
        result: Option<Arc<ToolResult>>,
    },
}

/// The decision about a call with a key.
pub(super) enum KeyDecision {
    /// It is the first with this key.
    New,
    Runs(SharedRun),
    Ended(Arc<ToolResult>),
}

impl Repeats {
    fn known(&self) -> MutexGuard<'_, KnownKeys> {
        locks::lock(&self.0)
    }
}

impl KnownKeys {
    /// # Errors
    ///
    /// The key belongs to another call, or the result is no longer kept.
    fn find(
        &mut self,
        key: &IdempotencyKey,
        digest: &str,
        now: Instant,
    ) -> Result<KeyDecision, CallError> {
        self.expire(now);
        let invalid = |message: &str| CallError::InvalidOptions {
            message: message.to_owned(),
        };
        let Some(run) = self.runs.get(key) else {
            return Ok(KeyDecision::New);
        };
        if run.digest != digest {
            return Err(invalid(
                "the idempotency key was used for another tool or with other arguments: use a new key",
            ));
        }
        match &run.state {
            KeyState::Ended { result, .. } => match result {
                Some(result) => Ok(KeyDecision::Ended(result.clone())),
                None => Err(invalid(
                    "the call with this idempotency key has run, but its result is no longer kept",
                )),
            },
            // The run must not be dropped here: its drop takes the lock that is held.
            KeyState::Runs { run, has_begun } => match run.upgrade() {
                Some(run) => Ok(KeyDecision::Runs(run)),
                // Its last waiter is gone, and its end is about to be noted.
                None if has_begun.load(Ordering::Relaxed) => Err(CallError::Cancelled),
                None => Ok(KeyDecision::New),
            },
        }
    }

    /// Notes that a run has ended.
    fn end(
        &mut self,
        key: IdempotencyKey,
        number: u64,
        result: &Arc<ToolResult>,
        has_begun: bool,
        now: Instant,
    ) {
        // A question does not end the call: its client calls again with the replies.
        let is_end = has_begun && !matches!(result.outcome, Err(CallError::InputRequired(_)));
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.number == number) else {
            return;
        };
        if !is_end {
            self.runs.remove(&key);
            return;
        }
        run.state = KeyState::Ended {
            at: now,
            result: Some(result.clone()),
        };
        let account = self.clients.entry(key.client.clone()).or_default();
        account.keys += 1;
        account.bytes += size(result);
        self.bytes += size(result);
        self.ended.push_back(key);
        // The client with the most bytes loses its oldest results first. Their keys stay, so that the
        // calls are still known to have run, until they expire too.
        while self.bytes > MAX_RESULT_BYTES
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
                Some(KeyState::Ended { at, .. }) => {
                    now.saturating_duration_since(*at) >= RESULT_TTL
                }
                _ => true,
            };
            if !is_old {
                break;
            }
            self.forget(0);
        }
        while self.ended.len() > MAX_KEYS
            && let Some(most) = self.client_with_most(|it| it.keys as u64)
            && let Some(oldest) = self.ended.iter().position(|key| key.client == most)
        {
            self.forget(oldest);
        }
    }

    fn client_with_most(&self, of: impl Fn(&ClientUsage) -> u64) -> Option<Option<Arc<str>>> {
        let most = self.clients.iter().max_by_key(|(_, account)| of(account));
        most.map(|(client, _)| client.clone())
    }

    /// Forgets an ended run.
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

impl KeyState {
    /// Takes the result out; the run stays known.
    fn take_result(&mut self) -> Option<Arc<ToolResult>> {
        match self {
            KeyState::Ended { result, .. } => result.take(),
            KeyState::Runs { .. } => None,
        }
    }
}

/// The approximate size of a result.
fn size(result: &ToolResult) -> u64 {
    let log = result.log.iter().map(|line| line.text.len() as u64);
    1024 + result.usage.output_bytes + log.sum::<u64>()
}

impl ToolHost {
    /// The key of a call, with a digest of the call; `None` if it has no key or no such tool
    /// exists.
    ///
    /// # Errors
    ///
    /// It is not a valid key.
    pub(super) fn key_of(
        &self,
        call: &ToolCall,
        options: &CallOptions,
    ) -> Result<Option<(IdempotencyKey, String)>, CallError> {
        let Some(key) = &options.key else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > MAX_KEY_LENGTH {
            let message = format!("an idempotency key must have 1 to {MAX_KEY_LENGTH} bytes");
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
        // Replies are not part of the digest: with them it is still the same call.
        let text = call.arguments_text();
        let usual = match serde_json::from_str::<serde_json::Value>(text) {
            Ok(mut value) => {
                value.sort_all_objects();
                value.to_string()
            }
            Err(_) => text.to_owned(),
        };
        let key = IdempotencyKey {
            client: whose.client().cloned(),
            key: key.to_string(),
        };
        Ok(Some((key, sha256(format!("{name}\n{usual}")))))
    }

    /// The run for that key: the existing one, or that of `begin`, which gets the flag to set when
    /// the provider is called.
    ///
    /// # Errors
    ///
    /// As for [`KnownKeys::find`].
    pub(super) fn run_once(
        &self,
        (key, digest): (IdempotencyKey, String),
        begin: impl FnOnce(Arc<AtomicBool>) -> BoxFuture<'static, ToolResult>,
    ) -> Result<(KeyDecision, bool), CallError> {
        let mut known = self.shared.repeats.known();
        match known.find(&key, &digest, Instant::now())? {
            KeyDecision::New => {}
            found => return Ok((found, true)),
        }
        let has_begun = Arc::new(AtomicBool::new(false));
        let running = begin(has_begun.clone());
        known.count += 1;
        let number = known.count;
        let mut ending = RunEnding {
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
        let state = KeyState::Runs {
            run: run.downgrade().expect("it has not ended"),
            has_begun,
        };
        let new = KeyedRun {
            number,
            digest,
            state,
        };
        known.runs.insert(key, new);
        Ok((KeyDecision::Runs(run), false))
    }

    /// The result for a repeated call. Nothing is run.
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

/// Notes the end of a run, also of one that is dropped and thereby cancelled.
struct RunEnding {
    host: ToolHost,
    key: Option<IdempotencyKey>,
    number: u64,
    has_begun: Arc<AtomicBool>,
}

impl RunEnding {
    fn end(&mut self, result: &Arc<ToolResult>) {
        let Some(key) = self.key.take() else { return };
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        let mut known = self.host.shared.repeats.known();
        known.end(key, self.number, result, has_begun, Instant::now());
    }
}

impl Drop for RunEnding {
    fn drop(&mut self) {
        if self.key.is_some() {
            self.end(&Arc::new(ToolResult::new("", Err(CallError::Cancelled))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> IdempotencyKey {
        IdempotencyKey {
            client: None,
            key: number.to_string(),
        }
    }

    fn result(bytes: u64) -> Arc<ToolResult> {
        let mut result = ToolResult::new("a", Ok(Output::text("a")));
        result.usage.output_bytes = bytes;
        Arc::new(result)
    }

    fn ended(known: &mut KnownKeys, key: &IdempotencyKey, bytes: u64, now: Instant) {
        let result = result(bytes);
        let run = std::future::ready(result.clone()).boxed().shared();
        let state = KeyState::Runs {
            run: run.downgrade().unwrap(),
            has_begun: Arc::default(),
        };
        known.count += 1;
        let run = KeyedRun {
            number: known.count,
            digest: "d".to_owned(),
            state,
        };
        known.runs.insert(key.clone(), run);
        known.end(key.clone(), known.count, &result, true, now);
    }

    #[test]
    fn a_result_is_kept_for_an_hour() {
        let (mut known, now) = (KnownKeys::default(), Instant::now());
        ended(&mut known, &key(1), 1, now);
        let nearly = now + RESULT_TTL - Duration::from_secs(1);
        assert!(matches!(
            known.find(&key(1), "d", nearly),
            Ok(KeyDecision::Ended(_))
        ));
        assert!(matches!(
            known.find(&key(1), "d", now + RESULT_TTL),
            Ok(KeyDecision::New)
        ));
        assert_eq!(
            (known.bytes, known.runs.len(), known.ended.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_one_client_has_kept_pushes_out_nothing_of_anothers() {
        let (mut known, now) = (KnownKeys::default(), Instant::now());
        let of = |client: &str, number: usize| IdempotencyKey {
            client: Some(client.into()),
            key: number.to_string(),
        };
        ended(&mut known, &of("few", 0), 1, now);
        for number in 0..MAX_KEYS + 10 {
            ended(&mut known, &of("many", number), 1, now);
        }
        (0..5).for_each(|number| {
            ended(&mut known, &of("large", number), MAX_RESULT_BYTES / 4, now);
        });
        assert!(known.ended.len() <= MAX_KEYS && known.bytes <= MAX_RESULT_BYTES);
        let found = known.find(&of("few", 0), "d", now);
        assert!(matches!(found, Ok(KeyDecision::Ended(_))));
        let found = known.find(&of("large", 0), "d", now);
        assert!(matches!(found, Err(CallError::InvalidOptions { .. })));
        let accounts = known.clients.values();
        assert_eq!(accounts.map(|it| it.keys).sum::<usize>(), known.ended.len());
        // An hour later all have expired.
        known.expire(now + RESULT_TTL);
        assert!(known.runs.is_empty() && known.clients.is_empty() && known.bytes == 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let (mut known, now) = (KnownKeys::default(), Instant::now());
        let share = MAX_RESULT_BYTES / 4;
        (0..5).for_each(|number| ended(&mut known, &key(number), share, now));
        assert!(known.bytes <= MAX_RESULT_BYTES);
        // It is known to have run, and does not run again.
        let first = known.find(&key(0), "d", now);
        assert!(matches!(first, Err(CallError::InvalidOptions { .. })));
        assert!(matches!(
            known.find(&key(4), "d", now),
            Ok(KeyDecision::Ended(_))
        ));

        for number in 0..MAX_KEYS + 10 {
            ended(&mut known, &key(10 + number), 1, now);
        }
        assert!(known.runs.len() <= MAX_KEYS && known.ended.len() <= MAX_KEYS);
        assert!(known.bytes <= MAX_RESULT_BYTES);
    }
}
