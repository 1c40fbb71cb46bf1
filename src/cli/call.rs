//! `toolhost call`: one call by hand.

use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use toolhost::wire::Format;
use toolhost::{
    CallError, CallOptions as Options, CancellationToken, Progress, ToolCall, ToolHost, ToolResult,
    Watcher,
};

use super::ask::Asker;
use super::input::read_text;
use super::interrupt::Interrupts;
use super::out::Out;
use super::result::ResultOptions;
use super::terminal::Terminal;
use super::{ANSWERED, CALL_FAILED, CommandContext, HostOptions, INTERRUPTED, Status, progress};

#[derive(clap::Args)]
pub(super) struct CallCommand {
    /// Name of the tool
    tool: String,

    /// Arguments as a JSON object; `-` reads them from stdin
    #[arg(default_value = "{}")]
    arguments: String,

    #[command(flatten)]
    result: ResultOptions,

    #[command(flatten)]
    host: HostOptions,
}

pub(super) async fn run(options: CallCommand, session: CommandContext) -> anyhow::Result<Status> {
    let arguments = match &*options.arguments {
        "-" => read_text("stdin")?,
        _ => options.arguments,
    };
    let interrupts = session.interrupts.clone();
    let (host, manifest) = session.load_lazily(&options.host).await?;
    let mut call = ToolCall::default();
    call.name = options.tool;
    call.arguments = arguments;
    let host = host.ready_for(std::slice::from_ref(&call)).await?;
    let printer = options.result.printer(&manifest);
    let ended = run_one(&host, call, options.host.call_options(), &interrupts).await;
    if matches!(ended.outcome, Err(CallError::Cancelled)) {
        return Ok(INTERRUPTED);
    }
    if printer.full {
        printer.encoder(Format::Json, &host).pretty(&ended)?;
    } else {
        Out::stdout().text(&format!("{}\n", printer.text(&ended)))?;
    }
    Ok(match &ended.outcome {
        Ok(_) => ANSWERED,
        Err(_) => CALL_FAILED,
    })
}

/// Runs a call until it has its result or the user interrupts.
async fn run_one(
    host: &ToolHost,
    call: ToolCall,
    options: Options,
    interrupts: &Interrupts,
) -> ToolResult {
    let stop = CancellationToken::new();
    interrupts.batch_begins();
    let mut run = std::pin::pin!(run_shown(host, call, options, &stop));
    let result = tokio::select! {
        result = &mut run => result,
        () = interrupts.asked() => {
            stop.cancel();
            run.await
        }
    };
    interrupts.batch_ends();
    result
}

/// Runs a call until it has its result, or is stopped; its questions are asked on the terminal.
pub(super) async fn run_shown(
    host: &ToolHost,
    call: ToolCall,
    options: Options,
    stop: &CancellationToken,
) -> ToolResult {
    let drawn = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let bar = Arc::new(CallBar(drawn.add(progress::calls(1))));
    let mut options = options.watcher(bar.clone()).cancellation(stop.clone());
    if let Some(terminal) = Terminal::open(drawn) {
        options = options.responder(Arc::new(Asker(terminal)));
    }
    let result = host.call_with(call, &options).await;
    bar.0.finish_and_clear();
    result
}

/// Shows the progress of a call.
struct CallBar(ProgressBar);

impl Watcher for CallBar {
    fn progressed(&self, progress: &Progress) {
        // A bar counts in whole numbers, and most tools in small ones.
        const PARTS: f64 = 1000.0;
        if let Some(total) = progress.total
            && total > 0.0
        {
            self.0.set_style(progress::share());
            self.0.set_length(PARTS as u64);
            let done = (progress.done / total).clamp(0.0, 1.0);
            self.0.set_position((done * PARTS) as u64);
        }
        if let Some(message) = &progress.message {
            progress::show_message(&self.0, message);
        }
    }
}
