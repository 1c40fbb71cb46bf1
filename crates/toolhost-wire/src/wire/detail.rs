//! All that is known of a result, for programs.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::CallError;
use crate::tool::{LogLine, Repair, ToolResult, Usage};

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
#[non_exhaustive]
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
