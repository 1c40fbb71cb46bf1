//! toolhost's own format, for scripts: a call or a result a line, in full detail.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::DecodeError;
use super::{Answer, NameRule, Names, Wire, arguments, array, label, object, raw};
use crate::error::CallError;
use crate::tool::{LogLine, Repair, Tool, ToolCall, ToolResult, Usage};

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
                    false => Err(within(serde::de::Error::custom("it is no object"))),
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

/// What a result says beyond its text: why it is an error, what it used, and its log.
#[derive(Debug, Serialize)]
pub struct Detail<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
    usage: UsageDetail,
    #[serde(skip_serializing_if = "<[LogLine]>::is_empty")]
    log: &'a [LogLine],
    #[serde(skip_serializing_if = "<[Repair]>::is_empty")]
    repairs: &'a [Repair],
}

/// Why a call has no output.
#[derive(Debug, Serialize)]
pub struct ErrorDetail {
    /// The error's stable code.
    pub code: &'static str,
    /// What went wrong.
    pub message: String,
}

#[derive(Debug, Serialize)]
struct UsageDetail {
    queue_ms: f64,
    run_ms: f64,
    cpu_ms: f64,
    peak_memory_bytes: u64,
    output_bytes: u64,
}

impl<'a> From<&'a ToolResult> for Detail<'a> {
    fn from(result: &'a ToolResult) -> Self {
        let output = result.outcome.as_ref();
        Detail {
            name: &result.name,
            structured: output.ok().and_then(|output| output.structured.as_deref()),
            error: output.err().map(ErrorDetail::from),
            usage: result.usage.into(),
            log: &result.log,
            repairs: &result.repairs,
        }
    }
}

impl From<&CallError> for ErrorDetail {
    fn from(error: &CallError) -> Self {
        ErrorDetail {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<Usage> for UsageDetail {
    fn from(usage: Usage) -> Self {
        // Microseconds are all that a reader of milliseconds can use.
        let ms = |duration: std::time::Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        UsageDetail {
            queue_ms: ms(usage.queue),
            run_ms: ms(usage.run),
            cpu_ms: ms(usage.cpu),
            peak_memory_bytes: usage.peak_memory,
            output_bytes: usage.output_bytes,
        }
    }
}
