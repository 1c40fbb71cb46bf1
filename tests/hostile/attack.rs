//! What a row of the table says: an attack, what the plugin is granted and limited to, and how it
//! must end.

use toolhost::{ToolCall, ToolResult};

use super::stage::Stage;

/// Names in `<>` stand for what is there while the table runs; see [`Stage::fill`].
pub struct Attack {
    pub name: &'static str,
    pub tool: &'static str,
    pub arguments: &'static str,
    /// What the manifest has of the plugin.
    pub manifest: &'static str,
    pub end: End,
    /// How many requests or connections each server sees; the others see none.
    pub seen: &'static [(&'static str, usize)],
    /// Whether the call may end before they see all of it.
    pub or_less: bool,
    /// How it ends with WASI 0.3, if that is another way.
    pub by_wasi3: Option<End>,
    /// Whether WASI 0.3 has nothing like it.
    pub only_wasi2: bool,
}

/// What the plugin that attacks is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    Wasi2,
    Wasi3,
}

/// How a call ends. In texts `…` stands for anything.
pub enum End {
    /// With that text.
    Answer(&'static str),
    /// With a line for each attempt, of which only these were done.
    Report(&'static [&'static str]),
    /// With the denial of that HTTP request.
    Request(&'static str),
    /// With an error of that code, which reads so; `not permitted:` goes without saying.
    Error(&'static str, &'static str),
}

pub const fn attack(
    name: &'static str,
    tool: &'static str,
    arguments: &'static str,
    manifest: &'static str,
    end: End,
) -> Attack {
    Attack {
        name,
        tool,
        arguments,
        manifest,
        end,
        seen: &[],
        or_less: false,
        by_wasi3: None,
        only_wasi2: false,
    }
}

pub const fn answer(text: &'static str) -> End {
    End::Answer(text)
}

/// No attempt succeeded.
pub const HELD: End = End::Report(&[]);

/// It met the deadline of 300 ms.
pub const TIMEOUT: End = End::Error("timeout", "timed out after 300 ms");

pub const fn limit(text: &'static str) -> End {
    End::Error("limit", text)
}

pub const fn denied(text: &'static str) -> End {
    End::Error("denied", text)
}

pub const fn no_request(what: &'static str) -> End {
    End::Request(what)
}

pub const fn trap(text: &'static str) -> End {
    End::Error("trap", text)
}

pub const fn failed(text: &'static str) -> End {
    End::Error("failed", text)
}

impl Attack {
    pub const fn seen(mut self, seen: &'static [(&'static str, usize)]) -> Attack {
        self.seen = seen;
        self
    }

    pub const fn or_less(mut self) -> Attack {
        self.or_less = true;
        self
    }

    pub const fn by_wasi3(mut self, end: End) -> Attack {
        self.by_wasi3 = Some(end);
        self
    }

    pub const fn only_wasi2(mut self) -> Attack {
        self.only_wasi2 = true;
        self
    }

    /// Components that are written by hand for an attack are not built twice.
    pub fn is_of(&self, generation: Generation) -> bool {
        let is_twice = !self.only_wasi2 && !self.manifest.contains("path = ");
        generation == Generation::Wasi2 || is_twice
    }

    pub fn call(&self, stage: &Stage) -> ToolCall {
        let arguments = stage.fill(self.arguments);
        ToolCall::new(self.name, self.tool, arguments)
    }

    /// What is wrong with the result, if something is.
    pub fn judge(&self, result: &ToolResult, stage: &Stage) -> Result<(), String> {
        let (kind, found) = match &result.outcome {
            Ok(output) => ("answer", output.to_text()),
            Err(error) => (error.code(), error.to_string()),
        };
        let shown: String = found.chars().take(3000).collect();
        let got = format!("ended as {kind}: {shown}");
        let end = match (&self.by_wasi3, stage.generation) {
            (Some(end), Generation::Wasi3) => end,
            _ => &self.end,
        };
        let (expected, pattern) = match end {
            End::Answer(text) => ("answer", (*text).to_owned()),
            End::Request(what) => ("denied", denied_request(what)),
            End::Error(code @ "denied", what) => (*code, format!("not permitted: {what}")),
            End::Error(code, text) => (*code, (*text).to_owned()),
            End::Report(done) => {
                let right = kind == "answer" && reports(&found, done);
                let done = || found.lines().filter(|line| !line.contains(": refused "));
                return match right {
                    true => Ok(()),
                    false => Err(done().collect::<Vec<_>>().join("\n")),
                };
            }
        };
        match kind == expected && fits(&stage.fill(&pattern), &found) {
            true => Ok(()),
            false => Err(got),
        }
    }
}

fn denied_request(what: &str) -> String {
    format!("not permitted: http request {what} (refused: ErrorCode::HttpRequestDenied)")
}

/// Whether a report has attempts, and only these were done.
fn reports(text: &str, done: &[&str]) -> bool {
    let lines = || text.lines().filter(|line| !line.is_empty());
    let refused = lines().filter(|line| line.contains(": refused ")).count();
    let found: Vec<&str> = lines().filter(|line| line.contains(": DONE")).collect();
    let same = found.len() == done.len()
        && found
            .iter()
            .zip(done)
            .all(|(line, name)| line.starts_with(&format!("{name}: DONE")));
    !text.starts_with("ESCAPED") && refused > 0 && refused + found.len() == lines().count() && same
}

/// Whether a text is the pattern, in which `…` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut ends_exactly = rest.is_empty();
    for part in parts {
        match rest.find(part) {
            Some(at) if !part.is_empty() => {
                rest = &rest[at + part.len()..];
                ends_exactly = rest.is_empty();
            }
            Some(_) => ends_exactly = true,
            None => return false,
        }
    }
    ends_exactly
}
