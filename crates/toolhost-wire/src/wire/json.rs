//! toolhost's own format, for scripts: a call or a result a line, in full detail.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use super::detail::{Detail, ErrorDetail};
use super::error::DecodeError;
use super::{Answer, NameRule, Names, Wire, arguments, array, label, object, raw};
use crate::tool::{Tool, ToolCall};

pub(super) struct Json;

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// One line: the id, the result as text, and all that is known of it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    content: String,
    #[serde(flatten)]
    detail: Detail<'a>,
}

impl super::Sealed for Json {}

impl Wire for Json {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        if let Ok(document) = serde_json::from_str::<&RawValue>(text)
            && (document.get().starts_with('[') || text.trim_ascii_end().contains('\n'))
        {
            // One document over several lines, or an array of calls.
            let items = match document.get().starts_with('[') {
                true => array(document)?,
                false => vec![document],
            };
            return items
                .into_iter()
                .map(|item| Ok(object::<Call>(item)?.into()))
                .collect();
        }
        let lines = text.lines().enumerate();
        lines
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| {
                let within = |error| DecodeError::Line {
                    line: number + 1,
                    error,
                };
                let raw: &RawValue = serde_json::from_str(line).map_err(within)?;
                match raw.get().starts_with('{') {
                    true => Ok(serde_json::from_str::<Call>(raw.get())
                        .map_err(within)?
                        .into()),
                    false => Err(within(serde::de::Error::custom("not an object"))),
                }
            })
            .collect()
    }

    /// Everything that is known of each tool.
    fn declare(&self, tools: &[&Tool], _: &Names) -> Box<RawValue> {
        raw(tools)
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        raw(&Line {
            id: answer.id(),
            content: answer.to_text(),
            detail: answer.result.into(),
        })
    }

    fn name_rule(&self) -> Option<NameRule> {
        None
    }
}

impl From<Call<'_>> for ToolCall {
    fn from(call: Call) -> Self {
        ToolCall {
            id: label(call.id),
            name: label(Some(call.name)).unwrap_or_default(),
            arguments: arguments(call.arguments),
            ..ToolCall::default()
        }
    }
}
