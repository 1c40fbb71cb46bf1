//! CSV and TSV: delimiter, encoding and types are found by reading the file once, its rows by reading it again.

use crate::table::{Column, Inference, Kind, Table, classify, convert, is_large, unique_names};
use csv::{ByteRecord, Reader, ReaderBuilder};
use granted_files::io_error;
use rusqlite::types::Value;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use toolhost_plugin::Error;

/// What stands for no value, in columns that are otherwise numbers.
const MISSING: [&str; 8] = ["NA", "N/A", "n/a", "NULL", "null", "NaN", "nan", "-"];
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The delimiter is found in the start of a file.
const SAMPLE_BYTES: u64 = 64 << 10;
const SAMPLE_ROWS: usize = 50;

#[derive(Debug)]
pub(crate) struct CsvFile {
    path: String,
    delimiter: u8,
    columns: Vec<Column>,
    has_invalid: bool,
}

impl CsvFile {
    /// Reads so many rows to find types, or all.
    pub(crate) fn open(path: &str, tabs: bool, rows: Option<usize>) -> Result<Self, Error> {
        let mut sample = Vec::new();
        source(path)?
            .take(SAMPLE_BYTES)
            .read_to_end(&mut sample)
            .map_err(|error| io_error("read", path, &error))?;
        let delimiter = if tabs { b'\t' } else { delimiter(&sample) };
        let mut file = Self {
            path: path.to_owned(),
            delimiter,
            columns: Vec::new(),
            has_invalid: false,
        };
        file.infer(rows.unwrap_or(usize::MAX))?;
        Ok(file)
    }

    fn infer(&mut self, rows: usize) -> Result<(), Error> {
        let mut reader = self.reader()?;
        let mut record = ByteRecord::new();
        if !self.read(&mut reader, &mut record)? {
            return Err(Error::failed(format!("{} is empty", self.path)));
        }
        let mut has_invalid = false;
        let mut text = |field: &[u8]| {
            let text = String::from_utf8_lossy(field);
            has_invalid |= text.contains(char::REPLACEMENT_CHARACTER);
            text.into_owned()
        };
        let names = unique_names(record.iter().map(&mut text));
        let mut found = vec![(Inference::default(), false); names.len()];
        for _ in 0..rows {
            if !self.read(&mut reader, &mut record)? {
                break;
            }
            self.check_length(&record, names.len())?;
            for (field, (inference, has_missing)) in record.iter().zip(&mut found) {
                let text = text(field);
                if MISSING.contains(&text.trim()) {
                    *has_missing = true;
                    continue;
                }
                let (kind, value) = classify(&text);
                inference.add(
                    kind,
                    matches!(value, Value::Integer(integer) if is_large(integer)),
                );
            }
        }
        self.columns = names
            .into_iter()
            .zip(found)
            .map(|(name, (inference, has_missing))| Column {
                name,
                kind: match inference.kind() {
                    Kind::Unknown if has_missing => Kind::Text,
                    kind => kind,
                },
            })
            .collect();
        self.has_invalid = has_invalid;
        Ok(())
    }

    fn reader(&self) -> Result<Reader<Box<dyn Read>>, Error> {
        Ok(ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(source(&self.path)?))
    }

    fn read(
        &self,
        reader: &mut Reader<Box<dyn Read>>,
        record: &mut ByteRecord,
    ) -> Result<bool, Error> {
        let read = reader.read_byte_record(record);
        read.map_err(|error| Error::failed(format!("cannot read {}: {error}", self.path)))
    }

    /// More values than columns are an error, unless they are empty.
    fn check_length(&self, record: &ByteRecord, columns: usize) -> Result<(), Error> {
        if record.iter().skip(columns).any(|field| !field.is_empty()) {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(Error::failed(format!(
                "{}, line {line}: the row has {} fields, but the header has {columns}; is a field with a {:?} not quoted?",
                self.path,
                record.len(),
                char::from(self.delimiter)
            )));
        }
        Ok(())
    }
}

impl Table for CsvFile {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn each(&self, visit: &mut dyn FnMut(Vec<Value>) -> Result<bool, Error>) -> Result<(), Error> {
        let mut reader = self.reader()?;
        let mut record = ByteRecord::new();
        let mut is_header = true;
        while self.read(&mut reader, &mut record)? {
            if std::mem::take(&mut is_header) {
                continue;
            }
            let fields = record.iter().map(Some).chain(std::iter::repeat(None));
            let values = self.columns.iter().zip(fields).map(|(column, field)| {
                let text = String::from_utf8_lossy(field.unwrap_or_default());
                convert(&text, column.kind)
            });
            if !visit(values.collect())? {
                break;
            }
        }
        Ok(())
    }

    fn note(&self) -> Option<String> {
        self.has_invalid.then(|| {
            format!(
                "{} is not UTF-8: bytes that are not were replaced by \u{fffd}",
                self.path
            )
        })
    }
}

/// The bytes of a file, without a byte order mark, and in UTF-8 if they are in UTF-16 with one.
fn source(path: &str) -> Result<Box<dyn Read>, Error> {
    let read_error = |error| io_error("read", path, &error);
    let mut file = File::open(path).map_err(read_error)?;
    let mut mark = Vec::new();
    Read::by_ref(&mut file)
        .take(3)
        .read_to_end(&mut mark)
        .map_err(read_error)?;
    let start = match mark.as_slice() {
        [0xef, 0xbb, 0xbf] => 3,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            let unit = match mark[0] {
                0xff => u16::from_le_bytes,
                _ => u16::from_be_bytes,
            };
            file.seek(SeekFrom::Start(2)).map_err(read_error)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(read_error)?;
            let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            let text: String = char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            return Ok(Box::new(Cursor::new(text)));
        }
        _ => 0,
    };
    file.seek(SeekFrom::Start(start)).map_err(read_error)?;
    Ok(Box::new(BufReader::with_capacity(64 << 10, file)))
}

/// The delimiter with which the first rows have the same number of columns, and the most.
fn delimiter(sample: &[u8]) -> u8 {
    let columns = |delimiter: &u8| {
        let mut reader = ReaderBuilder::new()
            .delimiter(*delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(sample);
        let mut lengths: Vec<usize> = reader
            .byte_records()
            .take(SAMPLE_ROWS)
            .map_while(Result::ok)
            .map(|record| record.len())
            .collect();
        // The sample may end in the middle of a row.
        if lengths.len() > 1 && sample.len() as u64 == SAMPLE_BYTES {
            lengths.pop();
        }
        let header = lengths.first().copied().unwrap_or_default();
        let same = lengths.iter().filter(|length| **length == header).count();
        // Rows that differ count against it, but a row that is cut short does not decide.
        if header > 1 && same * 10 >= lengths.len() * 9 {
            header
        } else {
            0
        }
    };
    // The first of several is a comma.
    DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(columns)
        .filter(|delimiter| columns(delimiter) > 0)
        .unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::delimiter;

    #[test]
    fn delimiters_are_found() {
        for (sample, expected) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n3,5;4,5\n", b';'),
            ("a\tb\n1\t2\n", b'\t'),
            ("a|b,c|d\n1|2|3\n", b'|'),
            ("a\n1\n", b','),
            ("", b','),
            ("\"x;y\",\"z\"\n1,2\n", b','),
        ] {
            assert_eq!(delimiter(sample.as_bytes()), expected, "{sample:?}");
        }
    }
}
