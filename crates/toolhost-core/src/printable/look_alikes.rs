//! Names that are not what they look like: with letters of another script that look as Latin ones do.

use std::ops::RangeInclusive;

/// Alphabets with letters that look like those of others.
const ALPHABETS: [&[RangeInclusive<char>]; 9] = [
    // Latin.
    &[
        'a'..='z',
        'A'..='Z',
        '\u{c0}'..='\u{24f}',
        '\u{1e00}'..='\u{1eff}',
    ],
    // Greek and Coptic.
    &[
        '\u{370}'..='\u{3ff}',
        '\u{1f00}'..='\u{1fff}',
        '\u{2c80}'..='\u{2cff}',
    ],
    // Cyrillic.
    &[
        '\u{400}'..='\u{52f}',
        '\u{1c80}'..='\u{1c8f}',
        '\u{2de0}'..='\u{2dff}',
        '\u{a640}'..='\u{a69f}',
    ],
    // Armenian.
    &['\u{530}'..='\u{588}'],
    // Georgian.
    &[
        '\u{10a0}'..='\u{10ff}',
        '\u{1c90}'..='\u{1cbf}',
        '\u{2d00}'..='\u{2d2f}',
    ],
    // Cherokee.
    &['\u{13a0}'..='\u{13ff}', '\u{ab70}'..='\u{abbf}'],
    // Canadian syllabics.
    &['\u{1400}'..='\u{167f}'],
    // Lisu.
    &['\u{a4d0}'..='\u{a4ff}'],
    // Hebrew and Arabic.
    &['\u{590}'..='\u{6ff}'],
];

/// What looks like a Latin letter or a sign that parts names, whatever is around it.
const IN_DISGUISE: [RangeInclusive<char>; 16] = [
    // Without their dots.
    '\u{131}'..='\u{131}',
    '\u{237}'..='\u{237}',
    // Of phonetic writing.
    '\u{1c0}'..='\u{1c3}',
    '\u{250}'..='\u{2d0}',
    '\u{1d00}'..='\u{1d7f}',
    // Hyphens, dots and slashes.
    '\u{2010}'..='\u{2011}',
    '\u{2024}'..='\u{2024}',
    '\u{2044}'..='\u{2044}',
    '\u{2215}'..='\u{2216}',
    '\u{29f5}'..='\u{29f9}',
    '\u{3002}'..='\u{3002}',
    '\u{a789}'..='\u{a78a}',
    // Letters as symbols: of double and other width, mathematical, in circles.
    '\u{2100}'..='\u{214f}',
    '\u{24b6}'..='\u{24e9}',
    '\u{ff01}'..='\u{ff61}',
    '\u{1d400}'..='\u{1d7ff}',
];

/// Letters that a whole word can be written with and be taken for a Latin one.
const TAKEN_FOR_LATIN: &str = "асеһіјӏорԛѕԝхуԁьӀАВЕНІЈКМОРЅТХУԌԜαινορυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧօսոհցզ";

/// The words of a text that are not what they look like, each with its odd characters spelled as escapes.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::printable;
///
/// let found = printable::look_alikes("runs \"gіt\" in \"/home/Документы\"");
/// assert_eq!(found, [("gіt", r"g\u{456}t".to_owned())]);
/// ```
pub fn look_alikes(text: &str) -> Vec<(&str, String)> {
    let parts_words = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    let mut found: Vec<(&str, String)> = Vec::new();
    for word in text.split(parts_words).filter(|word| is_odd(word)) {
        let is_plain = |c: char| c.is_ascii() || (is_in(ALPHABETS[0], c) && !is_in_disguise(c));
        let spelled = word.chars().map(|c| match is_plain(c) {
            true => c.to_string(),
            false => c.escape_unicode().to_string(),
        });
        let odd = (word, spelled.collect());
        if !found.contains(&odd) {
            found.push(odd);
        }
    }
    found
}

fn is_odd(word: &str) -> bool {
    if word.is_ascii() {
        return false;
    }
    let has = |alphabet: &&&[RangeInclusive<char>]| word.chars().any(|c| is_in(alphabet, c));
    let mut letters = word.chars().filter(|c| c.is_alphabetic()).peekable();
    word.chars().any(is_in_disguise)
        || ALPHABETS.iter().filter(has).count() > 1
        || letters.peek().is_some() && letters.all(|c| TAKEN_FOR_LATIN.contains(c))
}

fn is_in_disguise(c: char) -> bool {
    is_in(&IN_DISGUISE, c)
}

fn is_in(ranges: &[RangeInclusive<char>], c: char) -> bool {
    ranges.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_something_else_is_spelled() {
        for (text, spelled) in [
            // Two scripts in a word.
            ("/home/nоtes/a.txt", &[r"n\u{43e}tes"][..]),
            ("аpi.example", &[r"\u{430}pi"]),
            ("pαypal ραypal", &[r"p\u{3b1}ypal", r"\u{3c1}\u{3b1}ypal"]),
            ("héllо", &[r"héll\u{43e}"]),
            // A word of one script that could be Latin.
            ("https://аре.com", &[r"\u{430}\u{440}\u{435}"]),
            // Signs that part names, and letters as symbols.
            ("a∕b", &[r"a\u{2215}b"]),
            ("ｅvil.example", &[r"\u{ff45}vil"]),
            ("evil。example", &[r"evil\u{3002}example"]),
            ("gıt 𝗀it", &[r"g\u{131}t", r"\u{1d5c0}it"]),
        ] {
            let found: Vec<String> = look_alikes(text).into_iter().map(|it| it.1).collect();
            assert_eq!(found, spelled, "{text}");
        }
    }

    #[test]
    fn what_people_write_is_nothing_odd() {
        for text in [
            "plain text, 1.5 and a_b",
            "/home/zoé/naïve/Straße",
            "/home/иван/Документы/проект-2/readme.md",
            "αρχείο.txt",
            "日本語docs/データ",
            "한국어 עברית العربية",
            "📁 notes – copy",
        ] {
            assert_eq!(look_alikes(text), [], "{text}");
        }
    }
}
