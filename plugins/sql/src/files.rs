//! Which file a table is.

use crate::csv_file::CsvFile;
use crate::json_file::JsonFile;
use crate::nearest::nearest;
use crate::parquet_file::ParquetFile;
use crate::table::Table;
use granted_files::{FOLDER, Roots};
use std::fs;
use toolhost_plugin::Error;

/// How files of data end, and which are meant first by a name without an ending.
const ENDINGS: [&str; 8] = [
    "csv", "tsv", "tab", "json", "jsonl", "ndjson", "parquet", "pq",
];
/// A model looks at no more.
const MAX_LISTED: usize = 200;
const MAX_DEPTH: usize = 4;

/// A file of data.
pub(crate) struct DataFile {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// The path of the file that a table's name means: a path, or the name of a file without its ending.
pub(crate) fn find(name: &str) -> Result<Option<String>, Error> {
    let roots = Roots::granted()?;
    let is_file = |path: &str| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if ending(name).is_some() || name.contains('/') {
        let path = roots.resolve(name)?;
        return Ok(is_file(&path).then_some(path));
    }
    let mut found: Vec<String> = roots
        .names()
        .iter()
        .flat_map(|root| {
            let root = root.trim_end_matches('/').to_owned();
            ENDINGS.map(|ending| format!("{root}/{name}.{ending}"))
        })
        .filter(|path| is_file(path))
        .collect();
    if found.len() > 1 {
        return Err(Error::invalid_arguments(format!(
            "table {name:?} could be one of {}: write its path, as in FROM '{}'",
            found.join(", "),
            found[0]
        )));
    }
    Ok(found.pop())
}

/// Opens a file, and finds its columns and their types from so many rows, or all.
pub(crate) fn open(path: &str, rows: Option<usize>) -> Result<Box<dyn Table>, Error> {
    Ok(match ending(path).as_deref() {
        Some("csv") => Box::new(CsvFile::open(path, false, rows)?),
        Some("tsv" | "tab") => Box::new(CsvFile::open(path, true, rows)?),
        Some("json" | "jsonl" | "ndjson") => Box::new(JsonFile::open(path, rows)?),
        Some("parquet" | "pq") => Box::new(ParquetFile::open(path)?),
        _ => {
            return Err(Error::invalid_arguments(format!(
                "{path} is no file of data: its name must end in one of .{}",
                ENDINGS.join(", .")
            )));
        }
    })
}

/// That there is no such file, and which may have been meant.
pub(crate) fn not_found(name: &str) -> Result<Error, Error> {
    let mut files = Vec::new();
    for root in Roots::granted()?.names() {
        list(root, &mut files);
    }
    let near = nearest(name, files.iter().map(|file| file.path.as_str()));
    let there = match near.as_slice() {
        [] => "there are no files of data in the granted folders".to_owned(),
        near => format!("there are {}", near.join(", ")),
    };
    Ok(Error::invalid_arguments(format!(
        "there is no table or file {name:?}; {there}. Name a file as in FROM 'folder/sales.csv', or by its name without \
         the ending"
    )))
}

/// The files of data in a folder and below it, in order of paths.
pub(crate) fn list(folder: &str, files: &mut Vec<DataFile>) {
    let mut todo = vec![(folder.trim_end_matches('/').to_owned(), 1)];
    while let Some((folder, depth)) = todo.pop() {
        let entries = fs::read_dir(if folder.is_empty() { "/" } else { &folder });
        let mut entries: Vec<_> = entries.into_iter().flatten().flatten().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        for entry in entries.iter().rev() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if metadata.is_file() && ending(&name).is_some() && files.len() < MAX_LISTED {
                files.push(DataFile {
                    path: format!("{folder}/{name}"),
                    bytes: metadata.len(),
                });
            }
        }
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < MAX_DEPTH && !name.starts_with('.') && name != FOLDER {
                todo.push((format!("{folder}/{name}"), depth + 1));
            }
        }
    }
}

fn ending(path: &str) -> Option<String> {
    let ending = path.rsplit_once('.')?.1.to_ascii_lowercase();
    ENDINGS.contains(&&*ending).then_some(ending)
}
