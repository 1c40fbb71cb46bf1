//! JSON as text: operations on a document that do not parse its values, so that every token stays
//! as it was written.

/// Tells strings from structure.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringScanner {
    is_inside: bool,
    is_escaped: bool,
}

impl StringScanner {
    /// Takes the next character, or byte of UTF-8. Returns whether it belongs to a string, quotes
    /// included.
    pub fn push(&mut self, next: impl Into<char>) -> bool {
        let was_inside = self.is_inside;
        match next.into() {
            _ if self.is_escaped => self.is_escaped = false,
            '\\' if was_inside => self.is_escaped = true,
            '"' => self.is_inside = !was_inside,
            _ => {}
        }
        was_inside || self.is_inside
    }
}

/// A more deeply nested document is left as it is, as indentation would outgrow it.
const MAX_DEPTH: usize = 64;

/// Indents valid JSON by two spaces, leaving every token as it is written; `None` if it is nested
/// more than 64 deep.
pub fn indent(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut strings = StringScanner::default();
    let mut chars = json.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        match c {
            _ if strings.push(c) => out.push(c),
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return None;
                    }
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    Some(out)
}

/// Detects the end of a document that arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    depth: usize,
    /// Whether it begins with anything but a bracket: its end is then not detectable.
    is_other: bool,
    strings: StringScanner,
    closed: bool,
}

impl Scanner {
    /// Takes the next piece. Returns how much of it belongs to the first object or array, once that
    /// is closed. Does not validate.
    pub fn push(&mut self, piece: &str) -> Option<usize> {
        for (at, byte) in piece.bytes().enumerate() {
            if self.closed {
                return Some(at);
            }
            match byte {
                _ if self.is_other => return None,
                _ if self.depth > 0 && self.strings.push(byte) => {}
                b'{' | b'[' => self.depth += 1,
                _ if self.depth == 0 => self.is_other = !byte.is_ascii_whitespace(),
                b'}' | b']' => {
                    self.depth -= 1;
                    self.closed = self.depth == 0;
                }
                _ => {}
            }
        }
        self.closed.then_some(piece.len())
    }

    /// Whether it is inside an object or array.
    pub fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// Whether the object or array is complete.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_agrees_with_serde_json() {
        let json = r#"{"a":[1,{"b":"\"x\\","c":{}}],"d":[[],[[2]]],"e":null}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            indent(json).unwrap(),
            serde_json::to_string_pretty(&value).unwrap()
        );
    }

    #[test]
    fn a_document_is_whole_with_its_last_byte_and_not_before() {
        let json = r#"{"a":"}\"}\\","b":[{},"{"],"c":{"d":1}}"#;
        for split in 0..json.len() {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.push(&json[..split]), None, "{split}");
            let rest = format!("{} {{}}", &json[split..]);
            assert_eq!(scanner.push(&rest), Some(json.len() - split), "{split}");
            assert_eq!(scanner.push("]"), Some(0), "{split}");
        }
    }

    #[test]
    fn a_document_that_begins_with_no_bracket_has_no_end() {
        for text in [
            "```json\n{}\n```",
            r#""{}""#,
            "6*7}",
            "}",
            "\u{feff}{}",
            "null{}",
            "",
        ] {
            assert_eq!(Scanner::default().push(text), None, "{text}");
        }
        assert_eq!(Scanner::default().push(" \n[] "), Some(4));
    }
}
