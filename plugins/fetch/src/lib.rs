//! HTTP requests, and answers as a model can use them.

mod charset;
mod render;

use render::{Format, Page};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use toolhost_plugin::http::{self, Response};
use toolhost_plugin::{Error, Output, arguments, config, log, plugin, serde_json, tool};
use url::Url;

plugin!(fetch);

const MAX_REDIRECTS: usize = 5;
const DEFAULT_MAX_BYTES: usize = 50_000;
/// How much of an answer is read at all: a page of a larger one cannot be had.
const MAX_DOWNLOAD: usize = 5_000_000;
/// Of a page that says what went wrong, the beginning does.
const MAX_ERROR_BYTES: usize = 2_000;
/// Passwords and the like are for who was asked, not for whom that one names.
const PRIVATE_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

#[arguments]
#[serde(deny_unknown_fields)]
struct Fetch {
    /// URL, such as "https://example.org/page".
    url: String,
    /// Default: GET, or POST if there is a body.
    method: Option<Method>,
    /// Headers to send, such as {"accept": "application/json"}.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Request body: a string is sent unchanged, any other value as JSON.
    #[schemars(with = "Option<serde_json::Value>")]
    body: Option<Box<RawValue>>,
    /// "auto" (the default) converts HTML to Markdown and leaves other text unchanged; "markdown" treats any response as HTML;
    /// "text" is the text of HTML without links; "raw" changes nothing.
    #[serde(default)]
    format: Format,
    /// Maximum number of bytes of the text. Default: 50000.
    #[schemars(range(min = 100, max = 500000))]
    max_bytes: Option<usize>,
    /// Start at this byte of the text, to continue where an earlier answer stopped.
    #[serde(default)]
    offset: usize,
}

/// The methods that a model may use.
#[arguments]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_uppercase())
    }
}

/// What to send, with the address as redirects need it.
#[derive(Clone)]
struct Request {
    method: Method,
    url: Url,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    fn send(&self) -> Result<Response, Error> {
        let mut request = http::Request::new(self.method.to_string(), self.url.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        request.send()
    }
}

/// Requests a URL and returns its contents: pages as Markdown, other text unchanged, images as images. Follows up to 5
/// redirects. After the contents comes a line with status, URL, type, and how to get the rest of a long page.
#[tool(title = "Fetch from the web", open_world)]
fn fetch(args: Fetch) -> Result<Output, Error> {
    let mut request = request(&args)?;
    let mut redirects = 0;
    let ((status, headers), body, is_cut) = loop {
        let response = request.send()?;
        match redirect(&request, &response)? {
            Some(next) => {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    return Err(Error::failed(format!(
                        "{} redirects more than {MAX_REDIRECTS} times",
                        args.url
                    )));
                }
                log::debug(format!("{} redirects to {}", request.url, next.url));
                request = next;
            }
            None => {
                let bound = if response.status() >= 400 {
                    MAX_ERROR_BYTES * 10
                } else {
                    MAX_DOWNLOAD
                };
                let head = (response.status(), response.headers().to_vec());
                let (body, is_cut) = response.read(bound)?;
                break (head, body, is_cut);
            }
        }
    };
    let page = Page {
        url: &request.url,
        status,
        headers: &headers,
        body,
        is_cut,
    };
    if status >= 400 {
        return Err(Error::failed(page.failure(MAX_ERROR_BYTES)));
    }
    page.output(
        args.format,
        args.offset,
        args.max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
    )
}

fn request(args: &Fetch) -> Result<Request, Error> {
    let url = Url::parse(args.url.trim())
        .map_err(|error| Error::invalid_arguments(format!("url {:?}: {error}", args.url)))?;
    check(&url).map_err(Error::invalid_arguments)?;
    let (body, content_type) = match args.body.as_deref().map(RawValue::get) {
        None => (None, None),
        Some(json) if json.starts_with('"') => {
            let text: String = serde_json::from_str(json)
                .map_err(|error| Error::invalid_arguments(format!("body: {error}")))?;
            (Some(text.into_bytes()), None)
        }
        Some(json) => (Some(json.into()), Some("application/json")),
    };
    let method = args.method.unwrap_or(if body.is_some() {
        Method::Post
    } else {
        Method::Get
    });
    if body.is_some() && matches!(method, Method::Get | Method::Head) {
        return Err(Error::invalid_arguments(format!(
            "a {method} request cannot have a body"
        )));
    }

    let mut headers: Vec<(String, String)> = args
        .headers
        .iter()
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.clone()))
        .collect();
    let mut default = |name: &str, value: String| {
        if !headers.iter().any(|(given, _)| given == name) {
            headers.push((name.to_owned(), value));
        }
    };
    default(
        "user-agent",
        config("user-agent")
            .unwrap_or_else(|| concat!("toolhost-fetch/", env!("CARGO_PKG_VERSION")).into()),
    );
    default(
        "accept",
        "text/markdown, text/html;q=0.9, application/json;q=0.9, text/*;q=0.8, */*;q=0.5".into(),
    );
    // What is compressed could not be read here.
    default("accept-encoding", "identity".into());
    if let Some(content_type) = content_type {
        default("content-type", content_type.into());
    }
    Ok(Request {
        method,
        url,
        headers,
        body,
    })
}

/// Whether an address is one for this tool, and if not, why.
fn check(url: &Url) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{url}: only http and https can be fetched"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{}: user names and passwords are not allowed in URLs; use a header",
            url.host_str().unwrap_or_default()
        ));
    }
    Ok(())
}

/// The request that a redirect asks for.
fn redirect(request: &Request, response: &Response) -> Result<Option<Request>, Error> {
    if !matches!(response.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.header("location") else {
        return Ok(None);
    };
    let url = request.url.join(location).map_err(|error| {
        Error::failed(format!(
            "{} redirects to {location:?}: {error}",
            request.url
        ))
    })?;
    check(&url).map_err(|error| Error::failed(format!("{} redirects to {error}", request.url)))?;

    let mut next = Request {
        url,
        ..request.clone()
    };
    // As browsers do: a form that was posted is answered by a page to get.
    let becomes_get = response.status() == 303 && request.method != Method::Head
        || matches!(response.status(), 301 | 302) && request.method == Method::Post;
    if becomes_get {
        next.method = Method::Get;
        next.body = None;
        next.headers.retain(|(name, _)| name != "content-type");
    }
    if next.url.origin() != request.url.origin() {
        next.headers
            .retain(|(name, _)| !PRIVATE_HEADERS.contains(&name.as_str()));
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolhost_plugin::{Content, ErrorKind, testing};

    fn args(json: serde_json::Value) -> Fetch {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn requests_are_what_was_asked_for() {
        let request = request(&args(
            serde_json::json!({ "url": "https://a.org/x", "body": { "b": 1 } }),
        ))
        .unwrap();
        assert_eq!(
            (request.method, request.body.as_deref()),
            (Method::Post, Some(br#"{"b":1}"#.as_slice()))
        );
        assert!(
            request
                .headers
                .contains(&("content-type".into(), "application/json".into()))
        );
        for url in [
            "ftp://a.org",
            "file:///etc/passwd",
            "nonsense",
            "https://me:secret@a.org",
        ] {
            let error = super::request(&args(serde_json::json!({ "url": url })))
                .err()
                .map(|error| error.kind());
            assert_eq!(error, Some(ErrorKind::InvalidArguments), "{url}");
        }
    }

    #[test]
    fn redirects_take_no_secrets_elsewhere() {
        let json = serde_json::json!({ "url": "https://a.org/x/y", "body": "b", "headers": { "Authorization": "s" } });
        let request = request(&args(json)).unwrap();
        let follow = |status, location: &str| {
            let response = Response::new(status, "").with_header("location", location);
            redirect(&request, &response).unwrap().unwrap()
        };
        let is_private = |request: &Request| {
            request
                .headers
                .iter()
                .any(|(name, _)| name == "authorization")
        };
        let near = follow(307, "../z");
        assert_eq!(
            (near.url.as_str(), near.method, is_private(&near)),
            ("https://a.org/z", Method::Post, true)
        );
        let far = follow(302, "https://b.org/");
        assert_eq!(
            (far.method, far.body.is_none(), is_private(&far)),
            (Method::Get, true, false)
        );
    }

    #[test]
    fn a_redirect_is_followed_to_a_page() {
        let host = testing::Host::new().http(|request| match request.url() {
            "https://a.org/" => Ok(Response::new(302, "").with_header("location", "/b")),
            "https://a.org/b" => {
                Ok(Response::new(200, "here").with_header("content-type", "text/plain"))
            }
            other => panic!("{other}"),
        });
        let fetched = host.run(|| fetch(args(serde_json::json!({ "url": "https://a.org/" }))));
        let fetched = fetched.unwrap();
        let Content::Text(text) = &fetched.content()[0] else {
            panic!("it is text");
        };
        assert!(text.starts_with("here"), "{text}");
    }
}
