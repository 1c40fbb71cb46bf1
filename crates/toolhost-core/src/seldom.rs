//! Throttles log lines that clients could cause in any number: one a minute for each subject.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// The maximum number of subjects logged in that time; further ones are dropped.
const MOST: usize = 64;

/// One kind of log line, logged at most once a minute for each subject.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<HashMap<String, Instant>>);

impl Seldom {
    /// Whether to log a line about this subject now.
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
