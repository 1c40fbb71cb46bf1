//! Makes untrusted text safe for a terminal: control characters, and characters that hide or
//! reorder text, are escaped.

mod look_alikes;

use std::borrow::Cow;
use std::fmt::Write;

pub use look_alikes::look_alikes;

/// Escapes a text for use within one line: control characters, newlines and tabs included, and
/// invisible characters.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::printable;
///
/// assert_eq!(printable::line("a\n\u{1b}[2Jb"), r"a\n\u{1b}[2Jb");
/// assert_eq!(printable::line("häß ✓"), "häß ✓");
/// ```
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_special, |c, out| out.extend(c.escape_default()))
}

/// As [`line()`], for multi-line text: newlines, tabs, and the joiners that scripts and emoji need
/// are kept.
pub fn text(text: &str) -> Cow<'_, str> {
    let text = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    };
    let keeps = |c: char| matches!(c, '\n' | '\t' | '\u{200c}' | '\u{200d}');
    let is_escaped = |c: char| is_special(c) && !keeps(c);
    match text {
        Cow::Borrowed(text) => escaped(text, is_escaped, |c, out| out.extend(c.escape_default())),
        Cow::Owned(text) => {
            let shown = escaped(&text, is_escaped, |c, out| out.extend(c.escape_default()));
            Cow::Owned(shown.into_owned())
        }
    }
}

/// Escapes such characters in a JSON document as JSON escapes, so that it means the same.
pub fn json(document: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_special(c) && c != '\n' && c != '\t';
    escaped(document, is_escaped, |c, out| match c {
        // Between tokens: strings contain none.
        '\r' => out.push(' '),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a string takes all");
            }
        }
    })
}

fn escaped<'t>(
    text: &'t str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'t, str> {
    // Nearly all text is of these bytes only, and they are found many at a time.
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    let Some(maybe) = text.bytes().position(|byte| !is_plain(byte)) else {
        return Cow::Borrowed(text);
    };
    let Some(first) = text[maybe..].find(&is_escaped) else {
        return Cow::Borrowed(text);
    };
    let first = maybe + first;
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match is_escaped(c) {
            true => escape(c, &mut out),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal obeys it, hides it, or reorders text for it.
fn is_special(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, combining grapheme joiner, direction marks.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Fillers that look like a space.
            | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Zero-width characters and direction marks.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators, directional embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Joiners, invisible operators, directional isolates.
            | '\u{2060}'..='\u{206f}'
            // Variation selectors, except those of emoji.
            | '\u{fe00}'..='\u{fe0d}'
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, and further variation selectors.
            | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_hides_is_spelled() {
        let hostile = [
            '\0',
            '\u{7}',
            '\u{8}',
            '\u{b}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{9d}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{2800}',
            '\u{1343f}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{3164}',
        ];
        for c in hostile {
            let around = format!("a{c}b");
            for shown in [line(&around), text(&around), json(&around)] {
                assert!(!shown.contains(c), "{:04x}", c as u32);
                assert!(shown.is_ascii() && shown.starts_with("a\\"), "{shown}");
            }
            let json = format!("\"{}\"", json(&around));
            let control = c < ' ';
            let read: Option<String> = serde_json::from_str(&json).ok();
            assert!(control || read.as_ref() == Some(&around), "{json}");
        }
    }

    #[test]
    fn what_people_write_stays() {
        for kept in ["", "häß ✓ 日本 ↻", "عربي עברית", "⚠\u{fe0f} e\u{301}"] {
            assert!(matches!(line(kept), Cow::Borrowed(_)), "{kept}");
            assert!(matches!(text(kept), Cow::Borrowed(_)), "{kept}");
            assert!(matches!(json(kept), Cow::Borrowed(_)), "{kept}");
        }
        let family = "👨\u{200d}👩\u{200d}👧\n\tmore";
        assert_eq!(text(family), family);
    }

    #[test]
    fn a_line_stays_one_and_a_text_keeps_its_own() {
        assert_eq!(line("a\r\nb\tc"), r"a\r\nb\tc");
        assert_eq!(text("a\r\nb\tc\rd"), "a\nb\tc\\rd");
        assert_eq!(json("{\r\n\t\"a\":1}\r"), "{ \n\t\"a\":1} ");
    }
}
