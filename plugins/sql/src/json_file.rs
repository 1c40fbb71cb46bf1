//! JSON arrays of objects, and JSON Lines: an object is a row, and nested values are JSON text.

use crate::table::{Column, Inference, Kind, Table, is_large, unique_names};
use granted_files::io_error;
use rusqlite::types::Value;
use serde::Deserializer as _;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use toolhost_plugin::Error;

#[derive(Debug)]
pub(crate) struct JsonFile {
    path: String,
    columns: Vec<Column>,
    /// The column of each key.
    keys: HashMap<String, usize>,
}

impl JsonFile {
    /// Reads so many rows to find columns and their types, or all.
    pub(crate) fn open(path: &str, rows: Option<usize>) -> Result<Self, Error> {
        let mut keys: HashMap<String, usize> = HashMap::new();
        let mut names = Vec::new();
        let mut found: Vec<Inference> = Vec::new();
        let mut count = 0;
        each_object(path, &mut |object| {
            for (key, raw) in object.0 {
                let index = *keys.entry(key).or_insert_with_key(|key| {
                    names.push(key.clone());
                    found.push(Inference::default());
                    found.len() - 1
                });
                let (kind, value) = value(&raw);
                let is_large = matches!(value, Value::Integer(integer) if is_large(integer));
                found[index].add(kind, is_large);
            }
            count += 1;
            Ok(rows.is_none_or(|rows| count < rows))
        })?;
        if count == 0 {
            return Err(Error::failed(format!("{path} has no rows")));
        }
        if names.is_empty() {
            return Err(Error::failed(format!("{path} has only empty objects")));
        }
        let names = unique_names(names.into_iter());
        let columns = names
            .into_iter()
            .zip(found)
            .map(|(name, inference)| Column {
                name,
                kind: inference.kind(),
            });
        Ok(Self {
            path: path.to_owned(),
            columns: columns.collect(),
            keys,
        })
    }
}

impl Table for JsonFile {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn each(&self, visit: &mut dyn FnMut(Vec<Value>) -> Result<bool, Error>) -> Result<(), Error> {
        each_object(&self.path, &mut |object| {
            let mut row = vec![Value::Null; self.columns.len()];
            for (key, raw) in object.0 {
                // A file that grows meanwhile may have more keys.
                if let Some(index) = self.keys.get(&key) {
                    row[*index] = fitting(&raw, self.columns[*index].kind);
                }
            }
            visit(row)
        })
    }
}

/// A value in a column of this type.
fn fitting(raw: &RawValue, column: Kind) -> Value {
    match (column, value(raw)) {
        (Kind::Text, (Kind::Integer | Kind::Real | Kind::Boolean, _)) => {
            Value::Text(raw.get().to_owned())
        }
        (_, (_, value)) => value,
    }
}

fn value(raw: &RawValue) -> (Kind, Value) {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => (Kind::Unknown, Value::Null),
        Some(b't') => (Kind::Boolean, Value::Integer(1)),
        Some(b'f') => (Kind::Boolean, Value::Integer(0)),
        Some(b'"') => match serde_json::from_str(text) {
            Ok(string) => (Kind::Text, Value::Text(string)),
            // A lone surrogate: it stays as written.
            Err(_) => (Kind::Text, Value::Text(text.to_owned())),
        },
        Some(b'-' | b'0'..=b'9') => {
            if let Ok(integer) = text.parse() {
                return (Kind::Integer, Value::Integer(integer));
            }
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() && text.contains(['.', 'e', 'E']) => {
                    (Kind::Real, Value::Real(number))
                }
                // More digits than fit.
                _ => (Kind::Text, Value::Text(text.to_owned())),
            }
        }
        _ => (Kind::Text, Value::Text(text.to_owned())),
    }
}

/// The members of an object, in order.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object: each row is one")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

type Visit<'v> = &'v mut dyn FnMut(Object) -> Result<bool, Error>;

/// Visits the objects of a file, an array or one after another, until the visitor has had enough.
fn each_object(path: &str, visit: Visit<'_>) -> Result<(), Error> {
    let read_error = |error| io_error("read", path, &error);
    let file = File::open(path).map_err(read_error)?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    skip_mark(&mut reader).map_err(read_error)?;
    let is_array = first_byte(&mut reader).map_err(read_error)? == Some(b'[');
    let json_error = |error: serde_json::Error| Error::failed(format!("{path}: {error}"));
    if !is_array {
        for object in serde_json::Deserializer::from_reader(reader).into_iter() {
            if !visit(object.map_err(json_error)?)? {
                break;
            }
        }
        return Ok(());
    }
    let mut failed = None;
    let mut is_stopped = false;
    let elements = Elements {
        visit,
        failed: &mut failed,
        is_stopped: &mut is_stopped,
    };
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let read = deserializer
        .deserialize_seq(elements)
        .and_then(|()| deserializer.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        // Where the visitor stops, the array has not ended.
        (None, Err(_)) if is_stopped => Ok(()),
        (None, read) => read.map_err(json_error),
    }
}

/// The elements of an array, one by one.
struct Elements<'v> {
    visit: Visit<'v>,
    failed: &'v mut Option<Error>,
    is_stopped: &'v mut bool,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(object) = elements.next_element::<Object>()? {
            match (self.visit)(object) {
                Ok(true) => {}
                Ok(false) => {
                    *self.is_stopped = true;
                    break;
                }
                Err(error) => {
                    *self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(())
    }
}

fn skip_mark(reader: &mut impl BufRead) -> std::io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

/// The first byte that is no whitespace.
fn first_byte(reader: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        let Some(&byte) = buffer.first() else {
            return Ok(None);
        };
        if !byte.is_ascii_whitespace() {
            return Ok(Some(byte));
        }
        reader.consume(1);
    }
}
