//! Checks beside what else is served: at once where that takes a moment, else on threads of their own, as long as
//! the call has.

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

/// Text that is parsed and checked at once, in bytes: a tenth of a millisecond.
const MAX_TEXT: usize = 32 << 10;

/// Steps, of some 10 ns, that a check may take at once.
const MAX_STEPS: u64 = 50_000;

/// Steps that a check may take among those that are soon over: some 50 ms.
const MAX_SOON: u64 = 5_000_000;

/// Checks that compute side by side, of those that are soon over.
static SOON: LazyLock<Arc<Semaphore>> = LazyLock::new(|| turns(2));

/// Of those that are not, one for each processor. A check that is stopped has its place until it has ended.
static LONG: LazyLock<Arc<Semaphore>> = LazyLock::new(|| turns(1));

/// So many for each processor.
fn turns(each: usize) -> Arc<Semaphore> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(each * processors))
}

/// Checks a text of so many bytes; `None` if that takes longer than a moment.
pub(crate) fn at_once<T>(bytes: usize, check: impl FnOnce(&Watch) -> Checked<T>) -> Option<T> {
    if bytes > MAX_TEXT {
        return None;
    }
    check(&Watch::steps(MAX_STEPS)).ok()
}

/// What a check may take of its call.
#[derive(Clone, Copy)]
pub struct Allowed<'a> {
    /// The limits of the call.
    pub limits: &'a Limits,
    /// What the deadline counts from.
    pub start: Instant,
    /// What the call has computed so far.
    pub spent: Duration,
    /// What cancels the call.
    pub cancel: &'a CancellationToken,
}

/// Why a check did not come to its end.
#[derive(Clone, Copy)]
enum Halt {
    /// It is not soon over.
    Long,
    Deadline,
    Cpu,
    Cancelled,
}

impl Allowed<'_> {
    fn error(&self, halt: Halt) -> CallError {
        match (halt, self.limits.cpu) {
            (Halt::Cancelled, _) => CallError::Cancelled,
            (Halt::Cpu, Some(budget)) => CallError::over(Limit::Cpu, budget),
            (Halt::Deadline | Halt::Cpu | Halt::Long, _) => CallError::Timeout {
                after: self.limits.timeout,
            },
        }
    }
}

/// Checks on a thread of its own, in its turn; the result and what it computed.
///
/// It ends at the deadline and at the `cpu` of its call, and when nobody waits for it any more. One that takes
/// long is begun again among those that do, so that the others need not wait for it.
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
            Ok(Ok(Err(Halt::Long))) => in_turn(&LONG, &clock, &check, None).await,
            ended => ended,
        }
    };
    let checking = allowed.cancel.run_until_cancelled(checking);
    let found = match tokio::time::timeout_at(deadline.into(), checking).await {
        Ok(Some(Ok(Ok(found)))) => found.map_err(|halt| allowed.error(halt)),
        // The guard around each call takes it for what it is.
        Ok(Some(Ok(Err(panic)))) => resume_unwind(panic),
        Ok(Some(Err(_)) | None) => Err(CallError::Cancelled),
        Err(_) => Err(allowed.error(Halt::Deadline)),
    };
    (found, Duration::from_nanos(spent.load(Ordering::Relaxed)))
}

/// Checks in a turn, in so many steps.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    clock: &Arc<Clock>,
    check: &Arc<impl Fn(&Watch) -> Checked<T> + Send + Sync + 'static>,
    steps: Option<u64>,
) -> Result<std::thread::Result<Result<T, Halt>>, JoinError> {
    let turn = turns.clone().acquire_owned().await;
    let (clock, check) = (clock.clone(), check.clone());
    let thread = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        clock.run(&*check, steps)
    });
    thread.await
}

/// Computes on a thread that serves nobody, and beside no more of the like than there are processors: what has no
/// deadline, and is bounded by what it is given.
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
            // The runtime ends, and with it whoever waits for this.
            Err(_) => std::future::pending().await,
        },
    }
}

/// How long a check may go on.
struct Clock {
    deadline: Instant,
    budget: Option<Duration>,
    cancel: CancellationToken,
    /// What it has computed, in nanoseconds.
    spent: Arc<AtomicU64>,
}

impl Clock {
    fn run<T>(
        &self,
        check: impl Fn(&Watch) -> Checked<T>,
        steps: Option<u64>,
    ) -> std::thread::Result<Result<T, Halt>> {
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
        let halt = halt.get().or(at_last).unwrap_or(Halt::Long);
        found.map(|found| found.map_err(|_| halt))
    }

    fn halt(&self, spent: Duration) -> Option<Halt> {
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.spent.store(nanoseconds, Ordering::Relaxed);
        if self.cancel.is_cancelled() {
            Some(Halt::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Halt::Deadline)
        } else {
            self.budget
                .is_some_and(|budget| spent >= budget)
                .then_some(Halt::Cpu)
        }
    }
}
