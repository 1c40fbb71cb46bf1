//! `toolhost run`: decodes a model's response, and runs its calls.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use futures_util::future::OptionFuture;
use futures_util::{Stream, StreamExt};
use indicatif::ProgressBar;
use toolhost::wire::{self, DecodeError, Delta, Events, Format, Names, Received, event_data};
use toolhost::{CallError, OpenBatch, ToolCall, ToolHost, ToolResult};

use super::input::{read_file, read_stdin};
use super::interrupt::Interrupts;
use super::out::{Out, say};
use super::result::{Printer, ResultOptions, names};
use super::{
    ANSWERED, CommandContext, ERROR_RESULT, HostOptions, INTERRUPTED, StartServers, Status, USAGE,
};
use super::{dry_run, format_parser, progress, timeline};

#[derive(clap::Args)]
pub(super) struct RunOptions {
    /// File with the model response: the API's whole response, only its message or calls, or a
    /// conversation that ends with it [default: stdin]
    file: Option<PathBuf>,

    /// Format of the response [default: detected]
    #[arg(long, value_parser = format_parser())]
    format: Option<Format>,

    /// Format of the results [default: the response's]
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    output_format: Option<Format>,

    /// Read an event stream (or Ollama's lines): start calls that change nothing as they arrive, all
    /// others once the response is complete
    #[arg(long)]
    sse: bool,

    /// Print the model's message before the results, as the next request needs both
    #[arg(long, conflicts_with_all = ["stream", "output_format"])]
    with_message: bool,

    /// Print each result as a line of JSON as soon as it completes, instead of messages in call order
    #[arg(long)]
    stream: bool,

    /// Draw a timeline of the calls on stderr
    #[arg(long)]
    timeline: bool,

    /// Run nothing: print which plugin would run each call and what it is granted, or why the call
    /// would fail
    #[arg(long, conflicts_with_all = ["stream", "timeline", "sse", "with_message"])]
    dry_run: bool,

    /// With --dry-run: start the MCP servers to list their tools, instead of using the last list
    #[arg(long, requires = "dry_run")]
    start_servers: bool,

    /// Exit with status 3 if any result is an error
    #[arg(long)]
    fail_on_error: bool,

    #[command(flatten)]
    result: ResultOptions,

    #[command(flatten)]
    host: HostOptions,
}

pub(super) async fn run(options: RunOptions, session: CommandContext) -> anyhow::Result<Status> {
    let file = options.file.as_deref();
    let file = file.filter(|file| file.as_os_str() != "-");
    if options.file.is_none() && io::stdin().is_terminal() {
        say!("error: missing FILE, and stdin is a terminal; see `toolhost run --help`");
        return Ok(USAGE);
    }
    if options.sse {
        let events = Events::new(options.format)?;
        return run_events(&options, file, events, session).await;
    }
    let response = match file {
        Some(file) => read_file(file).with_context(|| unreadable(file))?,
        None => read_stdin()?,
    };
    let decoded = wire::decode(&response, options.format);
    let (format, mut calls) = decoded.map_err(explained)?;
    // Not the reply of something else that the response contains.
    let reply = wire::reply(&response, format).ok();
    let reply = reply.filter(|reply| reply.calls == calls);
    drop(response);
    let ahead = match (options.with_message, &reply) {
        (false, _) => Vec::new(),
        (true, Some(reply)) => reply.messages.clone(),
        (true, None) => bail!("--with-message requires a complete, unmodified API response"),
    };
    let (cut, cut_error) = match &reply {
        Some(reply) => (reply.cut.clone(), reply.cut_error()),
        None => (Vec::new(), CallError::cut_off()),
    };
    if options.dry_run {
        let servers = StartServers {
            start_servers: options.start_servers,
        };
        let host = dry_run::load(&servers, &options.host, &session).await?;
        names(format, &host).restore(&mut calls);
        return dry_run::run(&host, &calls, options.fail_on_error);
    }
    let interrupts = session.interrupts.clone();
    let (host, manifest) = session.load_lazily(&options.host).await?;
    names(format, &host).restore(&mut calls);
    let host = host.ready_for(&calls).await?;
    let printer = options.result.printer(&manifest);
    let encoder = printer.encoder(options.output_format.unwrap_or(format), &host);
    let told = |result: &ToolResult| {
        if options.stream {
            encoder.line(result)?;
        }
        Ok(())
    };
    // From the last, so that the others keep their positions.
    let cut: Vec<_> = cut
        .into_iter()
        .rev()
        .map(|at| (at, calls.remove(at)))
        .collect();
    let mut done = run_batch(&host, calls, options.host.call_options(), &interrupts, told).await?;
    for (at, call) in cut.into_iter().rev() {
        let result = host.refuse_with(&call, cut_error.clone(), &options.host.call_options());
        told(&result)?;
        done.results.insert(at.min(done.results.len()), result);
    }
    if !options.stream {
        encoder.all(&ahead, &done.results)?;
    }
    if options.timeline {
        Out::stderr().text(&timeline::draw(&done.results))?;
    }
    Ok(done.status(options.fail_on_error))
}

fn unreadable(file: &Path) -> String {
    format!("cannot read {}", file.display())
}

/// What is wrong with a response, and which option may help.
fn explained(error: DecodeError) -> anyhow::Error {
    match &error {
        DecodeError::Ambiguous { .. } => anyhow!("{error} with --format"),
        _ => error.into(),
    }
}

/// The results of a batch, in the order of the calls; without those that an interrupt cut off.
pub(super) struct BatchResults {
    pub(super) results: Vec<ToolResult>,
    interrupted: bool,
}

impl BatchResults {
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

/// Runs calls until all have results or the user interrupts, reporting each result.
pub(super) async fn run_batch(
    host: &ToolHost,
    calls: Vec<ToolCall>,
    options: toolhost::CallOptions,
    interrupts: &Interrupts,
    mut on_result: impl FnMut(&ToolResult) -> anyhow::Result<()>,
) -> anyhow::Result<BatchResults> {
    let bar = progress::calls(calls.len());
    let mut results: Vec<Option<ToolResult>> = Vec::new();
    results.resize_with(calls.len(), || None);
    interrupts.batch_begins();
    let mut batch = host.run_with(calls, options);
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
        count_printed(&bar, || on_result(&result))?;
        results[index] = Some(result);
    }
    bar.finish_and_clear();
    Ok(BatchResults {
        results: results.into_iter().flatten().collect(),
        interrupted,
    })
}

/// Counts a result, and suspends the bar while something is printed.
fn count_printed<T>(bar: &ProgressBar, print: impl FnOnce() -> T) -> T {
    bar.inc(1);
    bar.suspend(print)
}

/// Runs the calls of an event stream as it arrives.
async fn run_events(
    options: &RunOptions,
    file: Option<&Path>,
    events: Events,
    session: CommandContext,
) -> anyhow::Result<Status> {
    let chunks = match file {
        Some(file) => {
            let file = std::fs::File::open(file).with_context(|| unreadable(file))?;
            chunks(Box::new(file))
        }
        None => chunks(Box::new(io::stdin())),
    };
    let interrupts = session.interrupts.clone();
    let (host, manifest) = session.load(&options.host).await?;
    let printer = options.result.printer(&manifest);
    let mut reading = Reading {
        options,
        printer: &printer,
        host: &host,
        events,
        names: None,
        batch: host.open_batch_with(options.host.call_options()),
        results: Vec::new(),
        start: Instant::now(),
        came: Vec::new(),
        bar: progress::calls(0),
    };
    let mut data = std::pin::pin!(event_data(chunks));
    let mut failure: Option<DecodeError> = None;
    let mut is_reading = true;
    let mut interrupted = false;
    interrupts.batch_begins();
    while is_reading {
        // Once the response has ended and some time has passed.
        let until = reading.events.until();
        let until = until.map(|until| tokio::time::sleep_until(until.into()));
        let until = OptionFuture::from(until);
        tokio::select! {
            biased;
            () = interrupts.asked() => {
                interrupted = true;
                is_reading = false;
                reading.batch.cancel();
            }
            event = data.next() => {
                let taken = match event {
                    Some(Ok(data)) => reading.event(&data),
                    Some(Err(error)) => {
                        is_reading = false;
                        reading.events.broke(error)
                    }
                    None => {
                        is_reading = false;
                        Ok(())
                    }
                };
                if let Err(error) = taken {
                    is_reading = false;
                    failure = Some(error);
                }
                is_reading &= !reading.events.is_over();
            }
            Some(()) = until => {
                is_reading = false;
                reading.events.fell_silent();
            }
            Some((position, result)) = reading.batch.next(), if reading.batch.running() > 0 => {
                reading.result(position, result)?;
            }
        }
    }
    let received = reading.finish(&mut failure, interrupted)?;
    while reading.batch.running() > 0 {
        tokio::select! {
            biased;
            () = interrupts.asked(), if !interrupted => {
                interrupted = true;
                reading.batch.cancel();
            }
            Some((position, result)) = reading.batch.next() => {
                let cancelled = matches!(result.outcome, Err(CallError::Cancelled));
                if !(interrupted && cancelled) {
                    reading.result(position, result)?;
                }
            }
        }
    }
    reading.end(received, failure, interrupted)
}

/// An event stream that is being read, and the calls that have started.
struct Reading<'r> {
    options: &'r RunOptions,
    printer: &'r Printer,
    host: &'r ToolHost,
    events: Events,
    /// Set once the format is known.
    names: Option<Names>,
    batch: OpenBatch,
    /// By the calls' positions.
    results: Vec<Option<ToolResult>>,
    start: Instant,
    /// When each call arrived, from the start.
    came: Vec<Duration>,
    bar: ProgressBar,
}

impl Reading<'_> {
    fn event(&mut self, data: &str) -> Result<(), DecodeError> {
        let deltas = self.events.event(data)?;
        self.begin(deltas);
        Ok(())
    }

    fn begin(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            if let Delta::Call { position, call } = delta {
                let call = self.restored(call);
                self.place(position);
                self.batch.add_early(position, call);
            }
        }
    }

    /// The call with its tool's own name.
    fn restored(&mut self, mut call: ToolCall) -> ToolCall {
        if let Some(format) = self.events.format() {
            let names = self.names.get_or_insert_with(|| names(format, self.host));
            names.restore(std::slice::from_mut(&mut call));
        }
        call
    }

    fn place(&mut self, position: usize) {
        self.bar.inc_length(1);
        if self.results.len() <= position {
            self.results.resize_with(position + 1, || None);
            self.came.resize(position + 1, Duration::ZERO);
        }
        self.came[position] = self.start.elapsed();
    }

    fn result(&mut self, position: usize, result: ToolResult) -> anyhow::Result<()> {
        if self.options.stream {
            let encoder = self.printer.encoder(self.output_format(), self.host);
            count_printed(&self.bar, || encoder.line(&result))?;
        }
        self.results[position] = Some(result);
        Ok(())
    }

    fn output_format(&self) -> Format {
        let format = self.options.output_format.or(self.events.format());
        format.unwrap_or(Format::Json)
    }

    /// The stream has ended: starts the deferred calls, or answers them if the response broke off.
    fn finish(
        &mut self,
        failure: &mut Option<DecodeError>,
        interrupted: bool,
    ) -> anyhow::Result<Option<Received>> {
        let (deltas, received) = match self.events.finish() {
            Ok(finished) => finished,
            Err(error) => {
                failure.get_or_insert(error);
                if !interrupted {
                    self.refuse_void()?;
                }
                return Ok(None);
            }
        };
        if interrupted {
            return Ok(Some(received));
        }
        self.begin(deltas);
        if received.is_complete {
            for position in &received.reply.cut {
                self.batch.forget(*position);
            }
            self.batch.complete();
        } else {
            self.refuse_void()?;
            failure.get_or_insert(DecodeError::Broken {
                why: "it ended before the response was complete".to_owned(),
            });
        }
        Ok(Some(received))
    }

    /// Prints the results so far, whatever has failed.
    fn end(
        mut self,
        received: Option<Received>,
        failure: Option<DecodeError>,
        interrupted: bool,
    ) -> anyhow::Result<Status> {
        let format = self.output_format();
        let mut ahead = Vec::new();
        if let Some(received) = received {
            if !interrupted {
                self.refuse_cut(&received)?;
            }
            if self.options.with_message {
                ahead = received.reply.messages;
            }
        }
        self.bar.finish_and_clear();
        if self.options.timeline {
            let came = self.came.iter().copied().zip(&self.results);
            let came: Vec<_> = came
                .filter_map(|(came, result)| Some((came, result.as_ref()?)))
                .collect();
            Out::stderr().text(&timeline::draw_from(&came))?;
        }
        let done = BatchResults {
            results: self.results.into_iter().flatten().collect(),
            interrupted,
        };
        let nothing = failure.is_some() && done.results.is_empty();
        if !self.options.stream && !nothing {
            let encoder = self.printer.encoder(format, self.host);
            encoder.all(&ahead, &done.results)?;
        }
        match failure {
            Some(error) if !interrupted => Err(error.into()),
            _ => Ok(done.status(self.options.fail_on_error)),
        }
    }

    /// A response that broke off is void: calls that may change something are answered without
    /// being run.
    fn refuse_void(&mut self) -> anyhow::Result<()> {
        for (position, call) in self.batch.abandon() {
            let message = "not run: the response broke off before it was complete".to_owned();
            let result = self.batch.refuse(&call, CallError::Failed { message });
            self.result(position, result)?;
        }
        Ok(())
    }

    /// Calls whose arguments were cut off are answered without being run.
    fn refuse_cut(&mut self, received: &Received) -> anyhow::Result<()> {
        for position in &received.reply.cut {
            // It may have started before the API called it malformed.
            if self.results.get(*position).is_some_and(Option::is_some) {
                continue;
            }
            let call = self.restored(received.reply.calls[*position].clone());
            let result = self.batch.refuse(&call, received.reply.cut_error());
            self.place(*position);
            self.result(*position, result)?;
        }
        Ok(())
    }
}

/// Reads input as it arrives.
fn chunks(mut input: Box<dyn Read + Send>) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
    // Reading blocks and cannot be cancelled, so it is not a task of the runtime, which would wait
    // for it.
    let failed = sender.clone();
    let reading = std::thread::Builder::new().spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                break;
            }
        }
    });
    if let Err(error) = reading {
        let _ = failed.try_send(Err(error));
    }
    drop(failed);
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}
