//! Runs a call until it completes, meets its deadline or a limit, or is cancelled, and measures its
//! CPU time.
//!
//! [`until`] polls the call, and the order of its checks is the semantics. Before each poll come
//! the deadline, the CPU budget, the limits noted in the journal, and cancellation, so that of many
//! spinning guests none outlives its deadline by the ticks of the others. After a poll that
//! completed the call the journal is checked once more, since a guest that copes with being over a
//! limit has been over it all the same. Whatever ends the call, its future is polled no more.
//! The deadline moves while the call's clock stands still. A timer covers guests that wait; most
//! calls complete in their first poll and never create one.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::engine::TICK;
use crate::error::CallError;
use crate::limits::Limit;
use crate::sandbox::{Journal, StopReason};
use crate::thread_time::thread_time;

/// Measures the CPU time of a call: that of the thread that polls it, while it does. Between two
/// polls a guest runs for one tick at most.
pub struct Meter {
    /// What it has computed so far.
    pub spent: Duration,
    budget: Option<Duration>,
    /// Whether to read the thread's CPU clock. That is a system call, a large part of the cost of a
    /// short call, and short polls take hardly less CPU time than wall time.
    precise: bool,
}

/// A longer poll may include time in which the thread was preempted.
const SHORT_POLL: Duration = Duration::from_millis(1);

impl Meter {
    /// For a call that has used `spent` already.
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

    fn stop(&self) -> Option<StopReason> {
        let budget = self.budget?;
        (self.spent >= budget).then(|| StopReason::Limit(Limit::Cpu, budget.into()))
    }
}

/// How a run ended.
pub enum RunEnd<T> {
    /// It returned.
    Itself(T),
    /// The host ended it.
    Stopped(StopReason),
    /// Its caller did.
    Cancelled,
}

/// Polls `run` until it completes, is stopped, or is cancelled, in which case the caller drops it.
/// It is borrowed since a future passed by value would be kept twice: as an argument, and pinned.
pub async fn until<T>(
    deadline: Instant,
    cancel: &CancellationToken,
    journal: &Journal,
    meter: &mut Meter,
    mut run: Pin<&mut impl Future<Output = T>>,
) -> RunEnd<T> {
    let mut cancelled = pin!(cancel.cancelled());
    // Most calls complete in their first poll and never need a timer.
    let mut timer = pin!(None);
    poll_fn(|context| {
        // Before the guest is given another tick, so that of many spinning guests none outlives its
        // deadline by the ticks of the others.
        let clock = journal.clock();
        let is_over = clock
            .deadline(deadline)
            .is_some_and(|end| Instant::now() >= end);
        if is_over {
            return Poll::Ready(RunEnd::Stopped(StopReason::Deadline));
        }
        if let Some(stop) = meter.stop().or_else(|| journal.stop(context.waker())) {
            return Poll::Ready(RunEnd::Stopped(stop));
        }
        if cancel.is_cancelled() {
            return Poll::Ready(RunEnd::Cancelled);
        }
        if let Poll::Ready(value) = meter.poll(|| run.as_mut().poll(context)) {
            // A guest that copes with being over a limit has been over it all the same.
            return Poll::Ready(match journal.stop(context.waker()) {
                Some(stop) => RunEnd::Stopped(stop),
                None => RunEnd::Itself(value),
            });
        }
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(RunEnd::Cancelled);
        }
        // While the clock stands still, what the call waits for wakes it.
        let Some(end) = clock.deadline(deadline) else {
            return Poll::Pending;
        };
        let of_timer = timer.as_ref().get_ref().as_ref().map(Sleep::deadline);
        if of_timer != Some(end.into()) {
            timer.set(Some(tokio::time::sleep_until(end.into())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer
                .poll(context)
                .map(|()| RunEnd::Stopped(StopReason::Deadline)),
            None => Poll::Pending,
        }
    })
    .await
}

/// The error of a call that the host ended.
pub fn stopped(stop: StopReason, timeout: Duration) -> CallError {
    match stop {
        StopReason::Deadline => CallError::Timeout { after: timeout },
        StopReason::Limit(limit, bound) => CallError::Limit { limit, bound },
    }
}
