//! Rate limit for failed authentication: each client has an allowance that refills, stored as the
//! time at which it is full again (GCRA).
//!
//! Not governor's, since a client without allowance is rejected unseen, and checking for that must
//! not cost any.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::request_rate_limit::{MAX_CLIENTS, RateClient};
use toolhost_core::locks;

/// The allowance of each client.
pub(super) struct AuthRateLimit {
    /// The cost of one failure.
    interval: Duration,
    /// How far ahead of the clock a client may be.
    burst: Duration,
    /// When each client's allowance is full again; clients with a full allowance are soon removed.
    whole_at: Mutex<HashMap<RateClient, Instant>>,
    max_clients: usize,
}

impl AuthRateLimit {
    pub(super) fn new(a_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let interval = Duration::from_secs(1) / a_second.get();
        AuthRateLimit {
            interval,
            burst: interval * burst.get(),
            whole_at: Mutex::default(),
            max_clients: MAX_CLIENTS,
        }
    }

    /// Takes one from the client's allowance.
    ///
    /// # Errors
    ///
    /// It is used up: how long until there is one.
    pub(super) fn take(&self, client: RateClient, now: Instant) -> Result<(), Duration> {
        self.with(client, now, |whole_at| {
            let next = (*whole_at).max(now) + self.interval;
            match next.saturating_duration_since(now + self.burst) {
                Duration::ZERO => {
                    *whole_at = next;
                    Ok(())
                }
                wait => Err(wait),
            }
        })
    }

    /// How long until the client has one, if it has none now. Takes nothing.
    pub(super) fn wait(&self, client: &RateClient, now: Instant) -> Option<Duration> {
        let whole_at = locks::lock(&self.whole_at);
        let known = whole_at.get(client).or_else(|| {
            let is_full = whole_at.len() >= self.max_clients;
            is_full.then(|| whole_at.get(&RateClient::Others)).flatten()
        })?;
        let wait = (*known + self.interval).saturating_duration_since(now + self.burst);
        (!wait.is_zero()).then_some(wait)
    }

    fn with<T>(&self, client: RateClient, now: Instant, f: impl FnOnce(&mut Instant) -> T) -> T {
        let mut whole_at = locks::lock(&self.whole_at);
        let mut client = client;
        if whole_at.len() >= self.max_clients && !whole_at.contains_key(&client) {
            // Rarely, to amortize the cost: only when at least a tenth can be removed.
            let is_recent = |at: &Instant| *at > now;
            if whole_at.values().filter(|at| !is_recent(at)).count() > self.max_clients / 10 {
                whole_at.retain(|_, at| is_recent(at));
            } else {
                client = RateClient::Others;
            }
        }
        f(whole_at.entry(client).or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(a_second: u32, burst: u32) -> AuthRateLimit {
        let count = |count| NonZeroU32::new(count).unwrap();
        AuthRateLimit::new(count(a_second), count(burst))
    }

    fn name(name: &str) -> RateClient {
        RateClient::Named(name.into())
    }

    #[test]
    fn a_burst_passes_and_then_as_much_as_grows_back() {
        let (allowance, start) = (allowance(10, 3), Instant::now());
        let take = |after| allowance.take(name("a"), start + Duration::from_millis(after));
        let taken = [take(0), take(0), take(0)];
        assert_eq!(taken, [Ok(()); 3]);
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert_eq!(take(60), Err(Duration::from_millis(40)));
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), Err(Duration::from_millis(100)));
        // Never more than the burst, however long nothing was taken.
        assert_eq!([take(9000), take(9000), take(9000)], [Ok(()); 3]);
        assert!(take(9000).is_err());
        assert_eq!(allowance.take(name("b"), start), Ok(()));
    }

    #[test]
    fn to_ask_takes_nothing() {
        let (allowance, now) = (allowance(1, 1), Instant::now());
        assert_eq!(allowance.wait(&name("a"), now), None);
        assert_eq!(allowance.take(name("a"), now), Ok(()));
        let second = Duration::from_secs(1);
        assert_eq!(allowance.wait(&name("a"), now), Some(second));
        assert_eq!(allowance.wait(&name("a"), now + second), None);
        assert_eq!(allowance.take(name("a"), now + second), Ok(()));
    }

    #[test]
    fn clients_without_end_share_one_allowance_and_are_forgotten() {
        let mut allowance = allowance(1, 1);
        allowance.max_clients = 10;
        let now = Instant::now();
        for n in 0..10 {
            assert_eq!(allowance.take(name(&n.to_string()), now), Ok(()));
        }
        assert_eq!(allowance.take(name("first of the others"), now), Ok(()));
        assert!(allowance.take(name("second of them"), now).is_err());
        assert!(allowance.wait(&name("third of them"), now).is_some());
        assert!(allowance.whole_at.lock().unwrap().len() <= 11);
        let later = now + Duration::from_secs(2);
        assert_eq!(allowance.take(name("x"), later), Ok(()));
        assert_eq!(allowance.take(name("y"), later), Ok(()));
        assert_eq!(allowance.whole_at.lock().unwrap().len(), 2);
    }
}
