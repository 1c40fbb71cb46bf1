//! The imports of plugins that call tools: `toolhost:calls`. The host does what they ask for, or
//! says why not; here its types become the guest's.

use std::sync::Arc;
use std::time::Duration;

use super::{Sandbox, StopReason, to_wit};
use crate::bindings::calls::toolhost::calls::calls::{CallError as WitCallError, Host, Summary};
use crate::bindings::toolhost::plugin::types as wit;
use crate::error::CallError;
use crate::limits::Limit;
use crate::permissions::Ambient;
use crate::tool_caller::ToolCaller;

/// The most search results.
const MAX_FOUND: u32 = 100;

impl Sandbox {
    /// What calls tools for the instance.
    fn caller(&self) -> Result<&Arc<dyn ToolCaller>, CallError> {
        self.caller.as_ref().ok_or_else(|| {
            let what = "tool calls: `permissions.tools` grants the plugin none, or the call is nested as deep as \
                        its `max-depth` allows";
            CallError::denied(what)
        })
    }

    /// Records a refusal, if it is one.
    fn refused(&self, error: CallError) -> WitCallError {
        if let CallError::Denied { what } = &error {
            self.journal.deny(what.clone());
        }
        call_error(&error)
    }

    /// # Errors
    ///
    /// What the host holds of arguments and results is over the memory limit, or the call has to
    /// end.
    fn check_calls(&mut self) -> wasmtime::Result<()> {
        if let Some(end) = self.caller.as_ref().and_then(|caller| caller.end()) {
            return Err(end.into());
        }
        let held = self.caller.as_ref().map_or(0, |caller| caller.held());
        if held > self.limiter.left() {
            let bound = self.grants.limits.memory;
            return Err(StopReason::Limit(Limit::Memory, bound.into()).into());
        }
        Ok(())
    }
}

impl Host for Sandbox {
    fn start(
        &mut self,
        name: String,
        arguments: String,
    ) -> wasmtime::Result<Result<u32, WitCallError>> {
        let started = self.caller().cloned();
        let started = started.and_then(|caller| caller.start(&name, arguments));
        self.check_calls()?;
        Ok(started.map_err(|error| self.refused(error)))
    }

    fn start_timer(&mut self, milliseconds: u64) -> wasmtime::Result<Result<u32, WitCallError>> {
        let has_clock = self.grants.permissions.clock == Ambient::Real;
        let started = match has_clock {
            true => self.caller(),
            false => Err(CallError::denied("clock: waiting for a time")),
        };
        let after = Duration::from_millis(milliseconds);
        let started = started.and_then(|caller| caller.start_timer(after));
        self.check_calls()?;
        Ok(started.map_err(|error| self.refused(error)))
    }

    async fn wait(&mut self) -> wasmtime::Result<Vec<(u32, Result<wit::Output, WitCallError>)>> {
        let Some(caller) = self.caller.clone() else {
            return Ok(Vec::new());
        };
        let ended = caller.wait().await;
        self.check_calls()?;
        let ended = ended.into_iter().map(|(number, outcome)| {
            let outcome = outcome
                .map(to_wit::output)
                .map_err(|error| call_error(&error));
            (number, outcome)
        });
        Ok(ended.collect())
    }

    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.caller().map_or_else(|_| Vec::new(), |it| it.names()))
    }

    fn search(&mut self, words: String, limit: u32) -> wasmtime::Result<Vec<Summary>> {
        let limit = limit.min(MAX_FOUND) as usize;
        let found = self.caller().map(|caller| caller.search(&words, limit));
        let found = found.unwrap_or_default().into_iter();
        let found = found.map(|(name, description)| Summary { name, description });
        Ok(found.collect())
    }

    fn describe(&mut self, name: String) -> wasmtime::Result<Result<String, WitCallError>> {
        let described = self.caller().and_then(|caller| caller.describe(&name));
        Ok(described.map_err(|error| call_error(&error)))
    }
}

fn call_error(error: &CallError) -> WitCallError {
    WitCallError {
        code: error.code().to_owned(),
        message: error.to_string(),
    }
}
