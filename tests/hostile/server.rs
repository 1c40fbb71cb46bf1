//! Servers of the loopback that keep what they are sent, byte for byte. They answer in their own
//! threads, and stop when they are dropped.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a server waits for the rest of a request before it takes the client for gone.
const PATIENCE: Duration = Duration::from_secs(20);

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
    requests: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl Kept {
    fn keep(&self, request: &[u8]) -> String {
        let request = String::from_utf8_lossy(request).into_owned();
        self.requests.lock().unwrap().push(request.clone());
        request
    }
}

/// Where an answer goes.
pub trait Client: Read + Write {}
impl<T: Read + Write> Client for T {}

impl Server {
    /// `answer` is given each request, head and body as they were sent.
    pub fn start(
        answer: impl Fn(&str, &mut dyn Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::serve("127.0.0.1:0", move |stream, kept| {
            one(stream, kept, &answer)
        })
        .expect("a port of the loopback")
    }

    /// The same at an address and port that are to be had.
    #[cfg(target_os = "linux")]
    pub fn start_at(
        at: &str,
        answer: impl Fn(&str, &mut dyn Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        Server::serve(at, move |stream, kept| one(stream, kept, &answer))
            .unwrap_or_else(|error| panic!("{at}: {error}"))
    }

    /// The same by IPv6, where the machine has it.
    pub fn start_v6(
        answer: impl Fn(&str, &mut dyn Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Option<Server> {
        Server::serve("[::1]:0", move |stream, kept| one(stream, kept, &answer)).ok()
    }

    /// The same by https.
    pub fn encrypted(
        config: Arc<ServerConfig>,
        answer: impl Fn(&str, &mut dyn Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let speak = move |stream, kept: &Kept| {
            let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            one(&mut stream, kept, &answer)?;
            stream.conn.send_close_notify();
            stream.flush()
        };
        Server::serve("127.0.0.1:0", speak).expect("a port of the loopback")
    }

    /// Not of the web: it answers each line with `pong`.
    pub fn lines() -> Server {
        let speak = |mut stream: TcpStream, kept: &Kept| {
            let mut line = [0; 100];
            loop {
                match stream.read(&mut line)? {
                    0 => return Ok(()),
                    read => kept.keep(&line[..read]),
                };
                stream.write_all(b"pong\n")?;
            }
        };
        Server::serve("127.0.0.1:0", speak).expect("a port of the loopback")
    }

    fn serve(
        at: &str,
        speak: impl Fn(TcpStream, &Kept) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        let kept = Arc::<Kept>::default();
        let (speak, shared) = (Arc::new(speak), kept.clone());
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
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
                    let _ = speak(stream, &shared);
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

    /// What it was sent since it was last asked, once every connection has come to its end.
    pub fn take(&self) -> Vec<String> {
        // Whoever connected earlier is accepted earlier.
        let last = TcpStream::connect(self.address).and_then(|stream| stream.local_addr());
        let last = last.expect("it accepts");
        let start = Instant::now();
        let is_done = || {
            *self.kept.accepted.lock().unwrap() == Some(last)
                && self.kept.open.load(Ordering::SeqCst) == 0
        };
        while !is_done() {
            assert!(start.elapsed() < PATIENCE, "a connection is still open");
            thread::sleep(Duration::from_millis(1));
        }
        std::mem::take(&mut self.kept.requests.lock().unwrap())
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
    mut stream: impl Client,
    kept: &Kept,
    answer: &impl Fn(&str, &mut dyn Client) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let body = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            read => bytes.extend(&chunk[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..body]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap_or(0));
    while bytes.len() < body + length {
        match stream.read(&mut chunk)? {
            0 => break,
            read => bytes.extend(&chunk[..read]),
        }
    }
    let request = kept.keep(&bytes);
    answer(&request, &mut stream)
}

/// A whole answer, after which the connection is closed.
pub fn page(client: &mut dyn Client, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} -\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )?;
    client.flush()
}

/// The path of a request, without the query.
pub fn path(request: &str) -> &str {
    let target = request.split(' ').nth(1).unwrap_or_default();
    target.split('?').next().unwrap_or_default()
}

/// One byte in 50 ms, until the client has had enough.
pub fn drip(client: &mut dyn Client) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        client.write_all(b"x")?;
        client.flush()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until the client goes away.
pub fn hang(client: &mut dyn Client) -> io::Result<()> {
    while client.read(&mut [0; 4096])? > 0 {}
    Ok(())
}
