//! The hosts that grants name.

use std::fmt;
use std::str::FromStr;

use url::Host;

use crate::error::InvalidValue;

/// Hosts: an exact one, or `*.` and a domain, which stands for every subdomain of it but not for the
/// domain itself.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::HostPattern;
///
/// let pattern: HostPattern = "*.example.com".parse()?;
/// assert!(pattern.matches("api.example.com"));
/// assert!(!pattern.matches("example.com"));
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Without the leading `*.`; in the spelling of a parsed URL, so IPv6 in brackets.
    host: String,
    subdomains: bool,
    is_address: bool,
}

impl HostPattern {
    /// Whether it stands for that host, spelled as in a parsed URL.
    pub fn matches(&self, host: &str) -> bool {
        if !self.subdomains {
            return host == self.host;
        }
        host.strip_suffix(&self.host)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|subdomain| !subdomain.is_empty())
    }

    /// Whether it stands for every host that the other does.
    pub(super) fn covers(&self, other: &HostPattern) -> bool {
        match other.subdomains {
            false => self.matches(&other.host),
            true => self.subdomains && (self.host == other.host || self.matches(&other.host)),
        }
    }

    /// Whether it names one host and no pattern.
    pub fn is_exact(&self) -> bool {
        !self.subdomains
    }

    /// Whether it names an IP address.
    pub fn is_address(&self) -> bool {
        self.is_address
    }

    /// Whether it stands for everything below a top-level domain, or more.
    pub(super) fn is_wide(&self) -> bool {
        self.subdomains && !self.host.contains('.')
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.subdomains { "*." } else { "" };
        write!(f, "{star}{}", self.host)
    }
}

impl FromStr for HostPattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let subdomains = text.starts_with("*.");
        let rest = text.strip_prefix("*.").unwrap_or(text);
        let host = Host::parse(rest)
            .map_err(|error| InvalidValue::new(format!("`{text}` is not a host ({error})")))?;
        // Looked for in what was parsed: a host may be percent-encoded.
        if host.to_string().contains('*') {
            return Err(InvalidValue::new(format!(
                "`*` can only replace whole leading labels, as in \"*.example.com\": `{text}`"
            )));
        }
        let is_address = !matches!(host, Host::Domain(_));
        if subdomains && is_address {
            return Err(InvalidValue::new(format!(
                "`*.` can only precede a domain, not an address: `{text}`"
            )));
        }
        Ok(HostPattern {
            host: host.to_string(),
            subdomains,
            is_address,
        })
    }
}

/// A host and the port that TCP sockets may connect to: `db.example.com:5432`, `[::1]:5432`.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::SocketRule;
///
/// let rule: SocketRule = "db.example.com:5432".parse()?;
/// assert_eq!(rule.port(), 5432);
/// assert!("*.example.com:5432".parse::<SocketRule>().is_err());
/// # Ok::<(), toolhost::error::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRule {
    host: HostPattern,
    port: u16,
}

impl SocketRule {
    /// The host: never a pattern.
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for SocketRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for SocketRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host, port))
        });
        let Some((host, port)) = parsed else {
            return Err(InvalidValue::new(format!(
                "`{text}` is not a host and a port, such as \"db.example.com:5432\""
            )));
        };
        let host: HostPattern = host
            .parse()
            .map_err(|error| InvalidValue::new(format!("`{text}`: {error}")))?;
        if !host.is_exact() {
            return Err(InvalidValue::new(format!(
                "`{text}` has a `*`, but sockets are granted host by host"
            )));
        }
        Ok(SocketRule { host, port })
    }
}
