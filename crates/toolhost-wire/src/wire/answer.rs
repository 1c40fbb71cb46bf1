//! A result as a model is to see it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::detail::Detail;
use crate::summarize::Summarize;
use crate::tool::{CallKind, Content, Media, ResourceBody, ToolResult, Void};

/// A result as a model is to see it: whole, or as a text that stands for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The result.
    pub result: &'a ToolResult,
    /// The tool's name on the wire, where that is another.
    pub name: &'a str,
    /// Text instead of the result's own: compacted, or with something to say beside.
    pub text: Option<String>,
    /// Whether to add what [`Detail`] has to each answer, beside what the API takes.
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
pub(super) enum Piece<'a> {
    Text(String),
    Image(&'a Media),
    /// A document with a name for it.
    Document(&'a str, &'a str, &'a [u8]),
}

/// The media that an API takes in results; anything else is described in text.
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

    /// What sort of call it answers.
    pub(super) fn kind(&self) -> CallKind {
        let origin = self.result.origin.as_ref();
        origin.map(|origin| origin.kind).unwrap_or_default()
    }

    /// Why the call must not have been run.
    pub(super) fn void(&self) -> Option<&'a Void> {
        self.result.origin.as_ref()?.void.as_ref()
    }

    /// The members of the call that the answer repeats.
    pub(super) fn echo(&self) -> Echo<'a> {
        let origin = self.result.origin.as_ref();
        Echo(origin.map_or(&[], |origin| &origin.echo))
    }

    /// Whether a program reads it, and not the model.
    pub(super) fn is_for_program(&self) -> bool {
        let origin = self.result.origin.as_ref();
        origin.is_some_and(|origin| origin.by_program)
    }

    /// The structured document, which is what the tool's output schema describes.
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

    /// Its pieces, for an API that takes these media; texts that follow one another are one.
    pub(super) fn pieces(&self, takes: &Takes) -> Vec<Piece<'a>> {
        self.pieces_or(None, takes)
    }

    /// Its pieces, with the structured document in place of its texts where there is one.
    pub(super) fn document_pieces(&self, takes: &Takes) -> Vec<Piece<'a>> {
        let document = self.document().map(|document| document.get().to_owned());
        self.pieces_or(document, takes)
    }

    fn pieces_or(&self, text: Option<String>, takes: &Takes) -> Vec<Piece<'a>> {
        let content = match &self.result.outcome {
            Ok(output) => &output.content[..],
            Err(_) => &[],
        };
        let media = |piece: &'a Content| match piece {
            Content::Image(media) if takes.images.contains(&&*media.mime_type) => {
                Some(Piece::Image(media))
            }
            Content::Embedded(resource) => match (&resource.body, &resource.mime_type) {
                (ResourceBody::Blob(bytes), Some(kind)) if takes.documents.contains(&&**kind) => {
                    Some(Piece::Document(&resource.uri, kind, bytes))
                }
                _ => None,
            },
            _ => None,
        };
        if text.is_some() || self.text.is_some() || content.is_empty() {
            let text = Piece::Text(text.unwrap_or_else(|| self.to_text()));
            let media = content.iter().filter_map(media);
            return std::iter::once(text).chain(media).collect();
        }
        let mut pieces = Vec::new();
        for piece in content {
            match (media(piece), pieces.last_mut()) {
                (Some(media), _) => pieces.push(media),
                (None, Some(Piece::Text(text))) => {
                    text.push('\n');
                    text.push_str(&piece.to_text());
                }
                (None, _) => pieces.push(Piece::Text(piece.to_text())),
            }
        }
        pieces
    }
}

/// Base64, as all APIs have bytes.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A `data:` URL (RFC 2397).
pub(super) fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// The last part of a URI, as a file's name.
pub(super) fn file_name(uri: &str) -> &str {
    let path = uri.trim_end_matches('/');
    match path.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ => "document",
    }
}
