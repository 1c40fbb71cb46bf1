//! Parquet.

use crate::table::{Column, Kind, Table, unique_names};
use granted_files::read_bytes;
use parquet::basic::{LogicalType, TimeUnit, Type as Physical};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use rusqlite::types::Value;
use serde_json::{Map, Value as Json};
use toolhost_plugin::Error;

/// A compressed file takes more memory once it is a table.
const MAX_FILE_BYTES: u64 = 32_000_000;

pub(crate) struct ParquetFile {
    path: String,
    reader: SerializedFileReader<bytes::Bytes>,
    columns: Vec<Column>,
    /// Which columns are timestamps that the library reads as plain numbers.
    is_nanoseconds: Vec<bool>,
}

impl ParquetFile {
    pub(crate) fn open(path: &str) -> Result<Self, Error> {
        let (path, bytes) = read_bytes(path, MAX_FILE_BYTES)?;
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes))
            .map_err(|error| Error::failed(format!("{path} is not Parquet: {error}")))?;
        let schema = reader.metadata().file_metadata().schema();
        let fields = schema.get_fields();
        let names = unique_names(fields.iter().map(|field| field.name().to_owned()));
        let columns = names
            .into_iter()
            .zip(fields)
            .map(|(name, field)| Column {
                name,
                kind: kind(field),
            })
            .collect();
        let is_nanoseconds = fields.iter().map(|field| is_nanoseconds(field)).collect();
        Ok(Self {
            path,
            reader,
            columns,
            is_nanoseconds,
        })
    }
}

impl Table for ParquetFile {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn each(&self, visit: &mut dyn FnMut(Vec<Value>) -> Result<bool, Error>) -> Result<(), Error> {
        let failed = |error| Error::failed(format!("cannot read {}: {error}", self.path));
        for row in self.reader.get_row_iter(None).map_err(failed)? {
            let row = row.map_err(failed)?;
            let values = row
                .get_column_iter()
                .zip(&self.is_nanoseconds)
                .map(|((_, field), is_nanoseconds)| value(field, *is_nanoseconds));
            if !visit(values.collect())? {
                break;
            }
        }
        Ok(())
    }
}

fn kind(field: &Type) -> Kind {
    if !field.is_primitive() {
        return Kind::Text;
    }
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Decimal(_)) => return Kind::Numeric,
        Some(LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_)) => {
            return Kind::Text;
        }
        // Larger ones than SQLite has are text.
        Some(LogicalType::Integer(integer)) if !integer.is_signed && integer.bit_width == 64 => {
            return Kind::Unsigned;
        }
        _ => {}
    }
    let is_text = !matches!(
        field.get_basic_info().converted_type(),
        parquet::basic::ConvertedType::NONE
    );
    match field.get_physical_type() {
        Physical::BOOLEAN => Kind::Boolean,
        Physical::INT32 | Physical::INT64 => Kind::Integer,
        Physical::FLOAT | Physical::DOUBLE => Kind::Real,
        Physical::INT96 => Kind::Text,
        Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY if is_text => Kind::Text,
        Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => Kind::Blob,
    }
}

fn is_nanoseconds(field: &Type) -> bool {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(timestamp)) => timestamp.unit == TimeUnit::NANOS,
        _ => false,
    }
}

fn value(field: &Field, is_nanoseconds: bool) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Integer(i64::from(*value)),
        Field::Byte(value) => Value::Integer(i64::from(*value)),
        Field::Short(value) => Value::Integer(i64::from(*value)),
        Field::Int(value) => Value::Integer(i64::from(*value)),
        Field::Long(value) if is_nanoseconds => Value::Text(timestamp(
            value.div_euclid(1_000_000_000),
            value.rem_euclid(1_000_000_000),
        )),
        Field::Long(value) => Value::Integer(*value),
        Field::UByte(value) => Value::Integer(i64::from(*value)),
        Field::UShort(value) => Value::Integer(i64::from(*value)),
        Field::UInt(value) => Value::Integer(i64::from(*value)),
        Field::ULong(value) => match i64::try_from(*value) {
            Ok(value) => Value::Integer(value),
            Err(_) => Value::Text(value.to_string()),
        },
        Field::Float16(value) => real(f64::from(*value)),
        // Through its shortest decimal digits: 0.1 stays 0.1.
        Field::Float(value) => real(value.to_string().parse().unwrap_or(f64::from(*value))),
        Field::Double(value) => real(*value),
        Field::Str(value) => Value::Text(value.clone()),
        Field::Bytes(value) => Value::Blob(value.data().to_vec()),
        other => match json(other) {
            Json::String(text) => Value::Text(text),
            json => Value::Text(json.to_string()),
        },
    }
}

/// SQLite has no NaN.
fn real(value: f64) -> Value {
    if value.is_nan() {
        Value::Null
    } else {
        Value::Real(value)
    }
}

/// A nested value, as JSON.
fn json(field: &Field) -> Json {
    match field {
        Field::Null => Json::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float16(value) => f64::from(*value).into(),
        Field::Float(value) => value.to_string().parse::<f64>().unwrap_or_default().into(),
        Field::Double(value) => (*value).into(),
        Field::Str(value) => value.clone().into(),
        Field::Bytes(value) => value
            .data()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into(),
        Field::Date(days) => date(i64::from(*days)).into(),
        Field::TimeMillis(value) => time(i64::from(*value) * 1_000_000).into(),
        Field::TimeMicros(value) => time(*value * 1000).into(),
        Field::TimestampMillis(value) => {
            timestamp(value.div_euclid(1000), value.rem_euclid(1000) * 1_000_000).into()
        }
        Field::TimestampMicros(value) => timestamp(
            value.div_euclid(1_000_000),
            value.rem_euclid(1_000_000) * 1000,
        )
        .into(),
        Field::Group(row) => Json::Object(
            row.get_column_iter()
                .map(|(name, field)| (name.clone(), json(field)))
                .collect(),
        ),
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter().map(|(key, value)| {
                let key = match json(key) {
                    Json::String(key) => key,
                    key => key.to_string(),
                };
                (key, json(value))
            });
            Json::Object(entries.collect::<Map<_, _>>())
        }
        other => other.to_string().into(),
    }
}

/// `2024-01-31`, of days since 1970.
fn date(days: i64) -> String {
    // Howard Hinnant's `civil_from_days`: years start in March, so that leap days come last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `09:30:00`, with as many digits as it has.
fn time(nanoseconds: i64) -> String {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    match nanoseconds.rem_euclid(1_000_000_000) {
        0 => text,
        fraction => format!("{text}.{}", format!("{fraction:09}").trim_end_matches('0')),
    }
}

/// As SQLite's date functions read it.
fn timestamp(seconds: i64, nanoseconds: i64) -> String {
    format!(
        "{} {}",
        date(seconds.div_euclid(86_400)),
        time(seconds.rem_euclid(86_400) * 1_000_000_000 + nanoseconds)
    )
}

#[cfg(test)]
mod tests {
    use super::{date, time, timestamp};

    #[test]
    fn days_and_times_are_written_as_sqlite_reads_them() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(-719_162), "0001-01-01");
        assert_eq!(time(34_200_000_000_000), "09:30:00");
        assert_eq!(time(1_500_000), "00:00:00.0015");
        assert_eq!(timestamp(-1, 999_999_000), "1969-12-31 23:59:59.999999");
    }
}
