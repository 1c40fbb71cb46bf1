//! Component values to JSON, whose length is bounded while it is written.

use std::fmt::Write;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wasmtime::component::Val;

use super::shape::{Cases, Shape};

/// The deadline is checked whenever as many values have been written.
const CHECKED_EVERY: u32 = 4096;

/// The largest integers that readers of JSON keep exactly: larger ones are written as strings.
const EXACT: i128 = (1 << 53) - 1;

/// Why a value is not written.
#[derive(Clone, Copy, Debug)]
pub(super) enum EncodeError {
    /// Its JSON is longer than allowed.
    TooLong,
    /// The deadline has passed.
    Late,
    /// It is not of its type, which wasmtime excludes.
    Mismatch,
}

/// Writes a value as JSON of up to `longest` bytes.
pub(super) fn json(
    shape: &Shape,
    value: &Val,
    longest: u64,
    deadline: Instant,
) -> Result<String, EncodeError> {
    let mut writer = Writer {
        json: String::new(),
        longest: usize::try_from(longest).unwrap_or(usize::MAX),
        until_check: CHECKED_EVERY,
        deadline,
    };
    writer.value(shape, value)?;
    Ok(writer.json)
}

struct Writer {
    json: String,
    longest: usize,
    until_check: u32,
    deadline: Instant,
}

impl Writer {
    fn raw(&mut self, text: &str) -> Result<(), EncodeError> {
        if self.json.len().saturating_add(text.len()) > self.longest {
            return Err(EncodeError::TooLong);
        }
        self.json.push_str(text);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        // Quotes and escapes only make it longer.
        if self.json.len().saturating_add(text.len()) > self.longest {
            return Err(EncodeError::TooLong);
        }
        let quoted = serde_json::to_string(text).map_err(|_| EncodeError::Mismatch)?;
        self.raw(&quoted)
    }

    fn number(&mut self, number: impl std::fmt::Display) -> Result<(), EncodeError> {
        // Writing to a string does not fail.
        let _ = write!(self.json, "{number}");
        self.raw("")
    }

    fn integer(&mut self, number: i128) -> Result<(), EncodeError> {
        match number.unsigned_abs() > EXACT.unsigned_abs() {
            false => self.number(number),
            true => self.raw(&format!("\"{number}\"")),
        }
    }

    /// The shortest digits from which the same float is read.
    fn float(&mut self, number: impl std::fmt::Debug, value: f64) -> Result<(), EncodeError> {
        match value {
            value if value.is_nan() => self.raw("\"NaN\""),
            f64::INFINITY => self.raw("\"Infinity\""),
            f64::NEG_INFINITY => self.raw("\"-Infinity\""),
            _ => self.raw(&format!("{number:?}")),
        }
    }

    fn tick(&mut self) -> Result<(), EncodeError> {
        if let Some(left) = self.until_check.checked_sub(1) {
            self.until_check = left;
            return Ok(());
        }
        self.until_check = CHECKED_EVERY;
        match Instant::now() >= self.deadline {
            true => Err(EncodeError::Late),
            false => Ok(()),
        }
    }

    fn value(&mut self, shape: &Shape, value: &Val) -> Result<(), EncodeError> {
        self.tick()?;
        match (shape, value) {
            (Shape::Bool, Val::Bool(value)) => self.raw(if *value { "true" } else { "false" }),
            (Shape::Integer(_), value) => self.integer(match value {
                Val::S8(value) => (*value).into(),
                Val::U8(value) => (*value).into(),
                Val::S16(value) => (*value).into(),
                Val::U16(value) => (*value).into(),
                Val::S32(value) => (*value).into(),
                Val::U32(value) => (*value).into(),
                Val::S64(value) => (*value).into(),
                Val::U64(value) => (*value).into(),
                _ => return Err(EncodeError::Mismatch),
            }),
            (Shape::Float32, Val::Float32(value)) => self.float(value, (*value).into()),
            (Shape::Float64, Val::Float64(value)) => self.float(value, *value),
            (Shape::Char, Val::Char(value)) => self.string(value.encode_utf8(&mut [0; 4])),
            (Shape::String, Val::String(value)) => self.string(value),
            (Shape::Enum(_), Val::Enum(name)) => self.string(name),
            (Shape::Bytes, Val::List(bytes)) => self.bytes(bytes),
            (Shape::List(element), Val::List(items)) => {
                self.array(items.iter().map(|item| (&**element, item)))
            }
            (Shape::Tuple(shapes), Val::Tuple(items)) if shapes.len() == items.len() => {
                self.array(shapes.iter().zip(items))
            }
            (Shape::Flags(_), Val::Flags(names)) => {
                self.raw("[")?;
                for (number, name) in names.iter().enumerate() {
                    self.raw(if number > 0 { "," } else { "" })?;
                    self.string(name)?;
                }
                self.raw("]")
            }
            (Shape::Record(fields), Val::Record(values)) if fields.shapes.len() == values.len() => {
                self.raw("{")?;
                let mut is_first = true;
                for ((name, shape, _), (_, value)) in fields.iter().zip(values) {
                    self.member(&mut is_first, name, shape, value)?;
                }
                self.raw("}")
            }
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                let at = cases.names.find(name).ok_or(EncodeError::Mismatch)?;
                self.case(cases, at, payload.as_deref())
            }
            (Shape::Result(cases), Val::Result(result)) => match result {
                Ok(payload) => self.case(cases, 0, payload.as_deref()),
                Err(payload) => self.case(cases, 1, payload.as_deref()),
            },
            (Shape::Option(inner), Val::Option(value)) => match value {
                None => self.raw("null"),
                Some(value) => self.some(inner, value),
            },
            _ => Err(EncodeError::Mismatch),
        }
    }

    fn bytes(&mut self, bytes: &[Val]) -> Result<(), EncodeError> {
        if bytes.len() > self.longest {
            return Err(EncodeError::TooLong);
        }
        let bytes = bytes.iter().map(|byte| match byte {
            Val::U8(byte) => Ok(*byte),
            _ => Err(EncodeError::Mismatch),
        });
        let bytes = bytes.collect::<Result<Vec<u8>, _>>()?;
        self.string(&STANDARD.encode(bytes))
    }

    fn array<'v>(
        &mut self,
        items: impl Iterator<Item = (&'v Shape, &'v Val)>,
    ) -> Result<(), EncodeError> {
        self.raw("[")?;
        for (number, (shape, item)) in items.enumerate() {
            self.raw(if number > 0 { "," } else { "" })?;
            self.value(shape, item)?;
        }
        self.raw("]")
    }

    /// An option's value: wrapped where it could be null itself.
    fn some(&mut self, inner: &Shape, value: &Val) -> Result<(), EncodeError> {
        if !inner.is_nullable() {
            return self.value(inner, value);
        }
        self.raw("{\"some\":")?;
        self.value(inner, value)?;
        self.raw("}")
    }

    /// A member of an object; an option that is none is left out.
    fn member(
        &mut self,
        is_first: &mut bool,
        name: &str,
        shape: &Shape,
        value: &Val,
    ) -> Result<(), EncodeError> {
        if let (Shape::Option(_), Val::Option(None)) = (shape, value) {
            return Ok(());
        }
        self.raw(if std::mem::take(is_first) { "" } else { "," })?;
        self.string(name)?;
        self.raw(":")?;
        self.value(shape, value)
    }

    fn case(&mut self, cases: &Cases, at: usize, payload: Option<&Val>) -> Result<(), EncodeError> {
        self.raw("{")?;
        self.raw("\"tag\":")?;
        self.string(&cases.names.list[at])?;
        match (&cases.payloads[at], payload) {
            (None, None) => {}
            (Some(shape), Some(value)) => self.member(&mut false, "val", shape, value)?,
            _ => return Err(EncodeError::Mismatch),
        }
        self.raw("}")
    }
}
