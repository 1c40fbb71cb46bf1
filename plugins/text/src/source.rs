//! What a tool works on: text in the arguments, or a file.

use granted_files::read_text;
use toolhost_plugin::Error;

/// Held in memory several times.
pub(crate) const MAX_FILE_BYTES: u64 = 8_000_000;
/// A model reads no more at once with profit.
const MAX_OUTPUT_BYTES: usize = 500_000;

/// The text that is given in one of two arguments: itself, or the path of its file.
pub(crate) fn text(
    (text_name, text): (&str, Option<String>),
    (path_name, path): (&str, Option<&str>),
) -> Result<String, Error> {
    match (text, path) {
        (Some(text), None) => Ok(text),
        (None, Some(path)) => Ok(read_text(path, MAX_FILE_BYTES)?.1),
        _ => Err(one_of(text_name, path_name)),
    }
}

pub(crate) fn one_of(text: &str, path: &str) -> Error {
    Error::invalid_arguments(format!("give either `{text}` or `{path}`"))
}

/// The text, unless a model could not read so much.
pub(crate) fn bounded(text: String) -> Result<String, Error> {
    if text.len() > MAX_OUTPUT_BYTES {
        return Err(Error::failed(format!(
            "the result has {} bytes, but at most {MAX_OUTPUT_BYTES} are returned",
            text.len()
        )));
    }
    Ok(text)
}
