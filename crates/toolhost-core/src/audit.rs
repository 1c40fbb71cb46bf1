//! The audit log: one JSON line for every call and every denial.
//!
//! A line is on its way to the disk, in one write, before its call's result is seen: a crash of this
//! process loses none, one of the machine what its file system had not yet written. A log that was moved or
//! removed, as rotations do, is reopened before the next line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::digest::sha256;
use crate::error::CallError;
use crate::manifest::{AuditConfig, OnAuditError};
use crate::mask::Mask;
use crate::paths::{HostFile, Paths, Purpose};
use crate::printable;
use crate::tool::{Repair, ToolCall, Usage};

pub(crate) struct AuditLog {
    config: AuditConfig,
    /// Whatever the working folder becomes.
    path: PathBuf,
    paths: Arc<Paths>,
    lines: Mutex<Lines<File>>,
}

/// Bytes of lines that are kept until they can be written.
const MOST_UNWRITTEN: usize = 1 << 20;

struct Lines<W> {
    out: W,
    /// What is still to be written, of lines that are not dropped.
    unwritten: Vec<u8>,
    /// Lines dropped since the log last said so.
    dropped: u64,
}

/// What the lines of one call have in common, and where they go.
pub(crate) struct CallAudit {
    log: Arc<AuditLog>,
    subject: Subject,
}

#[derive(Serialize)]
struct Subject {
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    tool: String,
    plugin: Option<String>,
    plugin_sha256: Option<String>,
    arguments_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repairs: Vec<Repair>,
    /// By the paths that the guest has for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    folders: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    event: &'static str,
    time: String,
    #[serde(flatten)]
    subject: Option<&'a Subject>,
    #[serde(flatten)]
    detail: T,
}

#[derive(Serialize)]
struct Denial<'a> {
    denied: &'a str,
}

#[derive(Serialize)]
struct Ended {
    /// `ok` or the error's code.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    queue_ms: f64,
    run_ms: f64,
    cpu_ms: f64,
    peak_memory: u64,
    output_bytes: u64,
    denials: u64,
}

#[derive(Serialize)]
struct Dropped {
    lines: u64,
}

impl AuditLog {
    /// Opens the log to append to it.
    pub(crate) fn open(config: &AuditConfig, paths: &Arc<Paths>) -> io::Result<AuditLog> {
        let path = std::path::absolute(&config.path)?;
        let (out, unwritten) = open(&path, paths)?;
        Ok(AuditLog {
            config: config.clone(),
            path,
            paths: paths.clone(),
            lines: Mutex::new(Lines {
                out,
                unwritten,
                dropped: 0,
            }),
        })
    }

    /// Whether it could be opened, as far as that can be told without making it.
    ///
    /// # Errors
    ///
    /// It is something else, may not be written, or has no folder to be made in.
    pub(crate) fn check(config: &AuditConfig, paths: &Paths) -> io::Result<()> {
        let path = &config.path;
        paths.check_way(&HostFile::new(path, Purpose::AuditLog))?;
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if metadata.is_file() => {
                OpenOptions::new().append(true).open(path).map(drop)
            }
            #[cfg(unix)]
            Ok(it) if std::os::unix::fs::FileTypeExt::is_fifo(&it.file_type()) => {
                Err(io::Error::other("it is a pipe"))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => match path.parent() {
                Some(folder) if folder.as_os_str().is_empty() || folder.is_dir() => Ok(()),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Whether a call may run.
    ///
    /// # Errors
    ///
    /// An earlier line is still not written, and is not to be dropped.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match self.config.on_error {
            OnAuditError::Drop => Ok(()),
            OnAuditError::Fail => self.with_lines(|lines| {
                self.follow(lines)?;
                lines.flush()
            }),
        }
    }

    fn write(
        &self,
        event: &'static str,
        subject: Option<&Subject>,
        detail: impl Serialize,
    ) -> Result<(), String> {
        let line = line(event, subject, detail);
        match self.config.on_error {
            OnAuditError::Fail => self.with_lines(|lines| match self.follow(lines) {
                Ok(()) => lines.keep(&line),
                Err(error) => {
                    lines.put_off(&line);
                    Err(error)
                }
            }),
            OnAuditError::Drop => {
                let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                match self.follow(&mut lines) {
                    Ok(()) => lines.offer(&line),
                    Err(_) => lines.dropped += 1,
                }
                Ok(())
            }
        }
    }

    /// Reopens the log where it was moved or removed since.
    fn follow(&self, lines: &mut Lines<File>) -> io::Result<()> {
        if !is_elsewhere(&lines.out, &self.path)? {
            return Ok(());
        }
        let (out, mut unwritten) = open(&self.path, &self.paths)?;
        // What was begun there ends there, unless nobody could read it any more.
        if !is_removed(&lines.out)? {
            lines.flush()?;
        }
        unwritten.append(&mut lines.unwritten);
        lines.unwritten = unwritten;
        lines.out = out;
        Ok(())
    }

    fn with_lines(
        &self,
        run: impl FnOnce(&mut Lines<File>) -> io::Result<()>,
    ) -> Result<(), String> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut lines).map_err(|error| {
            let path = self.config.path.display();
            format!("cannot write the audit log {path}: {error}")
        })
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        if lines.dropped > 0 {
            let path = self.config.path.display();
            tracing::warn!("the audit log {path} is missing {} lines", lines.dropped);
        }
    }
}

impl<W: Write> Lines<W> {
    /// Writes a line, now or, after an error, before any other.
    fn keep(&mut self, line: &[u8]) -> io::Result<()> {
        if let Err(error) = self.flush() {
            self.put_off(line);
            return Err(error);
        }
        if self.dropped > 0 {
            let lines = std::mem::take(&mut self.dropped);
            let dropped = self::line("dropped", None, Dropped { lines });
            self.unwritten.extend(dropped);
        }
        self.unwritten.extend_from_slice(line);
        self.flush()
    }

    /// Keeps a line to be written later.
    fn put_off(&mut self, line: &[u8]) {
        // Of what is refused because of this log itself, no more than is room for.
        match self.unwritten.len() + line.len() > MOST_UNWRITTEN {
            true => self.dropped += 1,
            false => self.unwritten.extend_from_slice(line),
        }
    }

    /// Writes a line or drops it.
    fn offer(&mut self, line: &[u8]) {
        // Of a line that was begun the rest is never dropped.
        if self.flush().is_err() {
            self.dropped += 1;
            return;
        }
        let missed = self.dropped;
        if missed > 0 {
            let dropped = Dropped { lines: missed };
            self.unwritten.extend(self::line("dropped", None, dropped));
        }
        self.unwritten.extend_from_slice(line);
        let whole = self.unwritten.len();
        if self.flush().is_ok() {
            self.dropped -= missed;
        } else if self.unwritten.len() == whole {
            self.unwritten.clear();
            self.dropped += 1;
        } else {
            self.dropped -= missed;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.out.write(&self.unwritten) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl CallAudit {
    /// For a call of a tool and its plugin, by that's name and digest, or of none. An MCP server has no
    /// digest.
    pub(crate) fn new(
        log: &Arc<AuditLog>,
        call: &ToolCall,
        tool: &str,
        plugin: Option<(&str, Option<&str>)>,
        mask: &Mask,
    ) -> CallAudit {
        let masked = |text: &str| {
            let mut text = text.to_owned();
            mask.text(&mut text);
            text
        };
        let arguments = log.config.arguments.then(|| masked(&call.arguments));
        CallAudit {
            log: log.clone(),
            subject: Subject {
                id: call.id.as_deref().map(masked),
                tool: masked(tool),
                plugin: plugin.map(|(name, _)| name.to_owned()),
                plugin_sha256: plugin.and_then(|(_, digest)| digest).map(str::to_owned),
                arguments_sha256: sha256(&call.arguments),
                arguments,
                repairs: Vec::new(),
                client: None,
                folders: BTreeMap::new(),
            },
        }
    }

    /// Whose call it is, and the folders that it has for that.
    pub(crate) fn of(
        mut self,
        client: Option<&str>,
        folders: impl Iterator<Item = (String, PathBuf)>,
        mask: &Mask,
    ) -> CallAudit {
        let masked = |mut text: String| {
            mask.text(&mut text);
            text
        };
        self.subject.client = client.map(|client| masked(client.to_owned()));
        let folders = folders.map(|(guest, host)| (guest, masked(host.display().to_string())));
        self.subject.folders = folders.collect();
        self
    }

    /// Its arguments were repaired first.
    pub(crate) fn repaired(mut self, repairs: &[Repair]) -> CallAudit {
        self.subject.repairs = repairs.to_vec();
        self
    }

    pub(crate) fn denial(&self, denied: &str) {
        // What cannot be written now fails the call at its end.
        let _ = self
            .log
            .write("denial", Some(&self.subject), Denial { denied });
    }

    /// For a call that nobody waits for any more.
    pub(crate) fn abandoned(&self, after: std::time::Duration) {
        let detail = Ended {
            outcome: "cancelled",
            error: Some("dropped by the caller".to_owned()),
            queue_ms: 0.0,
            run_ms: after.as_micros() as f64 / 1000.0,
            cpu_ms: 0.0,
            peak_memory: 0,
            output_bytes: 0,
            denials: 0,
        };
        let _ = self.log.write("call", Some(&self.subject), detail);
    }

    /// # Errors
    ///
    /// The line could not be written, and is not to be dropped.
    pub(crate) fn ended(
        &self,
        error: Option<&CallError>,
        usage: &Usage,
        denials: u64,
    ) -> Result<(), String> {
        let ms = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
        let detail = Ended {
            outcome: error.map_or("ok", |error| error.code()),
            error: error.map(ToString::to_string),
            queue_ms: ms(usage.queue),
            run_ms: ms(usage.run),
            cpu_ms: ms(usage.cpu),
            peak_memory: usage.peak_memory,
            output_bytes: usage.output_bytes,
            denials,
        };
        self.log.write("call", Some(&self.subject), detail)
    }
}

/// Opens a log to append to it, and gives what is to be written first: a line that a crash cut off stays a line of
/// its own.
fn open(path: &Path, paths: &Paths) -> io::Result<(File, Vec<u8>)> {
    let mut file = paths.open_to_append(path)?;
    let mut unwritten = Vec::new();
    // Writing to a pipe waits for whoever reads it, and with it would every call.
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&file.metadata()?.file_type()) {
        return Err(io::Error::other("it is a pipe"));
    }
    if let Err(why) = crate::private::check_file(&file, path) {
        tracing::warn!("the audit log could have been tampered with: {why}");
    }
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(-1)).is_ok() {
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            unwritten.push(b'\n');
        }
    }
    Ok((file, unwritten))
}

/// Whether an open file is not what the path leads to.
#[cfg(unix)]
fn is_elsewhere(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let there = path.metadata().ok().map(id);
    Ok(there != Some(id(file.metadata()?)))
}

/// Files have no identity here that could be compared.
#[cfg(not(unix))]
fn is_elsewhere(_: &File, path: &Path) -> io::Result<bool> {
    Ok(path.metadata().is_err())
}

/// Whether an open file has no name any more.
#[cfg(unix)]
fn is_removed(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

#[cfg(not(unix))]
fn is_removed(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn line(event: &'static str, subject: Option<&Subject>, detail: impl Serialize) -> Vec<u8> {
    let line = Line {
        event,
        time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        subject,
        detail,
    };
    let line = serde_json::to_string(&line).expect("its keys are strings");
    // People read it on a terminal.
    let mut line = printable::json(&line).into_owned();
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let some = bytes.len().min(self.room);
            if some == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= some;
            self.written.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(room: usize) -> Lines<Disk> {
        Lines {
            out: Disk {
                written: Vec::new(),
                room,
            },
            unwritten: Vec::new(),
            dropped: 0,
        }
    }

    fn text(lines: &Lines<Disk>) -> &str {
        std::str::from_utf8(&lines.out.written).unwrap()
    }

    #[test]
    fn a_kept_line_is_written_once_there_is_room() {
        let mut lines = lines(5);
        lines.keep(b"one\n").unwrap();
        assert!(lines.keep(b"two\n").is_err());
        assert!(lines.flush().is_err());
        assert_eq!(text(&lines), "one\nt");
        lines.out.room = 100;
        lines.keep(b"three\n").unwrap();
        assert_eq!(text(&lines), "one\ntwo\nthree\n");
    }

    #[test]
    fn dropped_lines_are_counted_and_none_is_torn() {
        let mut lines = lines(4);
        lines.offer(b"one\n");
        lines.offer(b"two\n");
        lines.offer(b"three\n");
        assert_eq!(lines.dropped, 2);
        lines.out.room = 3;
        lines.offer(b"four\n");
        lines.offer(b"five\n");
        lines.out.room = 1000;
        lines.offer(b"six\n");
        let written = text(&lines).lines().collect::<Vec<_>>();
        let [one, dropped, four, more, six] = written[..] else {
            panic!("{written:?}");
        };
        assert_eq!((one, four, six), ("one", "four", "six"));
        assert!(dropped.contains(r#""event":"dropped""#) && dropped.contains(r#""lines":2"#));
        assert!(more.contains(r#""lines":1"#), "{more}");
        assert_eq!(lines.dropped, 0);
    }
}
