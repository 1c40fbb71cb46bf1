//! Reading files whole.

use crate::roots::{Roots, io_error};
use std::fs::File;
use std::io::Read;
use toolhost_plugin::Error;

/// Opens a file for reading, and says where it is and how long it is.
///
/// # Errors
///
/// The path is not granted, or leads to no file.
pub fn open(path: &str) -> Result<(String, File, u64), Error> {
    let path = Roots::granted()?.resolve(path)?;
    let read_error = |error| io_error("read", &path, &error);
    let file = File::open(&path).map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    if metadata.is_dir() {
        return Err(Error::failed(format!("cannot read {path}: it is a folder")));
    }
    Ok((path, file, metadata.len()))
}

/// The content of a file of at most `max` bytes, and its path.
///
/// # Errors
///
/// As for [`open`], and if the file is longer.
pub fn read_bytes(path: &str, max: u64) -> Result<(String, Vec<u8>), Error> {
    let (path, file, length) = open(path)?;
    // At once: a vector that grows takes up to twice as much memory. Here it also traps if there is no room, so that the
    // host reports its limit. The byte more is for a file that grows meanwhile.
    let mut bytes = Vec::with_capacity(length.min(max) as usize + 1);
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error("read", &path, &error))?;
    if bytes.len() as u64 > max {
        return Err(Error::failed(format!(
            "{path} has {} bytes, but this tool reads files of at most {max}",
            length.max(bytes.len() as u64)
        )));
    }
    Ok((path, bytes))
}

/// The content of a text file of at most `max` bytes, and its path.
///
/// # Errors
///
/// As for [`read_bytes`], and if the file is not UTF-8 text.
pub fn read_text(path: &str, max: u64) -> Result<(String, String), Error> {
    let (path, bytes) = read_bytes(path, max)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(Error::failed(format!(
            "{path} is not UTF-8 text: the first invalid byte is at offset {}",
            error.utf8_error().valid_up_to()
        ))),
    }
}

/// Whether the first bytes of a file show that it is not text.
#[must_use]
pub fn is_binary(head: &[u8]) -> bool {
    head.contains(&0)
}
