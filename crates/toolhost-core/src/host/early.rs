//! Which calls of an answer may start before the answer is complete: an answer that breaks off is void, and
//! what its calls changed would be unknown to the model.

use std::sync::Arc;

use super::{ToolHost, Whose};
use crate::order::{Access, Domain};
use crate::tool::ToolCall;

/// A call's position in the answer, and its place within a call that stands for several.
pub type At = (usize, usize);

/// What calls read and change, of the data that has an order.
#[derive(Default)]
struct Accesses(Vec<(Arc<Domain>, Access)>);

impl Accesses {
    fn extend(&mut self, more: &Accesses) {
        for (domain, access) in &more.0 {
            let known = self.0.iter_mut().find(|(known, _)| known.is_same(domain));
            match known {
                Some((_, known)) if *access == Access::Change => *known = *access,
                Some(_) => {}
                None => self.0.push((domain.clone(), *access)),
            }
        }
    }

    /// Whether one of these changes what the others read or change, or the other way round.
    fn conflict(&self, others: &Accesses) -> bool {
        self.0.iter().any(|(domain, access)| {
            others.0.iter().any(|(other, other_access)| {
                (*access == Access::Change || *other_access == Access::Change)
                    && domain.is_same(other)
            })
        })
    }
}

/// The calls of one answer so far, by their positions.
#[derive(Default)]
pub struct EarlyCalls {
    /// Whether the call of each position is known.
    known: Vec<bool>,
    /// The positions below are all known.
    first_unknown: usize,
    /// Calls that wait for the end.
    deferred: Vec<(At, ToolCall)>,
    /// What those access.
    accesses: Accesses,
}

impl EarlyCalls {
    /// Whether a call that has come may start now. It must be able to change nothing; if it reads what
    /// others may change, all calls before it must have come, and none that waits may change that.
    pub fn may_start(&self, host: &ToolHost, whose: &Whose, at: At, call: &ToolCall) -> bool {
        let Some(accesses) = host.reads(call, whose) else {
            return false;
        };
        accesses.0.is_empty() || self.all_known_before(at) && !self.accesses.conflict(&accesses)
    }

    /// Whether all calls before it have come, and none of them waits.
    pub fn is_next(&self, at: At) -> bool {
        self.all_known_before(at) && self.deferred.iter().all(|(other, _)| *other > at)
    }

    fn all_known_before(&self, at: At) -> bool {
        at.0 <= self.first_unknown
    }

    /// A call has come, whatever becomes of it.
    pub fn note(&mut self, position: usize) {
        if self.known.len() <= position {
            self.known.resize(position + 1, false);
        }
        self.known[position] = true;
        while self.known.get(self.first_unknown) == Some(&true) {
            self.first_unknown += 1;
        }
    }

    /// Keeps a call until the end.
    pub fn defer(&mut self, host: &ToolHost, whose: &Whose, at: At, call: ToolCall) {
        self.note(at.0);
        self.accesses.extend(&host.accesses(&call, whose));
        self.deferred.push((at, call));
    }

    /// Forgets a call that was kept, which must not be run after all.
    pub fn forget(&mut self, position: usize) {
        self.deferred.retain(|(at, _)| at.0 != position);
    }

    /// The answer is complete: the calls that were kept, in their order.
    pub fn take_deferred(&mut self) -> Vec<(At, ToolCall)> {
        let mut deferred = std::mem::take(&mut self.deferred);
        deferred.sort_by_key(|(at, _)| *at);
        deferred
    }
}

impl ToolHost {
    /// What a call reads of the data that has an order, if it can change nothing: its tool says so, or it can
    /// reach nothing. One that fails whatever else the answer says is harmless, too. One that somebody has to be asked about
    /// is not.
    fn reads(&self, call: &ToolCall, whose: &Whose) -> Option<Accesses> {
        let mut accesses = Accesses::default();
        if let Some(Ok(unpacked)) = self.unpack(call) {
            for call in unpacked.calls() {
                accesses.extend(&self.reads(call, whose)?);
            }
        } else if let Some((by, tool)) = self.serving(call) {
            let hooks = self.shared.hooks.as_ref();
            if hooks.is_some_and(|hooks| hooks.ask_somebody(&tool.tool)) {
                return None;
            }
            let is_harmless =
                tool.tool.annotations.read_only == Some(true) || by.provider.is_isolated();
            let Ok(narrowed) = self.grants_of(by, whose) else {
                return Some(accesses);
            };
            match by.order(tool, narrowed.as_deref()) {
                Some((domain, Access::Read)) if is_harmless => {
                    accesses.0.push((domain.clone(), Access::Read));
                }
                None if is_harmless => {}
                _ => return None,
            }
        }
        Some(accesses)
    }

    /// What a call reads and changes, of the data that has an order.
    fn accesses(&self, call: &ToolCall, whose: &Whose) -> Accesses {
        let mut accesses = Accesses::default();
        if let Some(Ok(unpacked)) = self.unpack(call) {
            for call in unpacked.calls() {
                accesses.extend(&self.accesses(call, whose));
            }
        } else if let Some((by, tool)) = self.serving(call)
            && let Ok(narrowed) = self.grants_of(by, whose)
            && let Some((domain, access)) = by.order(tool, narrowed.as_deref())
        {
            accesses.0.push((domain.clone(), access));
        }
        accesses
    }
}
