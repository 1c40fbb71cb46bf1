//! `cargo xtask wit`: the plugin interface as a document, from the comments in `wit/`.

use crate::{Usage, root, ui};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;

const HELP: &str = "\
Compare docs/wit.md with the interface in wit/.

Usage: cargo xtask wit [--update]

Options:
  --update  Rewrite docs/wit.md";

/// The version that is documented: the one that the SDKs implement.
const SOURCE: &str = "wit/0.1.0/plugin.wit";

const DOCUMENT: &str = "docs/wit.md";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let updates = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--update"] => true,
        ["--help" | "-h"] => {
            println!("{HELP}");
            return Ok(());
        }
        [other, ..] => return Err(Usage(format!("unknown argument `{other}`\n\n{HELP}")).into()),
    };
    let root = root()?;
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path));
        text.with_context(|| format!("cannot read {path}"))
    };
    let made = document(&read(SOURCE)?)?;
    match (read(DOCUMENT).ok() == Some(made.clone()), updates) {
        (true, _) => Ok(()),
        (false, true) => {
            fs::write(root.join(DOCUMENT), made)?;
            ui::say(format_args!("{DOCUMENT} is new"));
            Ok(())
        }
        (false, false) => {
            bail!("{DOCUMENT} is not what {SOURCE} says: run `cargo xtask wit --update`")
        }
    }
}

/// The document for a file that is formatted as ours are: four spaces for each level, a brace at the end of a line.
fn document(source: &str) -> Result<String> {
    let mut document = String::from("# The plugin interface\n");
    let mut comment = Vec::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(text) = doc(line) {
            comment.push(text);
        } else if let Some(package) = line.strip_prefix("package ") {
            let package = package.trim_end_matches(';');
            write!(
                document,
                "\n`{package}`, generated from [{SOURCE}](../{SOURCE}) by `cargo xtask wit --update`.\n"
            )?;
            prose(&mut document, &mut comment);
        } else if let Some(title) = line.strip_suffix(" {") {
            let (kind, name) = title.split_once(' ').context(title.to_owned())?;
            write!(document, "\n## {} `{name}`\n", capital(kind))?;
            prose(&mut document, &mut comment);
            let body = lines.by_ref().take_while(|line| *line != "}");
            items(&mut document, &body.collect::<Vec<_>>())?;
        } else if !line.is_empty() {
            bail!("{SOURCE}: unexpected: {line}");
        }
    }
    Ok(document)
}

/// The items of an interface or a world, each with its comment; those without one share a block.
fn items(document: &mut String, lines: &[&str]) -> Result<()> {
    let mut comment = Vec::new();
    let mut plain = String::new();
    let mut lines = lines
        .iter()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    while let Some(line) = lines.next() {
        if let Some(text) = doc(line) {
            comment.push(text);
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let mut item = format!("{line}\n");
        // A function may take several lines, and a type has a body.
        let mut last = line;
        while !last.ends_with(';') && last != "}" {
            last = lines
                .next()
                .with_context(|| format!("{SOURCE}: no end: {line}"))?;
            item += last;
            item.push('\n');
        }
        if comment.is_empty() {
            plain += &item;
            continue;
        }
        block(document, &mut plain)?;
        prose(document, &mut comment);
        block(document, &mut item)?;
    }
    block(document, &mut plain)
}

fn block(document: &mut String, code: &mut String) -> Result<()> {
    if !code.is_empty() {
        write!(document, "\n```wit\n{code}```\n")?;
        code.clear();
    }
    Ok(())
}

fn prose(document: &mut String, comment: &mut Vec<&str>) {
    if !comment.is_empty() {
        document.push('\n');
        for line in comment.drain(..) {
            document.push_str(line);
            document.push('\n');
        }
    }
}

fn doc(line: &str) -> Option<&str> {
    let text = line.strip_prefix("///")?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
