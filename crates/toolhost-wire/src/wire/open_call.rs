//! A call whose arguments arrive in pieces.

use super::Wire;
use crate::json_text::Scanner;
use crate::tool::ToolCall;

/// How much of a call's arguments has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Nothing, or white space.
    Nothing,
    /// An empty object: all there is, or a placeholder before the arguments.
    Braces,
    /// An incomplete object, or something else.
    Part,
    /// A complete object that is not empty.
    Whole,
}

/// Arguments as text, and what is known of them so far.
#[derive(Clone, Debug, Default)]
struct ArgumentText {
    text: String,
    scanner: Scanner,
    /// Its bytes that are not white space.
    marks: usize,
}

impl ArgumentText {
    fn new(text: String) -> Self {
        let mut arguments = ArgumentText::default();
        arguments.scan(&text);
        arguments.text = text;
        arguments
    }

    fn scan(&mut self, piece: &str) -> Option<usize> {
        let end = self.scanner.push(piece);
        let piece = piece[..end.unwrap_or(piece.len())].bytes();
        self.marks += piece.filter(|byte| !byte.is_ascii_whitespace()).count();
        end
    }

    fn given(&self) -> Given {
        match self.marks {
            0 => Given::Nothing,
            2 if self.scanner.is_closed() && self.text.trim_ascii_start().starts_with('{') => {
                Given::Braces
            }
            _ if self.scanner.is_closed() => Given::Whole,
            _ => Given::Part,
        }
    }
}

/// A call that is still open.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenCall {
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// Whether its input is free text, in which brackets mean nothing.
    pub(super) is_text: bool,
    /// Arguments that came with its beginning; later pieces replace them.
    first: ArgumentText,
    pieces: ArgumentText,
    /// Its position among the calls of the answer: see [`CallPositions`](super::duplicate_calls::CallPositions).
    pub(super) place: Option<usize>,
    pub(super) is_complete: bool,
    /// Whether it is complete, and waits for the end of the answer to show whether it is a copy.
    pub(super) waits: bool,
    /// Whether it is a copy of another.
    pub(super) is_copy: bool,
}

impl OpenCall {
    /// A call that has begun with these arguments; `{}` is a placeholder.
    pub(super) fn new(id: Option<String>, name: String, first: String) -> Self {
        let first = ArgumentText::new(first);
        OpenCall {
            id,
            name,
            first: match first.given() {
                Given::Part | Given::Whole => first,
                Given::Nothing | Given::Braces => ArgumentText::default(),
            },
            ..OpenCall::default()
        }
    }

    /// Whether it has been delivered, or need not be.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Appends to the arguments, until they are a complete object: anything after it is a
    /// repetition, or another object that could not be told from one. A placeholder may precede the
    /// object: `{}`, or an extra `{`.
    pub(super) fn push(&mut self, piece: &str) {
        if self.is_complete {
            return;
        }
        if self.is_text {
            self.pieces.text.push_str(piece);
            self.pieces.marks += piece.len();
            return;
        }
        let mut rest = piece;
        let pieces = &mut self.pieces;
        if pieces.marks == 1 && pieces.scanner.is_open() && rest.trim_ascii_start().starts_with('{')
        {
            *pieces = ArgumentText::default();
        }
        while let Some(end) = pieces.scan(rest) {
            pieces.text.push_str(&rest[..end]);
            rest = rest[end..].trim_ascii_start();
            if rest.is_empty() || pieces.given() != Given::Braces {
                return;
            }
            *pieces = ArgumentText::default();
        }
        pieces.text.push_str(rest);
    }

    /// Sets all of the arguments, repeated at their end: they replace the pieces, unless they are
    /// shorter.
    pub(super) fn set(&mut self, arguments: String) {
        let arguments = ArgumentText::new(arguments);
        let is_less = match arguments.given() {
            Given::Nothing => true,
            Given::Braces => self.given() == Given::Whole,
            Given::Part | Given::Whole => false,
        };
        if !self.is_complete && !is_less {
            self.pieces = arguments;
        }
    }

    fn best(&self) -> &ArgumentText {
        match (self.pieces.given(), self.first.given()) {
            (Given::Nothing | Given::Braces, Given::Part | Given::Whole) => &self.first,
            _ => &self.pieces,
        }
    }

    /// The arguments so far.
    pub(super) fn arguments(&self) -> &str {
        &self.best().text
    }

    pub(super) fn given(&self) -> Given {
        match self.best().given() {
            Given::Braces | Given::Whole if self.is_text => Given::Part,
            given => given,
        }
    }

    /// Whether its arguments are an object that is not closed yet.
    pub(super) fn is_within(&self) -> bool {
        self.best().scanner.is_open()
    }

    /// The call of a response's item, decoded as if it had not been streamed.
    pub(super) fn call(&self, wire: &dyn Wire, item: &str) -> ToolCall {
        let calls = wire.decode(item).unwrap_or_default();
        calls.into_iter().next().unwrap_or_else(|| ToolCall {
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: self.arguments().to_owned(),
            ..ToolCall::default()
        })
    }
}

/// The positions of calls whose arguments are not a complete object or array.
pub(super) fn unclosed(calls: &[ToolCall]) -> Vec<usize> {
    let calls = calls.iter().enumerate();
    calls
        .filter(|(_, call)| Scanner::default().push(&call.arguments).is_none())
        .map(|(position, _)| position)
        .collect()
}
