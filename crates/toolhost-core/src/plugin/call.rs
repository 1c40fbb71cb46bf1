//! One call: a fresh instance that runs until it answers, fails, or meets its deadline or a limit.
//!
//! How an instance ended is decided in this order: a deadline, limit or cancellation seen by
//! [`until`] comes first, even if the guest answered in the same poll; then the guest's answer;
//! then the error it stopped with, which [`classify`] maps to a [`CallError`]: limits before
//! denials, and a trap only if neither explains it. wasmtime reports some limits only as error
//! texts; tests pin those.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTableError;
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;

use super::questions;
use crate::bindings::toolhost::plugin::types as wit;
use crate::engine::RunningGuest;
use crate::error::CallError;
use crate::limits::{Limit, Limits};
use crate::mask::Mask;
use crate::printable;
use crate::provider::{
    Meter, Payload, RunEnd, RunOutcome, bounded, bounded_error, output_limit, stopped, until,
};
use crate::sandbox::{Grants, Journal, Sandbox, StopReason};
use crate::tool::{LogLine, LogSource, Output};
use crate::tool_caller::EndsCall;

/// How many lines and characters of a trapped guest's output are in the error.
const MAX_LAST_LINES: usize = 12;
const MAX_LAST_WORDS: usize = 1500;

/// The most entries in wasmtime's table of tasks and streams for one handle of a guest: a stream has
/// its state and two ends. The table also has what a guest has handed over to the host, without any
/// handle left.
const ENTRIES_PER_HANDLE: usize = 3;

/// The entries of a call that has no handle: its task and its thread.
const OWN_ENTRIES: usize = 16;
/// Why a function returned nothing.
pub(super) enum Failure {
    Arguments { pointer: String, message: String },
    Failed(String),
}

/// What remains of an instance that has ended.
pub(super) struct InstanceEnd<R> {
    pub(super) outcome: Result<R, CallError>,
    cpu: Duration,
    peak_memory: u64,
    log: Vec<LogLine>,
    denied: Option<String>,
}

impl<R> InstanceEnd<Result<R, wit::Error>> {
    /// The outcome in the library's types; `convert` converts the answer, or says what is wrong
    /// with it.
    pub(super) fn into_served<T: Payload>(
        self,
        limits: &Limits,
        convert: impl FnOnce(R) -> Result<T, String>,
    ) -> RunOutcome<T> {
        self.into_outcome(limits, convert, failure)
    }
}

impl InstanceEnd<Result<Output, Failure>> {
    /// The outcome of a function, or of a command.
    pub(super) fn into_called(self, limits: &Limits) -> RunOutcome {
        let fail = |failed, denied, limits: &Limits| match failed {
            Failure::Failed(message) => failure(wit::Error::Failed(message), denied, limits),
            Failure::Arguments { pointer, message } => {
                let error = CallError::invalid_arguments(pointer, message);
                bounded_error(error, limits)
            }
        };
        self.into_outcome(limits, Ok, fail)
    }
}

impl<R, E> InstanceEnd<Result<R, E>> {
    fn into_outcome<T: Payload>(
        self,
        limits: &Limits,
        convert: impl FnOnce(R) -> Result<T, String>,
        failure: impl FnOnce(E, Option<String>, &Limits) -> CallError,
    ) -> RunOutcome<T> {
        let denied = self.denied;
        let outcome = self.outcome.and_then(|answer| match answer {
            Ok(answer) => {
                let answer = convert(answer).map_err(|message| CallError::Failed { message })?;
                bounded(answer, limits)
            }
            Err(error) => Err(failure(error, denied, limits)),
        });
        RunOutcome {
            outcome,
            cpu: self.cpu,
            peak_memory: self.peak_memory,
            log: self.log,
            calls: 0,
        }
    }
}

fn failure(error: wit::Error, denied: Option<String>, limits: &Limits) -> CallError {
    let fits = |bytes: usize| bytes as u64 <= limits.max_output.as_u64();
    match error {
        wit::Error::InputRequired(input) => match questions::input_required(input) {
            Ok(input) if fits(input.size()) => CallError::InputRequired(Box::new(input)),
            Ok(_) => output_limit(limits),
            Err(message) => CallError::Failed { message },
        },
        wit::Error::InvalidArguments(message)
        | wit::Error::Denied(message)
        | wit::Error::Failed(message)
            if !fits(message.len()) =>
        {
            output_limit(limits)
        }
        wit::Error::InvalidArguments(message) => CallError::invalid_arguments("", message),
        wit::Error::Denied(what) => CallError::Denied { what },
        // A tool that failed after a denial most likely failed because of it.
        wit::Error::Failed(message) => match denied {
            Some(denied) => {
                // A program that calls tools was told so, and says it itself.
                let told = CallError::denied(&denied).to_string();
                CallError::denied(match message.contains(&told) {
                    true => message.replace(&told, &denied),
                    false => format!("{denied} ({message})"),
                })
            }
            None => CallError::Failed { message },
        },
    }
}

/// The time limits of a call.
pub(super) struct CallTime {
    pub(super) deadline: Instant,
    /// The timeout.
    pub(super) timeout: Duration,
    /// The CPU time used so far.
    pub(super) spent: Duration,
}

/// Makes an instance in a fresh sandbox and calls an export of it, until the deadline or until
/// `cancel`.
pub(super) async fn in_sandbox<R>(
    engine: &Engine,
    grants: &Arc<Grants>,
    journal: Journal,
    time: CallTime,
    cancel: &CancellationToken,
    run: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
) -> InstanceEnd<R> {
    let limits = &grants.limits;
    let CallTime {
        deadline,
        timeout,
        spent,
    } = time;
    let sandbox = match Sandbox::new(grants, journal.clone()) {
        Ok(sandbox) => sandbox,
        Err(message) => {
            return InstanceEnd {
                outcome: Err(CallError::internal(message)),
                cpu: spent,
                peak_memory: 0,
                log: Vec::new(),
                denied: None,
            };
        }
    };
    let _running = RunningGuest::new();
    let mut store = Store::new(engine, sandbox);
    store.limiter(|sandbox| &mut sandbox.limiter);
    store.set_hostcall_fuel(usize::try_from(limits.transfer().as_u64()).unwrap_or(usize::MAX));
    store.set_max_component_handles(limits.max_resources as usize);
    if let Some(table) = store.concurrent_resource_table() {
        let resources = limits.max_resources as usize;
        table.set_max_capacity(resources.saturating_mul(ENTRIES_PER_HANDLE) + OWN_ENTRIES);
    }
    store.set_epoch_deadline(1);
    let memory = limits.memory;
    let clock = journal.clock().clone();
    store.epoch_deadline_callback(move |mut store| {
        if clock
            .deadline(deadline)
            .is_some_and(|end| Instant::now() >= end)
        {
            return Err(StopReason::Deadline.into());
        }
        let entries = store.concurrent_resource_table();
        let entries = entries.map(|table| table.iter_mut().count());
        let fits = match entries {
            Some(entries) => store.data_mut().weigh_concurrent(entries),
            None => store.data_mut().weigh(0),
        };
        if !fits {
            return Err(StopReason::Limit(Limit::Memory, memory.into()).into());
        }
        // tokio's own yield lets the runtime look at timers and sockets before this guest
        // continues, which waking ourselves would not.
        let give_way = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, give_way))
    });
    let mut meter = Meter::new(limits.cpu, spent);
    let ended = {
        let run = pin!(run(&mut store));
        until(deadline, cancel, &journal, &mut meter, run).await
    };
    let sandbox = store.data();
    let outcome = match ended {
        RunEnd::Itself(Ok(answer)) => Ok(answer),
        RunEnd::Itself(Err(error)) => Err(classify(&error, sandbox, limits, timeout)),
        RunEnd::Stopped(stop) => Err(stopped(stop, timeout)),
        RunEnd::Cancelled => Err(CallError::Cancelled),
    };
    let log = journal.take_lines();
    InstanceEnd {
        outcome: outcome.map_err(|error| with_last_words(error, &log, journal.mask())),
        cpu: meter.spent,
        peak_memory: sandbox.limiter.peak(),
        log,
        denied: journal.denied(),
    }
}

/// Adds a guest's last output to a trap: a panic's message, or an exception with its trace.
fn with_last_words(error: CallError, log: &[LogLine], mask: &Mask) -> CallError {
    let CallError::Trap { mut message } = error else {
        return error;
    };
    let stderr = log.iter().filter(|line| line.source == LogSource::Stderr);
    if let Some(words) = last_words(stderr.map(|line| &*line.text), mask) {
        message += &format!("; its stderr ends with:\n{words}");
    }
    CallError::Trap { message }
}

/// The last lines of a guest's output, fit to be shown.
pub(super) fn last_words<'l>(lines: impl Iterator<Item = &'l str>, mask: &Mask) -> Option<String> {
    // Masked as a whole, since a secret cut in two would not be found.
    let mut text = lines.collect::<Vec<_>>().join("\n");
    mask.text(&mut text);
    let lines = text.lines().filter(|line| {
        let is_advice = line.starts_with("note: run with `RUST_BACKTRACE=");
        !line.trim().is_empty() && !is_advice
    });
    let lines: Vec<&str> = lines.collect();
    let last = lines[lines.len().saturating_sub(MAX_LAST_LINES)..].join("\n");
    if last.is_empty() {
        return None;
    }
    let cut = last.char_indices().rev().nth(MAX_LAST_WORDS);
    let (ellipsis, last) = match cut {
        Some((at, _)) => ("…", &last[at..]),
        None => ("", &*last),
    };
    Some(format!("{ellipsis}{}", printable::text(last)))
}

/// Maps the error of an instance that did not answer to a [`CallError`].
fn classify(
    error: &wasmtime::Error,
    sandbox: &Sandbox,
    limits: &Limits,
    timeout: Duration,
) -> CallError {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let mut text = format!("{error:?}");
        sandbox.journal.mask().text(&mut text);
        tracing::debug!("the guest ended: {text}");
    }
    if let Some(EndsCall(error)) = error.downcast_ref() {
        return error.clone();
    }
    if let Some(stop) = error.downcast_ref::<StopReason>() {
        return stopped(*stop, timeout);
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return CallError::over(Limit::Stack, limits.stack());
    }
    if is_out_of_resources(error) {
        return CallError::over(Limit::Resources, limits.max_resources);
    }
    if let Some(FieldMapError::TotalSizeTooBig | FieldMapError::TooManyFields) =
        error.downcast_ref()
    {
        return CallError::over(Limit::Headers, limits.max_headers);
    }
    if sandbox.limiter.refused() {
        return CallError::over(Limit::Memory, limits.memory);
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return CallError::internal(format!("{error:#}"));
    }
    if is_transfer_bound(error) {
        // Only a host call passes through the guest's code, and has a backtrace of it.
        return match error.is::<WasmBacktrace>() || limits.max_transfer.is_some() {
            true => CallError::over(Limit::Transfer, limits.transfer()),
            false => output_limit(limits),
        };
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

/// Either the host's resource table or wasmtime's handle tables are full.
fn is_out_of_resources(error: &wasmtime::Error) -> bool {
    let of_host = error.downcast_ref::<ResourceTableError>();
    matches!(of_host, Some(ResourceTableError::Full))
        || error
            .root_cause()
            .to_string()
            .contains("store handle limit exceeded")
}

/// wasmtime has no public types for these errors; `tests/limits.rs` and `tests/hostile` pin their
/// texts.
fn is_transfer_bound(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    let of_random_bytes = cause.starts_with("requested len ") && cause.contains(" exceeds limit ");
    of_random_bytes || cause.contains("fuel allocated for hostcalls has been exhausted")
}
