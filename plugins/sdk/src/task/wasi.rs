//! Waiting with `wasi:io/poll`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::{Pollable, poll};

thread_local! {
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
}

/// A task that waits.
struct Waiting {
    pollable: Rc<Pollable>,
    waker: Waker,
}

/// Waits until it is ready.
pub(crate) async fn ready(pollable: Pollable) {
    let registered = Registered(Rc::new(pollable));
    poll_fn(|context| {
        if registered.0.ready() {
            return Poll::Ready(());
        }
        registered.remove();
        WAITING.with_borrow_mut(|waiting| {
            waiting.push(Waiting {
                pollable: registered.0.clone(),
                waker: context.waker().clone(),
            });
        });
        Poll::Pending
    })
    .await;
}

/// What a future waits for, which ends before the resource that it belongs to.
struct Registered(Rc<Pollable>);

impl Registered {
    fn remove(&self) {
        WAITING.with_borrow_mut(|waiting| {
            waiting.retain(|other| !Rc::ptr_eq(&other.pollable, &self.0));
        });
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(super) async fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    ready(subscribe_duration(nanoseconds)).await;
}

/// Whether a task waits.
pub(super) fn is_waiting() -> bool {
    WAITING.with_borrow(|waiting| !waiting.is_empty())
}

/// Wakes the tasks that can go on. Returns whether there are any.
pub(super) fn wake_ready() -> bool {
    let is_any = WAITING.with_borrow(|waiting| waiting.iter().any(|it| it.pollable.ready()));
    if is_any {
        wait();
    }
    is_any
}

/// Waits until a task can go on, and wakes it.
pub(super) fn wait() {
    let waiting = WAITING.take();
    assert!(
        !waiting.is_empty(),
        "an async tool waits for something that this crate does not know: it would wait forever"
    );
    let pollables: Vec<&Pollable> = waiting.iter().map(|waiting| &*waiting.pollable).collect();
    let mut is_ready = vec![false; waiting.len()];
    for index in poll(&pollables) {
        is_ready[index as usize] = true;
    }
    let mut rest = Vec::new();
    for (waiting, is_ready) in waiting.into_iter().zip(is_ready) {
        match is_ready {
            true => waiting.waker.wake(),
            false => rest.push(waiting),
        }
    }
    WAITING.with_borrow_mut(|waiting| waiting.append(&mut rest));
}
