//! Inherited descriptors that the parent process left open. No MCP server may inherit them: one may
//! be a file of secrets, or a socket.
//!
//! Our own are close-on-exec from the start; programs that embed the library see to theirs.

/// Sets close-on-exec on all descriptors but stdin, stdout and stderr.
///
/// Call it before there are other threads.
pub(crate) fn keep_from_children() {
    use std::os::fd::{BorrowedFd, RawFd};

    use rustix::io::{FdFlags, fcntl_setfd};

    // If neither exists, no descriptor is known; that is no reason to refuse commands that start
    // nothing.
    let open = ["/proc/self/fd", "/dev/fd"]
        .iter()
        .find_map(|folder| std::fs::read_dir(folder).ok());
    for entry in open.into_iter().flatten().flatten() {
        let number = entry.file_name();
        let number = number.to_str().and_then(|it| it.parse::<RawFd>().ok());
        let Some(number) = number.filter(|it| *it > 2) else {
            continue;
        };
        // SAFETY: the descriptor is open, since it is listed (the list's own is among them), and
        // stays so: no other thread runs that could close it. It is borrowed for the next statement
        // only.
        #[allow(unsafe_code)]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // One that cannot be changed stays as it is.
        let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
}
