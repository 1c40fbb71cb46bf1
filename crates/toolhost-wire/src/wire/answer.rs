//! [`Answer`]: a result as a model will see it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::detail::Detail;
use crate::summarize::Summarize;
use crate::tool::{CallKind, Content, Media, ResourceBody, ToolResult, Void};

/// A result as a model will see it: whole, or with another text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The result.
    pub result: &'a ToolResult,
    /// The tool's name on the wire, if it differs.
    pub name: &'a str,
    /// A text in place of the result's own: compacted, or with a note.
    pub text: Option<String>,
    /// Whether to add [`Detail`] to each answer, beside what the API accepts.
    pub full: bool,
}

/// Members of a call that its answer repeats.
pub(super) struct Echo<'a>(&'a [(&'static str, String)]);

impl Serialize for Echo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.iter().filter_map(|(key, json)| {
            let value: &RawValue = serde_json::from_str(json).ok()?;
            Some((key, value))
        });
        serializer.collect_map(members)
    }
}

/// A piece of an answer.
#[derive(Debug)]
pub(super) enum AnswerPiece<'a> {
    Text(String),
    Image(&'a Media),
    /// A document with a name.
    Document(&'a str, &'a str, &'a [u8]),
}

/// The media that an API accepts in results; anything else is described in text.
pub(super) struct Takes {
    pub(super) images: &'static [&'static str],
    pub(super) documents: &'static [&'static str],
}

impl<'a> Answer<'a> {
    /// The result as it is.
    pub fn new(result: &'a ToolResult) -> Self {
        Answer {
            result,
            name: &result.name,
            text: None,
            full: false,
        }
    }

    /// The result's text compacted.
    #[must_use]
    pub fn summarized(mut self, summarize: &Summarize) -> Self {
        self.text = Some(summarize.text(self.result));
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.result.outcome.is_err()
    }

    /// All of it as text; an error reads `Error: …`.
    pub fn to_text(&self) -> String {
        match &self.text {
            Some(text) => text.clone(),
            None => self.result.to_text(),
        }
    }

    pub(super) fn id(&self) -> Option<&'a str> {
        self.result.id.as_deref()
    }

    /// The kind of call it answers.
    pub(super) fn kind(&self) -> CallKind {
        let origin = self.result.origin.as_ref();
        origin.map(|origin| origin.kind).unwrap_or_default()
    }

    /// Why the call must not have run.
    pub(super) fn void(&self) -> Option<&'a Void> {
        self.result.origin.as_ref()?.void.as_ref()
    }

    /// The members of the call that the answer repeats.
    pub(super) fn echo(&self) -> Echo<'a> {
        let origin = self.result.origin.as_ref();
        Echo(origin.map_or(&[], |origin| &origin.echo))
    }

    /// Whether it is read by a program, not by the model.
    pub(super) fn is_for_program(&self) -> bool {
        let origin = self.result.origin.as_ref();
        origin.is_some_and(|origin| origin.by_program)
    }

    /// The structured output, which the tool's output schema describes.
    pub(super) fn document(&self) -> Option<&'a RawValue> {
        let origin = self.result.origin.as_ref();
        let is_undeclared = origin.is_some_and(|origin| origin.is_undeclared);
        match self.text {
            Some(_) => None,
            None if is_undeclared => None,
            None => self.result.outcome.as_ref().ok()?.structured.as_deref(),
        }
    }

    pub(super) fn detail(&self) -> Option<Detail<'a>> {
        self.full.then(|| self.result.into())
    }

    /// Its pieces, for an API that accepts these media; consecutive texts are joined.
    pub(super) fn pieces(&self, takes: &Takes) -> Vec<AnswerPiece<'a>> {
        self.pieces_or(None, takes)
    }

    /// Its pieces, with structured output in place of the texts if there is any.
    pub(super) fn document_pieces(&self, takes: &Takes) -> Vec<AnswerPiece<'a>> {
        let document = self.document().map(|document| document.get().to_owned());
        self.pieces_or(document, takes)
    }

    fn pieces_or(&self, text: Option<String>, takes: &Takes) -> Vec<AnswerPiece<'a>> {
        let content = match &self.result.outcome {
            Ok(output) => &output.content[..],
            Err(_) => &[],
        };
        let media = |piece: &'a Content| match piece {
            Content::Image(media) if takes.images.contains(&&*media.mime_type) => {
                Some(AnswerPiece::Image(media))
            }
            Content::Embedded(resource) => match (&resource.body, &resource.mime_type) {
                (ResourceBody::Blob(bytes), Some(kind)) if takes.documents.contains(&&**kind) => {
                    Some(AnswerPiece::Document(&resource.uri, kind, bytes))
                }
                _ => None,
            },
            _ => None,
        };
        if text.is_some() || self.text.is_some() || content.is_empty() {
            let text = AnswerPiece::Text(text.unwrap_or_else(|| self.to_text()));
            let media = content.iter().filter_map(media);
            return std::iter::once(text).chain(media).collect();
        }
        let mut pieces = Vec::new();
        for piece in content {
            match (media(piece), pieces.last_mut()) {
                (Some(media), _) => pieces.push(media),
                (None, Some(AnswerPiece::Text(text))) => {
                    text.push('\n');
                    text.push_str(&piece.to_text());
                }
                (None, _) => pieces.push(AnswerPiece::Text(piece.to_text())),
            }
        }
        pieces
    }
}

/// Base64, as all APIs encode bytes.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A `data:` URL (RFC 2397).
pub(super) fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// The last part of a URI, as a file name.
pub(super) fn file_name(uri: &str) -> &str {
    let path = uri.trim_end_matches('/');
    match path.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ => "document",
    }
}
