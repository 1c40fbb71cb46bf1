//! Arguments that are not what a schema asks for, mended where only one reading is possible: text
//! where no text can be, a number where only text can be, `10.0` for an integer, null for what may
//! be left out, and what is around the whole.
//!
//! Nothing is decided here: what comes out is held against the schema like any arguments.

use std::borrow::Cow;

use serde_json::Value;
use toolhost_schema::{Patterns, Watch};

use super::place::{Place, Places, Types};
use super::pointer;
use super::text::{Edit, Kind, Node, edited, without};
use super::unique::Unique;
use crate::tool::Repair;

/// Subschemas and values that are looked at for one call, of a tenth of a microsecond each.
const MAX_STEPS: usize = 200_000;

/// Values inside of one another, those in texts included.
const MAX_DEPTH: usize = 128;

/// Bytes that name the repairs of one call.
const MAX_NAMED: usize = 256 << 10;

/// Layers around the arguments.
const MAX_LAYERS: usize = 4;

const IN_STRING: &str = "the arguments written as a JSON string";
const IN_FENCE: &str = "a code fence around the arguments";
const BYTE_ORDER_MARK: &str = "a byte order mark before the arguments";
const NUMBER_FOR_TEXT: &str = "a number where a string is expected";
const WHOLE_FRACTION: &str = "a whole number written with a fraction";
const NULL: &str = "null for an optional argument";

/// Text and what was repaired in it.
pub(super) struct Mended {
    pub(super) text: String,
    pub(super) repairs: Vec<Repair>,
}

/// An object out of what is around it: a JSON string, a code fence, a byte order mark.
pub(super) fn unwrapped(text: &str) -> Option<Mended> {
    let mut text = Cow::Borrowed(text);
    let mut repairs = Vec::new();
    for _ in 0..MAX_LAYERS {
        let trimmed = text.trim_ascii();
        let (inner, what) = if let Some(rest) = trimmed.strip_prefix('\u{feff}') {
            (rest.to_owned(), BYTE_ORDER_MARK)
        } else if trimmed.starts_with('"') {
            (serde_json::from_str(trimmed).ok()?, IN_STRING)
        } else if let Some(inner) = fenced(trimmed) {
            (inner.to_owned(), IN_FENCE)
        } else {
            break;
        };
        text = Cow::Owned(inner);
        repairs.push(Repair::new("", what));
    }
    let text = text.trim_ascii();
    let is_object = !repairs.is_empty() && text.starts_with('{');
    is_object.then(|| Mended {
        text: text.to_owned(),
        repairs,
    })
}

/// What a fence of Markdown is around.
fn fenced(text: &str) -> Option<&str> {
    let fence = &text[..text.len() - text.trim_start_matches('`').len()];
    if fence.len() < 3 {
        return None;
    }
    let inner = text[fence.len()..].strip_suffix(fence)?;
    let is_of_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.');
    Some(inner.trim_start_matches(is_of_tag))
}

/// What a repair goes by.
#[derive(Clone, Copy)]
pub(super) struct By<'s> {
    pub(super) schema: &'s Value,
    pub(super) patterns: &'s Patterns,
    pub(super) watch: &'s Watch<'s>,
}

/// Mends the values of an object; `None` if there is nothing to mend or it would take too long.
pub(super) fn mended(by: By, text: &str) -> Option<Mended> {
    Mender::new(by, false).mend(text)
}

/// Writes whole numbers without a fraction, where only an integer can be.
pub(super) fn whole_numbers(by: By, text: &str) -> Option<Mended> {
    Mender::new(by, true).mend(text)
}

struct Mender<'s> {
    places: Places<'s>,
    /// Whether the arguments fit, and only the spelling of numbers is looked at.
    is_fit: bool,
    path: String,
    repairs: Vec<Repair>,
    /// Bytes of the names so far.
    named: usize,
}

impl<'s> Mender<'s> {
    fn new(by: By<'s>, is_fit: bool) -> Self {
        Mender {
            places: Places::new(by.schema, by.patterns, MAX_STEPS, by.watch),
            is_fit,
            path: String::new(),
            repairs: Vec::new(),
            named: 0,
        }
    }

    fn mend(mut self, text: &str) -> Option<Mended> {
        let node = Node::read(text)?;
        let mut root = self.places.root();
        let text = self.text(text, &node, &mut root, 0);
        let is_whole = !self.places.is_over() && self.named <= MAX_NAMED;
        (is_whole && !self.repairs.is_empty()).then_some(Mended {
            text,
            repairs: self.repairs,
        })
    }

    /// The text of a document with its repairs made.
    fn text(&mut self, text: &str, node: &Node, place: &mut Place<'s>, depth: usize) -> String {
        let mut edits = Vec::new();
        self.value(node, place, depth, &mut edits);
        edits.sort_by_key(|edit| edit.span.start);
        edited(text, &edits)
    }

    fn value(&mut self, node: &Node, place: &mut Place<'s>, depth: usize, edits: &mut Vec<Edit>) {
        if depth > MAX_DEPTH || place.is_open() || !self.places.step() {
            return;
        }
        // Its types are put together of all that holds there.
        if !self.places.pay(1 + place.weight) {
            return;
        }
        let types = place.types();
        let with = match &node.kind {
            Kind::Object(members) if types.take(Types::OBJECT) => {
                // Each alternative looks for its names among the members, and for theirs among its own.
                let members_of_each = 1 + members.len() as u64;
                if !self
                    .places
                    .pay(place.weight.saturating_mul(members_of_each))
                {
                    return;
                }
                place.narrow(node);
                return self.members(members, place, depth, edits);
            }
            Kind::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let mut within = self.places.item(place, number);
                    let length = self.enter(&number.to_string());
                    self.value(item, &mut within, depth + 1, edits);
                    self.path.truncate(length);
                }
                return;
            }
            Kind::Number if types.take(Types::INTEGER) && !types.take(Types::FRACTION) => {
                whole(node.text).inspect(|_| self.note(WHOLE_FRACTION))
            }
            Kind::Number if types.take(Types::STRING) && !self.is_fit => types
                .only(Types::STRING.or(Types::NULL))
                .then(|| format!("\"{}\"", node.text))
                .inspect(|_| self.note(NUMBER_FOR_TEXT)),
            Kind::String if !types.take(Types::STRING) && !self.is_fit => {
                self.written(node, types, place, depth)
            }
            _ => None,
        };
        if let Some(with) = with {
            let span = node.span.clone();
            edits.push(Edit { span, with });
        }
    }

    fn members(
        &mut self,
        members: &[super::text::Member],
        place: &Place<'s>,
        depth: usize,
        edits: &mut Vec<Edit>,
    ) {
        let mut is_dropped = vec![false; members.len()];
        for (number, member) in members.iter().enumerate() {
            let mut within = self.places.member(place, &member.name);
            let length = self.enter(&member.name);
            if matches!(member.value.kind, Kind::Null) {
                if !self.places.pay(1 + within.weight + place.weight) {
                    return;
                }
                let types = within.types();
                is_dropped[number] = !self.is_fit
                    && !types.take(Types::NULL)
                    && !types.only(Types::NULL)
                    && place.is_optional(&member.name);
                if is_dropped[number] {
                    self.note(NULL);
                }
            } else {
                self.value(&member.value, &mut within, depth + 1, edits);
            }
            self.path.truncate(length);
        }
        without(members, &is_dropped, edits);
    }

    /// The value that is written as a string, mended in its turn.
    fn written(
        &mut self,
        node: &Node,
        types: Types,
        place: &mut Place<'s>,
        depth: usize,
    ) -> Option<String> {
        if !self.places.pay(node.text.len() as u64 / 8) {
            return None;
        }
        let text: String = serde_json::from_str(node.text).ok()?;
        let text = text.trim_ascii();
        let Unique(value) = serde_json::from_str(text).ok()?;
        let what = match &value {
            Value::Null | Value::String(_) => return None,
            Value::Bool(_) => "a boolean written as a string",
            Value::Number(_) => "a number written as a string",
            Value::Array(_) => "an array written as a string",
            Value::Object(_) => "an object written as a string",
        };
        if !types.take(Types::of(&value)) {
            return None;
        }
        self.note(what);
        let node = Node::read(text)?;
        Some(self.text(text, &node, place, depth + 1))
    }

    /// Goes to a part of the value at hand; the length of the path to go back to.
    fn enter(&mut self, part: &str) -> usize {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&pointer::escaped(part));
        length
    }

    fn note(&mut self, what: &'static str) {
        self.named += self.path.len() + what.len();
        // The arguments are given up with their repairs.
        if self.named <= MAX_NAMED {
            self.repairs.push(Repair::new(&self.path, what));
        }
    }
}

/// The digits of a whole number that is written with a fraction or an exponent, if they are those of
/// a 64-bit integer.
fn whole(number: &str) -> Option<String> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if fraction.is_empty() && !number.contains(['e', 'E']) {
        return None;
    }
    let digits = format!("{units}{fraction}");
    let point = i32::try_from(units.len()).ok()?.checked_add(exponent)?;
    let (units, rest) = match usize::try_from(point) {
        Ok(point) if point > digits.len() => {
            // 20 digits at most are those of a 64-bit integer.
            let zeros = point - digits.len();
            if zeros > 20 && digits.contains(|digit| digit != '0') {
                return None;
            }
            (format!("{digits}{}", "0".repeat(zeros.min(20))), "")
        }
        Ok(point) => (digits[..point].to_owned(), &digits[point..]),
        Err(_) => (String::new(), &*digits),
    };
    if rest.contains(|digit| digit != '0') {
        return None;
    }
    match units.trim_start_matches('0') {
        "" => Some("0".to_owned()),
        units => {
            let whole = format!("{sign}{units}");
            (whole.parse::<i64>().is_ok() || whole.parse::<u64>().is_ok()).then_some(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_whole_number_keeps_its_value_and_its_digits() {
        for (written, digits) in [
            ("10.0", "10"),
            ("-3.000", "-3"),
            ("0.0", "0"),
            ("-0.0", "0"),
            ("1e2", "100"),
            ("1.5E+1", "15"),
            ("1200e-2", "12"),
            ("0e999", "0"),
            ("9007199254740993.0", "9007199254740993"),
            ("18446744073709551615.0", "18446744073709551615"),
            ("-9223372036854775808.0", "-9223372036854775808"),
        ] {
            assert_eq!(whole(written).as_deref(), Some(digits), "{written}");
        }
        for written in [
            "10",
            "-0",
            "10.5",
            "1e-1",
            "5e-324",
            "18446744073709551616.0",
            "-9223372036854775809.0",
            "1e20",
            "1e300",
            "1e2147483647",
            "1e99999999999",
        ] {
            assert_eq!(whole(written), None, "{written}");
        }
    }
}
