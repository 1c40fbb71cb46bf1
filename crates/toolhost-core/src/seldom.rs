//! What could be logged without end, as others can bring it about, is logged now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// Whoever else is concerned in that time is not named.
const MOST: usize = 64;

/// One matter that is logged once a minute for each who is concerned.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<HashMap<String, Instant>>);

impl Seldom {
    /// Whether it is to be logged now.
    pub fn is_due(&self, whom: &str) -> bool {
        self.is_due_at(whom, Instant::now())
    }

    fn is_due_at(&self, whom: &str, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, at| now.saturating_duration_since(*at) < EVERY);
        let is_due = logged.len() < MOST && !logged.contains_key(whom);
        if is_due {
            logged.insert(whom.to_owned(), now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_once_a_minute_and_no_more_of_them_than_that() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        let due = |whom: &str, now| seldom.is_due_at(whom, now);
        assert!(due("a", now) && due("b", now));
        assert!(!due("a", now + EVERY / 2));
        assert!(due("a", now + EVERY));
        for number in 0..MOST {
            due(&number.to_string(), now + EVERY);
        }
        assert!(!due("another", now + EVERY));
        assert!(due("another", now + 3 * EVERY));
    }
}
