//! `toolhost call`: one call by hand.

use std::io::{Read, Write};

use anyhow::Context;
use toolhost::ToolCall;

use super::result::ResultOptions;
use super::run::run_batch;
use super::{HostOptions, Session, Status};
use toolhost::wire::Format;

#[derive(clap::Args)]
pub(super) struct CallOptions {
    /// The tool's name
    tool: String,

    /// Its arguments, a JSON object; `-` reads them from stdin
    #[arg(default_value = "{}")]
    arguments: String,

    #[command(flatten)]
    result: ResultOptions,

    #[command(flatten)]
    host: HostOptions,
}

pub(super) async fn run(options: CallOptions, session: Session) -> anyhow::Result<Status> {
    let mut arguments = options.arguments;
    if arguments == "-" {
        arguments.clear();
        std::io::stdin()
            .read_to_string(&mut arguments)
            .context("cannot read stdin")?;
    }
    let interrupts = session.interrupts.clone();
    let (host, manifest) = session.load(&options.host).await?;
    let call = ToolCall {
        id: None,
        name: options.tool,
        arguments,
        resumed: None,
    };
    let printer = options.result.printer(&manifest);
    let done = run_batch(&host, vec![call], &interrupts, |_| Ok(())).await?;
    for result in &done.results {
        if printer.full {
            printer.encoder(Format::Json, &host).pretty(result)?;
        } else {
            writeln!(std::io::stdout(), "{}", printer.text(result))?;
        }
    }
    Ok(done.status(options.result.fail_on_error))
}
