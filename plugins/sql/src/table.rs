//! A file as a table: its columns, their types, and its rows.

use rusqlite::types::Value;
use toolhost_plugin::Error;

/// What is read from a file, whatever its format.
pub(crate) trait Table {
    fn columns(&self) -> &[Column];

    /// Visits each row until the visitor has had enough; a row has a value for each column.
    fn each(&self, visit: &mut dyn FnMut(Vec<Value>) -> Result<bool, Error>) -> Result<(), Error>;

    /// What there is to know about how it was read.
    fn note(&self) -> Option<String> {
        None
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The type of a column, as SQLite is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Kind {
    /// No value so far.
    #[default]
    Unknown,
    Boolean,
    Integer,
    /// Integers, of which those that are too large for SQLite are text.
    Unsigned,
    Real,
    /// Decimal numbers: SQLite converts those that lose nothing.
    Numeric,
    Text,
    Blob,
}

impl Kind {
    /// The type that SQLite is told, which converts nothing that it should not.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Unsigned => "",
            Self::Unknown | Self::Text => "TEXT",
            Self::Boolean => "BOOLEAN",
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
            Self::Blob => "BLOB",
        }
    }

    /// The type that people are told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "INTEGER",
            kind => kind.sql(),
        }
    }
}

/// Finds the type that all values of a column have, such that none loses anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inference {
    kind: Kind,
    /// An integer that is no double.
    has_large: bool,
}

impl Inference {
    pub(crate) fn add(&mut self, kind: Kind, is_large: bool) {
        self.has_large |= is_large;
        self.kind = match (self.kind, kind) {
            (before, Kind::Unknown) => before,
            (Kind::Unknown, kind) => kind,
            (before, kind) if before == kind => kind,
            (Kind::Integer, Kind::Real) | (Kind::Real, Kind::Integer) => Kind::Real,
            _ => Kind::Text,
        };
    }

    pub(crate) fn kind(self) -> Kind {
        match self.kind {
            Kind::Real if self.has_large => Kind::Text,
            kind => kind,
        }
    }
}

/// Beyond, not every integer is a double.
const MAX_EXACT: u64 = 1 << 53;

/// Whether a double is not exactly this integer, for all that is known.
pub(crate) fn is_large(integer: i64) -> bool {
    integer.unsigned_abs() > MAX_EXACT
}

/// The type that a text looks like, and its value as that type. What would not look the same again stays text: leading
/// zeros, more digits than fit.
pub(crate) fn classify(text: &str) -> (Kind, Value) {
    let trimmed = text.trim();
    match trimmed {
        "" => return (Kind::Unknown, Value::Null),
        _ if trimmed.eq_ignore_ascii_case("true") => return (Kind::Boolean, Value::Integer(1)),
        _ if trimmed.eq_ignore_ascii_case("false") => return (Kind::Boolean, Value::Integer(0)),
        _ => {}
    }
    let as_text = || (Kind::Text, Value::Text(text.to_owned()));
    let unsigned = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_exponent = |text: &str| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    if !is_digits(whole)
        || whole.len() > 1 && whole.starts_with('0')
        || !fraction.is_none_or(is_digits)
        || !exponent.is_none_or(is_exponent)
    {
        return as_text();
    }
    if fraction.is_none() && exponent.is_none() {
        return match trimmed.parse() {
            Ok(integer) => (Kind::Integer, Value::Integer(integer)),
            Err(_) => as_text(),
        };
    }
    let digits = whole.trim_start_matches('0').len() + fraction.unwrap_or_default().len();
    match trimmed.parse::<f64>() {
        Ok(number) if number.is_finite() && digits <= 17 => (Kind::Real, Value::Real(number)),
        _ => as_text(),
    }
}

/// A value of a text in a column of this type.
pub(crate) fn convert(text: &str, kind: Kind) -> Value {
    match (kind, classify(text)) {
        (_, (Kind::Unknown, _)) => Value::Null,
        (Kind::Real, (Kind::Integer, Value::Integer(integer))) => Value::Real(integer as f64),
        (kind, (found, value)) if kind == found => value,
        (Kind::Text, _) => Value::Text(text.to_owned()),
        // Stands for no value in a column of numbers.
        _ => Value::Null,
    }
}

/// Names for columns: none empty, none twice, whatever their case.
pub(crate) fn unique_names(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut unique = Vec::new();
    for (number, name) in (1..).zip(names) {
        let name = match name.trim() {
            "" => format!("column_{number}"),
            name => name.to_owned(),
        };
        let mut candidate = name.clone();
        let mut count = 2;
        while !taken.insert(candidate.to_lowercase()) {
            candidate = format!("{name}_{count}");
            count += 1;
        }
        unique.push(candidate);
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::{Kind, classify, unique_names};

    #[test]
    fn texts_become_numbers_only_if_nothing_is_lost() {
        for (text, kind) in [
            ("", Kind::Unknown),
            ("0", Kind::Integer),
            (" -12 ", Kind::Integer),
            ("9223372036854775807", Kind::Integer),
            ("9223372036854775808", Kind::Text),
            ("007", Kind::Text),
            ("-01", Kind::Text),
            ("00", Kind::Text),
            ("+1", Kind::Text),
            ("1,000", Kind::Text),
            ("1_000", Kind::Text),
            ("0.5", Kind::Real),
            ("-1.5e-3", Kind::Real),
            ("1e5", Kind::Real),
            ("1e999", Kind::Text),
            ("0.12345678901234567890", Kind::Text),
            (".5", Kind::Text),
            ("5.", Kind::Text),
            ("0x10", Kind::Text),
            ("e5", Kind::Text),
            ("inf", Kind::Text),
            ("NaN", Kind::Text),
            ("2024-01-31", Kind::Text),
            ("TRUE", Kind::Boolean),
            ("٣", Kind::Text),
        ] {
            assert_eq!(classify(text).0, kind, "{text:?}");
        }
    }

    #[test]
    fn names_are_unique_whatever_their_case() {
        let names = ["a", "", "A", "a_2", " b "].map(str::to_owned);
        let unique = ["a", "column_2", "A_2", "a_2_2", "b"];
        assert_eq!(unique_names(names.into_iter()), unique);
    }
}
