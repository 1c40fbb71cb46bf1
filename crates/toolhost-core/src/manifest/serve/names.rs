//! What `Host` and `Origin` say: parsed as strictly as browsers write them, since what is understood
//! in two ways is how a check is passed by.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use url::Url;

use crate::error::InvalidValue;

/// The names of this machine that no other machine's DNS record stands for.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A host, as `Host` has it: a name or an address, and maybe a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// In lower case; IPv6 in brackets, in its shortest spelling.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Whether it is a name of this machine.
    #[doc(hidden)]
    pub fn is_loopback(&self) -> bool {
        LOOPBACK.contains(&&*self.host)
    }

    /// Whether a request for `other` is one for this: the same host, and the same port where this has
    /// one. A request without a port is for the one of http or https.
    #[doc(hidden)]
    pub fn covers(&self, other: &Authority) -> bool {
        let same_port = match (self.port, other.port) {
            (None, _) => true,
            (Some(port), None) => matches!(port, 80 | 443),
            (Some(port), Some(other)) => port == other,
        };
        self.host == other.host && same_port
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Authority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (format!("[{address}]"), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at(end);
                let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
                if name.is_empty() || name.len() > 253 || !name.bytes().all(is_name) {
                    return None;
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            // Not `+80`, which `u16` would parse.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|port| *port != 0)?)
            }
            _ => return None,
        };
        Some(Authority { host, port })
    }
}

impl FromStr for Authority {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Authority::parse(text).ok_or_else(|| {
            InvalidValue::new(format!(
                "`{text}` is not a host: use for example \"tools.example.com\" or \"tools.example.com:8443\""
            ))
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Where a page is from, as `Origin` has it: `https://app.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Whether the page is from a server of this machine.
    #[doc(hidden)]
    pub fn is_loopback(&self) -> bool {
        let authority = self.0.split_once("://").map(|(_, rest)| rest.parse());
        matches!(authority, Some(Ok::<Authority, _>(authority)) if authority.is_loopback())
    }

    /// What a browser sends: in the only spelling that it has.
    #[doc(hidden)]
    pub fn from_header(text: &str) -> Option<Origin> {
        text.parse().ok().filter(|Origin(origin)| origin == text)
    }
}

impl FromStr for Origin {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // Not the text: a password may be in it.
        let expected = "not an origin: use for example \"https://app.example.com\", without a path";
        let wrong = || InvalidValue::new(expected);
        let url = Url::parse(text).map_err(|_| wrong())?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && !text.ends_with('/')
            && url.query().is_none()
            && url.fragment().is_none();
        match is_plain {
            true => Ok(Origin(url.origin().ascii_serialization())),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_header_is_taken_only_if_all_parsers_agree() {
        let good = [
            ("localhost", "localhost"),
            ("LocalHost:8080", "localhost:8080"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:65535", "[::1]:65535"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("a_b.example-c.com", "a_b.example-c.com"),
        ];
        for (text, shown) in good {
            let parsed = Authority::parse(text).map(|authority| authority.to_string());
            assert_eq!(parsed.as_deref(), Some(shown), "{text}");
        }
        let bad = [
            "",
            ":80",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:80:80",
            "localhost:80@evil.example",
            "evil.example@localhost",
            "localhost/",
            "localhost?",
            "localhost#",
            "localhost\\",
            "localhost, evil.example",
            "local host",
            " localhost",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[localhost]",
            "[fe80::1%eth0]",
            "l%6fcalhost",
            "xn--é",
            "http://localhost",
        ];
        for text in bad {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_that_only_look_like_this_machine_are_others() {
        for text in [
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "127.0.0.2",
            "2130706433",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
            "[::]",
            "0.0.0.0",
        ] {
            let is_loopback = Authority::parse(text).map(|it| it.is_loopback());
            assert_eq!(is_loopback, Some(false), "{text}");
        }
        for text in ["LOCALHOST:1", "127.0.0.1", "[::1]:8080", "[0::1]"] {
            let is_loopback = Authority::parse(text).map(|it| it.is_loopback());
            assert_eq!(is_loopback, Some(true), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_named_is_the_only_one() {
        let parse = |text: &str| text.parse::<Authority>().unwrap();
        for (host, request, covered) in [
            ("a.example", "a.example", true),
            ("a.example", "a.example:8443", true),
            ("a.example", "b.a.example", false),
            ("a.example:8443", "a.example:8443", true),
            ("a.example:8443", "a.example", false),
            ("a.example:8443", "a.example:443", false),
            ("a.example:443", "a.example", true),
        ] {
            assert_eq!(parse(host).covers(&parse(request)), covered, "{request}");
        }
    }

    #[test]
    fn an_origin_has_one_spelling() {
        for text in ["http://localhost:6274", "https://[::1]", "http://127.0.0.1"] {
            let is_loopback = Origin::from_header(text).map(|origin| origin.is_loopback());
            assert_eq!(is_loopback, Some(true), "{text}");
        }
        for text in [
            "null",
            "",
            "https://localhost/",
            "https://localhost:443",
            "HTTPS://localhost",
            "https://user@localhost",
            "https://localhost https://localhost",
            "https://localhost\\@evil.example",
            "https://0x7f.1",
            "file://localhost",
        ] {
            assert_eq!(Origin::from_header(text), None, "{text}");
        }
        let elsewhere = Origin::from_header("https://localhost.evil.example").unwrap();
        assert!(!elsewhere.is_loopback());
    }
}
