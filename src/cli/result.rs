//! A result as it is printed.

use std::io;
use std::num::NonZeroUsize;

use serde_json::value::RawValue;
use toolhost::json_text::indent;
use toolhost::summarize::Summarize;
use toolhost::wire::{Answer, Format, Names};
use toolhost::{Manifest, ToolHost, ToolResult};

use super::out::Out;

/// How results are printed.
#[derive(clap::Args)]
pub(super) struct ResultOptions {
    /// Add error code, structured output, usage, log and repairs to each result
    #[arg(long)]
    full: bool,

    /// Compact the results, like `summarize = true` in the manifest
    #[arg(long)]
    summarize: bool,

    /// Items of a JSON array that --summarize shows [default: the manifest's, else 10]
    #[arg(long, value_name = "N")]
    summarize_items: Option<NonZeroUsize>,

    /// Characters of a text that --summarize shows [default: the manifest's, else 2000]
    #[arg(long, value_name = "N")]
    summarize_chars: Option<NonZeroUsize>,
}

/// [`ResultOptions`] and the manifest put together.
pub(super) struct Printer {
    pub(super) full: bool,
    summary: Option<Summarize>,
}

/// A [`Printer`] for one format.
pub(super) struct Encoder<'p> {
    printer: &'p Printer,
    format: Format,
    names: Names,
}

impl ResultOptions {
    pub(super) fn printer(&self, manifest: &Manifest) -> Printer {
        let host = &manifest.host;
        let numbers = self.summarize_items.is_some() || self.summarize_chars.is_some();
        let summarize = self.summarize || host.summarize || numbers;
        Printer {
            full: self.full,
            summary: summarize.then(|| {
                let (items, chars) = (self.summarize_items, self.summarize_chars);
                Summarize::default()
                    .with_items(items.map_or(host.summary.items, NonZeroUsize::get))
                    .with_chars(chars.map_or(host.summary.chars, NonZeroUsize::get))
            }),
        }
    }
}

impl Printer {
    pub(super) fn text(&self, result: &ToolResult) -> String {
        self.answer(result).to_text()
    }

    fn answer<'a>(&self, result: &'a ToolResult) -> Answer<'a> {
        let mut answer = Answer::new(result);
        answer.full = self.full;
        match &self.summary {
            Some(summary) => answer.summarized(summary),
            None => answer,
        }
    }

    pub(super) fn encoder(&self, format: Format, host: &ToolHost) -> Encoder<'_> {
        Encoder {
            printer: self,
            format,
            names: names(format, host),
        }
    }
}

/// The names that the tools of a host and their arguments have in a format.
pub(super) fn names(format: Format, host: &ToolHost) -> Names {
    Names::of_tools(format, &host.tools().collect::<Vec<_>>())
}

impl Encoder<'_> {
    fn answer<'a>(&'a self, result: &'a ToolResult) -> Answer<'a> {
        let mut answer = self.printer.answer(result);
        answer.name = self.names.wire(&result.name);
        answer
    }

    /// Prints what answers one call, on a line.
    pub(super) fn line(&self, result: &ToolResult) -> io::Result<()> {
        let answer = self.format.wire().answer(&self.answer(result));
        Out::stdout().json(answer.get())
    }

    /// Prints what answers one call, indented.
    pub(super) fn pretty(&self, result: &ToolResult) -> io::Result<()> {
        print_document(&self.format.wire().answer(&self.answer(result)))
    }

    /// Prints the messages that answer all calls, after those that are `ahead` of them.
    pub(super) fn all(&self, ahead: &[Box<RawValue>], results: &[ToolResult]) -> io::Result<()> {
        let answers: Vec<Answer> = results.iter().map(|result| self.answer(result)).collect();
        let mut messages = ahead.to_vec();
        messages.extend(self.format.answers(&answers));
        if self.format.is_lines() {
            let mut out = Out::stdout();
            return messages.iter().try_for_each(|line| out.json(line.get()));
        }
        print_raw(&messages)
    }
}

/// Prints JSON documents as one array, indented, every token as it is.
fn print_raw(documents: &[Box<RawValue>]) -> io::Result<()> {
    let text = serde_json::to_string(documents)?;
    let text = indent(&text).unwrap_or(text);
    Out::stdout().json(&text)
}

/// Prints a JSON document, indented, every token as it is.
pub(super) fn print_document(document: &RawValue) -> io::Result<()> {
    let text = indent(document.get());
    Out::stdout().json(text.as_deref().unwrap_or(document.get()))
}
