//! A model that is a recording: it answers each request with the next of some event streams, whatever was asked.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use toolhost_testing::http::{Request, Server, Stream};

/// A server of recorded answers.
pub(crate) struct Model {
    pub(crate) url: String,
    _server: Server,
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
            let events =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            answers.push(move |_: &Request, stream: &mut dyn Stream| {
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
                )?;
                stream.write_all(&events)
            });
        }
        let server = Server::script(Ok, answers);
        Ok(Model {
            url: format!("http://{}", server.address),
            _server: server,
        })
    }
}
