//! Which calls of a streamed answer may start before the answer is complete. An answer that breaks
//! off is void, so a call that starts early must change nothing: the model would not know of the
//! change.

use std::sync::Arc;

use super::{ToolHost, Whose};
use crate::order::{Domain, DomainAccess};
use crate::tool::ToolCall;

/// A call's position in the answer, and its position inside a call that stands for several.
pub type CallPosition = (usize, usize);

/// What calls read and change, of the data in order domains.
#[derive(Default)]
struct Accesses(Vec<(Arc<Domain>, DomainAccess)>);

impl Accesses {
    fn extend(&mut self, more: &Accesses) {
        for (domain, access) in &more.0 {
            let known = self.0.iter_mut().find(|(known, _)| known.is_same(domain));
            match known {
                Some((_, known)) if *access == DomainAccess::Change => *known = *access,
                Some(_) => {}
                None => self.0.push((domain.clone(), *access)),
            }
        }
    }

    /// Whether either changes what the other reads or changes.
    fn conflict(&self, others: &Accesses) -> bool {
        self.0.iter().any(|(domain, access)| {
            others.0.iter().any(|(other, other_access)| {
                (*access == DomainAccess::Change || *other_access == DomainAccess::Change)
                    && domain.is_same(other)
            })
        })
    }
}

/// The calls of one answer that have arrived so far, by position.
#[derive(Default)]
pub struct EarlyCalls {
    /// Whether the call at each position has arrived.
    known: Vec<bool>,
    /// All positions below this one have arrived.
    first_unknown: usize,
    /// Calls deferred until the answer is complete.
    deferred: Vec<(CallPosition, ToolCall)>,
    /// What the deferred calls access.
    accesses: Accesses,
}

impl EarlyCalls {
    /// Whether an arrived call may start now. It must change nothing; if it reads what others may
    /// change, all calls before it must have arrived, and no deferred one may change that data.
    pub fn may_start(
        &self,
        host: &ToolHost,
        whose: &Whose,
        at: CallPosition,
        call: &ToolCall,
    ) -> bool {
        let Some(accesses) = host.reads(call, whose) else {
            return false;
        };
        accesses.0.is_empty() || self.all_known_before(at) && !self.accesses.conflict(&accesses)
    }

    /// Whether all calls before it have arrived and none of them is deferred.
    pub fn is_next(&self, at: CallPosition) -> bool {
        self.all_known_before(at) && self.deferred.iter().all(|(other, _)| *other > at)
    }

    fn all_known_before(&self, at: CallPosition) -> bool {
        at.0 <= self.first_unknown
    }

    /// Notes that the call at `position` has arrived.
    pub fn note(&mut self, position: usize) {
        if self.known.len() <= position {
            self.known.resize(position + 1, false);
        }
        self.known[position] = true;
        while self.known.get(self.first_unknown) == Some(&true) {
            self.first_unknown += 1;
        }
    }

    /// Defers a call until the answer is complete.
    pub fn defer(&mut self, host: &ToolHost, whose: &Whose, at: CallPosition, call: ToolCall) {
        self.note(at.0);
        self.accesses.extend(&host.accesses(&call, whose));
        self.deferred.push((at, call));
    }

    /// Drops a deferred call that must not run after all.
    pub fn forget(&mut self, position: usize) {
        self.deferred.retain(|(at, _)| at.0 != position);
    }

    /// Returns the deferred calls in their order, now that the answer is complete.
    pub fn take_deferred(&mut self) -> Vec<(CallPosition, ToolCall)> {
        let mut deferred = std::mem::take(&mut self.deferred);
        deferred.sort_by_key(|(at, _)| *at);
        deferred
    }
}

impl ToolHost {
    /// What a call reads of the data in order domains, or `None` if it may change something or needs a
    /// user's decision. A call changes nothing if its tool says so or its plugin is granted nothing;
    /// neither does a call that is bound to fail.
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
                Some((domain, DomainAccess::Read)) if is_harmless => {
                    accesses.0.push((domain.clone(), DomainAccess::Read));
                }
                None if is_harmless => {}
                _ => return None,
            }
        }
        Some(accesses)
    }

    /// What a call reads and changes, of the data in order domains.
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
