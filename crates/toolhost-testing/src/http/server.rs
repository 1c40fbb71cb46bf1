//! Servers that keep what they are sent. They answer in threads of their own, and stop when they are dropped.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Headers;
use crate::wait_until;

/// How long a server waits for the rest of a request before it takes the client for gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came: it reads as the text of head and body.
#[derive(Clone, Debug)]
pub struct Request {
    text: String,
    /// Where the body begins.
    body: usize,
}

impl Deref for Request {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Request {
    /// Reads one from a connection; `None` where it ends before the head does. Keeps what comes with it, although no
    /// length counts it.
    pub fn read(stream: &mut (impl Read + ?Sized)) -> io::Result<Option<Request>> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let body = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                read => bytes.extend(&chunk[..read]),
            }
        };
        let mut text = String::from_utf8_lossy(&bytes[..body]).into_owned();
        let length = Headers::parse(text.lines().skip(1)).length().unwrap_or(0);
        while bytes.len() < body + length {
            match stream.read(&mut chunk)? {
                0 => break,
                read => bytes.extend(&chunk[..read]),
            }
        }
        let head = text.len();
        text += &String::from_utf8_lossy(&bytes[body..]);
        Ok(Some(Request { text, body: head }))
    }

    pub fn method(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The path, with the query.
    pub fn target(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The first line and the headers.
    pub fn head(&self) -> &str {
        &self.text[..self.body]
    }

    pub fn headers(&self) -> Headers {
        Headers::parse(self.head().lines().skip(1))
    }

    pub fn body(&self) -> &str {
        &self.text[self.body..]
    }
}

pub struct Server {
    pub address: SocketAddr,
    kept: Arc<Kept>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Kept {
    /// Who was accepted last.
    accepted: Mutex<Option<SocketAddr>>,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

/// Where an answer goes.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Server {
    /// `answer` is given each request.
    pub fn start(
        answer: impl Fn(&Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::behind(Ok, answer)
    }

    /// The same at an address and port that are to be had.
    pub fn start_at(
        at: impl ToString,
        answer: impl Fn(&Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Server> {
        Server::listen(&at.to_string(), usize::MAX, move |_, stream, kept| {
            one(stream, kept, &answer)
        })
    }

    /// The same with something between it and the connection, such as TLS.
    pub fn behind<S: Stream>(
        wrap: impl Fn(TcpStream) -> io::Result<S> + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::loopback(usize::MAX, move |_, stream, kept| {
            one(wrap(stream)?, kept, &answer)
        })
    }

    /// A server that gives each connection the next of some answers. Whoever comes after the last finds nobody.
    pub fn script<S, A>(
        wrap: impl Fn(TcpStream) -> io::Result<S> + Send + Sync + 'static,
        answers: Vec<A>,
    ) -> Server
    where
        S: Stream,
        A: FnOnce(&Request, &mut dyn Stream) -> io::Result<()> + Send + 'static,
    {
        let count = answers.len();
        let answers: Vec<_> = answers.into_iter().map(|it| Mutex::new(Some(it))).collect();
        Server::loopback(count, move |number, stream, kept| {
            let answer = answers[number].lock().unwrap().take();
            one(wrap(stream)?, kept, answer.expect("each is one's"))
        })
    }

    /// Not HTTP: it answers each line with `pong`.
    pub fn lines() -> Server {
        Server::loopback(usize::MAX, |_, mut stream, kept| {
            let mut line = [0; 100];
            loop {
                match stream.read(&mut line)? {
                    0 => return Ok(()),
                    read => {
                        let text = String::from_utf8_lossy(&line[..read]).into_owned();
                        let body = text.len();
                        kept.requests.lock().unwrap().push(Request { text, body });
                    }
                }
                stream.write_all(b"pong\n")?;
            }
        })
    }

    fn loopback(
        count: usize,
        speak: impl Fn(usize, TcpStream, &Kept) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::listen("127.0.0.1:0", count, speak).expect("a port of the loopback")
    }

    /// `speak` serves each of `count` connections, and is told how many were accepted before it.
    fn listen(
        at: &str,
        count: usize,
        speak: impl Fn(usize, TcpStream, &Kept) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        let kept = Arc::<Kept>::default();
        let (speak, shared) = (Arc::new(speak), kept.clone());
        let accepting = thread::spawn(move || {
            for (number, stream) in listener.incoming().take(count).enumerate() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                shared.open.fetch_add(1, Ordering::SeqCst);
                *shared.accepted.lock().unwrap() = stream.peer_addr().ok();
                let (speak, shared) = (speak.clone(), shared.clone());
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    // What a client breaks off is its own affair.
                    let _ = speak(number, stream, &shared);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Server {
            address,
            kept,
            accepting: Some(accepting),
        })
    }

    /// What it was sent so far.
    pub fn requests(&self) -> Vec<Request> {
        self.kept.requests.lock().unwrap().clone()
    }

    /// What it was sent since it was last asked, once every connection has come to its end.
    pub fn take(&self) -> Vec<String> {
        // Whoever connected earlier is accepted earlier.
        let last = TcpStream::connect(self.address).and_then(|stream| stream.local_addr());
        let last = last.expect("it accepts");
        wait_until("all connections are closed", || {
            *self.kept.accepted.lock().unwrap() == Some(last)
                && self.kept.open.load(Ordering::SeqCst) == 0
        });
        let taken = std::mem::take(&mut *self.kept.requests.lock().unwrap());
        taken.into_iter().map(|request| request.text).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kept.stopped.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Reads one request, keeps it, and answers it.
fn one(
    mut stream: impl Stream,
    kept: &Kept,
    answer: impl FnOnce(&Request, &mut dyn Stream) -> io::Result<()>,
) -> io::Result<()> {
    let Some(request) = Request::read(&mut stream)? else {
        return Ok(());
    };
    kept.requests.lock().unwrap().push(request.clone());
    answer(&request, &mut stream)
}

/// A whole answer, after which the connection is closed.
pub fn page(client: &mut dyn Stream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} -\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )?;
    client.flush()
}

/// Waits until the client goes away.
pub fn hang(client: &mut dyn Stream) -> io::Result<()> {
    while client.read(&mut [0; 4096])? > 0 {}
    Ok(())
}
