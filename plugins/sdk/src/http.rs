//! HTTP requests to the addresses that the manifest grants.
//!
//! ```
//! use toolhost_plugin::{Error, http, serde_json::{Value, json}};
//!
//! fn create(title: &str) -> Result<u64, Error> {
//!     let response = http::post("https://api.example.com/issues")
//!         .json(&json!({ "title": title }))?
//!         .send()?
//!         .successful()?;
//!     let issue: Value = response.json()?;
//!     issue["number"].as_u64().ok_or_else(|| Error::failed("the issue has no number"))
//! }
//! ```
//!
//! Redirects are not followed, since the manifest may not grant their targets. The call's timeout applies to requests;
//! the manifest limits their number and the size of responses. In [tests](crate::testing), a function answers them.

#[cfg(target_arch = "wasm32")]
mod wasi;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing as wasi;
use crate::{Error, Serialize};
use serde::de::DeserializeOwned;

/// The longest body that [`Response::bytes`] reads, in bytes.
const MAX_BODY: usize = 16 << 20;

/// The characters of an error response that are shown.
const MAX_SHOWN: usize = 500;

/// A GET request.
///
/// ```
/// use toolhost_plugin::{Error, http, testing};
///
/// fn page() -> Result<String, Error> {
///     http::get("https://example.com/").send()?.successful()?.text()
/// }
///
/// let host = testing::Host::new().http(|request| {
///     Ok(http::Response::new(200, format!("{} {}", request.method(), request.url())))
/// });
/// assert_eq!(host.run(page).unwrap(), "GET https://example.com/");
/// ```
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST request.
///
/// ```
/// use toolhost_plugin::{Error, http, testing};
///
/// fn add() -> Result<String, Error> {
///     http::post("https://example.com/items").body("apple").send()?.successful()?.text()
/// }
///
/// let host = testing::Host::new().http(|request| {
///     Ok(http::Response::new(200, format!("{} {}", request.method(), request.url())))
/// });
/// assert_eq!(host.run(add).unwrap(), "POST https://example.com/items");
/// ```
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// An HTTP request.
///
/// ```
/// use toolhost_plugin::http::Request;
///
/// let request = Request::new("DELETE", "https://example.com/items/1").header("X-Reason", "sold");
/// assert_eq!(request.method(), "DELETE");
/// assert_eq!(request.headers(), [("x-reason".to_owned(), "sold".to_owned())]);
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into().to_ascii_lowercase();
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to a value as JSON, and its `content-type`.
    ///
    /// # Errors
    ///
    /// The value cannot be serialized as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, Error> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// The method, such as `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers, with names in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body, if there is one.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// Sends it, and waits for the status and headers of the response. Any status is a response;
    /// [`successful`](Response::successful) returns an error for those that are not 2xx.
    ///
    /// # Errors
    ///
    /// The manifest does not grant the address, or there is no response.
    pub fn send(&self) -> Result<Response, Error> {
        crate::task::block_on(self.send_async())
    }

    /// As [`send`](Request::send), in an async tool: requests that are [joined](crate::task::join_all) overlap.
    ///
    /// # Errors
    ///
    /// As those of `send`.
    pub async fn send_async(&self) -> Result<Response, Error> {
        wasi::send(self).await
    }
}

/// A response. Its body is read by one of its methods.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    url: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    #[cfg(target_arch = "wasm32")]
    Stream(wasi::Incoming),
}

impl Response {
    /// A response for a test.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            url: String::new(),
            body: Body::Bytes(body.into()),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into().to_ascii_lowercase();
        self.headers.push((name, value.into()));
        self
    }

    /// The status, such as 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers, with names in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of a header; the first if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// Returns the response if its status is 200 to 299.
    ///
    /// # Errors
    ///
    /// Any other status; the message has the status and the beginning of the body.
    pub fn successful(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let (status, url) = (self.status, self.url.clone());
        let (body, _) = self.read(4 * MAX_SHOWN)?;
        let body: String = String::from_utf8_lossy(&body)
            .trim()
            .chars()
            .take(MAX_SHOWN)
            .collect();
        let body = match body.is_empty() {
            true => body,
            false => format!(": {body}"),
        };
        let from = match url.is_empty() {
            true => url,
            false => format!("{url} answered "),
        };
        Err(Error::failed(format!("{from}status {status}{body}")))
    }

    /// Reads up to a number of bytes of the body, and returns whether there were more.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn read(self, max_bytes: usize) -> Result<(Vec<u8>, bool), Error> {
        match self.body {
            Body::Bytes(mut bytes) => {
                let is_longer = bytes.len() > max_bytes;
                bytes.truncate(max_bytes);
                Ok((bytes, is_longer))
            }
            #[cfg(target_arch = "wasm32")]
            Body::Stream(stream) => stream.read(max_bytes),
        }
    }

    /// Reads the whole body, of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// The connection broke, or the body is longer.
    pub fn bytes(self) -> Result<Vec<u8>, Error> {
        match self.read(MAX_BODY)? {
            (bytes, false) => Ok(bytes),
            (_, true) => Err(Error::failed(format!(
                "the response has over {MAX_BODY} bytes: `Response::read` reads a part of it"
            ))),
        }
    }

    /// Reads the whole body as text. Invalid UTF-8 is replaced.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Response::bytes).
    pub fn text(self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Reads the whole body as JSON.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Response::bytes), or the body is not JSON of this type.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.bytes()?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::from(error).context("the response is not the JSON expected"))
    }
}

/// The parts of a URL that a request needs.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
#[derive(Debug, PartialEq)]
struct Address<'u> {
    is_https: bool,
    authority: &'u str,
    path: String,
}

#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
impl<'u> Address<'u> {
    fn parse(url: &'u str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Err(Error::invalid_arguments(format!(
                "the address {url:?} {why}"
            )))
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            return bad("has no scheme: it begins with https:// or http://");
        };
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return bad("is neither https:// nor http://");
        }
        // Fragments are not sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return bad("names no host");
        }
        if authority.contains('@') {
            return bad("has a user's name: send that in a header");
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return bad("has spaces in it: write them as %20");
        }
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        Ok(Self {
            is_https,
            authority,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Response, get, post};
    use crate::{ErrorKind, testing};
    use serde_json::{Value, json};

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |url| {
            let address = Address::parse(url).unwrap();
            (address.is_https, address.authority, address.path)
        };
        assert_eq!(
            parts("https://a.org:8/x?y=1#z"),
            (true, "a.org:8", "/x?y=1".into())
        );
        assert_eq!(parts("HTTP://[::1]?q"), (false, "[::1]", "/?q".into()));
        for bad in [
            "a.org",
            "ftp://a.org",
            "https:///x",
            "https://me@a.org",
            "https://a.org/a b",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArguments, "{bad}");
        }
    }

    #[test]
    fn a_test_answers_requests() {
        let send = || {
            let request = post("https://a.org/things").json(&json!({ "a": 1 }))?;
            request.header("X-Key", "k").send()
        };
        let host = testing::Host::new().http(|request| {
            assert_eq!(
                (request.method(), request.url()),
                ("POST", "https://a.org/things")
            );
            assert_eq!(request.content(), Some(br#"{"a":1}"#.as_slice()));
            assert_eq!(request.headers()[1], ("x-key".into(), "k".into()));
            Ok(Response::new(201, r#"{"id": 7}"#).with_header("Location", "/things/7"))
        });
        let response = host.run(send).unwrap();
        assert_eq!(
            (response.status(), response.header("location")),
            (201, Some("/things/7"))
        );
        let thing: Value = response.successful().unwrap().json().unwrap();
        assert_eq!(thing["id"], 7);

        assert_eq!(send().unwrap_err().kind(), ErrorKind::Denied);
        let error = get("").clone();
        assert!(error.send().is_err());
    }

    #[test]
    fn a_status_may_be_an_error_and_a_body_too_long() {
        let refused = Response::new(404, "no such page\n").successful();
        assert_eq!(refused.unwrap_err().message(), "status 404: no such page");
        let cut = Response::new(200, "abc").read(2).unwrap();
        assert_eq!(cut, (b"ab".to_vec(), true));
    }
}
