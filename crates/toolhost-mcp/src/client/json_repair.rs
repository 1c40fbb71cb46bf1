//! Repairs invalid JSON that some libraries write: lone surrogates, as Python writes file names
//! that are not UTF-8, and `NaN`.

use std::borrow::Cow;

use toolhost_core::json_text::StringScanner;

/// The bytes of an escape such as `\u00e9`.
const ESCAPE: usize = 6;

/// The text with U+FFFD for every lone surrogate escape.
pub(super) fn whole_characters(text: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(next) = find_backslash(text, at) {
        at = next;
        let second = text.get(at + ESCAPE..).and_then(escaped);
        match escaped(&text[at..]) {
            // Skip the escaped character as well: it may be a backslash.
            None => at += 2,
            Some(0xd800..=0xdbff) if matches!(second, Some(0xdc00..=0xdfff)) => at += 2 * ESCAPE,
            Some(0xd800..=0xdfff) => {
                mended.to_mut()[at..at + ESCAPE].copy_from_slice(br"\ufffd");
                at += ESCAPE;
            }
            Some(_) => at += ESCAPE,
        }
    }
    mended
}

fn find_backslash(text: &[u8], from: usize) -> Option<usize> {
    let next = text.get(from..)?.iter().position(|byte| *byte == b'\\')?;
    Some(from + next)
}

/// The UTF-16 unit of the escape at the beginning of the text.
fn escaped(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16)? as u16;
    }
    Some(unit)
}

/// The text with null for `NaN` and infinities; `None` if it has none.
pub(super) fn without_nan(text: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::new();
    let mut is_mended = false;
    let mut strings = StringScanner::default();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let is_string = strings.push(*byte);
        let none: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
        let none = none.into_iter().find(|none| rest.starts_with(none));
        if let Some(none) = none.filter(|_| !is_string) {
            mended.extend_from_slice(b"null");
            is_mended = true;
            rest = &rest[none.len()..];
            continue;
        }
        mended.push(*byte);
        rest = after;
    }
    is_mended.then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_of_characters_are_mended() {
        for (text, expected) in [
            (r#""a\ud800b""#, r#""a\ufffdb""#),
            (r#""\uDFFF\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud800 \\\ud800""#, r#""\\ud800 \\\ufffd""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\u00e9\"#, r#""\u00e9\"#),
        ] {
            assert_eq!(&*whole_characters(text.as_bytes()), expected.as_bytes());
        }
        assert!(matches!(
            whole_characters(br"\ud83d\ude00"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn only_numbers_are_none() {
        let mended = without_nan(br#"{"NaN":NaN,"a":"\"NaN","b":[-Infinity,Infinity]}"#);
        let expected = br#"{"NaN":null,"a":"\"NaN","b":[null,null]}"#;
        assert_eq!(mended.unwrap(), expected);
        assert_eq!(without_nan(br#"{"a":"NaN"}"#), None);
    }
}
