//! `toolhost token`: what clients show to the server, and what the manifest knows of it.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use toolhost::manifest::TokenDigest;

use super::out::Out;
use super::{ANSWERED, Status, is_in_name};

#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Print a new token to stdout, and its manifest entry to stderr
    New(NewOptions),
}

#[derive(clap::Args)]
pub(super) struct NewOptions {
    /// Name of the client that the token is for
    #[arg(long, default_value = "client", value_parser = parse_name)]
    name: String,
}

/// What every token begins with, so that people and scanners of leaked secrets know it for one.
const PREFIX: &str = "th_";

pub(super) fn run(command: &TokenCommand) -> anyhow::Result<Status> {
    let TokenCommand::New(options) = command;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system RNG failed")?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = TokenDigest::of(&token);
    let name = &options.name;
    Out::stderr().text(&format!(
        "The token on stdout will not be shown again. Add this to the \
         manifest:\n\n[serve.auth.tokens.{name}]\nsha256 = \"{digest}\"\n\n"
    ))?;
    Out::stdout().line(token)?;
    Ok(ANSWERED)
}

fn parse_name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(is_in_name) {
        true => Ok(text.to_owned()),
        false => Err("use A-Z, a-z, 0-9, `_` and `-`".to_owned()),
    }
}
