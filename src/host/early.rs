//! Which calls of an answer may start before the answer is complete: an answer that breaks off is void,
//! and what its calls changed would be unknown to the model.

use super::ToolHost;
use crate::order::Access;
use crate::provider::ProvidedTool;
use crate::registry::Registered;
use crate::tool::ToolCall;

/// The calls of one answer so far, by their positions.
#[derive(Default)]
pub(crate) struct EarlyCalls {
    /// Whether the call of each position is known.
    known: Vec<bool>,
    /// Calls that wait for the end.
    deferred: Vec<(At, ToolCall)>,
}

/// A call's position in the answer, and its place within a call that stands for several.
pub(crate) type At = (usize, usize);

impl EarlyCalls {
    /// Whether a call that has come may start now. One that reads what others may change does where all
    /// calls before it have come and none of them is to change it.
    pub(crate) fn may_start(&self, host: &ToolHost, at: At, call: &ToolCall) -> bool {
        if let Some(Ok(unpacked)) = host.unpack(call) {
            let mut calls = unpacked.calls().iter();
            return calls.all(|call| self.may_start(host, at, call));
        }
        let Some((_, by, tool)) = host.registry.find(&call.name) else {
            // It fails, whatever else the answer says.
            return true;
        };
        if !is_harmless(by, tool) {
            return false;
        }
        if by.order(tool).is_none() {
            return true;
        }
        let mut deferred = self.deferred.iter().filter(|(other, _)| *other < at);
        self.all_known_before(at) && !deferred.any(|(_, other)| host.conflict(other, call))
    }

    /// Whether all calls before it have come, and none of them waits.
    #[cfg(feature = "agent")]
    pub(crate) fn is_next(&self, at: At) -> bool {
        self.all_known_before(at) && self.deferred.iter().all(|(other, _)| *other > at)
    }

    fn all_known_before(&self, at: At) -> bool {
        let before = self.known.get(..at.0);
        before.is_some_and(|before| before.iter().all(|known| *known))
    }

    /// A call has come, whatever becomes of it.
    pub(crate) fn note(&mut self, position: usize) {
        if self.known.len() <= position {
            self.known.resize(position + 1, false);
        }
        self.known[position] = true;
    }

    /// Keeps a call until the end.
    pub(crate) fn defer(&mut self, at: At, call: ToolCall) {
        self.note(at.0);
        self.deferred.push((at, call));
    }

    /// The answer is complete: the calls that were kept, in their order.
    pub(crate) fn take_deferred(&mut self) -> Vec<(At, ToolCall)> {
        let mut deferred = std::mem::take(&mut self.deferred);
        deferred.sort_by_key(|(at, _)| *at);
        deferred
    }
}

/// Whether a call can change nothing: its tool says so, or it can reach nothing.
fn is_harmless(by: &Registered, tool: &ProvidedTool) -> bool {
    let reads = tool.tool.annotations.read_only == Some(true) || by.provider.is_isolated();
    reads && !matches!(by.order(tool), Some((_, Access::Change)))
}

impl ToolHost {
    /// Whether one of two calls may change what the other reads or changes.
    pub(crate) fn conflict(&self, one: &ToolCall, other: &ToolCall) -> bool {
        for (packed, other) in [(one, other), (other, one)] {
            if let Some(Ok(unpacked)) = self.unpack(packed) {
                let mut calls = unpacked.calls().iter();
                return calls.any(|call| self.conflict(call, other));
            }
        }
        let order = |call: &ToolCall| {
            let (_, by, tool) = self.registry.find(&call.name)?;
            by.order(tool)
        };
        let (Some((a, access)), Some((b, other_access))) = (order(one), order(other)) else {
            return false;
        };
        (access == Access::Change || other_access == Access::Change) && a.is_same(b)
    }
}
