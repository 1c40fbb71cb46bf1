//! A web server for one test: on the loopback, and as simple as it can be. It ends with the test's
//! runtime.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// The path, with the query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// A page of that type.
pub fn page(content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type", content_type.to_owned())],
        body: body.into(),
    }
}

/// A redirect, whose own contents are nobody's.
pub fn redirect(status: u16, location: impl Into<String>) -> Answer {
    Answer {
        status,
        headers: vec![("location", location.into())],
        body: b"elsewhere".to_vec(),
    }
}

pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Server {
        let (listener, url) = listen("http").await;
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let kept = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                let answer = answer(&request);
                let is_head = request.method == "HEAD";
                kept.lock().unwrap().push(request);
                write(&mut stream, answer, is_head).await;
            }
        });
        Server { url, requests }
    }

    /// A server with one page for all.
    pub async fn of(content_type: &'static str, body: impl Into<Vec<u8>>) -> Server {
        let body = body.into();
        Server::start(move |_| page(content_type, body.clone())).await
    }

    /// What was asked of it so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// A port of the loopback, and its address with that scheme.
pub async fn listen(scheme: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("{scheme}://{address}"))
}

/// Reads one whole request.
pub async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the request broke off");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let read = stream.read_buf(&mut body).await.unwrap();
        assert!(read > 0, "the body broke off");
    }
    Request {
        method: first.next().unwrap(),
        target: first.next().unwrap(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

/// Answers, and closes the connection. The client need not take all of it.
pub async fn write(stream: &mut TcpStream, answer: Answer, is_head: bool) {
    let mut head = format!("HTTP/1.1 {} -\r\nconnection: close\r\n", answer.status);
    for (name, value) in answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    let _ = stream.write_all(head.as_bytes()).await;
    if !is_head {
        let _ = stream.write_all(&answer.body).await;
    }
    let _ = stream.shutdown().await;
}
