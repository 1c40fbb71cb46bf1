//! Rate limit for clients' requests.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use toolhost_core::locks;

/// The most clients remembered at once; further ones share one allowance.
pub(super) const MAX_CLIENTS: usize = 50_000;

/// A client for rate limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RateClient {
    /// Authenticated by name.
    Named(Arc<str>),
    V4(Ipv4Addr),
    /// An IPv6 network, as whoever has one of its addresses has them all.
    V6([u8; 8]),
    /// All clients beyond the bound.
    Others,
}

impl From<IpAddr> for RateClient {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => RateClient::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                RateClient::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The request rate limiter of all clients.
pub(super) struct RequestRateLimit {
    limiter: DefaultKeyedRateLimiter<RateClient>,
    clock: DefaultClock,
    max_clients: usize,
    looked: Mutex<Option<Instant>>,
}

impl RequestRateLimit {
    pub(super) fn new(a_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(a_second).allow_burst(burst);
        RequestRateLimit {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            max_clients: MAX_CLIENTS,
            looked: Mutex::default(),
        }
    }

    /// Takes one request from the client's allowance.
    ///
    /// # Errors
    ///
    /// It is used up: how long until there is one.
    pub(super) fn take(&self, client: RateClient) -> Result<(), Duration> {
        if self.is_full() {
            self.forget();
        }
        let client = if self.is_full() {
            RateClient::Others
        } else {
            client
        };
        self.limiter
            .check_key(&client)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn is_full(&self) -> bool {
        self.limiter.len() >= self.max_clients
    }

    /// Removes clients with a full allowance. Scanning takes time, so it is not done with every
    /// request, even if a client has filled the table.
    fn forget(&self) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut looked = locks::lock(&self.looked);
        if looked.is_none_or(|looked| looked.elapsed() > PAUSE) {
            self.limiter.retain_recent();
            *looked = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(a_second: u32, burst: u32) -> RequestRateLimit {
        let count = |count| NonZeroU32::new(count).unwrap();
        RequestRateLimit::new(count(a_second), count(burst))
    }

    fn name(name: impl ToString) -> RateClient {
        RateClient::Named(name.to_string().into())
    }

    #[test]
    fn a_burst_passes_and_the_next_is_told_to_wait() {
        let requests = requests(1, 3);
        for _ in 0..3 {
            assert_eq!(requests.take(name("a")), Ok(()));
        }
        let wait = requests.take(name("a")).unwrap_err();
        assert!(
            !wait.is_zero() && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert_eq!(requests.take(name("b")), Ok(()));
    }

    #[test]
    fn clients_without_end_share_one_allowance() {
        let mut requests = requests(1, 1);
        requests.max_clients = 10;
        for n in 0..10 {
            assert_eq!(requests.take(name(n)), Ok(()));
        }
        assert_eq!(requests.take(name("first of the others")), Ok(()));
        assert!(requests.take(name("second of them")).is_err());
        assert!(requests.limiter.len() <= 11);
    }

    #[test]
    fn a_network_is_one_client() {
        let client = |text: &str| RateClient::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
    }
}
