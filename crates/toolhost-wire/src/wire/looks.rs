//! What text that is no JSON looks like, so that an error can say what to do about it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::DecodeError;

/// How much of a text is looked at.
pub(super) const LOOKED_AT: usize = 4096;

/// What bytes that are no text look like.
pub(super) fn bytes_look_like(bytes: &[u8]) -> Option<DecodeError> {
    let begins = |with: &[&[u8]]| with.iter().any(|with| bytes.starts_with(with));
    let (like, advice) = if begins(&[b"\xff\xfe", b"\xfe\xff"]) {
        // What a shell of Windows writes to a file.
        ("UTF-16 text", "save it as UTF-8")
    } else if begins(&[b"\x1f\x8b"]) {
        ("gzip", "decompress it first (`curl --compressed`)")
    } else if begins(&[b"\x28\xb5\x2f\xfd"]) {
        ("zstd", "decompress it first (`curl --compressed`)")
    } else if begins(&[b"PK\x03\x04"]) {
        ("a ZIP archive", "unpack it first")
    } else {
        return None;
    };
    Some(DecodeError::LooksLike { like, advice })
}

/// What the text looks like, if that is one of the things that people pass for a response.
pub(super) fn looks_like(text: &str) -> Option<DecodeError> {
    let text = text.trim_ascii();
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    let (like, advice) = kind(text)?;
    Some(DecodeError::LooksLike { like, advice })
}

fn kind(text: &str) -> Option<(&'static str, &'static str)> {
    let lower = text[..text.floor_char_boundary(64)].to_ascii_lowercase();
    let first = text.lines().next().unwrap_or_default();
    let begins = |with: &[&str]| with.iter().any(|with| text.starts_with(with));
    if begins(&["data:", "event:", "id:", "retry:", ": "]) || first == ":" {
        return Some(("an event stream", "see --sse"));
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return Some(("an HTML page", "check the API's URL"));
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        return Some(("XML", "it must be JSON"));
    }
    if text.starts_with("HTTP/") && first.contains(' ') {
        return Some((
            "an HTTP response with its headers",
            "pass only the body (`curl` without `-i`)",
        ));
    }
    if text.starts_with("```") {
        return Some(("a Markdown code block", "pass the text between the fences"));
    }
    if begins(&["{'", "[{'", "{\"role\": None", "{None", "b'{", "b\"{"]) || is_call(text) {
        return Some((
            "a Python repr",
            "serialize it with `model_dump_json()`, or a dict with `json.dumps()`",
        ));
    }
    if is_inspected(text) {
        return Some((
            "a JavaScript object as `console.log` prints it",
            "print it with `JSON.stringify()`",
        ));
    }
    if is_base64(text) {
        return Some(("base64-encoded JSON", "decode it first"));
    }
    if is_yaml(text) {
        return Some(("YAML", "it must be JSON"));
    }
    None
}

/// `ChatCompletion(id='…`, or a list of such.
fn is_call(text: &str) -> bool {
    let text = text.trim_start_matches(['[', '(', '<']);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let name = &text[..text.len() - rest.len()];
    let name = name.rsplit('.').next().unwrap_or_default();
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
    is_type && (rest.starts_with('(') || rest.starts_with(" object at"))
}

/// Members whose names have no quotes.
fn is_inspected(text: &str) -> bool {
    let Some(text) = text
        .trim_start_matches(['[', ' ', '\n', '\r'])
        .strip_prefix('{')
    else {
        return false;
    };
    let text = text.trim_ascii_start();
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    rest.len() < text.len() && rest.starts_with(':')
}

/// Text of which the beginning decodes to an object or array.
fn is_base64(text: &str) -> bool {
    let head: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .take(16)
        .collect();
    let decoded = match head.len() {
        16 => STANDARD.decode(&head),
        _ => return false,
    };
    decoded.is_ok_and(|bytes| {
        let text = bytes.trim_ascii_start();
        text.starts_with(b"{\"") || text.starts_with(b"[{") || text.starts_with(b"{\n")
    })
}

/// A first line `key: value` or `- key: value`, and no brackets around it all.
fn is_yaml(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
    let is_line = |line: &str| {
        let line = line.trim_start_matches([' ', '-']);
        let key = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        key.len() < line.len() && (key == ":" || key.starts_with(": "))
    };
    match lines.next() {
        Some("---") => true,
        Some(first) => {
            is_line(first)
                && lines
                    .next()
                    .is_none_or(|line| is_line(line) || line.starts_with(' '))
        }
        None => false,
    }
}
