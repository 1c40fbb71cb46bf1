//! [`CallClock`]: stops the time of a call while it waits for what is not its own doing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::locks;

/// By how much the deadline of a call is later than planned. Stopped only while the call is
/// suspended: what computes has a deadline.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallClock(Option<Arc<Mutex<Stops>>>);

#[derive(Debug, Default)]
struct Stops {
    total: Duration,
    /// How many reasons there are for it to stand still, and since when.
    reasons: usize,
    since: Option<Instant>,
}

/// The clock stands still while this is held.
pub(crate) struct StoppedClock(CallClock);

impl CallClock {
    /// A clock that can be stopped; the default one cannot, and costs nothing.
    pub(crate) fn stoppable() -> CallClock {
        CallClock(Some(Arc::default()))
    }

    /// The deadline, planned for `planned`; `None` while the clock stands still.
    pub(crate) fn deadline(&self, planned: Instant) -> Option<Instant> {
        let Some(stops) = &self.0 else {
            return Some(planned);
        };
        let stops = locks::lock(stops);
        match stops.since {
            Some(_) => None,
            None => Some(planned + stops.total),
        }
    }

    /// Stops the clock.
    pub(crate) fn stop(&self) -> StoppedClock {
        if let Some(stops) = &self.0 {
            let mut stops = locks::lock(stops);
            stops.reasons += 1;
            stops.since.get_or_insert_with(Instant::now);
        }
        StoppedClock(self.clone())
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        let Some(stops) = &self.0.0 else {
            return;
        };
        let mut stops = locks::lock(stops);
        stops.reasons -= 1;
        if stops.reasons == 0
            && let Some(since) = stops.since.take()
        {
            stops.total += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_moves_by_the_time_that_the_clock_stood_still() {
        let planned = Instant::now();
        assert_eq!(CallClock::default().deadline(planned), Some(planned));
        let clock = CallClock::stoppable();
        assert_eq!(clock.deadline(planned), Some(planned));
        let (first, second) = (clock.stop(), clock.stop());
        drop(first);
        assert_eq!(clock.deadline(planned), None);
        drop(second);
        assert!(clock.deadline(planned).unwrap() >= planned);
    }
}
