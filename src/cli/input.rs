//! What users and other programs hand to a command: files, pipes and stdin, up to a bound, as some
//! have no end.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use toolhost::bounded_read;

/// As much as `agent` takes of a model's response.
const MAX_INPUT: u64 = 64 << 20;

pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    bounded_read::to_end(File::open(path)?, MAX_INPUT)
}

pub(super) fn read_stdin() -> anyhow::Result<Vec<u8>> {
    bounded_read::to_end(io::stdin(), MAX_INPUT).context("cannot read stdin")
}

/// Stdin, which must be UTF-8: `what` names it in an error.
pub(super) fn read_text(what: &str) -> anyhow::Result<String> {
    String::from_utf8(read_stdin()?).with_context(|| format!("{what} is not UTF-8"))
}
