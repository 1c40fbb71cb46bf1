//! Runs a call until it ends by itself, meets its deadline or a limit, or is cancelled, and measures
//! what it computes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::engine::TICK;
use crate::error::CallError;
use crate::limits::Limit;
use crate::sandbox::{Journal, Stop};
use crate::thread_time::thread_time;

/// Measures the time that a call computes: that of the thread that polls it, while it does. Between
/// two polls a guest runs for a tick at most.
pub struct Meter {
    /// What it has computed so far.
    pub spent: Duration,
    budget: Option<Duration>,
    /// Whether to ask for the thread's own time. It takes a call of the system, which is much of what
    /// a short call costs, and short polls take hardly less time than they compute.
    precise: bool,
}

/// Who is polled for longer may have been kept from its processor meanwhile.
const SHORT_POLL: Duration = Duration::from_millis(1);

impl Meter {
    /// For a call that has computed before.
    pub fn new(budget: Option<Duration>, spent: Duration) -> Self {
        Meter {
            spent,
            budget,
            precise: false,
        }
    }

    fn poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let thread_before = self.precise.then(thread_time);
        let before = Instant::now();
        let value = poll();
        let passed = before.elapsed();
        self.spent += match thread_before {
            Some(before) => thread_time().saturating_sub(before),
            None => passed.min(TICK),
        };
        self.precise |= passed > SHORT_POLL;
        value
    }

    fn stop(&self) -> Option<Stop> {
        let budget = self.budget?;
        (self.spent >= budget).then(|| Stop::Limit(Limit::Cpu, budget.into()))
    }
}

/// How an instance came to its end.
pub enum End<T> {
    /// It returned.
    Itself(T),
    /// The host ended it.
    Stopped(Stop),
    /// Its caller did.
    Cancelled,
}

/// Polls `run` to its end, until it is stopped, or until it is cancelled: wherever it is then, it is
/// dropped.
pub async fn until<T>(
    deadline: Instant,
    cancel: &CancellationToken,
    journal: &Journal,
    meter: &mut Meter,
    run: impl Future<Output = T>,
) -> End<T> {
    let mut run = pin!(run);
    let mut cancelled = pin!(cancel.cancelled());
    // Most calls end in their first poll and never need a timer.
    let mut timer = pin!(None);
    poll_fn(|context| {
        // Looked at before the guest is given another tick, so that of many spinning guests none
        // outlives its deadline by the ticks of the others.
        if Instant::now() >= deadline {
            return Poll::Ready(End::Stopped(Stop::Deadline));
        }
        if let Some(stop) = meter.stop().or_else(|| journal.stop(context.waker())) {
            return Poll::Ready(End::Stopped(stop));
        }
        if cancel.is_cancelled() {
            return Poll::Ready(End::Cancelled);
        }
        if let Poll::Ready(value) = meter.poll(|| run.as_mut().poll(context)) {
            // A guest may cope with being over a limit, and has been over it all the same.
            return Poll::Ready(match journal.stop(context.waker()) {
                Some(stop) => End::Stopped(stop),
                None => End::Itself(value),
            });
        }
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Cancelled);
        }
        if timer.is_none() {
            timer.set(Some(tokio::time::sleep_until(deadline.into())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(context).map(|()| End::Stopped(Stop::Deadline)),
            None => Poll::Pending,
        }
    })
    .await
}

/// The error of a call that the host ended.
pub fn stopped(stop: Stop, timeout: Duration) -> CallError {
    match stop {
        Stop::Deadline => CallError::Timeout { after: timeout },
        Stop::Limit(limit, bound) => CallError::Limit { limit, bound },
    }
}
