//! Throttles log lines that clients could cause in any number: one a minute for each subject.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::locks;

const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum number of subjects logged in that time; further ones are dropped.
const MAX_SUBJECTS: usize = 64;

/// One kind of log line, logged at most once a minute for each subject.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<HashMap<String, Instant>>);

impl LogThrottle {
    /// Whether to log a line about this subject now.
    pub fn is_due(&self, whom: &str) -> bool {
        self.is_due_at(whom, Instant::now())
    }

    fn is_due_at(&self, whom: &str, now: Instant) -> bool {
        let mut logged = locks::lock(&self.0);
        logged.retain(|_, at| now.saturating_duration_since(*at) < LOG_INTERVAL);
        let is_due = logged.len() < MAX_SUBJECTS && !logged.contains_key(whom);
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
        let (seldom, now) = (LogThrottle::default(), Instant::now());
        let due = |whom: &str, now| seldom.is_due_at(whom, now);
        assert!(due("a", now) && due("b", now));
        assert!(!due("a", now + LOG_INTERVAL / 2));
        assert!(due("a", now + LOG_INTERVAL));
        for number in 0..MAX_SUBJECTS {
            due(&number.to_string(), now + LOG_INTERVAL);
        }
        assert!(!due("another", now + LOG_INTERVAL));
        assert!(due("another", now + 3 * LOG_INTERVAL));
    }
}
