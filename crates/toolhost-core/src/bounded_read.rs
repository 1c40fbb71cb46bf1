//! Reads files named by a manifest: regular ones only, and up to a bound. Opening a pipe blocks, a
//! device may be endless, and opening some devices has effects.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::limits::{ByteSize, size};

/// Opens a regular file for reading, without blocking.
pub fn open(path: &Path) -> io::Result<File> {
    // Before opening, which may have effects on a device.
    expect_file(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // It may have been replaced since.
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let file = options.open(path)?;
    expect_file(&file.metadata()?)?;
    Ok(file)
}

/// Reads an open file.
///
/// # Errors
///
/// [`ErrorKind::FileTooLarge`] if it has more than `most` bytes.
pub fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    // It may grow while it is read, and some files report no size.
    match file.metadata()?.len() > most {
        true => Err(too_large(most)),
        false => to_end(file, most),
    }
}

/// Reads what may have no end, such as stdin.
///
/// # Errors
///
/// As for [`read`].
pub fn to_end(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_large(most)),
        false => Ok(bytes),
    }
}

fn too_large(most: u64) -> io::Error {
    let most = size(ByteSize::b(most));
    io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {most}"))
}

/// As [`read`], for text.
///
/// # Errors
///
/// As for [`read`], or it is not UTF-8.
pub fn text(file: &File, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read(file, most)?);
    // Not the error's own text, which contains the bytes.
    text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// # Errors
///
/// It is not a regular file.
pub(crate) fn expect_file(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a file")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
        read(&open(path)?, most)
    }

    fn read_text(path: &Path, most: u64) -> io::Result<String> {
        text(&open(path)?, most)
    }

    #[test]
    fn what_is_no_file_is_neither_opened_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        for path in [&*pipe, Path::new("/dev/zero"), folder.path()] {
            let error = read_file(path, 10).unwrap_err();
            assert_eq!(error.to_string(), "it is not a file", "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(read_text(&file, 10).unwrap(), "0123456789");
        let error = read_text(&file, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is larger than 9 B");
        // Its reported size is 0.
        let error = read_file(Path::new("/proc/self/status"), 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(
            read_text(&file, 9).unwrap_err().to_string(),
            "it is not UTF-8"
        );
    }
}
