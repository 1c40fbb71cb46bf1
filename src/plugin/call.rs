//! One call: a fresh instance, run until it answers, fails or meets its deadline.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::convert;
use crate::bindings::toolhost::plugin::types as wit;
use crate::bindings::{Plugin, PluginPre};
use crate::engine::MAX_WASM_STACK;
use crate::error::{CallError, Limit};
use crate::limits::Limits;
use crate::sandbox::{Grants, Sandbox, Stop};
use crate::tool::{LogLine, Output};

/// What an instance left when it ended.
pub(super) struct Ended<R> {
    pub(super) outcome: Result<R, CallError>,
    peak_memory: u64,
    log: Vec<LogLine>,
    denied: Option<String>,
}

/// A served call: all of a result that is the plugin's to say.
pub(crate) struct Served {
    pub(crate) outcome: Result<Output, CallError>,
    pub(crate) peak_memory: u64,
    pub(crate) log: Vec<LogLine>,
}

impl Served {
    /// Ended before there was an instance.
    pub(crate) fn refused(error: CallError) -> Self {
        Served {
            outcome: Err(error),
            peak_memory: 0,
            log: Vec::new(),
        }
    }
}

impl Ended<Result<wit::Output, wit::Error>> {
    pub(super) fn into_served(self, limits: &Limits) -> Served {
        let denied = self.denied;
        let outcome = self.outcome.and_then(|answer| match answer {
            Ok(output) => bounded(output, limits),
            Err(error) if error.message().len() as u64 > limits.max_output.as_u64() => {
                Err(output_limit(limits))
            }
            Err(wit::Error::InvalidArguments(message)) => {
                Err(CallError::invalid_arguments("", message))
            }
            Err(wit::Error::Denied(what)) => Err(CallError::Denied { what }),
            // A tool that failed after it was refused something failed, for all one can tell, of that.
            Err(wit::Error::Failed(message)) => Err(match denied {
                Some(denied) => CallError::Denied {
                    what: format!("{denied} ({message})"),
                },
                None => CallError::Failed { message },
            }),
        });
        Served {
            outcome,
            peak_memory: self.peak_memory,
            log: self.log,
        }
    }
}

impl wit::Error {
    fn message(&self) -> &str {
        match self {
            wit::Error::InvalidArguments(message)
            | wit::Error::Denied(message)
            | wit::Error::Failed(message) => message,
        }
    }
}

fn bounded(output: wit::Output, limits: &Limits) -> Result<Output, CallError> {
    let output = convert::output(output).map_err(|message| CallError::Failed { message })?;
    if output.len() > limits.max_output.as_u64() {
        return Err(output_limit(limits));
    }
    Ok(output)
}

fn output_limit(limits: &Limits) -> CallError {
    CallError::Limit {
        limit: Limit::Output,
        bound: limits.max_output,
    }
}

/// Makes an instance and runs `export` on it, until `deadline` at the latest or until `cancel`.
pub(super) async fn in_instance<R>(
    pre: &PluginPre<Sandbox>,
    grants: &Arc<Grants>,
    limits: &Limits,
    deadline: Instant,
    cancel: &CancellationToken,
    export: impl AsyncFnOnce(&mut Store<Sandbox>, &Plugin) -> wasmtime::Result<R>,
) -> Ended<R> {
    let sandbox = match Sandbox::new(grants, limits) {
        Ok(sandbox) => sandbox,
        Err(message) => {
            return Ended {
                outcome: Err(CallError::internal(message)),
                peak_memory: 0,
                log: Vec::new(),
                denied: None,
            };
        }
    };
    let mut store = Store::new(pre.engine(), sandbox);
    store.limiter(|sandbox| &mut sandbox.limiter);
    store.set_hostcall_fuel(transfer_bound(limits));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            return Err(Stop::Deadline.into());
        }
        // tokio's own yield: it lets the timers and sockets of the runtime be looked at before this
        // guest runs on, which waking ourselves would not.
        let give_way = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, give_way))
    });
    let ended = until(deadline, cancel, async {
        let plugin = pre.instantiate_async(&mut store).await?;
        export(&mut store, &plugin).await
    })
    .await;
    let sandbox = store.data();
    let outcome = match ended {
        End::Itself(Ok(answer)) => Ok(answer),
        End::Itself(Err(error)) => Err(classify(&error, sandbox, limits)),
        End::Deadline => Err(timeout(limits)),
        End::Cancelled => Err(CallError::Cancelled),
    };
    Ended {
        outcome,
        peak_memory: sandbox.limiter.peak(),
        log: sandbox.journal.take_lines(),
        denied: sandbox.journal.denied(),
    }
}

/// Bytes that the guest may hand over in one call of or by the host.
///
/// The result is lifted whole before it is counted, each piece of it costing more than its text;
/// and `wasi:http` writes up to 1 MiB at once.
fn transfer_bound(limits: &Limits) -> usize {
    let output = usize::try_from(limits.max_output.as_u64()).unwrap_or(usize::MAX);
    output.saturating_mul(4).saturating_add(2 << 20)
}

/// How an instance came to its end.
enum End<T> {
    Itself(T),
    Deadline,
    Cancelled,
}

/// Polls `run` to its end, to the deadline, or until it is cancelled: wherever it is then, it is
/// dropped.
async fn until<T>(
    deadline: Instant,
    cancel: &CancellationToken,
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
            return Poll::Ready(End::Deadline);
        }
        if cancel.is_cancelled() {
            return Poll::Ready(End::Cancelled);
        }
        if let Poll::Ready(value) = run.as_mut().poll(context) {
            return Poll::Ready(End::Itself(value));
        }
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Cancelled);
        }
        if timer.is_none() {
            timer.set(Some(tokio::time::sleep_until(deadline.into())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(context).map(|()| End::Deadline),
            None => Poll::Pending,
        }
    })
    .await
}

fn timeout(limits: &Limits) -> CallError {
    CallError::Timeout {
        after: limits.timeout,
    }
}

/// What ended an instance that did not answer.
fn classify(error: &wasmtime::Error, sandbox: &Sandbox, limits: &Limits) -> CallError {
    tracing::debug!("the guest ended: {error:?}");
    match error.downcast_ref::<Stop>() {
        Some(Stop::Deadline) => return timeout(limits),
        Some(&Stop::Limit(limit, bound)) => return CallError::Limit { limit, bound },
        None => {}
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return CallError::Limit {
            limit: Limit::Stack,
            bound: MAX_WASM_STACK,
        };
    }
    if sandbox.limiter.refused() {
        return CallError::Limit {
            limit: Limit::Memory,
            bound: limits.memory,
        };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return CallError::internal(format!("{error:#}"));
    }
    if is_transfer_bound(error) {
        return output_limit(limits);
    }
    if let Some(denied) = sandbox.journal.denied() {
        return CallError::Denied { what: denied };
    }
    let message = match (trap, error.downcast_ref::<I32Exit>()) {
        (Some(trap), _) => trap.to_string(),
        (_, Some(I32Exit(status))) => format!("the guest exited with status {status}"),
        _ => error.root_cause().to_string(),
    };
    CallError::Trap { message }
}

/// wasmtime has no public type for this error; `tests/limits.rs` pins its text.
fn is_transfer_bound(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls has been exhausted")
}
