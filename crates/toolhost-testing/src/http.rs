//! HTTP/1.1 by hand: what is sent is what stands in the test, what came is kept byte for byte, and a connection can be
//! dropped at any time.

pub mod client;
pub mod server;
#[cfg(feature = "host")]
pub mod tls;

use std::io::{self, BufRead};

pub use client::{Incoming, Reply, ask, hang_up, send};
pub use server::{Request, Server, Stream, hang, page};

pub use crate::PATIENCE;

/// The headers of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The lines of a head that are headers.
    pub fn parse<'t>(lines: impl Iterator<Item = &'t str>) -> Headers {
        let pairs = lines.filter_map(|line| line.trim_end().split_once(':'));
        Headers(
            pairs
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect(),
        )
    }

    /// The value of the first of that name, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// All, with names in lower case, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The length of the body, if the head states one.
    fn length(&self) -> Option<usize> {
        self.get("content-length")?.parse().ok()
    }
}

/// Reads the first line of a message, and its headers.
fn read_head(reader: &mut impl BufRead) -> io::Result<(String, Headers)> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 2 {}
    Ok((first, Headers::parse(head.lines())))
}
