//! `sql_tables`.

use crate::engine::identifier;
use crate::files::{DataFile, find, list, not_found, open};
use crate::table::{Kind, Table};
use granted_files::Roots;
use rusqlite::types::Value as Cell;
use std::fs;
use toolhost_plugin::serde_json::Value;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

/// Types of columns are found from so many rows when several files are listed.
const SAMPLE_ROWS: usize = 200;
const EXAMPLES: usize = 3;
const MAX_EXAMPLE_CHARACTERS: usize = 80;
/// Files whose columns are listed; of more, only the names are.
const MAX_DESCRIBED: usize = 30;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Tables {
    /// A file, to see all of its columns with examples, or a folder. Default: the granted folders.
    path: Option<String>,
}

#[structured]
pub(crate) struct Listing {
    tables: Vec<TableInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[structured]
pub(crate) struct TableInfo {
    /// Path of the file, for FROM 'PATH'.
    file: String,
    /// Its size in bytes.
    bytes: u64,
    /// How many rows it has, if all were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Its columns, as they are written in SQL.
    columns: Vec<ColumnInfo>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[structured]
pub(crate) struct ColumnInfo {
    name: String,
    /// As of SQLite: INTEGER, REAL, NUMERIC, TEXT, BLOB, or BOOLEAN for 0 and 1.
    r#type: String,
    /// Its first values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Value>,
}

/// Lists the files that sql_query can read, with their columns and types. Of a single file, also the number of rows and
/// examples of values.
#[tool(title = "List tables", read_only, idempotent, closed_world)]
pub(crate) fn sql_tables(args: Tables) -> Result<Json<Listing>, Error> {
    let roots = Roots::granted()?;
    let folders = match &args.path {
        None => roots.names().to_vec(),
        Some(path) => {
            let folder = roots.resolve(path)?;
            if !fs::metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
                return file(path);
            }
            vec![folder]
        }
    };
    let mut files = Vec::new();
    for folder in &folders {
        list(folder, &mut files);
    }
    if files.is_empty() {
        return Err(Error::failed(format!(
            "there are no CSV, TSV, JSON, JSON Lines or Parquet files in {}",
            folders.join(", ")
        )));
    }
    let note = (files.len() > MAX_DESCRIBED).then(|| {
        format!("columns are listed of the first {MAX_DESCRIBED} files: give a `path` for others")
    });
    let tables = files
        .iter()
        .enumerate()
        .map(|(number, file)| {
            match (number < MAX_DESCRIBED).then(|| open(&file.path, Some(SAMPLE_ROWS))) {
                None => info(file, Vec::new(), None),
                Some(Ok(table)) => info(file, columns(&*table, None), None),
                Some(Err(error)) => info(file, Vec::new(), Some(error.message().to_owned())),
            }
        })
        .collect();
    Ok(Json(Listing { tables, note }))
}

/// One file, read whole.
fn file(name: &str) -> Result<Json<Listing>, Error> {
    let Some(path) = find(name)? else {
        return Err(not_found(name)?);
    };
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let table = open(&path, None)?;
    let (mut rows, mut first) = (0, Vec::new());
    table.each(&mut |row| {
        rows += 1;
        if first.len() < EXAMPLES {
            first.push(row);
        }
        Ok(true)
    })?;
    let file = DataFile { path, bytes };
    let mut info = info(&file, columns(&*table, Some(&first)), None);
    info.rows = Some(rows);
    Ok(Json(Listing {
        tables: vec![info],
        note: table.note(),
    }))
}

fn info(file: &DataFile, columns: Vec<ColumnInfo>, error: Option<String>) -> TableInfo {
    TableInfo {
        file: file.path.clone(),
        bytes: file.bytes,
        rows: None,
        columns,
        error,
    }
}

fn columns(table: &dyn Table, rows: Option<&[Vec<Cell>]>) -> Vec<ColumnInfo> {
    let examples = |index: usize, kind: Kind| {
        let rows = rows.unwrap_or_default();
        rows.iter().map(|row| example(&row[index], kind)).collect()
    };
    table
        .columns()
        .iter()
        .enumerate()
        .map(|(index, column)| ColumnInfo {
            name: identifier(&column.name),
            r#type: column.kind.name().to_owned(),
            examples: examples(index, column.kind),
        })
        .collect()
}

fn example(cell: &Cell, kind: Kind) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) if kind == Kind::Boolean => (*number == 1).into(),
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) => match text.char_indices().nth(MAX_EXAMPLE_CHARACTERS) {
            Some((end, _)) => format!("{}…", &text[..end]).into(),
            None => text.clone().into(),
        },
        Cell::Blob(bytes) => format!("{} bytes", bytes.len()).into(),
    }
}
