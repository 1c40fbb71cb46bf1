//! Supervises calls of providers that do not end them by themselves, such as functions of the
//! embedding program.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures_util::FutureExt;

use super::{
    CallContext, Meter, ProvidedTool, RunEnd, RunOutcome, ToolProvider, bounded, bounded_error,
    stopped, until, validated,
};
use crate::error::{CallError, said_by};
use crate::schema::check_scheduling::Allowed;
use crate::tool::{Output, ToolCall};

/// Runs a call of a provider until its deadline, and checks its answer against the limits and the
/// tool's schema.
pub(crate) async fn run(
    provider: &dyn ToolProvider,
    tool: &ProvidedTool,
    call: &ToolCall,
    context: CallContext<'_>,
) -> RunOutcome {
    let (limits, deadline) = (context.limits, context.deadline());
    let (cancel, journal) = (context.cancel, context.journal.clone());
    let allowed = Allowed {
        limits,
        start: context.start,
        spent: context.spent,
        cancel,
    };
    let mut meter = Meter::new(limits.cpu, context.spent);
    let ended = {
        let called = async { provider.call(tool, call, context).await };
        let called = pin!(AssertUnwindSafe(called).catch_unwind());
        until(deadline, cancel, &journal, &mut meter, called).await
    };
    let mut served = match ended {
        RunEnd::Itself(Ok(served)) => served,
        RunEnd::Itself(Err(panic)) => RunOutcome::refused(panicked(&*panic)),
        RunEnd::Stopped(stop) => RunOutcome::refused(stopped(stop, limits.timeout)),
        RunEnd::Cancelled => RunOutcome::refused(CallError::Cancelled),
    };
    served.cpu = meter.spent.max(served.cpu);
    served.log.extend(journal.take_lines());
    served.outcome = match served.outcome {
        Ok(output) => bounded::<Output>(output, limits),
        Err(error) => Err(bounded_error(error, limits)),
    };
    Box::pin(validated(served, tool.output.as_ref(), allowed)).await
}

/// A panic is the error of this call only.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    CallError::Trap {
        message: format!("the tool panicked: {}", said_by(panic)),
    }
}
