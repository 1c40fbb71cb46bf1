//! Calls of providers that do not end them by themselves: functions of the program that the host is part of.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::{
    CallContext, End, Meter, ProvidedTool, RunOutcome, ToolProvider, bounded, bounded_error, held,
    stopped, until,
};
use crate::error::{CallError, said_by};
use crate::schema::checking::Allowed;
use crate::tool::{Output, ToolCall};

/// Has a provider serve a call until its deadline at the latest, and holds what it answers to its limits and to the
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
    let called = async { provider.call(tool, call, context).await };
    let called = AssertUnwindSafe(called).catch_unwind();
    let ended = until(deadline, cancel, &journal, &mut meter, called).await;
    let mut served = match ended {
        End::Itself(Ok(served)) => served,
        End::Itself(Err(panic)) => RunOutcome::refused(panicked(&*panic)),
        End::Stopped(stop) => RunOutcome::refused(stopped(stop, limits.timeout)),
        End::Cancelled => RunOutcome::refused(CallError::Cancelled),
    };
    served.cpu = meter.spent.max(served.cpu);
    served.log.extend(journal.take_lines());
    served.outcome = match served.outcome {
        Ok(output) => bounded::<Output>(output, limits),
        Err(error) => Err(bounded_error(error, limits)),
    };
    Box::pin(held(served, tool.output.as_ref(), allowed)).await
}

/// It is the tool's own fault, and no other call's.
fn panicked(panic: &(dyn Any + Send)) -> CallError {
    CallError::Trap {
        message: format!("the tool panicked: {}", said_by(panic)),
    }
}
