//! [`Watch`]: how long a validation may go on.

use std::cell::Cell;

/// Steps, of about 10 ns, between two checks of the clock.
const STRIDE: u64 = 4096;

/// Counts the steps of validations, and stops them.
pub struct Watch<'w> {
    /// Steps until the next check.
    left: Cell<u64>,
    has_stopped: Cell<bool>,
    is_time: &'w dyn Fn() -> bool,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let left = self.left.get();
        f.debug_struct("Watch")
            .field("left", &left)
            .finish_non_exhaustive()
    }
}

impl<'w> Watch<'w> {
    /// Stops after that many steps.
    pub fn steps(steps: u64) -> Watch<'static> {
        Watch {
            left: Cell::new(steps),
            has_stopped: Cell::new(false),
            is_time: &|| true,
        }
    }

    /// Stops when `is_time` returns true; it is called every few tens of microseconds.
    pub fn until(is_time: &'w dyn Fn() -> bool) -> Watch<'w> {
        Watch {
            left: Cell::new(STRIDE),
            has_stopped: Cell::new(false),
            is_time,
        }
    }

    /// Whether it has stopped a validation; it stops every later one as well.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped.get()
    }

    /// Takes steps. Returns whether there may be more.
    #[inline]
    pub fn go(&self, steps: u64) -> bool {
        match self.left.get().checked_sub(steps) {
            Some(left) if left > 0 => {
                self.left.set(left);
                true
            }
            _ => self.look(),
        }
    }

    /// Runs with a watch that stops with this one, and after `steps` at the latest.
    pub fn within<T>(&self, steps: u64, run: impl FnOnce(&Watch) -> T) -> T {
        let left = Cell::new(steps / STRIDE);
        let is_time = || {
            let is_over = left.get() == 0 || !self.go(STRIDE);
            left.set(left.get().saturating_sub(1));
            is_over
        };
        run(&Watch::until(&is_time))
    }

    #[cold]
    fn look(&self) -> bool {
        if self.has_stopped.get() || (self.is_time)() {
            self.left.set(0);
            self.has_stopped.set(true);
            return false;
        }
        self.left.set(STRIDE);
        true
    }
}
