//! `fs_read`: a window of lines, in memory that grows with the window and not with the file.

use granted_files::{Roots, io_error, is_binary};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use toolhost_plugin::{Error, Output, arguments, tool};

const DEFAULT_LIMIT: usize = 1000;
/// A model reads no more at once with profit, and hosts bound what a call may answer.
const MAX_BYTES: usize = 200_000;
const MAX_IMAGE_BYTES: u64 = 700_000;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// Path of the file.
    path: String,
    /// First line to read, counted from 1. Default: 1.
    #[schemars(range(min = 1))]
    offset: Option<usize>,
    /// Maximum number of lines. Default: 1000.
    #[schemars(range(min = 1, max = 100000))]
    limit: Option<usize>,
}

/// Reads a text file, or the given lines of it, unchanged, and says what remains. Images (PNG, JPEG, GIF, WebP) are shown; other
/// binary files are refused.
#[tool(title = "Read a file", read_only, idempotent, closed_world)]
pub(crate) fn fs_read(args: ReadFile) -> Result<Output, Error> {
    let path = Roots::granted()?.resolve(&args.path)?;
    let read_error = |error| io_error("read", &path, &error);
    let mut file = File::open(&path).map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    if metadata.is_dir() {
        return Err(Error::failed(format!(
            "cannot read {path}: it is a folder; fs_list lists it"
        )));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file)
        .take(8192)
        .read_to_end(&mut head)
        .map_err(read_error)?;
    if let Some(mime_type) = image_type(&head) {
        if metadata.len() > MAX_IMAGE_BYTES {
            return Err(Error::failed(format!(
                "{path} is an image ({mime_type}) of {} bytes, but at most {MAX_IMAGE_BYTES} can be shown",
                metadata.len()
            )));
        }
        file.read_to_end(&mut head).map_err(read_error)?;
        return Ok(Output::new().with_image(mime_type, head));
    }
    if is_binary(&head) {
        return Err(Error::failed(format!(
            "{path} is a binary file of {} bytes, but this tool reads text",
            metadata.len()
        )));
    }

    file.rewind().map_err(read_error)?;
    let offset = args.offset.unwrap_or(1).max(1);
    let window = Window::read(
        BufReader::with_capacity(65_536, file),
        offset,
        args.limit.unwrap_or(DEFAULT_LIMIT),
    )
    .map_err(read_error)?;
    window.output(&path, offset)
}

/// Lines of a file, and what else is in it.
#[derive(Debug, Default, PartialEq)]
struct Window {
    bytes: Vec<u8>,
    /// How many lines of the file the bytes have, the last one perhaps in part.
    lines: usize,
    /// How many lines the file has.
    total: usize,
    /// The last line of the window is too long and was cut.
    is_cut: bool,
}

impl Window {
    fn read(mut reader: impl BufRead, offset: usize, limit: usize) -> std::io::Result<Self> {
        let mut window = Self::default();
        let mut is_full = false;
        let mut at_line_start = true;
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(window);
            }
            let end = buffer
                .iter()
                .position(|&byte| byte == b'\n')
                .map(|newline| newline + 1);
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            if at_line_start {
                window.total += 1;
            }
            let is_wanted = window.total >= offset && window.total - offset < limit;
            if is_wanted && !is_full {
                let room = MAX_BYTES - window.bytes.len();
                if piece.len() <= room {
                    window.bytes.extend_from_slice(piece);
                    window.lines = window.total - offset + 1;
                } else {
                    is_full = true;
                    // A whole line does not begin, except the first: else nobody could ever read on.
                    if window.lines == 0 || !at_line_start {
                        window.bytes.extend_from_slice(&piece[..room]);
                        window.lines = window.total - offset + 1;
                        window.is_cut = true;
                    }
                }
            }
            at_line_start = end.is_some();
            let used = piece.len();
            reader.consume(used);
        }
    }

    fn output(self, path: &str, offset: usize) -> Result<Output, Error> {
        if self.total == 0 {
            return Ok(Output::text(format!("{path} is empty.")));
        }
        if self.lines == 0 {
            return Err(Error::invalid_arguments(format!(
                "offset {offset} is past the end: {path} has {} lines",
                self.total
            )));
        }
        let last = offset + self.lines - 1;
        let mut notes = Vec::new();
        if offset > 1 || last < self.total {
            notes.push(format!("Lines {offset} to {last} of {}.", self.total));
        }
        if self.is_cut {
            notes.push(format!(
                "Line {last} is cut: at most {MAX_BYTES} bytes are read at once."
            ));
        }
        if last < self.total {
            notes.push(format!("Continue with offset {}.", last + 1));
        }
        let text = match String::from_utf8(self.bytes) {
            Ok(text) => text,
            // Cut inside of a character, that is no fault of the file.
            Err(error) if self.is_cut && error.utf8_error().error_len().is_none() => {
                let valid = error.utf8_error().valid_up_to();
                String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned()
            }
            Err(error) => {
                notes.push("Bytes that are not UTF-8 were replaced by \u{fffd}.".to_owned());
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        let output = Output::text(text);
        Ok(if notes.is_empty() {
            output
        } else {
            output.with_text(notes.join(" "))
        })
    }
}

fn image_type(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, Window};

    fn window(text: &str, offset: usize, limit: usize) -> (String, usize, usize, bool) {
        // A buffer smaller than the lines.
        let window = Window::read(
            std::io::BufReader::with_capacity(3, text.as_bytes()),
            offset,
            limit,
        )
        .unwrap();
        (
            String::from_utf8(window.bytes).unwrap(),
            window.lines,
            window.total,
            window.is_cut,
        )
    }

    #[test]
    fn a_window_is_the_lines_asked_for() {
        assert_eq!(
            window("one\ntwo\nthree", 1, 10),
            ("one\ntwo\nthree".into(), 3, 3, false)
        );
        assert_eq!(
            window("one\ntwo\nthree\n", 2, 1),
            ("two\n".into(), 1, 3, false)
        );
        assert_eq!(window("one\n\n\n", 2, 5), ("\n\n".into(), 2, 3, false));
        assert_eq!(window("one\n", 7, 5), (String::new(), 0, 1, false));
        assert_eq!(window("", 1, 5), (String::new(), 0, 0, false));
    }

    #[test]
    fn a_window_is_bounded_in_bytes() {
        let long = "x".repeat(MAX_BYTES + 5);
        let (text, lines, total, is_cut) = window(&format!("{long}\nnext\n"), 1, 10);
        assert_eq!((text.len(), lines, total, is_cut), (MAX_BYTES, 1, 2, true));
        let (text, lines, total, _) =
            window(&format!("{}\n{long}\n", "a".repeat(MAX_BYTES - 1)), 1, 10);
        assert_eq!((text.len(), lines, total), (MAX_BYTES, 1, 2));
    }
}
