//! From a call's JSON to the tool's argument struct.

use crate::Error;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use std::fmt::Write;

/// Reads the arguments; an error names the place as a JSON Pointer, as the host's own validation does.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let message = without_position(error.into_inner());
        Error::invalid_arguments(if pointer.is_empty() {
            message
        } else {
            format!("{pointer}: {message}")
        })
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => {
                write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            // Not a place in the document: an enum's variant, or what was never reached.
            Segment::Enum { .. } | Segment::Unknown => Ok(()),
        };
    }
    pointer
}

/// The model did not write lines and columns: the place is the pointer's to say.
fn without_position(error: serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::Deserialize;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code)]
    struct Arguments {
        names: Vec<String>,
    }

    #[test]
    fn an_error_names_the_place() {
        let message = |json| parse::<Arguments>(json).unwrap_err().message().to_owned();
        assert_eq!(
            message(r#"{"names":["a",2]}"#),
            "/names/1: invalid type: integer `2`, expected a string"
        );
        assert_eq!(message("{}"), "missing field `names`");
    }
}
