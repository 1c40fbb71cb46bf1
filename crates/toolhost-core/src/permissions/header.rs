//! Headers that the host adds to a plugin's requests.

use std::fmt;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::HostPattern;
use crate::error::InvalidValue;

/// What is for the connection and not for the other end (RFC 9110, section 7.6.1), and what says
/// where a request goes or how long it is: no guest and no manifest sets these.
const RESERVED: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Whether only the host may set that header.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str())
}

/// A header for requests to one host; `${NAME}` in its value stands for a secret.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::HttpHeader;
///
/// let header = HttpHeader::new("api.example.com", "Authorization", "Bearer ${TOKEN}")?;
/// assert_eq!(header.secrets().collect::<Vec<_>>(), ["TOKEN"]);
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHeader {
    host: HostPattern,
    port: Option<u16>,
    name: HeaderName,
    value: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Secret(String),
}

impl HttpHeader {
    /// `host` is a [`HostPattern`] with or without a port.
    ///
    /// # Errors
    ///
    /// One of them is not what it should be.
    pub fn new(host: &str, name: &str, value: &str) -> Result<Self, InvalidValue> {
        HttpHeader::parse(host, name, value).map_err(InvalidValue::new)
    }

    fn parse(host: &str, name: &str, value: &str) -> Result<Self, String> {
        if host.contains('/') {
            return Err(format!(
                "`{host}` is not a host: leave out the scheme and the path"
            ));
        }
        let (host, port) = match host.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if !port.ends_with(']') => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => return Err(format!("`{port}` is not a port")),
            },
            _ => (host, None),
        };
        let Ok(name) = HeaderName::try_from(name) else {
            return Err("`name` is not a valid header name".to_owned());
        };
        if is_reserved(&name) {
            return Err(format!("a manifest cannot set the header `{name}`"));
        }
        let value = parts(value)?;
        let fixed = value.iter().all(|part| match part {
            Part::Text(text) => HeaderValue::from_str(text).is_ok(),
            Part::Secret(_) => true,
        });
        if !fixed {
            return Err("the value has a character that is not allowed in a header".to_owned());
        }
        Ok(HttpHeader {
            host: host
                .parse()
                .map_err(|error: InvalidValue| error.to_string())?,
            port,
            name,
            value,
        })
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The names of the secrets in its value.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.value.iter().filter_map(|part| match part {
            Part::Secret(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Its value, as the manifest has it.
    pub(crate) fn template(&self) -> String {
        let parts = self.value.iter().map(|part| match part {
            Part::Text(text) => text.replace('$', "$$"),
            Part::Secret(name) => format!("${{{name}}}"),
        });
        parts.collect()
    }

    /// Its value, with the secrets put in.
    ///
    /// # Errors
    ///
    /// There is no such secret, or it has a character that no header may have.
    #[doc(hidden)]
    pub fn value<'s>(
        &self,
        secret: impl Fn(&str) -> Option<&'s str>,
    ) -> Result<HeaderValue, String> {
        let mut text = String::new();
        for part in &self.value {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Secret(name) => {
                    text.push_str(secret(name).ok_or(format!("no secret `{name}`"))?);
                }
            }
        }
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            "a secret in it has a character that is not allowed in a header".to_owned()
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether a request to `url` gets it. Over a connection that others can read, only this machine
    /// itself does.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        let is_here = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let port_fits = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => true,
        };
        (url.scheme() == "https" || is_here)
            && port_fits
            && url.host_str().is_some_and(|host| self.host.matches(host))
    }

    pub(super) fn host(&self) -> &HostPattern {
        &self.host
    }
}

impl fmt::Display for HttpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.name, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// `$$` stands for `$`.
fn parts(value: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) =
            after.strip_prefix('{').and_then(|it| it.split_once('}'))
        {
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Secret(name.to_owned()));
            rest = after;
        } else {
            return Err("`$` must be followed by `{NAME}` or another `$`".to_owned());
        }
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for(host: &str, url: &str) -> bool {
        let header = HttpHeader::new(host, "Authorization", "x").unwrap();
        header.is_for(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_header_is_for_its_host_only_and_not_for_others_to_read() {
        assert!(is_for("api.github.com", "https://api.github.com/user"));
        assert!(is_for("api.github.com", "https://api.github.com:8443/user"));
        assert!(!is_for("api.github.com", "https://github.com/"));
        assert!(!is_for(
            "api.github.com",
            "https://api.github.com.evil.test/"
        ));
        assert!(!is_for("api.github.com", "https://x.api.github.com/"));
        assert!(!is_for("api.github.com", "http://api.github.com/"));
        assert!(is_for("*.example.com", "https://a.example.com/"));
        assert!(!is_for("*.example.com", "https://example.com/"));
        assert!(is_for("e.com:8443", "https://e.com:8443/"));
        assert!(!is_for("e.com:8443", "https://e.com/"));
        assert!(is_for("e.com:443", "https://e.com/"));
        assert!(is_for("127.0.0.1", "http://127.0.0.1:1234/"));
        assert!(is_for("[::1]", "http://[::1]:1234/"));
        assert!(is_for("localhost", "http://localhost:1234/"));
        assert!(!is_for("10.0.0.1", "http://10.0.0.1/"));
    }

    #[test]
    fn secrets_are_put_in_by_name() {
        let header = HttpHeader::new("e.com", "X", "$$a ${T}b").unwrap();
        assert_eq!(header.secrets().collect::<Vec<_>>(), ["T"]);
        let value = header.value(|name| (name == "T").then_some("secret"));
        assert_eq!(value.unwrap(), "$a secretb");
        assert!(header.value(|_| None).is_err());
        assert!(header.value(|_| Some("two\r\nlines")).is_err());
        for value in ["$", "$T", "${T", "a\nb"] {
            assert!(HttpHeader::new("e.com", "X", value).is_err(), "{value}");
        }
        for (host, name) in [
            ("e.com", "Host"),
            ("e.com", "te"),
            ("e.com", "a b"),
            ("e.com:x", "A"),
            ("", "A"),
        ] {
            assert!(HttpHeader::new(host, name, "x").is_err(), "{host} {name}");
        }
    }
}
