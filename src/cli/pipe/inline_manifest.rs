//! A manifest that a program gives as JSON, instead of a file.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table};
use toolhost::Manifest;

/// The name of the manifest in messages.
const NAME: &str = "the program's manifest";

/// Parses the manifest. Relative paths are relative to `folder`, or to the working folder.
pub(super) fn parse(
    tables: &serde_json::Map<String, Value>,
    folder: Option<&Path>,
) -> anyhow::Result<Manifest> {
    let folder = match folder {
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::current_dir().context("there is no working folder")?,
    };
    let mut document = DocumentMut::new();
    for (key, value) in tables {
        document.insert(key, item(value, key)?);
    }
    Ok(Manifest::parse(&document.to_string(), folder.join(NAME))?)
}

/// Tables that hold tables get headers of their own, so that messages name lines of a usual manifest.
fn item(value: &Value, place: &str) -> anyhow::Result<Item> {
    let Value::Object(members) = value else {
        return Ok(Item::Value(scalar(value, place)?));
    };
    let mut table = Table::new();
    for (key, value) in members {
        table.insert(key, item(value, &format!("{place}.{key}"))?);
    }
    Ok(Item::Table(table))
}

fn scalar(value: &Value, place: &str) -> anyhow::Result<toml_edit::Value> {
    Ok(match value {
        Value::Null => bail!("{NAME}: `{place}` is null: leave it out"),
        Value::Bool(it) => (*it).into(),
        Value::String(it) => it.as_str().into(),
        Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(it), _) => it.into(),
            (None, Some(it)) if it.is_finite() => it.into(),
            _ => bail!("{NAME}: `{place}` is a number out of range: {it}"),
        },
        Value::Array(items) => {
            let mut array = Array::new();
            for (index, it) in items.iter().enumerate() {
                array.push(scalar(it, &format!("{place}[{index}]"))?);
            }
            array.into()
        }
        Value::Object(members) => {
            let mut table = InlineTable::new();
            for (key, it) in members {
                table.insert(key, scalar(it, &format!("{place}.{key}"))?);
            }
            table.into()
        }
    })
}
