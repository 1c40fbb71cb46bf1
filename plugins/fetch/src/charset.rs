//! From bytes to text.

use std::borrow::Cow;

/// UTF-8, or the Western encodings that old pages are in. Tables for all others would double the plugin.
pub(crate) fn decode<'a>(body: &'a [u8], content_type: &str) -> Cow<'a, str> {
    let content_type = content_type.to_ascii_lowercase();
    let is_western = ["iso-8859-1", "windows-1252", "latin1"]
        .iter()
        .any(|name| content_type.contains(name));
    match std::str::from_utf8(body) {
        Ok(text) => text.into(),
        Err(_) if is_western => body
            .iter()
            .map(|&byte| western(byte))
            .collect::<String>()
            .into(),
        Err(_) => String::from_utf8_lossy(body),
    }
}

/// The web takes ISO-8859-1 for windows-1252, whose quotes and dashes are where the former has control characters.
fn western(byte: u8) -> char {
    const C1: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => C1[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}
