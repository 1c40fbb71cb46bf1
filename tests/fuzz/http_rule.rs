//! Http rules, held against a second reading of what `docs/manifest.md` says of them.
//!
//! An input is a rule, its methods, a request's method and its URL, a line each.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;
use toolhost::error::InvalidValue;
use toolhost::permissions::{HostPattern, HttpHeader, HttpRule, SocketRule};
use url::Url;

use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};

pub const WORDS: &[&str] = &[
    "http",
    "https",
    "://",
    "//",
    "/",
    "\\",
    ":",
    "@",
    "*",
    "*.",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%00",
    "%",
    "?",
    "#",
    ":80",
    ":443",
    ":0",
    ":65536",
    "[::1]",
    "[",
    "]",
    "127.0.0.1",
    "0x7f.1",
    "2130706433",
    "localhost",
    "example.com",
    "evil",
    "xn--",
    "é",
    "ａ",
    "。",
    "\u{ad}",
    "\t",
    " ",
    "GET",
    "get",
    "CONNECT",
    "$",
    "${A}",
    "${",
];

#[test]
fn http_rule() {
    let seeds = corpus("http_rule");
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => arbitrary(),
        2 => mutated(files, WORDS),
        6 => case(),
    ];
    fuzz("http_rule", &seeds, inputs, check);
}

/// Good is a request that is allowed.
pub fn check(input: &[u8]) -> Checked {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (rule, methods, method, url) = (line(), line(), line(), line());
    for (name, value) in [("x", rule), (method, url), (rule, methods)] {
        if let Ok(header) = HttpHeader::new(rule, name, value) {
            // Whatever it says, it can be said.
            drop((header.to_string(), header.secrets().count()));
        }
    }
    displays_itself::<HostPattern>(rule)?;
    displays_itself::<SocketRule>(rule)?;

    let parsed: Result<HttpRule, _> = rule.parse();
    let plain = Plain::read(rule);
    let parsed = match (parsed, &plain) {
        (Ok(parsed), _) => parsed,
        (Err(_), None) => return Ok(false),
        (Err(why), Some(_)) => return Err(format!("a plain rule is refused: {why}")),
    };
    if parsed.to_string() != rule {
        return Err(format!("displays as {parsed}"));
    }
    // What no rule can have, however it is read.
    let (scheme, rest) = rule.split_once("://").unwrap_or_default();
    if !["http", "https"].contains(&scheme) || rest.contains(['?', '#']) {
        return Err("taken, with another scheme, a query or a fragment".into());
    }
    let methods: Vec<String> = methods.split_whitespace().map(str::to_owned).collect();
    let parsed = parsed.with_methods(methods.clone());
    let Ok(url) = Url::parse(url) else {
        return Ok(false);
    };
    let allowed = parsed.allows(method, &url);
    // Without a star it is one host, whatever else is in it.
    let mut below = url.clone();
    let host = format!("x.{}", url.host_str().unwrap_or_default());
    if allowed
        && !rule.contains('*')
        && below.set_host(Some(&host)).is_ok()
        && parsed.allows(method, &below)
    {
        return Err(format!(
            "no `*` is in it, and {url} and {below} are allowed"
        ));
    }
    let Some(plain) = plain else {
        return Ok(allowed);
    };
    let expected = plain.covers(&url)
        && !["CONNECT", "TRACE", "TRACK"].contains(&method)
        && (methods.is_empty() || methods.iter().any(|it| it == method));
    // What only some servers decode is refused below a path, too.
    let rest = url.path().to_ascii_lowercase();
    let rest = ["%2e", "%2f", "%5c"]
        .iter()
        .fold(rest, |rest, it| rest.replace(it, ""));
    let is_odd = !plain.path.is_empty() && rest.contains(['%', ';']);
    if allowed != expected && (allowed || !is_odd) {
        let (not, as_read) = if allowed { ("", "not ") } else { ("not ", "") };
        return Err(format!(
            "{method} {url} is {not}allowed, and should {as_read}be: {plain:?}"
        ));
    }
    Ok(allowed)
}

/// What is parsed displays as what parses to the same.
fn displays_itself<T>(text: &str) -> Result<(), String>
where
    T: std::str::FromStr<Err = InvalidValue> + PartialEq + std::fmt::Debug + ToString,
{
    let Ok(parsed) = text.parse::<T>() else {
        return Ok(());
    };
    let again = parsed.to_string().parse::<T>();
    if again.as_ref() == Ok(&parsed) {
        Ok(())
    } else {
        Err(format!("{parsed:?} displays as {again:?}"))
    }
}

/// A rule of plain characters: where it is said without a parser of URLs what it means.
#[derive(Debug)]
struct Plain {
    scheme: String,
    host: PlainHost,
    port: u16,
    /// The names of folders, down from the root.
    path: Vec<String>,
}

#[derive(Debug)]
enum PlainHost {
    Exact(String),
    Below(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Plain {
    fn read(rule: &str) -> Option<Plain> {
        let (scheme, rest) = rule.split_once("://")?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, "")) => (host, default),
            Some((host, port)) if is_port(port) => (host, port.parse().ok()?),
            Some(_) if !authority.ends_with(']') => return None,
            _ => (authority, default),
        };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
        if !path.bytes().all(is_plain) {
            return None;
        }
        Some(Plain {
            scheme: scheme.to_owned(),
            host: PlainHost::read(host)?,
            port,
            path: folders(path),
        })
    }

    fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host_fits = match &self.host {
            PlainHost::Exact(name) => host == name,
            PlainHost::Below(name) => {
                let labels: Vec<&str> = host.split('.').collect();
                let of: Vec<&str> = name.split('.').collect();
                labels.ends_with(&of) && labels.len() > of.len() && host.len() > name.len() + 1
            }
            PlainHost::V4(address) => host.parse() == Ok(*address),
            PlainHost::V6(address) => {
                let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                inner.is_some_and(|inner| inner.parse() == Ok(*address))
            }
        };
        let port = url.port().unwrap_or(match url.scheme() {
            "http" => 80,
            "https" => 443,
            _ => return false,
        });
        let path: Vec<&str> = url.path().split('/').skip(1).collect();
        let below = path.get(self.path.len()..).map(|rest| rest.join("/"));
        // Below a path no dots lead up, not even for a server that decodes them late.
        let leads_up = |rest: &str| {
            let rest = rest.to_ascii_lowercase().replace("%2e", ".");
            let rest = rest.replace("%2f", "/").replace("%5c", "/");
            rest.split('/').any(|part| part == "..")
        };
        let path_fits = below.is_some_and(|rest| self.path.is_empty() || !leads_up(&rest))
            && self.path.iter().zip(&path).all(|(a, b)| a == b);
        url.scheme() == self.scheme && host_fits && port == self.port && path_fits
    }
}

impl PlainHost {
    fn read(host: &str) -> Option<PlainHost> {
        if let Some(inner) = host.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(PlainHost::V6);
        }
        if let Ok(address) = host.parse() {
            return Some(PlainHost::V4(address));
        }
        let (below, name) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host),
        };
        let name = name.to_ascii_lowercase();
        let is_label = |label: &str| {
            let ends = [label.bytes().next(), label.bytes().next_back()];
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            label.bytes().all(is_plain)
                && ends.iter().all(|end| end.is_some_and(|b| b != b'-'))
                && !label.starts_with("xn--")
                && label.len() < 64
        };
        // A last label of digits, or of `0x` and digits, makes it an address in some spelling.
        let last = name.rsplit('.').next().unwrap_or_default();
        let named =
            name.split('.').all(is_label) && !last.starts_with(|c: char| c.is_ascii_digit());
        match (named && name.len() < 200, below) {
            (false, _) => None,
            (true, true) => Some(PlainHost::Below(name)),
            (true, false) => Some(PlainHost::Exact(name)),
        }
    }
}

/// The parts of a path, `.` and `..` followed, without slashes at its end.
fn folders(path: &str) -> Vec<String> {
    let mut folders: Vec<String> = Vec::new();
    for part in path.split('/').skip(1) {
        match &*part.to_ascii_lowercase().replace("%2e", ".") {
            "." => {}
            ".." => drop(folders.pop()),
            _ => folders.push(part.to_owned()),
        }
    }
    while folders.last().is_some_and(String::is_empty) {
        folders.pop();
    }
    folders
}

const HOSTS: &[&str] = &[
    "example.com",
    "a.example.com",
    "com",
    "localhost",
    "api-1.example.co.uk",
    "127.0.0.1",
    "10.0.0.1",
    "[::1]",
    "[2001:db8::1]",
    "[::ffff:7f00:1]",
];
const PATHS: &[&str] = &[
    "",
    "/",
    "/v1",
    "/v1/",
    "/v1/a",
    "/V1",
    "/v10",
    "/v1//",
    "//v1",
    "/v1/../a",
    "/v1/./a",
    "/%2e%2E/v1",
    "/v1%2fa",
    "/v1/%2e%2e/a",
    "/v1/..%2fa",
    "/..",
    "/a/b/..",
    "/v1/.",
    "/%76%31",
    "/v1;a",
    "/v1/...",
    "/.v1",
];
const METHODS: &[&str] = &["GET", "get", "HEAD", "POST", "CONNECT", "GETS", ""];

/// A rule, and a request that is near it.
fn case() -> impl Strategy<Value = Vec<u8>> {
    let rule = (
        select(vec!["https", "http"]),
        select(vec!["", "*.", "*."]),
        select(HOSTS),
        select(vec!["", "", ":80", ":443", ":8080", ":", ":0", ":65535"]),
        select(PATHS),
        select(vec!["", "", "GET", "GET HEAD", "POST"]),
    );
    let request = (
        prop_oneof![2 => Just("GET"), 1 => select(METHODS)],
        prop_oneof![4 => Just("{s}"), 1 => select(vec!["http", "https", "HTTPS", "ws", "ftp"])],
        prop_oneof![2 => Just(""), 1 => select(vec!["user@", "u:p@", "{h}@", "{h}:80@", "@"])],
        prop_oneof![
            4 => select(vec!["{h}", "a.{h}"]),
            4 => select(vec![
                "{H}", "a.b.{h}", "x{h}", "-{h}", ".{h}", "..{h}", "{h}.", "{h}.evil.test",
                "{h}.evil", "evil.test#{h}", "evil.test/{h}", "evil.test?{h}", "evil.test\\{h}", "{h}%2eevil",
                "{h}\\.evil.test", "*.{h}", "a%2e{h}", "a\u{3002}{h}", "{h}\t", "{h}%00",
            ]),
            1 => select(HOSTS),
            1 => select(vec!["127.1", "2130706433", "0x7f.0.0.1", "[0:0::1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]"]),
        ],
        prop_oneof![
            4 => Just("{p}"),
            1 => select(vec!["", ":80", ":443", ":8080", ":", ":00443", ":65535", ":65536"]),
        ],
        prop_oneof![
            3 => Just("{f}"),
            1 => Just(""),
        ],
        prop_oneof![1 => Just(""), 2 => select(PATHS)],
        select(vec!["", "", "?q=/../v1", "#/v1", "?", "\\..\\b"]),
    );
    (rule, request).prop_map(|(rule, request)| {
        let (scheme, star, host, port, path, methods) = rule;
        let (method, its_scheme, user, its_host, its_port, above, its_path, after) = request;
        let url = format!("{its_scheme}://{user}{its_host}{its_port}{above}{its_path}{after}")
            .replace("{s}", scheme)
            .replace("{h}", host)
            .replace("{H}", &host.to_ascii_uppercase())
            .replace("{p}", port)
            .replace("{f}", path);
        format!("{scheme}://{star}{host}{port}{path}\n{methods}\n{method}\n{url}\n").into_bytes()
    })
}
