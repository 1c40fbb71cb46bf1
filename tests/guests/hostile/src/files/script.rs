//! Operations on files, as a test wants them.

use super::{FOLLOW, NOFOLLOW, open, preopen};
use crate::{Answer, Behaviour, Error, Given, missing, text, write_all};
use serde_json::Value;
use std::collections::BTreeMap;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, filesystem_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

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

    fn file<'o>(&self, at: usize, open: &'o Open) -> Result<&'o Descriptor, Error> {
        open.get(self.text(at)?).ok_or_else(|| missing("an open file"))
    }
}

fn perform(step: &Step, open: &mut Open) -> Result<Result<(), ErrorCode>, Error> {
    Ok(match step.text(0)? {
        "open" => {
            let (folder, path) = (step.folder(2)?, step.text(3)?);
            open_as(&folder, path, step.text(4)?).map(|opened| {
                let name = step.text(1).unwrap_or_default().to_owned();
                open.insert(name, opened);
            })
        }
        "open-in" => {
            let folder = step.file(2, open)?;
            let opened = open_as(folder, step.text(3)?, step.text(4)?);
            opened.map(|opened| {
                let name = step.text(1).unwrap_or_default().to_owned();
                open.insert(name, opened);
            })
        }
        "close" => {
            open.remove(step.text(1)?);
            Ok(())
        }
        "write" => {
            let bytes = vec![b'x'; step.number(3)? as usize];
            let file = step.file(1, open)?;
            file.write(&bytes, step.number(2)?).map(drop)
        }
        "stream" => {
            let stream = step.file(1, open)?.write_via_stream(step.number(2)?);
            let bytes = vec![b'x'; step.number(3)? as usize];
            stream.and_then(|stream| write_all(&stream, &bytes).map_err(code))
        }
        "append" => {
            let stream = step.file(1, open)?.append_via_stream();
            let bytes = vec![b'x'; step.number(2)? as usize];
            stream.and_then(|stream| write_all(&stream, &bytes).map_err(code))
        }
        "zeroes" => {
            let stream = step.file(1, open)?.write_via_stream(step.number(2)?);
            let length = step.number(3)?;
            stream.and_then(|stream| zeroes(&stream, length).map_err(code))
        }
        "splice" => {
            let from = step.file(1, open)?.read_via_stream(0);
            let to = step.file(2, open)?.append_via_stream();
            from.and_then(|from| {
                let to = to?;
                loop {
                    match to.blocking_splice(&from, 64 << 10) {
                        Ok(_) => {}
                        Err(StreamError::Closed) => return Ok(()),
                        Err(error) => return Err(code(error)),
                    }
                    let written = to.blocking_flush();
                    written.map_err(code)?;
                }
            })
        }
        // It is begun, and nobody waits for it.
        "begin" => {
            let stream = step.file(1, open)?.write_via_stream(step.number(2)?);
            let bytes = vec![b'x'; step.number(3)? as usize];
            stream.and_then(|stream| {
                let room = stream.check_write().map_err(code)?;
                let bytes = &bytes[..bytes.len().min(room as usize)];
                stream.write(bytes).map_err(code)
            })
        }
        "set-size" => step.file(1, open)?.set_size(step.number(2)?),
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
        other => return Err(missing(&format!("what is called {other}"))),
    })
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

fn zeroes(stream: &OutputStream, length: u64) -> Result<(), StreamError> {
    let mut left = length;
    while left > 0 {
        let now = left.min(4096);
        stream.blocking_write_zeroes_and_flush(now)?;
        left -= now;
    }
    Ok(())
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
