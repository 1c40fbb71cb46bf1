//! SQLite, in memory: tables are loaded from files when a query names them, and queries can only read.

use crate::files::{find, not_found, open};
use crate::nearest::nearest;
use regex::Regex;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement, ffi, params_from_iter};
use std::collections::BTreeMap;
use std::sync::Arc;
use toolhost_plugin::Error;

/// A query of so many tables is a mistake.
const MAX_TABLES: usize = 50;
/// As SQLite is built here.
const MAX_COLUMNS: usize = 2000;

pub(crate) struct Engine {
    connection: Connection,
    /// The files of tables that the call names, in lower case.
    named: BTreeMap<String, String>,
    loaded: Vec<Loaded>,
    pub(crate) notes: Vec<String>,
}

struct Loaded {
    name: String,
    columns: Vec<String>,
}

impl Engine {
    pub(crate) fn new(named: BTreeMap<String, String>) -> Result<Self, Error> {
        let connection = Connection::open_in_memory()?;
        // "name" is a column or an error, and never a string.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        add_functions(&connection)?;
        let named = named
            .into_iter()
            .map(|(name, path)| (name.to_lowercase(), path))
            .collect();
        Ok(Self {
            connection,
            named,
            loaded: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Prepares a query, and loads the files that it names.
    pub(crate) fn load_for(&mut self, sql: &str) -> Result<(), Error> {
        loop {
            let error = match self.prepare(sql) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let Some(name) = missing_table(&error) else {
                return Err(self.explained(sql, &error));
            };
            if self.loaded.len() >= MAX_TABLES {
                return Err(Error::invalid_arguments(format!(
                    "the query names more than {MAX_TABLES} tables"
                )));
            }
            let named = self.named.get(&name.to_lowercase());
            let file = named.unwrap_or(&name);
            let Some(path) = find(file)? else {
                return Err(match function_of_files(file) {
                    Some(error) => error,
                    None => not_found(file)?,
                });
            };
            self.load(&name, &path)?;
        }
    }

    /// The query, ready to run.
    pub(crate) fn statement(&self, sql: &str) -> Result<Statement<'_>, Error> {
        let statement = self
            .prepare(sql)
            .map_err(|error| self.explained(sql, &error))?;
        if statement.column_count() == 0 {
            return Err(Error::invalid_arguments("`query` is empty"));
        }
        Ok(statement)
    }

    fn prepare(&self, sql: &str) -> rusqlite::Result<Statement<'_>> {
        self.connection.authorizer(Some(authorize))?;
        let prepared = self.connection.prepare(sql);
        self.connection
            .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        prepared
    }

    /// Makes a table of a file.
    fn load(&mut self, name: &str, path: &str) -> Result<(), Error> {
        let table = open(path, None)?;
        let columns = table.columns();
        if columns.len() > MAX_COLUMNS {
            return Err(Error::failed(format!(
                "{path} has {} columns, but tables have at most {MAX_COLUMNS}",
                columns.len()
            )));
        }
        let definitions: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", quoted(&column.name), column.kind.sql()))
            .collect();
        let name_in_sql = quoted(name);
        self.connection.execute_batch(&format!(
            "CREATE TABLE {name_in_sql} ({})",
            definitions.join(", ")
        ))?;
        let places = vec!["?"; columns.len()].join(", ");
        let transaction = self.connection.unchecked_transaction()?;
        let mut insert =
            transaction.prepare(&format!("INSERT INTO {name_in_sql} VALUES ({places})"))?;
        table.each(&mut |row: Vec<Value>| {
            insert.execute(params_from_iter(row))?;
            Ok(true)
        })?;
        drop(insert);
        transaction.commit()?;
        self.notes.extend(table.note());
        self.loaded.push(Loaded {
            name: name.to_owned(),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
        });
        Ok(())
    }

    /// An error of SQLite's, with the place in the query and what may have been meant.
    pub(crate) fn explained(&self, sql: &str, error: &rusqlite::Error) -> Error {
        let (message, offset) = match error {
            rusqlite::Error::SqlInputError { msg, offset, .. } => {
                (msg.clone(), usize::try_from(*offset).ok())
            }
            rusqlite::Error::SqliteFailure(code, message) => {
                if code.code == ffi::ErrorCode::AuthorizationForStatementDenied {
                    return only_reading();
                }
                (message.clone().unwrap_or_else(|| code.to_string()), None)
            }
            rusqlite::Error::MultipleStatement => {
                return Error::invalid_arguments(
                    "`query` has several statements: send one at a time",
                );
            }
            other => (other.to_string(), None),
        };
        if message.contains("not authorized") || message.contains("prohibited") {
            return only_reading();
        }
        let place = offset.map(|offset| place(sql, offset)).unwrap_or_default();
        let hint = self.hint(&message);
        Error::invalid_arguments(format!("SQL: {message}{place}{hint}"))
    }

    /// Columns that may have been meant.
    fn hint(&self, message: &str) -> String {
        let Some(wanted) = message.strip_prefix("no such column: ") else {
            return match message {
                _ if message.starts_with("no such function") => {
                    "; these are the functions of SQLite, and regexp()".to_owned()
                }
                _ => String::new(),
            };
        };
        let wanted = wanted
            .split(" - ")
            .next()
            .unwrap_or_default()
            .trim_matches('"');
        let wanted = wanted.rsplit('.').next().unwrap_or_default();
        let columns = self.loaded.iter().flat_map(|table| &table.columns);
        let near = nearest(wanted, columns.map(String::as_str));
        if near.is_empty() {
            return String::new();
        }
        let near: Vec<String> = near.into_iter().map(identifier).collect();
        let tables: Vec<&str> = self.loaded.iter().map(|table| &*table.name).collect();
        format!("; columns of {}: {}", tables.join(", "), near.join(", "))
    }
}

fn only_reading() -> Error {
    Error::invalid_arguments("files can only be read: use SELECT, WITH, VALUES or EXPLAIN")
}

/// What a query may do: read.
fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Function { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// The table that is missing, if that is what is wrong.
fn missing_table(error: &rusqlite::Error) -> Option<String> {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(_, Some(message)) => message,
        _ => return None,
    };
    let name = message.strip_prefix("no such table: ")?;
    Some(name.strip_prefix("main.").unwrap_or(name).to_owned())
}

/// Other engines read files by functions.
fn function_of_files(name: &str) -> Option<Error> {
    let is_function = name.starts_with("read_") || name.ends_with("_scan");
    is_function.then(|| {
        Error::invalid_arguments(format!(
            "there is no function {name}: name the file instead of a table, as in FROM 'sales.csv'"
        ))
    })
}

fn add_functions(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    // `text REGEXP pattern` calls `regexp(pattern, text)`.
    connection.create_scalar_function("regexp", 2, flags, |context| {
        type Boxed = Box<dyn std::error::Error + Send + Sync>;
        let pattern: Arc<Regex> = context.get_or_create_aux(0, |value| -> Result<_, Boxed> {
            Ok(Regex::new(value.as_str()?)?)
        })?;
        Ok(match context.get_raw(1) {
            ValueRef::Null => None,
            ValueRef::Text(text) => Some(pattern.is_match(&String::from_utf8_lossy(text))),
            ValueRef::Integer(number) => Some(pattern.is_match(&number.to_string())),
            ValueRef::Real(number) => Some(pattern.is_match(&number.to_string())),
            ValueRef::Blob(_) => Some(false),
        })
    })?;
    Ok(())
}

fn quoted(name: &str) -> String {
    // SQL text ends at a NUL.
    format!(
        "\"{}\"",
        name.replace('"', "\"\"").replace('\0', "\u{fffd}")
    )
}

/// A name as it can be written in SQL.
pub(crate) fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn place(sql: &str, offset: usize) -> String {
    let Some(before) = sql.get(..offset) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(" (line {line}, column {column})")
}
