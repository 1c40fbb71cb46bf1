//! `text_convert`.

use crate::source::{MAX_FILE_BYTES, bounded, one_of};
use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL_NOPAD, DecodeKind, Encoding as Base, HEXLOWER,
    HEXLOWER_PERMISSIVE,
};
use granted_files::read_bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str};
use toolhost_plugin::{Error, arguments, serde_json, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Convert {
    /// What to convert.
    text: Option<String>,
    /// Path of a file to convert, instead of `text`; it may be binary if `from` is "text".
    path: Option<String>,
    /// The encoding that the input has. Default: "text".
    #[serde(default)]
    from: Encoding,
    /// The encoding of the result. Default: "text".
    #[serde(default)]
    to: Encoding,
}

/// "text" is plain text, or the bytes of a file; "base64url" has no padding; "percent" is URL percent-encoding of all but
/// letters, digits and "-._~"; "html" has entities for <, >, & and quotes; "json" is a JSON string with its quotes.
#[arguments]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Text,
    Base64,
    Base64Url,
    Hex,
    Percent,
    Html,
    Json,
}

/// Encodes, decodes or converts a text: base64, base64url, hexadecimal, URL percent-encoding, HTML entities, JSON strings.
/// Examples: `to` "base64" encodes; `from` "html" decodes.
#[tool(title = "Encode or decode", read_only, idempotent, closed_world)]
pub(crate) fn text_convert(args: Convert) -> Result<String, Error> {
    if args.from == args.to {
        return Err(Error::invalid_arguments(
            "`from` and `to` are the same: set `to` to encode, or `from` to decode",
        ));
    }
    let input = match (args.text, &args.path) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(path)) => read_bytes(path, MAX_FILE_BYTES)?.1,
        _ => return Err(one_of("text", "path")),
    };
    let bytes = match args.from {
        Encoding::Text => input,
        encoding => {
            let text = String::from_utf8(input)
                .map_err(|_| Error::invalid_arguments("the input is not UTF-8 text"))?;
            decode(&text, encoding)?
        }
    };
    bounded(encode(bytes, args.to)?)
}

fn decode(text: &str, encoding: Encoding) -> Result<Vec<u8>, Error> {
    match encoding {
        Encoding::Text => Ok(text.as_bytes().to_vec()),
        Encoding::Base64 => base(unpadded(text), &BASE64_NOPAD, "base64"),
        Encoding::Base64Url => base(unpadded(text), &BASE64URL_NOPAD, "base64url"),
        Encoding::Hex => base(text, &HEXLOWER_PERMISSIVE, "hexadecimal"),
        Encoding::Percent => Ok(percent_decode_str(text).collect()),
        Encoding::Html => Ok(htmlize::unescape(text).into_owned().into_bytes()),
        Encoding::Json => match serde_json::from_str::<String>(text) {
            Ok(text) => Ok(text.into_bytes()),
            Err(error) => Err(Error::invalid_arguments(format!(
                "the input is not a JSON string: {error}"
            ))),
        },
    }
}

fn unpadded(text: &str) -> &str {
    text.trim_end().trim_end_matches('=')
}

/// Whitespace is skipped: base64 comes in lines.
fn base(text: &str, base: &Base, name: &str) -> Result<Vec<u8>, Error> {
    let (positions, digits): (Vec<usize>, Vec<u8>) = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| !byte.is_ascii_whitespace())
        .unzip();
    base.decode(&digits).map_err(|error| {
        let position = positions.get(error.position).copied().unwrap_or(text.len());
        let found = match error.kind {
            DecodeKind::Length => None,
            _ => text.get(position..).and_then(|rest| rest.chars().next()),
        };
        Error::invalid_arguments(match found {
            Some(found) => format!("the input is not {name}: {found:?} at offset {position}"),
            None => format!("the input is not {name}: it ends too early"),
        })
    })
}

/// All but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encode(bytes: Vec<u8>, encoding: Encoding) -> Result<String, Error> {
    match encoding {
        Encoding::Base64 => return Ok(BASE64.encode(&bytes)),
        Encoding::Base64Url => return Ok(BASE64URL_NOPAD.encode(&bytes)),
        Encoding::Hex => return Ok(HEXLOWER.encode(&bytes)),
        Encoding::Percent => {
            return Ok(percent_encoding::percent_encode(&bytes, RESERVED).to_string());
        }
        Encoding::Text | Encoding::Html | Encoding::Json => {}
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::failed(format!(
            "these are {} bytes that are not UTF-8 text: use `to` \"hex\" or \"base64\" to see them",
            error.as_bytes().len()
        ))
    })?;
    Ok(match encoding {
        Encoding::Html => escape_html(&text),
        Encoding::Json => serde_json::to_string(&text)?,
        _ => text,
    })
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Convert, text_convert};
    use toolhost_plugin::serde_json::json;

    fn converted(text: &str, from: &str, to: &str) -> Result<String, String> {
        let args = json!({ "text": text, "from": from, "to": to });
        let args: Convert = toolhost_plugin::serde_json::from_value(args).unwrap();
        text_convert(args).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn encodings_decode_what_they_encode() {
        let text = "a<é>&\"'\n/?+ %";
        for (encoding, encoded) in [
            ("base64", "YTzDqT4mIicKLz8rICU="),
            ("base64url", "YTzDqT4mIicKLz8rICU"),
            ("hex", "613cc3a93e2622270a2f3f2b2025"),
            ("percent", "a%3C%C3%A9%3E%26%22%27%0A%2F%3F%2B%20%25"),
            ("html", "a&lt;é&gt;&amp;&quot;&#x27;\n/?+ %"),
            ("json", r#""a<é>&\"'\n/?+ %""#),
        ] {
            assert_eq!(converted(text, "text", encoding).as_deref(), Ok(encoded));
            assert_eq!(converted(encoded, encoding, "text").as_deref(), Ok(text));
        }
        assert_eq!(
            converted("_-8", "base64url", "base64").as_deref(),
            Ok("/+8=")
        );
    }

    #[test]
    fn what_cannot_be_decoded_says_where() {
        for (text, from, why) in [
            ("ab!d", "base64", "'!' at offset 2"),
            ("a\nb é", "base64", "'é' at offset 4"),
            ("abcde", "base64", "ends too early"),
            ("0g", "hex", "'g' at offset 1"),
            ("/w==", "base64", "1 bytes that are not UTF-8"),
            ("abc", "json", "not a JSON string"),
        ] {
            let error = converted(text, from, "text").unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
