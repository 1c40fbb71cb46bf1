//! Scheduling of checks beside the serving of calls: quick ones run at once, others on threads of
//! their own until the call's deadline.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use toolhost_schema::Watch;

use super::Checked;
use crate::error::CallError;
use crate::limits::{Limit, Limits};
use crate::thread_time::thread_time;

/// The longest text parsed and checked at once, in bytes: a tenth of a millisecond.
const MAX_TEXT: usize = 32 << 10;

/// The most steps, of about 10 ns, for a check that runs at once.
const MAX_STEPS: u64 = 50_000;

/// The most steps for a quick check on its own thread: about 50 ms.
const MAX_SOON: u64 = 5_000_000;

/// Permits for quick checks.
static SOON: LazyLock<Arc<Semaphore>> = LazyLock::new(|| turns(2));

/// Permits for long checks, one per processor. A check that is stopped keeps its permit until it
/// has ended.
static LONG: LazyLock<Arc<Semaphore>> = LazyLock::new(|| turns(1));

/// A semaphore with `each` permits per processor.
fn turns(each: usize) -> Arc<Semaphore> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(each * processors))
}

/// Runs a check of a text of that length; `None` if it takes longer than a moment.
pub(crate) fn at_once<T>(bytes: usize, check: impl FnOnce(&Watch) -> Checked<T>) -> Option<T> {
    if bytes > MAX_TEXT {
        return None;
    }
    check(&Watch::steps(MAX_STEPS)).ok()
}

/// The time limits of a check, which are those of its call.
#[derive(Clone, Copy)]
pub struct Allowed<'a> {
    /// The limits of the call.
    pub limits: &'a Limits,
    /// The start of the call.
    pub start: Instant,
    /// The CPU time that the call has used so far.
    pub spent: Duration,
    /// What cancels the call.
    pub cancel: &'a CancellationToken,
}

/// Why a check was stopped.
#[derive(Clone, Copy)]
enum StopCause {
    /// It takes too long for a quick check.
    Long,
    Deadline,
    Cpu,
    Cancelled,
}

impl Allowed<'_> {
    fn error(&self, halt: StopCause) -> CallError {
        match (halt, self.limits.cpu) {
            (StopCause::Cancelled, _) => CallError::Cancelled,
            (StopCause::Cpu, Some(budget)) => CallError::over(Limit::Cpu, budget),
            (StopCause::Deadline | StopCause::Cpu | StopCause::Long, _) => CallError::Timeout {
                after: self.limits.timeout,
            },
        }
    }
}

/// Runs a check on a thread of its own, in its turn; returns the result and the CPU time used.
///
/// It ends at the deadline or the `cpu` limit of its call, and when its future is dropped. A check
/// that turns out to take long starts over among the long ones, so that the quick ones need not
/// wait for it.
pub async fn apart<T: Send + 'static>(
    allowed: Allowed<'_>,
    check: impl Fn(&Watch) -> Checked<T> + Send + Sync + 'static,
) -> (Result<T, CallError>, Duration) {
    let deadline = allowed.limits.deadline(allowed.start);
    let budget = allowed
        .limits
        .cpu
        .map(|cpu| cpu.saturating_sub(allowed.spent));
    let cancel = allowed.cancel.child_token();
    let _cancel_on_drop = cancel.clone().drop_guard();
    let spent = Arc::new(AtomicU64::new(0));
    let clock = Clock {
        deadline,
        budget,
        cancel,
        spent: spent.clone(),
    };
    let checking = async {
        let (clock, check) = (Arc::new(clock), Arc::new(check));
        match in_turn(&SOON, &clock, &check, Some(MAX_SOON)).await {
            Ok(Ok(Err(StopCause::Long))) => in_turn(&LONG, &clock, &check, None).await,
            ended => ended,
        }
    };
    let checking = allowed.cancel.run_until_cancelled(checking);
    let found = match tokio::time::timeout_at(deadline.into(), checking).await {
        Ok(Some(Ok(Ok(found)))) => found.map_err(|halt| allowed.error(halt)),
        // The guard around each call handles the panic.
        Ok(Some(Ok(Err(panic)))) => resume_unwind(panic),
        Ok(Some(Err(_)) | None) => Err(CallError::Cancelled),
        Err(_) => Err(allowed.error(StopCause::Deadline)),
    };
    (found, Duration::from_nanos(spent.load(Ordering::Relaxed)))
}

/// Runs a check in its turn, with a budget of steps.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    clock: &Arc<Clock>,
    check: &Arc<impl Fn(&Watch) -> Checked<T> + Send + Sync + 'static>,
    steps: Option<u64>,
) -> Result<std::thread::Result<Result<T, StopCause>>, JoinError> {
    let turn = turns.clone().acquire_owned().await;
    let (clock, check) = (clock.clone(), check.clone());
    let thread = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        clock.run(&*check, steps)
    });
    thread.await
}

/// Runs a computation on a thread that serves nothing else, with at most one per processor: for
/// work without a deadline that is bounded by its input.
pub async fn computed<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> T {
    static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| turns(1));
    let turn = TURNS.clone().acquire_owned().await;
    let thread = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        compute()
    });
    match thread.await {
        Ok(computed) => computed,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Decides how long a check may go on.
struct Clock {
    deadline: Instant,
    budget: Option<Duration>,
    cancel: CancellationToken,
    /// The CPU time used, in nanoseconds.
    spent: Arc<AtomicU64>,
}

impl Clock {
    fn run<T>(
        &self,
        check: impl Fn(&Watch) -> Checked<T>,
        steps: Option<u64>,
    ) -> std::thread::Result<Result<T, StopCause>> {
        let before = Duration::from_nanos(self.spent.load(Ordering::Relaxed));
        let begun = thread_time();
        let spent = || before + thread_time().saturating_sub(begun);
        let halt = Cell::new(None);
        let is_time = || {
            halt.set(self.halt(spent()));
            halt.get().is_some()
        };
        let watch = Watch::until(&is_time);
        let found = catch_unwind(AssertUnwindSafe(|| match steps {
            Some(steps) => watch.within(steps, &check),
            None => check(&watch),
        }));
        let at_last = self.halt(spent());
        let halt = halt.get().or(at_last).unwrap_or(StopCause::Long);
        found.map(|found| found.map_err(|_| halt))
    }

    fn halt(&self, spent: Duration) -> Option<StopCause> {
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.spent.store(nanoseconds, Ordering::Relaxed);
        if self.cancel.is_cancelled() {
            Some(StopCause::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(StopCause::Deadline)
        } else {
            self.budget
                .is_some_and(|budget| spent >= budget)
                .then_some(StopCause::Cpu)
        }
    }
}
