//! stdin and stdout without a thread between them and the runtime, where the system can: a pipe or a socket is polled.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

pub(super) type Input = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Output = Box<dyn AsyncWrite + Send + Unpin>;

#[cfg(unix)]
pub(super) fn input() -> io::Result<Input> {
    use std::os::fd::AsFd;
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok(match kind(&file)? {
        Kind::Pipe => Box::new(tokio::net::unix::pipe::Receiver::from_file(file)?),
        Kind::Socket => Box::new(socket(file)?),
        Kind::Other => Box::new(tokio::io::stdin()),
    })
}

#[cfg(unix)]
#[expect(
    clippy::disallowed_methods,
    reason = "only frames go there, for a program"
)]
pub(super) fn output() -> io::Result<Output> {
    use std::os::fd::AsFd;
    let file = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok(match kind(&file)? {
        Kind::Pipe => Box::new(tokio::net::unix::pipe::Sender::from_file(file)?),
        Kind::Socket => Box::new(socket(file)?),
        Kind::Other => Box::new(tokio::io::stdout()),
    })
}

#[cfg(unix)]
enum Kind {
    Pipe,
    /// Node gives its children sockets.
    Socket,
    Other,
}

#[cfg(unix)]
fn kind(file: &std::fs::File) -> io::Result<Kind> {
    use std::os::unix::fs::FileTypeExt;
    let kind = file.metadata()?.file_type();
    Ok(match (kind.is_fifo(), kind.is_socket()) {
        (true, _) => Kind::Pipe,
        (_, true) => Kind::Socket,
        _ => Kind::Other,
    })
}

#[cfg(unix)]
fn socket(file: std::fs::File) -> io::Result<tokio::net::UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(file));
    socket.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(socket)
}

#[cfg(not(unix))]
pub(super) fn input() -> io::Result<Input> {
    Ok(Box::new(tokio::io::stdin()))
}

#[cfg(not(unix))]
pub(super) fn output() -> io::Result<Output> {
    Ok(Box::new(tokio::io::stdout()))
}
