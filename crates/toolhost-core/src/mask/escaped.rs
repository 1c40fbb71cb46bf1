//! Secrets in text that is escaped for URLs, JSON, program text or HTML: any or all of their
//! characters, once or twice over. The unescaped text is searched, and matches are mapped back to
//! where they were written.

use std::ops::Range;

use super::LEAST_SPELLED;

/// How many levels of escapes are undone: JSON in JSON, a URL in HTML.
const DEPTH: usize = 2;

/// How a character is escaped.
#[derive(Clone, Copy, Debug)]
enum Escape {
    /// `%2F`, in either case.
    Percent,
    /// The same, with a space as `+`.
    Form,
    /// `\u002f`, `\x2f`, `\57`, `\/`: those of JSON and of programming languages.
    Backslash,
    /// `&#47;`, `&#x2f;`, `&amp;`.
    Entity,
}

/// The character of an escape, in UTF-8.
struct Meant {
    bytes: [u8; 4],
    len: usize,
}

impl Meant {
    fn byte(byte: u8) -> Self {
        Meant {
            bytes: [byte, 0, 0, 0],
            len: 1,
        }
    }

    fn char(c: char) -> Self {
        let mut bytes = [0; 4];
        let len = c.encode_utf8(&mut bytes).len();
        Meant { bytes, len }
    }
}

/// Where secrets are written with escapes; `find` finds them in plain text.
pub(super) fn find(text: &[u8], find: &impl Fn(&[u8]) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    search(text, find, DEPTH, &mut found);
    found
}

fn search(
    text: &[u8],
    find: &impl Fn(&[u8]) -> Vec<Range<usize>>,
    depth: usize,
    found: &mut Vec<Range<usize>>,
) {
    for escape in [
        Escape::Percent,
        Escape::Form,
        Escape::Backslash,
        Escape::Entity,
    ] {
        let Some(meant) = escape.undone(text) else {
            continue;
        };
        let mut inner = find(&meant);
        inner.retain(|range| range.len() >= LEAST_SPELLED);
        if depth > 1 {
            search(&meant, find, depth - 1, &mut inner);
        }
        if !inner.is_empty() {
            found.extend(escape.written(text, &inner));
        }
    }
}

impl Escape {
    /// The unescaped text; `None` if it has no such escapes.
    fn undone(self, text: &[u8]) -> Option<Vec<u8>> {
        let signs: &[u8] = match self {
            Escape::Percent => b"%",
            // Without a `+` it would be the same as `Percent`.
            Escape::Form => b"+",
            Escape::Backslash => b"\\",
            Escape::Entity => b"&",
        };
        let first = text.iter().position(|byte| signs.contains(byte))?;
        let mut meant = Vec::with_capacity(text.len());
        let start = match self {
            Escape::Form => 0,
            _ => first,
        };
        meant.extend_from_slice(&text[..start]);
        let mut at = start;
        let mut any = false;
        while let Some(&byte) = text.get(at) {
            match self.at(&text[at..]) {
                Some((length, it)) => {
                    meant.extend_from_slice(&it.bytes[..it.len]);
                    at += length;
                    any = true;
                }
                None => {
                    meant.push(byte);
                    at += 1;
                }
            }
        }
        any.then_some(meant)
    }

    /// Maps ranges of the unescaped text back to the escaped one.
    fn written(self, text: &[u8], places: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut places = places.to_vec();
        places.sort_unstable_by_key(|place| (place.start, place.end));
        // Merge those that overlap.
        let mut apart: Vec<Range<usize>> = Vec::new();
        for place in places {
            match apart.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => apart.push(place),
            }
        }
        let mut written = Vec::with_capacity(apart.len());
        let mut apart = apart.into_iter().peekable();
        let (mut at, mut meant) = (0, 0);
        let mut start = None;
        while let Some(place) = apart.peek()
            && at < text.len()
        {
            let (length, means) = match self.at(&text[at..]) {
                Some((length, it)) => (length, it.len),
                None => (1, 1),
            };
            if start.is_none() && meant + means > place.start {
                start = Some(at);
            }
            at += length;
            meant += means;
            if meant >= place.end
                && let Some(start) = start.take()
            {
                written.push(start..at);
                apart.next();
            }
        }
        written
    }

    /// The escape that a text begins with: its length and its character.
    fn at(self, text: &[u8]) -> Option<(usize, Meant)> {
        match (self, *text.first()?) {
            (Escape::Percent | Escape::Form, b'%') => {
                let byte = number(text.get(1..3)?, 16)?;
                Some((3, Meant::byte(byte as u8)))
            }
            (Escape::Form, b'+') => Some((1, Meant::byte(b' '))),
            (Escape::Backslash, b'\\') => backslash(text),
            (Escape::Entity, b'&') => entity(text),
            _ => None,
        }
    }
}

fn backslash(text: &[u8]) -> Option<(usize, Meant)> {
    let meant = match *text.get(1)? {
        b'u' if text.get(2) == Some(&b'{') => {
            let digits = text[3..].iter().take(7).position(|byte| *byte == b'}')?;
            let c = char::from_u32(number(&text[3..3 + digits], 16)?)?;
            return Some((digits + 4, Meant::char(c)));
        }
        b'u' => {
            let first = number(text.get(2..6)?, 16)?;
            if let Some(c) = char::from_u32(first) {
                return Some((6, Meant::char(c)));
            }
            // A surrogate pair.
            let second = text.get(6..12)?.strip_prefix(b"\\u")?;
            let units = [first as u16, number(second, 16)? as u16];
            let c = char::decode_utf16(units).next()?.ok()?;
            return Some((12, Meant::char(c)));
        }
        b'U' => {
            let c = char::from_u32(number(text.get(2..10)?, 16)?)?;
            return Some((10, Meant::char(c)));
        }
        b'x' => {
            let byte = number(text.get(2..4)?, 16)?;
            return Some((4, Meant::byte(byte as u8)));
        }
        b'0'..=b'7' => {
            let is_octal = |byte: &&u8| matches!(byte, b'0'..=b'7');
            let digits = text[1..].iter().take(3).take_while(is_octal).count();
            let byte = number(&text[1..=digits], 8)?;
            return Some((digits + 1, Meant::byte(u8::try_from(byte).ok()?)));
        }
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        other if other.is_ascii_punctuation() || other == b' ' => other,
        _ => return None,
    };
    Some((2, Meant::byte(meant)))
}

fn entity(text: &[u8]) -> Option<(usize, Meant)> {
    // The longest has seven digits, with zeros before them.
    let end = text.iter().take(16).position(|byte| *byte == b';')?;
    let meant = match &text[1..end] {
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"sol" => '/',
        b"plus" => '+',
        b"equals" => '=',
        b"percnt" => '%',
        _ => return None,
    };
    Some((end + 1, Meant::char(meant)))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    // `from_str_radix` would accept a sign.
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric();
    let digits = digits.iter().all(is_digit).then_some(digits)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
