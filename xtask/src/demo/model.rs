//! A model that is a recording: it answers each request with the next of some answers, whatever was asked.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use toolhost_testing::http::{Request, Server, Stream};

/// A server of recorded answers.
pub(crate) struct Model {
    pub(crate) url: String,
    /// How many answers it has.
    pub(crate) answers: usize,
    /// The bytes of all answers.
    pub(crate) answered: usize,
    asked: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl Model {
    /// Serves the event streams `1.sse`, `2.sse` and so on of a folder, or the messages `1.json`, `2.json` and so on.
    pub(crate) fn start(folder: &Path) -> Result<Model> {
        let kinds = [("sse", "text/event-stream"), ("json", "application/json")];
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut answered = 0;
        let mut answers = Vec::new();
        for number in 1.. {
            let file = |kind: &str| folder.join(format!("{number}.{kind}"));
            let Some((kind, media)) = kinds.into_iter().find(|(kind, _)| file(kind).is_file())
            else {
                break;
            };
            let file = file(kind);
            let answer =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            answered += answer.len();
            let asked = asked.clone();
            answers.push(move |request: &Request, stream: &mut dyn Stream| {
                if let Ok(mut asked) = asked.lock() {
                    asked.push(request.body().to_owned());
                }
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\nconnection: close\r\n\r\n"
                )?;
                stream.write_all(&answer)
            });
        }
        let count = answers.len();
        let server = Server::script(Ok, answers);
        Ok(Model {
            url: format!("http://{}", server.address),
            answers: count,
            answered,
            asked,
            _server: server,
        })
    }

    /// The bodies of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .map(|asked| asked.clone())
            .unwrap_or_default()
    }
}
