//! `sql_query`.

use crate::engine::Engine;
use rusqlite::types::ValueRef;
use serde_json::Value;
use std::collections::BTreeMap;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

const DEFAULT_LIMIT: usize = 100;
/// A model reads no more at once with profit, and hosts bound what a call may answer.
const MAX_OUTPUT_BYTES: usize = 300_000;
/// Rows that are not returned are counted, up to here.
const MAX_COUNTED: usize = 1_000_000;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    /// One query in the SQL of SQLite: SELECT or WITH, with joins, subqueries, window functions, date and JSON functions. Tables
    /// are files: FROM 'folder/sales.csv', or FROM sales for a file sales.csv, .tsv, .json, .jsonl or .parquet.
    query: String,
    /// Files for names of tables, such as {"s": "2024/sales.csv"}; needed only for names that are not those of files.
    #[serde(default)]
    tables: BTreeMap<String, String>,
    /// Maximum number of rows to return. Default: 100.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
}

#[structured]
pub(crate) struct Answer {
    /// Names of the columns.
    columns: Vec<String>,
    /// The rows: a value for each column. Bytes are hexadecimal, and what has no number in JSON is text.
    rows: Vec<Vec<Value>>,
    /// How many more rows there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
    /// What there is to know about how files were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// Queries CSV, TSV, JSON, JSON Lines and Parquet files with SQL (SQLite). Dates are text such as "2024-01-31", for SQLite's
/// date functions; booleans are 0 and 1; nested values are JSON text, for json_extract and json_each. Empty fields are NULL.
/// sql_tables lists files and columns.
#[tool(title = "Query files by SQL", read_only, idempotent, closed_world)]
pub(crate) fn sql_query(args: Query) -> Result<Json<Answer>, Error> {
    let mut engine = Engine::new(args.tables)?;
    engine.load_for(&args.query)?;
    let notes = std::mem::take(&mut engine.notes);
    let mut statement = engine.statement(&args.query)?;
    let columns: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let is_boolean: Vec<bool> = statement
        .columns()
        .iter()
        .map(|column| column.decl_type() == Some("BOOLEAN"))
        .collect();
    let failed = |error: rusqlite::Error| engine.explained(&args.query, &error);
    let mut rows = statement.query([]).map_err(failed)?;
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let (mut output, mut bytes, mut skipped, mut is_full) = (Vec::new(), 0, 0, false);
    while let Some(row) = rows.next().map_err(failed)? {
        if is_full || output.len() == limit {
            skipped += 1;
            if skipped == MAX_COUNTED {
                break;
            }
            continue;
        }
        let mut values = Vec::with_capacity(columns.len());
        for (index, is_boolean) in is_boolean.iter().enumerate() {
            let value = value(row.get_ref(index).map_err(failed)?, *is_boolean);
            bytes += size(&value);
            values.push(value);
        }
        if bytes > MAX_OUTPUT_BYTES {
            if output.is_empty() {
                return Err(Error::failed(format!(
                    "the first row is longer than {MAX_OUTPUT_BYTES} bytes: select fewer columns, or parts of values by substr()"
                )));
            }
            is_full = true;
            skipped += 1;
            continue;
        }
        output.push(values);
    }
    let more = (skipped > 0).then(|| {
        let at_least = if skipped == MAX_COUNTED {
            "at least "
        } else {
            ""
        };
        let why = if is_full {
            format!("{MAX_OUTPUT_BYTES} bytes are returned at most: select less, or aggregate")
        } else {
            "raise `limit`, select less, or aggregate".to_owned()
        };
        format!("{at_least}{skipped} more rows: {why}")
    });
    Ok(Json(Answer {
        columns,
        rows: output,
        more,
        notes,
    }))
}

fn value(value: ValueRef<'_>, is_boolean: bool) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number @ (0 | 1)) if is_boolean => (number == 1).into(),
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) if number.is_finite() => number.into(),
        ValueRef::Real(number) => number.to_string().into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.into()
        }
    }
}

/// About what it takes as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        _ => 12,
    }
}
