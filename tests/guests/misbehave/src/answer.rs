//! Tools that matter for what they answer, and for what the host hands them.

use crate::exports::toolhost::plugin::tools::{Error, Output};
use crate::toolhost::plugin::host;
use crate::toolhost::plugin::types::{
    Content, EmbeddedResource, Media, ResourceBody, ResourceLink,
};
use crate::{Answer, Behaviour, Given, NOTHING, Takes, failed, text};
use std::sync::atomic::{AtomicU64, Ordering};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "huge_output",
        description: "Answers a text of so many bytes.",
        takes: Takes::Required(&[("bytes", "integer")]),
        run: |given| text("x".repeat(given.number("bytes")?)),
    },
    Behaviour {
        name: "many_contents",
        description: "Answers so many texts of so many bytes each.",
        takes: Takes::Required(&[("count", "integer"), ("bytes", "integer")]),
        run: many_contents,
    },
    Behaviour {
        name: "fail",
        description: "Fails with the message.",
        takes: Takes::Required(&[("message", "string")]),
        run: |given| Err(Error::Failed(given.text("message")?.into())),
    },
    Behaviour {
        name: "refuse",
        description: "Calls its arguments invalid, with the message.",
        takes: Takes::Required(&[("message", "string")]),
        run: |given| Err(Error::InvalidArguments(given.text("message")?.into())),
    },
    Behaviour {
        name: "deny",
        description: "Says that it was denied what is named.",
        takes: Takes::Required(&[("what", "string")]),
        run: |given| Err(Error::Denied(given.text("what")?.into())),
    },
    Behaviour {
        name: "bad_structured",
        description: "Answers structured output that is not JSON.",
        takes: NOTHING,
        run: |_| structured("not json {"),
    },
    Behaviour {
        name: "structured",
        description: "Answers the value as structured output and as text.",
        takes: Takes::Schema(r#"{"type":"object","properties":{"value":{}},"required":["value"]}"#),
        run: |given| structured(&given.arguments["value"].to_string()),
    },
    Behaviour {
        name: "media",
        description: "Answers one of each kind of content.",
        takes: NOTHING,
        run: |_| media(),
    },
    Behaviour {
        name: "secret",
        description: "Answers the secret of that name.",
        takes: Takes::Required(&[("name", "string")]),
        run: secret,
    },
    Behaviour {
        name: "config",
        description: "Answers the configuration under that key.",
        takes: Takes::Required(&[("key", "string")]),
        run: config,
    },
    Behaviour {
        name: "counter",
        description: "Counts its calls in this instance, and answers how many there were.",
        takes: NOTHING,
        run: |_| counter(),
    },
    Behaviour {
        name: "progress",
        description: "Reports its progress as 0, 50 and 100 of 100, then answers.",
        takes: NOTHING,
        run: |_| progress(),
    },
    Behaviour {
        name: "id",
        description: "Answers the id of the call.",
        takes: NOTHING,
        run: |given| text(&*given.call.id),
    },
    Behaviour {
        name: "raw_arguments",
        description: "Answers its arguments exactly as they came.",
        takes: Takes::Schema(r#"{"type":"object"}"#),
        run: |given| text(&*given.call.arguments),
    },
    Behaviour {
        name: "optional",
        description: "Answers its arguments, none of which it needs.",
        takes: Takes::Schema(OPTIONAL),
        run: |given| text(given.arguments.to_string()),
    },
    Behaviour {
        name: "nested",
        description: "Answers its arguments, an order of several items.",
        takes: Takes::Schema(NESTED),
        run: |given| text(given.arguments.to_string()),
    },
];

const OPTIONAL: &str = r#"{
    "type": "object",
    "properties": {
        "text": { "type": "string" },
        "count": { "type": "integer", "minimum": 1, "maximum": 10 }
    },
    "additionalProperties": false
}"#;

const NESTED: &str = r#"{
    "type": "object",
    "properties": {
        "order": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": { "type": "string" },
                            "quantity": { "type": "integer", "minimum": 1 }
                        },
                        "required": ["name", "quantity"]
                    }
                }
            },
            "required": ["items"]
        }
    },
    "required": ["order"]
}"#;

fn many_contents(given: &Given) -> Answer {
    let content = Content::Text("x".repeat(given.number("bytes")?));
    Ok(Output {
        content: vec![content; given.number("count")?],
        structured: None,
    })
}

fn structured(json: &str) -> Answer {
    Ok(Output {
        content: vec![Content::Text(json.into())],
        structured: Some(json.into()),
    })
}

/// The bytes are the first ones of such files: nobody here looks further.
fn media() -> Answer {
    let media = |data: &[u8], mime_type: &str| Media {
        data: data.into(),
        mime_type: mime_type.into(),
    };
    let embedded = |uri: &str, mime_type: &str, body| {
        Content::Embedded(EmbeddedResource {
            uri: uri.into(),
            mime_type: Some(mime_type.into()),
            body,
        })
    };
    Ok(Output {
        content: vec![
            Content::Text("one of each".into()),
            Content::Image(media(b"\x89PNG\r\n\x1a\n", "image/png")),
            Content::Audio(media(b"RIFF\x24\0\0\0WAVE", "audio/wav")),
            Content::Link(ResourceLink {
                uri: "https://example.com/page".into(),
                name: "page".into(),
                description: Some("A page of the web".into()),
                mime_type: Some("text/html".into()),
            }),
            embedded(
                "note:///1",
                "text/plain",
                ResourceBody::Text("a note".into()),
            ),
            embedded(
                "blob:///1",
                "application/octet-stream",
                ResourceBody::Blob(vec![0, 1, 254, 255]),
            ),
        ],
        structured: None,
    })
}

fn secret(given: &Given) -> Answer {
    let name = given.text("name")?;
    text(host::secret(name).ok_or_else(|| failed(format!("no secret {name}")))?)
}

fn config(given: &Given) -> Answer {
    let key = given.text("key")?;
    text(host::config(key).ok_or_else(|| failed(format!("no config {key}")))?)
}

fn counter() -> Answer {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    text((CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}

fn progress() -> Answer {
    host::progress(0.0, Some(100.0), None);
    host::progress(50.0, Some(100.0), Some("half way"));
    host::progress(100.0, Some(100.0), None);
    text("done")
}
