//! MCP messages, a line each, as a client writes them to a server's stdin. An input is all that it writes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toolhost::mcp::StdioError;

use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};
use crate::served::{PATIENCE, is_answer, is_id, is_message, runtime, server};

pub const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "\n",
    "\r\n",
    "\u{feff}",
    "\0",
    "null",
    "{}",
    "[]",
    "\"\"",
    "1e999",
    "-1",
    "1.5",
    "9223372036854775808",
    "\"\\ud800\"",
    "\"jsonrpc\":\"2.0\",",
    "\"id\":1,",
    "\"id\":\"1\",",
    "\"id\":null,",
    "\"method\":\"ping\"",
    "\"method\":\"tools/call\",",
    "\"method\":\"tools/list\",",
    "\"method\":\"resources/subscribe\",",
    "\"method\":\"subscriptions/listen\",",
    "\"method\":\"tasks/get\",",
    "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}",
    "\"method\":\"completion/complete\",",
    "\"result\":{},",
    "\"error\":{\"code\":-1,\"message\":\"\"},",
    "\"params\":{},",
    "\"cursor\":\"\",",
    "\"name\":\"calculate\",",
    "\"arguments\":{\"expression\":\"1\"}",
    "\"arguments\":\"{}\"",
    "\"_meta\":{\"progressToken\":1},",
    "\"requestState\":\"\",",
    "\"task\":{},",
    "\"capabilities\":{\"elicitation\":{},\"sampling\":{},\"roots\":{}},",
    "\"protocolVersion\":\"2025-11-25\",",
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n",
];

#[test]
fn mcp_messages() {
    let seeds = corpus("mcp_messages");
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => arbitrary(),
        6 => mutated(files, WORDS),
    ];
    fuzz("mcp_messages", &seeds, inputs, check);
}

/// Good is a client that was served to the end of what it wrote.
pub fn check(input: &[u8]) -> Checked {
    let (ended, said) = converse(input)?;
    let messages = messages(&said)?;
    accounted(input, &messages, ended.is_ok())?;
    serves_others()?;
    match ended {
        Ok(()) => Ok(true),
        Err(StdioError::NoClient { .. }) => Ok(false),
        Err(other) => Err(other.to_string()),
    }
}

/// What the server writes to one who writes that and reads everything, and how it ends.
fn converse(input: &[u8]) -> Result<(Result<(), StdioError>, Vec<u8>), String> {
    let server = server().clone();
    let talk = async {
        let (client, other) = duplex(64 << 10);
        let (reader, writer) = split(other);
        let (mut from, mut to) = split(client);
        let serving = server.serve_stream(reader, writer, CancellationToken::new());
        let mut said = Vec::new();
        let writing = async {
            // One that has ended reads no more.
            let _ = to.write_all(input).await;
            let _ = to.shutdown().await;
        };
        let (ended, read, ()) = tokio::join!(serving, from.read_to_end(&mut said), writing);
        read.map_err(|error| error.to_string())?;
        Ok((ended, said))
    };
    let talk = runtime().block_on(async { timeout(PATIENCE, talk).await });
    talk.unwrap_or_else(|_| Err(format!("no end after {PATIENCE:?}")))
}

fn messages(said: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(said).map_err(|_| "what was said is no text")?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("the last line has no end: {text:?}"));
    }
    let lines = text.lines().map(|line| {
        let message = serde_json::from_str(line).map_err(|why| format!("{why}: {line}"))?;
        is_message(&message).map(|()| message)
    });
    lines.collect()
}

/// Each request is answered once, where it is known which are read; nothing else is.
fn accounted(input: &[u8], messages: &[Value], is_whole: bool) -> Result<(), String> {
    // What may be answered under an id that cannot be told here, if at all.
    let mut unclear = 0;
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    let mut maybe: BTreeMap<String, usize> = BTreeMap::new();
    let mut cancels = false;
    for line in input.split(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        match serde_json::from_slice::<Value>(line) {
            Ok(message) if message.is_object() => {
                cancels |= message["method"] == "notifications/cancelled";
                let id = &message["id"];
                match is_id(id) {
                    true if is_request(&message) => {
                        *asked.entry(id.to_string()).or_default() += 1;
                    }
                    true => *maybe.entry(id.to_string()).or_default() += 1,
                    false => unclear += 1,
                }
            }
            _ => unclear += 1,
        }
    }
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    for message in messages.iter().filter(|message| is_answer(message)) {
        *answered.entry(message["id"].to_string()).or_default() += 1;
    }
    for (id, count) in &asked {
        let got = answered.get(id).copied().unwrap_or_default();
        if got < *count && is_whole && !cancels {
            return Err(format!(
                "{count} requests {id}, {got} answers: {messages:?}"
            ));
        }
    }
    for (id, got) in answered {
        let count = |of: &BTreeMap<String, usize>| of.get(&id).copied().unwrap_or_default();
        // The id of what looks like an answer is not the client's: what is wrong with that has none.
        let without = match &*id {
            "null" => maybe.values().sum(),
            _ => 0,
        };
        let more = got.saturating_sub(count(&asked) + count(&maybe) + without);
        if more > unclear {
            return Err(format!("{got} answers to {id}: {messages:?}"));
        }
        unclear -= more;
    }
    Ok(())
}

/// A message that JSON-RPC takes for a request, and no other reading could take for anything else.
fn is_request(message: &Value) -> bool {
    let known = ["jsonrpc", "id", "method", "params"];
    let members = message.as_object().into_iter().flatten();
    let mut names = members.map(|(name, _)| &**name);
    names.all(|name| known.contains(&name))
        && message["jsonrpc"] == "2.0"
        && message["method"].is_string()
        && message.get("params").is_none_or(Value::is_object)
}

/// Whatever one client wrote, the next is served.
fn serves_others() -> Result<(), String> {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" },
    });
    let request = |id: u8, method: &str, params: &Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string() + "\n"
    };
    let input = [
        request(1, "initialize", &params),
        request(2, "tools/list", &json!({})),
        request(3, "ping", &json!({})),
    ];
    let (ended, said) = converse(input.concat().as_bytes())?;
    let answers = messages(&said)?;
    let result = |id: u8| {
        let answer = answers.iter().find(|it| is_answer(it) && it["id"] == id);
        answer.and_then(|answer| answer.get("result"))
    };
    let has_tools =
        result(2).is_some_and(|it| it["tools"].as_array().is_some_and(|it| !it.is_empty()));
    match ended.is_ok() && result(1).is_some() && has_tools && result(3).is_some() {
        true => Ok(()),
        false => Err(format!("the next client: {ended:?} {answers:?}")),
    }
}
