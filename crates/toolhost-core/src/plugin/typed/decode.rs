//! JSON arguments to component values, in one pass and within a budget.
//!
//! The arguments fit the tool's schema already. What is found here is what a schema cannot say:
//! numbers written as strings that are out of range, base64 that is none, a member twice.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use wasmtime::component::Val;

use super::shape::{Cases, Fields, Integer, Shape};

/// The deadline is checked whenever as many values have been read.
const CHECKED_EVERY: u32 = 4096;

/// The integers up to which a JSON number with a fraction or an exponent is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why arguments are not read.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// What is wrong, and where: a JSON Pointer.
    Invalid { pointer: String, message: String },
    /// Their values would take more memory than allowed.
    TooLarge,
    /// The deadline has passed.
    Late,
}

/// Reads the arguments of a function, whose values may take `budget` bytes.
pub(super) fn arguments(
    params: &Fields,
    json: &str,
    budget: u64,
    deadline: Instant,
) -> Result<Vec<Val>, DecodeError> {
    let state = State {
        left: Cell::new(budget),
        until_check: Cell::new(CHECKED_EVERY),
        deadline,
        stop: Cell::new(None),
        problem: RefCell::default(),
    };
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = Params {
        params,
        state: &state,
    };
    let read = read.deserialize(&mut reader).and_then(|values| {
        reader.end()?;
        Ok(values)
    });
    read.map_err(|error| match state.stop.get() {
        Some(Stop::TooLarge) => DecodeError::TooLarge,
        Some(Stop::Late) => DecodeError::Late,
        None => {
            let Problem { path, message } = state.problem.take();
            let path = path.iter().rev().map(|part| format!("/{}", escaped(part)));
            DecodeError::Invalid {
                pointer: path.collect(),
                message: message.unwrap_or_else(|| error.to_string()),
            }
        }
    })
}

/// A part of a JSON Pointer.
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

#[derive(Clone, Copy)]
enum Stop {
    TooLarge,
    Late,
}

/// What was found while reading. serde's errors hold neither a path nor a reason.
struct State {
    left: Cell<u64>,
    until_check: Cell<u32>,
    deadline: Instant,
    stop: Cell<Option<Stop>>,
    problem: RefCell<Problem>,
}

#[derive(Default)]
struct Problem {
    /// The members and elements that lead to it, the innermost first.
    path: Vec<String>,
    message: Option<String>,
}

impl State {
    fn charge<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let Some(left) = self.left.get().checked_sub(bytes as u64) else {
            self.stop.set(Some(Stop::TooLarge));
            return Err(E::custom("too large"));
        };
        self.left.set(left);
        Ok(())
    }

    /// Counts one value.
    fn value<E: Error>(&self) -> Result<(), E> {
        match self.until_check.get() {
            0 => {
                if Instant::now() >= self.deadline {
                    self.stop.set(Some(Stop::Late));
                    return Err(E::custom("too late"));
                }
                self.until_check.set(CHECKED_EVERY);
            }
            left => self.until_check.set(left - 1),
        }
        self.charge(size_of::<Val>())
    }

    fn refuse<T, E: Error>(&self, message: impl Into<String>) -> Result<T, E> {
        self.problem.borrow_mut().message = Some(message.into());
        Err(E::custom("refused"))
    }

    /// Adds where an error is.
    fn at<T, E: Error>(&self, part: impl fmt::Display, read: Result<T, E>) -> Result<T, E> {
        if read.is_err() {
            self.problem.borrow_mut().path.push(part.to_string());
        }
        read
    }
}

/// All arguments, as an object.
struct Params<'s> {
    params: &'s Fields,
    state: &'s State,
}

impl<'de> DeserializeSeed<'de> for Params<'_> {
    type Value = Vec<Val>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Val>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Params<'_> {
    type Value = Vec<Val>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Val>, A::Error> {
        fields(self.params, map, self.state)
    }
}

/// One value.
#[derive(Clone, Copy)]
struct Decode<'s> {
    shape: &'s Shape,
    state: &'s State,
}

impl<'s> Decode<'s> {
    fn of(self, shape: &'s Shape) -> Decode<'s> {
        Decode { shape, ..self }
    }

    fn mismatch<T, E: Error>(self, found: &str) -> Result<T, E> {
        let expected = match self.shape {
            Shape::Bool => "true or false".to_owned(),
            Shape::Integer(integer) => range(*integer),
            Shape::Float32 | Shape::Float64 => "a number".to_owned(),
            Shape::Char => "one character".to_owned(),
            Shape::String => "a string".to_owned(),
            Shape::Bytes => "base64".to_owned(),
            Shape::List(_) | Shape::Flags(_) => "an array".to_owned(),
            Shape::Tuple(shapes) => format!("an array of {} items", shapes.len()),
            Shape::Record(_) => "an object".to_owned(),
            Shape::Variant(_) | Shape::Result(_) => "an object with a `tag`".to_owned(),
            Shape::Enum(names) => format!("one of {}", some_of(&names.list)),
            Shape::Option(_) => "a value or null".to_owned(),
        };
        self.state
            .refuse(format!("must be {expected}, not {found}"))
    }

    fn integer<E: Error>(self, integer: Integer, value: i128) -> Result<Val, E> {
        let [least, most] = integer.range();
        if !(least..=most).contains(&value) {
            return self.mismatch(&value.to_string());
        }
        // Within its range, so nothing is cut.
        Ok(match integer {
            Integer::S8 => Val::S8(value as i8),
            Integer::U8 => Val::U8(value as u8),
            Integer::S16 => Val::S16(value as i16),
            Integer::U16 => Val::U16(value as u16),
            Integer::S32 => Val::S32(value as i32),
            Integer::U32 => Val::U32(value as u32),
            Integer::S64 => Val::S64(value as i64),
            Integer::U64 => Val::U64(value as u64),
        })
    }

    /// A float by its own digits: serde_json's parser may miss the nearest one.
    fn float<E: Error>(self, json: &str) -> Result<Val, E> {
        let text = json.trim_matches('"');
        let is_name = ["NaN", "Infinity", "-Infinity"].contains(&text);
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_name && (!is_number || text != json) {
            return self.mismatch("that");
        }
        let value = match self.shape {
            Shape::Float32 => text.parse().map(Val::Float32),
            _ => text.parse().map(Val::Float64),
        };
        let is_infinite = match value {
            Ok(Val::Float32(value)) => value.is_infinite(),
            Ok(Val::Float64(value)) => value.is_infinite(),
            _ => false,
        };
        match value {
            Ok(value) if is_name || !is_infinite => Ok(value),
            _ => self
                .state
                .refuse("is out of range for a floating-point number"),
        }
    }

    fn string<E: Error>(self, text: &str) -> Result<Val, E> {
        let charged = |bytes| self.state.charge(bytes);
        match self.shape {
            Shape::String => {
                charged(text.len())?;
                Ok(Val::String(text.to_owned()))
            }
            Shape::Char => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(char), None) => Ok(Val::Char(char)),
                    _ => self.mismatch("that string"),
                }
            }
            Shape::Enum(names) => match names.find(text) {
                Some(_) => {
                    charged(text.len())?;
                    Ok(Val::Enum(text.to_owned()))
                }
                None => self.mismatch("that string"),
            },
            Shape::Bytes => {
                // Before anything is allocated: each byte becomes a value.
                charged((text.len() / 4 * 3).saturating_mul(size_of::<Val>()))?;
                match STANDARD.decode(text) {
                    Ok(bytes) => Ok(Val::List(bytes.into_iter().map(Val::U8).collect())),
                    Err(error) => self.state.refuse(format!("is not base64: {error}")),
                }
            }
            Shape::Integer(integer) if integer.is_wide() => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let is_number =
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse::<i128>() {
                    Ok(value) if is_number => self.integer(*integer, value),
                    _ if is_number => self.mismatch("a number of so many digits"),
                    _ => self.mismatch("that string"),
                }
            }
            _ => self.mismatch("a string"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Decode<'_> {
    type Value = Val;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Val, D::Error> {
        self.state.value()?;
        match self.shape {
            Shape::Float32 | Shape::Float64 => {
                let json: &RawValue = serde::Deserialize::deserialize(from)?;
                self.float(json.get())
            }
            Shape::Option(_) => from.deserialize_option(self),
            _ => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Decode<'_> {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Val, E> {
        match self.shape {
            Shape::Bool => Ok(Val::Bool(value)),
            _ => self.mismatch(if value { "true" } else { "false" }),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Val, E> {
        match self.shape {
            Shape::Integer(integer) => self.integer(*integer, value.into()),
            _ => self.mismatch("a number"),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Val, E> {
        match self.shape {
            Shape::Integer(integer) => self.integer(*integer, value.into()),
            _ => self.mismatch("a number"),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Val, E> {
        match self.shape {
            Shape::Integer(integer) if value.fract() == 0.0 && value.abs() <= EXACT => {
                self.integer(*integer, value as i128)
            }
            Shape::Integer(integer) if value.fract() == 0.0 => {
                self.state.refuse(match integer.is_wide() {
                    true => format!(
                        "must be {}; write so large a number as a string",
                        range(*integer)
                    ),
                    false => format!("must be {}", range(*integer)),
                })
            }
            _ => self.mismatch(&value.to_string()),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Val, E> {
        self.string(text)
    }

    fn visit_unit<E: Error>(self) -> Result<Val, E> {
        self.mismatch("null")
    }

    fn visit_none<E: Error>(self) -> Result<Val, E> {
        Ok(Val::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Val, D::Error> {
        match self.shape {
            Shape::Option(inner) => {
                let some = Present { inner, of: self };
                some.deserialize(from)
            }
            _ => self.mismatch("that"),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Val, A::Error> {
        match self.shape {
            Shape::List(element) => {
                let mut items = Vec::new();
                loop {
                    let next = seq.next_element_seed(self.of(element));
                    match self.state.at(items.len(), next)? {
                        Some(item) => items.push(item),
                        None => return Ok(Val::List(items)),
                    }
                }
            }
            Shape::Tuple(shapes) => {
                let mut items = Vec::with_capacity(shapes.len());
                for shape in shapes {
                    let next = seq.next_element_seed(self.of(shape));
                    match self.state.at(items.len(), next)? {
                        Some(item) => items.push(item),
                        None => return self.mismatch(&format!("one of {}", items.len())),
                    }
                }
                match seq.next_element::<serde::de::IgnoredAny>()? {
                    None => Ok(Val::Tuple(items)),
                    Some(_) => self.mismatch("a longer one"),
                }
            }
            Shape::Flags(names) => {
                let mut flags: Vec<String> = Vec::new();
                let mut is_set = vec![false; names.list.len()];
                while let Some(name) = seq.next_element::<Cow<'_, str>>()? {
                    self.state.charge(size_of::<String>() + name.len())?;
                    match names.find(&name) {
                        Some(at) if !is_set[at] => {
                            is_set[at] = true;
                            flags.push(name.into_owned());
                        }
                        Some(_) => {}
                        None => {
                            let known = some_of(&names.list);
                            return self.state.refuse(format!("may contain only {known}"));
                        }
                    }
                }
                Ok(Val::Flags(flags))
            }
            _ => self.mismatch("an array"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Val, A::Error> {
        match self.shape {
            Shape::Record(shapes) => {
                let values = fields(shapes, map, self.state)?;
                let names = shapes.names.list.iter().cloned();
                let bytes = shapes
                    .names
                    .list
                    .iter()
                    .map(|name| size_of::<String>() + name.len());
                self.state.charge(bytes.sum())?;
                Ok(Val::Record(names.zip(values).collect()))
            }
            Shape::Variant(cases) => {
                let (at, payload) = case(cases, map, self.state)?;
                let name = cases.names.list[at].clone();
                self.state.charge(name.len())?;
                Ok(Val::Variant(name, payload))
            }
            Shape::Result(cases) => {
                let (at, payload) = case(cases, map, self.state)?;
                Ok(Val::Result(match at {
                    0 => Ok(payload),
                    _ => Err(payload),
                }))
            }
            _ => self.mismatch("an object"),
        }
    }
}

/// The value of an option that is there.
struct Present<'s> {
    inner: &'s Shape,
    of: Decode<'s>,
}

impl<'de> DeserializeSeed<'de> for Present<'_> {
    type Value = Val;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Val, D::Error> {
        match self.inner.is_nullable() {
            true => from.deserialize_map(self),
            false => {
                let value = self.of.of(self.inner).deserialize(from)?;
                Ok(Val::Option(Some(Box::new(value))))
            }
        }
    }
}

impl<'de> Visitor<'de> for Present<'_> {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null or an object with `some`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Val, A::Error> {
        let state = self.of.state;
        let mut value = None;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key != "some" || value.is_some() {
                return state.refuse("must be null, or an object with `some` alone");
            }
            let read = map.next_value_seed(self.of.of(self.inner));
            value = Some(state.at("some", read)?);
        }
        match value {
            Some(value) => Ok(Val::Option(Some(Box::new(value)))),
            None => state.refuse("must be null, or an object with `some`"),
        }
    }
}

/// The members of an object by the order of their fields; missing options are none.
fn fields<'de, A: MapAccess<'de>>(
    fields: &Fields,
    mut map: A,
    state: &State,
) -> Result<Vec<Val>, A::Error> {
    let mut values: Vec<Option<Val>> = vec![None; fields.shapes.len()];
    state.charge(values.len() * size_of::<Val>())?;
    while let Some(key) = map.next_key::<Cow<'_, str>>()? {
        let Some(at) = fields.names.find(&key) else {
            let known = match &fields.names.list[..] {
                [] => "there is none".to_owned(),
                names => format!("there is {}", some_of(names)),
            };
            return state.refuse(format!("has no member {key:?}: {known}"));
        };
        let shape = &fields.shapes[at];
        let value = map.next_value_seed(Decode { shape, state });
        let value = state.at(&key, value)?;
        if values[at].replace(value).is_some() {
            return state.refuse(format!("has the member {key:?} twice"));
        }
    }
    let values = values.into_iter().zip(fields.iter());
    let values = values.map(|(value, (name, shape, _))| match (value, shape) {
        (Some(value), _) => Ok(value),
        (None, Shape::Option(_)) => Ok(Val::Option(None)),
        (None, _) => state.refuse(format!("lacks `{name}`")),
    });
    values.collect()
}

/// The position and payload of a case. Its `val` may come before its `tag`.
fn case<'de, A: MapAccess<'de>>(
    cases: &Cases,
    mut map: A,
    state: &State,
) -> Result<(usize, Option<Box<Val>>), A::Error> {
    let mut tag = None;
    let mut early: Option<Box<RawValue>> = None;
    let mut val = None;
    while let Some(key) = map.next_key::<Cow<'_, str>>()? {
        match &*key {
            "tag" if tag.is_none() => {
                let name: Cow<'_, str> = map.next_value()?;
                let Some(at) = cases.names.find(&name) else {
                    let known = some_of(&cases.names.list);
                    return state.at("tag", state.refuse(format!("must be one of {known}")));
                };
                tag = Some(at);
            }
            "val" if early.is_none() && val.is_none() => match tag {
                None => early = Some(map.next_value()?),
                Some(at) => {
                    let shape = payload_of(cases, at, state)?;
                    let read = map.next_value_seed(Decode { shape, state });
                    val = Some(state.at("val", read)?);
                }
            },
            "tag" | "val" => return state.refuse(format!("has the member {key:?} twice")),
            key => {
                let message = format!("has a member {key:?}, and may have `tag` and `val` only");
                return state.refuse(message);
            }
        }
    }
    let Some(at) = tag else {
        return state.refuse("lacks `tag`");
    };
    if let Some(json) = early {
        let shape = payload_of(cases, at, state)?;
        let mut reader = serde_json::Deserializer::from_str(json.get());
        let read = Decode { shape, state }.deserialize(&mut reader);
        val = Some(state.at("val", read.map_err(A::Error::custom))?);
    }
    let payload = match (val, &cases.payloads[at]) {
        (Some(val), _) => Some(Box::new(val)),
        (None, None) => None,
        (None, Some(Shape::Option(_))) => Some(Box::new(Val::Option(None))),
        (None, Some(_)) => return state.refuse("lacks `val`"),
    };
    Ok((at, payload))
}

fn payload_of<'s, E: Error>(cases: &'s Cases, at: usize, state: &State) -> Result<&'s Shape, E> {
    match &cases.payloads[at] {
        Some(shape) => Ok(shape),
        None => {
            let name = &cases.names.list[at];
            state.refuse(format!("has a `val`, and `{name}` has none"))
        }
    }
}

fn range(integer: Integer) -> String {
    let [least, most] = integer.range();
    format!("an integer from {least} to {most}")
}

/// The first names of a list.
fn some_of(names: &[String]) -> String {
    const MOST: usize = 20;
    let first = names.iter().take(MOST).map(|name| format!("`{name}`"));
    let rest = if names.len() > MOST { ", …" } else { "" };
    format!("{}{rest}", first.collect::<Vec<_>>().join(", "))
}
