//! `toolhost generate`: shell completions and man pages, generated from the options, and the schema of a protocol.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::out::Out;
use super::{ANSWERED, Options, Status};

#[derive(Subcommand)]
pub(super) enum GenerateCommand {
    /// Print the man page
    Man(ManOptions),
    /// Print completions for Bash
    CompleteBash,
    /// Print completions for Zsh
    CompleteZsh,
    /// Print completions for fish
    CompleteFish,
    /// Print completions for PowerShell
    CompletePowershell,
    /// Print the JSON Schema of the frames of `toolhost pipe`
    PipeSchema,
}

#[derive(Args)]
pub(super) struct ManOptions {
    /// Write this page and one per command to a folder instead
    #[arg(long, value_name = "FOLDER")]
    out_dir: Option<PathBuf>,
}

pub(super) fn run(command: &GenerateCommand) -> anyhow::Result<Status> {
    let text = match command {
        GenerateCommand::Man(ManOptions { out_dir: None }) => man_page()?,
        GenerateCommand::Man(ManOptions {
            out_dir: Some(folder),
        }) => {
            fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Options::command(), folder))
                .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
            return Ok(ANSWERED);
        }
        GenerateCommand::CompleteBash => completions(Shell::Bash)?,
        GenerateCommand::CompleteZsh => completions(Shell::Zsh)?,
        GenerateCommand::CompleteFish => completions(Shell::Fish)?,
        GenerateCommand::CompletePowershell => completions(Shell::PowerShell)?,
        GenerateCommand::PipeSchema => {
            let schema = serde_json::to_string_pretty(&toolhost_pipe::protocol::schema())?;
            format!("{schema}\n")
        }
    };
    Out::stdout().text(&text)?;
    Ok(ANSWERED)
}

fn man_page() -> anyhow::Result<String> {
    let mut page = Vec::new();
    Man::new(Options::command()).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

fn completions(shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    let mut command = Options::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(String::from_utf8(script)?)
}
