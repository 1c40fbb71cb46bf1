//! JSON text as a tree with positions: a repair replaces what is wrong and leaves every other byte
//! unchanged.

use std::ops::Range;

/// A value in a text that is valid JSON.
#[derive(Debug)]
pub(super) struct JsonNode<'t> {
    pub(super) text: &'t str,
    pub(super) span: Range<usize>,
    pub(super) kind: JsonKind<'t>,
}

#[derive(Debug)]
pub(super) enum JsonKind<'t> {
    Null,
    Bool,
    Number,
    String,
    Array(Vec<JsonNode<'t>>),
    Object(Vec<JsonMember<'t>>),
}

/// A member of an object; `at` is where its name begins.
#[derive(Debug)]
pub(super) struct JsonMember<'t> {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) value: JsonNode<'t>,
}

impl JsonNode<'_> {
    /// Parses a document that serde_json has accepted, which bounds its nesting; `None` for
    /// anything else.
    pub(super) fn read(text: &str) -> Option<JsonNode<'_>> {
        let mut reader = JsonReader { text, at: 0 };
        reader.blanks();
        reader.value()
    }
}

struct JsonReader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> JsonReader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips `byte` and the white space after it, if it comes next.
    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.at += 1;
            self.blanks();
        }
        is_next
    }

    /// Reads a value, and the white space after it.
    fn value(&mut self) -> Option<JsonNode<'t>> {
        let begin = self.at;
        let kind = match self.peek()? {
            b'{' => self.members()?,
            b'[' => self.items()?,
            b'"' => {
                self.string()?;
                JsonKind::String
            }
            first => {
                let rest = &self.text.as_bytes()[begin..];
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                match first {
                    b'n' => JsonKind::Null,
                    b't' | b'f' => JsonKind::Bool,
                    _ => JsonKind::Number,
                }
            }
        };
        let span = begin..self.at;
        self.blanks();
        Some(JsonNode {
            text: self.text.get(span.clone())?,
            span,
            kind,
        })
    }

    /// Reads the text of a string, with its quotes.
    fn string(&mut self) -> Option<&'t str> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(begin..self.at)
    }

    fn items(&mut self) -> Option<JsonKind<'t>> {
        let mut items = Vec::new();
        self.pass(b'[');
        while self.peek()? != b']' {
            items.push(self.value()?);
            self.pass(b',');
        }
        self.at += 1;
        Some(JsonKind::Array(items))
    }

    fn members(&mut self) -> Option<JsonKind<'t>> {
        let mut members = Vec::new();
        self.pass(b'{');
        while self.peek()? != b'}' {
            let at = self.at;
            let name = serde_json::from_str(self.string()?).ok()?;
            self.blanks();
            self.pass(b':');
            let value = self.value()?;
            self.pass(b',');
            members.push(JsonMember { name, at, value });
        }
        self.at += 1;
        Some(JsonKind::Object(members))
    }
}

/// A range of a text, and its replacement.
pub(super) struct Edit {
    pub(super) span: Range<usize>,
    pub(super) with: String,
}

/// Applies edits, which are in order and do not overlap.
pub(super) fn edited(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        out.push_str(&text[done..edit.span.start]);
        out.push_str(&edit.with);
        done = edit.span.end;
    }
    out.push_str(&text[done..]);
    out
}

/// The edits that remove members from an object, each with its comma.
pub(super) fn without(members: &[JsonMember], is_dropped: &[bool], edits: &mut Vec<Edit>) {
    let last_kept = is_dropped.iter().rposition(|is_dropped| !is_dropped);
    for (number, member) in members.iter().enumerate() {
        if !is_dropped[number] {
            continue;
        }
        let span = match (number, last_kept) {
            (_, Some(last)) if last > number => member.at..members[number + 1].at,
            (0, _) => member.at..member.value.span.end,
            _ => members[number - 1].value.span.end..member.value.span.end,
        };
        edits.push(Edit {
            span,
            with: String::new(),
        });
    }
}
