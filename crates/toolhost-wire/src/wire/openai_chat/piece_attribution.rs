//! Attributes the pieces of a streamed chat completion to its calls.
//!
//! The API numbers calls, and sends a call's id and name once, with its first piece. Compatible
//! servers do anything but that: one number for all calls or another one for each piece, ids in
//! each piece, equal or new ones, names in each piece or in pieces. So a piece is attributed by
//! everything it has:
//!
//! - It belongs to the call with its index, or with its id if that is another; without both, to the
//!   last.
//! - It begins a call if it has a name (and an id if calls have ids) and the call that it would
//!   belong to has different ones, or is closed.
//! - A piece that begins what looks like a copy of a call begins a call only if that proves to be
//!   different.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::partial_call::{CallPiece, PartialCall, Sort, is_same};
use crate::tool::ToolCall;
use crate::wire::duplicate_calls::{self, CallPositions, by_place};
use crate::wire::open_call::Given;
use crate::wire::stream_decoder::Delta;

/// How an answer ended, as far as its calls depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// The model was done.
    Well,
    /// It was cut off.
    Early,
    /// Without a reason.
    Silently,
}

#[derive(Default)]
pub(super) struct StreamedCalls {
    begun: Vec<PartialCall>,
    places: CallPositions,
    /// The last call of each index, and of each id.
    by_index: HashMap<u64, usize>,
    by_id: HashMap<String, usize>,
    /// A possible copy of a call: the call's position, the index it came with, and what has arrived
    /// of it.
    copy: Option<(usize, Option<u64>, PartialCall)>,
    /// Calls with `{}` as arguments when a later chunk arrived that began no call.
    braces: Vec<usize>,
    /// Calls with complete arguments but without an id or a name.
    nameless: Vec<usize>,
    /// The number of calls that may be incomplete.
    unfinished: usize,
    chunk: usize,
    /// The chunk in which the last call began.
    last_begin: usize,
}

/// Where a piece belongs.
enum PieceTarget {
    /// To an existing call.
    Of(usize),
    /// To a new one.
    New,
    /// To a possible copy of a call.
    Copy(usize),
}

impl StreamedCalls {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Whether arguments of a call may still arrive.
    pub(super) fn may_go_on(&self) -> bool {
        self.unfinished > 0
    }

    /// Whether the arguments of every call are a complete object.
    pub(super) fn are_closed(&self) -> bool {
        let closed =
            |begun: &PartialCall| matches!(begun.open.given(), Given::Whole | Given::Braces);
        self.begun.iter().all(closed)
    }

    /// Pieces of another chunk follow.
    pub(super) fn next_chunk(&mut self) {
        self.chunk += 1;
    }

    pub(super) fn piece(&mut self, piece: CallPiece, deltas: &mut Vec<Delta>) {
        let has_nothing = piece.id.is_none()
            && piece.name.is_none()
            && piece.arguments.trim_ascii().is_empty()
            && !piece.is_other();
        match self.place(&piece) {
            PieceTarget::New if has_nothing => {}
            PieceTarget::New => {
                self.begin(&piece, deltas);
                self.add(self.begun.len() - 1, piece, deltas);
            }
            PieceTarget::Copy(at) => {
                self.settle(deltas);
                let index = piece.index;
                if let Some(index) = index {
                    self.by_index.entry(index).or_insert(at);
                }
                let mut begun = PartialCall::default();
                begun.add(piece);
                // It gets a position once it proves to be none.
                self.copy = Some((at, index, begun));
                self.look_at_copy(deltas);
            }
            PieceTarget::Of(at) => match &mut self.copy {
                Some((of, _, begun)) if *of == at => {
                    begun.add(piece);
                    self.look_at_copy(deltas);
                }
                _ => self.add(at, piece, deltas),
            },
        }
    }

    fn place(&self, piece: &CallPiece) -> PieceTarget {
        let by_index = piece.index.and_then(|index| self.by_index.get(&index));
        let by_id = piece.id.as_ref().and_then(|id| self.by_id.get(id));
        let given = |at: usize| self.begun[at].open.given();
        let at = match (by_index.copied(), by_id.copied()) {
            (Some(at), Some(other)) if self.begun[at].open.id != piece.id => other,
            (Some(at), _) => at,
            // Another index beside a known id.
            (None, Some(at)) if piece.index.is_some() && piece.name.is_some() => {
                return match given(at) {
                    Given::Whole => PieceTarget::Copy(at),
                    _ => PieceTarget::New,
                };
            }
            (None, Some(at)) => at,
            (None, None) => {
                let last = self.begun.len().checked_sub(1);
                // Without name and id, another index may still mean the open call.
                let is_bare = piece.name.is_none() && piece.id.is_none();
                let of_last =
                    |at: &usize| piece.index.is_none() || is_bare && given(*at) != Given::Whole;
                match last.filter(of_last).filter(|_| !piece.is_other()) {
                    Some(at) => at,
                    None => return PieceTarget::New,
                }
            }
        };
        self.follows(at, piece)
    }

    /// Whether a piece continues a call, or begins another beside or after it.
    fn follows(&self, at: usize, piece: &CallPiece) -> PieceTarget {
        let known = &self.begun[at].open;
        let Some(name) = &piece.name else {
            return PieceTarget::Of(at);
        };
        let is_other_id = known.id.is_some() && piece.id.is_some() && known.id != piece.id;
        let is_same_id = known.id.is_some() && known.id == piece.id;
        // The first pieces of calls have ids here, and this one has none.
        let is_later = known.id.is_some() && piece.id.is_none();
        let is_other_name = !known.name.is_empty() && known.name != *name;
        match known.given() {
            _ if known.name.is_empty() && !is_other_id => PieceTarget::Of(at),
            Given::Nothing if is_other_id => PieceTarget::New,
            // Its name arrives in pieces, or again.
            Given::Nothing if is_same_id || is_later => PieceTarget::Of(at),
            Given::Nothing | Given::Part if is_other_name => PieceTarget::New,
            // No call can begin inside an object: some servers give a new id to each piece.
            Given::Part if is_other_id && !known.is_within() => PieceTarget::New,
            Given::Nothing | Given::Part => PieceTarget::Of(at),
            Given::Braces if is_same_id || is_later && !is_other_name => PieceTarget::Of(at),
            Given::Braces => PieceTarget::New,
            Given::Whole if is_other_id || is_other_name => PieceTarget::New,
            Given::Whole => PieceTarget::Copy(at),
        }
    }

    fn begin(&mut self, piece: &CallPiece, deltas: &mut Vec<Delta>) {
        // A call that began in an earlier chunk is complete now, even if its arguments are `{}`.
        if self.last_begin != self.chunk {
            self.last_begin = self.chunk;
            for at in std::mem::take(&mut self.braces) {
                let begun = &self.begun[at];
                if begun.open.given() == Given::Braces && !begun.is_doubtful {
                    self.complete(at, deltas);
                }
            }
        }
        // A server that gives all calls the same number may still mean the same call.
        let by_index = piece.index.and_then(|index| self.by_index.get(&index));
        let last = self.begun.len().wrapping_sub(1);
        if let Some(former) = self.begun.last_mut() {
            let is_alike =
                by_index == Some(&last) || piece.id.is_some() && former.open.id == piece.id;
            former.is_doubtful = is_alike
                && former.open.given() == Given::Nothing
                && piece.name.as_ref() == Some(&former.open.name);
        }
        let mut begun = PartialCall::default();
        // A call of another kind may not concern us.
        if !piece.is_other() {
            let name = piece.name.as_deref().unwrap_or_default();
            begun.open.place = self.places.begin(piece.id.as_deref(), name);
        }
        self.push(begun);
    }

    fn push(&mut self, begun: PartialCall) {
        self.unfinished += usize::from(begun.is_unfinished());
        self.begun.push(begun);
    }

    fn add(&mut self, at: usize, piece: CallPiece, deltas: &mut Vec<Delta>) {
        self.names(at, piece.index, piece.id.clone());
        let begun = &mut self.begun[at];
        self.unfinished -= usize::from(begun.is_unfinished());
        begun.add(piece);
        self.unfinished += usize::from(begun.is_unfinished());
        self.may_be_complete(at, deltas);
    }

    fn names(&mut self, at: usize, index: Option<u64>, id: Option<String>) {
        if let Some(index) = index {
            self.by_index.insert(index, at);
        }
        if let Some(id) = id {
            self.by_id.insert(id, at);
        }
    }

    fn may_be_complete(&mut self, at: usize, deltas: &mut Vec<Delta>) {
        let open = &self.begun[at].open;
        match open.given() {
            Given::Whole if open.is_complete() => {}
            // An id or a name may come with a later piece.
            Given::Whole if open.id.is_none() || open.name.is_empty() => self.nameless.push(at),
            Given::Whole => self.complete(at, deltas),
            Given::Braces if self.braces.last() != Some(&at) => self.braces.push(at),
            _ => {}
        }
    }

    fn complete(&mut self, at: usize, deltas: &mut Vec<Delta>) {
        let begun = &mut self.begun[at];
        self.unfinished -= usize::from(begun.is_unfinished());
        if !self.places.has_taken(&begun.open) {
            let call = begun.call();
            self.places.complete(&mut begun.open, call, deltas);
        }
        self.unfinished += usize::from(begun.is_unfinished());
    }

    /// Checks a possible copy, once it is complete.
    fn look_at_copy(&mut self, deltas: &mut Vec<Delta>) {
        let copy = self.copy.as_ref();
        if copy.is_some_and(|(_, _, begun)| begun.open.given() == Given::Whole) {
            self.settle(deltas);
        }
    }

    /// Accepts a possible copy as a call of its own, unless it is a copy or empty.
    fn settle(&mut self, deltas: &mut Vec<Delta>) {
        let Some((of, index, mut begun)) = self.copy.take() else {
            return;
        };
        let (original, copy) = (&self.begun[of].open, &begun.open);
        let is_copy = match copy.given() {
            _ if !copy.name.is_empty() && copy.name != original.name => false,
            Given::Nothing => true,
            // Without an id of its own nothing says that it is the same call.
            _ if duplicate_calls::id(original.id.as_deref(), &original.name).is_none() => false,
            Given::Braces => {
                begun.is_doubtful = true;
                false
            }
            _ => is_same(original.arguments(), copy.arguments()),
        };
        if !is_copy {
            let at = self.begun.len();
            self.names(at, index, begun.open.id.clone());
            self.push(begun);
            self.may_be_complete(at, deltas);
        }
    }

    /// The finish reason was given, but more may come: proxies send one after each piece.
    pub(super) fn ended(&mut self, deltas: &mut Vec<Delta>) {
        for at in std::mem::take(&mut self.nameless) {
            self.complete(at, deltas);
        }
    }

    /// The answer has ended.
    pub(super) fn close(&mut self, ended: AnswerEnd, deltas: &mut Vec<Delta>) {
        self.settle(deltas);
        self.places.over();
        for at in 0..self.begun.len() {
            let begun = &self.begun[at];
            let is_certain = match begun.open.given() {
                Given::Whole => true,
                Given::Braces => ended != AnswerEnd::Early,
                // What cut the answer off has cut off the arguments too.
                Given::Nothing | Given::Part => ended == AnswerEnd::Well,
            };
            if is_certain && !begun.is_doubtful && !begun.is_unknown() {
                self.complete(at, deltas);
            }
        }
    }

    /// The calls as a message contains them, as calls, and the positions of those that were cut
    /// off.
    pub(super) fn into_parts(mut self) -> (MessageCalls, Vec<ToolCall>, Vec<usize>) {
        for begun in &mut self.begun {
            if !begun.is_unknown() {
                self.places.end(&mut begun.open);
            }
        }
        self.begun.retain(|begun| !begun.open.is_copy);
        let is_legacy = |begun: &PartialCall| begun.sort == Sort::Legacy;
        let items = match self.begun.first() {
            Some(begun) if self.begun.len() == 1 && is_legacy(begun) => {
                MessageCalls::Legacy(begun.inner())
            }
            _ => MessageCalls::Calls(self.begun.iter().map(PartialCall::item).collect()),
        };
        let calls = self.begun.iter().filter(|begun| !begun.is_unknown());
        let (calls, cut) = by_place(calls.map(|begun| (&begun.open, begun.call())));
        (items, calls, cut)
    }
}

/// Calls as a message contains them.
pub(super) enum MessageCalls {
    Calls(Vec<Box<RawValue>>),
    Legacy(Box<RawValue>),
}
