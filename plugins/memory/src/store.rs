//! The file of the graph.

use crate::graph::Graph;
use granted_files::{Roots, create_file, read_text, replace_content};
use std::fs;
use std::io::ErrorKind;
use toolhost_plugin::serde::Serialize;
use toolhost_plugin::{Error, config, serde_json};

const FILE_NAME: &str = "memory.jsonl";
/// It is in memory several times while it is changed.
const MAX_FILE_BYTES: u64 = 4_000_000;
/// A model reads no more at once with profit, and hosts bound what a call may answer.
pub(crate) const MAX_OUTPUT_BYTES: usize = 300_000;

/// The graph as it is in the file; an empty one if there is no file yet.
pub(crate) fn load() -> Result<Graph, Error> {
    Ok(read()?.2)
}

/// Changes the graph. The file is replaced whole, and only if the change succeeds and its answer can be returned. The host runs the calls that may change
/// it one after another, and a change by another program in between is an error.
pub(crate) fn change<T: Serialize>(
    change: impl FnOnce(&mut Graph) -> Result<T, Error>,
) -> Result<T, Error> {
    let (path, before, mut graph) = read()?;
    let answer = change(&mut graph)?;
    let bytes = serde_json::to_string(&answer)?.len();
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Error::invalid_arguments(format!(
            "the answer would have {bytes} bytes, but at most {MAX_OUTPUT_BYTES} are returned: change less at once. \
             Nothing was changed"
        )));
    }
    let after = graph.to_text()?;
    if after.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::failed(format!(
            "{path} would have {} bytes, but at most {MAX_FILE_BYTES} are kept: delete something first",
            after.len()
        )));
    }
    match before {
        Some(before) if before == after => {}
        Some(before) => replace_content(&path, before.as_bytes(), after.as_bytes())?,
        None if after.is_empty() => {}
        None => create_file(&path, after.as_bytes())?,
    }
    Ok(answer)
}

/// The path of the file, its content, and the graph in it.
fn read() -> Result<(String, Option<String>, Graph), Error> {
    let name = config("file");
    let path = Roots::granted()?.resolve(name.as_deref().unwrap_or(FILE_NAME))?;
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok((path, None, Graph::default()));
    }
    let (path, text) = read_text(&path, MAX_FILE_BYTES)?;
    let graph = Graph::parse(&text).map_err(|error| error.context(&path))?;
    Ok((path, Some(text), graph))
}
