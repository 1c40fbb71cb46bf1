//! Operations on files, as a test wants them.

use super::{FOLLOW, NOFOLLOW, open, preopen};
use crate::{Answer, Behaviour, Error, Given, missing, text, write_all};
use serde_json::Value;
use std::collections::BTreeMap;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, filesystem_error_code,
};
use wasip2::io::streams::StreamError;

pub const TOOLS: &[Behaviour] = &[Behaviour {
    name: "script",
    description: "Does one operation on files after the other, each an array of its name and what it takes, and answers with a line for each: done, or why not.",
    takes: &[("steps", "array")],
    run: script,
}];

fn script(given: &Given) -> Answer {
    let steps = given.arguments["steps"].as_array();
    let steps = steps.ok_or_else(|| missing("steps"))?;
    let mut open = Open::default();
    let mut lines = Vec::new();
    for step in steps {
        lines.push(run(step, &mut open)?);
    }
    text(lines.join("\n"))
}

/// What is open, by the names that the script gives it.
type Open = BTreeMap<String, Descriptor>;

fn run(step: &Value, open: &mut Open) -> Result<String, Error> {
    let step = Step(step);
    if step.text(0)? == "each" {
        for number in 0..step.number(1)? {
            let each = filled(&step.0[2], number);
            let line = run(&each, open)?;
            if line != "done" {
                return Ok(format!("{number} times, then {line}"));
            }
        }
        return Ok("done".into());
    }
    Ok(match perform(&step, open)? {
        Ok(()) => "done".into(),
        Err(error) => error.name().into(),
    })
}

/// With the number in the place of `{}`.
fn filled(step: &Value, number: u64) -> Value {
    match step {
        Value::String(text) => text.replace("{}", &number.to_string()).into(),
        Value::Array(parts) => parts.iter().map(|part| filled(part, number)).collect(),
        other => other.clone(),
    }
}

struct Step<'s>(&'s Value);

impl Step<'_> {
    fn text(&self, at: usize) -> Result<&str, Error> {
        self.0[at].as_str().ok_or_else(|| missing("a text"))
    }

    fn number(&self, at: usize) -> Result<u64, Error> {
        self.0[at].as_u64().ok_or_else(|| missing("a number"))
    }

    fn folder(&self, at: usize) -> Result<Descriptor, Error> {
        preopen(self.text(at)?)
    }

    /// Of those that operate on what is open.
    fn file<'o>(&self, at: usize, open: &'o Open) -> Result<&'o Descriptor, ErrorCode> {
        let name = self.0[at].as_str().unwrap_or_default();
        open.get(name).ok_or(ErrorCode::BadDescriptor)
    }
}

fn perform(step: &Step, open: &mut Open) -> Result<Result<(), ErrorCode>, Error> {
    Ok(match step.text(0)? {
        "open" => {
            let (folder, path) = (step.folder(2)?, step.text(3)?);
            let opened = open_as(&folder, path, step.text(4)?);
            let name = step.text(1)?.to_owned();
            opened.map(|opened| drop(open.insert(name, opened)))
        }
        "close" => {
            open.remove(step.text(1)?);
            Ok(())
        }
        "write" | "stream" | "append" | "zeroes" | "begin" | "splice" | "set-size" => {
            grow(step, open)
        }
        "times" => {
            let (folder, path) = (step.folder(1)?, step.text(2)?);
            folder.set_times_at(NOFOLLOW, path, NewTimestamp::Now, NewTimestamp::Now)
        }
        "mkdir" => step.folder(1)?.create_directory_at(step.text(2)?),
        "rmdir" => step.folder(1)?.remove_directory_at(step.text(2)?),
        "unlink" => step.folder(1)?.unlink_file_at(step.text(2)?),
        "symlink" => step.folder(1)?.symlink_at(step.text(2)?, step.text(3)?),
        "link" => {
            let (from, to) = (step.folder(1)?, step.folder(3)?);
            from.link_at(NOFOLLOW, step.text(2)?, &to, step.text(4)?)
        }
        "rename" => {
            let (from, to) = (step.folder(1)?, step.folder(3)?);
            from.rename_at(step.text(2)?, &to, step.text(4)?)
        }
        other => return Err(missing(other)),
    })
}

/// Has an open file grow, or be cut off. Numbers that are missing are 0.
fn grow(step: &Step, open: &Open) -> Result<(), ErrorCode> {
    let file = step.file(1, open)?;
    let number = |at: usize| step.0[at].as_u64().unwrap_or_default();
    let text = |length: u64| vec![b'x'; length as usize];
    match step.0[0].as_str().unwrap_or_default() {
        "write" => file.write(&text(number(3)), number(2)).map(drop),
        "stream" => {
            let stream = file.write_via_stream(number(2))?;
            write_all(&stream, &text(number(3))).map_err(code)
        }
        "append" => {
            let stream = file.append_via_stream()?;
            write_all(&stream, &text(number(2))).map_err(code)
        }
        "zeroes" => {
            let stream = file.write_via_stream(number(2))?;
            let mut left = number(3);
            while left > 0 {
                let now = left.min(4096);
                let written = stream.blocking_write_zeroes_and_flush(now);
                written.map_err(code)?;
                left -= now;
            }
            Ok(())
        }
        // Nobody waits for it to be done.
        "begin" => {
            let stream = file.write_via_stream(number(2))?;
            let room = stream.check_write().map_err(code)?;
            stream.write(&text(number(3).min(room))).map_err(code)
        }
        "splice" => {
            let from = file.read_via_stream(0)?;
            let to = step.file(2, open)?.append_via_stream()?;
            loop {
                match to.blocking_splice(&from, 64 << 10) {
                    Ok(_) => to.blocking_flush().map_err(code)?,
                    Err(StreamError::Closed) => return Ok(()),
                    Err(error) => return Err(code(error)),
                }
            }
        }
        _ => file.set_size(number(2)),
    }
}

fn open_as(folder: &Descriptor, path: &str, how: &str) -> Result<Descriptor, ErrorCode> {
    let both = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let (how, flags) = match how {
        "create" => (OpenFlags::CREATE, both),
        "new" => (OpenFlags::CREATE | OpenFlags::EXCLUSIVE, both),
        "truncate" => (OpenFlags::TRUNCATE, both),
        "write" => (OpenFlags::empty(), both),
        _ => (OpenFlags::empty(), DescriptorFlags::READ),
    };
    open(folder, FOLLOW, path, how, flags)
}

/// What a write failed with.
fn code(error: StreamError) -> ErrorCode {
    match error {
        StreamError::LastOperationFailed(error) => {
            filesystem_error_code(&error).unwrap_or(ErrorCode::Io)
        }
        StreamError::Closed => ErrorCode::Pipe,
    }
}
