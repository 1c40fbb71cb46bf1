//! Finds the values of secrets, in the spellings that headers, URLs and JSON give them, and puts
//! `***` in their place. Here are the spellings of a secret as a whole; `mask/escaped.rs` finds those of
//! which any characters are escaped.
//!
//! It is for accidents: an error message that quotes a request, a server that echoes a header. A
//! guest that means harm can spell what it knows in ways that nobody looks for; a secret in
//! `http-headers` it never knows.

mod escaped;

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::digest::hex;
use crate::limits::{ByteSize, size};
use crate::permissions::Secret;

const MASKED: &str = "***";

/// Shorter ones are looked for as they are and not in other spellings: too much looks like them.
const LEAST_SPELLED: usize = 6;

/// All secrets of a host together may have no more bytes: they are held in some ten spellings each.
const MAX_TOGETHER: usize = 256 << 10;

/// What `encodeURIComponent` leaves, and what most encoders of URLs do.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The secrets of a host, to be found in what it prints.
#[derive(Clone, Default)]
pub struct Mask {
    /// None where there are no secrets.
    finders: Vec<AhoCorasick>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(***)")
    }
}

impl Mask {
    /// # Errors
    ///
    /// They are too many or too long to look for.
    #[doc(hidden)]
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Result<Mask, String> {
        let mut secrets: Vec<&str> = secrets.into_iter().map(Secret::reveal).collect();
        secrets.sort_unstable();
        secrets.dedup();
        if secrets.iter().map(|secret| secret.len()).sum::<usize>() > MAX_TOGETHER {
            let most = size(ByteSize::b(MAX_TOGETHER as u64));
            return Err(format!("the secrets are larger than {most} in total"));
        }
        let mut spellings: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            add_spellings(secret, &mut spellings);
        }
        spellings.retain(|spelling| !spelling.is_empty());
        spellings.sort_unstable();
        spellings.dedup();
        if spellings.is_empty() {
            return Ok(Mask::default());
        }
        let finder = AhoCorasick::builder()
            // To build a DFA takes time by the square of a secret that repeats itself.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&spellings)
            .map_err(|error| format!("cannot search for the secrets: {error}"))?;
        Ok(Mask {
            finders: vec![finder],
        })
    }

    /// The same, and more secrets.
    ///
    /// # Errors
    ///
    /// As of [`new`](Mask::new).
    pub(crate) fn with<'s>(
        &self,
        secrets: impl IntoIterator<Item = &'s Secret>,
    ) -> Result<Mask, String> {
        let more = Mask::new(secrets)?;
        // A finder is shared by its clones.
        let finders = self.finders.iter().chain(&more.finders).cloned();
        Ok(Mask {
            finders: finders.collect(),
        })
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    /// Puts `***` where a secret is, as it is or in base64, hexadecimal, or escaped for a URL, JSON or HTML.
    pub fn text(&self, text: &mut String) {
        let mut masked = String::new();
        let mut end = 0;
        for found in self.find(text.as_bytes()) {
            // What is found begins and ends with characters: secrets and escapes are whole ones.
            masked.push_str(&text[end..text.floor_char_boundary(found.start)]);
            masked.push_str(MASKED);
            end = text.ceil_char_boundary(found.end);
        }
        if end > 0 {
            masked.push_str(&text[end..]);
            *text = masked;
        }
    }

    /// As [`text`](Mask::text), for what need not be UTF-8.
    pub fn bytes(&self, bytes: &mut Vec<u8>) {
        let mut masked = Vec::new();
        let mut end = 0;
        for found in self.find(bytes) {
            masked.extend_from_slice(&bytes[end..found.start]);
            masked.extend_from_slice(MASKED.as_bytes());
            end = found.end;
        }
        if end > 0 {
            masked.extend_from_slice(&bytes[end..]);
            *bytes = masked;
        }
    }

    /// Whether a secret is in a number, as JSON writes it: one of digits alone.
    pub(crate) fn is_in_number(&self, number: impl Serialize) -> bool {
        let text = match self.is_empty() {
            true => return false,
            false => serde_json::to_string(&number),
        };
        text.is_ok_and(|text| !self.find(text.as_bytes()).is_empty())
    }

    /// As [`text`](Mask::text), for a JSON document, which stays one: `"***"` where a secret was more than
    /// a part of its strings.
    #[doc(hidden)]
    pub fn json(&self, document: Box<RawValue>) -> Box<RawValue> {
        if self.is_empty() {
            return document;
        }
        let mut text = String::from(Box::<str>::from(document));
        // Keys and values, in whatever way their characters are escaped.
        self.text(&mut text);
        RawValue::from_string(text).unwrap_or_else(|_| {
            let masked = format!("\"{MASKED}\"");
            RawValue::from_string(masked).expect("a string is JSON")
        })
    }

    /// The beginning of a text that may be of any length, of so many bytes at most; it is masked first, so
    /// that no part of a secret is left.
    #[doc(hidden)]
    pub fn beginning(&self, mut text: String, most: usize) -> String {
        self.text(&mut text);
        text.truncate(text.floor_char_boundary(most));
        text
    }

    /// The members of an object, keys and values.
    #[doc(hidden)]
    pub fn members(&self, members: Map<String, Value>) -> Map<String, Value> {
        if self.is_empty() {
            return members;
        }
        let mut text = Value::Object(members).to_string();
        self.text(&mut text);
        // Of which nothing is known any more where a secret was more than a part of its strings.
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Where secrets are, in order, as they are and in escapes; those that overlap are one, so that nothing is
    /// left of either.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        if self.is_empty() {
            return Vec::new();
        }
        let spelled = |text: &[u8]| {
            let found = self.finders.iter().map(|finder| spelled(finder, text));
            found
                .reduce(|a, b| merged([a, b].concat()))
                .unwrap_or_default()
        };
        let mut found = spelled(text);
        found.extend(escaped::find(text, &spelled));
        merged(found)
    }
}

/// In order, and those that overlap as one.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.sort_unstable_by_key(|found| (found.start, found.end));
    found.dedup_by(|next, last| {
        let overlap = next.start < last.end;
        if overlap {
            last.end = last.end.max(next.end);
        }
        overlap
    });
    found
}

/// Where spellings are: those that overlap as one. One pass finds all of them, however they repeat and contain each
/// other.
fn spelled(finder: &AhoCorasick, text: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    if !finder.is_match(text) {
        return found;
    }
    // In the order of their ends.
    for secret in finder.find_overlapping_iter(text) {
        let mut all = secret.range();
        while let Some(last) = found.pop_if(|last| last.end > all.start) {
            all.start = all.start.min(last.start);
        }
        found.push(all);
    }
    found
}

fn add_spellings(secret: &str, spellings: &mut Vec<Vec<u8>>) {
    let mut add = |spelling: String| spellings.push(spelling.into_bytes());
    add(secret.to_owned());
    // As a log has them.
    let lines = secret.lines().map(str::trim);
    lines
        .filter(|line| line.len() >= LEAST_SPELLED)
        .for_each(|line| add(line.to_owned()));
    if secret.len() < LEAST_SPELLED {
        return;
    }
    let json = serde_json::to_string(secret).expect("a string is JSON");
    add(json[1..json.len() - 1].to_owned());
    add(json[1..json.len() - 1].replace('/', "\\/"));
    // As Go escapes what HTML has, and as Python does what is not ASCII.
    add(escaped(&json[1..json.len() - 1], |c| "<>&".contains(c)));
    add(escaped(&json[1..json.len() - 1], |c| !c.is_ascii()));
    for set in [UNRESERVED, NON_ALPHANUMERIC] {
        let percent = utf8_percent_encode(secret, set).to_string();
        add(percent.replace("%20", "+"));
        add(percent);
    }
    let hex = hex(secret.as_bytes());
    add(hex.to_uppercase());
    add(hex);
    for offset in 0..3 {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            add(within_base64(secret, offset, &engine));
        }
    }
}

fn escaped(json: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    for c in json.chars() {
        match is_escaped(c) {
            true => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
            false => text.push(c),
        }
    }
    text
}

/// The characters that a secret has in the base64 of any text that it is in, so many bytes past a
/// multiple of three: without those that it shares with what goes before and after.
fn within_base64(secret: &str, offset: usize, engine: &impl Engine) -> String {
    let padded = [&vec![0; offset], secret.as_bytes()].concat();
    let whole = engine.encode(&padded);
    let first = (offset * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    whole[first..last].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secret: &str, text: &str) -> String {
        let secret = Secret::new(secret.to_owned());
        let mask = Mask::new([&secret]).unwrap();
        let mut text = text.to_owned();
        mask.text(&mut text);
        text
    }

    #[test]
    fn a_secret_is_found_wherever_it_is() {
        assert_eq!(masked("hunter22", "a hunter22, hunter22!"), "a ***, ***!");
        assert_eq!(masked("x", "axb"), "a***b");
        assert_eq!(masked("", "ab"), "ab");
        assert_eq!(masked("häß/✓ &x", "é häß/✓ &x é"), "é *** é");
    }

    #[test]
    fn a_secret_is_found_in_its_common_spellings() {
        let secret = "p@ss \"w/ör\\d\"";
        let form = "p%40ss+%22w%2F%C3%B6r%5Cd%22";
        assert_eq!(masked(secret, form), MASKED);
        assert_eq!(masked(secret, &form.replace('+', "%20")), MASKED);
        assert_eq!(
            masked(secret, r#"{"a":"p@ss \"w/ör\\d\""}"#),
            r#"{"a":"***"}"#
        );
        assert_eq!(masked(secret, r#"p@ss \"w\/ör\\d\""#), MASKED);
        assert_eq!(masked("a<b>&cd", r#"a\u003cb\u003e\u0026cd"#), MASKED);
        assert_eq!(masked("hä-löß", r#"h\u00e4-l\u00f6\u00df"#), MASKED);
        assert_eq!(masked("secret", "736563726574 736563726574"), "*** ***");
        assert_eq!(masked("jklmno", "6A6B6C6D6E6F"), MASKED);
    }

    #[test]
    fn a_secret_is_found_in_base64_at_every_offset() {
        let secret = "tok?n>~~12";
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in ["", "a", "ab", "user:", "abcd"] {
                for after in ["", "z", "zz", "zzz"] {
                    let text = engine.encode(format!("{before}{secret}{after}"));
                    let masked = masked(secret, &text);
                    assert!(masked.contains(MASKED), "{before}|{after}: {text}");
                    // At most the characters that it shares with its neighbours are left.
                    let left = masked.replace(MASKED, "").len();
                    assert!(left <= (before.len() + after.len()) * 4 / 3 + 4, "{masked}");
                }
            }
        }
    }

    #[test]
    fn a_secret_is_found_whichever_of_its_characters_are_escaped_and_how() {
        let secret = "p@ss/ö 🔑 wörd+";
        for text in [
            r"\u0070@ss\/\u00f6 \ud83d\uDD11 w\u00F6rd+",
            r"\\u0070@ss/ö \\ud83d\\udd11 wörd\\u002b",
            r"p\x40ss/\xc3\xb6 \u{1F511} w\303\266rd+",
            "p%40ss%2fö%20%f0%9F%94%91+w%c3%B6rd%2b",
            "%2570%2540ss/ö 🔑 wörd+",
            "p@ss/&#246; &#x1F511; w&#XF6;rd&plus;",
            "p&amp;#64;ss&sol;ö 🔑 wörd+",
            "p%40ss&#47;ö 🔑 w%C3%B6rd+",
        ] {
            assert_eq!(masked(secret, text), MASKED, "{text}");
            let around = masked(secret, &format!("é%41{text}\\é&lt;"));
            assert_eq!(around, "é%41***\\é&lt;", "{text}");
        }
        // Of what is short there is too much like it.
        assert_eq!(masked("abc", "%61bc"), "%61bc");
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for text in [
            "%",
            "%4",
            "%zz",
            "%+1",
            "\\",
            "\\u12",
            "\\ud800",
            "\\ud800\\u0041",
            "\\u{110000}",
            "\\777",
            "&;",
            "&#;",
            "&#x;",
            "&#1114112;",
            "&nothing;",
            "\\é",
            "+",
        ] {
            for around in [text.to_owned(), format!("é{text}é{text}")] {
                assert_eq!(masked("hunter22", &around), around);
                let beside = format!("{around}hunter22{around}");
                assert_eq!(masked("hunter22", &beside), format!("{around}***{around}"));
            }
        }
    }

    #[test]
    fn json_stays_json() {
        let mask = |secret: &str, json: &str| {
            let secret = Secret::new(secret.to_owned());
            let mask = Mask::new([&secret]).unwrap();
            let json = RawValue::from_string(json.to_owned()).unwrap();
            mask.json(json).get().to_owned()
        };
        let json = r#"{"\u0068unter2\u0032": ["a\\hunter22", 1.0]}"#;
        assert_eq!(mask("hunter22", json), r#"{"***": ["a\\***", 1.0]}"#);
        assert_eq!(mask("1234567", "[12345678]"), r#""***""#);
        assert_eq!(mask("{\"a\":1}", r#"{"a":1}"#), r#""***""#);
    }

    #[test]
    fn a_secret_of_digits_is_found_in_numbers() {
        let secret = Secret::new("1234567".to_owned());
        let mask = Mask::new([&secret]).unwrap();
        assert!(mask.is_in_number(91_234_567_u64) && mask.is_in_number(-1_234_567.5));
        assert!(!mask.is_in_number(123_456) && !mask.is_in_number(None::<u64>));
    }

    #[test]
    fn a_beginning_has_no_part_of_a_secret() {
        let secret = Secret::new("hunter22".to_owned());
        let mask = Mask::new([&secret]).unwrap();
        for before in 0..12 {
            let text = format!("{}hunter22é", "x".repeat(before));
            let beginning = mask.beginning(text, 10);
            assert!(
                beginning.len() <= 10 && !beginning.contains('h'),
                "{beginning}"
            );
        }
    }

    #[test]
    fn every_line_of_a_long_secret_is_found() {
        let key = "-----BEGIN KEY-----\nMIIabcdef\nghijklmno\n-----END KEY-----\n";
        assert_eq!(masked(key, &format!("a{key}b")), "a***b");
        assert_eq!(masked(key, "1: MIIabcdef\n2: ghijklmno"), "1: ***\n2: ***");
    }

    #[test]
    fn nothing_is_left_of_secrets_that_overlap() {
        let secrets = ["abcdef", "efghij", "cd"].map(|it| Secret::new(it.to_owned()));
        let mask = Mask::new(&secrets).unwrap();
        for (text, masked) in [
            ("1abcdefghij2", "1***2"),
            ("efghijabcdef", "******"),
            ("abcd cdefghi", "ab*** ***efghi"),
            ("abcdefcd", "******"),
        ] {
            let mut found = text.to_owned();
            mask.text(&mut found);
            assert_eq!(found, masked, "{text}");
            let mut found = text.as_bytes().to_vec();
            mask.bytes(&mut found);
            assert_eq!(found, masked.as_bytes(), "{text}");
        }
        assert_eq!(masked("aaaaaaaa", &"a".repeat(1000)), MASKED);
    }

    /// Twice as much may take about twice as long: the best of a few tries.
    fn time_of(length: usize) -> std::time::Duration {
        let lines: Vec<String> = (0..40).map(|line| "a".repeat(line + 6)).collect();
        let secrets = ["a".repeat(length), lines.join("\n"), "aaaaaab".to_owned()];
        let secrets = secrets.map(Secret::new);
        let tries = (0..5).map(|_| {
            let start = std::time::Instant::now();
            let mask = Mask::new(&secrets).unwrap();
            let mut text = "a".repeat(length * 4 - 1) + "c";
            mask.text(&mut text);
            assert_eq!(text, "***c");
            start.elapsed()
        });
        tries.min().unwrap()
    }

    #[test]
    fn a_secret_that_repeats_itself_takes_no_longer_than_another() {
        let (short, long) = (time_of(4 << 10), time_of(32 << 10));
        // By the square it would be 64 times as long.
        assert!(long < short * 24, "{short:?}, then {long:?}");
    }

    #[test]
    fn secrets_that_are_too_much_to_look_for_are_refused() {
        let secrets: Vec<Secret> = (0..5)
            .map(|it| Secret::new(it.to_string().repeat(60 << 10)))
            .collect();
        Mask::new(&secrets[..4]).unwrap();
        // The same again is none more.
        Mask::new(secrets[..4].iter().chain(&secrets[..4])).unwrap();
        let why = Mask::new(&secrets).unwrap_err();
        assert_eq!(why, "the secrets are larger than 256 KiB in total");
    }

    #[test]
    fn bytes_are_masked_like_text() {
        let secret = Secret::new("hunter22".to_owned());
        let mut bytes = b"\xff\x00hunter22\xfe".to_vec();
        Mask::new([&secret]).unwrap().bytes(&mut bytes);
        assert_eq!(bytes, b"\xff\x00***\xfe");
    }
}
