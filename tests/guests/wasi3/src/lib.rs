//! As much of the crate `wasip2` as the guest `hostile` uses, on WASI 0.3: the same attacks are run
//! on both. Each function waits until it is done.

pub mod cli;
pub mod clocks;
pub mod filesystem;
pub mod http;
pub mod io;
pub mod random;
pub mod sockets;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wit_bindgen::block_on;

/// A future that has begun.
struct Begun<T>(Pin<Box<dyn Future<Output = T>>>, Option<T>);

impl<T> Begun<T> {
    fn new(future: impl Future<Output = T> + 'static) -> Begun<T> {
        let mut begun = Begun(Box::pin(future), None);
        begun.is_done();
        begun
    }

    fn is_done(&mut self) -> bool {
        if self.1.is_none()
            && let Poll::Ready(done) = self
                .0
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        {
            self.1 = Some(done);
        }
        self.1.is_some()
    }

    fn finish(&mut self) -> T {
        match self.1.take() {
            Some(done) => done,
            None => block_on(self.0.as_mut()),
        }
    }
}

/// The name of a WIT case, by its name in Rust.
fn name(code: &impl Debug) -> &'static str {
    let full = format!("{code:?}");
    let case = full.rsplit("::").next().unwrap_or_default();
    let case = case.split(['(', ' ']).next().unwrap_or_default();
    let mut name = String::new();
    for (at, letter) in case.char_indices() {
        if letter.is_uppercase() && at > 0 {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    Box::leak(name.into_boxed_str())
}
