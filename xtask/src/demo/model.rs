//! A model that is a recording: it answers each request with the next of some event streams, whatever was asked.

use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// A server of recorded answers, for as long as the process runs.
pub(crate) struct Model {
    pub(crate) url: String,
}

impl Model {
    /// Serves `1.sse`, `2.sse` and so on of a folder.
    pub(crate) fn start(folder: &Path) -> Result<Model> {
        let mut answers = Vec::new();
        for number in 1.. {
            let file = folder.join(format!("{number}.sse"));
            if !file.is_file() {
                break;
            }
            answers
                .push(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
        }
        let listener = TcpListener::bind("127.0.0.1:0").context("no port on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else {
                    break;
                };
                // Who has gone is missed by the command that asked.
                let _ = serve(&stream, &answer);
            }
        });
        Ok(Model { url })
    }
}

fn serve(mut stream: &TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    request.take(length).read_to_end(&mut Vec::new())?;
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    )?;
    stream.write_all(answer)
}
