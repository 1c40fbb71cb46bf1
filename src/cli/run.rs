//! `toolhost run`: a model's response in, one result per call out.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use toolhost::wire::{self, Format};
use toolhost::{CallError, ToolCall, ToolHost, ToolResult};

use super::interrupt::Interrupts;
use super::result::{Printer, ResultOptions};
use super::{ANSWERED, ERROR_RESULT, HostOptions, INTERRUPTED, Session, Status, USAGE};
use super::{dry_run, print_json, progress, timeline};

#[derive(clap::Args)]
pub(super) struct RunOptions {
    /// The response: an OpenAI chat completion, its message alone, its `tool_calls` array, or JSON
    /// Lines of {"id", "name", "arguments"} [default: stdin]
    file: Option<PathBuf>,

    /// The response's format, instead of what its shape says: openai-chat or json
    #[arg(long)]
    format: Option<Format>,

    /// Print one JSON line per result as it completes, instead of one array in the calls' order
    #[arg(long)]
    stream: bool,

    /// Show on stderr when each call ran
    #[arg(long)]
    timeline: bool,

    /// Run nothing: print for each call the plugin that would serve it and what that is granted, or
    /// why it would fail
    #[arg(long, conflicts_with_all = ["stream", "timeline"])]
    dry_run: bool,

    #[command(flatten)]
    result: ResultOptions,

    #[command(flatten)]
    host: HostOptions,
}

pub(super) async fn run(options: RunOptions, session: Session) -> anyhow::Result<Status> {
    let response = match &options.file {
        Some(file) if file.as_os_str() != "-" => {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        _ if options.file.is_none() && std::io::stdin().is_terminal() => {
            eprintln!("error: no FILE, and stdin is a terminal; see toolhost run --help");
            return Ok(USAGE);
        }
        _ => read_stdin()?,
    };
    let (_, calls) = wire::decode(&response, options.format)?;
    drop(response);
    let interrupts = session.interrupts.clone();
    let (host, manifest) = session.load(&options.host).await?;
    if options.dry_run {
        return dry_run::run(&host, &calls, options.result.fail_on_error);
    }
    let printer = options.result.printer(&manifest);
    let done = run_batch(&host, calls, &interrupts, |result| {
        if options.stream {
            print_line(&printer, result)
        } else {
            Ok(())
        }
    })
    .await?;
    if !options.stream {
        let messages: Vec<_> = done
            .results
            .iter()
            .map(|result| printer.message(result))
            .collect();
        print_json(&messages)?;
    }
    if options.timeline {
        eprint!("{}", timeline::draw(&done.results));
    }
    Ok(done.status(options.result.fail_on_error))
}

/// The results of a batch, in the order of the calls; without those that an interrupt cut off.
pub(super) struct Done {
    pub(super) results: Vec<ToolResult>,
    interrupted: bool,
}

impl Done {
    pub(super) fn status(&self, fail_on_error: bool) -> Status {
        if self.interrupted {
            INTERRUPTED
        } else if fail_on_error && self.results.iter().any(|result| result.outcome.is_err()) {
            ERROR_RESULT
        } else {
            ANSWERED
        }
    }
}

/// Runs calls until all are answered or the user interrupts, telling of each result as it comes.
pub(super) async fn run_batch(
    host: &ToolHost,
    calls: Vec<ToolCall>,
    interrupts: &Interrupts,
    mut on_result: impl FnMut(&ToolResult) -> anyhow::Result<()>,
) -> anyhow::Result<Done> {
    let bar = progress::calls(calls.len());
    let mut results: Vec<Option<ToolResult>> = Vec::new();
    results.resize_with(calls.len(), || None);
    interrupts.batch_begins();
    let mut batch = host.run(calls);
    let mut interrupted = false;
    loop {
        let next = tokio::select! {
            biased;
            () = interrupts.asked(), if !interrupted => {
                interrupted = true;
                batch.cancel();
                continue;
            }
            next = batch.next() => next,
        };
        let Some((index, result)) = next else {
            break;
        };
        if interrupted && matches!(result.outcome, Err(CallError::Cancelled)) {
            continue;
        }
        told(&bar, || on_result(&result))?;
        results[index] = Some(result);
    }
    bar.finish_and_clear();
    Ok(Done {
        results: results.into_iter().flatten().collect(),
        interrupted,
    })
}

/// Counts a result, and keeps the bar off the lines that are printed meanwhile.
fn told<T>(bar: &ProgressBar, print: impl FnOnce() -> T) -> T {
    bar.inc(1);
    bar.suspend(print)
}

fn print_line(printer: &Printer, result: &ToolResult) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &printer.message(result)).map_err(std::io::Error::from)?;
    writeln!(out)?;
    // Whoever reads along must see it now.
    out.flush()?;
    Ok(())
}

pub(super) fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read stdin")?;
    Ok(bytes)
}
