//! What async tools wait for.
//!
//! A tool may be an `async fn`: requests that are sent together overlap. The call's instance runs it to its end, one
//! task on one thread, and nothing runs on after it.
//!
//! ```
//! use toolhost_plugin::{Error, http, task, tool};
//!
//! /// Looks up the weather of two towns.
//! #[tool(read_only)]
//! async fn weather() -> Result<String, Error> {
//!     let of = |town: &str| http::get(format!("https://weather.example/{town}"));
//!     let (oslo, rome) = (of("oslo"), of("rome"));
//!     let mut texts = Vec::new();
//!     for response in task::join_all([oslo.send_async(), rome.send_async()]).await {
//!         texts.push(response?.successful()?.text()?);
//!     }
//!     Ok(texts.join("\n"))
//! }
//! ```

#[cfg(target_arch = "wasm32")]
mod wasi;

#[cfg(target_arch = "wasm32")]
use wasi as platform;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasi::ready;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Waits for that long.
///
/// ```
/// use std::time::Duration;
///
/// use toolhost_plugin::{Error, http, task, tool};
///
/// /// Waits until a job is done.
/// #[tool(read_only)]
/// async fn await_job() -> Result<String, Error> {
///     loop {
///         let state = http::get("https://jobs.example/1").send_async().await?.text()?;
///         if state != "running" {
///             return Ok(state);
///         }
///         task::sleep(Duration::from_secs(1)).await;
///     }
/// }
/// ```
pub async fn sleep(duration: Duration) {
    platform::sleep(duration).await;
}

/// Runs futures together until all are done, and returns their outputs in the same order.
///
/// ```
/// use toolhost_plugin::task;
///
/// let squares = [1, 2, 3].map(async |number: u32| number * number);
/// assert_eq!(task::block_on(task::join_all(squares)), [1, 4, 9]);
/// ```
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut tasks: Vec<Task<F>> = futures
        .into_iter()
        .map(|future| Task::Runs(Box::pin(future)))
        .collect();
    poll_fn(move |context| {
        let mut all_done = true;
        for task in &mut tasks {
            if let Task::Runs(future) = task {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *task = Task::Done(output),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if !all_done {
            return Poll::Pending;
        }
        let outputs = tasks.drain(..).filter_map(|task| match task {
            Task::Done(output) => Some(output),
            Task::Runs(_) => None,
        });
        Poll::Ready(outputs.collect())
    })
    .await
}

enum Task<F: Future> {
    Runs(Pin<Box<F>>),
    Done(F::Output),
}

// The future is in a box of its own, and the output is not pinned.
impl<F: Future> Unpin for Task<F> {}

/// Runs a future to its end. An async function can be tested with it.
///
/// # Panics
///
/// The future waits, but not for something of this crate.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            wait();
        }
    }
}

/// How long calls are waited for before other things are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until a task can go on, and wakes it.
fn wait() {
    let Some(wait_by) = WAIT_BY.get() else {
        return platform::wait();
    };
    while !platform::wake_ready() {
        let most = platform::is_waiting().then_some(LOOK);
        if !wait_by(most) {
            return platform::wait();
        }
        if most.is_none() {
            return;
        }
    }
}

/// Waits for what else can end, for at most that long; says whether there is anything.
type WaitBy = fn(Option<Duration>) -> bool;

thread_local! {
    /// How to wait for calls of tools, once there was one: a plugin without them does not import them.
    static WAIT_BY: Cell<Option<WaitBy>> = const { Cell::new(None) };
}

/// Waits by this function as well.
pub(crate) fn wait_by(wait: WaitBy) {
    WAIT_BY.set(Some(wait));
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// For tests on the machine at hand, where everything is there at once.
#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use std::time::Duration;

    pub(super) async fn sleep(duration: Duration) {
        std::thread::sleep(duration);
    }

    pub(super) fn is_waiting() -> bool {
        false
    }

    pub(super) fn wake_ready() -> bool {
        false
    }

    pub(super) fn wait() {
        panic!(
            "an async tool waits for something that this crate does not know: it would wait forever"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{block_on, join_all, sleep};
    use std::future::{pending, poll_fn};
    use std::task::Poll;
    use std::time::Duration;

    #[test]
    fn futures_run_together_and_their_outputs_keep_their_order() {
        let twice = |number: u32| {
            let mut polled = 0;
            poll_fn(move |context| {
                polled += 1;
                context.waker().wake_by_ref();
                match polled > number {
                    true => Poll::Ready(number),
                    false => Poll::Pending,
                }
            })
        };
        let outputs = block_on(join_all([3, 1, 2].map(twice)));
        assert_eq!(outputs, [3, 1, 2]);
        block_on(sleep(Duration::from_millis(1)));
        assert_eq!(block_on(join_all(Vec::<std::future::Ready<()>>::new())), []);
    }

    #[test]
    #[should_panic(expected = "it would wait forever")]
    fn waiting_for_nothing_is_no_deadlock() {
        block_on(pending::<()>());
    }
}
