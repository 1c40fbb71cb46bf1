//! Descriptors that whoever started this process left open. No MCP server that we start is to have them: one may be
//! somebody's file of secrets, or a socket that answers as us.
//!
//! Our own are closed on `exec` from the start; a program that embeds the library minds its own.

/// Has all descriptors but stdin, stdout and stderr closed in whatever this process starts.
///
/// To be called before there are other threads.
pub(crate) fn keep_from_children() {
    use std::os::fd::{BorrowedFd, RawFd};

    use rustix::io::{FdFlags, fcntl_setfd};

    // Where neither is there, no descriptor is known; that is no reason to refuse work that starts nothing.
    let open = ["/proc/self/fd", "/dev/fd"]
        .iter()
        .find_map(|folder| std::fs::read_dir(folder).ok());
    for entry in open.into_iter().flatten().flatten() {
        let number = entry.file_name();
        let number = number.to_str().and_then(|it| it.parse::<RawFd>().ok());
        let Some(number) = number.filter(|it| *it > 2) else {
            continue;
        };
        // SAFETY: it is open, since it is listed (the list itself is among them), and stays so: no other thread
        // runs that could close it. It is borrowed for the next statement only.
        #[allow(unsafe_code)]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // One that cannot be changed stays as it is.
        let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
}
