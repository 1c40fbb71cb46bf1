//! Text of others as a terminal may have it: what it would obey, and what would hide or reorder text, is
//! spelled as an escape.

mod look_alikes;

use std::borrow::Cow;
use std::fmt::Write;

pub use look_alikes::look_alikes;

/// As part of one line: an escape for each control character, ends of lines and tabs included, and for
/// each invisible one.
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

/// As [`line()`], of a text whose ends of lines and tabs stay, and the joiners that scripts and emoji are
/// written with.
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

/// A JSON document that means the same, with such characters as JSON escapes them.
pub fn json(document: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_special(c) && c != '\n' && c != '\t';
    escaped(document, is_escaped, |c, out| match c {
        // Between tokens: in strings there is none.
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
    let Some(first) = text.find(&is_escaped) else {
        return Cow::Borrowed(text);
    };
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

/// Whether a terminal obeys it, or shows nothing for it, or other text in another order.
fn is_special(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, combining grapheme joiner, marks of direction.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Fillers that are as wide as a letter and blank.
            | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Of no width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Ends of lines and paragraphs, embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Joiners, invisible operators, isolates of direction.
            | '\u{2060}'..='\u{206f}'
            // Variants, but for those of emoji.
            | '\u{fe00}'..='\u{fe0d}'
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, and more variants.
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
