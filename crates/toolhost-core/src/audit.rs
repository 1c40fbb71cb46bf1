//! The audit log: one JSON line for every call and every denial.
//!
//! A line is written, in a single write, before its call's result is returned: a crash of this
//! process loses none, a crash of the machine what the file system had not written yet. A log that
//! was removed is reopened before the next line. After a rename, as by log rotation, lines go to the
//! renamed file for up to [`FOLLOW_EVERY`]: looking up the path costs a tenth of a short call.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::digest::sha256;
use crate::error::CallError;
use crate::locks;
use crate::manifest::{AuditConfig, OnAuditError};
use crate::mask::Mask;
use crate::paths::{HostFile, Paths, Purpose};
use crate::printable;
use crate::tool::{Repair, ToolCall, Usage};

pub(crate) struct AuditLog {
    config: AuditConfig,
    /// Absolute, as the working folder may change.
    path: PathBuf,
    paths: Arc<Paths>,
    lines: Mutex<AuditWriter<LogFile>>,
}

/// The most bytes of lines buffered until they can be written.
const MAX_UNWRITTEN: usize = 1 << 20;

/// How often the path of the log is looked up, to see whether it is another file by now.
const FOLLOW_EVERY: Duration = Duration::from_millis(10);

/// The open file, and which one it is.
struct LogFile {
    file: File,
    #[cfg(unix)]
    id: (u64, u64),
    /// When it was last seen at its path.
    seen: Instant,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct AuditWriter<W> {
    out: W,
    /// Lines still to be written, if they are not dropped.
    unwritten: Vec<u8>,
    /// Lines dropped since the log last reported that.
    dropped: u64,
}

/// What the lines of one call have in common, and the log.
pub(crate) struct CallAudit {
    log: Arc<AuditLog>,
    subject: Subject,
}

#[derive(Serialize)]
struct Subject {
    id: Option<String>,
    /// The id of the call that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
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
    /// Keyed by guest path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    folders: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct AuditLine<'a, T> {
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
struct EndedLine {
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
    /// Opens the log for appending.
    pub(crate) fn open(config: &AuditConfig, paths: &Arc<Paths>) -> io::Result<AuditLog> {
        let path = std::path::absolute(&config.path)?;
        let (out, unwritten) = open(&path, paths)?;
        paths.accept(&path);
        Ok(AuditLog {
            config: config.clone(),
            path,
            paths: paths.clone(),
            lines: Mutex::new(AuditWriter {
                out,
                unwritten,
                dropped: 0,
            }),
        })
    }

    /// Checks that it could be opened, without creating it.
    ///
    /// # Errors
    ///
    /// It is not a file, not writable, or its folder does not exist.
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

    /// Checks that a call may run.
    ///
    /// # Errors
    ///
    /// An earlier line is still unwritten, and must not be dropped.
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
                let mut lines = locks::lock(&self.lines);
                match self.follow(&mut lines) {
                    Ok(()) => lines.offer(&line),
                    Err(_) => lines.dropped += 1,
                }
                Ok(())
            }
        }
    }

    /// Reopens the log if it was moved or removed.
    fn follow(&self, lines: &mut AuditWriter<LogFile>) -> io::Result<()> {
        let now = Instant::now();
        let is_removed = is_removed(&lines.out.file)?;
        if !is_removed && now.duration_since(lines.out.seen) < FOLLOW_EVERY {
            return Ok(());
        }
        if !is_removed && !is_elsewhere(&lines.out, &self.path) {
            lines.out.seen = now;
            return Ok(());
        }
        self.paths.expect_accepted(&self.path)?;
        let (out, mut unwritten) = open(&self.path, &self.paths)?;
        // A line begun in the old file is finished there, unless it has been removed.
        if !is_removed {
            lines.flush()?;
        }
        unwritten.append(&mut lines.unwritten);
        lines.unwritten = unwritten;
        lines.out = out;
        Ok(())
    }

    fn with_lines(
        &self,
        run: impl FnOnce(&mut AuditWriter<LogFile>) -> io::Result<()>,
    ) -> Result<(), String> {
        let mut lines = locks::lock(&self.lines);
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

impl<W: Write> AuditWriter<W> {
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

    /// Buffers a line.
    fn put_off(&mut self, line: &[u8]) {
        // Bounded: calls that are refused because of this log are logged only as far as there is
        // room.
        match self.unwritten.len() + line.len() > MAX_UNWRITTEN {
            true => self.dropped += 1,
            false => self.unwritten.extend_from_slice(line),
        }
    }

    /// Writes a line or drops it.
    fn offer(&mut self, line: &[u8]) {
        // The rest of a line that was begun is never dropped.
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
    /// For a call of a tool and its plugin, by name and digest. An MCP server has no digest.
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
                parent: None,
                client: None,
                folders: BTreeMap::new(),
            },
        }
    }

    /// Adds the client of the call and its own folders.
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

    /// Adds the id of the call that made it.
    pub(crate) fn made_by(mut self, parent: Option<&str>, mask: &Mask) -> CallAudit {
        self.subject.parent = parent.map(|parent| {
            let mut parent = parent.to_owned();
            mask.text(&mut parent);
            parent
        });
        self
    }

    /// Adds the repairs of its arguments.
    pub(crate) fn repaired(mut self, repairs: &[Repair]) -> CallAudit {
        self.subject.repairs = repairs.to_vec();
        self
    }

    pub(crate) fn denial(&self, denied: &str) {
        // If it cannot be written now, the call fails at its end.
        let _ = self
            .log
            .write("denial", Some(&self.subject), Denial { denied });
    }

    /// For a call that was dropped.
    pub(crate) fn abandoned(&self, after: std::time::Duration) {
        let detail = EndedLine {
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
    /// The line could not be written, and must not be dropped.
    pub(crate) fn ended(
        &self,
        error: Option<&CallError>,
        usage: &Usage,
        denials: u64,
    ) -> Result<(), String> {
        let ms = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
        let detail = EndedLine {
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

/// Opens a log for appending. Returns what has to be written first: a newline after a line that a
/// crash cut off.
fn open(path: &Path, paths: &Paths) -> io::Result<(LogFile, Vec<u8>)> {
    let mut file = paths.open_to_append(path)?;
    let mut unwritten = Vec::new();
    // Writing to a pipe would block every call on its reader.
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&file.metadata()?.file_type()) {
        return Err(io::Error::other("it is a pipe"));
    }
    if let Err(why) = crate::private_files::check_file(&file, path) {
        tracing::warn!("the audit log could have been tampered with: {why}");
    }
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(-1)).is_ok() {
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            unwritten.push(b'\n');
        }
    }
    #[cfg(unix)]
    let id = id_of(&file.metadata()?);
    let log = LogFile {
        file,
        #[cfg(unix)]
        id,
        seen: Instant::now(),
    };
    Ok((log, unwritten))
}

/// Device and inode.
#[cfg(unix)]
fn id_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Whether an open file is no longer what its path leads to.
#[cfg(unix)]
fn is_elsewhere(log: &LogFile, path: &Path) -> bool {
    path.metadata()
        .map_or(true, |there| id_of(&there) != log.id)
}

/// Without file identity this cannot be told.
#[cfg(not(unix))]
fn is_elsewhere(_: &LogFile, path: &Path) -> bool {
    path.metadata().is_err()
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
    let line = AuditLine {
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

    /// A disk with limited room.
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

    fn lines(room: usize) -> AuditWriter<Disk> {
        AuditWriter {
            out: Disk {
                written: Vec::new(),
                room,
            },
            unwritten: Vec::new(),
            dropped: 0,
        }
    }

    fn text(lines: &AuditWriter<Disk>) -> &str {
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
