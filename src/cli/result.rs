//! A result as it is printed.

use std::num::NonZeroUsize;

use serde::Serialize;
use toolhost::summarize::Summarize;
use toolhost::wire::{json, openai_chat};
use toolhost::{Manifest, ToolResult};

/// How results are printed.
#[derive(clap::Args)]
pub(super) struct ResultOptions {
    /// Add the error's code, the structured output, the usage and the log to each result
    #[arg(long)]
    full: bool,

    /// Compact the results, as `summarize = true` in the manifest does
    #[arg(long)]
    summarize: bool,

    /// Items that --summarize shows of a JSON array [default: the manifest's, else 10]
    #[arg(long, value_name = "N")]
    summarize_items: Option<NonZeroUsize>,

    /// Characters that --summarize shows of a text [default: the manifest's, else 2000]
    #[arg(long, value_name = "N")]
    summarize_chars: Option<NonZeroUsize>,

    /// Exit with status 3 if some result is an error
    #[arg(long)]
    pub(super) fail_on_error: bool,
}

/// [`ResultOptions`] and the manifest put together.
pub(super) struct Printer {
    pub(super) full: bool,
    summary: Option<Summarize>,
}

#[derive(Serialize)]
pub(super) struct Printed<'a> {
    #[serde(flatten)]
    message: openai_chat::ToolMessage<'a>,
    #[serde(flatten)]
    detail: Option<json::Detail<'a>>,
}

impl ResultOptions {
    pub(super) fn printer(&self, manifest: &Manifest) -> Printer {
        let host = &manifest.host;
        let numbers = self.summarize_items.is_some() || self.summarize_chars.is_some();
        let summarize = self.summarize || host.summarize || numbers;
        Printer {
            full: self.full,
            summary: summarize.then(|| Summarize {
                items: self
                    .summarize_items
                    .map_or(host.summary.items, NonZeroUsize::get),
                chars: self
                    .summarize_chars
                    .map_or(host.summary.chars, NonZeroUsize::get),
            }),
        }
    }
}

impl Printer {
    pub(super) fn text(&self, result: &ToolResult) -> String {
        match &self.summary {
            Some(summary) => summary.text(result),
            None => result.to_text(),
        }
    }

    /// The `role: tool` message that answers the call.
    pub(super) fn message<'a>(&self, result: &'a ToolResult) -> Printed<'a> {
        Printed {
            message: openai_chat::answer(result.id.as_deref(), self.text(result)),
            detail: self.full.then(|| result.into()),
        }
    }
}
